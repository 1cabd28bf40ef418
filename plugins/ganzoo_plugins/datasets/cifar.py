"""CIFAR-10 from its authors' binary version, or from the Hub."""

import tarfile
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy

from ganzoo.data import ArraySource, HubSource
from ganzoo.errors import DataError
from ganzoo_plugins.datasets.published import OFFLINE, check_split

CLASSES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
FILES = {"train": tuple(f"data_batch_{number}.bin" for number in range(1, 6)), "test": ("test_batch.bin",)}
FOLDER = "cifar-10-batches-bin"
ARCHIVE = "cifar-10-binary.tar.gz"
PICKLED = ("cifar-10-batches-py", "cifar-10-python.tar.gz")
# Each file holds 10,000 records: one byte of label, then 32 x 32 of red, of green and of blue.
RECORD = 1 + 3 * 32 * 32
FILE_BYTES = 10_000 * RECORD


def cifar10(root: Path | None, split: str) -> ArraySource | HubSource:
    check_split("cifar10", split, ("train", "test"))
    if not root:
        return HubSource("uoft-cs/cifar10", "cifar10", split=split, classes=CLASSES, hint=OFFLINE)
    places = [Path(root) / "cifar10", Path(root)]
    for place in places:
        if (place / FOLDER).is_dir():
            return from_folder(split, place / FOLDER)
        if (place / ARCHIVE).is_file():
            return from_archive(split, place / ARCHIVE)
    pickled = next((place / name for place in places for name in PICKLED if (place / name).exists()), None)
    if pickled:
        raise DataError(
            f"{pickled} is the pickled version, which can run code when it is read: put the binary version,"
            f" {ARCHIVE}, beside it."
        )
    raise DataError(
        f"Neither {places[0]} nor {places[1]} holds {FOLDER} or {ARCHIVE}: put the published binary version there, or"
        " leave --data-root out to fetch it from the Hub."
    )


def from_folder(split: str, folder: Path) -> ArraySource:
    """Reads the unpacked files."""
    return from_files(split, folder, lambda name: read_plain(folder / name))


def from_archive(split: str, path: Path) -> ArraySource:
    """Reads the members straight from the archive; nothing is unpacked, so no path in it can do harm."""
    try:
        with tarfile.open(path, "r:gz") as archive:
            return from_files(split, path, lambda name: read_member(archive, f"{FOLDER}/{name}"))
    except (tarfile.TarError, EOFError, zlib.error) as error:
        raise DataError(f"{path} is damaged ({error or type(error).__name__}): fetch it again.") from error


def read_plain(path: Path) -> bytes:
    with open(path, "rb") as file:
        return file.read(FILE_BYTES + 1)


def read_member(archive: tarfile.TarFile, name: str) -> bytes:
    try:
        member = archive.extractfile(name)
    except KeyError:
        member = None
    return member.read(FILE_BYTES + 1) if member else b""


def from_files(split: str, where: Path, read: Callable[[str], bytes]) -> ArraySource:
    """Returns all records of the split's files, in the published order."""
    parts = []
    for name in FILES[split]:
        try:
            data = read(name)
        except OSError as error:
            raise DataError(f"{where}: {name} cannot be read: {error.strerror or error}.") from error
        if len(data) != FILE_BYTES:
            raise DataError(f"{where}: {name} is absent or damaged: not {FILE_BYTES} bytes. Fetch the archive again.")
        parts.append(numpy.frombuffer(data, dtype=numpy.uint8).reshape(-1, RECORD))
    records = numpy.concatenate(parts)
    images = records[:, 1:].reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1)
    return ArraySource(images, records[:, 0].astype("int64"), CLASSES, identity(where, split), "cifar10")


def identity(where: Path, split: str) -> str:
    """Returns a text that changes with the place, size or time of the archive or of any of the split's files."""
    paths = [where / name for name in FILES[split]] if where.is_dir() else [where]
    facts = [f"{path.stat().st_size} {path.stat().st_mtime_ns}" for path in paths]
    return f"cifar10 {split} {str(where.resolve())!a} {'; '.join(facts)}"
