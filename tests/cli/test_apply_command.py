"""`ganzoo apply` on files: names, kinds, sizes, and that a refusal writes nothing."""

import errno
import io
import json
import os
from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy
import pytest
import small
from PIL import Image, ImageCms
from translators import NAME, installed_plugin, sources, spec, translator

import ganzoo
from ganzoo.cli import main
from ganzoo.data.single_files import ImageFile, decode_image
from ganzoo.files import atomic, deep_png
from ganzoo.files.pictures import to_pillow, to_uint8
from ganzoo.models.apply import Application


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
        return pixels_of(image)


def pixels_of(image) -> numpy.ndarray:
    return numpy.asarray(image).astype(int)


def encoded(image: Image.Image) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    return buffer.getvalue()


SMALLEST = encoded(Image.new("RGB", (2, 2), "red"))


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


# -- upscaling --------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def larger(tmp_path_factory):
    """A small network that says that it enlarges images twice."""
    folder = tmp_path_factory.mktemp("models") / "larger"
    made = translator(spec(scale=2), halvings=0)
    made.config = replace(made.config, task="super-resolution")
    made.save(folder)
    return folder


@cache
def profile() -> bytes:
    """A colour profile, made once: it holds the second of its making."""
    return ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()


@pytest.mark.parametrize("scale, size", [("3", (60, 48)), ("1", (20, 16)), ("0.5", (10, 8)), ("2", (40, 32))])
def test_the_scale_is_chosen(larger, photos, tmp_path, scale, size):
    assert call("apply", larger, photos / "a.png", "--out", tmp_path / "one.png", "--scale", scale) == 0
    with Image.open(tmp_path / "one.png") as written:
        assert written.size == size


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "I;16", "LAB", "YCbCr"])
def test_images_of_every_mode_are_enlarged(larger, tmp_path, mode):
    image = picture(16, 18)
    image = Image.fromarray(numpy.arange(288, dtype=numpy.uint16).reshape(16, 18) * 227) if mode == "I;16" else image
    if mode == "LAB":
        lab = ImageCms.createProfile("LAB")
        image = ImageCms.profileToProfile(image, ImageCms.createProfile("sRGB"), lab, outputMode="LAB")
    given = image if image.mode == mode else image.convert(mode)
    name = "in.tif" if mode in ("CMYK", "LAB", "YCbCr") else "in.png"
    given.save(tmp_path / name)
    assert call("apply", larger, tmp_path / name, "--out", tmp_path / "out.png") == 0
    with Image.open(tmp_path / "out.png") as written:
        expected = {"1": "L", "L": "L", "LA": "LA", "RGBA": "RGBA", "I;16": "I;16"}.get(mode, "RGB")
        assert (written.mode, written.size) == (expected, (36, 32))


@pytest.mark.parametrize("bands", [1, 2, 3, 4])
def test_sixteen_bits_come_out(larger, tmp_path, bands):
    deep = numpy.random.default_rng(bands).integers(0, 65536, (16, 18, bands), numpy.uint16)
    (tmp_path / "in.png").write_bytes(deep_png.encode(deep, icc_profile=profile()))
    assert call("apply", larger, tmp_path / "in.png", "--out", tmp_path / "out.png") == 0
    data = (tmp_path / "out.png").read_bytes()
    assert deep_png.is_deep(data)
    found = deep_png.decode(data)
    assert found.shape == (32, 36, bands) and len(numpy.unique(found & 255)) > 200
    with Image.open(tmp_path / "out.png") as written:
        assert ("icc_profile" in written.info) == (bands >= 3)  # a grey image has no RGB profile
    assert call("apply", larger, tmp_path / "in.png", "--out", tmp_path / "out.webp") == 0
    with Image.open(tmp_path / "out.webp") as written:
        assert written.size == (36, 32)
    if bands == 1:
        Image.fromarray(deep[:, :, 0]).save(tmp_path / "in.tif")
        assert call("apply", larger, tmp_path / "in.tif", "--out", tmp_path / "tif.png") == 0
        assert (deep_png.decode((tmp_path / "tif.png").read_bytes()) == found).all()


