"""StyleGAN3 against NVlabs/stylegan3 and the official counts; its filters, its equivariance, its loss, its layout."""

import math

import pytest
import torch
from golden_values import close, converted, golden, under
from stepping import count_parameters, part, scripted_turn, small_trainer
from torch.nn import functional
from torch.nn.functional import softplus

from ganzoo import ImageSpec, Part
from ganzoo.config.settings import resolve
from ganzoo.engine.build import build_part
from ganzoo.errors import CheckpointError
from ganzoo.registry.registry import registry
from ganzoo_plugins.stylegan3 import filters
from ganzoo_plugins.stylegan3.filters import blurred, low_pass
from ganzoo_plugins.stylegan3.generator import StyleGAN3Generator, signals
from ganzoo_plugins.stylegan3.layers import AliasFreeLayer, ToImage
from ganzoo_plugins.stylegan3.layouts import NVlabs3, base_of, official
from ganzoo_plugins.stylegan3.loss import BlurredLogistic

IMAGE = ImageSpec(16, 3)
SMALL = {"channel_base": 64, "width": 6, "latent_dim": 6, "layers": 4}
R = {"kernel": 1, "radial": True}


# -- counts and cards --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "size", "base", "count"),
    [
        ("stylegan3-t", 64, 16384, 32_300_555),
        ("stylegan3-t", 128, 16384, 27_034_685),
        ("stylegan3-t", 256, 16384, 23_320_443),
        ("stylegan3-t", 256, 32768, 28_472_133),
        ("stylegan3-t", 512, 32768, 24_873_519),
        ("stylegan3-t", 1024, 32768, 22_313_167),
        ("stylegan3-r", 256, 32768, 15_779_565),
    ],
)
def test_counts_are_the_official_ones(name, size, base, count):
    found = resolve(registry().get("variants", name), (f"generator.channel_base={base}",), registry())
    with torch.device("meta"):
        assert count_parameters(build_part(found.parts["generator"], ImageSpec(size, 3))) == count


def test_the_table_of_layers_is_the_official_one():
    found = [(signal.size, signal.channels) for signal in signals(256, 14, 2, 16384, 512)]
    assert [size for size, _ in found] == [36, 36, 36, 52, 52, 84, 84, 148, 148, 148, 276, 276, 276, 256, 256]
    assert [channels for _, channels in found[7:14]] == [362, 256, 181, 128, 91, 64, 64]


def test_the_penalty_grows_with_the_pixels_and_the_blur_fades():
    gammas = {size: part("losses", "blurred-logistic", ImageSpec(size, 3)).gamma for size in (128, 256, 512, 1024)}
    assert gammas == {128: 0.5, 256: 2, 512: 8, 1024: 32}
    card = registry().get("variants", "stylegan3-r")
    fading = card.training.schedules["loss.blur"]
    assert card.loss.options == {"blur": 10.0} and (fading.from_value, fading.to_value) == (10, 0)
    assert fading.to_fraction * card.training.steps * card.training.batch_size == 200_000


# -- against NVlabs ----------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module", params=["t", "r"])
def official_run(request):
    """The stored numbers of one network in float64, and ours with its weights."""
    stored = under(golden("stylegan3"), request.param)
    options = {"conv_clamp": 2.0} if request.param == "t" else {}
    layout = NVlabs3()
    match = layout.configured(layout.recognize(shapes_of(under(stored, "generator"))), {"options": options})
    network = converted(layout, stored, "generator")
    for layer in network.modules():
        if isinstance(layer, AliasFreeLayer | ToImage):
            layer.limit = match.part.options["limit"]
    return {name: value.double() for name, value in stored.items()}, network.double()


LABEL = torch.tensor([0, 2])


def shapes_of(tensors):
    return {name: tuple(value.shape) for name, value in tensors.items()}


@pytest.fixture(params=[256, 1], ids=["matrices", "convolutions"])
def either_way(request, monkeypatch):
    """Sides from which filters are convolutions: none or all of these."""
    monkeypatch.setattr(filters, "MATRIX_SIDE", request.param)


def test_images_are_the_official_ones(official_run, either_way):
    stored, network = official_run
    network.eval()
    with torch.no_grad():
        assert close(network(stored["latent"], LABEL), stored["images"].clamp(-1, 1))
        styles = network.truncate(network.mapping(stored["latent"], LABEL), 0.7)
        assert close(network.synthesis(styles), stored["truncated"].clamp(-1, 1))


