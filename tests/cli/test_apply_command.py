"""`ganzoo apply` on files: names, kinds, sizes, and that a refusal writes nothing."""

import json
from pathlib import Path

import numpy
import pytest
import small
from PIL import Image
from translators import NAME, installed_plugin, sources, spec, translator

import ganzoo
from ganzoo.cli import main
from ganzoo.files.pictures import to_pillow, to_uint8


def call(*words) -> int:
    """The exit code of a command line, run in this process."""
    with pytest.raises(SystemExit) as ended:
        main(list(map(str, words)))
    return ended.value.code


def picture(height: int, width: int, mode: str = "RGB", seed: int = 0) -> Image.Image:
    channels = len(Image.new(mode, (1, 1)).getbands())
    return to_pillow(to_uint8(sources(1, height, width, channels, seed))[0])


def pixels(path) -> numpy.ndarray:
    with Image.open(path) as image:
        return numpy.asarray(image).astype(int)


@pytest.fixture(scope="module", autouse=True)
def plugin():
    with installed_plugin():
        yield


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    folder = tmp_path_factory.mktemp("models") / "model"
    translator(spec(scale=2)).save(folder)
    return folder


@pytest.fixture
def photos(tmp_path):
    """Images of two sizes in a folder with a folder inside, beside a note."""
    folder = tmp_path / "photos"
    (folder / "more").mkdir(parents=True)
    picture(16, 20).save(folder / "a.png")
    picture(17, 11, seed=1).save(folder / "b.webp", lossless=True)
    picture(16, 20, seed=2).convert("L").save(folder / "more" / "c.png")
    (folder / "note.txt").write_text("no image")
    return folder


def test_a_folder_keeps_its_names_and_every_image_its_size(model, photos, tmp_path, capsys):
    assert call("apply", model, photos, "--out", tmp_path / "out", "--json") == 0
    records = json.loads(capsys.readouterr().out)
    out = tmp_path / "out"
    assert sorted(str(path.relative_to(out)) for path in out.rglob("*.*")) == ["a.png", "b.png", "more/c.png"]
    assert [(record["width"], record["height"]) for record in records] == [(40, 32), (22, 34), (40, 32)]
    assert [record["output"] for record in records] == [str(out / name) for name in ("a.png", "b.png", "more/c.png")]
    assert records[1]["source"] == str(photos / "b.webp")
    loaded = ganzoo.load(model)
    for record in records:
        with Image.open(record["source"]) as given:
            expected = numpy.asarray(loaded.apply(given)).astype(int)
        assert abs(pixels(record["output"]) - expected).max() <= 1


def test_one_image_becomes_one_file(model, photos, tmp_path):
    for name in ("one.png", "one.jpg", "one.webp"):
        assert call("apply", model, photos / "a.png", "--out", tmp_path / name) == 0
        with Image.open(tmp_path / name) as written:
            assert written.size == (40, 32)
    assert call("apply", model, photos / "a.png", "--out", tmp_path / "one.png") == 2
    assert call("apply", model, photos / "b.webp", "--out", tmp_path / "one.png", "--force") == 0
    with Image.open(tmp_path / "one.png") as written:
        assert written.size == (22, 34)


def test_tiles_change_nothing(model, photos, tmp_path):
    assert call("apply", model, photos / "a.png", "--out", tmp_path / "whole.png") == 0
    assert call("apply", model, photos / "a.png", "--out", tmp_path / "tiled.png", "--tile", 4) == 0
    assert abs(pixels(tmp_path / "whole.png") - pixels(tmp_path / "tiled.png")).max() <= 1


def test_side_by_side_shows_the_source_first(model, photos, tmp_path):
    assert call("apply", model, photos / "a.png", "--out", tmp_path / "both.png", "--side-by-side") == 0
    assert call("apply", model, photos / "a.png", "--out", tmp_path / "one.png") == 0
    both = pixels(tmp_path / "both.png")
    assert both.shape == (32, 80, 3)
    assert (both[::2, :40:2] == pixels(photos / "a.png")).all()
    assert (both[:, 40:] == pixels(tmp_path / "one.png")).all()


def test_rotation_and_transparency(model, tmp_path):
    image = picture(16, 20)
    image.save(tmp_path / "upright.png")
    exif = Image.Exif()
    exif[0x0112] = 6
    image.transpose(Image.Transpose.ROTATE_90).save(tmp_path / "turned.png", exif=exif)
    picture(16, 20, "RGBA").save(tmp_path / "clear.png")
    words = [tmp_path / name for name in ("upright.png", "turned.png", "clear.png")]
    assert call("apply", model, *words, "--out", tmp_path / "out", "--keep-alpha") == 0
    assert (pixels(tmp_path / "out" / "upright.png") == pixels(tmp_path / "out" / "turned.png")).all()
    with Image.open(tmp_path / "out" / "clear.png") as written:
        assert written.mode == "RGBA"
    assert call("apply", model, tmp_path / "clear.png", "--out", tmp_path / "x.jpg", "--keep-alpha") == 2
    assert not (tmp_path / "x.jpg").exists()


