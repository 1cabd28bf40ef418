"""What `--data` takes: each kind of source, its labels, and the line for each mistake."""

import gzip
import os
import struct
import sys
import zipfile
from pathlib import Path

import numpy
import pytest
import torch
from pictures_on_disk import assert_refused, load, save, values  # noqa: F401  (load is a fixture)

from ganzoo.data import ArraySource, EncodedSource, load_images
from ganzoo.errors import DataError, GanzooError, PluginError, UsageError


def test_folder_without_sub_folders_has_no_labels(tmp_path, load):
    for grey, name in ((3, "c.png"), (1, "A.PNG"), (2, "b.png")):
        save(tmp_path / "set" / name, grey)
    data = load(tmp_path / "set")
    assert values(data) == [1, 2, 3] and data.labels is None and data.classes == ()
    assert (data.size, data.channels, len(data), data.name, data.revision) == (6, 1, 3, "set", None)


def test_sub_folders_are_labels_in_the_order_of_their_names(tmp_path, load):
    for grey, name in ((1, "dog/x.png"), (2, "cat/x.png"), (3, "cat/deep/x.png"), (4, "eel/x.png")):
        save(tmp_path / "set" / name, grey)
    save(tmp_path / "set/.hidden/x.png", 9)
    save(tmp_path / "set/__MACOSX/x.png", 9)
    (tmp_path / "set/read me.txt").write_text("no image")
    data = load(tmp_path / "set")
    assert data.classes == ("cat", "dog", "eel")
    assert dict(zip(values(data), data.labels.tolist(), strict=True)) == {1: 1, 2: 0, 3: 0, 4: 2}


def test_images_beside_labelled_folders_are_refused(tmp_path, load):
    save(tmp_path / "set/loose.png", 1)
    save(tmp_path / "set/cat/x.png", 1)
    save(tmp_path / "set/dog/x.png", 1)
    assert_refused(load, tmp_path / "set", "loose.png", DataError)


@pytest.mark.skipif(sys.platform == "win32", reason="names and links as on POSIX")
def test_odd_names_and_circular_links(tmp_path, load):
    folder = tmp_path / "set"
    save(folder / "a" / "new\nline.png", 1)
    save(folder / "b\nc" / "x.png", 2)
    os.rename(save(folder / "b\nc" / "y.png", 3), os.fsencode(folder / "b\nc") + b"/\xff\xfe.png")
    (folder / "a" / "again").symlink_to(folder)
    (folder / "a" / "itself").symlink_to(folder / "a" / "itself")
    data = load(folder)
    assert sorted(values(data)) == [1, 2, 3] and data.classes == ("a", "b\\nc")


@pytest.mark.skipif(sys.platform == "win32", reason="pipes and links as on POSIX")
def test_pipes_and_broken_links_are_bad_images_not_hangs(tmp_path, load):
    save(tmp_path / "set/a.png", 1)
    os.mkfifo(tmp_path / "set/pipe.png")
    (tmp_path / "set/broken.png").symlink_to(tmp_path / "nowhere")
    assert_refused(load, tmp_path / "set", "2 of 3 images .*broken.png.*pipe.png. .not a regular file", DataError)
    assert values(load(tmp_path / "set", on_bad_image="skip")) == [1]
    os.mkfifo(tmp_path / "pipe.zip")
    assert_refused(load, tmp_path / "pipe.zip", "not a regular file", UsageError)


def test_zip_with_one_common_folder(tmp_path, load):
    path = tmp_path / "set.zip"
    with zipfile.ZipFile(path, "w") as archive:
        for grey, name in ((1, "root/b/1.png"), (2, "root/a/2.png"), (3, "root/a/1.png")):
            archive.write(save(tmp_path / "image.png", grey), name)
        archive.writestr("root/LICENSE", "text")
        archive.writestr("__MACOSX/root/a/._1.png", "fork")
        archive.writestr("root/a/.hidden.png", "hidden")
    data = load(path)
    assert values(data) == [3, 2, 1] and data.labels.tolist() == [0, 0, 1] and data.classes == ("a", "b")


def test_zip_that_lies_is_bad(tmp_path, load):
    path = tmp_path / "set.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.write(save(tmp_path / "image.png", 1), "a.png")
        archive.writestr("b.png", b"junk" * 50)
    content = path.read_bytes()
    path.write_bytes(content.replace(b"junkjunk", b"junkJUNK", 1))
    assert_refused(load, path, "1 of 2 images.*b.png.*CRC", DataError)
    path.write_bytes(content[:60])
    assert_refused(load, path, "cannot be read as a zip", DataError)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("text.txt", "text")
    assert_refused(load, path, "no images", DataError)