def test_gradients_and_second_derivatives_are_the_official_ones(official_run, either_way):
    stored, network = official_run
    network.eval()
    styles = network.mapping(stored["latent"], LABEL)
    images = network.synthesis(styles)
    assert images.abs().max() < 1, "or they would be clamped"
    loss = (images * stored["noise"]).sum()
    compare(network, torch.autograd.grad(loss, list(network.parameters()), retain_graph=True), under(stored, "slope"))
    (slope,) = torch.autograd.grad(loss, styles, create_graph=True)
    lengths = slope.square().sum(2).mean(1).sqrt()
    assert close(lengths, stored["lengths"])
    found = torch.autograd.grad(lengths.square().mean(), list(network.parameters()), allow_unused=True)
    compare(network, found, under(stored, "path"))


def compare(network, gradients, wanted):
    names = [official(name, network) for name, _ in network.named_parameters()]
    assert wanted.keys() <= set(names)
    for name, found in zip(names, gradients, strict=True):
        if found is None:
            assert not wanted.get(name, torch.zeros(())).any(), name
        else:
            assert close(found, wanted[name]), name


def test_training_moves_magnitudes_and_the_mean_style_as_officially(official_run):
    stored, network = official_run
    before = {name: value.clone() for name, value in network.state_dict().items()}
    with torch.no_grad():
        assert close(network.train()(stored["latent"], LABEL), stored["trained"])
    moved = under(stored, "moved")
    after = {official(name, network): value for name, value in network.state_dict().items()}
    assert len(moved) == 8 and all(close(after[name], value) for name, value in moved.items())
    assert all((after[name] - stored[f"generator.{name}"]).abs().max() > 1e-6 for name in moved)
    network.load_state_dict(before)


# -- filters and equivariance ------------------------------------------------------------------------------------------


def test_filters_pass_their_band_and_stop_what_is_beyond():
    taps = low_pass(24, 4.0, 4.0, 64.0)
    assert taps.sum() == pytest.approx(1.0) and torch.allclose(taps, taps.flip(0))
    response = torch.fft.rfft(functional.pad(taps, (0, 1000))).abs()
    frequencies = torch.linspace(0, 32, len(response))
    assert (response[frequencies < 1] - 1).abs().max() < 0.05
    assert response[frequencies > 9].max() < 0.02
    assert response[(frequencies - 4).abs().argmin()] == pytest.approx(0.5, abs=0.02)


def test_radial_filters_are_the_same_in_every_direction():
    taps = low_pass(25, 8.0, 6.0, 64.0, radial=False)
    disc = low_pass(24, 8.0, 6.0, 64.0, radial=True)
    assert taps.shape == (25,) and disc.shape == (24, 24)
    assert torch.allclose(disc, disc.t()) and torch.allclose(disc, disc.flip(0)) and disc.sum() == pytest.approx(1.0)
    place = torch.arange(24) - 11.5
    straight = (disc * torch.cos(2 * math.pi * 8 / 64 * place)).sum()
    oblique = (disc * torch.cos(2 * math.pi * 8 / 64 * (place + place[:, None]) / math.sqrt(2))).sum()
    assert straight == pytest.approx(oblique.item(), abs=0.02)


@pytest.mark.parametrize("options", [{}, R])
def test_images_move_with_the_fourier_features(options):
    """By whole pixels, and for -r by a quarter turn."""
    torch.manual_seed(0)
    options = {**SMALL, "width": 16, "channel_base": 256, **options}
    generator = part("generators", "stylegan3", ImageSpec(32, 3), **options).eval()
    style = generator.mapping(torch.randn(2, 6))
    with torch.no_grad():
        before = generator.synthesis(style)
        generator.input.transform[:2, 2] = torch.tensor([-4 / 32, 2 / 32])
        after = generator.synthesis(style)
        difference = after[:, :, 4:-8, 10:-4] - before[:, :, 6:-6, 6:-8]
        assert difference.square().mean() < 1e-3 * before.var()
        generator.input.transform.copy_(torch.tensor([[0.0, 1.0, 0.0], [-1.0, 0.0, 0.0], [0.0, 0.0, 1.0]]))
        turned = generator.synthesis(style)
        errors = [(turned - torch.rot90(before, turns, (2, 3))).square().mean() / before.var() for turns in (1, -1)]
    if options.get("radial"):
        assert min(errors) < 1e-3
    else:
        assert min(errors) > 0.1


