"""FastGAN: parameter counts of the port in projected-gan, its layers, what the loss asks, and a step."""

from itertools import count

import pytest
import torch
from golden.from_names import numbers
from golden_values import golden
from stepping import count_calls, count_parameters, names_of, scripted_turn, small_trainer, step_by_phase
from torch.nn import functional

from ganzoo import ImageSpec
from ganzoo_plugins.fastgan.discriminator import FastGANDiscriminator, quarter_of
from ganzoo_plugins.fastgan.generator import FastGANGenerator
from ganzoo_plugins.fastgan.layers import DoublingConvolution, GatedUnit, StoredVectors
from ganzoo_plugins.fastgan.loss import FastGAN

SMALL = {"generator": {"width": 2, "latent_dim": 4}, "discriminator": {"width": 4}}


@pytest.mark.parametrize(("blocks", "parameters"), [("heavy", 105_684_175), ("light", 79_354_307)])
def test_counts_of_the_generator_are_those_of_the_port_in_projected_gan(blocks, parameters):
    with torch.device("meta"):
        assert (
            count_parameters(FastGANGenerator(ImageSpec(256, 3), width=128, blocks=blocks, spherical=True))
            == parameters
        )


def name_in_the_port(name, heavy):
    """The port's name of one of our tensors: `blocks.1.0.convolution.weight` is `feat_16.1.weight_orig` there."""
    place, _, rest = name.partition(".")
    if place == "start":
        return "init.init.1." + rest.removeprefix("norm.") if "norm" in rest else "init.init.0.weight_orig"
    if place == "output":
        return "to_big.bias" if rest == "bias" else "to_big.weight_orig"
    step, _, rest = rest.partition(".")
    if place == "excitations":
        return f"se_{4 << int(step)}.{rest}_orig"
    layer, _, rest = rest.partition(".")
    kind, _, tensor = rest.partition(".")
    index = {"convolution": 1, "strength": 2, "norm": 3 if heavy else 2}[kind] + 4 * int(layer)
    ending = {"convolution": "weight_orig", "strength": "weight"}.get(kind, tensor)
    return f"feat_{8 << int(step)}.{index}.{ending}"


@pytest.mark.parametrize("blocks", ["heavy", "light"])
def test_images_are_those_of_the_port(blocks):
    network = FastGANGenerator(ImageSpec(128, 3), latent_dim=6, width=8, blocks=blocks, spherical=True)
    network.double().eval()
    state = network.state_dict()
    for name, value in state.items():
        if not name.endswith((".u", "num_batches_tracked", ".noise")):
            theirs = name_in_the_port(name, blocks == "heavy")
            values = torch.from_numpy(numbers(theirs, tuple(value.shape))).double()
            value.copy_(values.abs() + 0.5 if name.endswith("running_var") else values)
    for name, value in state.items():
        if name.endswith(".u"):
            weight = state[name.replace(".u", ".weight")]
            matrix = (weight.transpose(0, 1) if name == "start.u" else weight).flatten(1)
            value.copy_(torch.linalg.svd(matrix, full_matrices=False)[0][:, 0])
    layers = count()

    def noise(*shape):
        return torch.from_numpy(numbers(f"noise.{next(layers)}", (2, *shape))).double()

    with torch.no_grad():
        latent = torch.from_numpy(numbers("latent", (2, 1, 6)))[:, 0].double()
        images = network(latent, noise=noise)[:, :, ::8, ::8]
    assert next(layers) == (10 if blocks == "heavy" else 0)
    assert torch.allclose(images, golden("fastgan")[blocks].clamp(-1, 1), rtol=0, atol=1e-6)


@pytest.mark.parametrize("size", [4, 16])
def test_doubling_is_repeated_pixels_and_a_convolution(size):
    layer, images = DoublingConvolution(3, 4).eval(), torch.randn(2, 3, size, size)
    left, values, _ = torch.linalg.svd(layer.weight.detach().flatten(1))
    weight = layer.weight / values[0]
    layer.u.copy_(left[:, 0])  # from a random vector, power iterations are slow where two values are nearly the same
    layer.train()(images)
    expected = functional.conv2d(functional.interpolate(images, scale_factor=2.0), weight, padding=1)
    assert torch.allclose(layer.eval()(images), expected, atol=1e-5)


def test_gated_units_are_those_of_torch_and_twice_differentiable():
    x = torch.randn(2, 4, 3, 3, dtype=torch.float64, requires_grad=True)
    assert torch.equal(GatedUnit()(x), functional.glu(x, 1))
    assert torch.autograd.gradcheck(GatedUnit(), x) and torch.autograd.gradgradcheck(GatedUnit(), x)


