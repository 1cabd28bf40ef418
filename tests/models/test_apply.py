"""Generators applied to source images: kinds, sizes, channels, tiles, and what is refused."""

from dataclasses import replace
from types import SimpleNamespace

import numpy
import pytest
import tiny
import torch
from PIL import Image
from torch import nn
from translators import COUPLING, sources, spec, translator

import ganzoo
from ganzoo import ImageSpec, Part
from ganzoo.errors import UsageError
from ganzoo.files.pictures import to_pillow, to_uint8
from ganzoo.models.apply import Application, padded
from ganzoo.models.geometry import FARTHEST
from ganzoo.models.rasters import extended, with_channels
from ganzoo.registry.registry import registry
from ganzoo.variant import Field, SampleSpec


def picture(height: int, width: int, mode: str = "RGB", seed: int = 0) -> Image.Image:
    channels = len(Image.new(mode, (1, 1)).getbands())
    return to_pillow(to_uint8(sources(1, height, width, channels, seed))[0])


def pixels(image: Image.Image) -> numpy.ndarray:
    return numpy.asarray(image).astype(int)


# -- kinds ------------------------------------------------------------------------------------------------------------


def test_the_kind_that_came_comes_back():
    model = translator()
    given = [picture(16, 24), picture(20, 12, seed=1), picture(16, 24, seed=2)]
    several, one, tensor = model.apply(given), model.apply(given[0]), model.apply(sources(3, 16, 24))
    assert [(image.mode, image.size) for image in several] == [("RGB", image.size) for image in given]
    assert isinstance(one, Image.Image) and isinstance(tensor, torch.Tensor)
    assert tensor.shape == (3, 3, 16, 24) and tensor.dtype == torch.float32
    assert (pixels(one) == pixels(several[0])).all()
    assert model.apply([]) == []


def test_outputs_are_those_of_the_generator_clamped():
    model, given = translator(), sources(2, 16, 16)
    raw = model.generator(torch.zeros(2, 0), source=given)
    assert raw.abs().max() > 1
    assert torch.allclose(model.apply(given), raw.clamp(-1, 1), atol=1e-6)
    found = model.apply(to_pillow(to_uint8(given)[0]))
    assert abs(pixels(found) - pixels(to_pillow(to_uint8(raw)[0]))).max() <= 4  # sources were rounded to bytes


def test_pictures_in_batches_are_those_alone():
    model = translator()
    given = [picture(16 + 2 * (number % 2), 16, seed=number) for number in range(7)]
    alone = [pixels(model.apply(image)) for image in given]
    for batch_size in (1, 2, 8):
        together = model.apply(given, batch_size=batch_size)
        assert all(abs(pixels(one) - other).max() <= 1 for one, other in zip(together, alone, strict=True))


def test_a_loaded_folder_does_the_same(tmp_path):
    from translators import installed_plugin

    model, given = translator(), sources(1, 18, 22)
    with installed_plugin():
        model.save(tmp_path / "model")
        loaded = ganzoo.load(tmp_path / "model")
        assert loaded.config.latent_dim == 0
        assert torch.equal(loaded.apply(given), model.apply(given))


def test_the_latent_and_the_class_change_the_output():
    model, given = translator(spec(classes=2), latent_dim=3), sources(2, 16, 16)
    first = model.apply(given, seed=0, label="class 1")
    assert torch.equal(first, model.apply(given, seed=0, label=1))
    assert not torch.allclose(first, model.apply(given, seed=1, label=1))
    assert not torch.allclose(first, model.apply(given, seed=0, label=0))
    latent = model.latent(2, 0)
    expected = model.generate(latent, torch.tensor([1, 1]), source=given).clamp(-1, 1)
    assert torch.equal(first, expected)


# -- channels and transparency ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", ["L", "LA", "RGB", "RGBA", "P", "1", "CMYK", "I;16"])
@pytest.mark.parametrize("channels, wanted", [(1, "L"), (3, "RGB"), (4, "RGBA")])
def test_pictures_of_any_mode_become_those_of_the_generator(mode, channels, wanted):
    model = translator(spec(source=channels, output=channels))
    found = model.apply(
        picture(16, 18, "RGB").convert("L").convert("I").convert("I;16")
        if mode == "I;16"
        else picture(16, 18, "RGB").convert(mode)
    )
    assert (found.mode, found.size) == (wanted, (18, 16))


