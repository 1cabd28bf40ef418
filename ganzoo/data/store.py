"""Keeps prepared images on disk: written whole or not at all, verified at every read."""

from __future__ import annotations

import contextlib
import hashlib
import json
import math
import os
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, BinaryIO

import numpy
import torch

from ganzoo.data.sources import ImageData
from ganzoo.files.atomic import move_aside, new_folder, remove, write_file

FORMAT = 1
FIELDS = ("images", "source", "images.view", "source.view")  # see ImageData.fields
ABANDONED_SECONDS = 24 * 3600


class Damaged(Exception):
    """A kept folder is not what was written; the text names the difference."""


def key_of(**facts: Any) -> str:
    """Returns the name of the folder for these facts about source and preparation."""
    return hashlib.sha256(canonical({"format": FORMAT, **facts})).hexdigest()[:40]


def canonical(value: Any) -> bytes:
    return json.dumps(value, sort_keys=True, separators=(",", ":")).encode("ascii")


class Writer:
    """Writes rows of images, then labels and facts, into a folder that nothing reads yet.

    `files` takes the pixels of each field; the first field is "images".
    """

    def __init__(self, folder: Path, files: Mapping[str, BinaryIO]):
        self.folder = folder
        self.files = files
        self.digests = {name: hashlib.sha256() for name in files}
        self.count = 0
        self.hashes: set[int] = set()

    @property
    def distinct(self) -> int:
        """How many different rows were added."""
        return len(self.hashes)

    def add(self, *images: numpy.ndarray) -> None:
        """Appends one row: a uint8 (H, W, C) image of each field."""
        row = [image.tobytes() for image in images]
        for (name, file), data in zip(self.files.items(), row, strict=True):
            file.write(data)
            self.digests[name].update(data)
        self.hashes.add(hash(row[0]) if len(row) == 1 else hash(tuple(row)))
        self.count += 1

    def finish(
        self,
        shape: tuple[int, int, int],
        labels: numpy.ndarray | None,
        facts: dict,
        further: Sequence[tuple[int, int, int]] = (),
    ) -> None:
        """Adds the labels (N,) of the rows so far, and the facts, which must be plain JSON.

        `shape` is (H, W, C) of the first field, `further` are those of the others.
        """
        for file in self.files.values():
            file.flush()
            os.fsync(file.fileno())
        label_bytes = b"" if labels is None else labels.astype("<i8").tobytes()
        write_file(self.folder / "labels.bin", label_bytes)
        whole = {name: [self.count, *shape] for name, shape in zip(self.files, (shape, *further), strict=True)}
        facts = {**facts, "shape": whole.pop("images"), "labelled": labels is not None}
        if whole:
            facts["fields"] = whole
        facts["fingerprint"] = fingerprint(self.digests, label_bytes, facts)
        record = {"facts": facts, "sha256": hashlib.sha256(canonical(facts)).hexdigest()}
        write_file(self.folder / "meta.json", canonical(record))


@contextlib.contextmanager
def writing(folder: Path, fields: Sequence[str] = ("images",)) -> Iterator[Writer]:
    """Yields a Writer of these fields whose files become `folder` at the end, whole; an exception removes them.

    Of two processes that prepare the same images the first one wins; the files of the other are dropped.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    remove_abandoned(folder.parent)
    try:
        with new_folder(folder) as temporary, contextlib.ExitStack() as files:
            opened = {name: files.enter_context(open(temporary / f"{name}.bin", "xb")) for name in fields}
            yield Writer(temporary, opened)
    except OSError:
        if not (folder / "meta.json").is_file():
            raise


def fingerprint(digests: Mapping[str, hashlib._Hash], label_bytes: bytes, facts: dict) -> str:
    """Returns the sha256 of the pixels (in `digests`), labels and shapes."""
    digest = digests["images"].copy()
    digest.update(label_bytes + canonical([facts["shape"], bool(label_bytes)]))
    if "fields" in facts:
        more = {name: [digests[name].hexdigest(), shape] for name, shape in facts["fields"].items()}
        digest.update(canonical(more))
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
        shapes = {"images": facts["shape"], **facts.get("fields", {})}
        if not shapes.keys() <= set(FIELDS):
            raise Damaged("meta.json names other fields")
        whole = sum(math.prod(shape) for shape in shapes.values())
        pixels = {name: read_pixels(folder / f"{name}.bin", shape, whole > limit) for name, shape in shapes.items()}
        label_bytes = (folder / "labels.bin").read_bytes()
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise Damaged(f"{type(error).__name__} in {folder.name}") from error
    digests = {name: hashlib.sha256(flat.data) for name, flat in pixels.items()}
    if fingerprint(digests, label_bytes, facts) != facts["fingerprint"]:
        raise Damaged("the sha256 differs")
    labels = None
    if facts["labelled"]:
        labels = torch.from_numpy(numpy.frombuffer(label_bytes, "<i8").astype(numpy.int64))
    fields = {name: torch.from_numpy(flat).view(shapes[name]) for name, flat in pixels.items()}
    images, classes = fields.pop("images"), tuple(facts["classes"])
    return ImageData(images, labels, classes, facts["name"], facts["fingerprint"], facts["revision"], fields), facts


def read_pixels(path: Path, shape: list[int], mapped: bool) -> numpy.ndarray:
    """Reads the file as flat uint8, as many as the shape says, or maps it."""
    size = int(numpy.prod(shape, dtype=numpy.int64))
    if path.stat().st_size != size:
        raise Damaged(f"{path.name} has {path.stat().st_size} bytes instead of {size}")
    if mapped:
        return numpy.memmap(path, dtype=numpy.uint8, mode="c", shape=(size,))
    pixels = numpy.empty(size, dtype=numpy.uint8)
    with open(path, "rb") as file:
        if file.readinto(pixels.data) != size:
            raise Damaged(f"{path.name} ended early")
    return pixels
