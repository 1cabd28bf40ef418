"""The random numbers of Real-ESRGAN's degradation: what happens to each image, drawn for a batch at once on the CPU."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from .degrade_kernels import KINDS, blur_kernels, pulse, sinc_kernels

DICE = 2 * (9 + 7) + 3 + 3  # numbers that are drawn for an image besides its noise
LIMITS = {  # of the ranges of options
    "blur_sigma": (0.01, 100.0),
    "betag_range": (0.01, 100.0),
    "betap_range": (0.01, 100.0),
    "resize_range": (0.01, 4.0),
    "noise_range": (0.0, 255.0),
    "poisson_scale_range": (0.0, 100.0),
    "jpeg_range": (1.0, 100.0),
}
NARROWEST = 1e-3  # of the deviation of a blur, whose kernel is a single pixel then

Range = tuple[float, float]
Shares = tuple[float, float, float]
KernelShares = tuple[float, float, float, float, float, float]


@dataclass(frozen=True)
class Order:
    """The distributions of one of the two orders, under the names of Real-ESRGAN's options."""

    kernel_prob: KernelShares
    sinc_prob: float
    blur_sigma: Range
    betag_range: Range
    betap_range: Range
    resize_prob: Shares
    resize_range: Range
    gaussian_noise_prob: float
    noise_range: Range
    poisson_scale_range: Range
    gray_noise_prob: float
    jpeg_range: Range

    def check(self, end: str) -> None:
        """ValueError for distributions that mean nothing; the names of the options end with `end`."""
        for name in ("sinc_prob", "gaussian_noise_prob", "gray_noise_prob"):
            check_probability(name + end, getattr(self, name))
        for name, count in (("kernel_prob", len(KINDS)), ("resize_prob", 3)):
            shares = getattr(self, name)
            if len(shares) != count or min(shares) < 0 or sum(shares) <= 0:
                raise ValueError(f"{name}{end} must be {count} shares of 0 or more, not all 0, got {list(shares)}")
        for name, (least, most) in LIMITS.items():
            limits = getattr(self, name)
            if len(limits) != 2 or not least <= limits[0] <= limits[1] <= most:
                raise ValueError(
                    f"{name}{end} must be two numbers from {least} to {most}, the smaller first, got {list(limits)}"
                )
        for name in ("betag_range", "betap_range", "resize_range"):
            low, high = getattr(self, name)
            if not low <= 1 <= high:
                raise ValueError(f"{name}{end} must hold 1, got {[low, high]}")

    def kernels(self, dice: Iterator[Tensor], strength: float) -> tuple[Tensor, Tensor]:
        """Draws blur kernels (n, 21, 21) and their sizes (n,)."""
        size = 7 + 2 * one_of(next(dice), 8)
        sinc, share = next(dice) < self.sinc_prob, next(dice)
        lowest = torch.where(size < 13, math.pi / 3, math.pi / 5)
        cutoff = milder(lowest + share * (math.pi - lowest), math.pi, strength)
        kind = chosen(next(dice), self.kernel_prob)
        sigma_x, sigma_y = ((between(next(dice), self.blur_sigma) * strength).clamp_min(NARROWEST) for _ in range(2))
        angle, below, share = between(next(dice), (-math.pi, math.pi)), next(dice) < 0.5, next(dice)
        generalized, plateau = (
            torch.where(below, between(share, (low, 1)), between(share, (1, high)))
            for low, high in (self.betag_range, self.betap_range)
        )
        beta = torch.where(kind < KINDS.index("plateau_iso"), generalized, plateau)
        blurs = blur_kernels(kind, size, sigma_x, sigma_y, angle, beta)
        return torch.where(sinc[:, None, None], sinc_kernels(cutoff, size), blurs), size

    def after_blur(self, dice: Iterator[Tensor], strength: float) -> list[Tensor]:
        """Draws scale, mode, kind of noise, its level, whether it is grey, and quality, (n,) each."""
        way, share, mode = chosen(next(dice), self.resize_prob), next(dice), one_of(next(dice), 3)
        low, high = self.resize_range
        scale = torch.where(way == 0, between(share, (1, high)), between(share, (low, 1)))
        scale = milder(scale, 1, strength).masked_fill(way == 2, 1)
        gaussian, share, grey = next(dice) < self.gaussian_noise_prob, next(dice), next(dice) < self.gray_noise_prob
        noise = torch.where(gaussian, between(share, self.noise_range), between(share, self.poisson_scale_range))
        quality = milder(between(next(dice), self.jpeg_range), 100, strength)
        return [scale, mode, gaussian, noise * strength, grey, quality]


class Plan(NamedTuple):
    """What is drawn for one image besides its kernels: sizes of kernels, scales, modes (of MODES), noises, qualities.

    A noise is Gaussian with a deviation in 255ths, or of photons with a scale; `grey` is the same in all channels.
    """

    size: float
    scale: float
    mode: float
    gaussian: float
    noise: float
    grey: float
    quality: float
    blur2: float
    size2: float
    scale2: float
    mode2: float
    gaussian2: float
    noise2: float
    grey2: float
    quality2: float
    sinc_first: float
    sinc_size: float
    mode3: float


def draw(
    first: Order, second: Order, second_blur_prob: float, final_sinc_prob: float, strength: float, uniform: Tensor
) -> tuple[Tensor, Tensor]:
    """Returns the kernels of both orders and the final filter (n, 3, 21, 21), and the plans (n, fields of Plan).

    `uniform` (n, DICE), float64 in [0, 1), are the random numbers.
    """
    dice = iter(uniform.unbind(1))
    (kernel, size), (kernel2, size2) = first.kernels(dice, strength), second.kernels(dice, strength)
    there, sinc_size, share = next(dice) < final_sinc_prob, 7 + 2 * one_of(next(dice), 8), next(dice)
    cutoff = milder(between(share, (math.pi / 3, math.pi)), math.pi, strength)
    final = torch.where(there[:, None, None], sinc_kernels(cutoff, sinc_size), pulse())
    columns = [size, *first.after_blur(dice, strength), next(dice) < second_blur_prob]
    columns += [size2, *second.after_blur(dice, strength), next(dice) < 0.5]
    columns += [torch.where(there, sinc_size, 1), one_of(next(dice), 3)]
    return torch.stack([kernel, kernel2, final], 1), torch.stack([column.float() for column in columns], 1)


def check_probability(name: str, value: float) -> None:
    if not 0 <= value <= 1:
        raise ValueError(f"{name} must be 0 to 1, got {value}")


def between(share: Tensor, limits: tuple[float, float]) -> Tensor:
    return limits[0] + share * (limits[1] - limits[0])


def one_of(share: Tensor, count: int) -> Tensor:
    """One of `count` places, equally often, int64."""
    return (share * count).long().clamp_(max=count - 1)


def chosen(share: Tensor, weights: Sequence[float]) -> Tensor:
    """Places as often as their weights say, int64."""
    ends = torch.tensor(weights, dtype=torch.float64).cumsum(0)
    return torch.bucketize(share * ends[-1], ends, right=True).clamp_(max=len(weights) - 1)


def milder(values: Tensor, harmless: float, strength: float) -> Tensor:
    """The values, brought nearer to a harmless one if the strength is below 1."""
    return values if strength == 1 else harmless + (values - harmless) * strength