@pytest.mark.parametrize("turn", range(1, 9))
def test_rotation_of_sixteen_bits_is_that_of_eight(tmp_path, turn):
    exif = Image.Exif()
    exif[0x0112] = turn
    shallow = numpy.random.default_rng(0).integers(0, 256, (5, 7, 3), numpy.uint8)
    Image.fromarray(shallow).save(tmp_path / "8.png", exif=exif)
    (tmp_path / "16.png").write_bytes(deep_png.encode(shallow.astype(numpy.uint16) * 257, exif=exif.tobytes()))
    eight, sixteen = (decode_image(ImageFile(tmp_path / name, name)) for name in ("8.png", "16.png"))
    assert (numpy.asarray(eight.pixels).astype(int) * 257 == sixteen.pixels).all()
    assert eight.exif is None and sixteen.exif is None


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".webp"])
def test_profile_and_exif_are_kept_without_rotation_and_sizes(larger, tmp_path, suffix):
    exif = Image.Exif()
    exif[0x0112], exif[0x010F], exif[0x0100] = 6, "Maker", 20
    exif.get_ifd(0x8769)[0xA002] = 20
    exif.get_ifd(0x8769)[0x829A] = 0.01
    upright = picture(16, 20)
    turned = upright.transpose(Image.Transpose.ROTATE_90)
    turned.save(tmp_path / "in.jpg", exif=exif, icc_profile=profile(), quality=100, subsampling=0)
    assert call("apply", larger, tmp_path / "in.jpg", "--out", tmp_path / f"out{suffix}") == 0
    with Image.open(tmp_path / f"out{suffix}") as written:
        assert written.size == (40, 32) and written.info["icc_profile"] == profile()
        kept = written.getexif()
        assert kept[0x010F] == "Maker" and 0x0112 not in kept and 0x0100 not in kept
        assert 0xA002 not in kept.get_ifd(0x8769) and 0x829A in kept.get_ifd(0x8769)


def frames_of(path) -> tuple[list[numpy.ndarray], list[int], int | None]:
    with Image.open(path) as image:
        shown, times = [], []
        for number in range(image.n_frames):
            image.seek(number)
            image.load()
            shown.append(numpy.asarray(image.convert("RGBA")).astype(int))
            times.append(image.info["duration"])
        return shown, times, image.info.get("loop")


@pytest.mark.parametrize("loop", [0, 1, 3])
@pytest.mark.parametrize("transparent", [False, True], ids=["opaque", "transparent"])
@pytest.mark.parametrize("suffix", [".gif", ".webp", ".png"])
def test_animations_are_enlarged_frame_by_frame(larger, tmp_path, suffix, transparent, loop):
    flat = [Image.new("RGBA", (20, 16), colour) for colour in ("red", "green", "blue", "white")]
    for number, frame in enumerate(flat):
        frame.paste((0, 0, 0, 0) if transparent else "black", (number * 4, 4, number * 4 + 8, 12))
    options = {"loop": loop} if not (suffix == ".gif" and loop == 1) else {}
    times = [50, 120, 70, 200]
    source = tmp_path / "photos" / f"in{suffix}"
    source.parent.mkdir()
    lossless = {"lossless": True} if suffix == ".webp" else {"disposal": 2} if suffix == ".gif" else {}
    flat[0].save(source, save_all=True, append_images=flat[1:], duration=times, **options, **lossless)
    assert call("apply", larger, source.parent, "--out", tmp_path / "out") == 0
    given, _, _ = frames_of(source)
    shown, found, plays = frames_of(tmp_path / "out" / f"in{suffix}")
    assert found == times and (plays or 0) == (loop if options else 0)
    assert [frame.shape for frame in shown] == [(32, 40, 4)] * 4
    alone = ganzoo.load(larger)
    for frame, before in zip(shown, given, strict=True):
        expected = numpy.asarray(alone.apply(Image.fromarray(before.astype(numpy.uint8)))).astype(int)
        seen = (expected[..., 3] > 127) & (frame[..., 3] > 127)
        assert ((expected[..., 3] > 127) == (frame[..., 3] > 127)).mean() > 0.97
        light = abs((frame - expected)[..., :3] @ [0.299, 0.587, 0.114])
        assert light[seen].mean() < (1 if suffix == ".png" else 14)  # others have 256 colours, or lose some
    assert all((frame[..., 3] < 128).any() == transparent for frame in shown)


