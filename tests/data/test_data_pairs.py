"""Two sides become pairs by name or by halves; whatever does not fit is named at once, and nothing is written."""

import re
import shutil
from pathlib import Path

import numpy
import pytest
from messages import logged
from PIL import Image
from translation import load, noise, picture, sides

from ganzoo.data import Batches
from ganzoo.errors import DataError, UsageError


def pairs(data) -> list[tuple[int, int]]:
    """The first bytes of every (source, output) as they are stored."""
    source = data.output.fields["source"] if data.source is None else data.source.images
    return list(zip(source[:, 0, 0, 0].tolist(), data.output.images[:, 0, 0, 0].tolist(), strict=True))


def refused(kind, words, folder, **request) -> str:
    with pytest.raises(kind, match=words) as caught:
        load(folder, **request)
    assert "\n" not in str(caught.value)
    assert not list((folder / "cache").glob("datasets/*")), "nothing is written"
    return str(caught.value)


def source(folder: Path) -> dict:
    return {"source": str(folder / "source")}


def test_files_are_paired_by_name_whatever_their_suffix_and_order(tmp_path):
    sides(tmp_path)
    (tmp_path / "source" / "3.png").unlink()
    Image.fromarray(numpy.full((8, 8), 103, numpy.uint8)).save(tmp_path / "source" / "3.bmp")
    data = load(tmp_path, **source(tmp_path))
    assert pairs(data) == [(100 + number, number) for number in range(6)]
    assert data.paired and data.source is None and data.spec.inputs.keys() == {"source"}
    assert "preparing" not in " ".join(relogged(tmp_path))


def relogged(folder: Path) -> list[str]:
    with logged() as lines:
        load(folder, **source(folder))
    return lines


def test_a_minibatch_holds_partners(tmp_path):
    batches = Batches(load(sides(tmp_path), **source(tmp_path)), batch_size=4, seed=1, mirror=True)
    for sample in (batches.sample(0), batches.sample(5, slice(1, 3)), batches.evaluation(6)):
        distance = (sample["source"] - sample["output"]) * 127.5
        assert distance.round().eq(100).all()


def test_folders_of_labels_and_of_splits_are_no_part_of_the_name(tmp_path):
    for number in range(4):
        picture(tmp_path / "output" / "train" / "ab"[number % 2] / f"{number}.png", number)
        picture(tmp_path / "output" / "val" / "a" / f"{9 + number}.png", 9)
        picture(tmp_path / "source" / f"{number}.png", 100 + number)
    data = load(tmp_path, **source(tmp_path))
    assert sorted(pairs(data)) == [(100 + number, number) for number in range(4)]
    assert data.output.classes == ("a", "b")
    assert [row[1] % 2 for row in pairs(data)] == data.output.labels.tolist()


def test_every_mismatch_is_named_at_once(tmp_path):
    sides(tmp_path)
    for number in (10, 11):
        picture(tmp_path / "output" / f"{number}.png", 0)
        picture(tmp_path / "source" / f"{number + 10}.png", 0)
    picture(tmp_path / "source" / "2.png", 102, (8, 6))
    line = refused(DataError, "5 files of 'source' and 'output'", tmp_path, **source(tmp_path))
    assert all(f"'{number}.png' has no source" in line for number in (10, 11))
    assert all(f"'{number}.png' has no output" in line for number in (20, 21))
    assert "'2.png' (the source has 6 x 8 pixels, the output 8 x 8)" in line and "--on-bad-image skip" in line


def test_the_first_five_of_many_are_named_and_all_counted(tmp_path):
    sides(tmp_path)
    for number in range(10, 30):
        picture(tmp_path / "output" / f"{number}.png", 0)
    line = refused(DataError, "20 files", tmp_path, **source(tmp_path))
    assert len(re.findall("has no source", line)) == 5 and "and 15 more" in line


def test_files_without_a_partner_can_be_left_out(tmp_path):
    sides(tmp_path)
    picture(tmp_path / "output" / "9.png", 9), picture(tmp_path / "source" / "00.png", 0)
    with logged() as lines:
        data = load(tmp_path, **source(tmp_path), on_bad_image="skip")
    assert pairs(data) == [(100 + number, number) for number in range(6)]
    assert any("left out 2 files without a partner" in line for line in lines)


