"""Numbers of the mode-collapse literature for points of a known mixture: quality, modes, divergence, distance."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

REACH = 3.0  # standard deviations within which a sample is of high quality (VEEGAN, PacGAN)
SHARE = 0.1  # of an equal share of the samples, in high quality, that a mode must hold to count
DIRECTIONS = 128


def nearest(points: Tensor, centres: Tensor) -> tuple[Tensor, Tensor]:
    """Returns the number of each point's nearest centre (N,) int64, and the distance to it (N,)."""
    distance, number = torch.cdist(points.double(), centres.double()).min(1)
    return number, distance


def shares(points: Tensor, centres: Tensor) -> Tensor:
    """Returns the share of points (N, D) that is nearest to each centre (K, D): (K,) float64, of sum 1."""
    number, _ = nearest(points, centres)
    return torch.bincount(number, minlength=len(centres)).double() / len(points)


def coverage(histogram: Tensor) -> float:
    """Returns the effective share of modes in a histogram (K,), e to its entropy over K: 1 for equal shares, 1/K for
    one mode.
    """
    held = histogram[histogram > 0] / histogram.sum()
    return math.exp(-float((held * held.log()).sum())) / len(histogram)


def mode_numbers(points: Tensor, centres: Tensor, deviation: float) -> dict[str, float]:
    """Measures points (N, D) against a mixture of equal Gaussians with these centres (K, D) and deviation.

    "high-quality" is the share of points within 3 deviations of the nearest centre: 0.989 for the mixture itself in the
    plane. "modes" counts the centres that hold at least a tenth of N/K points of high quality, "modes-any" those with
    one such point, the rule of the literature, by which a Gaussian blob holds every mode. "reverse-kl" is
    KL(shares of good points ‖ equal shares), nan if there are none (Lin et al. 2018).
    """
    number, distance = nearest(points, centres)
    good = number[distance < REACH * deviation]
    counts = torch.bincount(good, minlength=len(centres))
    held = counts[counts > 0].double() / max(len(good), 1)
    return {
        "high-quality": len(good) / len(points),
        "modes": int((counts >= SHARE * len(points) / len(centres)).sum()),
        "modes-any": int((counts > 0).sum()),
        "reverse-kl": float((held * (held * len(centres)).log()).sum()) if len(good) else math.nan,
    }


def sliced_wasserstein(first: Tensor, second: Tensor) -> float:
    """Returns the mean 1-Wasserstein distance of two equally many points (N, 2) over 128 evenly spread directions.

    It draws no random numbers. For two samples of one distribution it is above 0: 0.0115 ± 0.004 for 10,000 points of
    `ring`.
    """
    angles = math.pi * (torch.arange(DIRECTIONS, dtype=torch.float64) + 0.5) / DIRECTIONS
    directions = torch.stack([angles.cos(), angles.sin()], 1)
    projected = [(directions @ points.double().T).sort(1).values for points in (first, second)]
    return float((projected[0] - projected[1]).abs().mean())


def churn(histograms: Sequence[Sequence[float]]) -> float:
    """Returns the mean total variation between successive histograms of the second half of a run; nan for fewer than 2.

    At most 0.05 is settled, at least 0.25 hops between modes; it depends on the steps between two histograms.
    """
    late = torch.tensor(histograms, dtype=torch.float64)[len(histograms) // 2 :]
    return float((late[1:] - late[:-1]).abs().sum(1).mean() / 2) if len(late) > 1 else math.nan