def test_transparency_is_put_on_white():
    model = translator()
    given = picture(16, 16, "RGBA")
    white = Image.alpha_composite(Image.new("RGBA", (16, 16), "white"), given).convert("RGB")
    assert (pixels(model.apply(given)) == pixels(model.apply(white))).all()
    tensor = sources(1, 16, 16, 4)
    alpha = tensor[:, 3:] / 2 + 0.5
    expected = model.apply(tensor[:, :3] * alpha + (1 - alpha))
    assert torch.allclose(model.apply(tensor), expected, atol=1e-5)


def test_transparency_of_the_source_is_given_back_where_that_is_wanted():
    given, twice = picture(16, 18, "RGBA"), translator(spec(scale=2))
    found, large = translator().apply(given, keep_alpha=True), twice.apply(given, keep_alpha=True)
    assert (pixels(found.getchannel("A")) == pixels(given.getchannel("A"))).all()
    assert (large.mode, large.size) == ("RGBA", (36, 32))
    assert translator().apply(picture(16, 18), keep_alpha=True).mode == "RGB"
    tensor = sources(1, 16, 16, 4)
    assert torch.equal(translator().apply(tensor, keep_alpha=True)[:, 3], tensor[:, 3])


def test_a_generator_of_four_channels_sees_transparency():
    model = translator(spec(source=4, output=1))
    given = picture(16, 16, "RGBA")
    opaque = given.copy()
    opaque.putalpha(255)
    assert model.apply(given).mode == "L"
    assert (pixels(model.apply(given)) != pixels(model.apply(opaque))).any()


def test_a_hole_is_what_a_condition_makes_of_it():
    """A transparent part is hidden as `mask` hides it in training: grey, and -1 in the mask."""
    model = translator(spec(source=4))
    model.config.inputs["source"] = Part("mask")
    given = picture(16, 16)
    clear = given.copy()
    clear.putalpha(Image.fromarray(numpy.repeat(numpy.uint8([255, 200, 100, 0]), 4)[None].repeat(16, 0)))
    hidden = torch.zeros(1, 1, 16, 16, dtype=torch.bool)
    hidden[..., 8:] = True
    condition = registry().get("conditions", "mask")(ImageSpec(16, 3), shape="right")
    colours = torch.tensor(numpy.array(given)).permute(2, 0, 1)[None] / 127.5 - 1
    source = condition.compute({"output": colours}, {"places": torch.zeros(1, 4)})["source"]
    assert torch.equal(source[:, 3:] < 0, hidden)
    expected = model.generate(torch.zeros(1, 0), source=source).clamp(-1, 1)
    assert abs(pixels(model.apply(clear)) - pixels(to_pillow(to_uint8(expected)[0]))).max() <= 1
    model.config.inputs["source"] = None
    assert abs(pixels(model.apply(clear)) - pixels(to_pillow(to_uint8(expected)[0]))).max() > 1


def test_tensors_change_their_channels():
    grey, colour = sources(1, 4, 4, 1), sources(1, 4, 4, 3)
    assert torch.equal(with_channels(grey, 3), grey.expand(-1, 3, -1, -1))
    luma = with_channels(colour, 1)
    bytes_ = pixels(to_pillow(to_uint8(colour)[0]).convert("L"))
    assert abs(to_uint8(luma)[0, :, :, 0].numpy().astype(int) - bytes_).max() <= 1
    assert torch.equal(with_channels(grey, 2)[:, 1], torch.ones(1, 4, 4))
    assert torch.equal(with_channels(colour, 4)[:, :3], colour)
    half = torch.cat([torch.full((1, 3, 1, 1), -1.0), torch.zeros(1, 1, 1, 1)], 1)
    assert torch.allclose(with_channels(half, 3), torch.zeros(1, 3, 1, 1))


def test_a_rotated_photograph_is_turned_upright():
    model, upright = translator(), picture(16, 24)
    turned = upright.transpose(Image.Transpose.ROTATE_90)
    turned.getexif()[0x0112] = 6  # "rotate 90 degrees clockwise to view"
    assert (pixels(model.apply(turned)) == pixels(model.apply(upright))).all()