@pytest.mark.parametrize("layout", ["NHW", "NHWC", "NCHW"])
def test_npz_layouts(tmp_path, load, layout):
    images = numpy.random.default_rng(0).integers(0, 256, (5, 6, 6, 3), dtype=numpy.uint8)
    stored = {"NHW": images[..., 0], "NHWC": images, "NCHW": images.transpose(0, 3, 1, 2)}[layout]
    numpy.savez(tmp_path / "set.npz", x_train=stored, y_train=numpy.array([[2], [0], [1], [1], [0]]))
    data = load(tmp_path / "set.npz")
    expected = images[..., :1] if layout == "NHW" else images
    assert numpy.array_equal(data.images.numpy(), expected)
    assert data.labels.tolist() == [2, 0, 1, 1, 0] and data.classes == ("0", "1", "2")


NPZ_MISTAKES = {
    "float32": ({"images": numpy.zeros((2, 6, 6), numpy.float32)}, "float32"),
    "flat": ({"images": numpy.zeros((2, 36), numpy.uint8)}, "shape"),
    "channels unclear": ({"images": numpy.zeros((2, 3, 6, 3), numpy.uint8)}, "both"),
    "no channels": ({"images": numpy.zeros((2, 6, 6, 6), numpy.uint8)}, "neither"),
    "no images": ({"pictures": numpy.zeros((2, 6, 6), numpy.uint8)}, "pictures"),
    "labels short": ({"x": numpy.zeros((2, 6, 6), numpy.uint8), "y": numpy.zeros(1, int)}, "one label per image"),
    "labels negative": ({"x": numpy.zeros((1, 6, 6), numpy.uint8), "y": numpy.array([-1])}, "between 0"),
    "labels float": ({"x": numpy.zeros((1, 6, 6), numpy.uint8), "y": numpy.zeros(1)}, "float64"),
    "pickle": ({"x": numpy.array([{}], dtype=object)}, "allow_pickle|Object arrays"),
}


@pytest.mark.parametrize("name", NPZ_MISTAKES)
def test_npz_mistakes(tmp_path, load, name):
    arrays, words = NPZ_MISTAKES[name]
    numpy.savez(tmp_path / "set.npz", **arrays)
    assert_refused(load, tmp_path / "set.npz", words, DataError)


def test_npz_damage(tmp_path, load):
    (tmp_path / "set.npz").write_bytes(b"no archive")
    assert_refused(load, tmp_path / "set.npz", "cannot be read as .npz", DataError)


def write_idx(path: Path, array: numpy.ndarray, extra: bytes = b"") -> None:
    data = bytes((0, 0, 8, array.ndim)) + struct.pack(f">{array.ndim}I", *array.shape) + array.tobytes() + extra
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(gzip.compress(data) if path.suffix == ".gz" else data)


def test_idx_file_and_folder_prefer_the_training_split(tmp_path, load):
    folder = tmp_path / "set"
    for start, grey, suffix in (("train", 7, ".gz"), ("t10k", 9, "")):
        write_idx(folder / f"{start}-images-idx3-ubyte{suffix}", numpy.full((3, 6, 6), grey, numpy.uint8))
        write_idx(folder / f"{start}-labels-idx1-ubyte{suffix}", numpy.array([1, 0, 1], numpy.uint8))
    assert values(load(folder)) == [7, 7, 7] and load(folder).labels.tolist() == [1, 0, 1]
    assert values(load(folder / "t10k-images-idx3-ubyte")) == [9, 9, 9]
    (folder / "train-labels-idx1-ubyte.gz").unlink()
    assert load(folder).labels is None


def test_idx_damage(tmp_path, load):
    path = tmp_path / "train-images-idx3-ubyte"
    images = numpy.zeros((3, 6, 6), numpy.uint8)
    write_idx(path, images, b"more")
    assert_refused(load, path, "damaged", DataError)
    path.write_bytes(path.read_bytes()[:50])
    assert_refused(load, path, "damaged", DataError)
    path.write_bytes(b"PK")
    assert_refused(load, path, "not an idx file", DataError)
    path.write_bytes(bytes((0, 0, 8, 3)) + b"\xff" * 12)
    assert_refused(load, path, "can be read", DataError)
    compressed = tmp_path / "b-images-idx3-ubyte.gz"
    write_idx(compressed, images)
    compressed.write_bytes(compressed.read_bytes()[:-12])
    assert_refused(load, compressed, "cannot be read", DataError)