def test_an_animation_becomes_another_kind_and_no_still_picture(larger, tmp_path, capsys):
    frames = [picture(16, 20, seed=number) for number in range(3)]
    frames[0].save(tmp_path / "in.gif", save_all=True, append_images=frames[1:], duration=40)
    assert call("apply", larger, tmp_path / "in.gif", "--out", tmp_path / "out.webp") == 0
    assert frames_of(tmp_path / "out.webp")[1:] == ([40, 40, 40], 1)
    assert call("apply", larger, tmp_path / "in.gif", "--out", tmp_path / "out.jpg") == 2
    assert ".webp" in capsys.readouterr().err.splitlines()[-1]
    frames[0].save(tmp_path / "in.png")
    assert call("apply", larger, tmp_path / "in.png", "--out", tmp_path / "still.gif") == 2
    assert call("apply", larger, tmp_path / "in.gif", "--out", tmp_path / "both.gif", "--side-by-side") == 0
    assert [frame.shape for frame in frames_of(tmp_path / "both.gif")[0]] == [(32, 80, 4)] * 3


def test_pages_of_a_tiff_are_not_lost_silently(larger, tmp_path, capsys):
    pages = [picture(16, 20, seed=number) for number in range(2)]
    pages[0].save(tmp_path / "in.tif", save_all=True, append_images=pages[1:])
    assert call("apply", larger, tmp_path / "in.tif", "--out", tmp_path / "out.png") == 0
    assert "2 pages" in capsys.readouterr().err


def test_transparency_is_no_jpeg_but_may_be_put_on_white(larger, tmp_path, capsys):
    picture(16, 20, "RGBA").save(tmp_path / "in.png")
    assert call("apply", larger, tmp_path / "in.png", "--out", tmp_path / "out.jpg") == 2
    assert "--no-alpha" in capsys.readouterr().err.splitlines()[-1]
    assert call("apply", larger, tmp_path / "in.png", "--out", tmp_path / "out.jpg", "--no-alpha") == 0


def test_a_format_with_a_limit_says_so(larger, tmp_path, capsys):
    Image.new("RGB", (9000, 2)).save(tmp_path / "in.png")
    assert call("apply", larger, tmp_path / "in.png", "--out", tmp_path / "out.webp") == 2
    assert "18000 x 4" in capsys.readouterr().err.splitlines()[-1]
    assert not (tmp_path / "out.webp").exists()


def test_an_interrupted_run_keeps_its_files_and_goes_on(larger, photos, tmp_path, monkeypatch, capsys):
    out = tmp_path / "out"
    whole = Application.outputs
    seen = []

    def stopping(self, sources, latent):
        seen.append(len(sources))
        if len(seen) == 3:
            raise KeyboardInterrupt
        return whole(self, sources, latent)

    monkeypatch.setattr(Application, "outputs", stopping)
    assert call("apply", larger, photos, "--out", out, "--batch-size", 1) == 130
    assert "2 of 3 images are written: --skip-existing" in capsys.readouterr().err
    first = {path.name: path.read_bytes() for path in out.rglob("*.png")}
    assert set(first) == {"a.png", "b.png"}
    assert call("apply", larger, photos, "--out", out) == 2
    monkeypatch.setattr(Application, "outputs", whole)
    capsys.readouterr()
    assert call("apply", larger, photos, "--out", out, "--skip-existing", "--json") == 0
    assert [record.get("skipped", False) for record in json.loads(capsys.readouterr().out)] == [True, True, False]
    assert (out / "more" / "c.png").exists() and (out / "a.png").read_bytes() == first["a.png"]


def test_a_full_disk_is_a_line_and_finished_files_stay(larger, photos, tmp_path, monkeypatch, capsys):
    write, count = atomic.write_file, []

    def full(path, data):
        count.append(path)
        if len(count) > 1:
            raise OSError(errno.ENOSPC, "No space left on device")
        write(path, data)

    monkeypatch.setattr(atomic, "write_file", full)
    assert call("apply", larger, photos, "--out", tmp_path / "out") == 1
    lines = capsys.readouterr().err.splitlines()
    assert "No space left" in lines[-1] and any("1 of 3 images are written" in line for line in lines)
    assert [path.name for path in (tmp_path / "out").rglob("*.*")] == ["a.png"]