@pytest.mark.parametrize("side", ["output", "source"])
def test_a_bad_picture_takes_its_partner_along_and_shifts_no_other_pair(tmp_path, side):
    sides(tmp_path)
    (tmp_path / side / "2.png").write_bytes(b"no picture")
    refused(DataError, r"1 of 6 images.*'2\.png'", tmp_path, **source(tmp_path))
    data = load(tmp_path, **source(tmp_path), on_bad_image="skip")
    assert pairs(data) == [(100 + number, number) for number in (0, 1, 3, 4, 5)]


def test_sizes_that_differ_are_bad_pairs(tmp_path):
    sides(tmp_path)
    picture(tmp_path / "source" / "4.png", 104, (16, 16))
    refused(DataError, "'4.png' .the source has 16 x 16 pixels, the output 8 x 8", tmp_path, **source(tmp_path))
    assert len(load(tmp_path, **source(tmp_path), on_bad_image="skip").output) == 5


def test_rotation_by_exif_counts_before_sizes_are_compared(tmp_path):
    picture(tmp_path / "output" / "1.png", 1, (6, 12)), picture(tmp_path / "output" / "lone.png", 1)
    turned = Image.new("L", (6, 12), 101)
    exif = turned.getexif()
    exif[0x0112] = 6
    (tmp_path / "source").mkdir()
    turned.save(tmp_path / "source" / "1.png", exif=exif)
    assert "1 files" in refused(DataError, "lone", tmp_path, **source(tmp_path))
    assert len(load(tmp_path, **source(tmp_path), on_bad_image="skip", size=(4, 8)).output) == 1


def test_one_empty_side_is_one_line(tmp_path):
    sides(tmp_path)
    shutil.rmtree(tmp_path / "source")
    (tmp_path / "source").mkdir()
    assert "source' is empty" in refused(DataError, "empty", tmp_path, **source(tmp_path))


def test_no_common_name_shows_what_the_names_are_like(tmp_path):
    sides(tmp_path)
    for path in sorted((tmp_path / "source").iterdir()):
        path.rename(path.with_name(f"s{path.name}"))
    line = refused(DataError, "No file of the source", tmp_path, **source(tmp_path), on_bad_image="skip")
    assert "'s0.png' and '0.png'" in line


def test_two_files_of_one_name_are_refused_even_when_others_may_be_left_out(tmp_path):
    sides(tmp_path)
    picture(tmp_path / "source" / "3.bmp", 0)
    line = refused(DataError, "'3.png' of the source has the name of another", tmp_path, **source(tmp_path))
    assert "skip" not in line
    refused(DataError, "'3.png' of the source", tmp_path, **source(tmp_path), on_bad_image="skip")


def test_arrays_are_paired_by_row(tmp_path):
    for name, start, count in (("output", 0, 5), ("source", 100, 5), ("short", 0, 4)):
        images = numpy.arange(start, start + count, dtype=numpy.uint8)[:, None, None].repeat(8, 1).repeat(8, 2)
        numpy.savez(tmp_path / f"{name}.npz", images=images)
    output = {"output": str(tmp_path / "output.npz")}
    data = load(tmp_path, **output, source=str(tmp_path / "source.npz"))
    assert pairs(data) == [(100 + number, number) for number in range(5)]
    shutil.rmtree(tmp_path / "cache")
    refused(DataError, "4 images and 'output' has 5", tmp_path, **output, source=str(tmp_path / "short.npz"))
    sides(tmp_path / "more")
    refused(UsageError, "Arrays have no names", tmp_path, **output, source=str(tmp_path / "more/source"))
    hub = "hf://datasets/a/b@" + "0" * 40
    refused(UsageError, "--source names a data set on the Hub", tmp_path, **output, source=hub)


def test_a_smaller_source_has_exactly_its_share_of_the_pixels(tmp_path):
    """The part in the middle of an odd rest begins in the same place of both sides."""
    for number in range(3):
        small = noise(tmp_path / "source" / f"{number}.png", number, (8, 11), 1)
        Image.open(small).resize((44, 32), Image.Resampling.NEAREST).save(tmp_path / f"{number}.png")
        (tmp_path / "output").mkdir(exist_ok=True)
        (tmp_path / f"{number}.png").rename(tmp_path / "output" / f"{number}.png")
    line = "the source has 11 x 8 pixels, the output 44 x 32, which is not 2 times as many"
    refused(DataError, line, tmp_path, **source(tmp_path), size=32, source_size=16)
    data = load(tmp_path, **source(tmp_path), size=32, source_size=8)
    output, small = data.output.images.float(), data.output.fields["source"].float()
    assert output.shape[1:3] == (32, 32) and small.shape[1:3] == (8, 8)
    block = output.view(3, 8, 4, 8, 4).mean((2, 4))
    assert (block - small[..., 0]).abs().mean() < (block[:, :, 1:] - small[:, :, :-1, 0]).abs().mean() / 3
    with pytest.raises(UsageError, match="12 x 12 pixels do not fit"):
        load(tmp_path, **source(tmp_path), size=32, source_size=12)