def test_paths_that_hold_nothing(tmp_path, load):
    (tmp_path / "empty").mkdir()
    (tmp_path / "text.txt").write_text("no image")
    assert_refused(load, tmp_path / "empty", "is empty", DataError)
    assert_refused(load, tmp_path, "no images", DataError)
    assert_refused(load, tmp_path / "absent", "no file or folder", UsageError)
    assert_refused(load, tmp_path / "text.txt", "no known kind", UsageError)
    assert_refused(load, save(tmp_path / "one.png", 1), "single image", UsageError)
    write_idx(tmp_path / "train-images-idx3-ubyte", numpy.zeros((1, 6, 6), numpy.uint8))
    assert_refused(load, tmp_path, "several kinds", UsageError)
    assert_refused(load, "a\0b", "cannot be read|is called", GanzooError)
    assert_refused(load, "x" * 5000, "cannot be read", DataError)


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may read everything")
def test_unreadable_folder(tmp_path, load):
    folder = tmp_path / "set"
    save(folder / "a.png", 1)
    folder.chmod(0)
    assert_refused(load, folder, "cannot be read", DataError)
    folder.chmod(0o700)


def test_names_are_never_guessed(load):
    known = {"mnist": None, "cifar10": None}
    assert_refused(load, "minst", "Did you mean 'mnist'", UsageError, datasets=known)
    assert_refused(load, "minst:test", "Did you mean 'mnist'", UsageError, datasets=known)
    assert_refused(load, "owner/name", "hf://datasets/owner/name", UsageError, datasets=known)
    for address in ("hf://owner/name", "hf://datasets/name", "hf://datasets/a/b/../c", "hf://datasets/a/b@c d"):
        assert_refused(load, address, "no address of a data set", UsageError)


def test_registered_data_sets(tmp_path, load):
    images = numpy.arange(4, dtype=numpy.uint8)[:, None, None].repeat(6, 1).repeat(6, 2)
    calls = []

    def factory(root, split="train"):
        calls.append((root, split))
        return ArraySource(images, numpy.array([0, 1, 0, 1]), ("even", "odd"), f"made here {split}", "made")

    data = load("made", datasets={"made": factory}, root=tmp_path)
    load("made:test", datasets={"made": factory})
    assert calls == [(tmp_path, "train"), (None, "test")]
    assert values(data) == [0, 1, 2, 3] and data.classes == ("even", "odd") and data.labels.dtype == torch.int64
    encoded = EncodedSource(["a"], lambda number: save(tmp_path / "x.png", 5).read_bytes(), None, (), "one", "one")
    assert values(load("one", datasets={"one": lambda root: encoded})) == [5]


def test_a_data_set_that_breaks_the_contract_is_named(load):
    images = numpy.zeros((2, 6, 6), numpy.uint8)

    def failing(root):
        raise RuntimeError("no\nluck")

    made = {
        "failing": failing,
        "other": lambda root: 42,
        "floats": lambda root: ArraySource(images.astype(float), None, (), "i", "floats"),
        "labels": lambda root: ArraySource(images, numpy.array([0, 5]), ("a", "b"), "i", "labels"),
        "empty": lambda root: ArraySource(images[:0], None, (), "i", "empty"),
    }
    assert_refused(load, "failing", "'failing' failed: RuntimeError: no luck", PluginError, datasets=made)
    assert_refused(load, "other", "'other' gave int", PluginError, datasets=made)
    assert_refused(load, "floats", "'floats'.*uint8", DataError, datasets=made)
    assert_refused(load, "labels", "'labels'.*between 0 and 1", DataError, datasets=made)
    assert_refused(load, "empty", "'empty' holds no images", DataError, datasets=made)


@pytest.mark.parametrize(
    "options",
    [{"size": 0}, {"size": 9999}, {"size": (4, 0)}, {"size": (2, 2, 2)}, {"channels": 2}, {"on_bad_image": "ignore"}],
)
def test_impossible_requests(tmp_path, options):
    save(tmp_path / "set/a.png", 1)
    with pytest.raises(UsageError):
        load_images(str(tmp_path / "set"), cache=tmp_path / "cache", **{"size": 6, **options})