# -- any size ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("halvings", [0, 1, 2, 3])
def test_the_multiple_is_found(halvings):
    assert translator(halvings=halvings).geometry.multiple == 2**halvings


def test_a_generator_may_state_its_multiple():
    model = translator(halvings=1)
    model.generator.multiple = 12
    assert model.geometry.multiple == 12
    assert model.apply(sources(1, 17, 9)).shape == (1, 3, 17, 9)


@pytest.mark.parametrize("height, width", [(1, 1), (3, 40), (17, 23), (16, 16), (33, 8)])
@pytest.mark.parametrize("scale", [1, 2])
def test_any_size_comes_back_in_its_own_size(height, width, scale):
    model = translator(spec(scale=scale), halvings=2)
    assert model.apply(sources(1, height, width)).shape == (1, 3, scale * height, scale * width)


@pytest.mark.parametrize("height, width", [(5, 7), (2, 3), (1, 9), (8, 8)])
def test_padding_reflects_as_numpy_does(height, width):
    given = sources(1, height, width)
    down, right = -height % 8, -width % 8
    expected = numpy.pad(given.numpy(), ((0, 0), (0, 0), (0, down), (0, right)), "reflect")
    assert numpy.array_equal(padded(given, 8).numpy(), expected)


# -- tiles ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("options", [{"halvings": 0}, {"halvings": 1}, {"halvings": 3}], ids=str)
@pytest.mark.parametrize("scale", [1, 2])
@pytest.mark.parametrize("tile", [1, 16, 40])
def test_tiles_give_the_whole_image(options, scale, tile):
    model, given = translator(spec(scale=scale), **options), sources(2, 61, 83)
    if tile == 1:
        given = given[:, :, :20, :12]
    whole, tiled = model.apply(given), model.apply(given, tile=tile)
    assert (whole - tiled).abs().max() <= 2e-7


def test_tiles_of_pictures_give_the_whole_picture():
    model, given = translator(), [picture(61, 83), picture(30, 18, seed=1), picture(61, 83, seed=2)]
    for whole, tiled in zip(model.apply(given), model.apply(given, tile=16), strict=True):
        assert abs(pixels(whole) - pixels(tiled)).max() <= 1  # a rounding may fall to either side


@pytest.mark.parametrize("halvings, overlap", [(0, 2), (1, 4), (2, 8)])
def test_the_overlap_is_what_the_layers_reach(halvings, overlap):
    """Two 3 × 3 convolutions reach 2 pixels; computed by hand with one and two halvings between them."""
    model = translator(halvings=halvings)
    assert model.geometry.overlap == overlap
    given = sources(1, 96, 96).double()
    model.generator.double()
    whole = model.generator(torch.zeros(1, 0), source=given)
    changed = given.clone()
    start = 48
    changed[:, :, : start - overlap] += 1
    differs = (model.generator(torch.zeros(1, 0), source=changed) - whole).abs().amax((0, 1, 3)) > 1e-12
    assert not differs[start:].any()
    near = given.clone()
    near[:, :, : start - overlap + 2**halvings] += 1
    differs = (model.generator(torch.zeros(1, 0), source=near) - whole).abs().amax((0, 1, 3)) > 1e-12
    assert differs[start:].any()


class UNet(ganzoo.networks.Generator):
    """Halves the size down to 1 of 32 pixels, with skips, and doubles it again."""

    latent_dim = 0

    def __init__(self, width: int = 4):
        super().__init__()
        self.down = nn.ModuleList(nn.Conv2d(width if n else 3, width, 4, 2, 1) for n in range(5))
        self.norms = nn.ModuleList(nn.BatchNorm2d(width) for _ in range(5))
        self.up = nn.ModuleList(
            nn.ConvTranspose2d(width * (1 + bool(n)), width if n < 4 else 3, 4, 2, 1) for n in range(5)
        )

    def forward(self, latent, label=None, *, source):
        skips = [source]
        for layer, norm in zip(self.down, self.norms, strict=True):
            skips.append(norm(layer(skips[-1]).relu()))
        hidden = skips.pop()
        for number, layer in enumerate(self.up):
            hidden = layer(torch.cat([hidden, skips.pop()], 1) if number else hidden).relu()
        return hidden.tanh()


