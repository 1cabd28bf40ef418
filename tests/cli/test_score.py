"""`ganzoo score` on folders: pairs by name, distributions, and every mismatch named at once."""

import json
import math

import numpy
import pytest
import torch
from PIL import Image

from ganzoo.cli import main
from ganzoo.metrics.frechet import frechet_distance
from ganzoo.metrics.image_sets import score_sets
from ganzoo.metrics.paired import PAIRED, ComparedPart, psnr, ssim
from ganzoo.registry.registry import registry


def call(*words) -> int:
    """The exit code of a command line, run in this process."""
    with pytest.raises(SystemExit) as ended:
        main(list(map(str, words)))
    return ended.value.code


def last_line(capsys) -> str:
    return capsys.readouterr().err.splitlines()[-1]


def folder_of(path, count: int = 3, size=(24, 24), mode: str = "RGB", seed: int = 0, noise: float = 0.0, kind="png"):
    """A folder of smooth images, the same for one seed, with noise on top."""
    random = numpy.random.default_rng(seed)
    path.mkdir(parents=True)
    for number in range(count):
        coarse = Image.fromarray(random.integers(0, 256, (4, 4, 3), numpy.uint8)).resize(size[::-1], Image.BICUBIC)
        pixels = numpy.asarray(coarse) + noise * random.standard_normal((*size, 3))
        Image.fromarray(pixels.clip(0, 255).astype(numpy.uint8)).convert(mode).save(path / f"{number}.{kind}")
    return path


@pytest.fixture
def sides(tmp_path):
    return folder_of(tmp_path / "made", noise=20.0), folder_of(tmp_path / "truth", kind="bmp")


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("GANZOO_CACHE", str(tmp_path / "cache"))


def test_pairs_have_the_numbers_of_the_functions(sides, capsys):
    assert call("score", *sides, "--paired", "--json") == 0
    found = json.loads(capsys.readouterr().out)
    assert found["pairs"] == 3 and set(found["metrics"]) == {"psnr", "ssim", "l1"}
    for row in found["images"]:
        stem = row["name"].removesuffix(".png")
        one, other = (
            torch.tensor(numpy.array(Image.open(file))).permute(2, 0, 1)[None] / 127.5 - 1
            for file in (sides[0] / row["name"], sides[1] / f"{stem}.bmp")
        )
        assert row["psnr"] == pytest.approx(psnr(one, other).item(), rel=1e-5)
        assert row["ssim"] == pytest.approx(ssim(one, other).item(), rel=1e-5)
    for name, mean in found["metrics"].items():
        assert mean == pytest.approx(sum(row[name] for row in found["images"]) / 3)


def test_transparency_that_is_not_compared_is_said(sides, tmp_path, capsys):
    clear = folder_of(tmp_path / "clear", mode="RGBA")
    assert call("score", clear, sides[1], "--paired") == 0
    assert "3 of 6 images are transparent" in capsys.readouterr().err
    assert call("score", clear, folder_of(tmp_path / "other", mode="RGBA"), "--paired", "--channels", "4") == 0
    assert "transparent" not in capsys.readouterr().err
    assert call("score", *sides, "--paired") == 0 and "transparent" not in capsys.readouterr().err
    call("score", folder_of(tmp_path / "few", count=8, size=(28, 28), mode="RGBA"), sides[1], "--metric", "frechet")
    assert "few': transparent images are put on white (8 of 8" in capsys.readouterr().err


def test_metrics_that_are_left_out_are_one_line(sides, capsys):
    assert call("score", *sides, "--paired", "--border", "8") == 0
    (line,) = [line for line in capsys.readouterr().err.splitlines() if "left out" in line]
    assert "ssim needs 11" in line and "ms-ssim needs 176" in line and "border of 8" in line
    assert call("score", *sides, "--paired", "--border", "12") == 2
    assert "at most 11" in last_line(capsys) and "left out" not in capsys.readouterr().err


def test_the_text_names_direction_and_what_is_left_out(sides, capsys):
    assert call("score", *sides, "--paired") == 0
    out, err = capsys.readouterr()
    assert "3 pairs" in out and "higher is better" in out and "lower is better" in out
    assert "ms-ssim" in err and "176" in err


