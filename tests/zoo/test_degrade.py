"""The condition `degrade`: each stage against its definition, the chain against the official one, and what is drawn."""

import io
import math

import numpy
import pytest
import torch
from golden.degrade import CHAINED, KERNELS, QUALITIES, SINCS
from golden_values import close, golden
from paths import ROOT
from PIL import Image
from torch.nn import functional
from translation import condition, load, noise

from ganzoo import Field, SampleSpec
from ganzoo.data import Batches
from ganzoo.registry.registry import registry
from ganzoo_plugins.conditions.degrade import Plan
from ganzoo_plugins.conditions.degrade_kernels import KINDS, blur_kernels, pulse, sinc_kernels
from ganzoo_plugins.conditions.degrade_stages import gaussian_noise, jpeg, photons, poisson_noise, resized

NUMBERS = golden("degrade")
MANY = 4000  # plans: shares of them are right to 4 standard deviations, at most 0.032


def build(channels=3, size=(64, 64), **options):
    return registry().get("conditions", "degrade")(SampleSpec(Field((channels, *size))), **options)


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def plans(count=MANY, **options):
    """Kernels and the columns of plans by name, of which `order2` are those of the second order."""
    drawn = build(**options).draw(count, seeded())
    return drawn["kernels"], Plan(*drawn["plan"].unbind(1))


def share(which):
    return float(which.float().mean())


def near(found, wanted):
    return abs(found - wanted) < 4 * math.sqrt(max(wanted * (1 - wanted), 1e-4) / MANY)


def filled(kernel):
    """A kernel with zeros around it up to 21 pixels."""
    reach = (21 - len(kernel)) // 2
    return functional.pad(kernel, (reach, reach, reach, reach))


def smooth_images(count):
    coarse = torch.rand(count, 3, 8, 8, generator=seeded()) * 2 - 1
    return functional.interpolate(coarse, size=(64, 64), mode="bicubic").clamp(-1, 1)


def one(*values):
    return [torch.tensor([value]) for value in values]


def bessel_j1(x):
    """J₁ by its integral, independent of torch's."""
    angle = (torch.arange(4000, dtype=torch.float64) + 0.5) * math.pi / 4000
    return torch.cos(angle - x[..., None] * angle.sin()).mean(-1)


@pytest.mark.parametrize("kind", KINDS)
def test_blur_kernels_are_those_of_the_official_code(kind):
    _, size, sigma_x, sigma_y, angle, *beta, isotropic = KERNELS[kind]
    found = blur_kernels(*one(KINDS.index(kind), size, sigma_x, sigma_y, angle, beta[0] if beta else 1.0))[0]
    assert close(found, filled(NUMBERS[f"kernel.{kind}"]).float())
    assert abs(found.sum() - 1) < 1e-6 and found.allclose(found.flip(0, 1), atol=1e-7)
    assert found.allclose(found.t(), atol=1e-7) == isotropic
    inside = filled(torch.ones(size, size, dtype=torch.bool))
    assert (found[~inside] == 0).all() and (found >= 0).all() and found.argmax() == 220


def test_isotropic_kernels_have_one_deviation_and_no_angle():
    for kind in (0, 2, 4):
        first = blur_kernels(*one(kind, 15, 1.3, 0.4, 0.7, 1.5))
        assert first.allclose(blur_kernels(*one(kind, 15, 1.3, 2.9, -1.0, 1.5)), atol=1e-7)
    assert blur_kernels(*one(2, 15, 1.3, 1.3, 0.0, 1.0)).allclose(blur_kernels(*one(0, 15, 1.3, 1.3, 0.0, 2.0)))


def test_an_anisotropic_kernel_is_turned_by_its_angle():
    flat, turned = (blur_kernels(*one(1, 21, 3.0, 0.8, angle, 1.0))[0].double() for angle in (0.0, math.pi / 2))
    places = torch.arange(21.0, dtype=torch.float64) - 10
    assert flat.allclose(turned.t(), atol=1e-6)
    assert (flat.sum(0) * places**2).sum().sqrt() == pytest.approx(3.0, rel=0.02)
    assert (flat.sum(1) * places**2).sum().sqrt() == pytest.approx(0.8, rel=0.02)


