"""Runs one cell in a fresh process: `python -m ganzoo.bench.worker`, or a worker of a Ray cluster."""

from __future__ import annotations

import json
import logging
import sys
import threading
from functools import cache
from pathlib import Path
from typing import Any

from ganzoo.bench.cell import run_cell
from ganzoo.bench.cells import Cell, Job
from ganzoo.bench.protocol import check_same, protocol_of
from ganzoo.bench.results import BenchFolder
from ganzoo.bench.row import Row
from ganzoo.bench.scorer import Scorer
from ganzoo.bench.workers import end_with_parent
from ganzoo.config.schema import from_json
from ganzoo.engine.device import set_threads
from ganzoo.errors import InterruptedRun
from ganzoo.files.streams import make_outputs_safe
from ganzoo.registry.registry import registry


def encoded_task(cell: Cell, job: Job, protocol: str) -> str:
    """Encodes a cell, its job and the fingerprint of the protocol as one line of JSON."""
    return json.dumps({"cell": cell.to_json(), "job": job.to_json(), "protocol": protocol})


def run_task(task: str, protocol: dict[str, Any] | None = None) -> tuple[Cell, Job, Row]:
    """Runs an encoded cell; returns it with its job and its row.

    UsageError if this machine would measure by another `protocol`.
    """
    asked = json.loads(task)
    cell, job = from_json(asked["cell"], Cell, "cell"), from_json(asked["job"], Job, "job")
    set_threads(job.threads)
    if protocol is not None:
        shapes = tuple((facts["size"], facts["channels"]) for facts in protocol["references"])
        check_same(protocol, _protocol(job, shapes), "This worker's bench")
    return cell, job, run_cell(cell, job, asked["protocol"], registry(), lambda: _scorer(job))


@cache
def _scorer(job: Job) -> Scorer:
    return Scorer(job, registry())


@cache
def _protocol(job: Job, shapes: tuple[tuple[int, int], ...]) -> dict[str, Any]:
    """Returns the protocol by which this process measures."""
    scorer = _scorer(job)
    references = [scorer.reference(*shape) for shape in shapes]
    second = scorer.second.extractor if scorer.second else None
    data = scorer.data if job.data else None
    return protocol_of(job, data, references, scorer.extractor, registry(), second, scorer.source_facts)


def main() -> int:
    """Runs the cell that the first line of input encodes, and writes its row; ends when the input is closed."""
    make_outputs_safe()
    logging.getLogger("ganzoo").addHandler(logging.NullHandler())  # the parent has printed these messages already
    task = sys.stdin.readline()
    threading.Thread(target=end_with_parent, args=(sys.stdin.read,), daemon=True).start()
    try:
        cell, job, row = run_task(task)
    except InterruptedRun as stop:
        return stop.exit_code
    BenchFolder(Path(job.folder)).write_row(cell, row)
    return 0


if __name__ == "__main__":
    sys.exit(main())
