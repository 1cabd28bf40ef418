"""The distributions of points: a ring and a grid of Gaussians, and a spiral.

The scale is that of PacGAN's and VEEGAN's ring (radius 1) and of WGAN-GP's grid divided by 4; the softer deviations
show the same effects in fewer steps.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from ganzoo import Field, SampleSpec
from ganzoo.data import Stream
from ganzoo.errors import UsageError

PLANE = SampleSpec(Field((2,), "points"))
NOISE = 0.25 / 15  # of the spiral, at the scale that keeps it within [-1, 1]


class GaussianMixture(Stream):
    """Gaussians of one deviation around `centres` (K, 2), each equally likely."""

    def __init__(self, name: str, centres: Tensor, deviation: float) -> None:
        super().__init__(name, PLANE, {"centres": centres.tolist(), "deviation": deviation})
        self.centres, self.deviation = centres, deviation

    def draw(self, count: int, random: torch.Generator) -> Tensor:
        assert self.centres is not None
        chosen = torch.randint(len(self.centres), (count,), generator=random)
        noise = torch.randn(count, 2, generator=random, dtype=torch.float32)
        return self.centres[chosen] + self.deviation * noise


class SwissRoll(Stream):
    """(t cos t, t sin t)/15 with t = 1.5π(1 + 2u), u uniform in [0, 1), and normal noise: scikit-learn's."""

    def __init__(self, name: str) -> None:
        super().__init__(name, PLANE, {"noise": NOISE})

    def draw(self, count: int, random: torch.Generator) -> Tensor:
        t = 1.5 * math.pi * (1 + 2 * torch.rand(count, generator=random, dtype=torch.float32))
        noise = torch.randn(count, 2, generator=random, dtype=torch.float32)
        return torch.stack([t * t.cos(), t * t.sin()], 1) / 15 + NOISE * noise


def ring(name: str, split: str, *, modes: int = 8, radius: float = 1.0, deviation: float) -> Stream:
    """Gaussians at the angles 2πi/modes, the end point left out: with it the first and last mode would coincide."""
    _check_split(name, split)
    angles = torch.arange(modes, dtype=torch.float64) * (2 * math.pi / modes)
    return GaussianMixture(name, (radius * torch.stack([angles.cos(), angles.sin()], 1)).float(), deviation)


def grid(name: str, split: str, *, side: int = 5, extent: float = 1.0, deviation: float) -> Stream:
    """Gaussians at the points of a square grid over [-extent, extent]²."""
    _check_split(name, split)
    line = torch.linspace(-extent, extent, side, dtype=torch.float32)
    return GaussianMixture(name, torch.cartesian_prod(line, line), deviation)


def swiss_roll(name: str, split: str) -> Stream:
    _check_split(name, split)
    return SwissRoll(name)


def _check_split(name: str, split: str) -> None:
    if split:
        raise UsageError(f"Data set '{name}' is drawn without end and has no split called '{split}'.")
