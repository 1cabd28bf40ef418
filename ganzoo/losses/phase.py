"""Phases: the optimizer steps that make up one training step."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

ROLES = ("generator", "discriminator", "loss")


@dataclass(frozen=True)
class Phase:
    """One optimizer step: calls the loss method `name`, then updates the roles in `updates`.

    `updates` names some of "generator", "discriminator" and "loss". `repeats` is how often the phase runs in one
    training step (critic steps), or a function of the step. `every` runs it only in every so-many-th step (lazy
    regularization). `fresh=False` goes on with the previous phase's minibatch and fakes. `batch` multiplies the batch
    size of this phase's latents (and its labels are then sampled uniformly).
    """

    name: str
    updates: tuple[str, ...]
    repeats: int | Callable[[int], int] = 1
    every: int = 1
    fresh: bool = True
    batch: int = 1

    def repeats_at(self, step: int) -> int:
        """Returns how often the phase runs in training step `step`."""
        if step % self.every:
            return 0
        return self.repeats(step) if callable(self.repeats) else self.repeats