def test_a_folder_that_cannot_be_written_is_a_line_before_the_work(larger, photos, tmp_path, monkeypatch, capsys):
    (tmp_path / "file").write_text("no folder")
    assert call("apply", larger, photos, "--out", tmp_path / "file" / "out") == 2
    assert "file is in the way" in capsys.readouterr().err.splitlines()[-1]
    monkeypatch.setattr(os, "access", lambda path, mode: not mode & os.W_OK)  # click asks for reading
    assert call("apply", larger, photos, "--out", tmp_path / "out") == 1
    assert "permission denied" in capsys.readouterr().err.splitlines()[-1]
    assert not (tmp_path / "out").exists()


def test_one_broken_file_among_many(larger, tmp_path, capsys):
    folder = tmp_path / "many"
    folder.mkdir()
    for number in range(300):
        (folder / f"{number:05}.png").write_bytes(
            b"no image" if number == 77 else b"\x89PNG\r\n\x1a\n" if number == 99 else SMALLEST
        )
    assert call("apply", larger, folder, "--out", tmp_path / "out", "--batch-size", 16, "--scale", 1) == 1
    lines = capsys.readouterr().err.splitlines()
    assert [line for line in lines if line.startswith("Error")] == lines and len(lines) == 3
    assert "00077.png" in lines[0] and "00099.png" in lines[1] and "298" in lines[2]
    assert len(list((tmp_path / "out").iterdir())) == 298


def test_damaged_single_files_are_a_line(larger, tmp_path, capsys):
    picture(64, 64).save(tmp_path / "in.jpg")
    (tmp_path / "in.jpg").write_bytes((tmp_path / "in.jpg").read_bytes()[:900])
    frames = [picture(16, 20, seed=number) for number in range(3)]
    frames[0].save(tmp_path / "in.gif", save_all=True, append_images=frames[1:], duration=40)
    (tmp_path / "in.gif").write_bytes((tmp_path / "in.gif").read_bytes()[:1500])
    (tmp_path / "deep.png").write_bytes(deep_png.encode(numpy.full((99, 99, 3), 777, numpy.uint16))[:120])
    (tmp_path / "text.png").write_text("no image")
    for name in ("in.jpg", "in.gif", "deep.png", "text.png"):
        assert call("apply", larger, tmp_path / name, "--out", tmp_path / "out.png") == 1
        lines = capsys.readouterr().err.splitlines()
        assert len(lines) == 1 and name in lines[0] and "Traceback" not in lines[0]
    assert not (tmp_path / "out.png").exists()


def test_extreme_sizes_and_precision(larger, tmp_path):
    for width, height in ((1, 1), (3, 20_000)):
        picture(height, width).save(tmp_path / "in.png")
        words = ("apply", larger, tmp_path / "in.png", "--out", tmp_path / "out.png", "--force")
        assert call(*words, "--precision", "bf16", "--threads", 1) == 0
        with Image.open(tmp_path / "out.png") as written:
            assert written.size == (2 * width, 2 * height)


def test_denoising_mixes_two_models(larger, photos, tmp_path, capsys):
    other = translator(spec(scale=2), halvings=0, seed=1)
    other.save(tmp_path / "other")
    words = ("apply", larger, photos / "a.png", "--force", "--out", tmp_path / "one.png")
    found = {}
    for denoise in (0, 0.25, 1):
        assert call(*words, "--with", tmp_path / "other", "--denoise", denoise) == 0
        found[denoise] = pixels(tmp_path / "one.png")
    assert call(*words) == 0
    assert (found[1] == pixels(tmp_path / "one.png")).all()
    with Image.open(photos / "a.png") as image:
        assert (found[0] == pixels_of(other.apply(image))).all()
        mixed = ganzoo.mix(ganzoo.load(larger), other, 0.75)
        assert abs(found[0.25] - pixels_of(mixed.apply(image))).max() <= 1
    assert abs(found[0.25] - found[1]).max() > 3
    assert call(*words, "--denoise", 0.5) == 2
    assert "--with" in capsys.readouterr().err.splitlines()[-1]
    assert call(*words, "--with", tmp_path / "other", "--denoise", "nan") == 2
    line = capsys.readouterr().err
    assert "--denoise" in line and "nan" in line


