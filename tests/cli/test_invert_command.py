"""`ganzoo invert` on files: the folder that it writes, what reads it again, and that a refusal writes nothing."""

import errno
import json
import signal
from dataclasses import replace

import numpy
import pytest
import small
import tiny
import torch
from PIL import Image
from safetensors.torch import load_file
from translators import installed_plugin, spec, translator

import ganzoo
from ganzoo import Part
from ganzoo.cli import main
from ganzoo.files import atomic
from ganzoo.models.latents import images_of, read_latents

SHORT = ("--steps", "3", "--draws", "20", "--starts", "1", "--threads", "1")


def call(*words) -> int:
    """The exit code of a command line, run in this process."""
    with pytest.raises(SystemExit) as ended:
        main(list(map(str, words)))
    return ended.value.code


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    """A model folder of a small DCGAN, 32 pixels."""
    folder = tmp_path_factory.mktemp("models") / "model"
    built = tiny.built_in("dcgan")
    built.config = replace(built.config, generator=Part("dcgan", tiny.GENERATORS["dcgan"][1]))
    built.save(folder)
    return folder


@pytest.fixture
def photos(tmp_path):
    """A wide picture, a transparent one, and a grey one of the right size."""
    folder = tmp_path / "photos"
    folder.mkdir()
    Image.linear_gradient("L").resize((64, 40)).convert("RGB").save(folder / "a.png")
    Image.new("RGBA", (40, 40), (255, 0, 0, 100)).save(folder / "b.webp", lossless=True)
    Image.linear_gradient("L").resize((32, 32)).save(folder / "c.png")
    return folder


def test_a_folder_holds_report_latents_and_picture(model, photos, tmp_path, capsys):
    out = tmp_path / "found"
    assert call("invert", model, photos, *SHORT, "--out", out, "--edits", "1") == 0
    said = capsys.readouterr()
    assert "1 cropped" in said.err and "1 put on white" in said.err and "32 x 32" in said.err
    assert said.out.count("PSNR") == 3 and "3 images in z" in said.out
    assert sorted(path.name for path in out.iterdir()) == ["inversion.png", "latents.safetensors", "report.json"]
    report = json.loads((out / "report.json").read_text())
    assert [row["image"] for row in report["images"]] == [str(photos / name) for name in ("a.png", "b.webp", "c.png")]
    assert all(row["distance"] <= row["start"] for row in report["images"])
    loaded = ganzoo.load(model)
    latents = read_latents(out / "latents.safetensors", loaded)
    target = torch.tensor(numpy.asarray(Image.open(photos / "c.png"))).view(1, 1, 32, 32).float() / 127.5 - 1
    square = (images_of(loaded, latents[2:]) - target).square().mean()
    assert report["images"][2]["psnr"] == pytest.approx(float(-10 * torch.log10(square / 4)), abs=1e-3)
    with Image.open(out / "inversion.png") as picture:  # target, projection, and two ends of a direction
        assert picture.width > 4 * 32 and picture.height > 3 * 32
    assert not [path for path in tmp_path.iterdir() if path.name.startswith(".")]


def test_the_latents_are_drawn_again_moved_and_walked(model, photos, tmp_path, capsys):
    out, file = tmp_path / "found", tmp_path / "found" / "latents.safetensors"
    assert call("invert", model, photos, *SHORT, "--out", out, "--edits", "0", "--json") == 0
    assert json.loads(capsys.readouterr().out) == json.loads((out / "report.json").read_text())
    assert call("sample", model, "--latents", file, "--out", tmp_path / "drawn") == 0
    drawn = numpy.stack([numpy.asarray(Image.open(path)) for path in sorted((tmp_path / "drawn").iterdir())])
    assert call("sample", model, "--latents", file, "--out", tmp_path / "drawn.npz") == 0
    arrays = numpy.load(tmp_path / "drawn.npz")["images"]
    assert len(drawn) == 3 and numpy.array_equal(arrays[..., 0], drawn)
    for words in (("sample", "--interpolate", "--columns", "3"), ("explore", "--directions", "1", "--steps", "3")):
        assert call(words[0], model, *words[1:], "--latents", file, "--out", tmp_path / f"{words[0]}.png") == 0
    assert call("sample", model, "--latents", file, "--out", tmp_path / "walk.gif") == 0
    with Image.open(tmp_path / "walk.gif") as walk:
        assert walk.n_frames > 12
    capsys.readouterr()
    for words in (
        ("sample", "-n", "3"),
        ("sample", "--seed", "1"),
        ("explore", "--samples", "2"),
        ("explore", "--mix", "0"),
    ):
        assert call(words[0], model, *words[1:], "--latents", file, "--out", tmp_path / "no.png") == 2
        assert "--latents" in capsys.readouterr().err and not (tmp_path / "no.png").exists()