@pytest.mark.parametrize(("size", "patches", "redrawn"), [(28, 32, 14), (32, 50, 16), (64, 50, 32), (256, 50, 128)])
def test_logits_of_patches_and_what_is_redrawn(size, patches, redrawn):
    network, images = FastGANDiscriminator(ImageSpec(size, 3), width=2), torch.rand(2, 3, size, size) * 2 - 1
    logits, pairs = network(images, part=torch.tensor([0, 3]))
    assert logits.shape == network(images).shape == (2, patches)
    assert all(ours.shape == truth.shape == (2, 3, redrawn, redrawn) for ours, truth in pairs)
    assert torch.allclose(pairs[0][1], functional.avg_pool2d(images, size // redrawn), atol=1e-6)
    lower_right = functional.interpolate(images[1:, :, size // 2 :, size // 2 :], (redrawn, redrawn), mode="area")
    assert torch.allclose(pairs[1][1][1:], lower_right)


def test_quarters():
    maps = torch.arange(16.0).view(1, 1, 4, 4).repeat(4, 1, 1, 1)
    assert quarter_of(maps, torch.arange(4))[:, 0, 0, 0].tolist() == [0, 2, 8, 10]


def test_margins_are_random_and_only_real_images_are_redrawn():
    asked = []

    def logits(images, part=None):
        asked.append(part)
        score = images.mean((1, 2, 3))[:, None].expand(-1, 5)
        return score if part is None else (score, [(images, torch.zeros_like(images))] * 3)

    turn = scripted_turn(logits, real=torch.full((2, 3, 8, 8), 0.5), generator=torch.nn.Identity())
    turn.fake, turn.uniform = torch.full((2, 3, 8, 8), -0.25), lambda *shape: torch.full((2, *shape), 0.5)
    terms = FastGAN(ImageSpec(32, 3), reconstruction=2.0).discriminator(turn)
    assert {name: term.item() for name, term in terms.items()} == pytest.approx(
        {"real": 0.9 - 0.5, "fake": 0.9 - 0.25, "reconstruction": 2 * 3 * 0.5}
    )
    assert asked[0].tolist() == [2, 2] and asked[1] is None


def test_a_step_trains_both_networks_on_one_generation():
    trainer = small_trainer("fastgan", ImageSpec(32, 3), 4, **SMALL)
    calls = count_calls(trainer.generator)
    visits, terms = step_by_phase(trainer)
    assert [visit.phase for visit in visits] == ["discriminator", "generator"] and len(calls) == 1
    assert visits[0].changed == names_of(trainer, "discriminator")
    assert visits[1].changed == names_of(trainer, "generator")
    assert all(torch.isfinite(torch.as_tensor(value)) for value in terms.values())


def test_noise_is_stored_in_evaluation_and_the_same_however_a_batch_is_split():
    generator = FastGANGenerator(ImageSpec(32, 1), latent_dim=4, width=2)
    for name, parameter in generator.named_parameters():
        if name.endswith("strength"):
            torch.nn.init.constant_(parameter, 0.5)
    latent = torch.randn(3, 4)
    assert not torch.equal(generator(latent), generator(latent))
    generator.eval()
    assert torch.allclose(generator(latent)[:1], generator(latent[:1]), atol=1e-6)
    assert not torch.equal(generator(latent), generator(latent, noise=lambda *shape: torch.zeros(3, *shape)))


def test_stored_vectors_are_those_of_torchs_spectral_normalization():
    ours = StoredVectors(3, 4, 3, bias=False)
    theirs = torch.nn.utils.spectral_norm(torch.nn.Conv2d(3, 4, 3, bias=False))
    theirs.load_state_dict({"weight_orig": ours.weight, "weight_u": ours.u.clone(), "weight_v": ours.v.clone()})
    images = torch.randn(2, 3, 5, 5)
    for training in (False, True, True, False):
        found, wanted = ours.train(training)(images), theirs.train(training)(images)
        assert torch.allclose(found, wanted, atol=1e-6) and torch.allclose(ours.v, theirs.weight_v, atol=1e-6)
    ours.train()(images).sum().backward()
    theirs.train()(images).sum().backward()
    assert torch.allclose(ours.weight.grad, theirs.weight_orig.grad, atol=1e-5)


def test_a_generator_with_stored_vectors_trains_and_draws():
    generator = FastGANGenerator(ImageSpec(32, 3), latent_dim=4, width=2, stored_vectors=True)
    before = {name: value.clone() for name, value in generator.named_buffers() if name.endswith(".v")}
    assert len(before) == sum(name.endswith(".u") for name, _ in generator.named_buffers())
    generator(torch.randn(2, 4)).sum().backward()
    assert all(not torch.equal(value, generator.state_dict()[name]) for name, value in before.items())