def test_outputs_of_another_size_are_resized_if_all_are(tmp_path):
    for number in range(5):
        coarse = Image.open(noise(tmp_path / f"{number}.png", number, (4, 6)))
        for side, size in (("output", (36, 24)), ("source", (24, 16))):
            (tmp_path / side).mkdir(exist_ok=True)
            coarse.resize(size, Image.Resampling.BICUBIC).save(tmp_path / side / f"{number}.png")
    with logged() as lines:
        data = load(tmp_path, **source(tmp_path))
    assert any("3/2 times as large as their sources" in line for line in lines)
    output, small = data.output.images.float(), data.output.fields["source"].float()
    assert output.shape == small.shape == (5, 8, 8, 3)
    assert (output - small).abs().mean() < (output[:, :, 1:] - small[:, :, :-1]).abs().mean() / 3
    noise(tmp_path / "source" / "3.png", 3, (24, 36)), picture(tmp_path / "source" / "4.png", 4, (16, 25))
    shutil.rmtree(tmp_path / "cache")
    line = refused(DataError, "2 of 5 images", tmp_path, **source(tmp_path))
    assert "'3.png' (the source has 36 x 24 pixels, the output 36 x 24, which is not 3/2 times as many)" in line


# -- both sides in one picture -------------------------------------------------------------------------------------


def joined(folder: Path, count: int = 4, split: str = "") -> Path:
    for number in range(count):
        pixels = numpy.full((8, 16), number, numpy.uint8)
        pixels[:, 8:] = 100 + number
        path = folder / "output" / split / f"{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels).save(path)
    return folder


@pytest.mark.parametrize(("direction", "turned"), [("AtoB", False), ("BtoA", True)])
def test_the_left_half_is_the_source_unless_the_direction_is_turned(tmp_path, direction, turned):
    data = load(joined(tmp_path), side_by_side=True, direction=direction)
    wanted = [(number, 100 + number) for number in range(4)]
    assert pairs(data) == [pair[::-1] if turned else pair for pair in wanted]


def test_pictures_side_by_side_may_have_splits(tmp_path):
    joined(tmp_path, 4, "train"), joined(tmp_path, 2, "val")
    assert len(load(tmp_path, side_by_side=True).output) == 4
    assert len(load(tmp_path, side_by_side=True, output=f"{tmp_path / 'output'}:val").output) == 2


@pytest.mark.parametrize("size", [(8, 8), (8, 15), (8, 24)])
def test_a_picture_that_does_not_hold_two_is_named(tmp_path, size):
    picture(joined(tmp_path) / "output" / "odd.png", 7, size)
    line = refused(DataError, "'odd.png'", tmp_path, side_by_side=True)
    assert f"{size[1]} x {size[0]} pixels are not two pictures" in line


def test_sides_of_one_picture_may_be_sets_of_their_own(tmp_path):
    data = load(joined(tmp_path), side_by_side=True, independent=True, load_ratio=1.5)
    assert not data.paired and len(data.source) == len(data.output) == 4
    assert data.source.images.shape[1:3] == (12, 12) and data.source.view.shape[1:3] == (8, 8)
    assert data.output.fields.keys() == {"images.view"} and pairs(data)[1] == (1, 101)


# -- folders of two domains ----------------------------------------------------------------------------------------


def domains(folder: Path, *names: str, start: int = 0) -> Path:
    for side, name in enumerate(names):
        for number in range(start, start + 3 + side):
            picture(folder / "output" / name / f"{number}.png", 100 * side + number)
    return folder


