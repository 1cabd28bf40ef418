"""Lists and reads the files of a folder, a zip or a tar archive in the same way. Nothing is unpacked."""

from __future__ import annotations

import bz2
import gzip
import hashlib
import lzma
import os
import stat
import struct
import tarfile
import tempfile
import threading
import zipfile
import zlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from ganzoo.data.decode import LARGEST_BYTES, BadImage
from ganzoo.errors import DataError
from ganzoo.files.text import quoted, reason

TAR_SUFFIXES = (".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tbz2", ".tar.xz", ".txz")
COMPRESSED: dict[bytes, Callable[..., BinaryIO]] = {
    b"\x1f\x8b": gzip.open,  # type: ignore[dict-item]
    b"BZ": bz2.open,  # type: ignore[dict-item]
    b"\xfd7": lzma.open,  # type: ignore[dict-item]
}
# Images are compressed already: an archive that grows more than this is no archive of images.
MOST_GROWTH = 100
READ_ERRORS = (
    *(OSError, EOFError, ValueError, LookupError, ArithmeticError, MemoryError, NotImplementedError, struct.error),
    *(zipfile.BadZipFile, tarfile.TarError, zlib.error, lzma.LZMAError),
)


@dataclass(frozen=True, eq=False)
class FileSet:
    """The visible files of a folder or archive, by their names with "/" between folders, in the order of the names.

    `read` returns the bytes of a file, or raises BadImage if there are more than an image can have. `name` is that of
    the data set, `where` the quoted path. `identity` changes with the files.
    """

    names: list[str]
    read: Callable[[str], bytes]
    identity: str
    name: str
    where: str


def walk(folder: Path) -> Iterator[tuple[str, os.stat_result | None]]:
    """Yields (relative name with "/", stat or None if it has none) of every file that is not hidden.

    Follows links, except one that leads back into a folder it lies in.
    """
    waiting: list[tuple[str, tuple[tuple[int, int], ...]]] = [("", (identify(folder),))]
    while waiting:
        prefix, ancestors = waiting.pop()
        for entry in sorted(os.scandir(folder / prefix), key=lambda entry: entry.name):
            if is_hidden(entry.name):
                continue
            try:
                status = entry.stat()
            except OSError:
                status = None
            if status is None or not stat.S_ISDIR(status.st_mode):
                yield prefix + entry.name, status
            elif (status.st_dev, status.st_ino) not in ancestors:
                waiting.append((f"{prefix}{entry.name}/", (*ancestors, (status.st_dev, status.st_ino))))


def is_hidden(part: str) -> bool:
    """Whether a file or folder of this name is hidden, or holds the resource forks that macOS adds."""
    return part.startswith(".") or part == "__MACOSX"


def visible_name(stored: str) -> str | None:
    """The name of an archive's file with "/" between folders, as some systems write "\\"; None if it is hidden."""
    parts = [part for part in stored.replace("\\", "/").split("/") if part not in ("", ".")]
    return None if not parts or any(map(is_hidden, parts)) else "/".join(parts)


def identify(path: Path) -> tuple[int, int]:
    status = os.stat(path)
    return status.st_dev, status.st_ino


def list_files(folder: Path) -> dict[str, os.stat_result | None]:
    """Every visible file of the folder, by relative name; DataError if a part of it cannot be read."""
    try:
        return dict(walk(folder))
    except OSError as error:
        raise DataError(f"{quoted(error.filename or folder)} cannot be read: {reason(error)}.") from error


def folder_files(folder: Path, files: Mapping[str, os.stat_result | None]) -> FileSet:
    """The files of a folder, as `list_files` found them."""
    names = sorted(files)
    identity = hashlib.sha256(os.fsencode(folder.resolve()))
    for name in names:
        status = files[name]
        facts = (status.st_size, status.st_mtime_ns) if status else None
        identity.update(b"\0" + os.fsencode(name) + b"\0" + repr(facts).encode())
    return FileSet(
        names,
        lambda name: read_file(folder / name),
        f"folder {identity.hexdigest()}",
        folder.resolve().name,
        quoted(folder),
    )


def read_file(path: Path) -> bytes:
    """The bytes of a regular file; a pipe would hang and a device would never end, so both are BadImage."""
    status = os.stat(path)
    if not stat.S_ISREG(status.st_mode):
        raise BadImage("not a regular file")
    check_length(status.st_size)
    return path.read_bytes()


