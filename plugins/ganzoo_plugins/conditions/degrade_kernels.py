"""The kernels of Real-ESRGAN's degradation, a batch at once: Gaussian and plateau families, and the sinc filter."""

from __future__ import annotations

import math

import torch
from torch import Tensor

LARGEST = 21  # pixels of a kernel; smaller ones have zeros around them
KINDS = ("iso", "aniso", "generalized_iso", "generalized_aniso", "plateau_iso", "plateau_aniso")


def blur_kernels(kind: Tensor, size: Tensor, sigma_x: Tensor, sigma_y: Tensor, angle: Tensor, beta: Tensor) -> Tensor:
    """Returns kernels (N, 21, 21) whose weights sum to 1, of parameters (N,) each.

    With d² = x' S⁻¹ x and S the covariance of `sigma_x` and `sigma_y`, turned by `angle`, they are exp(−d²/2),
    generalized exp(−d^(2·beta)/2), or with a plateau 1/(1 + d^(2·beta)). `kind` is a place in KINDS; the isotropic ones
    have `sigma_x` alone. `size` is odd: weights outside of so many pixels are 0. As BasicSR's data/degradations.py.
    """
    down, right = _places(size)
    round_, family = (kind % 2 == 0), kind // 2
    sigma_y = torch.where(round_, sigma_x, sigma_y)
    sine, cosine = (_aligned(values) for values in (angle.sin(), angle.cos()))
    along, across = right * cosine + down * sine, down * cosine - right * sine
    distance = (along / _aligned(sigma_x)) ** 2 + (across / _aligned(sigma_y)) ** 2
    shaped = distance ** _aligned(beta)
    family = _aligned(family)
    gaussian = torch.exp(-0.5 * torch.where(family == 0, distance, shaped))
    return _cut(torch.where(family == 2, 1 / (1 + shaped), gaussian), size)


def sinc_kernels(cutoff: Tensor, size: Tensor) -> Tensor:
    """Returns ideal low-pass kernels (N, 21, 21) of frequencies `cutoff` (N,) in radians a pixel, π at most.

    They are ω J₁(ω r) / (2π r), and ω²/4π in the centre, within `size` pixels, divided by their sum.
    """
    down, right = _places(size)
    radius = (down**2 + right**2).sqrt()
    cutoff = _aligned(cutoff)
    away = radius.clamp_min(0.5)  # the centre is another formula
    waves = cutoff * torch.special.bessel_j1(cutoff * away) / (2 * math.pi * away)
    return _cut(torch.where(radius == 0, cutoff**2 / (4 * math.pi), waves), size)


def pulse() -> Tensor:
    """The kernel (21, 21) that changes nothing."""
    kernel = torch.zeros(LARGEST, LARGEST)
    kernel[LARGEST // 2, LARGEST // 2] = 1
    return kernel


def _places(size: Tensor) -> tuple[Tensor, Tensor]:
    """Rows (21, 1) and columns (1, 21) of a kernel, 0 in the centre."""
    line = torch.arange(LARGEST, device=size.device, dtype=torch.float64) - LARGEST // 2
    return line[:, None], line[None]


def _aligned(values: Tensor) -> Tensor:
    """Numbers of kernels (N,) as (N, 1, 1)."""
    return values[:, None, None] if values.dtype == torch.int64 else values.double()[:, None, None]


def _cut(kernels: Tensor, size: Tensor) -> Tensor:
    """The kernels within their sizes, divided by their sums, float32."""
    down, right = _places(size)
    inside = torch.maximum(down.abs(), right.abs()) <= _aligned(size) // 2
    kernels = kernels * inside
    return (kernels / kernels.sum((1, 2), keepdim=True)).float()
