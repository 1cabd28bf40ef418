"""Checks labels from outside and turns them into int64 indices of class names."""

from __future__ import annotations

from typing import Any

import numpy

from ganzoo.errors import DataError
from ganzoo.files.text import printable, quoted

MOST_CLASSES = 100_000


def checked_labels(
    values: Any, count: int, where: str, classes: tuple[str, ...] = ()
) -> tuple[numpy.ndarray, tuple[str, ...]]:
    """Returns (labels int64 (count,), class names); text labels become the sorted names, numbers count from 0.

    `where` names the file in the DataError for anything else. Without `classes`, number k is named "k".
    """
    values = numpy.asarray(values)
    if values.ndim == 2 and values.shape[1] == 1:
        values = values[:, 0]
    if values.shape != (count,):
        raise DataError(f"{where}: {count} images but labels of shape {values.shape}; one label per image is needed.")
    if values.dtype.kind == "U":
        names, labels = numpy.unique(values, return_inverse=True)
        return labels.reshape(-1).astype(numpy.int64), tuple(printable(str(name)) for name in names)
    if values.dtype.kind not in "iu":
        raise DataError(f"{where}: labels of type {values.dtype}; whole numbers from 0, or text, are needed.")
    if int(values.min()) < 0 or int(values.max()) >= (len(classes) or MOST_CLASSES):
        raise DataError(
            f"{where}: labels from {values.min()} to {values.max()};"
            f" they must lie between 0 and {(len(classes) or MOST_CLASSES) - 1}."
        )
    return values.astype(numpy.int64), classes or tuple(str(number) for number in range(int(values.max()) + 1))


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
    classes = sorted({path[depth] for path in parts})
    number = {name: index for index, name in enumerate(classes)}
    labels = numpy.array([number[path[depth]] for path in parts], dtype=numpy.int64)
    return labels, tuple(printable(name) for name in classes)
