"""Notices when training goes wrong: values that are not finite, samples that are all alike, a discriminator that has won."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from .errors import DivergedError

LEAST_DIVERSITY = 0.15
SATURATED_BELOW = 0.01
SATURATED_FOR = 500


def check_finite(step: int, terms: Mapping[str, float], last_good: str) -> None:
    """DivergedError naming step, phase and term if a term is not finite."""
    for name, value in terms.items():
        if not math.isfinite(value):
            phase, _, term = name.partition(".")
            raise DivergedError(
                f"Training diverged at step {step}: term '{term}' of phase '{phase}' is {value}. "
                f"{last_good} Try a smaller learning rate (--set training.generator_lr=...)."
            )


def diversity(fake: Tensor, real: Tensor) -> float:
    """Mean distance between two generated images over that between two real ones: about 1 is healthy, 0 is full collapse."""
    between_real = _mean_distance(real)
    return _mean_distance(fake) / between_real if between_real > 0 else 1.0


def _mean_distance(images: Tensor) -> float:
    flat = images.flatten(1).double()
    count = len(flat)
    return float(torch.pdist(flat).sum() * 2 / (count * (count - 1))) if count > 1 else 0.0


def energy_distance(fake: Tensor, real: Tensor) -> float:
    """2·E‖x−y‖ − E‖x−x'‖ − E‖y−y'‖ between two sets of images, per root of the number of values: zero only if they agree.

    Székely and Rizzo 2013, over pixels. It says which checkpoint of one run is best; to compare variants use
    features (`ganzoo bench`).
    """
    scale = math.sqrt(fake[0].numel())
    across = float(torch.cdist(fake.flatten(1).double(), real.flatten(1).double()).mean())
    return (2 * across - _mean_distance(fake) - _mean_distance(real)) / scale


@dataclass
class CollapseWatch:
    """Keeps what it saw last, so that each trouble is told once and told again only after it was gone.

    `losing_steps` counts the steps in a row in which every term of the discriminator's phases stayed within 0.01 of zero.
    """

    losing_steps: int = 0
    told_saturated: bool = False
    low_looks: int = 0
    told_collapsed: bool = False

    def see_terms(self, terms: Mapping[str, float], discriminator_phases: set[str]) -> str | None:
        """Takes the terms of one step; returns a line when the discriminator has been perfect for 500 steps."""
        own = [value for name, value in terms.items() if name.partition(".")[0] in discriminator_phases]
        perfect = bool(own) and all(abs(value) < SATURATED_BELOW for value in own)
        self.losing_steps = self.losing_steps + 1 if perfect else 0
        if not perfect:
            self.told_saturated = False
        if self.losing_steps >= SATURATED_FOR and not self.told_saturated:
            self.told_saturated = True
            return f"the discriminator is saturated: all its terms are below {SATURATED_BELOW} since {self.losing_steps} steps"
        return None

    def see_samples(self, measured: float) -> str | None:
        """Takes the diversity of samples; returns a line when two looks in a row found them nearly all alike."""
        self.low_looks = self.low_looks + 1 if measured < LEAST_DIVERSITY else 0
        if self.low_looks == 0:
            self.told_collapsed = False
        if self.low_looks >= 2 and not self.told_collapsed:
            self.told_collapsed = True
            return f"the generator has collapsed: its samples differ {measured:.2f} times as much as real images"
        return None
