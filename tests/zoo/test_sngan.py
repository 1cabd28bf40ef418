"""SNGAN and cGAN-PD against sngan_projection and kwotsin/mimicry: counts, golden values, losses, order of steps."""

import math

import pytest
import torch
from golden_values import close, converted, golden, under
from stepping import count_calls, count_parameters, names_of, part, scripted_turn, small_trainer, step_by_phase

from ganzoo import ImageSpec
from ganzoo.networks import dequantized
from ganzoo.registry.registry import registry
from ganzoo_plugins.sngan.layouts import MimicryProjection, MimicrySNGAN
from ganzoo_plugins.sngan.model import SNGAN

COLOUR32, COLOUR64 = ImageSpec(32, 3), ImageSpec(64, 3)
SMALL = {"generator": {"width": 2, "latent_dim": 6}, "discriminator": {"width": 2}}
VARIANTS = {"sngan": 0, "sndcgan": 0, "cgan-pd": 3}
LAYOUTS = {"mimicry-sngan-32": MimicrySNGAN, "mimicry-sngan-64": MimicrySNGAN, "mimicry-cgan-pd-32": MimicryProjection}


def counts(name, image, **options):
    with torch.device("meta"):
        return count_parameters(part("generators", name, image)), count_parameters(
            part("discriminators", name, image, **options)
        )


@pytest.mark.parametrize(
    ("image", "expected"),
    [
        (COLOUR32, (4_276_739, 1_053_825)),
        (COLOUR64, (12_220_675, 10_141_441)),
        (ImageSpec(32, 3, 10), (4_304_387, 1_055_105)),
    ],
)
def test_counts_are_those_of_mimicry_and_the_official_discriminator_lacks_one_bias(image, expected):
    assert counts("sngan", image, bias=True) == expected
    assert counts("sngan", image)[1] == expected[1] - (image.size == 32)


def test_counts_of_the_plain_networks_follow_the_papers_table():
    generator = (
        128 * 512 * 16
        + 512 * 16
        + 512 * 256 * 16
        + 256 * 128 * 16
        + 128 * 64 * 16
        + 3 * (256 + 128 + 64)
        + 64 * 3 * 9
        + 3
    )
    widths = [3, 64, 64, 128, 128, 256, 256, 512]
    kernels = [3, 4, 3, 4, 3, 4, 3]
    discriminator = sum(a * b * k * k + b for a, b, k in zip(widths, widths[1:], kernels, strict=False)) + 512 * 16 + 1
    assert counts("sndcgan", COLOUR32) == (generator, discriminator)
    other = part("discriminators", "sndcgan", COLOUR32, width=4, order="compare-gan").main
    assert [layer.out_channels for layer in other if hasattr(layer, "out_channels")] == [4, 8, 8, 16, 16, 32, 32]


@pytest.mark.parametrize("name", LAYOUTS)
def test_networks_give_what_mimicry_gives(name):
    tensors = golden(name)
    layout, label = LAYOUTS[name](), tensors.get("label")
    generator, discriminator = (converted(layout, tensors, role) for role in ("generator", "discriminator"))
    with torch.no_grad():
        assert close(generator.eval()(tensors["latent"], label), tensors["drawn"])
        assert close(generator.train()(tensors["latent"], label), tensors["drawn_in_training"])
        for number in (0, 1):
            assert close(discriminator(tensors["images"], label), tensors[f"logits.{number}"]), (
                "the second pass has moved the vectors"
            )
    theirs = under(tensors, "after")
    vectors = layout.convert(
        under(tensors, "discriminator") | theirs, layout.recognize(shapes(tensors, "discriminator"))
    )
    ours = discriminator.state_dict()
    compared = [key for key in ours if key.endswith(".u")]
    assert len(compared) == len(theirs) and all(close(ours[key], vectors[key]) for key in compared)


def shapes(tensors, role):
    return {name: tuple(value.shape) for name, value in under(tensors, role).items()}


@pytest.mark.parametrize("role", ["generator", "discriminator"])
@pytest.mark.parametrize("name", LAYOUTS)
def test_what_is_not_quite_mimicry_is_not_recognized(name, role):
    layout, found = LAYOUTS[name](), shapes(golden(name), role)
    other = MimicrySNGAN() if "pd" in name else MimicryProjection()
    assert layout.recognize(found) is not None and other.recognize(found) is None
    assert layout.recognize({**found, "extra": (3,)}) is None
    for missing in [name for name in found if not name.endswith(("weight_v", "sn_sigma"))][::9]:
        assert layout.recognize({key: shape for key, shape in found.items() if key != missing}) is None, missing


