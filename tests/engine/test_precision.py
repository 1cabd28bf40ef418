"""Precision and memory layout: where bfloat16 reaches and where it does not, and that pictures lie channels last."""

import pytest
import torch
from contract.harness import Pictures, contract_registry, parameters, trainer_for
from contract.parts import NonSaturating, TinyDiscriminator, TinyGenerator

from ganzoo import ImageSpec, Training
from ganzoo.engine.trainer import Trainer
from ganzoo.losses import squared_gradient_norm


@pytest.fixture(scope="module")
def registry():
    return contract_registry()


def test_bf16_reaches_the_networks_but_not_the_penalty_nor_the_parameters(registry):
    trainer = trainer_for("wgan-gp", registry, precision="bf16")
    kinds, original = [], trainer.discriminator.features[0].forward

    def spied(images):
        result = original(images)
        kinds.append((images.requires_grad, result.dtype))
        return result

    trainer.discriminator.features[0].forward = spied
    for _ in range(2):
        terms = trainer.step()
        assert all(torch.isfinite(term) and term.dtype == torch.float32 for term in terms.values())
    assert (True, torch.float32) in kinds and (False, torch.bfloat16) in kinds
    state = trainer.optimizers["discriminator"].state_dict()["state"]
    assert {moment.dtype for moments in state.values() for moment in moments.values()} == {torch.float32}
    assert {parameter.dtype for parameter in parameters(trainer).values()} == {torch.float32}
    half = torch.randn(2, 1, 8, 8, dtype=torch.bfloat16)
    with torch.autocast("cpu", torch.bfloat16):
        assert squared_gradient_norm(trainer.discriminator, half).dtype == torch.float32


def test_weights_and_pictures_lie_channels_last():
    seen = []
    image = ImageSpec(8, 3)
    discriminator = TinyDiscriminator(image)
    discriminator.features[2].register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    trainer = Trainer(
        generator=TinyGenerator(image),
        discriminator=discriminator,
        loss=NonSaturating(image),
        batches=Pictures(image, 4),
        image=image,
        training=Training(batch_size=4, steps=10, ema=0.5),
    )
    trainer.step()
    weights = [trainer.discriminator.features[0].weight, trainer.generator.main[4].weight, trainer.ema.main[4].weight]
    assert all(tensor.is_contiguous(memory_format=torch.channels_last) for tensor in [*weights, *seen])
    assert not weights[0].is_contiguous() and not seen[0].is_contiguous()