def test_a_tuned_model_is_a_model(model, photos, tmp_path, capsys):
    out = tmp_path / "found"
    assert call("invert", model, photos / "c.png", *SHORT, "--tune", "5", "--out", out, "--json") == 0
    report = json.loads(capsys.readouterr().out)
    tuned = ganzoo.load(out / "tuned")
    assert tuned.config.training["tuned"]["of"]["model"] == model.name
    assert report["tuned"]["sha256"] == tuned.config.weights.sha256
    row = report["images"][0]
    assert row["psnr_tuned"] > row["psnr"]


def test_styles_and_noise_go_through_files(tmp_path):
    made = tiny.styled(channels=3)
    made.config = replace(made.config, generator=Part("stylegan2", tiny.STYLES))
    made.save(tmp_path / "model")
    Image.new("RGB", (20, 16), "olive").save(tmp_path / "a.jpg")
    words = ("--space", "w+", "--steps", "4", "--threads", "1")
    assert call("invert", tmp_path / "model", tmp_path / "a.jpg", *words, "--out", tmp_path / "found") == 0
    tensors = load_file(tmp_path / "found" / "latents.safetensors")
    assert tensors["style"].shape == (1, 6, 5) and [f"noise.{number}" in tensors for number in range(6)] == [
        True
    ] * 5 + [False]
    file = tmp_path / "found" / "latents.safetensors"
    assert (
        call("explore", tmp_path / "model", "--latents", file, "--layers", "coarse", "--out", tmp_path / "e.png") == 0
    )


def test_first_images_of_data(model, tmp_path, capsys):
    data = small.images(tmp_path / "data.npz")
    words = ("--data", data, "-n", "2", *SHORT, "--out", tmp_path / "found")
    assert call("invert", model, *words) == 0 and "data.npz 1" in capsys.readouterr().out
    assert call("invert", model, "--data", data, "-n", "999", *SHORT, "--out", tmp_path / "more") == 2
    assert "48 images" in capsys.readouterr().err and not (tmp_path / "more").exists()


def test_a_former_inversion_is_replaced_on_request_and_nothing_else(model, photos, tmp_path, capsys):
    out = tmp_path / "found"
    words = ("invert", model, photos / "c.png", *SHORT, "--edits", "0", "--out", out)
    assert call(*words) == 0
    before = (out / "report.json").stat().st_mtime_ns
    assert call(*words) == 2 and "--force" in capsys.readouterr().err
    assert call(*words, "--seed", "1", "--force") == 0
    assert (out / "report.json").stat().st_mtime_ns != before
    assert json.loads((out / "report.json").read_text())["seed"] == 1
    (out / "mine.txt").write_text("keep")
    assert call(*words, "--force") == 2 and "mine.txt" in capsys.readouterr().err
    assert (out / "mine.txt").read_text() == "keep"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["found", "photos"]


def test_a_disk_that_fails_leaves_the_former_inversion(model, photos, tmp_path, monkeypatch, capsys):
    out = tmp_path / "found"
    words = ("invert", model, photos / "c.png", *SHORT, "--edits", "0", "--out", out)
    assert call(*words) == 0
    before = (out / "report.json").read_bytes()

    def failing(path):
        if path.name.startswith(".tmp-"):
            raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(atomic, "fsync_folder", failing)
    assert call(*words, "--seed", "1", "--force") == 1
    assert "No space left" in capsys.readouterr().err.splitlines()[-1]
    assert (out / "report.json").read_bytes() == before
    assert sorted(path.name for path in tmp_path.iterdir()) == ["found", "photos"]


