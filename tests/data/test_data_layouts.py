"""Published layouts: files of labels, splits, archives of other systems, and what is said about files left out."""

import io
import json
import tarfile
import tracemalloc
import zipfile
from pathlib import Path

import numpy
import pytest
from messages import logged
from pictures_on_disk import assert_refused, load, save, values  # noqa: F401  (load is a fixture)
from PIL import Image

from ganzoo.data import arrays
from ganzoo.data.decode import LARGEST_BYTES
from ganzoo.data.splits import base_of, choose_folders
from ganzoo.errors import DataError, GanzooError, UsageError


def png(grey: int) -> bytes:
    buffer = io.BytesIO()
    Image.new("L", (6, 6), grey).save(buffer, "PNG")
    return buffer.getvalue()


def write_zip(path: Path, files: dict[str, bytes]) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return path


def write_tar(path: Path, files: dict[str, bytes], mode: str = "w") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, mode) as archive:
        for name, content in files.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            archive.addfile(entry, io.BytesIO(content))
    return path


def named(data) -> dict[int, str]:
    """{grey of an image: name of its class}."""
    return {grey: data.classes[label] for grey, label in zip(values(data), data.labels.tolist(), strict=True)}


# -- labels in files ---------------------------------------------------------------------------------------------------


def stylegan(labels) -> dict[str, bytes]:
    images = {f"{number // 2:05}/img{number:08}.png": png(number) for number in range(6)}
    return {**images, "dataset.json": json.dumps({"labels": labels}).encode()}


def test_the_labels_of_stylegan_are_in_dataset_json(tmp_path, load):
    pairs = [[f"{number // 2:05}/img{number:08}.png", [4, 10, 2][number % 3]] for number in range(6)]
    with logged() as lines:
        data = load(write_zip(tmp_path / "a.zip", stylegan(pairs)))
    assert data.classes == ("2", "4", "10") and named(data) == {0: "4", 1: "10", 2: "2", 3: "4", 4: "10", 5: "2"}
    assert any("3 classes" in line and "dataset.json" in line for line in lines)
    one_hot = [[name, [float(k == label) for k in (4, 10, 2)]] for name, label in pairs]
    assert load(write_zip(tmp_path / "b.zip", stylegan(one_hot))).classes == ("0", "1", "2")
    assert load(write_zip(tmp_path / "c.zip", stylegan(None))).labels is None
    assert_refused(
        load, write_zip(tmp_path / "d.zip", stylegan(pairs[:4])), "dataset.json.*no label for 2 of 6", DataError
    )
    assert_refused(load, write_zip(tmp_path / "e.zip", stylegan([["x", 0.5]])), "pairs|no label", DataError)
    assert_refused(load, write_zip(tmp_path / "f.zip", stylegan(pairs) | {"dataset.json": b"{"}), "JSON", DataError)


