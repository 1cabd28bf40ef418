"""How long a run trains, and the steps on its way whose checkpoints are kept for scoring."""

from __future__ import annotations

import math
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

EVENT = "point"


@dataclass(frozen=True)
class Budget:
    """The points of a run whose checkpoints are kept for good: `steps`, or `shares` of a time after which the run ends.

    `seconds` is that time, of training alone; the shares increase. Each process measures its own time, so that a run of
    several processes has no budget of seconds.
    """

    steps: tuple[int, ...] = ()
    seconds: float | None = None
    shares: tuple[float, ...] = (1.0,)


class TrainingClock:
    """Measures the seconds of training, without those of samples and checkpoints, and which points were reached.

    `records` of metrics.jsonl and `trained` seconds continue an earlier measurement.
    """

    def __init__(self, budget: Budget, records: Iterable[Mapping[str, Any]] = (), trained: float = 0.0):
        self.budget, self.trained = budget, trained
        self.reached: list[int] = [record["step"] for record in records if record.get("event") == EVENT]

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
        """The seconds of training in thousandths, rounded up: a resumed run must not have trained less."""
        return math.ceil(self.trained * 1000) / 1000

    @property
    def is_over(self) -> bool:
        """True if the seconds of the budget are used up."""
        return self.budget.seconds is not None and self.trained >= self.budget.seconds

    def reaches(self, step: int) -> bool:
        """True if this step is a point of the budget; it then counts as reached."""
        if self.budget.seconds is None:
            return step in self.budget.steps
        passed = sum(self.trained >= share * self.budget.seconds for share in self.budget.shares)
        if passed <= len(self.reached):
            return False
        self.reached += [step] * (passed - len(self.reached))
        return True

    def forget_after(self, step: int) -> None:
        """Drops the points that were reached after a step."""
        self.reached = [reached for reached in self.reached if reached <= step]

    def kept(self) -> list[int]:
        """The steps whose checkpoints are kept."""
        return [*self.budget.steps, *self.reached]
