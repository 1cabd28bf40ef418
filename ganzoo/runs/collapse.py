"""Notices when training goes wrong: values that are not finite, samples that are all alike, a discriminator that has won."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

from ganzoo.errors import DivergedError

LEAST_DIVERSITY = 0.15
COARSE_SIDE = 8
WARM_UP = 200
SATURATED_BELOW = 0.01
SATURATED_FOR = 500


def check_finite(step: int, terms: Mapping[str, float]) -> None:
    """DivergedError naming step, phase and term if a term is not finite."""
    for name, value in terms.items():
        if not math.isfinite(value):
            phase, _, term = name.partition(".")
            raise DivergedError(f"Training diverged at step {step}: term '{term}' of phase '{phase}' is {value}.")


class Spread(NamedTuple):
    """The mean distance between two different images of a set: as they are, and averaged to at most 8×8."""

    fine: float
    coarse: float


def spread(images: Tensor) -> Spread:
    """How far images (N, C, H, W) lie apart."""
    side = min(COARSE_SIDE, *images.shape[2:])
    return Spread(mean_distance(images), mean_distance(functional.adaptive_avg_pool2d(images, side)))


def compare(fake: Tensor, real: Tensor, real_spread: Spread | None = None) -> dict[str, float]:
    """Two numbers on generated images against real ones, both (N, C, H, W), from the distances between images as vectors.

    "diversity" is the mean distance between two generated images over that between two real ones: about 1 is healthy, 0 is
    full collapse. It is taken after averaging to at most 8×8, for noise keeps pixels apart where one image is drawn again and
    again. "energy_distance" is 2·E‖x−y‖ − E‖x−x'‖ − E‖y−y'‖ per root of the number of values (Székely and Rizzo
    2013); it is unbiased: over many draws from one distribution its mean is 0, so that single values may be below. It says
    which checkpoint of one run is best; to compare variants use features (`ganzoo bench`). `real_spread` is
    `spread(real)` for callers that compare often.
    """
    within_real = spread(real) if real_spread is None else real_spread
    within_fake = spread(fake)
    across = float(torch.cdist(fake.flatten(1).double(), real.flatten(1).double()).mean())
    return {
        "diversity": within_fake.coarse / within_real.coarse if within_real.coarse > 0 else 1.0,
        "energy_distance": (2 * across - within_fake.fine - within_real.fine) / math.sqrt(fake[0].numel()),
    }


def mean_distance(images: Tensor) -> float:
    """The mean distance between two different images of a set."""
    flat = images.flatten(1).double()
    count = len(flat)
    flat = flat - flat.mean(0)  # products of what is near zero lose no digits in the differences that they stand for
    return float(torch.cdist(flat, flat).fill_diagonal_(0).sum() / (count * (count - 1))) if count > 1 else 0.0


@dataclass
class CollapseWatch:
    """Keeps what it saw last, so that each trouble is told once and told again only after it was gone.

    `losing_steps` counts the steps in a row in which every term of the discriminator's phases stayed within 0.01 of zero,
    `low_looks` the looks in a row at samples that were nearly all alike; those of the first 200 steps, in which a healthy
    generator still draws one grey, do not count. `trouble` is what was told and not yet acted on. It is plain data and
    belongs to the state of a run: a resumed run must act as one that never stopped.
    """

    losing_steps: int = 0
    told_saturated: bool = False
    low_looks: int = 0
    told_collapsed: bool = False
    trouble: str = ""

    def see_terms(self, terms: Mapping[str, float], discriminator_phases: set[str]) -> str:
        """Takes the terms of one step; returns a line when the discriminator has been perfect for 500 steps, else ""."""
        own = [value for name, value in terms.items() if name.partition(".")[0] in discriminator_phases]
        perfect = bool(own) and all(abs(value) < SATURATED_BELOW for value in own)
        self.losing_steps = self.losing_steps + 1 if perfect else 0
        self.told_saturated &= perfect
        if self.losing_steps < SATURATED_FOR or self.told_saturated:
            return ""
        self.told_saturated = True
        return self._tell(
            f"the discriminator is saturated: all its terms are below {SATURATED_BELOW} since {self.losing_steps} steps"
        )

    def see_samples(self, step: int, measured: float) -> str:
        """Takes the diversity of samples; returns a line when two looks in a row found them nearly all alike, else ""."""
        self.low_looks = self.low_looks + 1 if measured < LEAST_DIVERSITY and step > WARM_UP else 0
        self.told_collapsed &= self.low_looks > 0
        if self.low_looks < 2 or self.told_collapsed:
            return ""
        self.told_collapsed = True
        return self._tell(
            f"the generator has collapsed: its samples differ {measured:.2f} times as much as real images"
        )

    def healthy(self, measured: float) -> bool:
        """Whether a state with samples of this diversity is one to go back to: nothing is lost, and nothing is being lost."""
        return measured >= LEAST_DIVERSITY and self.losing_steps == 0

    def _tell(self, line: str) -> str:
        self.trouble = line
        return line