@pytest.mark.parametrize(
    ("numbers", "folder"), [((999, 1000), "{0:05}/img{1:08}.png"), ((5, 1007), "{2:05}/{1:05}.png")]
)
def test_storage_folders_are_no_classes(tmp_path, load, numbers, folder):
    for number in numbers:
        save(tmp_path / "set" / folder.format(number // 1000, number, number - number % 1000), number % 250)
    assert load(tmp_path / "set").labels is None


METADATA = {
    "metadata.csv": "file_name,label\n0.png,cat\nin/1.png,dog\n2.png,cat\n",
    "metadata.jsonl": '{"file_name": "0.png", "label": "cat"}\n{"file_name": "in/1.png", "label": "dog"}\n'
    '{"file_name": "2.png", "label": "cat"}\n',
    "labels.csv": "id;class\n0;cat\n1;dog\n2;cat\n",
    "train.tsv": "\ufeffpath\tlabel\n.\\0.png\tcat\nin\\1.png\tdog\n2.png\tcat\n",
}


@pytest.mark.parametrize("name", METADATA)
def test_tables_beside_images_are_labels(tmp_path, load, name):
    for number, image in enumerate(("0.png", "in/1.png", "2.png")):
        save(tmp_path / "set" / image, number)
    (tmp_path / "set" / name).write_text(METADATA[name], encoding="utf-8")
    with logged() as lines:
        assert named(load(tmp_path / "set")) == {0: "cat", 1: "dog", 2: "cat"}
    assert any("2 classes" in line and name in line for line in lines)
    (tmp_path / "set" / name).write_text(METADATA[name].replace("dog", ""), encoding="utf-8")
    assert_refused(load, tmp_path / "set", f"{name}.*no label for 1 of 3", DataError)


def test_tables_that_are_no_labels_are_said(tmp_path, load):
    save(tmp_path / "set/cat/0.png", 0)
    save(tmp_path / "set/dog/1.png", 1)
    (tmp_path / "set/metadata.csv").write_text("file_name,text\ncat/0.png,a cat\n")
    (tmp_path / "set/prices.csv").write_text("day,label\nmonday,3\n")
    with logged() as lines:
        assert load(tmp_path / "set").classes == ("cat", "dog")
    assert any("no column label" in line and "'text'" in line for line in lines)
    assert any("2 .csv" in line for line in lines)


# -- splits ------------------------------------------------------------------------------------------------------------

SPLITS = {
    "above the classes": ("train/cat/1.png", "train/dog/2.png", "valid/cat/3.png", "valid/dog/4.png"),
    "below the classes": ("cat/train/1.png", "dog/train/2.png", "cat/val/3.png", "dog/val/4.png"),
    "below a root": ("root/Training/cat/1.png", "root/Training/dog/2.png", "root/Val/cat/3.png", "root/Val/dog/4.png"),
    "with an extra": ("train/cat/1.png", "train/dog/2.png", "val/cat/3.png", "val/dog/4.png", "more/x/5.png"),
}


@pytest.mark.parametrize("layout", SPLITS)
def test_splits_are_no_classes(tmp_path, load, layout):
    for number, name in enumerate(SPLITS[layout], 1):
        save(tmp_path / "set" / name, number)
    with logged() as lines:
        data = load(tmp_path / "set")
    assert named(data) == {1: "cat", 2: "dog"}
    assert any(
        "splits" in line and f"2 of {len(SPLITS[layout])} images" in line and "--split" in line for line in lines
    )
    assert named(load(f"{tmp_path / 'set'}:validation")) == {3: "cat", 4: "dog"}
    assert_refused(load, f"{tmp_path / 'set'}:test", "no split 'test'.*rain", UsageError)


def test_domains_are_classes_and_can_be_chosen(tmp_path, load):
    for number, name in enumerate(("trainA/1.png", "trainB/1.png", "testA/1.png", "testB/1.png")):
        save(tmp_path / "set" / name, number)
    assert named(load(tmp_path / "set")) == {0: "A", 1: "B"}
    data = load(f"{tmp_path / 'set'}:testB")
    assert values(data) == [3] and data.labels is None


def test_without_a_training_split_one_must_be_chosen(tmp_path, load):
    save(tmp_path / "set/val/1.png", 1)
    save(tmp_path / "set/test/2.png", 2)
    assert_refused(load, tmp_path / "set", "'test', 'val'.*--split", UsageError)
    assert values(load(f"{tmp_path / 'set'}:val")) == [1]
    save(tmp_path / "plain/1.png", 1)
    assert_refused(load, f"{tmp_path / 'plain'}:val", "no split 'val'", UsageError)


def test_a_folder_called_train_among_others_is_a_class(tmp_path, load):
    for name in ("train/1.png", "car/2.png", "bus/3.png"):
        save(tmp_path / "set" / name, 1)
    assert load(tmp_path / "set").classes == ("bus", "car", "train")
    assert base_of("training_set") == "train" and base_of("trainer") is None and base_of("val2017") == "val"
    with pytest.raises(UsageError, match="train2014.*--split"):
        choose_folders(["train2014/1.png", "train2017/2.png", "val2017/3.png"], None, "x")


def test_splits_of_arrays(tmp_path, load):
    images = numpy.zeros((2, 6, 6), numpy.uint8)
    path = tmp_path / "set.npz"
    numpy.savez(path, x_train=images, y_train=[0, 1], x_test=images + 9, y_test=[1, 1])
    with logged() as lines:
        assert values(load(path)) == [0, 0]
    assert any("'x_test'" in line for line in lines)
    assert values(load(f"{path}:test")) == [9, 9]
    assert_refused(load, f"{path}:val", "x_val.*'x_test'", DataError)


# -- archives ----------------------------------------------------------------------------------------------------------


def test_zips_of_other_systems(tmp_path, load):
    files = {"set\\a\\": b"", "set\\a\\1.png": png(1), "set\\b\\2.png": png(2), "__MACOSX\\a\\._1.png": b"fork"}
    assert named(load(write_zip(tmp_path / "set.zip", files))) == {1: "a", 2: "b"}


@pytest.mark.parametrize(
    ("suffix", "mode"), [(".tar", "w"), (".tar.gz", "w:gz"), (".tgz", "w:gz"), (".tar.xz", "w:xz")]
)
def test_tar_archives(tmp_path, load, suffix, mode):
    files = {"./b/1.png": png(1), "./a/2.png": png(2), "./a/._2.png": b"fork"}
    data = load(write_tar(tmp_path / f"set{suffix}", files, mode))
    assert named(data) == {1: "b", 2: "a"} and data.name == "set"


def test_damaged_tars_and_tar_bombs(tmp_path, load):
    path = write_tar(tmp_path / "set.tar", {"1.png": png(1), "2.png": bytes(5000)})
    whole = path.read_bytes()
    for length in (1240, 1540, 3000):
        path.write_bytes(whole[:length])
        assert_refused(load, path, "cannot be read as a tar", DataError)
    assert_refused(load, write_tar(tmp_path / "b.tar.gz", {"1.png": bytes(2**22)}, "w:gz"), "100 times", DataError)
    (tmp_path / "c.tar").write_bytes(b"none")
    assert_refused(load, tmp_path / "c.tar", "cannot be read as a tar", DataError)


def test_shards_of_webdataset(tmp_path, load):
    for shard in range(2):
        files = {}
        for number in range(3):
            files |= {f"{shard}{number}.png": png(10 * shard + number), f"{shard}{number}.cls": str(7 * shard).encode()}
        write_tar(tmp_path / "set" / f"my-train-{shard:06}.tar", files)
    write_tar(tmp_path / "set/my-val-000000.tar", {"x.png": png(99), "x.cls": b"7"})
    with logged() as lines:
        assert named(load(tmp_path / "set")) == {0: "0", 1: "0", 2: "0", 10: "7", 11: "7", 12: "7"}
    assert any("train" in line and "val" in line for line in lines)
    assert values(load(f"{tmp_path / 'set'}:val")) == [99]
    assert load(write_tar(tmp_path / "one/a.tar", {"1.png": png(1)}).parent).labels is None


def test_an_entry_is_read_no_further_than_it_states(tmp_path, load):
    path = tmp_path / "set.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a.png", bytes(2**26))
    true = (2**26).to_bytes(4, "little")
    path.write_bytes(path.read_bytes().replace(true, (1000).to_bytes(4, "little")))
    tracemalloc.start()
    assert_refused(load, path, "1 of 1 images.*a.png", DataError)
    assert tracemalloc.get_traced_memory()[1] < 2**23
    tracemalloc.stop()
    path.write_bytes(path.read_bytes().replace((1000).to_bytes(4, "little"), (LARGEST_BYTES + 1).to_bytes(4, "little")))
    assert_refused(load, path, f"{LARGEST_BYTES + 1} bytes are more", DataError)


def test_arrays_that_need_more_memory_than_there_is_are_refused_unread(tmp_path, load, monkeypatch):
    numpy.savez_compressed(tmp_path / "set.npz", images=numpy.zeros((100, 200, 200), numpy.uint8))
    monkeypatch.setattr(arrays, "available_bytes", lambda: 10**6)
    assert_refused(load, tmp_path / "set.npz", "'images' takes .* GiB", DataError)


# -- files left out ----------------------------------------------------------------------------------------------------


def test_files_left_out_are_counted_by_kind(tmp_path, load):
    save(tmp_path / "set/1.png", 1)
    for name in ("a.jp2", "b.JP2", "c.mp4", "read me.txt"):
        (tmp_path / "set" / name).write_bytes(b"x")
    with logged() as lines:
        assert values(load(tmp_path / "set")) == [1]
    assert any("3 files" in line and "2 .jp2" in line and "1 .mp4" in line for line in lines)
    assert any("1 files" in line and "1 .txt" in line for line in lines)
    (tmp_path / "set/1.png").unlink()
    assert_refused(load, tmp_path / "set", "no images.*2 .jp2", DataError)


def test_avif_is_read_where_pillow_can(tmp_path, load):
    from PIL import features

    from ganzoo.data.decode import SUFFIXES

    if ".avif" not in SUFFIXES:
        pytest.skip(f"this Pillow reads no AVIF ({features.version('pil')})")
    (tmp_path / "set").mkdir()
    Image.new("RGB", (6, 6), (200, 200, 200)).save(tmp_path / "set/a.avif")
    assert abs(values(load(tmp_path / "set", channels=1))[0] - 200) < 6


def test_lab_and_portable_pixmaps_are_read(tmp_path, load):
    from PIL import features

    (tmp_path / "set").mkdir()
    Image.new("RGB", (6, 6), (9, 99, 200)).save(tmp_path / "set/a.ppm")
    if features.check("littlecms2"):
        Image.new("LAB", (6, 6), (255, 128, 128)).save(tmp_path / "set/b.tif")
        data = load(tmp_path / "set")
        assert data.images[0, 0, 0].tolist() == [9, 99, 200] and data.images[1].min() > 250


# -- labels as numbers -------------------------------------------------------------------------------------------------


def test_class_folders_that_are_numbers_are_sorted_as_numbers(tmp_path, load):
    for grey, name in enumerate(("0", "1", "10", "11", "2")):
        save(tmp_path / "set" / name / "1.png", grey)
    data = load(tmp_path / "set")
    assert data.classes == ("0", "1", "2", "10", "11") and named(data) == {0: "0", 1: "1", 2: "10", 3: "11", 4: "2"}
    save(tmp_path / "set/b/1.png", 9)
    assert load(tmp_path / "set").classes == ("0", "1", "10", "11", "2", "b")


def test_labels_with_gaps_are_mapped(tmp_path, load):
    images = numpy.arange(3, dtype=numpy.uint8)[:, None, None].repeat(6, 1).repeat(6, 2)
    numpy.savez(tmp_path / "set.npz", images=images, labels=[90000, 7, 90000])
    with logged() as lines:
        assert named(load(tmp_path / "set.npz")) == {0: "90000", 1: "7", 2: "90000"}
    assert any("2 classes" in line and "7, 90000" in line for line in lines)
    numpy.savez(tmp_path / "set.npz", images=images, labels=[2, 0, 2], classes=["a", "b", "c"])
    data = load(tmp_path / "set.npz")
    assert data.classes == ("a", "b", "c") and named(data) == {0: "c", 1: "a", 2: "c"}


def test_new_labels_of_the_same_files_are_prepared_again(tmp_path, load):
    for grey, name in enumerate(("1.png", "2.png")):
        save(tmp_path / "set" / name, grey)
    assert load(tmp_path / "set").labels is None
    (tmp_path / "set/metadata.csv").write_text("file_name,label\n1.png,a\n2.png,b\n")
    assert named(load(tmp_path / "set")) == {0: "a", 1: "b"}
    (tmp_path / "set/metadata.csv").write_text("file_name,label\n1.png,b\n2.png,a\n")
    assert named(load(tmp_path / "set")) == {0: "b", 1: "a"}


# -- what is said of images --------------------------------------------------------------------------------------------


def test_rectangles_and_images_that_are_alike_are_said_each_time(tmp_path, load):
    (tmp_path / "set").mkdir()
    for number in range(4):
        Image.new("L", (6 + 3 * (number < 3), 6), 7).save(tmp_path / "set" / f"{number}.png")
    numpy.savez(tmp_path / "set.npz", images=numpy.arange(4 * 54, dtype=numpy.uint8).reshape(4, 6, 9))
    for _ in range(2):
        with logged() as lines:
            load(tmp_path / "set")
        assert any("3 of 4 images are not square" in line for line in lines)
        assert any("'set'" in line and "all images are the same" in line for line in lines)
        with logged() as lines:
            load(tmp_path / "set.npz")
        assert any("4 of 4 images are not square" in line for line in lines)
        assert not any("same" in line for line in lines)


def test_a_check_comes_before_any_image_is_decoded(tmp_path, load):
    save(tmp_path / "set/1.png", 1)
    (tmp_path / "set/2.png").write_bytes(b"no image")

    def check(source):
        raise UsageError(f"{len(source.names)} images")

    assert_refused(load, tmp_path / "set", "2 images", UsageError, check=check)


# -- damage ------------------------------------------------------------------------------------------------------------


def test_damaged_label_files_are_one_line(tmp_path, load):
    path = write_zip(tmp_path / "a.zip", stylegan(None))
    path.write_bytes(path.read_bytes().replace(b'{"labels', b'{"LABELS', 1))
    assert_refused(load, path, "dataset.json.*CRC", DataError)
    save(tmp_path / "set/1.png", 1)
    (tmp_path / "set/metadata.csv").write_text("file_name,label\n1.png,cat,more,cells\n")
    assert load(tmp_path / "set").classes == ("cat",)
    (tmp_path / "set/metadata.csv").write_bytes(b"file_name,label\n1.png,\xff\n")
    assert_refused(load, tmp_path / "set", "metadata.csv.*cannot be read", DataError)


def test_mutated_archives_are_read_or_refused(tmp_path, load):
    import random

    files = {f"{name}/{number}.png": png(number) for name in "ab" for number in range(3)}
    files["metadata.csv"] = b"file_name,label\n" + b"".join(f"{name},x\n".encode() for name in files)
    wholes = [write_zip(tmp_path / "a.zip", files), write_tar(tmp_path / "b.tar", files)]
    chance, refused = random.Random(0), 0
    for whole in wholes:
        for _ in range(60):
            data = bytearray(whole.read_bytes())
            for _ in range(chance.choice((1, 3, 20))):
                place = chance.randrange(len(data))
                data[place : place + chance.choice((1, 4))] = chance.choice((b"\xff", b"\0\0\0\0", b"\x80\0\0\0"))
            path = tmp_path / f"mutated{whole.suffix}"
            path.write_bytes(data)
            try:
                load(path, on_bad_image="skip")
            except GanzooError as error:
                refused += 1
                assert "\n" not in str(error)
    assert refused
