"""`ganzoo bench` as a function: makes the plan, checks everything, does what is missing, and leaves the results in order."""

from __future__ import annotations

import gc
import os
from collections.abc import Sequence
from typing import Any

import torch

from ganzoo.bench import costs
from ganzoo.bench.cell import blank, fail, run_cell
from ganzoo.bench.merge import write_outcome
from ganzoo.bench.plan import Cell, Job, parse_shard
from ganzoo.bench.planning import effort, plan_scoring, plan_training
from ganzoo.bench.progress import Matrix
from ganzoo.bench.protocol import plugins_of
from ganzoo.bench.request import Request
from ganzoo.bench.results import BenchFolder
from ganzoo.bench.row import fingerprint
from ganzoo.bench.scorer import Scorer
from ganzoo.bench.trained import count_ahead, tidy
from ganzoo.bench.worker import described
from ganzoo.bench.workers import Child, Forked, Fresh, can_fork, keep_freed_memory, run_all
from ganzoo.engine.device import set_threads
from ganzoo.errors import UsageError
from ganzoo.files.lock import FolderLock
from ganzoo.registry.registry import Registry
from ganzoo.runs.sample_monitor import real_images


def bench(request: Request, registry: Registry) -> list[dict[str, Any]]:
    """Fills the folder of a bench and returns its rows in the order of the plan.

    A cell that fails or diverges is a row. UsageError for a request that cannot be met, before anything is made; InterruptedRun
    after a signal, when all cells have saved their state.
    """
    set_threads(request.options.threads)
    number, count = parse_shard(request.shard)
    if request.ray and request.jobs:
        raise UsageError("Give --jobs for this machine or --ray for a cluster, which knows its own size, not both.")
    job, cells, scorer, protocol = (plan_training if request.train else plan_scoring)(request, registry)
    hashed = fingerprint(protocol)
    folder = BenchFolder(request.out)
    folder.make()
    with FolderLock(folder.path):
        plan = folder.open(protocol, cells, _plugins(cells, registry))
        rows = folder.rewrite(plan, hashed)
        mine = cells[number - 1 :: count]
        found = {cell: row for cell in mine if (row := folder.row(cell, hashed)) is not None}
        for cell, row in found.items():  # whoever was killed between a row and this
            tidy(row, folder.path / "runs" / cell.file)
        missing = [
            cell for cell in mine if cell not in found or (request.retry_failed and found[cell]["status"] == "failed")
        ]
        matrix = Matrix(folder, job, mine, missing, _jobs(request), quiet=request.quiet)
        try:
            if missing:
                matrix.announce()
                _fill(request, job, missing, folder, protocol, registry, scorer, matrix)
        finally:  # whoever stops a bench sees what is there
            rows = folder.rewrite(plan, hashed)
            if rows:
                write_outcome(folder.path)
    return rows


def _plugins(cells: Sequence[Cell], registry: Registry) -> dict[str, dict[str, str]]:
    """Who else's code every variant that is to be trained is made of, by its name in tables."""
    return {
        name: plugins_of(cell.resolved(registry).variant, registry)
        for name, cell in {cell.name: cell for cell in cells if not cell.source}.items()
    }


def _fill(
    request: Request,
    job: Job,
    missing: Sequence[Cell],
    folder: BenchFolder,
    protocol: dict[str, Any],
    registry: Registry,
    scorer: Scorer,
    matrix: Matrix,
) -> None:
    """Does the missing cells, each in a process of its own."""
    hashed = fingerprint(protocol)

    def work(cell: Cell) -> None:
        set_threads(job.threads)
        folder.write_row(cell, run_cell(cell, job, hashed, registry, lambda: scorer))

    def finished(cell: Cell) -> None:
        row = folder.row(cell, hashed)
        if row is None:
            return lost(cell, "its process ended without a row")
        tidy(row, folder.path / "runs" / cell.file)
        folder.append(row)
        matrix.tell(cell, row)

    def lost(cell: Cell, why: str) -> None:
        row = blank(cell, job, hashed)
        fail(row, job, why)
        folder.write_row(cell, row)
        finished(cell)

    def start(cell: Cell) -> Child:
        if can_fork(job.device, job.threads):
            count_ahead(cell, job, registry)
            return Forked(lambda: work(cell))
        return Fresh(described(cell, job, fingerprint(protocol)))

    hearing = {"finished": finished, "lost": lost, "look": matrix.look}
    with matrix:
        if request.ray:
            from ganzoo.bench.cluster import run_on_ray

            run_on_ray(request.ray, missing, job, protocol, **hearing)
        else:
            _warm_up()
            keep_freed_memory()
            if job.kind == "train":
                real_images(scorer.data)
            gc.freeze()  # a collection in a forked child would write to, and so copy, every page of what it has inherited
            try:
                run_all(sorted(missing, key=lambda cell: -effort(cell, registry)), _jobs(request), start, **hearing)
            finally:
                gc.unfreeze()


def _jobs(request: Request) -> int:
    """Cells at a time: as asked, else one where times are measured that others would lengthen, and all cores for scoring."""
    return request.jobs or (
        1 if request.train or request.ray else max(1, (os.cpu_count() or 1) // (request.options.threads or 1))
    )


def _warm_up() -> None:
    """Does what optimizers, pictures and the machine's name need at their first use, once instead of in every child."""
    from PIL import Image

    torch.optim.Adam([torch.zeros(1, requires_grad=True)]).step()
    Image.preinit()
    costs.processor()
