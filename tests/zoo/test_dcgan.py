"""DCGAN against pytorch/examples `dcgan/main.py`: counts, keys, initialization, loss values, order of steps."""

import math

import pytest
import torch
from stepping import count_calls, count_parameters, names_of, scripted_turn, small_trainer, step_by_phase

from ganzoo import ImageSpec
from ganzoo_plugins.dcgan.model import DCGANDiscriminator, DCGANGenerator, NonSaturating

RGB64 = ImageSpec(64, 3)


def test_parameter_counts_at_64_are_those_of_the_reference():
    assert count_parameters(DCGANGenerator(RGB64)) == 3_576_704
    assert count_parameters(DCGANDiscriminator(RGB64)) == 2_765_568


def test_parameter_counts_at_32_leave_out_the_widest_stage():
    image = ImageSpec(32, 1)
    generator = 100 * 256 * 16 + 2 * 256 + 256 * 128 * 16 + 2 * 128 + 128 * 64 * 16 + 2 * 64 + 64 * 1 * 16
    discriminator = 1 * 64 * 16 + 64 * 128 * 16 + 2 * 128 + 128 * 256 * 16 + 2 * 256 + 256 * 1 * 16
    assert count_parameters(DCGANGenerator(image)) == generator
    assert count_parameters(DCGANDiscriminator(image)) == discriminator


def test_state_dict_keys_and_shapes_are_those_of_the_reference():
    generator, discriminator = DCGANGenerator(RGB64).state_dict(), DCGANDiscriminator(RGB64).state_dict()
    shapes = {key: tuple(value.shape) for key, value in generator.items() if value.ndim == 4}
    assert shapes == {
        "main.0.weight": (100, 512, 4, 4),
        "main.3.weight": (512, 256, 4, 4),
        "main.6.weight": (256, 128, 4, 4),
        "main.9.weight": (128, 64, 4, 4),
        "main.12.weight": (64, 3, 4, 4),
    }
    assert {key for key in generator if "running_mean" in key} == {f"main.{i}.running_mean" for i in (1, 4, 7, 10)}
    shapes = {key: tuple(value.shape) for key, value in discriminator.items() if value.ndim == 4}
    assert shapes == {
        "main.0.weight": (64, 3, 4, 4),
        "main.2.weight": (128, 64, 4, 4),
        "main.5.weight": (256, 128, 4, 4),
        "main.8.weight": (512, 256, 4, 4),
        "main.11.weight": (1, 512, 4, 4),
    }
    assert {key for key in discriminator if "running_mean" in key} == {f"main.{i}.running_mean" for i in (3, 6, 9)}
    assert {key for key in generator if key.endswith("bias")} == {f"main.{i}.bias" for i in (1, 4, 7, 10)}
    assert {key for key in discriminator if key.endswith("bias")} == {f"main.{i}.bias" for i in (3, 6, 9)}


def test_initial_weights_have_the_standard_deviation_of_the_paper():
    torch.manual_seed(0)
    for network in (DCGANGenerator(RGB64), DCGANDiscriminator(RGB64)):
        for name, value in network.named_parameters():
            if value.ndim == 4 and value.numel() > 50_000:
                assert value.std().item() == pytest.approx(0.02, rel=0.02), name
                assert value.mean().item() == pytest.approx(0, abs=3e-4), name
            elif value.ndim == 1 and name.endswith("weight"):
                assert value.mean().item() == pytest.approx(1, abs=0.01), name
                assert value.std().item() == pytest.approx(0.02, rel=0.3), name
            elif name.endswith("bias"):
                assert not value.any(), name


@pytest.mark.parametrize("size", [16, 32, 64])
@pytest.mark.parametrize("channels", [1, 3])
def test_shapes_and_range(size, channels):
    torch.manual_seed(0)
    image = ImageSpec(size, channels)
    generator, discriminator = DCGANGenerator(image, width=4), DCGANDiscriminator(image, width=4)
    images = generator(generator.latent(3, torch.Generator().manual_seed(0)))
    assert images.shape == (3, channels, size, size)
    assert images.abs().max() <= 1
    assert discriminator(images).shape == (3,)


@pytest.mark.parametrize("size", [4, 8, 28, 40])
def test_sizes_that_doubling_cannot_reach_are_refused(size):
    with pytest.raises(ValueError, match=f"not {size}"):
        DCGANGenerator(ImageSpec(size, 1))


def test_loss_at_logits_zero_is_log_2_for_each_term():
    loss = NonSaturating(RGB64)
    turn = scripted_turn(lambda images: torch.zeros(len(images)), real=torch.zeros(5), fake=torch.zeros(5))
    terms = loss.discriminator(turn)
    assert [terms["real"].item(), terms["fake"].item()] == pytest.approx([math.log(2), math.log(2)])
    assert loss.generator(turn)["fake"].item() == pytest.approx(math.log(2))


def test_loss_is_binary_cross_entropy():
    loss = NonSaturating(RGB64)
    turn = scripted_turn(lambda images: images, real=torch.tensor([1.0, -3.0]), fake=torch.tensor([0.5, 2.0]))
    probability = lambda logit: 1 / (1 + math.exp(-logit))  # noqa: E731
    terms = loss.discriminator(turn)
    assert terms["real"].item() == pytest.approx(-(math.log(probability(1)) + math.log(probability(-3))) / 2)
    assert terms["fake"].item() == pytest.approx(-(math.log(1 - probability(0.5)) + math.log(1 - probability(2))) / 2)
    assert loss.generator(turn)["fake"].item() == pytest.approx(
        -(math.log(probability(0.5)) + math.log(probability(2))) / 2
    )


@pytest.fixture
def trainer():
    return small_trainer("dcgan", ImageSpec(16, 1), generator={"width": 4}, discriminator={"width": 4})


def test_discriminator_learns_first_then_the_generator(trainer):
    visits, terms = step_by_phase(trainer)
    assert [visit.phase for visit in visits] == ["discriminator", "generator"]
    assert visits[0].changed == names_of(trainer, "discriminator")
    assert visits[1].changed == names_of(trainer, "generator")
    assert set(terms) == {"discriminator.real", "discriminator.fake", "generator.fake"}


def test_generator_is_scored_on_the_same_fakes_by_the_updated_discriminator(trainer):
    calls = count_calls(trainer.generator)
    seen = []
    original = trainer.loss.generator

    def generator_phase(turn):
        weights = [p.detach().clone() for p in trainer.discriminator.parameters()]
        seen.append((turn.fake.detach().clone(), weights))
        return original(turn)

    before = [p.detach().clone() for p in trainer.discriminator.parameters()]
    trainer.loss.generator = generator_phase
    trainer.step()
    (fake, weights), *_ = seen
    assert len(calls) == 1
    assert all(not torch.equal(old, new) for old, new in zip(before, weights, strict=True))
    assert fake.shape == (4, 1, 16, 16)


def test_fresh_draws_new_fakes_for_the_generator():
    options = {"width": 4}
    trainer = small_trainer("dcgan", ImageSpec(16, 1), generator=options, discriminator=options, loss={"fresh": True})
    calls = count_calls(trainer.generator)
    visits, _ = step_by_phase(trainer)
    assert len(calls) == 2
    assert not torch.equal(visits[0].turn.latent, visits[1].turn.latent)
