"""Detects failed training: values that are not finite, samples that are all alike, a saturated discriminator."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

from ganzoo.errors import DivergedError, advice

LEAST_DIVERSITY = 0.15
COARSE_SIDE = 8
WARM_UP = 200
SATURATED_BELOW = 0.01
SATURATED_FOR = 500
LARGEST_WEIGHT = 1e6  # float32 numbers are a sixteenth apart there: steps of a usual learning rate are lost
STATE_NAMES = {  # in checkpoints: in the class
    "losing_steps": "saturated_steps",
    "told_saturated": "reported_saturation",
    "low_looks": "low_diversity",
    "told_collapsed": "reported_collapse",
    "trouble": "problem",
}


def check_finite(step: int, terms: Mapping[str, float]) -> None:
    """Raises DivergedError with step, phase and term if a term is not finite."""
    for name, value in terms.items():
        if not math.isfinite(value):
            phase, _, term = name.partition(".")
            raise DivergedError(f"Training diverged at step {step}: term '{term}' of phase '{phase}' is {value}.")


def check_magnitudes(step: int, magnitudes: Mapping[str, float]) -> None:
    """Raises DivergedError that names a role if one of its weights is too large for training to move it any more."""
    for role, magnitude in magnitudes.items():
        if not magnitude <= LARGEST_WEIGHT:
            raise DivergedError(f"Training diverged by step {step}: a weight of the {role} is {magnitude:.3g}.")


def advice_on(problem: str) -> str:
    """Returns the place of the section on a problem that a `CollapseDetector` reported."""
    return advice("The discriminator has won" if problem.startswith("the discriminator") else "Samples are all alike")


class Spread(NamedTuple):
    """The mean distance between two different images of a set: at full size, and averaged to at most 8×8."""

    fine: float
    coarse: float


def spread(images: Tensor) -> Spread:
    """Measures the mean distances between images (N, C, H, W); other samples, such as points, have nothing coarse."""
    if images.ndim != 4:
        return Spread(mean_distance(images), mean_distance(images))
    side = min(COARSE_SIDE, *images.shape[2:])
    return Spread(mean_distance(images), mean_distance(functional.adaptive_avg_pool2d(images, side)))


def compare(fake: Tensor, real: Tensor, real_spread: Spread | None = None) -> dict[str, float]:
    """Compares generated with real images, both (N, C, H, W), by the distances between images as vectors.

    "diversity" is the mean distance between two generated images over that between two real ones: about 1 is healthy,
    0 is full collapse. Images are averaged to at most 8×8 first, because noise keeps pixels apart even if all samples
    show one image. "energy_distance" is 2·E‖x−y‖ − E‖x−x'‖ − E‖y−y'‖ per root of the number of values (Székely and
    Rizzo 2013). It is unbiased: for samples of one distribution its mean is 0, and single values may be negative. It
    ranks the checkpoints of one run; to compare variants use features (`ganzoo bench`). `real_spread` is
    `spread(real)`, for repeated calls.
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
    flat = flat - flat.mean(0)  # cdist multiplies: products of numbers near zero lose fewer digits
    return float(torch.cdist(flat, flat).fill_diagonal_(0).sum() / (count * (count - 1))) if count > 1 else 0.0


@dataclass
class CollapseDetector:
    """Reports each problem of a run once, and again only after it had disappeared.

    `saturated_steps` counts the consecutive steps in which every term of the discriminator's phases stayed within 0.01
    of zero, `low_diversity` the consecutive measurements of samples that were nearly all alike. The first 200 steps do
    not count: a healthy generator starts with one grey. `problem` was reported and not yet acted on. All of it is part
    of a run's state, so that a resumed run acts as one that never stopped.
    """

    saturated_steps: int = 0
    reported_saturation: bool = False
    low_diversity: int = 0
    reported_collapse: bool = False
    problem: str = ""

    def state(self) -> dict[str, Any]:
        """Plain values for a checkpoint, by the names of the checkpoint's format."""
        return {name: getattr(self, field) for name, field in STATE_NAMES.items()}

    @classmethod
    def from_state(cls, state: Mapping[str, Any]) -> CollapseDetector:
        """Takes back what `state` gave; TypeError or KeyError for anything else."""
        return cls(**{STATE_NAMES[name]: value for name, value in state.items()})

    def check_terms(self, terms: Mapping[str, float], discriminator_phases: set[str]) -> str:
        """Takes the terms of one step; returns a line if the discriminator has been saturated for 500, else ""."""
        own = [value for name, value in terms.items() if name.partition(".")[0] in discriminator_phases]
        perfect = bool(own) and all(abs(value) < SATURATED_BELOW for value in own)
        self.saturated_steps = self.saturated_steps + 1 if perfect else 0
        self.reported_saturation &= perfect
        if self.saturated_steps < SATURATED_FOR or self.reported_saturation:
            return ""
        self.reported_saturation = True
        steps = self.saturated_steps
        self.problem = f"the discriminator is saturated: all its terms are below {SATURATED_BELOW} since {steps} steps"
        return self.problem

    def check_samples(self, step: int, diversity: float, least: float = LEAST_DIVERSITY) -> str:
        """Takes the diversity of samples; returns a line if two measurements in a row were below `least`, else ""."""
        self.low_diversity = self.low_diversity + 1 if diversity < least and step > WARM_UP else 0
        self.reported_collapse &= self.low_diversity > 0
        if self.low_diversity < 2 or self.reported_collapse:
            return ""
        self.reported_collapse = True
        percent = f"{100 * diversity:.2g} %"
        self.problem = f"the generator has collapsed: sample diversity is {percent} of that of real images"
        return self.problem

    def is_healthy(self, diversity: float, least: float = LEAST_DIVERSITY) -> bool:
        """True if a rollback may return to a state of this diversity: no collapse, and no saturation has begun."""
        return diversity >= least and self.saturated_steps == 0
