"""Trackers: where the numbers and pictures of a training go while it runs. Torch-free."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

Outcome = Literal["finished", "diverged", "interrupted", "failed"]


class Tracker:
    """Receives the numbers and pictures of a training; the base class, which ignores all of them.

    The methods are called in the order of the training, `start` first and `finish` last, all in one thread. An
    exception ends the tracker, not the training. Only the first process of a training tracks.
    """

    def start(self, config: Mapping[str, Any]) -> None:
        """Takes the content of config.json when the training starts or goes on."""

    def log(self, step: int, values: Mapping[str, float]) -> None:
        """Takes numbers of a step: the means of terms since the last call ("discriminator/real"), or measurements.

        Measurements of samples begin with "samples/", those at the end of a run with "final/".
        """

    def image(self, step: int, name: str, picture: Any) -> None:
        """Takes a Pillow picture: the grid "samples" of a step, or "real" images at step 0."""

    def forget_after(self, step: int) -> None:
        """Drops what came after `step`, which will be trained again: a run was resumed or rolled back."""

    def finish(self, outcome: Outcome) -> None:
        """Takes how the training ended, and writes what is not written yet."""