@pytest.mark.parametrize("tile", [32, 64])
def test_tiles_of_a_u_net_reach_twice_its_own_size(tile):
    torch.manual_seed(0)
    model, given = tiny.model_of(UNet(), spec(32)), sources(1, 200, 170)
    assert (model.geometry.multiple, model.geometry.overlap) == (32, 64)
    assert (model.apply(given) - model.apply(given, tile=tile)).abs().max() <= 2e-7


@pytest.mark.parametrize("coupling", COUPLING)
def test_what_couples_all_pixels_cannot_be_tiled(coupling):
    model, given = translator(coupling=coupling), sources(1, 48, 48)
    with pytest.raises(UsageError, match="tile"):
        model.apply(given, tile=16)
    assert model.apply(given).shape == given.shape


@pytest.mark.parametrize("coupling", ["instance", "own"])
def test_tiles_would_change_instance_norm_everywhere(coupling, monkeypatch):
    model, given = translator(coupling=coupling), sources(1, 64, 64)
    given[:, :, :32] /= 4
    monkeypatch.setitem(vars(model.geometry), "overlap", 8)
    difference = (model.apply(given) - model.apply(given, tile=16)).abs()
    assert difference.max() > 0.02 and (difference > 1e-3).float().mean() > 0.5  # others are clamped


def test_the_reach_that_is_looked_for_is_that_of_deep_networks():
    assert FARTHEST >= 2 * 256 and translator(halvings=3).geometry.overlap < FARTHEST


# -- refused ----------------------------------------------------------------------------------------------------------


class Fixed(ganzoo.networks.Generator):
    """A generator for 16 pixels alone."""

    latent_dim = 0

    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(256, 256)

    def forward(self, latent, label=None, *, source):
        return self.layer(source.flatten(1)).view(-1, 1, 16, 16)


def test_a_generator_of_one_size_refuses_others_in_a_line():
    model = tiny.model_of(Fixed(), spec(source=1, output=1))
    assert model.apply(sources(2, 16, 16, 1)).shape == (2, 1, 16, 16)
    for options in ({}, {"tile": 16}):
        with pytest.raises(UsageError, match="16"):
            model.apply(sources(1, 32, 32, 1), **options)


@pytest.mark.parametrize(
    "images, fact",
    [
        (torch.zeros(3, 16, 16), "(N, C, H, W)"),
        (torch.zeros(1, 5, 16, 16), "channels"),
        (torch.zeros(1, 3, 16, 16, dtype=torch.uint8), "float"),
        (torch.full((1, 3, 16, 16), 255.0), "127.5"),
        (torch.full((1, 3, 16, 16), torch.nan), "[-1, 1]"),
        (numpy.zeros((16, 16, 3)), "ndarray"),
        (["photo.png"], "str"),
    ],
    ids=str,
)
def test_other_things_are_refused(images, fact):
    with pytest.raises(UsageError) as refused:
        translator().apply(images)
    assert fact in str(refused.value)


@pytest.mark.parametrize("options", [{"batch_size": 0}, {"tile": 0}, {"label": 1}])
def test_options_out_of_range_are_refused(options):
    with pytest.raises(UsageError):
        translator().apply(sources(1, 16, 16), **options)


def test_a_conditional_generator_needs_a_class():
    with pytest.raises(UsageError, match="class 1"):
        translator(spec(classes=2)).apply(sources(1, 16, 16))


def test_a_generator_without_source_says_what_to_use_instead():
    model = tiny.model_of(tiny.LinearGenerator(nn.Linear(2, 4), 2), ImageSpec(2, 1))
    with pytest.raises(UsageError, match="ganzoo sample"):
        model.apply(sources(1, 2, 2, 1))
    with pytest.raises(UsageError, match="ganzoo apply"):
        translator().sample(1)


@pytest.mark.parametrize(
    "image",
    [
        SampleSpec(Field((3, 16, 16)), {"source": Field((3, 16, 16)), "mask": Field((1, 16, 16))}),
        SampleSpec(Field((3, 16, 16)), {"source": Field((2,), "points")}),
        SampleSpec(Field((3, 16, 32)), {"source": Field((3, 16, 16))}),
    ],
    ids=["two", "points", "proportions"],
)
def test_other_sources_than_one_image_are_refused(image):
    model = SimpleNamespace(image=image)
    with pytest.raises(UsageError, match="Model.generate"):
        ganzoo.models.geometry.Geometry(translator().generator, model.image, "tiny")


