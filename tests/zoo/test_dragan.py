"""DRAGAN against its notebook: golden values, counts, initialization, perturbation, penalty, order and settings."""

import math

import pytest
import torch
from paths import GOLDEN
from safetensors.torch import load_file
from stepping import count_parameters, names_of, part, scripted_turn, small_trainer, step_by_phase
from torch import nn

from ganzoo import ImageSpec
from ganzoo.registry.registry import registry
from ganzoo_plugins.dragan.model import DRAGAN, perturbed

GREY28 = ImageSpec(28, 1)
SMALL = {"generator": {"width": 4}, "discriminator": {"width": 4}}


def fill(layers, golden, *names):
    for layer, name in zip(layers, names, strict=True):
        layer.weight.data, layer.bias.data = golden[f"{name}_W"].T.contiguous(), golden[f"{name}_b"]


def linear_layers(module):
    return [layer for layer in module.modules() if isinstance(layer, nn.Linear)]


def test_networks_losses_and_penalty_are_the_notebooks():
    golden, image = load_file(GOLDEN / "dragan.safetensors"), ImageSpec(4, 1)
    generator = part("generators", "dragan", image, latent_dim=3, width=6)
    discriminator = part("discriminators", "dragan", image, width=6)
    fill(linear_layers(generator), golden, "g_1", "g_2")
    fill(linear_layers(discriminator), golden, "d_1", "d_2")
    fake, real = generator(golden["z"]), golden["real"].view(-1, 1, 4, 4) * 2 - 1
    torch.testing.assert_close((fake.flatten(1) + 1) / 2, golden["fake"], rtol=0, atol=1e-5)
    torch.testing.assert_close(discriminator(real), golden["logits_real"], rtol=0, atol=1e-5)
    drawn = {(1, 4, 4): golden["noise"].view(-1, 1, 4, 4), (1, 1, 1): golden["alpha"].view(-1, 1, 1, 1)}
    turn = scripted_turn(discriminator, real=real, fake=fake, uniform=lambda *shape: drawn[shape])
    loss = DRAGAN(image, **registry().get("variants", "dragan").loss.options)
    terms = loss.discriminator(turn)
    assert terms["penalty"].item() == pytest.approx(10 * golden["penalty"].item(), rel=1e-5)
    assert sum(terms.values()).item() == pytest.approx(golden["disc_cost"].item(), rel=1e-5)
    assert loss.generator(turn)["fake"].item() == pytest.approx(golden["gen_cost"].item(), abs=1e-5)


def test_counts_are_those_of_the_notebook():
    assert count_parameters(part("generators", "dragan", GREY28)) == 100 * 128 + 128 + 128 * 784 + 784
    assert count_parameters(part("discriminators", "dragan", GREY28)) == 784 * 128 + 128 + 128 + 1
    widths = [3, 64, 128, 256, 512]
    convolutions = sum(16 * a * b + b for a, b in zip(widths, widths[1:], strict=False)) + 16 * 512 + 1
    assert count_parameters(part("discriminators", "dragan-dcgan", ImageSpec(64, 3))) == convolutions


def test_weights_are_normal_with_the_notebooks_deviation():
    torch.manual_seed(0)
    for kind in ("generators", "discriminators"):
        for layer in linear_layers(part(kind, "dragan", GREY28)):
            assert layer.weight.std().item() == pytest.approx(math.sqrt(2 / layer.in_features), rel=0.15)
            assert not layer.bias.any()
    for layer in part("discriminators", "dragan-dcgan", ImageSpec(32, 1)).main:
        if isinstance(layer, nn.Conv2d):
            assert layer.weight.std().item() == pytest.approx(0.02, rel=0.1) and not layer.bias.any()


def test_pixels_only_grow_by_the_deviation_of_the_whole_minibatch():
    images = torch.tensor([[[[0.0]]], [[[2.0]]]])
    assert perturbed(images, torch.zeros(2, 1, 1, 1), 0.5).flatten().tolist() == [0, 2]
    assert perturbed(images, torch.ones(2, 1, 1, 1), 0.5).flatten().tolist() == [0.5, 2.5], "σ is 1, not √2"


