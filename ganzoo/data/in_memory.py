"""Images that are in memory already, as a source like any other: tensors, arrays, and map-style data sets of torch."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy
import torch
from PIL import Image
from torch import Tensor

from ganzoo.data.sources import ArraySource
from ganzoo.errors import DataError, UsageError
from ganzoo.files.text import quoted

CHANNELS = (1, 3, 4)
MOST_CLASSES = 65_536  # every class number up to the largest becomes a class, with a name and a row of an embedding
RANGE = "floats are from -1 to 1, and integers are uint8"


def array_source(images: Any, labels: Any = None, classes: Sequence[str] | None = None) -> ArraySource:
    """Returns images in memory as a source.

    Args:
        images: a tensor (N, C, H, W), a NumPy array (N, H, W) or (N, H, W, C), or a data set of torch whose items are
            images (C, H, W) or Pillow images, or pairs of an image and its label. Floats are in [-1, 1], integers are
            uint8; C is 1, 3 or 4.
        labels: class numbers (N,); None for those of a data set, or none.
        classes: their names; None for the `classes` of a data set, or of that of a subset, else "0", "1" and so on.

    Raises:
        DataError: for images of other types, shapes or ranges.
    """
    if not isinstance(images, Tensor | numpy.ndarray):
        if labels is not None:
            raise UsageError("The labels of a data set are in its items: leave out labels.")
        classes = (
            classes or getattr(images, "classes", None) or getattr(getattr(images, "dataset", None), "classes", None)
        )
        images, labels = _items(images)
    pixels = _pixels(images)
    numbers = None if labels is None else _labels(labels, len(pixels))
    names = _names(numbers, classes)
    digest = hashlib.sha256(numpy.ascontiguousarray(pixels).tobytes())
    digest.update(repr((pixels.shape, names)).encode())
    if numbers is not None:
        digest.update(numbers.astype("<i8").tobytes())
    key = digest.hexdigest()
    return ArraySource(pixels, numbers, names, f"memory {key}", f"memory-{key[:12]}")


def _pixels(images: Any) -> numpy.ndarray:
    """Returns uint8 (N, H, W, C)."""
    if isinstance(images, Tensor):
        if images.ndim != 4:
            raise DataError(f"Images in a tensor have the shape (N, C, H, W), not {tuple(images.shape)}.")
        images = _array(images.permute(0, 2, 3, 1))
    elif images.ndim == 3:
        images = images[..., None]
    if images.ndim != 4 or images.shape[3] not in CHANNELS or not images.size:
        raise DataError(f"Images have 1, 3 or 4 channels and at least a pixel, and these are {_shape(images)}.")
    if images.dtype == numpy.uint8:
        return numpy.ascontiguousarray(images)
    if images.dtype.kind != "f":
        raise DataError(f"Images of {images.dtype} have no known range: {RANGE}.")
    low, high = float(images.min()), float(images.max())
    if not -1 <= low <= high <= 1:
        raise DataError(f"Images from {low:.4g} to {high:.4g} are out of range: {RANGE}.")
    if low >= 0:
        raise DataError(f"Images from {low:.4g} to {high:.4g} seem to be from 0 to 1: {RANGE}; give 2 * images - 1.")
    return numpy.ascontiguousarray(
        ((images.astype(numpy.float64) + 1) * 127.5).round().clip(0, 255).astype(numpy.uint8)
    )


def _shape(images: numpy.ndarray) -> str:
    return f"{len(images)} of {' x '.join(map(str, images.shape[1:]))} (height, width, channels)"


def _array(images: Tensor) -> numpy.ndarray:
    """Returns a tensor as an array; bfloat16, which NumPy does not have, as float32."""
    if images.layout is not torch.strided:
        raise DataError(f"Images in a tensor are dense, not {images.layout}: give images.to_dense().")
    images = images.detach().cpu()
    return (images.float() if images.dtype is torch.bfloat16 else images).numpy()


def _labels(labels: Any, count: int) -> numpy.ndarray:
    found = numpy.asarray(labels.cpu() if isinstance(labels, Tensor) else labels)
    if found.shape != (count,) or found.dtype.kind not in "iu" or found.min() < 0:
        raise DataError(
            f"Labels are {count} class numbers from 0, one for each image, not {found.dtype} {found.shape}."
        )
    if found.max() >= MOST_CLASSES:
        raise DataError(
            f"The label {found.max()} stands for {int(found.max()) + 1:,} classes, and {MOST_CLASSES:,} are the most: "
            "number the classes from 0 without gaps."
        )
    return found.astype(numpy.int64)


def _names(labels: numpy.ndarray | None, classes: Sequence[str] | None) -> tuple[str, ...]:
    if labels is None:
        return ()
    most = int(labels.max())
    if classes is None:
        return tuple(map(str, range(most + 1)))
    if most >= len(classes):
        raise DataError(f"The label {most} has no name: there are {len(classes)} classes.")
    return tuple(map(str, classes))


def _items(data: Any) -> tuple[numpy.ndarray, list[int] | None]:
    """Reads every item of a map-style data set."""
    try:
        if isinstance(data, Mapping):
            raise TypeError
        count = len(data)
        items = [data[number] for number in range(count)]
    except TypeError:
        raise UsageError(
            f"A {type(data).__name__} cannot be trained on: give a tensor, an array, a data set of torch "
            "that has a length, or the name of data."
        ) from None
    if not items:
        raise DataError("The data set is empty.")
    pairs = isinstance(items[0], tuple | list)
    if pairs and not all(isinstance(item, tuple | list) and len(item) == 2 for item in items):
        raise DataError("Items of a data set are images, or pairs of an image and its label.")
    images = [_one(item[0] if pairs else item) for item in items]
    shapes = {image.shape for image in images}
    if len(shapes) > 1:
        raise DataError(f"The images of a data set have one size, and these have {len(shapes)}: resize them first.")
    kinds = {image.dtype for image in images}
    if len(kinds) > 1:
        raise DataError(f"The images of a data set are of one type, and these of {len(kinds)}.")
    return numpy.stack(images), [_label(item[1]) for item in items] if pairs else None


def _label(label: Any) -> int:
    """The class number of an item, which may be a tensor or array of one number."""
    number = numpy.asarray(label.cpu() if isinstance(label, Tensor) else label)
    if number.size != 1 or number.dtype.kind not in "iu":
        raise DataError(f"The label of an item is one class number from 0, not {quoted(label)}.")
    return int(number.item())


def _one(image: Any) -> numpy.ndarray:
    """Returns one image as (H, W, C)."""
    if isinstance(image, Image.Image):
        image = numpy.asarray(image.convert(image.mode if image.mode in ("L", "RGB", "RGBA") else "RGB"))
    elif isinstance(image, Tensor):
        image = _array(image.permute(1, 2, 0) if image.ndim == 3 else image)
    if not isinstance(image, numpy.ndarray) or image.ndim not in (2, 3):
        raise DataError(f"The images of a data set are tensors (C, H, W), arrays or Pillow images, not {_kind(image)}.")
    return image if image.ndim == 3 else image[..., None]


def _kind(value: Any) -> str:
    return f"{type(value).__name__} of {value.ndim} dimensions" if hasattr(value, "ndim") else type(value).__name__