def test_one_metric_and_equal_files(sides, capsys):
    file = sides[0] / "0.png"
    assert call("score", file, file, "--paired", "--metric", "psnr", "--json") == 0
    assert json.loads(capsys.readouterr().out)["metrics"] == {"psnr": "inf"}
    assert call("score", file, sides[1] / "1.bmp", "--paired", "--metric", "l1") == 0
    assert "1 pairs" in capsys.readouterr().out


def test_large_images_have_all_usual_metrics(tmp_path, capsys):
    made = folder_of(tmp_path / "made", 1, (PAIRED["ms-ssim"].least, 180), noise=9.0, mode="L")
    truth = folder_of(tmp_path / "truth", 1, (PAIRED["ms-ssim"].least, 180), mode="L")
    assert call("score", made, truth, "--paired", "--json") == 0
    assert set(json.loads(capsys.readouterr().out)["metrics"]) == {"psnr", "ssim", "ms-ssim", "l1"}


def test_grey_colour_and_transparency(tmp_path, capsys):
    grey, colour = folder_of(tmp_path / "grey", mode="L"), folder_of(tmp_path / "colour")
    clear = folder_of(tmp_path / "clear", mode="RGBA")
    for pair, options, expected in (
        ((grey, colour), ("--channels", 1), math.inf),
        ((clear, colour), (), math.inf),
        ((clear, colour), ("--channels", 4), math.inf),
    ):
        assert call("score", *pair, "--paired", "--metric", "psnr", "--json", *options) == 0
        assert float(json.loads(capsys.readouterr().out)["metrics"]["psnr"]) == expected
    assert call("score", grey, colour, "--paired", "--metric", "psnr", "--json") == 0
    assert float(json.loads(capsys.readouterr().out)["metrics"]["psnr"]) < 40


def test_luma_and_border_are_those_of_the_functions(sides, capsys):
    words = ("score", *sides, "--paired", "--metric", "psnr", "--metric", "ssim", "--json")
    assert call(*words, "--luma", "--border", 3) == 0
    found = json.loads(capsys.readouterr().out)
    part = ComparedPart(luma=True, border=3)
    one, other = (
        part(torch.tensor(numpy.array(Image.open(file))).permute(2, 0, 1)[None] / 127.5 - 1)
        for file in (sides[0] / "0.png", sides[1] / "0.bmp")
    )
    assert one.shape == (1, 1, 18, 18)
    assert found["images"][0]["psnr"] == pytest.approx(psnr(one, other).item(), rel=1e-5)
    assert found["images"][0]["ssim"] == pytest.approx(ssim(one, other).item(), rel=1e-5)
    assert call(*words) == 0
    assert json.loads(capsys.readouterr().out)["metrics"] != found["metrics"]


def test_files_without_a_partner_are_named_at_once(sides, capsys):
    (sides[0] / "1.png").rename(sides[0] / "extra.png")
    (sides[1] / "2.bmp").unlink()
    assert call("score", *sides, "--paired") == 1
    line = last_line(capsys)
    assert all(name in line for name in ("extra.png", "1.bmp", "2.png")) and "0.png" not in line


def test_bad_files_and_sizes_that_differ_are_named_at_once(sides, tmp_path, capsys):
    for name in ("0.bmp", "2.bmp"):
        Image.open(sides[1] / name).resize((20, 24)).save(sides[1] / name)
    assert call("score", *sides, "--paired") == 1
    line = last_line(capsys)
    assert "0.png" in line and "2.png" in line and "1.png" not in line and "24 x 20" in line
    (sides[0] / "1.png").write_bytes(b"no image")
    (sides[1] / "2.bmp").write_bytes(b"no image")
    assert call("score", *sides, "--paired") == 1
    line = last_line(capsys)
    assert "1.png" in line and "2.bmp" in line


