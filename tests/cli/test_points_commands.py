"""Commands on a run whose samples are points: `sample`, `animate`, and the refusals of the others."""

from __future__ import annotations

import io

import numpy
import pytest
from PIL import Image

from ganzoo.cli import main


def call(*words) -> int:
    with pytest.raises(SystemExit) as ended:
        main(list(map(str, words)))
    return ended.value.code


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("points") / "run"
    words = ["--data", "ring", "--steps", "6", "--sample-every", "2", "--batch-size", "8", "--threads", "1"]
    assert call("train", "points", *words, "--device", "cpu", "--out", folder, "--quiet") == 0
    return folder


def test_arrays_and_a_picture(run, tmp_path):
    assert call("sample", run, "-n", 5, "--out", tmp_path / "x.npz") == 0
    assert call("sample", run, "--out", tmp_path / "x.png") == 0
    points = numpy.load(tmp_path / "x.npz")["points"]
    assert points.shape == (5, 2) and points.dtype == numpy.float32
    assert Image.open(tmp_path / "x.png").size == (480, 480)


@pytest.mark.parametrize(
    "words, fact",
    [
        (["sample", "--out", "x.gif"], ".npz"),
        (["sample", "--out", "folder"], ".npz"),
        (["sample", "--out", "x.png", "--columns", "3"], "--columns"),
        (["sample", "--out", "x.png", "--interpolate"], "--interpolate"),
        (["sample", "--out", "x.png", "--classes"], "--classes"),
        (["explore", "--out", "x.png"], "points"),
    ],
)
def test_what_only_images_have_is_refused_in_one_line(run, tmp_path, monkeypatch, capsys, words, fact):
    monkeypatch.chdir(tmp_path)
    assert call(words[0], run, *words[1:]) == 2
    line = capsys.readouterr().err
    assert fact in line and len(line.splitlines()) == 1 and not list(tmp_path.iterdir())


def test_a_bench_names_what_it_cannot_score(tmp_path, capsys):
    assert call("bench", "--train", "points", "--data", "ring", "--steps", 2, "--out", tmp_path / "bench") == 2
    assert "'points' draws points" in capsys.readouterr().err


def test_an_animation_has_the_pictures_in_their_order(run, tmp_path, capsys):
    out = tmp_path / "x.gif"
    assert call("animate", run, "--out", out, "--width", 120, "--seconds", 0.1) == 0
    assert "4 frames" in capsys.readouterr().err
    movie = Image.open(out)
    assert movie.size == (120, 120) and movie.is_animated and movie.info["duration"] >= 100
    first = (
        Image.open(run / "samples" / "step-000000000.png").convert("RGB").resize((120, 120), Image.Resampling.LANCZOS)
    )
    gap = numpy.abs(numpy.asarray(movie.convert("RGB"), int) - numpy.asarray(first, int)).mean()
    assert gap < 8  # the palette has 64 colours


def test_animations_that_cannot_be_made_are_refused_in_one_line(run, tmp_path, capsys):
    few = tmp_path / "few"
    (few / "samples").mkdir(parents=True)
    picture = io.BytesIO()
    Image.new("L", (8, 8)).save(picture, "PNG")
    (few / "samples" / "step-000000001.png").write_bytes(picture.getvalue())
    assert call("animate", few, "--out", tmp_path / "x.gif") == 2 and "1 pictures" in capsys.readouterr().err
    (few / "samples" / "step-000000002.png").write_bytes(b"no picture")
    assert call("animate", few, "--out", tmp_path / "x.gif") == 2
    assert "step-000000002.png is no picture" in capsys.readouterr().err
    (few / "samples" / "step-000000002.png").unlink()
    (few / "samples" / "step-000000002.png").symlink_to(run / "samples.png")
    assert call("animate", few, "--out", tmp_path / "x.gif") == 1 and "is a link" in capsys.readouterr().err
    assert call("animate", tmp_path / "absent", "--out", tmp_path / "x.gif") == 2
    assert "give the folder of a run" in capsys.readouterr().err
    assert call("animate", run, "--out", tmp_path / "x.png") == 2 and ".gif" in capsys.readouterr().err
    assert not (tmp_path / "x.gif").exists()
