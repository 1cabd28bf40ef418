"""The geometric GAN against lim0606/pytorch-geometric-gan: golden values, losses by hand, weight decay, order."""

import pytest
import torch
from golden_values import close, golden
from stepping import names_of, part, scripted_turn, small_trainer, step_by_phase
from torch import nn

from ganzoo import ImageSpec
from ganzoo.errors import PluginError
from ganzoo.registry.registry import registry
from ganzoo_plugins.geometric_gan.model import Geometric, last_weight

GREY32 = ImageSpec(32, 1)
SMALL = {"generator": {"width": 4, "latent_dim": 6}, "discriminator": {"width": 4}}


def official(tensors, kind, prefix):
    """Our network with the official parameters, which stand in the same order."""
    network = part(kind, "dcgan", GREY32, width=2, **({"latent_dim": 5} if kind == "generators" else {})).train()
    for number, parameter in enumerate(network.parameters()):
        parameter.data.copy_(tensors[f"{prefix}.{number}"])
    assert f"{prefix}.{number + 1}" not in tensors
    return network


def same(ours, tensors, prefix):
    return all(close(value, tensors[f"{prefix}.{number}"]) for number, value in enumerate(ours))


def test_one_iteration_is_the_official_one():
    tensors = golden("geometric-gan")
    generator, discriminator = (
        official(tensors, "generators", "theory.G"),
        official(tensors, "discriminators", "theory.D"),
    )
    loss, logits = Geometric(GREY32, decay=1 / 4), []

    def score(images):
        logits.append(discriminator(images))
        return logits[-1]

    fake = generator(tensors["theory.latent.0"].flatten(1)).detach()
    terms = loss.discriminator(
        scripted_turn(score, real=tensors["theory.real"], fake=fake, discriminator=discriminator)
    )
    assert close(logits[0], tensors["theory.outD_real"].flatten()) and close(
        logits[1], tensors["theory.outD_fake"].flatten()
    )
    for name in ("real", "fake"):
        assert terms[name].item() == pytest.approx(tensors[f"theory.errD_{name}"].item(), rel=1e-5)
    optimizer = torch.optim.RMSprop(discriminator.parameters(), lr=2e-4)
    sum(terms.values()).backward()
    last = len(list(discriminator.parameters())) - 1
    tensors[f"theory.D.gradient.{last}"] += (
        tensors[f"theory.D.{last}"] / 4
    )  # which the official optimizer adds to the gradient
    assert same([parameter.grad for parameter in discriminator.parameters()], tensors, "theory.D.gradient")
    optimizer.step()
    assert same(discriminator.parameters(), tensors, "theory.D.after")
    discriminator.requires_grad_(False)
    optimizer = torch.optim.RMSprop(generator.parameters(), lr=2e-4)
    for number in (1, 2):
        optimizer.zero_grad()
        for way in ("leaky", "theory")[number - 1 :]:
            generator.zero_grad()
            fake = generator(tensors[f"theory.latent.{number}"].flatten(1))
            term = Geometric(GREY32, leaky=way == "leaky").generator(scripted_turn(score, fake=fake))["fake"]
            assert term.item() == pytest.approx(tensors[f"{way}.errG.{number}"].item(), rel=1e-5, abs=1e-5)
            term.backward()
            assert same([parameter.grad for parameter in generator.parameters()], tensors, f"{way}.G.{number}.gradient")
        optimizer.step()
        assert same(generator.parameters(), tensors, f"theory.G.after.{number}")


def score_turn():
    network = nn.Sequential(nn.Linear(2, 3), nn.Linear(3, 1))
    network[1].weight.data = torch.tensor([[1.0, 2.0, -2.0]])
    return scripted_turn(
        lambda images: images,
        real=torch.tensor([0.5, 1.0, 3.0, -1.0]),
        fake=torch.tensor([0.0, 0.5, -2.0, 3.0]),
        discriminator=network,
    )


def test_terms_by_hand():
    loss = Geometric(GREY32)
    terms = loss.discriminator(score_turn())
    assert terms["real"].item() == pytest.approx((0.5 + 0 + 0 + 2) / 4)
    assert terms["fake"].item() == pytest.approx((1 + 1.5 + 0 + 4) / 4)
    assert terms["decay"].item() == pytest.approx(9 / 2 / 64)
    assert loss.generator(score_turn())["fake"].item() == pytest.approx(-1.5 / 4)
    leaky = Geometric(GREY32, leaky=True).generator(score_turn())["fake"]
    assert leaky.item() == pytest.approx((1 + 0.5 + 3 - 0.2) / 4)


def test_the_decay_is_the_optimizers_weight_decay_of_the_last_layer_alone():
    turn = score_turn()
    Geometric(GREY32, decay=0.5).discriminator(turn)["decay"].backward()
    first, last = turn.discriminator
    assert torch.equal(last.weight.grad, 0.5 * last.weight) and first.weight.grad is None and last.bias.grad is None
    discriminator = part("discriminators", "dcgan", GREY32, width=4)
    assert (
        last_weight(discriminator)
        is [layer for layer in discriminator.modules() if isinstance(layer, nn.Conv2d)][-1].weight
    )
    with pytest.raises(PluginError, match="last layer"):
        last_weight(nn.BatchNorm2d(3))


def test_the_generator_steps_ten_times_with_fresh_latents():
    trainer = small_trainer("geometric-gan", GREY32, **SMALL)
    visits, terms = step_by_phase(trainer)
    assert [visit.phase for visit in visits] == ["discriminator"] + ["generator"] * 10
    assert len({visit.turn.latent.sum().item() for visit in visits}) == 11 and trainer.batches_taken == 1
    for visit in visits:
        assert visit.changed and visit.changed <= names_of(trainer, visit.phase)
    assert all(term.isfinite() for term in terms.values())


def test_the_card_is_the_script():
    variant = registry().get("variants", "geometric-gan")
    assert (variant.training.optimizer, variant.training.generator_lr, variant.training.batch_size) == (
        "rmsprop",
        2e-4,
        64,
    )
    assert (variant.generator.name, variant.discriminator.name) == ("dcgan", "dcgan")
