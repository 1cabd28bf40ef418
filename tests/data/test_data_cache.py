"""Prepared images are kept, verified, mended, and never half there."""

import json
import os
from pathlib import Path
from types import SimpleNamespace

import numpy
import pytest
from messages import logged
from PIL import Image

from ganzoo.data import ArraySource, load_images, prepare, store
from ganzoo.errors import DataError

IMAGES = numpy.random.default_rng(0).integers(0, 256, (20, 6, 6), dtype=numpy.uint8)


class Source:
    """A registered data set that counts how often an image of it is asked for."""

    def __init__(self, images=IMAGES, identity="one"):
        self.source = ArraySource(images, numpy.arange(len(images)) % 3, ("a", "b", "c"), identity, "set")

    def load(self, cache: Path, **options):
        with logged() as lines:
            data = load_images("set", datasets={"set": lambda root: self.source}, cache=cache, **{"size": 6, **options})
        return data, " ".join(lines)


def kept(cache: Path) -> list[Path]:
    return sorted((cache / "datasets").iterdir())


def test_the_second_time_nothing_is_decoded(tmp_path):
    first, lines = Source().load(tmp_path)
    assert "preparing 20 images" in lines
    second, lines = Source().load(tmp_path)
    assert lines == ""
    assert first.fingerprint == second.fingerprint and first.classes == second.classes == ("a", "b", "c")
    assert numpy.array_equal(second.images.numpy()[..., 0], IMAGES)
    assert second.labels.tolist() == [number % 3 for number in range(20)]
    assert len(kept(tmp_path)) == 1 and sorted(os.listdir(kept(tmp_path)[0])) == [
        "images.bin",
        "labels.bin",
        "meta.json",
    ]


def test_channels_that_are_stated_later_are_those_that_were_found(tmp_path):
    first, _ = Source().load(tmp_path)
    again, lines = Source().load(tmp_path, channels=1)
    assert lines == "" and len(kept(tmp_path)) == 1 and again.fingerprint == first.fingerprint
    colour, lines = Source().load(tmp_path, channels=3)
    assert colour.channels == 3 and "preparing 20 images" in lines and len(kept(tmp_path)) == 2


def test_what_changes_the_result_changes_the_place(tmp_path):
    for options in ({}, {"size": 5}, {"channels": 3}):
        Source().load(tmp_path, **options)
    Source(identity="two").load(tmp_path)
    assert len(kept(tmp_path)) == 4


def test_the_fingerprint_depends_on_content_alone(tmp_path):
    base = Source().load(tmp_path)[0].fingerprint
    assert Source(identity="elsewhere").load(tmp_path)[0].fingerprint == base
    assert Source(IMAGES[::-1], "reversed").load(tmp_path)[0].fingerprint != base
    other = Source(identity="labels")
    object.__setattr__(other.source, "labels", numpy.zeros(20, int))
    assert other.load(tmp_path)[0].fingerprint != base


@pytest.mark.parametrize("name", ["images.bin", "labels.bin", "meta.json"])
@pytest.mark.parametrize("damage", ["flip", "cut", "empty", "remove", "append"])
def test_damage_is_noticed_and_mended(tmp_path, name, damage):
    right = Source().load(tmp_path)[0]
    path = kept(tmp_path)[0] / name
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    changed = {"flip": content, "cut": content[:-1], "empty": b"", "append": path.read_bytes() + b"x"}
    path.unlink() if damage == "remove" else path.write_bytes(changed[damage])
    mended, lines = Source().load(tmp_path)
    assert "damaged" in lines and "preparing" in lines
    assert mended.fingerprint == right.fingerprint and mended.classes == right.classes
    assert Source().load(tmp_path)[1] == "" and len(kept(tmp_path)) == 1


def test_facts_that_are_whole_json_but_changed_are_damage(tmp_path):
    Source().load(tmp_path)
    path = kept(tmp_path)[0] / "meta.json"
    record = json.loads(path.read_text())
    record["facts"]["classes"] = ["x", "y", "z"]
    path.write_text(json.dumps(record))
    data, lines = Source().load(tmp_path)
    assert "damaged" in lines and data.classes == ("a", "b", "c")


def test_more_than_the_limit_is_mapped_and_equal(tmp_path):
    read, _ = Source().load(tmp_path, limit_memory=2**30)
    mapped, _ = Source().load(tmp_path, limit_memory=100)
    assert (read.images == mapped.images).all()
    content = (kept(tmp_path)[0] / "images.bin").read_bytes()
    mapped.images.zero_()
    assert (kept(tmp_path)[0] / "images.bin").read_bytes() == content


