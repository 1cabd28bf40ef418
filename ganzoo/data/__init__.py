"""Prepares images for training and evaluation, and cuts them into minibatches.

`load_images` turns a source into `ImageData`, `Batches` cuts it into minibatches. The data set factory of a plugin
returns an `ArraySource`, an `EncodedSource` or a `HubSource`, or a `Stream` of samples without end. A `Condition`
computes the inputs of a generator.
"""

from typing import Any

from ganzoo.data.conditions import Condition
from ganzoo.data.sources import ArraySource, EncodedSource, HubSource, ImageData, Stream

__all__ = [
    "ArraySource",
    "Batches",
    "Condition",
    "EncodedSource",
    "HubSource",
    "ImageData",
    "Stream",
    "load_images",
    "read_idx",
]


def __getattr__(name: str) -> Any:
    """Imports torch, numpy and Pillow only for the names that need them."""
    if name == "Batches":
        from ganzoo.data.batches import Batches

        return Batches
    if name == "load_images":
        from ganzoo.data.load import load_images

        return load_images
    if name == "read_idx":
        from ganzoo.data.arrays import read_idx

        return read_idx
    raise AttributeError(f"module 'ganzoo.data' has no attribute {name!r}")