@pytest.mark.parametrize(
    "words, said",
    [
        (("{model}",), "IMAGES, or --data"),
        (("{model}", "{photos}", "--data", "fashion-mnist"), "that they are in, not both"),
        (("{model}", "{photos}", "-n", "3"), "--data"),
        (("{model}", "{photos}", "--space", "w"), "no styles"),
        (("{model}", "{photos}", "--out", "{photos}/found.png"), "folder"),
        (("{model}", "{photos}", "--noise"), "noise"),
        (("{model}", "{photos}", "--label", "bag"), "unconditional"),
        (("{model}", "{photos}/missing.png"), "missing.png"),
        (("{model}", "{photos}/c.png", "--space", "x"), "'z', 'w', 'w+'"),
        (("{model}", "{photos}", "--perceptual", "{photos}"), "photos"),
        (("{model}", "{photos}", "--perceptual", "{photos}/c.png"), "c.png"),
        (("{model}", "{photos}", "--rate", "0"), "--rate"),
        (("{model}", "{photos}", "--rate", "nan"), "no finite number"),
        (("{model}", "{photos}", "--rate", "inf"), "no finite number"),
    ],
)
def test_wrong_command_lines_write_nothing(words, said, model, photos, tmp_path, capsys):
    given = [word.format(model=model, photos=photos) for word in words]
    assert call("invert", "--out", tmp_path / "found", *given) in (1, 2)
    error = capsys.readouterr().err
    assert said in error and "Traceback" not in error and not (tmp_path / "found").exists()


def test_broken_images_and_models_of_something_else_are_a_line(model, photos, tmp_path, capsys):
    (photos / "d.png").write_bytes(b"no image")
    assert call("invert", model, photos, *SHORT, "--out", tmp_path / "found") == 1
    assert "d.png" in capsys.readouterr().err
    with installed_plugin():
        translator(spec(scale=2)).save(tmp_path / "translator")
        assert call("invert", tmp_path / "translator", photos, "--out", tmp_path / "found") == 2
        assert "ganzoo apply" in capsys.readouterr().err
    assert not (tmp_path / "found").exists()


@pytest.mark.parametrize("tune", [(), ("--tune", "9")])
def test_a_signal_ends_the_search_and_keeps_what_it_found(model, photos, tmp_path, capsys, monkeypatch, tune):
    steps = []

    def interrupted(self, done, total):
        steps.append(done)
        if done == (6 if tune else 2):  # the search has 4 or 300 steps
            signal.raise_signal(signal.SIGINT)

    if tune:
        monkeypatch.setattr("ganzoo.cli.invert._Bar.start", lambda self, what, images: steps.append(what))
    monkeypatch.setattr("ganzoo.cli.invert._Bar.step", interrupted)
    out = tmp_path / "found"
    words = ["--draws", "20", "--starts", "1", "--threads", "1", "--edits", "0", "--steps", "4" if tune else "300"]
    assert call("invert", model, photos, *words, *tune, "--out", out) == 130
    said = capsys.readouterr().err
    assert "SIGINT" in said and str(out) in said and ("no tuned model" in said) == bool(tune)
    assert len([step for step in steps if isinstance(step, int)]) < 300
    assert json.loads((out / "report.json").read_text())["stopped"] == "SIGINT"
    found = read_latents(out / "latents.safetensors", ganzoo.load(model))
    assert len(found) == 3 and not (out / "tuned").exists()


def test_more_starts_than_draws_are_refused(model, photos, tmp_path, capsys):
    out = tmp_path / "found"
    assert call("invert", model, photos, "--starts", "9", "--draws", "4", "--out", out) == 2
    said = capsys.readouterr().err
    assert "9 starts" in said and "not 4" in said and not out.exists()


def test_a_direction_that_moves_twice_is_refused(model, tmp_path, capsys):
    out = tmp_path / "moved.png"
    assert call("sample", model, "--move", "1=2", "--move", "2=1", "--move", "1=3", "--out", out) == 2
    assert "'1'" in capsys.readouterr().err and not out.exists()
