"""The built-in conditions: small copies, bad ones, grey, line art, holes and cut-outs."""

import numpy
import pytest
import torch
from PIL import Image
from translation import condition, load, noise, picture

from ganzoo import Field, ImageSpec, SampleSpec
from ganzoo.data import Batches
from ganzoo.errors import UsageError
from ganzoo.registry.registry import registry


def build(name, channels=3, size=(16, 24), **options):
    return registry().get("conditions", name)(SampleSpec(Field((channels, *size))), **options)


def smooth(n=3, channels=3, size=(16, 24)):
    random = torch.Generator().manual_seed(0)
    coarse = torch.rand(n, channels, size[0] // 4, size[1] // 4, generator=random) * 2 - 1
    return torch.nn.functional.interpolate(coarse, size=size, mode="bilinear")


def source(made, images, seed=0):
    drawn = made.draw(len(images), torch.Generator().manual_seed(seed))
    found = made.compute({"output": images}, drawn)
    assert {name: tuple(field.shape[1:]) for name, field in found.items()} == {
        name: field.shape for name, field in made.fields.items()
    }
    assert all(field.abs().max() <= 1 for field in found.values())
    return found["source"]


NAMES = ("composite", "degrade", "downscale", "edges", "grey", "mask")


@pytest.mark.parametrize("name", NAMES)
def test_each_image_is_worked_on_alone(name):
    made, channels = build(name, 4 if name == "composite" else 3), 4 if name == "composite" else 3
    images = smooth(5, channels)
    drawn = made.draw(5, torch.Generator().manual_seed(0))
    whole = made.compute({"output": images.clone()}, drawn)
    for part in (slice(0, 1), slice(1, 5)):
        share = made.compute({"output": images[part]}, {key: value[part] for key, value in drawn.items()})
        assert all(share[field].equal(whole[field][part]) for field in whole)
    assert made.compute({"output": images}, drawn)["source"].equal(whole["source"])


@pytest.mark.parametrize("factor", [2, 4])
def test_small_copies_are_those_of_pillow(factor):
    images = smooth()
    small = source(build("downscale", factor=factor), images)
    for image, found in zip(images.flatten(0, 1), small.flatten(0, 1), strict=True):
        wanted = Image.fromarray(image.numpy()).resize((24 // factor, 16 // factor), Image.Resampling.BICUBIC)
        assert numpy.abs(numpy.asarray(wanted).clip(-1, 1) - found.numpy()).max() < 1e-5


def test_grey_is_the_brightness_of_pillow():
    pixels = numpy.random.default_rng(0).integers(0, 256, (16, 24, 3), dtype=numpy.uint8)
    images = torch.from_numpy(pixels).permute(2, 0, 1)[None] / 127.5 - 1
    grey = (source(build("grey"), images)[0, 0] + 1) * 127.5
    assert numpy.abs(numpy.asarray(Image.fromarray(pixels).convert("L")) - grey.numpy()).max() <= 0.51


def test_edges_are_ink_where_colours_change_and_paper_elsewhere():
    images = torch.full((1, 3, 16, 24), -1.0)
    images[:, 1, :, 12:] = 1  # one channel alone
    lines = source(build("edges"), images)[0, 0]
    assert (lines[:, 11:13] == -1).all() and (lines[:, :8] == 1).all() and (lines[:, 16:] == 1).all()
    turned = source(build("edges", size=(24, 16)), images.transpose(2, 3))[0, 0]
    assert turned.t().sub(lines).abs().max() < 1e-5
    assert (source(build("edges"), torch.zeros(1, 3, 16, 24)) == 1).all()
    assert source(build("edges", blur=0), images).min() == -1
    faint = images * 0.02
    assert (source(build("edges"), faint) == 1).all() and source(build("edges", low=0, high=0.01), faint).min() == -1


def test_edges_of_transparent_images_are_those_on_white():
    images = smooth(channels=4)
    alpha = (images[:, 3:] + 1) / 2
    assert source(build("edges", 4), images).equal(source(build("edges"), images[:, :3] * alpha + (1 - alpha)))


@pytest.mark.parametrize(("shape", "rows", "columns"), [
    ("left", slice(0, 16), slice(0, 12)), ("right", slice(0, 16), slice(12, 24)),
    ("top", slice(0, 8), slice(0, 24)), ("bottom", slice(8, 16), slice(0, 24)),
])  # fmt: skip
def test_a_half_is_hidden_in_grey_and_the_mask_says_so(shape, rows, columns):
    images = smooth() + 2  # nothing of them is 0
    holed = build("mask", shape=shape).compute({"output": images}, {"places": torch.rand(3, 4)})["source"]
    hidden = torch.zeros(16, 24, dtype=torch.bool)
    hidden[rows, columns] = True
    assert (holed[:, :3, hidden] == 0).all() and holed[:, :3, ~hidden].equal(images[:, :, ~hidden])
    assert (holed[:, 3, hidden] == -1).all() and (holed[:, 3, ~hidden] == 1).all()


def test_rectangles_lie_anywhere_and_have_the_sizes_of_the_options():
    images = torch.ones(400, 3, 16, 24)
    holed = source(build("mask", least=0.25, most=0.5), images)
    heights, widths = (holed[:, 3] == -1).any(2).sum(1), (holed[:, 3] == -1).any(1).sum(1)
    assert (heights.min(), heights.max(), widths.min(), widths.max()) == (4, 8, 6, 12)
    assert (heights * widths == (holed[:, 3] == -1).sum((1, 2))).all(), "they are rectangles"
    assert (holed[:, 3] == -1).any(0).all(), "every pixel is hidden in some image"
    assert (source(build("mask", least=1.0, most=1.0, channel=False), images) == 0).all()


def test_any_of_the_four_halves():
    holed = source(build("mask", shape="half"), torch.ones(60, 3, 16, 24))
    kinds = {tuple(image[3].flatten().tolist()) for image in holed}
    assert len(kinds) == 4 and all(sum(kind) == 0 for kind in kinds)


@pytest.mark.parametrize("background", ["colour", "gradient"])
def test_a_cut_out_is_the_alpha_and_its_source_an_object_on_a_background(background):
    images = smooth(4, 4)
    images[:, 3, :8], images[:, 3, 8:] = 1, -1
    found = build("composite", 4, background=background)
    made = found.compute({"output": images}, found.draw(4, torch.Generator().manual_seed(0)))
    assert made["output"].equal(images[:, 3:])
    assert made["source"][:, :, :8].equal(images[:, :3, :8]), "where it is opaque, the object alone is seen"
    behind = made["source"][:, :, 8:]
    spread = behind.flatten(2).std(2)
    assert (spread < 1e-6).all() if background == "colour" else (spread > 0.01).any(1).all()
    assert len({round(float(one), 4) for one in behind[:, 0, 0, 0]}) == 4, "each image has a background of its own"


def test_backgrounds_may_be_pictures(tmp_path, monkeypatch):
    monkeypatch.setenv("GANZOO_CACHE", str(tmp_path / "cache"))
    for number in range(3):
        picture(tmp_path / "behind" / f"{number}.png", 60 * number, (16, 24))
    made = build("composite", 4, background="pictures", pictures=str(tmp_path / "behind"))
    images = torch.full((50, 4, 16, 24), -1.0)
    behind = ((source(made, images) + 1) * 127.5).round().unique().tolist()
    assert behind == [0, 60, 120] and len(made.fingerprint) == 64


@pytest.mark.parametrize(
    ("name", "options", "words"),
    [
        ("downscale", {"factor": 5}, "factor must be 2, 3, 4 or 8"),
        ("downscale", {"factor": 8}, "16 x 24 pixels cannot be made 8 times smaller"),
        ("grey", {"channels": 1}, "grey already"),
        ("edges", {"low": 0.5, "high": 0.5}, "low below high"),
        ("mask", {"shape": "circle"}, "shape must be one of"),
        ("mask", {"least": 0.6, "most": 0.5}, "least <= most"),
        ("mask", {"channels": 4}, "no room for the mask"),
        ("composite", {"channels": 3}, "have no transparency"),
        ("composite", {"channels": 4, "background": "pictures"}, "belong together"),
        ("composite", {"channels": 4, "background": "sky"}, "must be colour, gradient or pictures"),
    ],
)
def test_options_that_mean_nothing_are_refused(name, options, words):
    with pytest.raises(ValueError, match=words):
        build(name, **options)


@pytest.mark.parametrize("name", NAMES)
def test_any_folder_of_images_becomes_a_data_set(tmp_path, name):
    for number in range(4):
        noise(tmp_path / "output" / f"{number}.png", number, (16, 16), 4)
    batches = Batches(load(tmp_path, size=16, inputs={"source": condition(name)}), batch_size=2, seed=0, mirror=True)
    assert batches.spec.size == 16 and batches.spec.output.shape[0] == (1 if name == "composite" else 3)
    for sample in (batches.sample(0), batches.evaluation(2)):
        assert tuple(sample["source"].shape[1:]) == batches.spec.sources["source"].shape
    assert batches.evaluation(2)["source"].equal(batches.evaluation(2)["source"])


def test_composite_asks_for_transparency(tmp_path):
    noise(tmp_path / "output" / "a.png", 0, channels=4)
    with pytest.raises(UsageError, match="'composite' needs images of 4 channels, not 1"):
        load(tmp_path, inputs={"source": condition("composite")}, channels=1)
    assert build("composite", 4).stored == SampleSpec(Field((4, 16, 24))) != ImageSpec(16, 4)
