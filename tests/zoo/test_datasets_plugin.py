"""The named data sets: the embedded one, requirements on local files, and error messages."""

import gzip
import importlib.resources
import io
import struct
import subprocess
import sys
import tarfile

import numpy
import pytest
import torch

import ganzoo_plugins.datasets
from ganzoo.data import HubSource, load_images
from ganzoo.errors import DataError, UsageError
from ganzoo_plugins.datasets import cifar, published

DATASETS = {}
ganzoo_plugins.datasets.register_datasets(DATASETS.__setitem__)


def load(name, tmp_path, **options):
    return load_images(name, datasets=DATASETS, cache=tmp_path / "cache", **{"size": 28, **options})


def test_the_four_names():
    assert sorted(DATASETS) == ["cifar10", "fashion-mnist", "fashion-mnist-test", "mnist"]


def test_listing_imports_nothing_heavy():
    code = (
        "import sys, ganzoo_plugins.datasets as d; d.register_datasets(lambda *_: None);"
        "print([n for n in ('torch', 'numpy', 'PIL') if n in sys.modules])"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert found.strip() == "[]"


def test_fashion_mnist_test_is_embedded(tmp_path):
    data = load("fashion-mnist-test", tmp_path)
    assert data.images.shape == (10_000, 28, 28, 1) and torch.bincount(data.labels).tolist() == [1000] * 10
    assert data.classes[0] == "T-shirt/top" and data.classes[9] == "Ankle boot"
    # The first three of the published test split are a boot, a pullover and trousers.
    assert [data.classes[label] for label in data.labels[:3]] == ["Ankle boot", "Pullover", "Trouser"]
    assert load("fashion-mnist:test", tmp_path).fingerprint == data.fingerprint


def test_the_license_lies_beside_the_embedded_files():
    folder = importlib.resources.files("ganzoo_plugins.datasets") / "files"
    text = (folder / "fashion-mnist-LICENSE").read_text()
    assert "MIT License" in text and "Copyright (c) 2017 Zalando SE, https://tech.zalando.com" in text


def test_splits_that_do_not_exist(tmp_path):
    for name in ("mnist:validation", "cifar10:tset", "fashion-mnist-test:train"):
        with pytest.raises(UsageError, match="has no split called"):
            load(name, tmp_path)


def test_without_a_root_the_rest_comes_from_the_hub_with_a_way_out():
    for name, repository in (
        ("mnist", "ylecun/mnist"),
        ("fashion-mnist", "zalando-datasets/fashion_mnist"),
        ("cifar10", "uoft-cs/cifar10"),
    ):
        source = DATASETS[name](None)
        assert isinstance(source, HubSource)
        assert (source.repository, source.split, len(source.classes)) == (repository, "train", 10)
        assert "fashion-mnist-test" in source.hint and "--data-root" in source.hint
    assert DATASETS["mnist"](None, split="test").split == "test"


@pytest.mark.parametrize("layout", ["root", "root/mnist", "compressed"])
def test_local_mnist_must_be_the_published_files(tmp_path, monkeypatch, layout):
    folder = tmp_path / "root" / ("mnist" if layout == "root/mnist" else "")
    folder.mkdir(parents=True)
    images = numpy.arange(3 * 28 * 28, dtype=numpy.uint32).astype(numpy.uint8).reshape(3, 28, 28)
    contents = {
        "train-images-idx3-ubyte": bytes((0, 0, 8, 3)) + struct.pack(">3I", 3, 28, 28) + images.tobytes(),
        "train-labels-idx1-ubyte": bytes((0, 0, 8, 1)) + struct.pack(">I", 3) + bytes((2, 0, 9)),
    }
    for name, content in contents.items():
        path = folder / (f"{name}.gz" if layout == "compressed" else name)
        path.write_bytes(gzip.compress(content) if layout == "compressed" else content)
    with pytest.raises(DataError, match="not the published file"):
        load("mnist", tmp_path, root=tmp_path / "root")
    sums = {name: published_md5(content) for name, content in contents.items()}
    monkeypatch.setattr(published, "MNIST_MD5", sums)
    data = load("mnist", tmp_path, root=tmp_path / "root")
    assert numpy.array_equal(data.images.numpy()[..., 0], images) and data.labels.tolist() == [2, 0, 9]
    assert data.classes == tuple("0123456789")


def published_md5(content: bytes) -> str:
    import hashlib

    return hashlib.md5(content, usedforsecurity=False).hexdigest()


def test_a_root_without_the_files_is_no_reason_to_download(tmp_path):
    for name in ("mnist", "fashion-mnist", "cifar10"):
        with pytest.raises(DataError, match="holds .* published"):
            load(name, tmp_path, root=tmp_path)
    content = (importlib.resources.files("ganzoo_plugins.datasets") / "files/t10k-images-idx3-ubyte.gz").read_bytes()
    (tmp_path / "t10k-images-idx3-ubyte.gz").write_bytes(content)
    with pytest.raises(DataError, match="not the published file"):
        load("mnist:test", tmp_path, root=tmp_path)


def cifar_file() -> tuple[bytes, numpy.ndarray]:
    """10,000 records: image k is k modulo 251 in red, 1 in green's first row, 2 in blue; its label is k modulo 10."""
    records = numpy.zeros((10_000, cifar.RECORD), numpy.uint8)
    records[:, 0] = numpy.arange(10_000) % 10
    records[:, 1 : 1 + 1024] = (numpy.arange(10_000) % 251)[:, None]
    records[:, 1025 : 1025 + 32] = 1
    records[:, 2049:] = 2
    return records.tobytes(), records


@pytest.mark.parametrize("layout", ["folder", "archive"])
def test_cifar10_binary(tmp_path, layout):
    content, _ = cifar_file()
    name = f"{cifar.FOLDER}/test_batch.bin"
    if layout == "folder":
        (tmp_path / cifar.FOLDER).mkdir()
        (tmp_path / name).write_bytes(content)
    else:
        write_archive(tmp_path / cifar.ARCHIVE, name, content)
    data = load("cifar10:test", tmp_path, size=32, root=tmp_path)
    assert data.images.shape == (10_000, 32, 32, 3)
    assert data.images[7, 0, 0].tolist() == [7, 1, 2] and data.images[300, 5, 9].tolist() == [49, 0, 2]
    assert data.labels[:12].tolist() == [*range(10), 0, 1] and data.classes[6] == "frog"
    with pytest.raises(DataError, match="data_batch_1.bin"):
        load("cifar10", tmp_path, size=32, root=tmp_path)


def write_archive(path, name: str, content: bytes) -> None:
    with tarfile.open(path, "w:gz", compresslevel=1) as archive:
        member = tarfile.TarInfo(name)
        member.size = len(content)
        archive.addfile(member, io.BytesIO(content))


def test_cifar10_damaged_archive(tmp_path):
    (tmp_path / cifar.ARCHIVE).write_bytes(b"no archive")
    with pytest.raises(DataError, match="damaged|cannot be read"):
        load("cifar10:test", tmp_path, root=tmp_path)
    write_archive(tmp_path / cifar.ARCHIVE, f"{cifar.FOLDER}/test_batch.bin", b"short")
    with pytest.raises(DataError, match="test_batch.bin is absent or damaged"):
        load("cifar10:test", tmp_path, root=tmp_path)


@pytest.mark.parametrize("name", cifar.PICKLED)
def test_cifar10_pickled_version_is_refused(tmp_path, name):
    (tmp_path / name).mkdir()
    with pytest.raises(DataError, match="pickled.*cifar-10-binary.tar.gz"):
        load("cifar10", tmp_path, root=tmp_path)