@pytest.mark.parametrize("name", SINCS)
def test_sinc_kernels_are_those_of_the_official_code(name):
    cutoff, size = SINCS[name]
    assert close(sinc_kernels(*one(cutoff, size))[0], filled(NUMBERS[f"kernel.{name}"]).float())


@pytest.mark.parametrize(("cutoff", "size"), [(math.pi / 5, 13), (1.0, 21), (2.0, 7), (math.pi, 9)])
def test_sinc_kernels_are_ideal_low_passes(cutoff, size):
    places = torch.arange(size, dtype=torch.float64) - size // 2
    radius = torch.hypot(places[:, None], places[None])
    wanted = torch.full_like(radius, cutoff**2 / (4 * math.pi))
    away = radius > 0
    wanted[away] = cutoff * bessel_j1(cutoff * radius[away]) / (2 * math.pi * radius[away])
    found = sinc_kernels(*one(cutoff, size))[0]
    assert close(found, filled(wanted / wanted.sum()).float())
    assert abs(found.sum() - 1) < 1e-6 and found.allclose(found.t(), atol=1e-7) and (found < 0).any()


def test_kernels_of_a_batch_are_those_of_each_image():
    drawn = [torch.tensor(values) for values in ([0, 3, 5], [7, 15, 21], [0.5, 2.0, 1.0], [1.0, 0.7, 3.0])]
    drawn += [torch.tensor([0.0, 1.0, 2.0]), torch.tensor([1.0, 0.6, 1.7])]
    whole = blur_kernels(*drawn)
    for place in range(3):
        assert whole[place].allclose(blur_kernels(*(part[place : place + 1] for part in drawn))[0], atol=1e-8)
    assert pulse().sum() == 1 and pulse()[10, 10] == 1


def test_jpeg_is_that_of_the_official_code():
    image = (NUMBERS["picture"] / 255)[None].expand(len(QUALITIES), -1, -1, -1)
    assert close(jpeg(image, torch.tensor(QUALITIES))[:, :, ::3, ::3], NUMBERS["jpeg"])


def emoji(mode):
    path = sorted((ROOT / "tests" / "fixtures" / "emoji" / "3d").glob("*.png"))[0]
    image = Image.open(path).convert("RGBA")
    white = Image.new("RGBA", image.size, "white")
    return Image.alpha_composite(white, image).convert(mode)


def tensor_of(image):
    return torch.from_numpy(numpy.array(image)).view(*image.size[::-1], -1).permute(2, 0, 1) / 255


def psnr(one, other):
    return float(-10 * torch.log10(((one - other) ** 2).mean()))


@pytest.mark.parametrize("quality", [30, 50, 75, 95])
@pytest.mark.parametrize("mode", ["RGB", "L"])
def test_jpeg_is_as_bad_as_pillows(mode, quality):
    """To within a decibel; Pillow rounds its tables, doubles colours smoothly, and its tables are not turned."""
    image = emoji(mode)
    file = io.BytesIO()
    image.save(file, "JPEG", quality=quality, subsampling=2 if mode == "RGB" else -1)
    theirs, image = tensor_of(Image.open(file)), tensor_of(image)
    ours = jpeg(image[None], torch.tensor([float(quality)]))[0]
    assert abs(psnr(ours, image) - psnr(theirs, image)) < 1
    assert psnr(ours, theirs) > psnr(theirs, image) - 0.5, "they are no further apart than each is from the image"


def test_jpeg_has_a_quality_for_each_image():
    images = tensor_of(emoji("RGB"))[None].expand(3, -1, -1, -1)
    whole = jpeg(images, torch.tensor([20.0, 60.0, 95.0]))
    assert psnr(whole[0], images[0]) + 2 < psnr(whole[1], images[0]) < psnr(whole[2], images[0]) - 2
    assert close(whole[1:2], jpeg(images[1:2], torch.tensor([60.0])))


def test_gaussian_noise_has_its_deviation_and_may_be_grey():
    images = torch.full((1, 3, 200, 200), 0.5)
    noise = gaussian_noise(images, 20.0, False, seeded()) - 0.5
    assert noise.std() * 255 == pytest.approx(20, rel=0.02) and abs(noise.mean()) < 1e-3
    assert abs(torch.corrcoef(noise[0].flatten(1))[0, 1]) < 0.03
    grey = gaussian_noise(images, 20.0, True, seeded()) - 0.5
    assert grey[:, 0].equal(grey[:, 2]) and grey.std() * 255 == pytest.approx(20, rel=0.02)
    dark = gaussian_noise(torch.zeros(1, 1, 50, 50), 60.0, False, seeded())
    assert dark.min() == 0 and share(dark == 0) == pytest.approx(0.5, abs=0.05)