def check_length(length: int) -> None:
    """BadImage for more bytes than an image of the largest size has."""
    if length > LARGEST_BYTES:
        raise BadImage(f"{length} bytes are more than any image within the limits needs")


def zip_files(path: Path) -> FileSet:
    """The files of a zip archive, from whichever system; of two files of one name the later one counts."""
    try:
        archive = zipfile.ZipFile(path)
    except READ_ERRORS as error:
        raise DataError(f"{quoted(path)} cannot be read as a zip archive: {reason(error)}.") from error
    entries = {}
    for entry in archive.infolist():
        name = None if entry.filename.endswith(("/", "\\")) else visible_name(entry.filename)
        if name is not None:
            entries[name] = entry
    if any(entry.flag_bits & 1 for entry in entries.values()):
        raise DataError(f"{quoted(path)} is encrypted: unpack it and give the folder.")
    return FileSet(
        sorted(entries), lambda name: read_entry(archive, entries[name]), file_identity(path), path.stem, quoted(path)
    )


def read_entry(archive: zipfile.ZipFile, entry: zipfile.ZipInfo) -> bytes:
    """The bytes of an entry, decompressed no further than the length that it states."""
    check_length(entry.file_size)
    with archive.open(entry) as file:
        return file.read(entry.file_size + 1)  # without a number, zipfile decompresses all, whatever is stated


def tar_files(path: Path) -> FileSet:
    """The regular files of a tar archive, also compressed by gzip, bzip2 or xz; links and devices are left out."""
    places = {}
    try:
        stream = _plain_stream(path)
        with tarfile.open(fileobj=stream, mode="r:") as archive:
            end = 0
            for member in archive:
                if member.offset_data <= end or member.size < 0:  # a negative size would lead back, for ever
                    raise tarfile.ReadError(f"damaged at byte {end}")
                end = member.offset_data
                name = visible_name(member.name) if member.isreg() and not member.issparse() else None
                if name is not None:
                    places[name] = (member.offset_data, member.size)
            stream.seek(archive.offset)
            if stream.read(tarfile.BLOCKSIZE).strip(b"\0"):  # tarfile takes a damaged header for the end
                raise tarfile.ReadError(f"damaged at byte {archive.offset}")
    except READ_ERRORS as error:
        raise DataError(f"{quoted(path)} cannot be read as a tar archive: {reason(error)}.") from error
    lock = threading.Lock()

    def read(name: str) -> bytes:
        offset, length = places[name]
        check_length(length)
        with lock:
            stream.seek(offset)
            data = stream.read(length)
        if len(data) != length:
            raise BadImage(f"the archive ends after {len(data)} of its {length} bytes")
        return data

    return FileSet(sorted(places), read, file_identity(path), path.name.partition(".")[0], quoted(path))


def _plain_stream(path: Path) -> BinaryIO:
    """The bytes of a tar archive; compressed ones are written to a temporary file, since images are read at random."""
    stream = open(path, "rb")
    opened = COMPRESSED.get(stream.read(2))
    stream.seek(0)
    if opened is None:
        return stream
    most = MOST_GROWTH * path.stat().st_size
    plain = tempfile.TemporaryFile(prefix="ganzoo-")
    with stream, opened(stream) as compressed:
        while block := compressed.read(2**20):
            if plain.tell() + len(block) > most:
                raise DataError(f"{quoted(path)} grows to more than {MOST_GROWTH} times its size: unpack it yourself.")
            plain.write(block)
    plain.seek(0)
    return plain


def joined(shards: Mapping[str, FileSet], name: str, where: str) -> FileSet:
    """The files of several archives as one: the name of its archive comes before that of a file."""
    return FileSet(
        [f"{shard}/{inner}" for shard, files in shards.items() for inner in files.names],
        lambda path: shards[path.partition("/")[0]].read(path.partition("/")[2]),
        "; ".join(files.identity for files in shards.values()),
        name,
        where,
    )


def file_identity(*paths: Path) -> str:
    """What changes when one of the files does: its place, size and time of writing."""
    facts = []
    for path in paths:
        status = path.stat()
        facts.append(f"{ascii(str(path.resolve()))} {status.st_size} {status.st_mtime_ns}")
    return "files " + "; ".join(facts)
