"""Shows the progress of a bench: the cells that are done, those that run, and the time that is left."""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from statistics import mean

from ganzoo.bench.cells import Cell, Job
from ganzoo.bench.results import BenchFolder
from ganzoo.bench.row import Row
from ganzoo.bench.workers import Running
from ganzoo.files.streams import say
from ganzoo.files.text import printable
from ganzoo.runs.folder import RunFolder
from ganzoo.runs.progress import clock

SECONDS_BETWEEN_UPDATES = 1.0


class Progress:
    """Prints a line for each cell that ends, with the time that is left; on a terminal also a status line."""

    def __init__(
        self, folder: BenchFolder, job: Job, cells: Sequence[Cell], missing: Sequence[Cell], jobs: int, *, quiet: bool
    ):
        self._folder, self._job, self._jobs, self._quiet = folder, job, jobs, quiet
        self._total, self._done, self._missing = len(cells), len(cells) - len(missing), len(missing)
        self._took: dict[str, list[float]] = {}
        self._began: dict[Cell, float] = {}
        self._updated = 0.0
        self._running: Sequence[Cell] = ()
        self._waiting: Sequence[Cell] = ()
        self._at_once = jobs
        self._line = not quiet and sys.stderr is not None and sys.stderr.isatty()

    def __enter__(self) -> Progress:
        return self

    def __exit__(self, *error: object) -> None:
        self._show("")

    def announce(self) -> None:
        """Prints how many cells there are to do."""
        if not self._quiet:
            at_once = f", {self._jobs} at a time" if self._jobs > 1 else ""
            report = self._folder.path / "report.html"
            say(f"{self._missing} of {self._total} cells to do{at_once}; {report} comes at the end")

    def update(self, running: Sequence[Running], waiting: Sequence[Cell]) -> None:
        """Rewrites the status line, at most once a second."""
        now = time.monotonic()
        for one in running:
            self._began.setdefault(one.cell, one.began)
        self._running, self._waiting = [one.cell for one in running], list(waiting)
        if running:  # a cell waits only while no more can run: so many run at a time, whatever --jobs says
            self._at_once = len(running) if waiting else max(len(running), self._at_once)
        if not self._line or now - self._updated < SECONDS_BETWEEN_UPDATES:
            return
        self._updated = now
        shares = self._shares()
        words = ", ".join(f"{cell.name} seed {cell.seed} {100 * share:.0f} %" for cell, share in shares.items())
        left = self._left(shares, waiting, now)
        self._show(f"{self._done}/{self._total} cells  {words}" + (f"  {clock(left)} left" if left is not None else ""))

    def report(self, cell: Cell, row: Row) -> None:
        """Counts a cell that has ended, and prints its result."""
        self._done += 1
        seconds = time.monotonic() - self._began.get(cell, time.monotonic())
        self._took.setdefault(cell.name, []).append(seconds)
        if self._quiet:
            return
        label, value = next(iter(row.final.scores.items())) if row.final else ("", None)
        result = row.error or ("no finite score" if value is None else f"{label} {value:.4g}")
        outcome = f"{row.status}{' (collapsed)' if row.collapsed else ''} after {clock(seconds)}  {result}"
        self._running = [other for other in self._running if other != cell]
        left = self._left(self._shares(), self._waiting, time.monotonic()) if self._done < self._total else None
        rest = "" if left is None else f"  ({clock(left)} left)"
        self._show("")
        say(f"{self._done}/{self._total}  {cell.name} seed {cell.seed}: {printable(outcome)}{rest}")

    def _shares(self) -> dict[Cell, float]:
        return {cell: self._share(cell) for cell in self._running}

    def _left(self, shares: dict[Cell, float], waiting: Sequence[Cell], now: float) -> float | None:
        """Estimates the seconds to the end, from cells of the same name, else from all.

        None if no cell has ended, or none is left.
        """
        expected = {name: mean(values) for name, values in self._took.items()}
        for cell, share in shares.items():
            if share > 0.02 and cell.name not in expected:
                expected[cell.name] = (now - self._began[cell]) / share
        if not expected:
            return None
        usual = mean(expected.values())
        each = [expected.get(cell.name, usual) for cell in waiting]
        each += [expected.get(cell.name, usual) * (1 - share) for cell, share in shares.items()]
        return max(sum(each) / min(self._at_once, len(each)), *each) if each else None

    def _share(self, cell: Cell) -> float:
        """Returns the share of a cell's training that is done, from its records; scoring is not counted."""
        records = RunFolder(self._folder.path / "runs" / cell.file).records()
        if not records or self._job.budget is None:
            return 0.0
        ((name, whole),) = self._job.budget.items()
        key, scale = {"steps": ("step", 1), "images": ("images", 1), "minutes": ("seconds", 60)}[name]
        return min(1.0, max(record.get(key, 0) for record in records) / (scale * whole))

    def _show(self, text: str) -> None:
        if self._line:
            say(f"\r\x1b[K{text}", end="")
