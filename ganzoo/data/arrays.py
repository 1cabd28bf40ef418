"""Reads images from arrays: .npz archives, and idx files as of MNIST."""

from __future__ import annotations

import gzip
import hashlib
import logging
import math
import re
import struct
import zipfile
import zlib
from pathlib import Path

import numpy

from ganzoo.data.archives import file_identity
from ganzoo.data.labels import checked_labels
from ganzoo.data.memory import available_bytes
from ganzoo.data.sources import ArraySource
from ganzoo.errors import DataError, UsageError
from ganzoo.files.text import printable, quoted, reason

log = logging.getLogger(__name__)

IMAGE_KEYS = ("images", "image", "x", "x_train", "arr_0")
LABEL_KEYS = ("labels", "label", "y", "y_train", "arr_1")
CLASS_KEYS = ("classes", "class_names", "label_names")
NAMED = 5
IDX_IMAGES = re.compile(r"(?P<start>.*)images(?P<dash>[-.])idx3-ubyte(\.gz)?", re.IGNORECASE | re.DOTALL)
IDX_SPLITS = {"train": ("train",), "test": ("t10k", "test")}
MOST_IDX_BYTES = 2**36
READ_ERRORS = (OSError, ValueError, KeyError, EOFError, MemoryError, zipfile.BadZipFile, zlib.error)


def npz_source(path: Path, split: str | None = None) -> ArraySource:
    """Images from `images`, `x`, `x_train` or `arr_0`, labels from `labels`, `y`, `y_train` or `arr_1` if there.

    `classes` are the names of the classes, if there. Other splits are `x_test` and `y_test`, or of other names.
    """
    image_keys: tuple[str, ...] = IMAGE_KEYS
    label_keys: tuple[str, ...] = LABEL_KEYS
    if split not in (None, "train"):
        image_keys, label_keys = (f"x_{split}", f"images_{split}"), (f"y_{split}", f"labels_{split}")
    try:
        with numpy.load(path, allow_pickle=False) as archive:
            image_key = next((key for key in image_keys if key in archive.files), None)
            label_key = next((key for key in label_keys if key in archive.files), None)
            class_key = next((key for key in CLASS_KEYS if key in archive.files), None)
            files = list(archive.files)
            found = ", ".join(quoted(key) for key in files) or "nothing"
            for key in filter(None, (image_key, label_key, class_key)):
                check_fits(archive.zip, key, path)
            images = archive[image_key] if image_key else None
            labels = archive[label_key] if label_key and image_key else None
            names = archive[class_key] if class_key and labels is not None else None
    except READ_ERRORS as error:
        raise DataError(f"{quoted(path)} cannot be read as .npz: {reason(error)}.") from error
    if images is None:
        raise DataError(f"{quoted(path)} has no array called {', '.join(image_keys)}; it holds {found}.")
    others = [key for key in files if key not in (image_key, label_key, class_key)]
    if others:
        log.info(f"{quoted(path)}: left out the arrays {', '.join(map(quoted, others[:NAMED]))}")
    images = channels_last(images, quoted(path))
    classes: tuple[str, ...] = ()
    if names is not None and names.dtype.kind == "U" and names.ndim == 1 and len(set(names.tolist())) == len(names):
        classes = tuple(printable(str(name)) for name in names)
    if labels is not None:
        classes = classes if labels.dtype.kind in "iu" else ()
        labels, classes = checked_labels(labels, len(images), quoted(path), classes)
    return ArraySource(images, labels, classes, file_identity(path), path.stem)


def check_fits(archive: zipfile.ZipFile, key: str, path: Path) -> None:
    """DataError for an array that its own header says needs more memory than is free: a small file can hold it."""
    name = key if key in archive.namelist() else f"{key}.npy"
    with archive.open(name) as file:
        version = numpy.lib.format.read_magic(file)
        read = numpy.lib.format.read_array_header_1_0 if version == (1, 0) else numpy.lib.format.read_array_header_2_0
        shape, _, kind = read(file)
    check_memory(math.prod(shape) * kind.itemsize, f"{quoted(path)}: array {quoted(key)}")


def check_memory(needed: int, what: str) -> None:
    """DataError if so many bytes are more than the free memory."""
    free = available_bytes()
    if needed > free:
        raise DataError(f"{what} takes {needed / 2**30:.1f} GiB and {free / 2**30:.1f} GiB of memory are free.")