@pytest.mark.parametrize("name", VARIANTS)
@pytest.mark.parametrize("channels", [1, 3])
def test_shapes_and_range(name, channels):
    torch.manual_seed(0)
    variant, classes = registry().get("variants", name), VARIANTS[name]
    label = torch.tensor([0, 2, 1]) if classes else None
    for size in variant.sizes:
        image = ImageSpec(size, channels, classes)
        generator = part("generators", variant.generator.name, image, **SMALL["generator"])
        images = generator(generator.latent(3, torch.Generator().manual_seed(0)), label)
        assert images.shape == (3, channels, size, size) and images.abs().max() <= 1 and images.min() < 0 < images.max()
        assert part("discriminators", variant.discriminator.name, image, **SMALL["discriminator"])(
            images, label
        ).shape == (3,)


def test_images_that_the_networks_are_not_made_for_are_refused():
    for kind in ("generators", "discriminators"):
        with pytest.raises(ValueError, match="16, 32, 64, 128, 256 pixels, not 48"):
            part(kind, "sngan", ImageSpec(48, 3))
        with pytest.raises(ValueError, match="multiple of 8"):
            part(kind, "sndcgan", ImageSpec(28, 1))


def test_initial_weights_are_glorots_with_a_gain_in_blocks():
    torch.manual_seed(0)
    generator, discriminator = (
        part("generators", "sngan", COLOUR32),
        part("discriminators", "sngan", ImageSpec(32, 3, 10)),
    )
    layers = {
        math.sqrt(2): [generator.blocks[1].convolution2, discriminator.blocks[2].convolution1],
        1.0: [
            generator.blocks[1].shortcut,
            generator.input[0],
            generator.output[2],
            discriminator.blocks[1].shortcut,
            discriminator.embedding,
        ],
    }
    for gain, found in layers.items():
        for layer in found:
            fan_in, fan_out = torch.nn.init._calculate_fan_in_and_fan_out(layer.weight)
            assert layer.weight.abs().max().item() == pytest.approx(gain * math.sqrt(6 / (fan_in + fan_out)), rel=0.02)
    for network in (generator, discriminator):
        assert not any(
            value.any() for name, value in network.named_parameters() if name.endswith("bias") and "norm" not in name
        )


def test_hinge_and_cross_entropy_by_hand():
    turn = scripted_turn(
        lambda images, label=None: images[:, 0, 0, 0],
        real=torch.tensor([2.0, 0.5, -1.0]).view(3, 1, 1, 1),
        fake=torch.tensor([-3.0, 0.0, 1.0]).view(3, 1, 1, 1),
        random_label=lambda: None,
    )
    hinge = SNGAN(COLOUR32, dequantize=False)
    terms = hinge.discriminator(turn)
    assert terms["real"].item() == pytest.approx((0 + 0.5 + 2) / 3) and terms["fake"].item() == pytest.approx(
        (0 + 1 + 2) / 3
    )
    assert hinge.generator(turn)["fake"].item() == pytest.approx(2 / 3)
    entropy = SNGAN(COLOUR32, objective="non-saturating", dequantize=False)
    terms = entropy.discriminator(turn)
    assert terms["real"].item() == pytest.approx(sum(math.log1p(math.exp(-r)) for r in (2.0, 0.5, -1.0)) / 3)
    assert terms["fake"].item() == pytest.approx(sum(math.log1p(math.exp(f)) for f in (-3.0, 0.0, 1.0)) / 3)
    assert entropy.generator(turn)["fake"].item() == pytest.approx(
        sum(math.log1p(math.exp(-f)) for f in (-3.0, 0.0, 1.0)) / 3
    )


def test_real_images_are_scaled_and_dequantized_as_in_the_official_code():
    values = torch.tensor([0.0, 100.0, 255.0]).view(1, 1, 1, 3)
    seen = dequantized(values / 127.5 - 1, torch.full((1, 1, 1, 3), 0.5))
    assert torch.allclose(seen, values / 128 - 1 + 0.5 / 128)


