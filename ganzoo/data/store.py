"""Keeps prepared images on disk: written whole or not at all, verified at every read."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

import numpy
import torch

from ganzoo.data.sources import ImageData
from ganzoo.files.atomic import move_aside, new_folder, remove, write_file

FORMAT = 1
ABANDONED_SECONDS = 24 * 3600


class Damaged(Exception):
    """A kept folder is not what was written; the text names the difference."""


def key_of(**facts: Any) -> str:
    """Returns the name of the folder for these facts about source and preparation."""
    return hashlib.sha256(canonical({"format": FORMAT, **facts})).hexdigest()[:40]


def canonical(value: Any) -> bytes:
    return json.dumps(value, sort_keys=True, separators=(",", ":")).encode("ascii")


class Writer:
    """Writes images, then labels and facts, into a folder that nothing reads yet."""

    def __init__(self, folder: Path, pixels: BinaryIO):
        self.folder = folder
        self.pixels = pixels
        self.digest = hashlib.sha256()
        self.count = 0
        self.hashes: set[int] = set()

    @property
    def distinct(self) -> int:
        """How many different images were added."""
        return len(self.hashes)

    def add(self, image: numpy.ndarray) -> None:
        """Appends one uint8 (H, W, C) image."""
        data = image.tobytes()
        self.pixels.write(data)
        self.digest.update(data)
        self.hashes.add(hash(data))
        self.count += 1

    def finish(self, shape: tuple[int, int, int], labels: numpy.ndarray | None, facts: dict) -> None:
        """Adds the labels (N,) of the images so far, and the facts, which must be plain JSON."""
        self.pixels.flush()
        os.fsync(self.pixels.fileno())
        label_bytes = b"" if labels is None else labels.astype("<i8").tobytes()
        write_file(self.folder / "labels.bin", label_bytes)
        whole = [self.count, *shape]
        facts = {**facts, "shape": whole, "labelled": labels is not None}
        facts["fingerprint"] = fingerprint(self.digest, label_bytes, whole)
        record = {"facts": facts, "sha256": hashlib.sha256(canonical(facts)).hexdigest()}
        write_file(self.folder / "meta.json", canonical(record))


@contextlib.contextmanager
def writing(folder: Path) -> Iterator[Writer]:
    """Yields a Writer whose files become `folder` at the end, whole; an exception removes them.

    Of two processes that prepare the same images the first one wins; the files of the other are dropped.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    remove_abandoned(folder.parent)
    try:
        with new_folder(folder) as temporary, open(temporary / "images.bin", "xb") as pixels:
            yield Writer(temporary, pixels)
    except OSError:
        if not (folder / "meta.json").is_file():
            raise


def fingerprint(digest: hashlib._Hash, label_bytes: bytes, shape: list[int]) -> str:
    """Returns the sha256 of the pixels (in `digest`), labels and shape."""
    digest = digest.copy()
    digest.update(label_bytes + canonical([shape, bool(label_bytes)]))
    return digest.hexdigest()


def remove_abandoned(parent: Path) -> None:
    """Removes leftovers of processes that were killed more than a day ago; younger ones may still be running."""
    for path in [*parent.glob(".tmp-*"), *parent.glob(".trash-*")]:
        with contextlib.suppress(OSError):
            if time.time() - path.stat().st_mtime > ABANDONED_SECONDS:
                remove(path)


def discard(folder: Path) -> None:
    """Renames a damaged folder before deleting it, so that a reader never sees half of it."""
    remove(move_aside(folder, "trash"))


def read(folder: Path, limit: int) -> tuple[ImageData, dict] | None:
    """Reads the kept images and facts; None if the folder does not exist, Damaged if it is not what was written.

    Images of more than `limit` bytes are mapped from the file (privately: writing to them changes no file).
    """
    if not folder.is_dir():
        return None
    try:
        record = json.loads((folder / "meta.json").read_bytes())
        facts = record["facts"]
        if record["sha256"] != hashlib.sha256(canonical(facts)).hexdigest():
            raise Damaged("meta.json was changed")
        pixels = read_pixels(folder / "images.bin", facts["shape"], limit)
        label_bytes = (folder / "labels.bin").read_bytes()
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise Damaged(f"{type(error).__name__} in {folder.name}") from error
    if fingerprint(hashlib.sha256(pixels.data), label_bytes, facts["shape"]) != facts["fingerprint"]:
        raise Damaged("the sha256 differs")
    labels = None
    if facts["labelled"]:
        labels = torch.from_numpy(numpy.frombuffer(label_bytes, "<i8").astype(numpy.int64))
    images = torch.from_numpy(pixels).view(facts["shape"])
    classes = tuple(facts["classes"])
    return ImageData(images, labels, classes, facts["name"], facts["fingerprint"], facts["revision"]), facts


def read_pixels(path: Path, shape: list[int], limit: int) -> numpy.ndarray:
    """Reads the file as flat uint8, as many as the shape says."""
    size = int(numpy.prod(shape, dtype=numpy.int64))
    if path.stat().st_size != size:
        raise Damaged(f"images.bin has {path.stat().st_size} bytes instead of {size}")
    if size > limit:
        return numpy.memmap(path, dtype=numpy.uint8, mode="c", shape=(size,))
    pixels = numpy.empty(size, dtype=numpy.uint8)
    with open(path, "rb") as file:
        if file.readinto(pixels.data) != size:
            raise Damaged("images.bin ended early")
    return pixels
