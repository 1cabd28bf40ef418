"""A rectangle of four channels from transparent pictures to samples, arrays, a card and an exported file."""

from __future__ import annotations

import json

import numpy
import pytest
import small
import torch
from PIL import Image

import ganzoo
from ganzoo.files.pictures import CHECKER, opaque
from ganzoo.publish.model_card import model_card, tags

HEIGHT, WIDTH = 16, 32
SHAPE = (4, HEIGHT, WIDTH)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A run of three steps with an augmentation of colour and place, and one more step after it was resumed."""
    folder = tmp_path_factory.mktemp("rgba")
    (folder / "icons").mkdir()
    random = numpy.random.default_rng(0)
    for number in range(8):
        pixels = random.integers(0, 256, (HEIGHT, WIDTH, 4), dtype=numpy.uint8)
        pixels[:, : WIDTH // 2, 3] = 0
        Image.fromarray(pixels).save(folder / "icons" / f"{number}.png")
    words = [
        "train",
        "dcgan",
        "--data",
        "icons",
        "--image-size",
        f"{HEIGHT}x{WIDTH}",
        "--channels",
        "4",
        "--threads",
        "1",
    ]
    words += ["--batch-size", "4", "--device", "cpu", "--with", "ada", "--set", "augmentation.start=1", "--out", "run"]
    cache = str(folder / "cache")
    for more in (["--steps", "3"], ["--steps", "4", "--resume"]):
        done = small.forked_ganzoo(*words, *small.narrow("dcgan"), *more, cwd=folder, GANZOO_CACHE=cache)
        assert done.returncode == 0, done.stderr
    return folder / "run"


def sampled(run, out, *more):
    done = small.forked_ganzoo("sample", f"./{run.name}", "-n", "3", "--out", out, *more, cwd=run.parent)
    assert done.returncode == 0, done.stderr
    return run.parent / out


def test_the_run_knows_its_shape_and_measures_diversity(run):
    assert json.loads((run / "config.json").read_text())["image"]["output"]["shape"] == list(SHAPE)
    assert small.steps_of(run)[0] == 4
    measured = [record for record in small.records(run) if "diversity" in json.dumps(record)]
    assert measured, "the collapse monitor compares images of four channels too"


def test_samples_are_transparent_files_and_arrays_and_a_grid_over_a_checkerboard(run):
    with numpy.load(sampled(run, "x.npz")) as arrays:
        assert arrays["images"].shape == (3, HEIGHT, WIDTH, 4) and arrays["images"].dtype == numpy.uint8
    for number in range(3):
        with Image.open(sampled(run, "files", "--force") / f"{number:06d}.png") as picture:
            assert (picture.mode, picture.size) == ("RGBA", (WIDTH, HEIGHT))
    with Image.open(sampled(run, "grid.png")) as grid, Image.open(run / "samples.png") as own:
        assert grid.mode == "RGB" and own.mode == "RGB"
    clear = torch.full((1, *SHAPE), -1.0)
    board = opaque(clear)[0, 0]
    assert board[0, 0] != board[0, CHECKER] and board[0, 0] == board[CHECKER, CHECKER]


def test_the_card_and_an_exported_file_have_the_shape(run, tmp_path):
    model = ganzoo.load(str(run))
    assert model.sample(2).shape == (2, *SHAPE) and model.sample_pil(1)[0].mode == "RGBA"
    assert f"{HEIGHT}x{WIDTH}" in tags(model.config)
    card = model_card("owner/name", model.config, None)
    assert f"{HEIGHT}x{WIDTH} images with alpha" in card and f"(64, {', '.join(map(str, SHAPE))})" in card
    done = small.forked_ganzoo("export", str(run), "--format", "torchscript", "--out", "x.pt", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    graph = torch.jit.load(tmp_path / "x.pt")
    latents = model.latent(2, 0)
    torch.testing.assert_close(graph(latents), model.sample(2, seed=0), rtol=0, atol=1e-4)


@pytest.mark.parametrize(
    "words, parts",
    [
        (["sngan", "--image-size", "16x32"], ("draws squares, not 16 x 32", "--image-size 32", "dcgan")),
        (["dcgan", "--image-size", "20x32"], ("multiples of 16", "not 20x32", "--image-size 16x32")),
        (["dcgan", "--image-size", "16x"], ("16x", "64x128")),
        (["dcgan", "--channels", "2"], ("'1', '3', '4'",)),
    ],
)
def test_other_sizes_and_channels_are_one_line(run, tmp_path, words, parts):
    data = ["--data", str(run.parent / "icons"), "--batch-size", "4", "--out", "bad"]
    done = small.forked_ganzoo("train", *words, *data, cwd=tmp_path, GANZOO_CACHE=str(tmp_path))
    assert done.returncode == 2 and all(part in done.stderr for part in parts), done.stderr
    assert len(done.stderr.strip().splitlines()) == 1 + done.stderr.count("Usage") + done.stderr.count("Try ")
    assert not (tmp_path / "bad").exists()


def test_sizes_of_a_rule_are_listed():
    done = small.forked_ganzoo("list", "dcgan", "--json")
    card = json.loads(done.stdout)[0]
    assert card["sizes"] == [64, 32]
    assert card["size_rule"] == {"powers": False, "multiple": 16, "least": 16, "most": 256, "square": False}
    assert json.loads(small.forked_ganzoo("list", "wgan-gp-mnist", "--json").stdout)[0]["size_rule"] is None
    assert "32/64 px (16-256)" in small.forked_ganzoo("list", "dcgan").stdout
    shown = small.forked_ganzoo("show", "dcgan").stdout
    assert "64, 32, and multiples of 16 from 16 to 256 pixels, height and width apart" in shown