def test_an_existing_folder_is_filled_only_if_that_is_asked_for(model, photos, tmp_path, capsys):
    out = tmp_path / "out"
    out.mkdir()
    (out / "kept.txt").write_text("mine")
    assert call("apply", model, photos, "--out", out) == 2
    assert "in the way" in capsys.readouterr().err
    assert call("apply", model, photos, "--out", out, "--force") == 0
    assert (out / "kept.txt").read_text() == "mine" and (out / "more" / "c.png").exists()


def test_bad_files_are_a_line_each_and_the_others_are_written(model, photos, tmp_path, capsys):
    (photos / "broken.png").write_bytes((photos / "a.png").read_bytes()[:200])
    (photos / "text.jpg").write_text("no image")
    assert call("apply", model, photos, "--out", tmp_path / "out", "--json") == 1
    output = capsys.readouterr()
    lines = output.err.splitlines()
    assert "broken.png" in lines[-1] and "text.jpg" in lines[-1] and "a.png" not in lines[-1] and "other 3" in lines[-1]
    for name in ("broken.png", "text.jpg"):
        assert [line.startswith("Error") for line in lines[:-1] if name in line] == [True]
    records = json.loads(output.out)
    assert [Path(record["source"]).name for record in records if "error" in record] == ["broken.png", "text.jpg"]
    written = sorted(str(path.relative_to(tmp_path / "out")) for path in (tmp_path / "out").rglob("*.*"))
    assert written == ["a.png", "b.png", "more/c.png"]


def test_outputs_of_one_name_are_named_together(model, photos, tmp_path, capsys):
    picture(8, 8).save(photos / "a.webp")
    assert call("apply", model, photos, "--out", tmp_path / "out") == 1
    line = capsys.readouterr().err.splitlines()[-1]
    assert "a.png" in line and "a.webp" in line and "b.webp" not in line
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    "words, fact",
    [
        (("photos", "--out", "out.png"), "folder"),
        (("photos", "--out", "out.gif"), ".gif"),
        (("photos/a.png", "nothing.png", "none", "--out", "out"), "none"),
        (("photos/a.png", "--out", "out", "--label", "cat"), "cat"),
        (("photos/a.png", "--out", "out", "--tile", "0"), "tile"),
    ],
    ids=" ".join,
)
def test_wrong_usage_is_a_line(model, photos, tmp_path, capsys, monkeypatch, words, fact):
    monkeypatch.chdir(tmp_path)
    assert call("apply", model, *words) == 2
    assert fact in capsys.readouterr().err.splitlines()[-1]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["photos"]


def test_the_tiles_of_instance_norm_are_refused(photos, tmp_path, capsys):
    translator(coupling="instance").save(tmp_path / "model")
    words = ("apply", tmp_path / "model", photos / "a.png", "--out", tmp_path / "out")
    assert call(*words, "--tile", 16) == 2
    assert "--tile" in capsys.readouterr().err.splitlines()[-1]
    assert not (tmp_path / "out").exists()
    assert call(*words) == 0


def test_a_model_of_latents_says_what_to_use(photos, tmp_path, capsys):
    assert call("apply", "gan.fashion-mnist", photos, "--out", tmp_path / "out") == 2
    assert "ganzoo sample" in capsys.readouterr().err.splitlines()[-1]


def test_a_fresh_process_with_the_built_in_plugins_names_the_missing_one(model, photos, tmp_path):
    done = small.ganzoo("apply", str(model), str(photos), "--out", str(tmp_path / "out"))
    assert done.returncode == 1 and NAME in done.stderr and "Traceback" not in done.stderr


def test_a_run_is_trained_applied_scored_and_trained_on(photos, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("GANZOO_CACHE", str(tmp_path / "cache"))
    for number in range(6):
        for side, channels in (("truth", "RGB"), ("lines", "L")):
            (tmp_path / side).mkdir(exist_ok=True)
            picture(16, 16, channels, seed=number).save(tmp_path / side / f"{number}.png")
    data = ("--data", tmp_path / "truth", "--source", tmp_path / "lines", "--batch-size", 2, "--device", "cpu")
    assert call("train", NAME, *data, "--out", tmp_path / "run", "--steps", 2, "--quiet") == 0
    assert call("apply", tmp_path / "run", tmp_path / "lines", "--out", tmp_path / "made") == 0
    assert {path.name for path in (tmp_path / "made").iterdir()} == {f"{number}.png" for number in range(6)}
    assert call("apply", tmp_path / "run", photos, "--out", tmp_path / "others", "--tile", 8) == 0
    assert pixels(tmp_path / "others" / "b.png").shape == (17, 11, 3)
    capsys.readouterr()
    assert call("score", tmp_path / "made", tmp_path / "truth", "--paired", "--json") == 0
    assert set(json.loads(capsys.readouterr().out)["metrics"]) == {"psnr", "ssim", "l1"}
    more = ("--from", tmp_path / "run", "--freeze", "generator:1", "--steps", 1, "--quiet")
    assert call("train", NAME, *data, "--out", tmp_path / "more", *more) == 0
    first, then = small.newest(tmp_path / "run")["generator"], small.newest(tmp_path / "more")["generator"]
    changed = [name for name in first if name.endswith("weight") and not small.same(first[name], then[name])]
    assert "layers.0.weight" not in changed and "last.weight" in changed