# -- super-resolution -------------------------------------------------------------------------------------------------


def upscaler(scale: int = 2, channels: int = 3, **options):
    """A small network that says that it enlarges images."""
    model = translator(spec(scale=scale, source=channels, output=channels), **options)
    model.config = replace(model.config, task="super-resolution")
    return model


@pytest.mark.parametrize("scale, size", [(2, (32, 40)), (3, (48, 60)), (1, (16, 20)), (0.5, (8, 10)), (0.01, (1, 1))])
def test_other_scales_are_lanczos_after_the_network(scale, size):
    model, given = upscaler(), picture(16, 20)
    found = model.apply(given, scale=scale)
    whole = model.apply(given)
    assert whole.size == (40, 32) and found.size == size[::-1]
    assert (pixels(found) == pixels(whole.resize(size[::-1], Image.Resampling.LANCZOS))).all()
    tensor = model.apply(sources(2, 16, 20), scale=scale)
    assert tensor.shape == (2, 3, *size) and tensor.abs().max() <= 1


@pytest.mark.parametrize(
    "options", [{"scale": 0}, {"scale": -1.0}, {"scale": numpy.inf}, {"overlap": -1}, {"precision": "int8"}]
)
def test_other_options_out_of_range_are_refused(options):
    with pytest.raises(UsageError, match=next(iter(options))):
        upscaler().apply(sources(1, 16, 16), **options)


def test_super_resolution_keeps_grey_grey_and_transparency_apart():
    model, clear = upscaler(), picture(16, 18, "RGBA")
    assert model.apply(picture(16, 18, "L")).mode == "L"
    found = model.apply(clear)
    assert (found.mode, found.size) == ("RGBA", (36, 32))
    assert model.apply(clear, keep_alpha=False).mode == "RGB"
    assert model.apply(picture(16, 18, "LA")).mode == "LA"
    alone = model.apply(clear.getchannel("A"))  # a grey image
    assert abs(pixels(found.getchannel("A")) - pixels(alone)).max() <= 1
    opaque = clear.copy()
    opaque.putalpha(255)
    assert model.apply(opaque).getchannel("A").getextrema() == (255, 255)
    assert (pixels(model.apply(opaque).convert("RGB")) == pixels(model.apply(opaque.convert("RGB")))).all()
    assert model.apply(sources(1, 16, 16, 4)).shape == (1, 4, 32, 32)


def test_invisible_pixels_have_the_colours_of_those_around_them():
    colours, alpha = sources(1, 13, 17), torch.ones(1, 1, 13, 17)
    alpha[:, :, 3:9, 2:15] = -1
    hidden = alpha.expand_as(colours) < 0
    changed = torch.where(hidden, torch.full_like(colours, 0.9), colours)
    found = extended(colours, alpha)
    assert torch.equal(found, extended(changed, alpha))
    assert torch.equal(found[~hidden], colours[~hidden])
    assert found[hidden].abs().max() < 0.9
    assert torch.equal(extended(colours, torch.full_like(alpha, -1)), torch.ones_like(colours))
    grey = torch.full_like(colours, 0.25)
    assert torch.allclose(extended(grey, alpha), grey, atol=1e-6)


@pytest.mark.parametrize("channels, bands", [(1, 1), (3, 3), (3, 4), (3, 2)])
def test_sixteen_bits_stay_sixteen_bits(channels, bands):
    model = upscaler(channels=channels)
    deep = numpy.random.default_rng(0).integers(0, 65536, (16, 18, bands), numpy.uint16)
    (found,) = Application(model).outputs([deep], model.latent(1))
    assert found.dtype == numpy.uint16 and found.shape == (32, 36, bands)
    assert len(numpy.unique(found[:, :, 0])) > 300 and len(numpy.unique(found & 255)) > 200
    if bands == channels:
        given = torch.tensor(deep.astype(numpy.float32)).permute(2, 0, 1)[None] / 32767.5 - 1
        expected = (model.apply(given)[0].permute(1, 2, 0).numpy() + 1) * 32767.5
        assert abs(found - expected).max() <= 1.5
    (smaller,) = Application(model, scale=0.5).outputs([deep], model.latent(1))
    assert smaller.dtype == numpy.uint16 and smaller.shape == (8, 9, bands)