# -- the generator -----------------------------------------------------------------------------------------------------


def test_an_image_does_not_depend_on_the_rest_of_its_batch():
    torch.manual_seed(0)
    generator = part("generators", "stylegan3", ImageSpec(16, 3, 3), **SMALL).eval()
    latent, label = torch.randn(3, 6), torch.tensor([0, 1, 2])
    with torch.no_grad():
        together = generator(latent, label)
        alone = torch.cat([generator(one[None], kind[None]) for one, kind in zip(latent, label, strict=True)])
        assert torch.allclose(together, alone, atol=1e-6) and together.abs().max() <= 1
        assert not torch.allclose(generator(latent, label.flip(0)), together)


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"channel_base": 2}, "leave no channel"),
        ({"layers": 2}, "layers must be more than critical"),
        ({"kernel": 2}, "kernel 1 or 3"),
    ],
)
def test_what_cannot_be_built_is_refused(options, says):
    with pytest.raises(ValueError, match=says):
        part("generators", "stylegan3", IMAGE, **{**SMALL, **options})
    with pytest.raises(ValueError, match="not 28"):
        part("generators", "stylegan3", ImageSpec(28, 1), **SMALL)
    with pytest.raises(ValueError, match="blur at least 0"):
        part("losses", "blurred-logistic", IMAGE, blur=-1.0)


# -- the loss ----------------------------------------------------------------------------------------------------------


def test_blurring_spreads_a_pixel_and_keeps_its_sum():
    images = torch.zeros(1, 2, 15, 15)
    images[:, :, 7, 7] = 1
    assert blurred(images, 0.3) is images
    found = blurred(images, 2.0)
    assert found.sum((2, 3)).tolist() == [[pytest.approx(1.0)] * 2]
    assert found[0, 0, 7, 9] / found[0, 0, 7, 7] == pytest.approx(0.5) and found[0, 0, 7, 14] == 0


def test_every_image_is_blurred_before_the_discriminator_and_r1_is_of_the_sharp_ones():
    loss = BlurredLogistic(IMAGE, gamma=2.0, r1_every=4, blur=2.0)
    real, fake = torch.rand(2, 3, 16, 16), torch.rand(2, 3, 16, 16)
    weight, known = torch.randn(3, 16, 16), []

    def logits(images, stands_for=None):
        known.append(stands_for)
        return (images * weight).sum((1, 2, 3))

    turn = scripted_turn(None, real=real, fake=fake)
    turn.logits = logits
    found = loss.discriminator(turn) | loss.generator(turn)
    scores = {"real": -logits(blurred(real, 2.0)), "fake": logits(blurred(fake, 2.0))}
    assert found["real"].item() == pytest.approx(softplus(scores["real"]).mean().item())
    assert found["fake"].item() == pytest.approx(softplus(-scores["fake"]).mean().item())
    assert known[:3] == ["real", "fake", "fake"]
    slope = blurred(weight[None], 2.0).square().sum()  # the blur is its own transpose
    assert loss.r1(turn)["penalty"].item() == pytest.approx((4 * 2.0 / 2 * slope).item(), rel=1e-4)


def test_a_run_starts_blurred_and_is_sharp_soon_after():
    options = {"generator": {**SMALL, **R}, "discriminator": {"channel_base": 64, "width": 8}}
    training = small_trainer("stylegan3-r", IMAGE, 2, **options, steps=1000)
    terms = training.step()
    assert {"r1.penalty", "generator.fake", "discriminator.real"} <= set(terms)
    assert all(term.isfinite() for term in terms.values()) and training.loss.blur == 10
    training.step_number = 4
    training.step()
    assert training.loss.blur == pytest.approx(5.0)
    training.step_number = 8
    training.step()
    assert training.loss.blur == 0


# -- the layout --------------------------------------------------------------------------------------------------------


def shapes_here():
    return shapes_of(under(golden("stylegan3"), "t.generator"))