@pytest.mark.parametrize("names", [("trainA", "trainB"), ("train_a", "train_b"), ("A", "B"), ("A/train", "B/train")])
def test_two_domains_in_a_folder_are_the_sides(tmp_path, names):
    domains(tmp_path, *names)
    data = load(tmp_path, independent=True)
    assert sorted(data.source.images[:, 0, 0, 0].tolist()) == [0, 1, 2]
    assert sorted(data.output.images[:, 0, 0, 0].tolist()) == [100, 101, 102, 103]
    turned = load(tmp_path, independent=True, direction="BtoA")
    assert len(turned.source) == 4 and len(turned.output) == 3
    assert data.output.labels is None, "a domain is no class"


def test_domains_have_splits(tmp_path):
    domains(tmp_path, "trainA", "trainB"), domains(tmp_path, "testA", "testB", start=50)
    assert sorted(pairs(load(tmp_path, on_bad_image="skip"))) == [(number, 100 + number) for number in range(3)]
    chosen = load(tmp_path, output=f"{tmp_path / 'output'}:test", on_bad_image="skip")
    assert sorted(pairs(chosen)) == [(number, 100 + number) for number in range(50, 53)]
    with pytest.raises(UsageError, match="no split 'val'; it has 'test', 'train'"):
        load(tmp_path, output=f"{tmp_path / 'output'}:val")


def test_a_missing_side_is_one_line(tmp_path):
    line = refused(UsageError, "--source", sides(tmp_path))
    assert "trainA and trainB" in line and "--pairs" in line
    domains(tmp_path / "half", "trainA")
    assert "in a folder 'trainB'" in refused(DataError, "no images", tmp_path / "half")
    numpy.savez(tmp_path / "x.npz", images=numpy.zeros((2, 8, 8), numpy.uint8))
    assert "with both sides" in refused(UsageError, "no folder, zip or tar", tmp_path, output=str(tmp_path / "x.npz"))


# -- sets of their own ---------------------------------------------------------------------------------------------


def test_unpaired_sources_have_an_order_of_their_own_and_leave_that_of_the_outputs_alone(tmp_path):
    for number in range(7):
        picture(tmp_path / "output" / f"{number}.png", number)
    for number in range(5):
        picture(tmp_path / "source" / f"x{number}.png", 100 + number)
    data = load(tmp_path, **source(tmp_path), independent=True)
    both, alone = (Batches(one, batch_size=3, seed=2, mirror=True) for one in (data, data.output))
    seen = []
    for number in range(5):
        assert both.images(number).equal(alone.images(number))
        seen += [round(float(one)) for one in ((both.sample(number)["source"][:, 0, 0, 0] + 1) * 127.5)]
    assert all(sorted(seen[start : start + 5]) == list(range(100, 105)) for start in (0, 5, 10))
    assert seen[:5] != seen[5:10] and data.source.fingerprint != data.output.fingerprint
    view = both.evaluation(100)
    assert len(view["source"]) == len(view["output"]) == 5, "as many as both sides have"


def test_a_batch_larger_than_either_side_is_refused(tmp_path):
    data = load(sides(tmp_path, 3), **source(tmp_path), independent=True)
    for number in (10, 11):
        picture(tmp_path / "output" / f"{number}.png", 0)
    assert Batches(data, batch_size=3, seed=0).sample(0)["source"].shape[0] == 3
    larger = load(tmp_path, **source(tmp_path), independent=True)
    with pytest.raises(UsageError, match="Batches of 4 cannot be drawn from 3 images of 'source'"):
        Batches(larger, batch_size=4, seed=0)


def test_fingerprints_change_with_either_side(tmp_path):
    sides(tmp_path)
    first = load(tmp_path, **source(tmp_path)).output.fingerprint
    picture(tmp_path / "source" / "0.png", 7)
    second = load(tmp_path, **source(tmp_path)).output.fingerprint
    picture(tmp_path / "output" / "0.png", 7)
    assert len({first, second, load(tmp_path, **source(tmp_path)).output.fingerprint}) == 3


def test_a_damaged_side_in_the_cache_is_mended(tmp_path):
    right = load(sides(tmp_path), **source(tmp_path))
    file = next((tmp_path / "cache" / "datasets").glob("*/source.bin"))
    file.write_bytes(file.read_bytes()[:-1] + b"x")
    with logged() as lines:
        again = load(tmp_path, **source(tmp_path))
    assert any("damaged" in line for line in lines) and again.output.fingerprint == right.output.fingerprint
    assert pairs(again) == pairs(right)
