"""Checks labels from outside and turns them into int64 indices of class names."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterable, Sequence
from typing import Any

import numpy

from ganzoo.errors import DataError
from ganzoo.files.text import printable, quoted

log = logging.getLogger(__name__)

MOST_CLASSES = 100_000
LARGEST_LABEL = 2**53
NAMED = 5
STORAGE = re.compile(r"\d{5}")


def checked_labels(
    values: Any, count: int, where: str, classes: tuple[str, ...] = ()
) -> tuple[numpy.ndarray, tuple[str, ...]]:
    """Returns (labels int64 (count,), class names); text labels become the sorted names.

    `where` names the file in the DataError for anything else. Without `classes`, each number that occurs is a
    class with the number as its name: labels 7 and 90000 are two classes.
    """
    values = numpy.asarray(values)
    if values.ndim == 2 and values.shape[1] == 1:
        values = values[:, 0]
    if values.shape != (count,):
        raise DataError(f"{where}: {count} images but labels of shape {values.shape}; one label per image is needed.")
    if values.dtype.kind == "U":
        return named_labels([str(value) for value in values], where)
    if values.dtype.kind not in "iu":
        raise DataError(f"{where}: labels of type {values.dtype}; whole numbers from 0, or text, are needed.")
    if int(values.min()) < 0 or int(values.max()) >= (len(classes) or LARGEST_LABEL):
        raise DataError(
            f"{where}: labels from {values.min()} to {values.max()};"
            f" they must lie between 0 and {(len(classes) or LARGEST_LABEL) - 1}."
        )
    if classes:
        return values.astype(numpy.int64), classes
    numbers, labels = numpy.unique(values, return_inverse=True)
    if len(numbers) > MOST_CLASSES:
        raise DataError(f"{where}: {len(numbers)} different labels; at most {MOST_CLASSES} classes are possible.")
    if int(numbers[-1]) >= len(numbers):
        named = ", ".join(map(str, numbers[:NAMED])) + (" ..." if len(numbers) > NAMED else "")
        log.info(f"{where}: labels up to {numbers[-1]} with gaps become {len(numbers)} classes, named {named}")
    return labels.reshape(-1).astype(numpy.int64), tuple(str(number) for number in numbers)


def named_labels(values: Sequence[int | str], where: str) -> tuple[numpy.ndarray, tuple[str, ...]]:
    """Returns (labels int64 (N,), class names) of numbers or names, in the order of `in_order`."""
    if not all(isinstance(value, int) for value in values):
        values = [str(value) for value in values]
    classes = in_order({str(value) for value in values})
    if len(classes) > MOST_CLASSES:
        raise DataError(f"{where}: {len(classes)} different labels; at most {MOST_CLASSES} classes are possible.")
    number = {name: index for index, name in enumerate(classes)}
    labels = numpy.array([number[str(value)] for value in values], dtype=numpy.int64)
    return labels, tuple(printable(name) for name in classes)


def in_order(names: Iterable[str]) -> list[str]:
    """The names sorted: as numbers if all of them are whole numbers, else as texts."""
    names = list(names)
    if all(name.isascii() and name.removeprefix("-").isdigit() and len(name) < 16 for name in names):
        return sorted(names, key=lambda name: (int(name), name))
    return sorted(names)


def folder_labels(names: list[str], where: str) -> tuple[numpy.ndarray | None, tuple[str, ...]]:
    """Returns labels from the first level of folders at which the names differ: (labels int64 (N,) or None, names).

    A folder that holds all images is skipped. Images both in the folders and beside them are a DataError, since the
    latter would have no label.
    """
    parts = [name.split("/") for name in names]
    depth = 0
    while all(len(path) > depth + 1 for path in parts) and len({path[depth] for path in parts}) == 1:
        depth += 1
    loose = [name for name, path in zip(names, parts, strict=True) if len(path) == depth + 1]
    if len(loose) == len(names):
        return None, ()
    if loose:
        raise DataError(
            f"{where} has images both in sub-folders, which would be labels, and beside them"
            f" ({len(loose)}, the first is {quoted(loose[0])}): move them so that all or none are in sub-folders."
        )
    folders = [path[depth] for path in parts]
    if _are_storage(folders, names):
        log.info(f"{where}: its folders only hold a thousand images each, and are no classes")
        return None, ()
    return named_labels(folders, where)


def _are_storage(folders: Sequence[str], names: Sequence[str]) -> bool:
    """Whether folders 00000, 00001 (or 00000, 01000) hold the images of those thousands, as StyleGAN and FFHQ do."""
    if not all(STORAGE.fullmatch(folder) for folder in set(folders)):
        return False
    numbers = [re.fullmatch(r"(?:img)?(\d{1,15})\.\w+", name.rpartition("/")[2]) for name in names]
    pairs = [(int(folder), int(number[1]) // 1000) for folder, number in zip(folders, numbers, strict=True) if number]
    return len(pairs) == len(names) and (
        all(folder == thousand for folder, thousand in pairs)
        or all(folder == 1000 * thousand for folder, thousand in pairs)
    )
