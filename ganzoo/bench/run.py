"""Runs `ganzoo bench`: plans the cells, checks the folder, runs the missing cells, and writes results and report."""

from __future__ import annotations

import gc
import os
from collections.abc import Sequence
from typing import Any

import torch

from ganzoo.bench import costs
from ganzoo.bench.cell import blank_row, mark_failed, run_cell
from ganzoo.bench.cells import Cell, Job, parse_shard
from ganzoo.bench.merge import write_outcome
from ganzoo.bench.plan_scoring import plan_scoring, sampling_cost
from ganzoo.bench.plan_training import plan_training
from ganzoo.bench.progress import Progress
from ganzoo.bench.protocol import plugins_of
from ganzoo.bench.request import Request
from ganzoo.bench.results import BenchFolder
from ganzoo.bench.row import Row, fingerprint
from ganzoo.bench.scorer import Scorer
from ganzoo.bench.train_cell import cache_costs, prune_checkpoints
from ganzoo.bench.worker import encoded_task
from ganzoo.bench.workers import Child, Forked, Fresh, can_fork, keep_freed_memory, run_all
from ganzoo.engine.device import set_threads
from ganzoo.errors import UsageError
from ganzoo.files.lock import FolderLock
from ganzoo.registry.registry import Registry
from ganzoo.runs.sample_monitor import real_images


def bench(request: Request, registry: Registry) -> list[Row]:
    """Runs all missing cells of a bench and returns its rows in the order of the plan.

    A cell that fails or diverges is a row, too. UsageError for an impossible request, before any file is written;
    InterruptedRun after a signal, when all cells have saved their state.
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
        for cell, row in found.items():  # a bench may have been killed after a row and before its pruning
            prune_checkpoints(row, folder.path / "runs" / cell.file)
        missing = [
            cell for cell in mine if cell not in found or (request.retry_failed and found[cell].status == "failed")
        ]
        progress = Progress(folder, job, mine, missing, _jobs(request), quiet=request.quiet)
        try:
            if missing:
                progress.announce()
                _fill(request, job, missing, folder, protocol, registry, scorer, progress)
        finally:  # a bench that is stopped leaves the report of its rows so far
            rows = folder.rewrite(plan, hashed)
            if rows:
                write_outcome(folder.path)
    return rows


def _plugins(cells: Sequence[Cell], registry: Registry) -> dict[str, dict[str, str]]:
    """Returns the versions of third-party plugins of every variant that is trained, by its name in tables."""
    return {
        name: plugins_of(cell.resolved(registry).variant, registry)
        for name, cell in {cell.name: cell for cell in cells if not cell.source and not cell.copied}.items()
    }


def _fill(
    request: Request,
    job: Job,
    missing: Sequence[Cell],
    folder: BenchFolder,
    protocol: dict[str, Any],
    registry: Registry,
    scorer: Scorer,
    progress: Progress,
) -> None:
    """Runs the missing cells, each in a process of its own."""
    hashed = fingerprint(protocol)

    def work(cell: Cell) -> None:
        set_threads(job.threads)
        folder.write_row(cell, run_cell(cell, job, hashed, registry, lambda: scorer))

    def finished(cell: Cell) -> None:
        row = folder.row(cell, hashed)
        if row is None:
            return lost(cell, "its process ended without a row")
        prune_checkpoints(row, folder.path / "runs" / cell.file)
        folder.append(row)
        progress.report(cell, row)

    def lost(cell: Cell, why: str) -> None:
        row = blank_row(cell, job, hashed)
        mark_failed(row, job, why)
        folder.write_row(cell, row)
        finished(cell)

    def start(cell: Cell) -> Child:
        if can_fork(job.device, job.threads):
            cache_costs(cell, job, registry)
            return Forked(lambda: work(cell))
        return Fresh(encoded_task(cell, job, fingerprint(protocol)))

    with progress:
        if request.ray:
            from ganzoo.bench.cluster import run_on_ray

            run_on_ray(request.ray, missing, job, protocol, finished=finished, lost=lost, update=progress.update)
        else:
            _warm_up()
            keep_freed_memory()
            if job.kind == "train" and job.sources is None:
                real_images(scorer.data)
            ordered = sorted(missing, key=lambda cell: -sampling_cost(cell, registry))
            gc.freeze()  # or else a collection in a forked child writes to, and so copies, every page that it inherited
            try:
                run_all(ordered, _jobs(request), start, finished=finished, lost=lost, update=progress.update)
            finally:
                gc.unfreeze()


def _jobs(request: Request) -> int:
    """Returns the number of cells at a time: as asked, else 1 for training and all cores for scoring."""
    cores = max(1, (os.cpu_count() or 1) // (request.options.threads or 1))
    return request.jobs or (1 if request.train or request.ray else cores)


def _warm_up() -> None:
    """Initializes optimizers, pictures and the machine's name once instead of in every child."""
    from PIL import Image

    torch.optim.Adam([torch.zeros(1, requires_grad=True)]).step()
    Image.preinit()
    costs.processor()
