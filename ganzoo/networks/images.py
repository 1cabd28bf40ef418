"""Functions of image batches (N, C, H, W) in [-1, 1] that losses, regularizers and augmentations share."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional


def enlarged(source: Tensor, size: Sequence[int]) -> Tensor:
    """Enlarges smaller images (N, C, h, w) to `size` (height, width), bicubic; others stay as they are."""
    if tuple(source.shape[2:]) == tuple(size):
        return source
    return functional.interpolate(source, size=tuple(size), mode="bicubic", align_corners=False).clamp(-1, 1)


def dequantized(images: Tensor, noise: Tensor) -> Tensor:
    """Spreads 8-bit pixels uniformly over their 256th of [-1, 1]: v/128 − 1 + noise/128 of the bytes v.

    `images` are v/127.5 − 1; `noise` has their shape and is uniform in [0, 1). As in pfnet-research/sngan_projection,
    `datasets/cifar10.py`, and igul222/improved_wgan_training, `all_real_data` in gan_cifar_resnet.py.
    """
    return (images + 1) * (255 / 256) - 1 + noise / 128


def shifted(images: Tensor, down: Tensor, right: Tensor, flip: Tensor | None = None) -> Tensor:
    """Shifts each image by whole pixels `down` and `right` (N,) and fills with zeros.

    Images where `flip` (N,) is true are mirrored left to right before. Twice differentiable.
    """
    height, width = images.shape[2:]
    rows = torch.arange(height, device=images.device) - down[:, None]
    columns = torch.arange(width, device=images.device) - right[:, None]
    inside = ((rows >= 0) & (rows < height))[:, None, :, None] & ((columns >= 0) & (columns < width))[:, None, None, :]
    rows, columns = rows.clamp(0, height - 1), columns.clamp(0, width - 1)
    if flip is not None:
        columns = torch.where(flip[:, None], width - 1 - columns, columns)
    images = images.gather(2, rows[:, None, :, None].expand(-1, images.shape[1], -1, width))
    return images.gather(3, columns[:, None, None, :].expand(-1, images.shape[1], height, -1)) * inside
