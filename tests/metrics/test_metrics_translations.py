"""Models of images scored on data whose truth is known: the numbers of their outputs, and of the sources themselves."""

import json

import numpy
import pytest
import torch
from PIL import Image
from torch.nn import functional
from translators import installed_plugin, sources, spec, translator

from ganzoo import Part
from ganzoo.cli import main
from ganzoo.errors import UsageError
from ganzoo.files.pictures import to_pillow, to_uint8
from ganzoo.metrics.paired import l1
from ganzoo.metrics.translations import score_model
from ganzoo.registry.registry import registry
from ganzoo.variant import Field, SampleSpec


def call(*words) -> int:
    """The exit code of a command line, run in this process."""
    with pytest.raises(SystemExit) as ended:
        main(list(map(str, words)))
    return ended.value.code


def folder_of(path, count: int = 5, channels: int = 3, seed: int = 0, size: int = 16):
    """Smooth images with `channels`."""
    path.mkdir()
    coarse = sources(count, size // 4, size // 4, channels, seed)
    smooth = functional.interpolate(coarse, (size, size), mode="bicubic").clamp(-1, 1)
    for number, image in enumerate(to_uint8(smooth)):
        to_pillow(image).save(path / f"{number}.png")
    return path


def read(folder) -> torch.Tensor:
    """The images of a folder, (N, C, H, W) in [-1, 1]."""
    found = [numpy.array(Image.open(file)) for file in sorted(folder.iterdir())]
    return torch.tensor(numpy.stack(found)).permute(0, 3, 1, 2) / 127.5 - 1


@pytest.fixture(scope="module", autouse=True)
def plugin():
    with installed_plugin():
        yield


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("GANZOO_CACHE", str(tmp_path / "cache"))


def test_the_numbers_are_those_of_applying_and_scoring(tmp_path, capsys):
    truth, lines = folder_of(tmp_path / "truth"), folder_of(tmp_path / "lines", seed=1)
    translator().save(tmp_path / "model")
    assert call("score", truth, "--source", lines, "--model", tmp_path / "model", "--json") == 0
    found = json.loads(capsys.readouterr().out)
    assert call("apply", tmp_path / "model", lines, "--out", tmp_path / "made") == 0
    for side, folder in (("metrics", tmp_path / "made"), ("source", lines)):
        capsys.readouterr()
        assert call("score", folder, truth, "--paired", "--json") == 0
        expected = json.loads(capsys.readouterr().out)
        assert found["pairs"] == expected["pairs"] == 5
        assert found[side] == pytest.approx(expected["metrics"], rel=2e-3)  # a rounding may fall to either side
    assert call("score", truth, "--source", lines, "--model", tmp_path / "model") == 0
    out = capsys.readouterr().out
    assert "5 pairs" in out and "model" in out and "source" in out and "lower is better" in out


def test_luma_and_border_of_a_model_are_those_of_its_files(tmp_path, capsys):
    truth, lines = folder_of(tmp_path / "truth"), folder_of(tmp_path / "lines", seed=1)
    translator().save(tmp_path / "model")
    words = ("--metric", "psnr", "--luma", "--border", 2, "--json")
    assert call("score", truth, "--source", lines, "--model", tmp_path / "model", "--device", "cpu", *words) == 0
    found = json.loads(capsys.readouterr().out)["source"]["psnr"]
    assert call("score", lines, truth, "--paired", *words) == 0
    assert found == pytest.approx(json.loads(capsys.readouterr().out)["metrics"]["psnr"], rel=1e-5)
    assert call("score", lines, truth, "--paired", *words[:2], "--json") == 0
    assert found != pytest.approx(json.loads(capsys.readouterr().out)["metrics"]["psnr"], rel=1e-3)


def test_pairs_side_by_side(tmp_path, capsys):
    truth, lines = folder_of(tmp_path / "truth"), folder_of(tmp_path / "lines", seed=1)
    (tmp_path / "joined").mkdir()
    for file in truth.iterdir():
        whole = Image.new("RGB", (32, 16))
        whole.paste(Image.open(lines / file.name), (0, 0)), whole.paste(Image.open(file), (16, 0))
        whole.save(tmp_path / "joined" / file.name)
    model = translator()
    apart = score_model(model, str(truth), registry(), source=str(lines))
    joined = score_model(model, str(tmp_path / "joined"), registry(), side_by_side=True)
    turned = score_model(model, str(tmp_path / "joined"), registry(), side_by_side=True, direction="BtoA")
    assert joined.model.means == apart.model.means
    assert turned.source.means == pytest.approx(apart.source.means) and turned.model.means != apart.model.means


def test_sources_that_a_condition_computes(tmp_path):
    truth = folder_of(tmp_path / "truth")
    images = read(truth)
    model = translator(spec(source=1))
    model.config.inputs["source"] = Part("grey")
    found = score_model(model, str(truth), registry(), metrics=["l1"])
    luma = (images * torch.tensor([0.299, 0.587, 0.114]).view(1, 3, 1, 1)).sum(1, keepdim=True)
    made = model.generate(torch.zeros(5, 0), source=luma).clamp(-1, 1)
    assert torch.tensor(found.model.values["l1"]) == pytest.approx(l1(made, images), abs=2 / 255)
    assert found.source.values["l1"] == pytest.approx(l1(luma.expand(-1, 3, -1, -1), images).tolist(), abs=1e-5)


@pytest.mark.parametrize(
    "name, options, image, channels",
    [
        ("downscale", {"factor": 2}, spec(8, scale=2), 3),
        ("mask", {"shape": "left"}, spec(source=4), 3),
        ("composite", {}, spec(output=1), 4),
        ("edges", {}, spec(source=1), 3),
    ],
)
def test_every_condition_has_a_score_and_a_baseline(tmp_path, name, options, image, channels):
    truth = folder_of(tmp_path / "truth", channels=channels)
    model = translator(image)
    model.config.inputs["source"] = Part(name, options)
    found = score_model(model, str(truth), registry())
    again = score_model(model, str(truth), registry())
    assert found == again and set(found.model.means) == set(found.source.means) == {"psnr", "ssim", "l1"}
    if name == "mask":  # the right half is the truth, the left one grey
        images = read(truth)
        expected = images.clone()
        expected[..., :8] = 0
        assert found.source.values["l1"] == pytest.approx(l1(expected, images).tolist(), abs=1e-6)


def test_what_cannot_be_scored_is_refused(tmp_path, capsys):
    truth = folder_of(tmp_path / "truth")
    translator().save(tmp_path / "model")
    for words, fact in (
        ((truth, "--model", "gan.fashion-mnist"), "ganzoo sample"),
        ((truth, truth, "--model", tmp_path / "model"), "--model"),
        ((truth, "--source", truth), "--model"),
        ((truth,), "REFERENCE"),
        ((truth, "--model", tmp_path / "model"), "--source"),
        ((truth, "--model", tmp_path / "model", "--image-size", 8), "--image-size"),
        ((truth, "--model", tmp_path / "model", "--source", truth, "--metric", "ms-ssim"), "176"),
    ):
        capsys.readouterr()
        assert call("score", *words) in (1, 2), words
        assert fact in capsys.readouterr().err.splitlines()[-1], words
    model = translator()
    model.config.inputs["source"] = Part("grey")
    with pytest.raises(UsageError, match="shape"):
        score_model(model, str(truth), registry())
    with pytest.raises(UsageError, match="grey"):
        score_model(model, str(truth), registry(), source=str(truth))
    labelled = translator(spec(classes=2))
    with pytest.raises(UsageError, match="classes"):
        score_model(labelled, str(truth), registry(), source=str(truth))
    wide = translator(SampleSpec(Field((3, 16, 32)), {"source": Field((3, 16, 32))}))
    assert len(score_model(wide, str(truth), registry(), source=str(truth)).model.names) == 5
