"""One cell of a bench: trained or loaded, scored, and told in one row whatever became of it."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from ganzoo.bench import costs
from ganzoo.bench.plan import Cell, Job
from ganzoo.bench.protocol import plugins_of
from ganzoo.bench.scorer import Scorer
from ganzoo.config.recipe import bind_part
from ganzoo.errors import GanzooError, InterruptedRun
from ganzoo.files import pictures
from ganzoo.files.text import one_line
from ganzoo.models.load import load
from ganzoo.models.model import Model
from ganzoo.registry.registry import Registry
from ganzoo.variant import Part

FORMAT = 1
GRID = 8


def run_cell(cell: Cell, job: Job, protocol: str, registry: Registry, scorer: Callable[[], Scorer]) -> dict[str, Any]:
    """The row of a cell; raises only what stops the whole bench, which is a signal."""
    row = blank(cell, job, protocol)
    row["times"].update(
        started=datetime.now(UTC).isoformat(timespec="seconds"), machine=costs.machine(job.device, job.threads)
    )
    from ganzoo.bench.trained import fill_trained

    try:
        (fill_trained if job.kind == "train" else fill_pretrained)(row, cell, job, registry, scorer)
    except InterruptedRun:
        raise
    except Exception as error:
        fail(row, job, error)
    return row


def blank(cell: Cell, job: Job, protocol: str) -> dict[str, Any]:
    """A row that says nothing yet, its keys in their order."""
    return {
        "format": FORMAT,
        "protocol": protocol,
        "cell": {"name": cell.name, "variant": cell.variant, "data": cell.data, "seed": cell.seed},
        "kind": job.kind,
        "status": "done",
        "error": None,
        "collapsed": False,
        "events": [],
        "settings": list(cell.settings),
        "parts": {},
        "budget": job.budget,
        "points": [],
        "final": None,
        "best": None,
        "costs": dict.fromkeys(costs.COSTS),
        "samples": None,
        "weights_sha256": None,
        "times": {
            "training_seconds": None,
            "evaluation_seconds": None,
            "point_seconds": [],
            "training_images_per_second": None,
            "sampling_images_per_second": None,
            "peak_memory_bytes": None,
            "machine": None,
            "started": None,
        },
    }


def tell_plugins(row: dict[str, Any], plugins: dict[str, str]) -> None:
    """Says in the row what others wrote of what was trained, if anything; times stay its end."""
    if plugins:
        times = row.pop("times")
        row.update(plugins=plugins, times=times)


def fail(row: dict[str, Any], job: Job, error: BaseException | str) -> None:
    """Marks a row as failed, in one line that is the same wherever the bench lies."""
    text = error if isinstance(error, str) else one_line(error)
    if not isinstance(error, str | GanzooError):
        text = f"{type(error).__name__}: {text}"
    row.update(status="failed", error=text.replace(job.folder, "."))


def fill_pretrained(
    row: dict[str, Any], cell: Cell, job: Job, registry: Registry, scorer: Callable[[], Scorer]
) -> None:
    """Scores weights that are there already: a tag, a repository, a run or a folder."""
    model = load(cell.source, device=job.device)
    config = model.config
    parts = {
        "generator": config.generator,
        "discriminator": config.discriminator,
        "loss": _loss_of(config.training, registry),
    }
    roles = {role: bind_part(role, part, registry) for role, part in parts.items() if part is not None}
    row["parts"] = {**described(parts), "regularizers": [], "augmentation": None}
    tell_plugins(row, plugins_of(registry.get("variants", model.variant), registry))
    row["costs"] = costs.costs_of(roles, model.image)
    row["weights_sha256"] = config.weights.sha256 if config.weights else None
    began = time.monotonic()
    found = scorer().score(model, job.eval_images, cell.seed)
    row["events"] = [{"step": 0, "event": "metric", "text": text} for text in found.troubles]
    state = {"step": config.training.get("steps"), "images": None, "scores": found.values}
    row.update(final=state, best=state, samples=save_samples(model, cell, job))
    tell_evaluation(row, time.monotonic() - began, job.eval_images / found.drawing_seconds)
    row["times"]["peak_memory_bytes"] = costs.peak_memory(job.device)


def _loss_of(training: dict[str, Any], registry: Registry) -> Part | None:
    """The loss that a summary of the training names, as far as it says."""
    loss = training.get("loss")
    known = (
        isinstance(loss, dict)
        and loss.get("name") in registry.names("losses")
        and isinstance(loss.get("options"), dict)
    )
    return Part(loss["name"], loss["options"]) if known else None


def described(roles: dict[str, Part | None]) -> dict[str, str | None]:
    return {role: part.name if part else None for role, part in roles.items()}


def save_samples(model: Model, cell: Cell, job: Job) -> str:
    """Draws the grid of a row and returns its path in the bench's folder."""
    path = Path("samples") / f"{cell.file}.png"
    images = model.sample(GRID * GRID, cell.seed)
    (Path(job.folder) / path.parent).mkdir(exist_ok=True)
    pictures.save_picture(pictures.grid(images, GRID), Path(job.folder) / path)
    return path.as_posix()


def tell_evaluation(row: dict[str, Any], seconds: float, images_per_second: float | None) -> None:
    row["times"].update(evaluation_seconds=seconds, sampling_images_per_second=images_per_second)
