"""Runs one cell of a bench: trains or loads its generator, scores it, and returns one row whatever happens."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime

from ganzoo.bench.cells import Cell, Job
from ganzoo.bench.costs import machine
from ganzoo.bench.row import FORMAT, CellKey, Row
from ganzoo.bench.score_pretrained import score_copy, score_pretrained
from ganzoo.bench.scorer import Scorer
from ganzoo.bench.train_cell import train_and_score
from ganzoo.errors import GanzooError, InterruptedRun
from ganzoo.files.text import one_line
from ganzoo.registry.registry import Registry


def run_cell(cell: Cell, job: Job, protocol: str, registry: Registry, scorer: Callable[[], Scorer]) -> Row:
    """Returns the row of a cell; raises InterruptedRun alone, which stops the whole bench."""
    row = blank_row(cell, job, protocol)
    row.times.started = datetime.now(UTC).isoformat(timespec="seconds")
    row.times.machine = machine(job.device, job.threads)
    try:
        work = score_copy if cell.copied else train_and_score if job.kind == "train" else score_pretrained
        work(row, cell, job, registry, scorer)
    except InterruptedRun:
        raise
    except Exception as error:
        mark_failed(row, job, error)
    return row


def blank_row(cell: Cell, job: Job, protocol: str) -> Row:
    """Returns the row of a cell before anything was done."""
    key = CellKey(cell.name, cell.variant, cell.data, cell.seed)
    return Row(FORMAT, protocol, key, job.kind, "done", settings=cell.settings, budget=job.budget)


def mark_failed(row: Row, job: Job, error: BaseException | str) -> None:
    """Marks a row as failed, with an error in one line that does not name the folder of the bench."""
    text = error if isinstance(error, str) else one_line(error)
    if not isinstance(error, str | GanzooError):
        text = f"{type(error).__name__}: {text}"
    row.status, row.error = "failed", text.replace(job.folder, ".")