def test_nothing_but_the_path_is_printed_without_a_terminal(larger, photos, tmp_path, capsys):
    assert call("apply", larger, photos, "--out", tmp_path / "out") == 0
    assert capsys.readouterr() == ("", f"{tmp_path / 'out'}\n")


def test_a_terminal_shows_images_and_tiles(larger, photos, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("sys.stderr.isatty", lambda: True, raising=False)
    (photos / "bad.png").write_text("no image")
    assert call("apply", larger, photos, "--out", tmp_path / "out", "--tile", 8) == 1
    shown = capsys.readouterr().err
    assert "4/4 images" in shown and "tile 2 of 6" in shown and "bad.png" in shown


def test_outputs_within_a_folder_of_images_are_refused(larger, photos, capsys):
    assert call("apply", larger, photos, "--out", photos / "large") == 2
    assert "lies within" in capsys.readouterr().err
    assert not (photos / "large").exists()


@pytest.mark.parametrize("words", [("", "--out", "out"), ("photo.png", "--out", " ")])
def test_an_empty_argument_is_not_the_working_folder(larger, tmp_path, monkeypatch, capsys, words):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "photo.png").write_bytes(SMALLEST)
    assert call("apply", larger, *words, "--force") == 2
    assert "An argument is empty" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir() if path.suffix] == ["photo.png"]
    assert (tmp_path / "photo.png").read_bytes() == SMALLEST


def test_json_has_the_error_of_a_single_file(larger, tmp_path, capsys):
    (tmp_path / "text.png").write_text("no image")
    assert call("apply", larger, tmp_path / "text.png", "--out", tmp_path / "out.png", "--json") == 1
    assert [sorted(record) for record in json.loads(capsys.readouterr().out)] == [["error", "source"]]


def test_a_side_that_the_format_cannot_hold_is_refused_before_the_work(larger, tmp_path, monkeypatch, capsys):
    picture(2, 600).save(tmp_path / "wide.png")
    monkeypatch.setattr(Application, "outputs", lambda *given: pytest.fail("the network has run"))
    for suffix, scale in ((".jpg", 120), (".webp", 30)):
        assert call("apply", larger, tmp_path / "wide.png", "--scale", scale, "--out", tmp_path / f"o{suffix}") == 2
        assert "write .png" in capsys.readouterr().err


def test_a_read_only_file_system_is_named(model, tmp_path, monkeypatch, capsys):
    picture(16, 16).save(tmp_path / "in.png")
    mounted = os.statvfs(tmp_path)
    flags = type("Facts", (), {"f_flag": mounted.f_flag | os.ST_RDONLY})
    monkeypatch.setattr(os, "access", lambda path, mode: not mode & os.W_OK)
    monkeypatch.setattr(os, "statvfs", lambda path: flags)
    assert call("apply", model, tmp_path, "--out", tmp_path.parent / "out") == 1
    error = capsys.readouterr().err.splitlines()[-1]
    assert "mounted read-only" in error and str(tmp_path.parent) in error and "--out" in error


def test_flags_that_exclude_each_other_and_names_that_clash(model, tmp_path, capsys):
    for name in ("a.png", "a.webp"):
        picture(16, 16).save(tmp_path / name)
    words = ("apply", model, tmp_path / "a.png", "--out", tmp_path / "out")
    assert call(*words, "--keep-alpha", "--no-alpha") == 2 and "exclude" in capsys.readouterr().err
    assert call("apply", model, tmp_path / "a.png", tmp_path / "a.webp", "--out", tmp_path / "out") == 1
    error = capsys.readouterr().err.splitlines()[-1]
    assert "a.png" in error and "a.webp" in error and "Rename" in error and "--out" in error
    assert not (tmp_path / "out").exists()