@pytest.mark.parametrize("name", VARIANTS)
def test_the_generator_steps_first_then_the_discriminator_and_with_residual_networks_five_times(name):
    times = 1 if name == "sndcgan" else 5
    trainer = small_trainer(name, ImageSpec(32, 1, VARIANTS[name]), **SMALL)
    calls = count_calls(trainer.discriminator)
    visits, terms = step_by_phase(trainer)
    assert [visit.phase for visit in visits] == ["generator"] + ["discriminator"] * times
    assert len(calls) == 1 + 2 * times and trainer.batches_taken == times, "labels of fakes take no real batch"
    assert len(visits[0].turn.latent) == (4 if name == "sndcgan" else 8)
    for visit in visits:
        assert visit.changed and visit.changed <= names_of(trainer, visit.phase)
    assert all(term.isfinite() for term in terms.values())


def test_fakes_have_labels_of_their_own_and_the_discriminator_is_told_them():
    trainer = small_trainer("cgan-pd", ImageSpec(32, 1, 3), batch_size=16, **SMALL)
    seen = []
    trainer.discriminator.register_forward_pre_hook(lambda module, arguments: seen.append(arguments[1]))
    drawn = []
    trainer.generator.register_forward_pre_hook(lambda module, arguments: drawn.append(arguments[1]))
    trainer.step()
    fakes, reals = [seen[0], *seen[2::2]], seen[1::2]
    assert all(torch.equal(told, made) for told, made in zip(fakes, drawn, strict=True))
    assert all(set(label.tolist()) == {0, 1, 2} for label in fakes) and not any(
        torch.equal(a, b) for a, b in zip(fakes[1:], reals, strict=True)
    )


def test_the_projection_adds_the_inner_product_of_features_and_class():
    torch.manual_seed(0)
    image = ImageSpec(32, 1, 3)
    discriminator = part("discriminators", "sngan", image, width=4).eval()
    images = torch.rand(2, 1, 32, 32)
    features = discriminator.blocks(images).sum((2, 3))
    zero, one = (discriminator(images, torch.tensor([number] * 2)) for number in (0, 1))
    table = discriminator.embedding(torch.arange(3))
    assert torch.allclose(one - zero, features @ (table[1] - table[0]), atol=1e-4)


def test_the_plain_networks_train_as_their_authors_command_says():
    variant = registry().get("variants", "sndcgan")
    training, options = variant.training, variant.loss.options
    assert (training.generator_lr, training.discriminator_lr, training.optimizer_options["betas"]) == (
        2e-4,
        2e-4,
        (0.5, 0.999),
    )
    assert (training.batch_size, training.steps, training.schedules, options["critic_steps"]) == (64, 100_000, {}, 1)


@pytest.mark.parametrize("role", ["generator", "discriminator"])
def test_mimicry_has_the_same_blocks_at_128_pixels(role):
    """Names and shapes of `sngan_128.py`, written out from its source, with 32 channels at most instead of 1024."""
    widths = [32, 32, 16, 8, 4, 2] if role == "generator" else [3, 2, 4, 8, 16, 32, 32]
    shapes: dict[str, tuple[int, ...]] = {}

    def layer(name, *shape, spectral=role == "discriminator"):
        shapes[f"{name}.weight_orig" if spectral else f"{name}.weight"] = shape
        shapes[f"{name}.bias"] = shape[:1]
        if spectral:
            shapes.update({f"{name}.weight_u": shape[:1], f"{name}.weight_v": (math.prod(shape[1:]),)})

    def norm(name, width):
        shapes.update({f"{name}.{part}": (width,) for part in ("weight", "bias", "running_mean", "running_var")})
        shapes[f"{name}.num_batches_tracked"] = ()

    for number, (inputs, outputs) in enumerate(zip(widths, widths[1:], strict=False)):
        block = f"block{number + (2 if role == 'generator' else 1)}"
        hidden = outputs if role == "generator" or number == 0 else inputs
        layer(f"{block}.c1", hidden, inputs, 3, 3)
        layer(f"{block}.c2", outputs, hidden, 3, 3)
        if (role, number) != ("discriminator", 5):
            layer(f"{block}.c_sc", outputs, inputs, 1, 1)
        if role == "generator":
            norm(f"{block}.b1", inputs)
            norm(f"{block}.b2", hidden)
    if role == "generator":
        layer("l1", 32 * 16, 128)
        norm("b7", 2)
        layer("c7", 3, 2, 3, 3)
    else:
        layer("l7", 1, 32)
    match = MimicrySNGAN().recognize(shapes)
    assert match is not None and (match.role, match.image, match.part.options["width"]) == (role, ImageSpec(128, 3), 2)