@pytest.mark.parametrize(
    "words, code, fact",
    [
        (("made", "truth", "--paired", "--metric", "sim"), 2, "ssim"),
        (("made", "truth", "--paired", "--metric", "ms-ssim"), 2, "176"),
        (("made", "truth", "--paired", "--metric", "lpips"), 2, "GANZOO_LPIPS_WEIGHTS"),
        (("made", "truth", "--paired", "--image-size", "8"), 2, "--image-size"),
        (("made", "truth/0.bmp", "--paired"), 2, "folder"),
        (("made", "truth", "--luma"), 2, "--paired"),
        (("made", "truth", "--border", "2"), 2, "--paired"),
        (("made", "truth", "--paired", "--border", "7", "--metric", "ssim"), 2, "11"),
        (("made", "truth", "--paired", "--border", "12", "--metric", "l1"), 2, "border"),
        (("made", "truth", "--paired", "--device", "cpu"), 2, "--model"),
        (("made", "nothing", "--paired"), 2, "nothing"),
        (("made", "nothing"), 2, "nothing"),
        (("made", "truth"), 2, "6"),
        (("made", "truth", "--metric", "frechet", "--channels", "4"), 2, "--paired"),
        (("made", "truth", "--metric", "inception-score", "--extractor", "random-cnn"), 2, "classifier"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else str(value),
)
def test_what_cannot_be_scored_is_a_line(sides, tmp_path, capsys, monkeypatch, words, code, fact):
    monkeypatch.chdir(tmp_path)
    small = [word if "/" not in word and word not in ("made", "truth", "nothing") else f"./{word}" for word in words]
    if "lpips" in words:
        for side in sides:
            for file in side.iterdir():
                Image.open(file).resize((40, 40)).save(file)
    assert call("score", *small) == code
    assert fact in last_line(capsys)


def test_distributions_are_those_of_the_features(tmp_path, capsys):
    made, truth = folder_of(tmp_path / "made", 8, noise=30.0, seed=1), folder_of(tmp_path / "truth", 9, seed=2)
    assert call("score", made, truth, "--json") == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["images"], found["reference"], found["size"], found["channels"]) == (8, 9, 24, 3)
    assert found["extractor"] == "random-cnn"
    names = {"frechet", "kid", "kid-deviation", "precision", "recall", "density", "coverage"}
    assert set(found["metrics"]) == {f"{name}[random-cnn]" for name in names}
    network = registry().get("extractors", "random-cnn")()
    features = [
        network(
            torch.stack(
                [
                    torch.tensor(numpy.array(Image.open(file))).permute(2, 0, 1) / 127.5 - 1
                    for file in sorted(side.iterdir())
                ]
            )
        )
        for side in (truth, made)
    ]
    assert found["metrics"]["frechet[random-cnn]"] == pytest.approx(frechet_distance(*features), rel=1e-4)
    assert call("score", made, truth, "--metric", "frechet") == 0
    assert "lower is better" in capsys.readouterr().out


def test_a_folder_against_a_data_set(tmp_path):
    made = folder_of(tmp_path / "made", 8, (28, 28), mode="L")
    numbers, facts = score_sets(str(made), "fashion-mnist-test", registry(), metrics=["frechet"])
    assert (facts["reference"], facts["size"], facts["extractor"]) == (10_000, 28, "fashion-cnn")
    assert numbers["frechet[fashion-cnn]"] > 0


def test_sets_of_several_sizes_need_one(tmp_path, capsys):
    made, truth = folder_of(tmp_path / "made", 8), folder_of(tmp_path / "truth", 8, (32, 48), seed=3)
    Image.open(made / "0.png").resize((30, 30)).save(made / "0.png")
    assert call("score", made, truth) == 2
    assert "--image-size" in last_line(capsys)
    assert call("score", made, truth, "--image-size", 16, "--metric", "kid") == 0


def test_one_grey_side_is_compared_in_colour(tmp_path, capsys):
    made, truth = folder_of(tmp_path / "made", 8, mode="L"), folder_of(tmp_path / "truth", 8)
    assert call("score", made, truth, "--json") == 0
    assert json.loads(capsys.readouterr().out)["channels"] == 3
