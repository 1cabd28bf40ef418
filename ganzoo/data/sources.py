"""Defines data sets before and after preparation: plain data, no torch, no numpy."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ganzoo.variant import SampleSpec

if TYPE_CHECKING:
    import numpy
    import torch


@dataclass(frozen=True, eq=False)
class ArraySource:
    """Decoded images: uint8 (N, H, W) or (N, H, W, C) with C of 1, 3 or 4 (with alpha).

    `labels` are int64 (N,) that count into `classes`, or None. `identity` must change whenever the images do.
    """

    images: numpy.ndarray
    labels: numpy.ndarray | None
    classes: tuple[str, ...]
    identity: str
    name: str


@dataclass(frozen=True, eq=False)
class EncodedSource:
    """Image files to decode: their names, and a function that reads the bytes of number i.

    `read` may be called from several threads; an exception in it makes that one image a bad one.
    """

    names: Sequence[str]
    read: Callable[[int], bytes]
    labels: numpy.ndarray | None
    classes: tuple[str, ...]
    identity: str
    name: str


@dataclass(frozen=True)
class HubSource:
    """A data set in a Hugging Face repository, as Parquet files; `revision` None means the newest commit.

    `folder` narrows the search in the repository, `classes` overrides the names in the files, and `hint` ends the error
    message when the Hub cannot be reached.
    """

    repository: str
    name: str
    revision: str | None = None
    split: str = "train"
    folder: str = ""
    classes: tuple[str, ...] = ()
    hint: str = ""


@dataclass(frozen=True, eq=False)
class ImageData:
    """Prepared images: uint8 (N, H, W, C), contiguous, all of one size, with int64 labels (N,) or None.

    C is 1 (grey), 3 (RGB) or 4 (RGBA: colours not multiplied by alpha, 0 where alpha is). `fingerprint` is the sha256,
    in hex, of pixels, labels and shape; `revision` is the Hub commit or None.
    """

    images: torch.Tensor
    labels: torch.Tensor | None
    classes: tuple[str, ...]
    name: str
    fingerprint: str
    revision: str | None = None

    @property
    def size(self) -> int:
        """The height and width of square images; ValueError for others."""
        if self.height != self.width:
            raise ValueError(f"images of {self.height} x {self.width} pixels are not square")
        return self.width

    @property
    def height(self) -> int:
        return self.images.shape[1]

    @property
    def width(self) -> int:
        return self.images.shape[2]

    @property
    def channels(self) -> int:
        return self.images.shape[3]

    def __len__(self) -> int:
        return self.images.shape[0]


class Stream:
    """A data set without end: a distribution from which samples are drawn, such as points in the plane.

    A subclass defines `draw`. `facts` are the plain numbers and names that determine the distribution; `fingerprint` is
    their sha256. A mixture of Gaussians of one standard deviation states its `centres` (K, D) and `deviation`, so that
    modes can be counted.
    """

    classes: tuple[str, ...] = ()
    labels: None = None
    revision: None = None
    centres: torch.Tensor | None = None
    deviation: float = 0.0

    def __init__(self, name: str, spec: SampleSpec, facts: Mapping[str, Any]) -> None:
        self.name, self.spec, self.facts = name, spec, dict(facts)
        content = json.dumps([type(self).__name__, self.facts], sort_keys=True)
        self.fingerprint = hashlib.sha256(content.encode("ascii")).hexdigest()

    def draw(self, count: int, random: torch.Generator) -> torch.Tensor:
        """Returns `count` samples (count, *shape), float32 on the CPU, by the numbers of `random` alone."""
        raise TypeError(f"{type(self).__name__} must define draw(count, random)")
