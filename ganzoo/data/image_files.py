"""Reads folders and zip archives of image files."""

from __future__ import annotations

import hashlib
import os
import stat
import zipfile
from collections.abc import Iterator
from pathlib import Path

from ganzoo.data.decode import LARGEST_BYTES, SUFFIXES, BadImage
from ganzoo.data.labels import folder_labels
from ganzoo.data.sources import EncodedSource
from ganzoo.errors import DataError
from ganzoo.files.text import quoted, reason


def walk(folder: Path) -> Iterator[tuple[str, os.stat_result | None]]:
    """Yields (relative name with "/", stat or None) of every file that is not hidden.

    Follows links, except one that leads back into a folder it lies in.
    """
    waiting: list[tuple[str, tuple[tuple[int, int], ...]]] = [("", (identify(folder),))]
    while waiting:
        prefix, ancestors = waiting.pop()
        for entry in sorted(os.scandir(folder / prefix), key=lambda entry: entry.name):
            if entry.name.startswith(".") or entry.name == "__MACOSX":
                continue
            try:
                status = entry.stat()
            except OSError:
                status = None
            if status is None or not stat.S_ISDIR(status.st_mode):
                yield prefix + entry.name, status
            elif (status.st_dev, status.st_ino) not in ancestors:
                waiting.append((f"{prefix}{entry.name}/", (*ancestors, (status.st_dev, status.st_ino))))


def identify(path: Path) -> tuple[int, int]:
    status = os.stat(path)
    return status.st_dev, status.st_ino


def list_files(folder: Path) -> dict[str, os.stat_result | None]:
    """Returns every visible file of the folder by relative name; DataError if a part of it cannot be read."""
    try:
        return dict(walk(folder))
    except OSError as error:
        raise DataError(f"{quoted(error.filename or folder)} cannot be read: {reason(error)}.") from error


def folder_source(folder: Path, files: dict[str, os.stat_result | None]) -> EncodedSource:
    """Returns the images among the files in the order of their names; sub-folders are labels."""
    names = sorted(name for name in files if name.lower().endswith(SUFFIXES))
    labels, classes = folder_labels(names, quoted(folder))
    identity = hashlib.sha256(os.fsencode(folder.resolve()))
    for name in names:
        status = files[name]
        facts = (status.st_size, status.st_mtime_ns) if status else None
        identity.update(b"\0" + os.fsencode(name) + b"\0" + repr(facts).encode())
    return EncodedSource(
        names=names,
        read=lambda number: read_file(folder / names[number]),
        labels=labels,
        classes=classes,
        identity=f"folder {identity.hexdigest()}",
        name=folder.resolve().name,
    )


def read_file(path: Path) -> bytes:
    """Reads a regular file; BadImage for a pipe, which would hang, or a device, which would never end."""
    status = os.stat(path)
    if not stat.S_ISREG(status.st_mode):
        raise BadImage("not a regular file")
    if status.st_size > LARGEST_BYTES:
        raise BadImage(f"{status.st_size} bytes are more than any image within the limits needs")
    return path.read_bytes()


def zip_source(path: Path) -> EncodedSource:
    """Returns the images of an archive in the order of their names; top folders inside are labels."""
    try:
        archive = zipfile.ZipFile(path)
        entries = sorted((entry for entry in archive.infolist() if is_image(entry)), key=lambda entry: entry.filename)
    except (OSError, zipfile.BadZipFile, NotImplementedError, ValueError) as error:
        raise DataError(f"{quoted(path)} cannot be read as a zip archive: {reason(error)}.") from error
    if not entries:
        raise DataError(f"{quoted(path)} holds no images; known are {', '.join(SUFFIXES)}.")
    if any(entry.flag_bits & 1 for entry in entries):
        raise DataError(f"{quoted(path)} is encrypted: unpack it and give the folder.")
    names = [entry.filename for entry in entries]
    labels, classes = folder_labels(names, quoted(path))
    return EncodedSource(
        names=names,
        read=lambda number: read_entry(archive, entries[number]),
        labels=labels,
        classes=classes,
        identity=file_identity(path),
        name=path.stem,
    )


def is_image(entry: zipfile.ZipInfo) -> bool:
    """True for an image; False for folders, hidden files and the resource forks that macOS adds."""
    parts = entry.filename.split("/")
    hidden = any(part.startswith(".") or part == "__MACOSX" for part in parts)
    return not entry.is_dir() and not hidden and entry.filename.lower().endswith(SUFFIXES)


def read_entry(archive: zipfile.ZipFile, entry: zipfile.ZipInfo) -> bytes:
    if entry.file_size > LARGEST_BYTES:
        raise BadImage(f"{entry.file_size} bytes are more than any image within the limits needs")
    return archive.read(entry)


def file_identity(*paths: Path) -> str:
    """Returns a text that changes with one of the files: path, size and time of writing."""
    facts = []
    for path in paths:
        status = path.stat()
        facts.append(f"{ascii(str(path.resolve()))} {status.st_size} {status.st_mtime_ns}")
    return "files " + "; ".join(facts)