def channels_last(images: numpy.ndarray, where: str) -> numpy.ndarray:
    """Returns uint8 images in NHW, NHWC or NCHW order as (N, H, W) or (N, H, W, C); DataError for other arrays."""
    if images.dtype != numpy.uint8:
        raise DataError(f"{where}: images of type {images.dtype}; uint8 with values from 0 to 255 is needed.")
    if images.ndim not in (3, 4) or 0 in images.shape:
        raise DataError(f"{where}: images of shape {images.shape}; (N, H, W), (N, H, W, C) or (N, C, H, W) is needed.")
    if images.ndim == 3:
        return images
    last, first = images.shape[3] in (1, 3, 4), images.shape[1] in (1, 3, 4)
    if last == first:
        problem = "both" if last else "neither"
        raise DataError(f"{where}: in shape {images.shape} {problem} the second and the last size can be the channels.")
    return images if last else images.transpose(0, 2, 3, 1)


def idx_source(path: Path, split: str | None = None) -> ArraySource:
    """Reads the images of an idx file, or of the folder that holds one, with the labels beside it."""
    images_path = images_of_split(path, split) if path.is_dir() else path
    images = read_idx(images_path, 3)
    match = IDX_IMAGES.fullmatch(images_path.name)
    labels_path = find_either(images_path.parent, f"{match['start']}labels{match['dash']}idx1-ubyte") if match else None
    labels, used = None, [images_path]
    classes: tuple[str, ...] = ()
    if labels_path:
        labels, classes = checked_labels(read_idx(labels_path, 1), len(images), quoted(labels_path))
        used.append(labels_path)
    return ArraySource(images, labels, classes, file_identity(*used), images_path.name.split(".")[0])


def find_either(folder: Path, name: str) -> Path | None:
    """Returns the file under its plain or compressed name; the plain one first, as it is faster to read."""
    return next((path for path in (folder / name, folder / f"{name}.gz") if path.is_file()), None)


def holds_idx(folder: Path) -> bool:
    return any(IDX_IMAGES.fullmatch(path.name) for path in folder.iterdir())


def images_of_split(folder: Path, split: str | None) -> Path:
    """The one images file of the folder, or that of the split of several, by default the training one."""
    plain = {path.name.removesuffix(".gz"): path for path in sorted(folder.iterdir(), reverse=True)}
    found = {name: path for name, path in plain.items() if IDX_IMAGES.fullmatch(path.name)}
    known = sorted(found)
    if len(found) > 1 or split:
        starts = IDX_SPLITS.get(split or "train", (split or "",))
        found = {name: path for name, path in found.items() if name.lower().startswith(starts)} or (
            {} if split else found
        )
    if len(found) != 1:
        raise UsageError(f"{quoted(folder)} has several idx files of images: give one of {', '.join(known)}.")
    chosen = next(iter(found))
    if len(known) > 1:
        log.info(f"{quoted(folder)} has the idx files {', '.join(known)}: using {chosen}")
    return found[chosen]


def read_idx(path: Path, dimensions: int, md5: str | None = None) -> numpy.ndarray:
    """Reads the uint8 array of an idx file, plain or .gz, whose dimensions and length must be exact.

    `md5`, in hex, is that of the published file after decompression; recompressed files pass.
    """
    try:
        with gzip.open(path) if path.name.endswith(".gz") else open(path, "rb") as file:
            header = file.read(4 + 4 * dimensions)
            if len(header) < 4 + 4 * dimensions or header[:4] != bytes((0, 0, 8, dimensions)):
                raise DataError(f"{quoted(path)} is not an idx file of bytes in {dimensions} dimensions.")
            shape = struct.unpack(f">{dimensions}I", header[4:])
            length = int(numpy.prod(shape, dtype=object))
            if not 0 < length <= MOST_IDX_BYTES:
                raise DataError(f"{quoted(path)} says it holds {length} values; 1 to {MOST_IDX_BYTES} can be read.")
            check_memory(length, quoted(path))
            data = file.read(length + 1)
    except READ_ERRORS as error:
        raise DataError(f"{quoted(path)} cannot be read: {reason(error)}.") from error
    if len(data) != length:
        raise DataError(f"{quoted(path)} is damaged: {length} values announced, {min(len(data), length + 1)} there.")
    if md5 and hashlib.md5(header + data, usedforsecurity=False).hexdigest() != md5:
        raise DataError(f"{quoted(path)} is not the published file: its md5 differs; fetch it again.")
    return numpy.frombuffer(data, dtype=numpy.uint8).reshape(shape)