def test_penalty_of_a_linear_discriminator_is_the_distance_of_its_slope_from_one():
    slope = torch.zeros(16)
    slope[3], slope[7] = 3.0, 4.0
    random = torch.Generator().manual_seed(0)
    draw = lambda *shape: torch.rand(6, *shape, generator=random)  # noqa: E731
    turn = scripted_turn(lambda x: x.flatten(1) @ slope, real=draw(1, 4, 4), fake=draw(1, 4, 4), uniform=draw)
    assert DRAGAN(GREY28).discriminator(turn)["penalty"].item() == pytest.approx(10 * (5 - 1) ** 2, rel=1e-5)
    assert DRAGAN(GREY28, penalty=2, unit_range=True).discriminator(turn)["penalty"].item() == pytest.approx(
        2 * (10 - 1) ** 2, rel=1e-5
    )


def test_a_discriminator_that_is_flat_somewhere_is_no_reason_for_nan():
    weight = torch.zeros(16, requires_grad=True)
    turn = scripted_turn(lambda x: x.flatten(1) @ weight, real=torch.rand(2, 1, 4, 4), fake=torch.rand(2, 1, 4, 4))
    turn.uniform = lambda *shape: torch.rand(2, *shape)
    terms = DRAGAN(GREY28).discriminator(turn)
    assert terms["penalty"].item() == pytest.approx(10, rel=1e-4)
    sum(terms.values()).backward()
    assert weight.grad.isfinite().all()


def test_latents_are_uniform_from_minus_one_to_one():
    generator = part("generators", "dragan", GREY28, width=2)
    latent = generator.latent(200, torch.Generator().manual_seed(0))
    assert latent.abs().max() <= 1 and latent.var().item() == pytest.approx(1 / 3, rel=0.03)
    assert torch.equal(generator.truncate(latent, 0.25), latent * 0.25) and torch.equal(
        generator.truncate(latent, 3.0), latent
    )
    assert torch.equal(generator.interpolate(torch.zeros(1, 100), torch.ones(1, 100), 0.25), torch.full((1, 100), 0.25))


@pytest.mark.parametrize("name", ["dragan", "dragan-dcgan"])
@pytest.mark.parametrize("channels", [1, 3])
def test_discriminator_learns_first_then_the_generator_on_fresh_latents(name, channels):
    for size in registry().get("variants", name).sizes:
        trainer = small_trainer(name, ImageSpec(size, channels), **SMALL)
        visits, terms = step_by_phase(trainer)
        assert [visit.phase for visit in visits] == ["discriminator", "generator"]
        assert not torch.equal(visits[0].turn.latent, visits[1].turn.latent) and trainer.batches_taken == 1
        for visit in visits:
            assert visit.changed and visit.changed <= names_of(trainer, visit.phase)
        assert set(terms) == {"discriminator.real", "discriminator.fake", "discriminator.penalty", "generator.fake"}
        assert all(term.isfinite() for term in terms.values())
        images = trainer.generator(trainer.generator.latent(3, torch.Generator().manual_seed(0)))
        assert images.shape == (3, channels, size, size) and images.abs().max() <= 1


def test_the_discriminator_looks_at_each_image_alone():
    for module in part("discriminators", "dragan-dcgan", ImageSpec(32, 1), width=2).modules():
        assert not isinstance(module, nn.BatchNorm2d)
    with pytest.raises(ValueError, match="128 ... pixels, not 28"):
        part("discriminators", "dragan-dcgan", GREY28)


def test_settings_are_the_notebooks():
    training = registry().get("variants", "dragan").training
    assert (training.optimizer, training.batch_size, training.optimizer_options["betas"]) == ("adam", 128, (0.5, 0.9))
    assert (training.generator_lr, training.discriminator_lr, training.steps) == (1e-4, 1e-4, 200_000)
