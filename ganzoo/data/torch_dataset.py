"""Prepared images as a data set of torch."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.utils.data import Dataset

from ganzoo.data.sources import ImageData


class ImageDataset(Dataset[tuple[Tensor, int] | Tensor]):
    """Images of one size: item i is the image, float32 (C, H, W) in [-1, 1], with labels the pair (image, label).

    Attributes:
        data: the prepared images as uint8, with their fingerprint.
        source: the text of `--data` that they came from, for `ganzoo.train`.
    """

    def __init__(self, data: ImageData, source: str | None = None) -> None:
        self.data, self.source = data, source

    @property
    def classes(self) -> tuple[str, ...]:
        """The names of the labels."""
        return tuple(self.data.classes)

    def __len__(self) -> int:
        return len(self.data)

    def __getitem__(self, index: int) -> tuple[Tensor, int] | Tensor:
        image = self.data.images[index].permute(2, 0, 1).to(torch.float32) / 127.5 - 1
        return image if self.data.labels is None else (image, int(self.data.labels[index]))

    def __repr__(self) -> str:
        data = self.data
        labels = f", {len(self.classes)} classes" if data.labels is not None else ""
        shape = f"{data.channels} x {data.height} x {data.width}"
        return f"<ImageDataset {data.name}: {len(data):,} images of {shape}{labels}>"
