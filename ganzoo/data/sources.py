"""Defines data sets before and after preparation: plain data, no torch, no numpy."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from ganzoo.data.conditions import Condition
from ganzoo.variant import Field, SampleSpec

if TYPE_CHECKING:
    import numpy
    import torch
    from PIL import Image


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
class PairedSource:
    """Pairs of pictures: their names, and a function that decodes both pictures of number i, the source first.

    `open` may be called from several threads; an exception in it makes that one pair a bad one. `channels` are those
    that the pictures are stored with, of the source and of the output. Labels are the output's. `exact` states that the
    two pictures of a pair have different sizes, and must be cut in exactly the same place.
    """

    names: Sequence[str]
    open: Callable[[int], tuple[Image.Image, Image.Image]]
    channels: tuple[int, int]
    labels: numpy.ndarray | None
    classes: tuple[str, ...]
    identity: str
    name: str
    exact: bool = False


@dataclass(frozen=True, eq=False)
class ImageData:
    """Prepared images: uint8 (N, H, W, C), contiguous, all of one size, with int64 labels (N,) or None.

    C is 1 (grey), 3 (RGB) or 4 (RGBA: colours not multiplied by alpha, 0 where alpha is). `fingerprint` is the sha256,
    in hex, of pixels, labels and shape; `revision` is the Hub commit or None. `fields` are further pictures of the same
    rows, each uint8 (N, H, W, C): "source" is the other side of pairs, and "images.view" and "source.view" are what
    evaluation sees where the others are larger, to be cropped at random.
    """

    images: torch.Tensor
    labels: torch.Tensor | None
    classes: tuple[str, ...]
    name: str
    fingerprint: str
    revision: str | None = None
    fields: Mapping[str, torch.Tensor] = field(default_factory=dict)

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

    @property
    def view(self) -> torch.Tensor:
        """The images as evaluation sees them: at the size of samples, uncropped."""
        return self.fields.get("images.view", self.images)


@dataclass(frozen=True, eq=False)
class Data:
    """The data of a training: prepared images, their sources, and the conditions that compute more.

    `output` holds the outputs and, of pairs, the sources beside them (`fields["source"]`); `source` holds sources that
    are a set of their own, and is None otherwise. `source_name` is the name of the input that they are. `conditions`
    map the names of inputs to what computes them, and `condition_names` to their registered names.
    """

    output: ImageData
    source: ImageData | None = None
    source_name: str = "source"
    conditions: Mapping[str, Condition] = field(default_factory=dict)
    condition_names: Mapping[str, str] = field(default_factory=dict)

    @property
    def paired(self) -> bool:
        """Whether each source belongs to the output of its row."""
        return self.source is None and bool(self.spec.sources)

    @property
    def stored(self) -> SampleSpec:
        """The stored fields at the size of samples: what conditions are built for."""
        fields = {}
        if "source" in self.output.fields:
            fields[self.source_name] = image_field(self.output.fields.get("source.view", self.output.fields["source"]))
        elif self.source is not None:
            fields[self.source_name] = image_field(self.source.view)
        if self.output.labels is not None:
            fields["label"] = Field((), "class", len(self.output.classes))
        return SampleSpec(image_field(self.output.view), fields)

    @property
    def spec(self) -> SampleSpec:
        """The fields of a sample: the stored ones, and those that conditions compute."""
        output, inputs = self.stored.output, {}
        for name, condition in self.conditions.items():
            made = {name if own == "source" else own: one for own, one in condition.fields.items()}
            output = made.pop("output", output)
            inputs.update(made)
        return SampleSpec(output, {**self.stored.inputs, **inputs})


def image_field(images: torch.Tensor) -> Field:
    """The field that images (N, H, W, C) are rows of."""
    height, width, channels = images.shape[1:]
    return Field((channels, height, width))


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
