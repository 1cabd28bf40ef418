"""How far a run goes, and the states on its way that are kept for whoever compares runs."""

from __future__ import annotations

import math
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

EVENT = "point"


@dataclass(frozen=True)
class Milestones:
    """`steps` whose checkpoints are kept for good; or an end after `seconds` of training, with such a checkpoint at each of the
    increasing `shares` of them. Time is counted by each process for itself: a run of several has none."""

    steps: tuple[int, ...] = ()
    seconds: float | None = None
    shares: tuple[float, ...] = (1.0,)


class Clock:
    """How long a run has trained, pictures and checkpoints not counted, and which of its milestones it has reached."""

    def __init__(self, milestones: Milestones, records: Iterable[Mapping[str, Any]] = (), trained: float = 0.0):
        self.milestones, self.trained = milestones, trained
        self.reached = [record["step"] for record in records if record.get("event") == EVENT]

    @contextmanager
    def running(self) -> Iterator[None]:
        """Counts the time inside as training."""
        began = time.monotonic()
        try:
            yield
        finally:
            self.trained += time.monotonic() - began

    @property
    def seconds(self) -> float:
        """How long the run has trained, in thousandths, rounded up: who reads it again has trained no less."""
        return math.ceil(self.trained * 1000) / 1000

    @property
    def is_over(self) -> bool:
        """Whether the run has trained for as long as it may."""
        return self.milestones.seconds is not None and self.trained >= self.milestones.seconds

    def reaches(self, step: int) -> bool:
        """Whether this step is a milestone, which is then counted as reached."""
        if self.milestones.seconds is None:
            return step in self.milestones.steps
        shares = self.milestones.shares
        passed = sum(self.trained >= share * self.milestones.seconds for share in shares)
        if passed <= len(self.reached):
            return False
        self.reached += [step] * (passed - len(self.reached))
        return True

    def forget_after(self, step: int) -> None:
        """Goes back to a step: what was reached later was not."""
        self.reached = [reached for reached in self.reached if reached <= step]

    def kept(self) -> list[int]:
        """The steps of the checkpoints that stay."""
        return [*self.milestones.steps, *self.reached]
