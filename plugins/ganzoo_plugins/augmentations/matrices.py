"""Applies geometric and colour transformations, given as matrices, to images (for adaptive augmentation)."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

# The low-pass filter of the wavelet sym6 (Daubechies 1992), as tabulated; it reconstructs perfectly with its mirror.
SYM6 = (
    0.015404109327027373,
    0.0034907120842174702,
    -0.11799011114819057,
    -0.048311742585633,
    0.4910559419267466,
    0.787641141030194,
    0.3379294217276218,
    -0.07263752278646252,
    -0.021060292512300564,
    0.04472490177066578,
    0.0017677118642428036,
    -0.007800708325034148,
)
REACH = len(SYM6) // 4


def _matrix(rows: list[list[Tensor | float]]) -> Tensor:
    """Stacks numbers and tensors (N,) to matrices (N, rows, columns)."""
    like = next(item for row in rows for item in row if isinstance(item, Tensor))
    return torch.stack([torch.stack([torch.zeros_like(like) + item for item in row], 1) for row in rows], 1)


def shift(right: Tensor, down: Tensor) -> Tensor:
    """Returns (N, 3, 3): (x, y) to (x + right, y + down)."""
    return _matrix([[1.0, 0.0, right], [0.0, 1.0, down], [0.0, 0.0, 1.0]])


def scaling(horizontal: Tensor, vertical: Tensor) -> Tensor:
    """Returns (N, 3, 3): (x, y) to (horizontal·x, vertical·y)."""
    return _matrix([[horizontal, 0.0, 0.0], [0.0, vertical, 0.0], [0.0, 0.0, 1.0]])


def rotation(angle: Tensor) -> Tensor:
    """Returns (N, 3, 3): rotates by the angle in radians from the x axis towards the y axis."""
    return _matrix([[angle.cos(), -angle.sin(), 0.0], [angle.sin(), angle.cos(), 0.0], [0.0, 0.0, 1.0]])


def _grey_axis(like: Tensor) -> tuple[Tensor, Tensor]:
    """Returns the identity (4, 4), and the projection (4, 4) of a colour onto the axis of greys."""
    axis = torch.tensor([1.0, 1.0, 1.0, 0.0], device=like.device, dtype=like.dtype) / math.sqrt(3)
    return torch.eye(4, device=like.device, dtype=like.dtype), torch.outer(axis, axis)


def luma_flip(flipped: Tensor) -> Tensor:
    """Returns (N, 4, 4): where `flipped` (N,) is 1, negates the grey part of a colour and keeps its hue."""
    identity, grey = _grey_axis(flipped)
    return identity - 2 * grey * flipped[:, None, None]


def saturation(factor: Tensor) -> Tensor:
    """Returns (N, 4, 4): multiplies the difference of a colour from its grey part by the factor (N,)."""
    identity, grey = _grey_axis(factor)
    return grey + (identity - grey) * factor[:, None, None]


def hue_rotation(angle: Tensor) -> Tensor:
    """Returns (N, 4, 4): rotates colours about the axis of greys by the angle (N,) in radians (Rodrigues' formula)."""
    identity, grey = _grey_axis(angle)
    cross = torch.zeros_like(identity)
    cross[0, 1] = cross[1, 2] = cross[2, 0] = -1 / math.sqrt(3)
    cross[1, 0] = cross[2, 1] = cross[0, 2] = 1 / math.sqrt(3)
    cosine, sine = angle.cos()[:, None, None], angle.sin()[:, None, None]
    point = torch.zeros_like(identity)
    point[3, 3] = 1
    return point + cosine * (identity - point - grey) + sine * cross + grey


def recoloured(images: Tensor, colour: Tensor) -> Tensor:
    """Applies matrices (N, 4, 4) to the colours of images (N, 1, 3 or 4, H, W).

    A grey image takes the mean of the three results for equal channels. Of four channels the last, alpha, stays.
    """
    if images.shape[1] == 1:
        mean = colour[:, :3].mean(1)
        return images * mean[:, :3].sum(1)[:, None, None, None] + mean[:, 3][:, None, None, None]
    colours = torch.einsum("nij,njhw->nihw", colour[:, :3, :3], images[:, :3]) + colour[:, :3, 3, None, None]
    return colours if images.shape[1] == 3 else torch.cat([colours, images[:, 3:]], 1)


def resampled(images: Tensor, inverse: Tensor) -> Tensor:
    """Samples images (N, C, H, W) through matrices (N, 3, 3) from output to input coordinates.

    Coordinates are pixels from the centre. Images are reflected at the borders, doubled with the sym6 filter, sampled
    bilinearly, and halved with the mirrored filter: the identity leaves images unchanged. Twice differentiable in the
    images.
    """
    height, width = images.shape[2:]
    images, inverse = _padded(images, inverse)
    images = _doubled(images)
    # Doubling moves the centre by half a fine pixel.
    double = torch.tensor([[2.0, 0, -0.5], [0, 2.0, -0.5], [0, 0, 1.0]], device=inverse.device, dtype=inverse.dtype)
    inverse = double @ inverse @ torch.linalg.inv(double)
    size = [len(images), images.shape[1], (height + 2 * REACH) * 2, (width + 2 * REACH) * 2]
    into = inverse.new_tensor([2 / images.shape[3], 2 / images.shape[2], 1.0]).diag()
    out_of = inverse.new_tensor([size[3] / 2, size[2] / 2, 1.0]).diag()
    grid = functional.affine_grid((into @ inverse @ out_of)[:, :2], size, align_corners=False)
    return _halved(_Sampled.apply(images, grid))


def _padded(images: Tensor, inverse: Tensor) -> tuple[Tensor, Tensor]:
    """Reflects images at their borders as far as any is sampled; returns them and matrices from the new centre."""
    height, width = images.shape[2:]
    x, y = (width - 1) / 2, (height - 1) / 2
    corners = inverse.new_tensor([[-x, x, x, -x], [-y, -y, y, y], [1.0, 1.0, 1.0, 1.0]])
    places = (inverse @ corners)[:, :2].transpose(0, 1).flatten(1)
    least = places.new_tensor([2 * REACH - x, 2 * REACH - y] * 2)
    most = places.new_tensor([width - 1, height - 1] * 2)
    margin = (torch.cat([-places, places]).amax(1) + least).clamp(min=0).minimum(most).ceil().int()
    left, top, right, bottom = margin.tolist()
    images = functional.pad(images, [left, right, top, bottom], mode="reflect")
    moved = torch.eye(3, device=inverse.device, dtype=inverse.dtype)
    moved[0, 2], moved[1, 2] = (left - right) / 2, (top - bottom) / 2
    return images, moved @ inverse


def _filters(images: Tensor, gain: float) -> tuple[Tensor, Tensor]:
    """Returns the filter along rows and along columns, one for each channel, of sum `gain`."""
    line = images.new_tensor(SYM6)
    line = (line * (gain / line.sum())).expand(images.shape[1], 1, 1, -1)
    return line, line.transpose(2, 3)


def _doubled(images: Tensor) -> Tensor:
    across, along = _filters(images, 2.0)
    margin, channels = (len(SYM6) - 2) // 2, images.shape[1]
    images = functional.conv_transpose2d(images, across, stride=(1, 2), padding=(0, margin), groups=channels)
    return functional.conv_transpose2d(images, along, stride=(2, 1), padding=(margin, 0), groups=channels)


def _halved(images: Tensor) -> Tensor:
    across, along = _filters(images, 1.0)
    images, channels = images[:, :, 1:-1, 1:-1], images.shape[1]
    return functional.conv2d(
        functional.conv2d(images, across, stride=(1, 2), groups=channels), along, stride=(2, 1), groups=channels
    )


class _Sampled(torch.autograd.Function):
    """Bilinear sampling, linear in the images and twice differentiable; torch's own is differentiable once."""

    @staticmethod
    def forward(ctx: Any, images: Tensor, grid: Tensor) -> Tensor:
        ctx.save_for_backward(images, grid)
        return functional.grid_sample(images, grid, align_corners=False)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        return _Scattered.apply(gradient, *ctx.saved_tensors), None


class _Scattered(torch.autograd.Function):
    """The transpose of `_Sampled`: maps a gradient of samples to one of images; `images` gives the shape alone."""

    @staticmethod
    def forward(ctx: Any, gradient: Tensor, images: Tensor, grid: Tensor) -> Tensor:
        ctx.save_for_backward(grid)
        return torch.ops.aten.grid_sampler_2d_backward(gradient, images, grid, 0, 0, False, (True, False))[0]

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None]:
        (grid,) = ctx.saved_tensors
        return _Sampled.apply(gradient, grid), None, None