def test_large_images_are_cut_into_tiles_without_being_asked(monkeypatch, caplog):
    model, given = upscaler(), picture(90, 120)
    whole = model.apply(given)
    monkeypatch.setattr("ganzoo.models.apply.SMALL", 1)
    monkeypatch.setattr("ganzoo.models.apply.LEAST", 8)
    monkeypatch.setattr("ganzoo.models.apply.MEMORY", 40**2 * model.geometry.bytes_per_pixel)
    seen = []
    with caplog.at_level("INFO", "ganzoo"):
        tiled = Application(model, on_tile=lambda number, count: seen.append((number, count)))(given)
    assert abs(pixels(whole) - pixels(tiled)).max() <= 1
    assert len(seen) == seen[-1][0] == seen[-1][1] > 4
    assert "tiles of 32 pixels, with 4 around" in caplog.text
    coupled = upscaler(coupling="instance")
    caplog.clear()
    assert coupled.apply(given).size == (240, 180)
    assert "cannot work on tiles" in caplog.text


def test_the_overlap_can_be_chosen():
    model, given = upscaler(), picture(64, 64)
    whole = pixels(model.apply(given))
    none, enough = (pixels(model.apply(given, tile=32, overlap=overlap)) for overlap in (0, 4))
    assert abs(whole - enough).max() <= 1
    differs = (abs(whole - none) > 1).any(2)
    assert differs[:, 60:68].any() and not differs[8:52, 8:52].any()


def test_a_generator_may_state_its_reach():
    model = upscaler()
    model.generator.reach = 11
    assert model.geometry.overlap == model.geometry.felt == 12


class Residual(ganzoo.networks.Generator):
    """Many residual blocks, each of which adds little."""

    latent_dim = 0

    def __init__(self, blocks: int = 50, share: float = 0.05):
        super().__init__()
        self.share = share
        self.blocks = nn.ModuleList(
            nn.Sequential(nn.Conv2d(3, 3, 3, 1, 1), nn.Tanh(), nn.Conv2d(3, 3, 3, 1, 1)) for _ in range(blocks)
        )

    def forward(self, latent, label=None, *, source):
        for block in self.blocks:
            source = source + self.share * block(source)
        return source


def test_what_a_deep_network_feels_is_nearer_than_what_it_reaches():
    torch.manual_seed(0)
    model = tiny.model_of(Residual(), spec(16))
    assert model.geometry.overlap == 100
    assert 0 < model.geometry.felt < 60
    given = picture(150, 150)
    whole, tiled = model.apply(given), model.apply(given, tile=64)
    assert abs(pixels(whole) - pixels(tiled)).max() <= 1


def test_bfloat16_is_near_float32():
    model, given = upscaler(), sources(1, 40, 40)
    difference = (model.apply(given) - model.apply(given, precision="bf16")).abs()
    assert 0 < difference.max() < 0.1


class Counting(ganzoo.networks.Generator):
    """A convolution that notes the sizes of its sources."""

    latent_dim = 0
    sizes: list = []

    def __init__(self):
        super().__init__()
        self.layer = nn.Conv2d(3, 3, 3, 1, 1)

    def forward(self, latent, label=None, *, source):
        self.sizes.append(tuple(source.shape[2:]))
        return self.layer(source)


def test_a_large_image_goes_through_the_network_once():
    Counting.sizes.clear()
    model = tiny.model_of(Counting(), spec(16))
    model.apply(sources(1, 70, 80))
    assert Counting.sizes.count((70, 80)) == 1


@pytest.mark.parametrize("height, width", [(1, 1), (3, 20_000), (20_000, 1)])
def test_extreme_sizes(height, width):
    assert upscaler(halvings=0).apply(picture(height, width)).size == (2 * width, 2 * height)


def test_an_output_that_does_not_fit_into_memory_is_refused_before(monkeypatch):
    monkeypatch.setattr("ganzoo.models.apply.available_bytes", lambda: 10_000)
    with pytest.raises(UsageError, match="--scale"):
        upscaler().apply(picture(64, 64), scale=4)
