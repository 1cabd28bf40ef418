"""Runs the cells of a bench on an existing Ray cluster; their rows are those of a local run."""

from __future__ import annotations

import json
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from ganzoo.bench.cells import Cell, Job
from ganzoo.bench.results import BenchFolder, read_picture
from ganzoo.bench.workers import SAME_SIGNAL_SECONDS, Running
from ganzoo.errors import GanzooError, InterruptedRun, UsageError
from ganzoo.files.atomic import write_atomically
from ganzoo.files.strict_json import read_json
from ganzoo.runs.signals import GracefulShutdown

RETRIES = 3
WAIT_SECONDS = 0.2


def run_on_ray(
    address: str,
    cells: Sequence[Cell],
    job: Job,
    protocol: dict[str, Any],
    *,
    finished: Callable[[Cell], None],
    lost: Callable[[Cell, str], None],
    update: Callable[[Sequence[Running], Sequence[Cell]], None],
) -> None:
    """Submits every cell to the cluster and writes each row as it returns.

    A cell whose worker dies is tried three times more.

    A worker that can reach the folder of the bench trains in it, so that the next try resumes from its checkpoint;
    others train in a temporary folder. UsageError if Ray is missing, the cluster cannot be reached, or a worker has
    another protocol.
    """
    ray = _connected(address)
    from ganzoo.bench.row import fingerprint
    from ganzoo.bench.worker import encoded_task

    resources = {"num_cpus": job.threads, "num_gpus": 1 if torch.device(job.device).type == "cuda" else 0}
    work = ray.remote(max_retries=RETRIES, **resources)(run_remotely)
    folder = BenchFolder(Path(job.folder))
    began: dict[Cell, float] = {}
    tasks = {work.remote(encoded_task(cell, job, fingerprint(protocol)), json.dumps(protocol)): cell for cell in cells}
    with GracefulShutdown(SAME_SIGNAL_SECONDS) as signals:
        try:
            while tasks and not signals.number:
                update(*_in_turn(list(tasks.values()), _room(ray.cluster_resources(), resources), began))
                for task in ray.wait(list(tasks), timeout=WAIT_SECONDS)[0]:
                    _receive(ray, task, tasks.pop(task), folder, finished, lost)
        finally:
            for task in tasks:
                ray.cancel(task)
            ray.shutdown()
    if signals.number:
        raise InterruptedRun("Stopped; the same command goes on.", signals.number)


def _room(there: Mapping[str, float], asked: Mapping[str, int]) -> int:
    """Returns how many tasks fit into these resources at a time, at least 1."""
    names = {"num_cpus": "CPU", "num_gpus": "GPU"}
    return max(1, min(int(there.get(names[key], 0) // number) for key, number in asked.items() if number))


def _in_turn(cells: list[Cell], room: int, began: dict[Cell, float]) -> tuple[list[Running], list[Cell]]:
    """Returns the cells that run and those that wait, since Ray starts tasks in order.

    `began` keeps the starting times.
    """
    for cell in cells[:room]:
        began.setdefault(cell, time.monotonic())
    return [Running(cell, None, began[cell]) for cell in cells[:room]], cells[room:]


def _connected(address: str) -> Any:
    try:
        import ray
    except ImportError:
        raise UsageError(
            "--ray needs the package ray: install ganzoo with its extra, pip install -e '.[ray]'."
        ) from None
    try:
        ray.init(address=address, log_to_driver=False, configure_logging=False)
    except (ConnectionError, ValueError, RuntimeError) as error:
        raise UsageError(f"--ray {address}: {' '.join(str(error).split())[:200]}") from None
    return ray


def _receive(
    ray: Any,
    task: Any,
    cell: Cell,
    folder: BenchFolder,
    finished: Callable[[Cell], None],
    lost: Callable[[Cell, str], None],
) -> None:
    """Writes the row and the picture that a task returned, or reports the cell as lost."""
    try:
        answer = ray.get(task)
    except ray.exceptions.RayTaskError as error:
        raise UsageError(
            f"A worker of the cluster cannot do '{cell.name}': {' '.join(str(error.cause).split())[:500]}"
        ) from None
    except ray.exceptions.RayError as error:
        lost(cell, f"its worker was lost {RETRIES + 1} times ({type(error).__name__})")
        return
    if answer["picture"] is not None:
        (folder.path / "samples").mkdir(exist_ok=True)
        write_atomically(folder.path / "samples" / f"{cell.file}.png", answer["picture"])
    folder.write_row(cell, answer["row"])
    finished(cell)


def run_remotely(task: str, protocol: str) -> dict[str, Any]:
    """Runs a cell on a worker of the cluster; returns its `row` and the bytes of its `picture`."""
    from ganzoo.bench.worker import run_task

    asked = json.loads(task)
    with tempfile.TemporaryDirectory(prefix="ganzoo-") as own:
        if not _shares(Path(asked["job"]["folder"]), json.loads(protocol)):
            asked["job"]["folder"] = own
        cell, job, row = run_task(json.dumps(asked), json.loads(protocol))
        return {"row": row, "picture": read_picture(Path(job.folder), row.samples) if row.samples else None}


def _shares(folder: Path, protocol: dict[str, Any]) -> bool:
    """Returns True if the folder of the bench can be reached from here and has this protocol."""
    try:
        return read_json(folder / "protocol.json") == protocol
    except (GanzooError, OSError):
        return False
