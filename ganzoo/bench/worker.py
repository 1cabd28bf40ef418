"""A cell in a process that shares nothing with the one that asked for it: `python -m ganzoo.bench.worker`, or a worker of a cluster."""

from __future__ import annotations

import json
import logging
import sys
import threading
from functools import cache
from typing import Any

from ganzoo.bench.cell import run_cell
from ganzoo.bench.plan import Cell, Job
from ganzoo.bench.protocol import check_same, protocol_of
from ganzoo.bench.results import BenchFolder
from ganzoo.bench.scorer import Scorer
from ganzoo.bench.workers import end_with_parent
from ganzoo.config.schema import from_json
from ganzoo.engine.device import set_threads
from ganzoo.errors import InterruptedRun
from ganzoo.registry.registry import registry


def described(cell: Cell, job: Job, protocol: str) -> str:
    """What a process apart must be told, as one line."""
    return json.dumps({"cell": cell.to_json(), "job": job.to_json(), "protocol": protocol})


def row_of(words: str, protocol: dict[str, Any] | None = None) -> tuple[Cell, Job, dict[str, Any]]:
    """Does the cell that is described; returns it with its job and its row. UsageError if things here would make `protocol` another."""
    asked = json.loads(words)
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
    """What this process would write as protocol.json."""
    scorer = _scorer(job)
    references = [scorer.reference(*shape) for shape in shapes]
    return protocol_of(job, scorer.data if job.data else None, references, scorer.extractor, registry())


def main() -> int:
    """Does the cell that the first line of input describes, and writes its row; the end of the input is the end of the parent."""
    logging.getLogger("ganzoo").addHandler(logging.NullHandler())  # the bench that asked for the cell has said it all
    words = sys.stdin.readline()
    threading.Thread(target=end_with_parent, args=(sys.stdin.read,), daemon=True).start()
    try:
        cell, job, row = row_of(words)
    except InterruptedRun as stop:
        return stop.exit_code
    BenchFolder(job.folder).write_row(cell, row)
    return 0


if __name__ == "__main__":
    sys.exit(main())