def test_photon_noise_grows_with_light_and_is_scaled():
    levels = torch.arange(256.0).view(1, 1, 16, 16) / 255
    images = levels.repeat(1, 3, 12, 12)
    noise = poisson_noise(images, 0.5, False, seeded(1)) - images  # 256 levels: 256 photons
    noise = noise.view(3, 12, 16, 12, 16).transpose(2, 3)
    for level in (63, 127):
        there = noise[:, :, :, level // 16, level % 16]
        assert there.std() == pytest.approx(0.5 * math.sqrt(level / 255 / 256), rel=0.15)
    noise = poisson_noise(images, 0.5, True, seeded()) - images
    middle = (images > 0.2) & (images < 0.8)
    assert (noise[:, 0] - noise[:, 1])[middle[:, 0]].abs().max() < 1e-6, "grey noise is the same in all channels"
    assert abs(noise[middle].mean()) < 1e-3
    assert poisson_noise(torch.zeros(1, 3, 8, 8), 3.0, False, seeded()).abs().max() == 0


def test_photons_are_the_least_power_of_two_from_the_number_of_levels_on():
    counts = [1, 2, 3, 4, 5, 128, 129, 256]
    images = torch.stack([torch.arange(256.0).remainder(count).view(1, 16, 16) for count in counts])
    assert photons(images).flatten().tolist() == [1, 2, 4, 4, 8, 128, 256, 256]


def test_images_are_resized_without_antialiasing():
    image = torch.rand(1, 3, 20, 30, generator=seeded())
    for place, mode in enumerate(("area", "bilinear", "bicubic")):
        assert resized(image, place, scale=0.43).equal(functional.interpolate(image, scale_factor=0.43, mode=mode))
        assert resized(image, place, size=(7, 9)).equal(functional.interpolate(image, size=(7, 9), mode=mode))
        assert resized(image, place, scale=1.0) is image and resized(image, place, size=(20, 30)) is image


CHAINS = {
    "sinc first": Plan(15, 0.43, 0, 1, 0, 0, 40, 1, 9, 1.15, 1, 1, 0, 0, 63, 1, 21, 2),
    "JPEG first": Plan(15, 1.3, 2, 1, 0, 0, 80, 0, 9, 0.5, 0, 1, 0, 0, 35, 0, 21, 1),
}


@pytest.mark.parametrize("name", CHAINS)
def test_the_chain_is_that_of_the_official_code(name):
    """Rounded to bytes; a rounding in JPEG may turn out otherwise."""
    image = (NUMBERS["chain.picture"] / 127.5 - 1)[None]
    kernels = torch.stack([filled(NUMBERS[kernel]).float() for kernel in CHAINED])
    *_, (_, found) = build(size=(80, 64)).stages(image, kernels, CHAINS[name], seed=0)
    assert share((found[0] * 255 - NUMBERS[f"chain.{name}"]).abs() > 0.01) < 0.01


def test_stages_have_their_order():
    made = build()
    drawn = made.draw(1, seeded())
    image = torch.zeros(1, 3, 64, 64)

    def names(made, **changes):
        plan = Plan(*drawn["plan"][0].tolist())._replace(**changes)
        return [name for name, _ in made.stages(image, drawn["kernels"][0], plan, 0)]

    first = ["sharpened", "blurred", "resized", "noisy", "compressed"]
    second, last = ["resized again", "noisy again"], ["resized to its size", "filtered"]
    assert names(made, blur2=1, sinc_first=1) == [
        *first, "blurred again", *second, *last, "compressed again", "rounded",
    ]  # fmt: skip
    assert names(made, blur2=0, sinc_first=0) == [*first, *second, "compressed again", *last, "rounded"]
    assert names(build(second_order=False)) == [*first, "resized to its size", "rounded"]
    assert names(build(sharpen=False, second_order=False)) == [*first[1:], "resized to its size", "rounded"]


@pytest.mark.parametrize("factor", [1, 2, 3, 4, 8])
@pytest.mark.parametrize("channels", [1, 3])
def test_sources_are_bytes_of_their_size(channels, factor):
    made = build(channels, (48, 72), factor=factor)
    images = torch.rand(3, channels, 48, 72, generator=seeded()) * 2 - 1
    source = made.compute({"output": images}, made.draw(3, seeded()))["source"]
    assert source.shape == (3, *made.fields["source"].shape) == (3, channels, 48 // factor, 72 // factor)
    steps = (source + 1) * 127.5
    assert (steps - steps.round()).abs().max() < 1e-4 and source.abs().max() <= 1
    assert made.compute({"output": images[:0]}, made.draw(0, seeded()))["source"].shape == (0, *source.shape[1:])


def test_what_is_drawn_has_the_official_shares_and_ranges():
    kernels, plan = plans()
    assert sorted(plan.size.unique().tolist()) == list(range(7, 22, 2)) and near(share(plan.size == 7), 1 / 8)
    for order, ways, least, most in (("", (0.2, 0.7, 0.1), 0.15, 1.5), ("2", (0.3, 0.4, 0.3), 0.3, 1.2)):
        scale = getattr(plan, f"scale{order}")
        assert all(map(near, (share(scale > 1), share(scale < 1), share(scale == 1)), ways))
        assert least <= scale.min() < least + 0.01 and most - 0.01 < scale.max() <= most
        gaussian, level = getattr(plan, f"gaussian{order}") == 1, getattr(plan, f"noise{order}")
        deviation, scaling = (25, 2.5) if order else (30, 3)
        assert near(share(gaussian), 0.5) and near(share(getattr(plan, f"grey{order}")), 0.4)
        assert 1 <= level[gaussian].min() < 1.1 and deviation - 0.1 < level[gaussian].max() <= deviation
        assert 0.05 <= level[~gaussian].min() < 0.06 and scaling - 0.01 < level[~gaussian].max() <= scaling
        quality = getattr(plan, f"quality{order}")
        assert 30 <= quality.min() < 30.2 and 94.8 < quality.max() <= 95 and abs(quality.mean() - 62.5) < 1.2
    for mode in (plan.mode, plan.mode2, plan.mode3):
        assert all(near(share(mode == kind), 1 / 3) for kind in range(3))
    assert near(share(plan.blur2), 0.8) and near(share(plan.sinc_first), 0.5) and near(share(plan.sinc_size > 1), 0.8)
    assert (kernels.sum((2, 3)) - 1).abs().max() < 1e-5


def test_kinds_of_kernels_have_the_official_shares():
    kernels, plan = plans()
    for place, size in enumerate((plan.size, plan.size2)):
        drawn = kernels[:, place]
        assert near(share((drawn < 0).any(2).any(1)), 0.1), "only a sinc has negative weights"
        round_ = (drawn - drawn.transpose(1, 2)).abs().amax((1, 2)) < 1e-6
        assert near(share(round_), 0.1 + 0.9 * (0.45 + 0.12 + 0.12)) or near(share(~round_), 0.9 * 0.31)
        assert all((filled(torch.ones(int(one), int(one))) == 0)[kernel != 0].sum() == 0 for kernel, one in zip(
            drawn[:200], size[:200], strict=True))  # fmt: skip
    assert (kernels[plan.sinc_size == 1][:, 2] == pulse()).all()
    same = [
        abs(float(torch.corrcoef(torch.stack(pair))[0, 1]))
        for pair in (
            (plan.size, plan.size2),
            (plan.scale, plan.scale2),
            (plan.quality, plan.quality2),
            (plan.noise, plan.scale),
        )
    ]
    assert max(same) < 0.07, "orders are drawn apart"


def test_each_kind_can_be_drawn_alone():
    for place, kind in enumerate(KINDS):
        shares = [float(place == other) for other in range(6)]
        kernels, _ = plans(
            60, kernel_prob=shares, sinc_prob=0, blur_sigma=(1.0, 1.5), betag_range=(1, 1), betap_range=(1, 1)
        )
        drawn = kernels[:, 0]
        symmetric = (drawn - drawn.transpose(1, 2)).abs().amax((1, 2)) < 1e-6
        assert bool(symmetric.all()) == (not kind.endswith("aniso"))
        tail = (drawn[:, 10, 14] / drawn[:, 10, 10]).amax()  # a plateau falls as 1/r², a Gaussian faster
        assert bool(tail > 0.05) == kind.startswith("plateau")


RANGES = {
    "sinc_prob": (1.0, lambda kernels, plan: (kernels[:, 0] < 0).any(2).any(1).all()),
    "sinc_prob2": (1.0, lambda kernels, plan: (kernels[:, 1] < 0).any(2).any(1).all()),
    "kernel_prob": ((0, 0, 0, 0, 0, 1), lambda kernels, plan: share(turned(kernels[:, 0])) > 0.85),
    "kernel_prob2": ((0, 0, 0, 0, 0, 1), lambda kernels, plan: share(turned(kernels[:, 1])) > 0.85),
    "blur_sigma": ((0.01, 0.02), lambda kernels, plan: share(kernels[:, 0, 10, 10] > 0.999) > 0.7),
    "blur_sigma2": ((0.01, 0.02), lambda kernels, plan: share(kernels[:, 1, 10, 10] > 0.999) > 0.7),
    "resize_prob": ((1, 0, 0), lambda kernels, plan: plan.scale.min() > 1),
    "resize_prob2": ((0, 0, 1), lambda kernels, plan: (plan.scale2 == 1).all()),
    "resize_range": ((0.9, 1.0), lambda kernels, plan: plan.scale.min() >= 0.899 and plan.scale.max() <= 1),
    "resize_range2": ((0.9, 1.0), lambda kernels, plan: plan.scale2.min() >= 0.899 and plan.scale2.max() <= 1),
    "gaussian_noise_prob": (0.0, lambda kernels, plan: plan.gaussian.max() == 0 and plan.noise.max() <= 3),
    "gaussian_noise_prob2": (0.0, lambda kernels, plan: plan.gaussian2.max() == 0 and plan.noise2.max() <= 2.5),
    "noise_range": ((0, 0), lambda kernels, plan: plan.noise[plan.gaussian == 1].max() == 0),
    "noise_range2": ((0, 0), lambda kernels, plan: plan.noise2[plan.gaussian2 == 1].max() == 0),
    "poisson_scale_range": ((0, 0), lambda kernels, plan: plan.noise[plan.gaussian == 0].max() == 0),
    "poisson_scale_range2": ((0, 0), lambda kernels, plan: plan.noise2[plan.gaussian2 == 0].max() == 0),
    "gray_noise_prob": (1.0, lambda kernels, plan: plan.grey.min() == 1),
    "gray_noise_prob2": (1.0, lambda kernels, plan: plan.grey2.min() == 1),
    "jpeg_range": ((99, 100), lambda kernels, plan: plan.quality.min() >= 99),
    "jpeg_range2": ((99, 100), lambda kernels, plan: plan.quality2.min() >= 99),
    "second_blur_prob": (0.0, lambda kernels, plan: plan.blur2.max() == 0),
    "final_sinc_prob": (0.0, lambda kernels, plan: (kernels[:, 2] == pulse()).all() and plan.sinc_size.max() == 1),
    "betag_range": ((1, 1), None), "betap_range": ((1, 1), None),
    "betag_range2": ((1, 1), None), "betap_range2": ((1, 1), None),
}  # fmt: skip


def turned(kernels):
    return (kernels - kernels.transpose(1, 2)).abs().amax((1, 2)) > 1e-6


@pytest.mark.parametrize("option", RANGES)
def test_an_option_changes_what_it_names_and_nothing_else(option):
    value, holds = RANGES[option]
    usual, changed = plans(300), plans(300, **{option: value})
    if holds is not None:
        assert holds(*changed)
    order = 1 if option.endswith("2") else 0
    of_kernels = option.startswith(("sinc_prob", "kernel_prob", "blur_sigma", "beta"))
    touched = [place for place in range(3) if not changed[0][:, place].equal(usual[0][:, place])]
    assert touched == ([order] if of_kernels else [2] if option == "final_sinc_prob" else [])
    columns = [name for name in Plan._fields if not getattr(changed[1], name).equal(getattr(usual[1], name))]
    number = "2" * order
    parts = {"resize": ["scale"], "gaussian": ["gaussian", "noise"], "noise": ["noise"], "poisson": ["noise"]}
    parts |= {"gray": ["grey"], "jpeg": ["quality"], "second": ["blur2"], "final": ["sinc_size"]}
    if not of_kernels:
        own = parts[option.partition("_")[0]]
        assert columns == [name if name in ("blur2", "sinc_size") else name + number for name in own]


def test_strength_weakens_everything():
    kernels, plan = plans(500)
    weak_kernels, weak = plans(500, strength=0.5)
    assert close(weak.scale - 1, (plan.scale - 1) / 2) and close(weak.scale2 - 1, (plan.scale2 - 1) / 2)
    assert close(weak.noise, plan.noise / 2) and close(weak.noise2, plan.noise2 / 2)
    assert close(100 - weak.quality, (100 - plan.quality) / 2) and close(100 - weak.quality2, (100 - plan.quality2) / 2)
    centres = weak_kernels[:, :, 10, 10] - kernels[:, :, 10, 10]
    assert share(centres > 0) + share(centres == 0) > 0.99 and share(centres > 0) > 0.8, "narrower kernels"
    images = tensor_of(emoji("RGB"))[None, :, :64, :64].expand(16, -1, -1, -1) * 2 - 1
    errors = []
    for strength in (0.05, 0.3, 1.0):
        made = build(strength=strength, factor=1, sharpen=False)
        source = made.compute({"output": images}, made.draw(16, seeded()))["source"]
        errors.append(float((source - images).square().mean()))
    assert errors[0] * 1.5 < errors[1] < errors[2] / 1.5, errors


def test_images_of_a_batch_differ_as_much_as_those_of_the_official_pool():
    """The official code draws one scale and mode for a batch, and mixes the batches of 180 images in a pool."""
    made = build()
    within, between = [], []
    for number in range(100):
        plan = Plan(*made.draw(12, seeded(number))["plan"].unbind(1))
        changed = plan.scale[plan.scale != 1]
        assert len(changed.unique()) == len(changed), "each image is resized by a scale of its own"
        within.append(plan.scale.var())
        between.append(plan.scale.mean())
    _, all_ = plans()
    assert torch.stack(within).mean() == pytest.approx(float(all_.scale.var()), rel=0.1)
    assert torch.stack(between).var() == pytest.approx(float(all_.scale.var()) / 12, rel=0.4), "they are independent"


@pytest.mark.parametrize("variant", ["real-esrgan", "real-esrgan-compact"])
def test_real_esrgan_learns_from_it(variant):
    part = registry().get("variants", variant).inputs["source"]
    assert (part.name, dict(part.options)) == ("degrade", {"factor": 4})


def test_several_processes_make_the_batch_of_one(tmp_path):
    for number in range(6):
        noise(tmp_path / "output" / f"{number}.png", number, (32, 32))
    data = load(tmp_path, size=32, inputs={"source": condition("degrade", factor=2)})
    batches = Batches(data, batch_size=6, seed=0, mirror=True)
    whole = batches.sample(3)["source"]
    parts = [Batches(data, batch_size=6, seed=0, mirror=True).sample(3, part)["source"] for part in (
        slice(0, 2), slice(2, 3), slice(3, 6))]  # fmt: skip
    assert torch.cat(parts).equal(whole) and not batches.sample(4)["source"].equal(whole)
    rows = batches.evaluation(6)["source"]
    assert batches.evaluation(6, slice(2, 4))["source"].equal(rows[2:4]), "in evaluation draws belong to the row"


def test_noise_belongs_to_the_image_and_its_seed():
    made = build()
    drawn = made.draw(2, seeded())
    images = torch.zeros(2, 3, 64, 64)
    same = {key: value[:1].expand(2, *value.shape[1:]) for key, value in drawn.items()}
    source = made.compute({"output": images}, same)["source"]
    assert source[0].equal(source[1])
    other = made.compute({"output": images}, {**same, "seed": torch.tensor([1, 2])})["source"]
    assert not other[0].equal(other[1])
    state = torch.get_rng_state()
    made.compute({"output": images}, drawn)
    assert torch.get_rng_state().equal(state)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device, and --cuda")
def test_a_gpu_makes_the_same_but_for_the_noise():
    images = smooth_images(8)
    drawn = build().draw(8, seeded())

    def on(device, **options):
        made = build(**options)
        given = made.draw(8, seeded()) if options else drawn
        moved = {key: value.to(device) for key, value in given.items()}
        return made.compute({"output": images.to(device)}, moved)["source"].cpu()

    quiet = {name: value for order in ("", "2") for name, value in (
        (f"gaussian_noise_prob{order}", 1.0), (f"noise_range{order}", (0, 0)))}  # fmt: skip
    assert share((on("cuda", **quiet) - on("cpu", **quiet)).abs() > 0.02) < 0.01
    assert on("cuda").equal(on("cuda")) and not on("cuda").equal(on("cpu"))


def test_an_image_keeps_its_bits_in_any_memory_format():
    made = build()
    drawn = made.draw(3, seeded())
    images = smooth_images(3)
    last = images.contiguous(memory_format=torch.channels_last)
    kept = last.clone()
    assert made.compute({"output": last}, drawn)["source"].equal(made.compute({"output": images}, drawn)["source"])
    assert last.equal(kept)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"channels": 4}, "4 channels cannot be degraded, only grey and RGB: use --channels 3"),
        ({"factor": 5}, "factor must be 1, 2, 3, 4 or 8, got 5"),
        ({"factor": 3}, "64 x 64 pixels cannot be made 3 times smaller"),
        ({"size": (24, 24), "factor": 8}, "24 x 24 pixels cannot be made 8 times smaller"),
        ({"strength": 0.0}, "strength must be above 0"),
        ({"strength": 1.5}, "at most 1, got 1.5"),
        ({"second_blur_prob": 1.1}, "second_blur_prob must be 0 to 1"),
        ({"final_sinc_prob": -0.1}, "final_sinc_prob must be 0 to 1"),
        ({"sinc_prob2": 2.0}, "sinc_prob2 must be 0 to 1"),
        ({"gaussian_noise_prob": 2.0}, "gaussian_noise_prob must be 0 to 1"),
        ({"gray_noise_prob2": -1.0}, "gray_noise_prob2 must be 0 to 1"),
        ({"kernel_prob": (1, 1)}, "kernel_prob must be 6 shares"),
        ({"kernel_prob2": (0, 0, 0, 0, 0, 0)}, "kernel_prob2 must be 6 shares of 0 or more, not all 0"),
        ({"resize_prob": (1, -1, 1)}, "resize_prob must be 3 shares"),
        ({"blur_sigma": (0.0, 1.0)}, "blur_sigma must be two numbers from 0.01 to 100"),
        ({"blur_sigma2": (3.0, 1.0)}, "blur_sigma2 .* the smaller first, got "),
        ({"betag_range": (1.5, 2.0)}, "betag_range must hold 1"),
        ({"betap_range2": (0.2, 0.5)}, "betap_range2 must hold 1"),
        ({"resize_range": (0.5, 0.9)}, "resize_range must hold 1"),
        ({"resize_range": (0.01, 1.5)}, "resize_range leaves less than a pixel of 64 x 64"),
        ({"resize_range2": (0.05, 1.5)}, "resize_range2 leaves less than a pixel"),
        ({"resize_range2": (0.3, 9.0)}, "resize_range2 must be two numbers"),
        ({"noise_range": (-1.0, 3.0)}, "noise_range must be two numbers"),
        ({"poisson_scale_range2": (0.0, 300.0)}, "poisson_scale_range2 must be two numbers"),
        ({"jpeg_range": (0.0, 95.0)}, "jpeg_range must be two numbers from 1.0 to 100.0"),
    ],
)  # fmt: skip
def test_options_that_mean_nothing_are_refused(options, words):
    with pytest.raises(ValueError, match=words):
        build(**options)


def test_next_to_no_strength_changes_next_to_nothing():
    images = torch.linspace(-1, 1, 32).expand(4, 3, 32, 32)
    for strength in (1e-9, 1e-7, 1e-3):
        degrade = build(size=(32, 32), factor=1, strength=strength, sharpen=False)
        found = degrade.compute({"output": images}, degrade.draw(4, seeded()))["source"]
        assert (found - images).abs().mean() < 0.02, strength