def test_a_killed_writer_leaves_no_half_cache(tmp_path, monkeypatch):
    def killed(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(store, "write_file", killed)
    with pytest.raises(KeyboardInterrupt):
        Source().load(tmp_path)
    assert kept(tmp_path) == []


def test_what_was_abandoned_long_ago_is_removed(tmp_path):
    for name, age in ((".tmp-1-a", 2), (".tmp-2-b", 0)):
        folder = tmp_path / "datasets" / name
        folder.mkdir(parents=True)
        then = folder.stat().st_mtime - age * store.ABANDONED_SECONDS
        os.utime(folder, (then, then))
    Source().load(tmp_path)
    names = [path.name for path in kept(tmp_path)]
    assert ".tmp-1-a" not in names and ".tmp-2-b" in names


def test_of_two_writers_the_first_wins(tmp_path):
    with store.writing(tmp_path / "x") as slow:
        with store.writing(tmp_path / "x") as quick:
            quick.add(IMAGES[0])
            quick.finish((6, 6, 1), None, {"name": "quick", "classes": [], "revision": None})
        slow.add(IMAGES[1])
        slow.finish((6, 6, 1), None, {"name": "slow", "classes": [], "revision": None})
    data, _ = store.read(tmp_path / "x", 2**30)
    assert data.name == "quick" and os.listdir(tmp_path) == ["x"]


def test_a_cache_that_cannot_be_written_does_not_stop_the_run(tmp_path):
    (tmp_path / "datasets").write_text("a file is in the way")
    data, lines = Source().load(tmp_path)
    assert "for this run alone" in lines and numpy.array_equal(data.images.numpy()[..., 0], IMAGES)


def test_no_room_anywhere_is_one_line(tmp_path, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(store, "write_file", full)
    with pytest.raises(DataError, match="No space left on device.*GANZOO_CACHE"):
        Source().load(tmp_path)


def test_the_environment_names_the_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("GANZOO_CACHE", str(tmp_path / "mine"))
    Source().load(None)
    assert len(kept(tmp_path / "mine")) == 1


@pytest.fixture
def folder(tmp_path):
    """Twenty images of which seven are text; image k is grey k."""
    for number in range(20):
        path = tmp_path / "set" / "ab"[number % 2] / f"{number:02}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        if number < 14 and number % 2 == 0:
            path.write_text("no image")
        else:
            Image.new("L", (6, 6), number).save(path)
    return tmp_path / "set"


def test_bad_images_stop_the_run_after_all_were_looked_at(tmp_path, folder):
    cache = tmp_path / "cache"
    with pytest.raises(DataError, match="7 of 20 images") as caught:
        load_images(str(folder), size=6, cache=cache)
    assert [f"a/{number:02}.png" in str(caught.value) for number in (0, 2, 4, 6, 8, 10)] == [True] * 5 + [False]
    assert "and 2 more" in str(caught.value) and "--on-bad-image skip" in str(caught.value)
    assert kept(cache) == []


def test_skipped_images_take_their_labels_with_them_and_are_remembered(tmp_path, folder):
    options = {"size": 6, "cache": tmp_path / "cache"}
    for _ in range(2):
        with logged() as lines:
            data = load_images(str(folder), on_bad_image="skip", **options)
        assert "left out 7 of 20 images" in lines[-1]
        greys = data.images[:, 0, 0, 0].tolist()
        assert sorted(greys) == [1, 3, 5, 7, 9, 11, 13, *range(14, 20)]
        assert data.labels.tolist() == [grey % 2 for grey in greys]
    with pytest.raises(DataError, match="7 of 20 images"):
        load_images(str(folder), **options)


def test_only_bad_images_cannot_be_skipped(tmp_path):
    (tmp_path / "set").mkdir()
    (tmp_path / "set/a.png").write_text("no image")
    with pytest.raises(DataError, match="1 of 1 images"):
        load_images(str(tmp_path / "set"), size=6, cache=tmp_path / "cache", on_bad_image="skip")


def test_a_changed_file_is_prepared_again(tmp_path):
    path = tmp_path / "set" / "a.png"
    path.parent.mkdir()
    for number, grey in enumerate((1, 2)):
        Image.new("L", (6, 6), grey).save(path)
        os.utime(path, ns=(number, number))
        assert load_images(str(path.parent), size=6, cache=tmp_path / "cache").images.unique().tolist() == [grey]


def test_channels_are_grey_only_if_every_image_is(tmp_path):
    folder = tmp_path / "set"
    folder.mkdir()
    for number in range(5):
        Image.new("L", (6, 6), 9).save(folder / f"{number}.png")
    options = {"size": 6, "cache": tmp_path / "cache"}
    assert load_images(str(folder), **options).channels == 1
    Image.new("RGB", (6, 6), (9, 0, 0)).save(folder / "5.png")
    assert load_images(str(folder), **options).channels == 3
    assert load_images(str(folder), channels=1, **options).channels == 1


def test_progress_that_was_told_ends_with_the_last_image(tmp_path, monkeypatch):
    monkeypatch.setattr(prepare, "SECONDS_BETWEEN_REPORTS", 1)
    monkeypatch.setattr(prepare, "WINDOW", 8)
    monkeypatch.setattr(prepare, "time", SimpleNamespace(monotonic=iter(range(100)).__next__))
    _, lines = Source().load(tmp_path)
    assert lines.endswith("prepared 16 of 20 images prepared 20 of 20 images")


def test_rectangles_and_transparency_are_kept_apart_from_squares(tmp_path):
    images = numpy.random.default_rng(1).integers(0, 256, (4, 6, 12, 4), dtype=numpy.uint8)
    data, lines = Source(images).load(tmp_path, size=(6, 12), channels=4)
    seen = images * (images[..., 3:] > 0)
    assert (data.height, data.width, data.channels) == (6, 12, 4) and (data.images.numpy() == seen).all()
    assert "cropped" not in lines
    again, lines = Source(images).load(tmp_path, size=(6, 12), channels=4)
    assert lines == "" and again.fingerprint == data.fingerprint
    opaque, lines = Source(images).load(tmp_path)
    assert opaque.channels == 3 and opaque.size == 6 and "4 of 4 images are not square" in lines
    assert len(kept(tmp_path)) == 2
    assert (
        Source(images).load(tmp_path, size=(6, 6))[1] == lines.partition("preparing")[0] + lines[lines.index("4 of") :]
    )


def test_only_images_of_other_proportions_count_as_cropped(tmp_path):
    (tmp_path / "set").mkdir()
    for number, shape in enumerate([(10, 20), (20, 40), (20, 20)]):
        Image.fromarray(numpy.full(shape, number, numpy.uint8)).save(tmp_path / "set" / f"{number}.png")
    with logged() as lines:
        load_images(str(tmp_path / "set"), size=(5, 10), cache=tmp_path / "cache")
    assert any("1 of 3 images are of other proportions" in line for line in lines)