def test_the_layout_says_what_the_weights_are():
    found = NVlabs3().recognize(shapes_here())
    assert found.image == ImageSpec(32, 3, 3)
    assert found.part == Part(
        "stylegan3",
        {
            "latent_dim": 6,
            "style_dim": 5,
            "mapping_layers": 2,
            "channel_base": 128,
            "width": 12,
            "layers": 6,
            "kernel": 3,
            "radial": False,
            "limit": 256.0,
        },
    )
    assert NVlabs3().recognize({"b4.conv.weight": (8, 9, 3, 3)}) is None


def test_the_base_of_the_channels_follows_from_them():
    for base, width, size in ((16384, 512, 64), (32768, 512, 1024), (65536, 1024, 256), (3000, 100, 128)):
        every = signals(size, 14, 2, base, width)[:-1]
        found = base_of([signal.channels for signal in every], [signal.cutoff for signal in every])
        again = [signal.channels for signal in signals(size, 14, 2, found, width)]
        assert again == [signal.channels for signal in signals(size, 14, 2, base, width)]


@pytest.mark.parametrize("change", ["filter", "extra", "missing", "width", "embedding"])
def test_other_layers_of_the_family_are_named(change):
    shapes = shapes_here()
    if change == "filter":
        shapes["synthesis.L3_52_7.up_filter"] = (7,)
    elif change == "extra":
        shapes["synthesis.stem.weight"] = (3,)
    elif change == "missing":
        del shapes["synthesis.input.freqs"]
    elif change == "width":
        shapes["synthesis.L0_36_12.weight"] = (12, 12, 5, 5)
    else:
        shapes["mapping.embed_proj.weight"] = (5, 4)
    with pytest.raises(CheckpointError, match="StyleGAN3 of up to 32 pixels.*no variant"):
        NVlabs3().recognize(shapes)


@pytest.mark.parametrize(
    ("stated", "says"),
    [
        ({"img_resolution": 64}, "img_resolution 64"),
        ({"output_scale": 1}, "output_scale 1"),
        ({"synthesis_kwargs": {"num_critical": 1}}, "num_critical 1"),
        ({"use_radial_filters": True}, "use_radial_filters True"),
        ({"conv_clamp": -1}, "conv_clamp -1"),
        ({"mapping_kwargs": 3}, "mapping_kwargs 3"),
    ],
)
def test_options_that_contradict_the_network_are_refused(stated, says):
    layout = NVlabs3()
    match = layout.recognize(shapes_here())
    fine = {"z_dim": 6, "mapping_kwargs": {"num_layers": 2}, "conv_clamp": None, "magnitude_ema_beta": 0.9}
    found = layout.configured(match, {"options": {**fine, "colour": "blue"}})
    assert found.part.options["limit"] is None and "states colour, not read" in found.note
    with pytest.raises(CheckpointError, match=f"it states {says}"):
        layout.configured(match, {"options": stated})


# -- StyleGAN-XL -------------------------------------------------------------------------------------------------------


def test_classes_have_mean_styles_of_their_own():
    generator = StyleGAN3Generator(ImageSpec(16, 3, 3), **{**SMALL, "class_features": 4})
    latent, label = torch.randn(3, 6), torch.tensor([2, 0, 2])
    styles = generator.mapping(latent, label)
    means = generator.mean_style
    assert torch.allclose(means[0], 0.002 * styles[1, 0], atol=1e-6) and not means[1].any()
    assert torch.allclose(means[2], 0.002 * (styles[0, 0] + styles[2, 0]), rtol=1e-2, atol=1e-6)
    moved = generator.truncate_classes(styles, 0.5, label)
    assert torch.allclose(moved, (styles + means[label][:, None]) / 2)
    assert torch.equal(generator.truncate_classes(styles, 0.5, None), generator.truncate(styles, 0.5))


@pytest.mark.parametrize(
    ("heads", "names"),
    [
        ({"head_factors": (2,)}, "one number for each head"),
        ({"head_factors": (3,), "head_layers": (4,)}, "factor of 2, 4, 8 or 16"),
        ({"head_factors": (2,), "head_layers": (2,)}, "more than critical"),
    ],
)
def test_heads_that_make_no_network_are_refused(heads, names):
    with pytest.raises(ValueError, match=names):
        StyleGAN3Generator(ImageSpec(32, 3), **SMALL, **heads)
