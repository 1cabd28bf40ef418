"""A cell that is trained: the run, the scores of its points, the best of them and its end."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from ganzoo.bench import costs
from ganzoo.bench.cell import described, save_samples, tell_evaluation, tell_plugins
from ganzoo.bench.plan import Cell, Job
from ganzoo.bench.protocol import plugins_of, ranking
from ganzoo.bench.scorer import Scorer
from ganzoo.checkpoints.checkpoint import list_checkpoints, retain
from ganzoo.checkpoints.manifest import folder_name, is_whole, read_manifest
from ganzoo.config.options import TrainOptions
from ganzoo.config.recipe import BoundPart, Recipe
from ganzoo.errors import DivergedError
from ganzoo.files.atomic import move_aside, remove
from ganzoo.files.text import one_line
from ganzoo.models.load import load
from ganzoo.models.model import Model
from ganzoo.registry.registry import Registry
from ganzoo.runs.budget import EVENT, Budget
from ganzoo.runs.folder import RunFolder
from ganzoo.runs.request import Intervals, Request
from ganzoo.runs.train import steps_for, train
from ganzoo.variant import ImageSpec, Variant

ROLES = ("generator", "discriminator", "loss")
TOLD = ("collapse", "diverged", "rollback")
ENDLESS = 10**9


@contextmanager
def warnings_of(logger: str) -> Iterator[list[str]]:
    """Collects the warnings of one logger, and keeps all messages of ganzoo off the terminal meanwhile."""
    lines: list[str] = []

    class Collect(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            if record.name == logger and record.levelno >= logging.WARNING:
                lines.append(record.getMessage())

    root = logging.getLogger("ganzoo")
    handlers, propagate = root.handlers, root.propagate
    root.handlers, root.propagate = [Collect()], False
    try:
        yield lines
    finally:
        root.handlers, root.propagate = handlers, propagate


def fill_trained(row: dict[str, Any], cell: Cell, job: Job, registry: Registry, scorer: Callable[[], Scorer]) -> None:
    """Trains, or goes on with a training, and scores it; a divergence is told in the row, with the points before it."""
    recipe = cell.resolved(registry)
    variant = recipe.variant
    roles, image = _made_of(recipe, cell, job)
    others = {
        "regularizers": [part.name for part in variant.regularizers],
        **described({"augmentation": variant.augmentation}),
    }
    row["parts"] = {**described({role: getattr(variant, role) for role in ROLES}), **others}
    tell_plugins(row, plugins_of(variant, registry))
    row["costs"] = costs.remembered(roles, image)
    folder = RunFolder(Path(job.folder) / "runs" / cell.file)
    steps = _steps(recipe, image, job)
    planned = _points(steps, job.points) if job.minutes is None else ()
    _begin_anew_without_its_points(folder, planned)
    try:
        with warnings_of("ganzoo.engine.build") as warnings:
            train(_request(cell, job, folder, steps, planned), registry, scorer().data)
    except DivergedError as error:
        row.update(status="diverged", error=_divergence(folder) or one_line(error))
    _tell_training(row, folder, warnings)
    _tell_unused(row, job, variant, folder)
    row["times"]["peak_memory_bytes"] = costs.peak_memory(
        job.device
    )  # of the training: what scoring takes depends on the metrics
    began = time.monotonic()
    judged = _Judged(row, cell, job, folder, scorer())
    judged.fill([*planned, *(record["step"] for record in folder.records() if record.get("event") == EVENT)])
    tell_evaluation(row, time.monotonic() - began, judged.speed)


def tidy(row: dict[str, Any], run: Path) -> None:
    """Deletes the checkpoints of points that the row of a cell, which is safe by now, has told; the best, the last and the one before stay.

    Of a cell that failed all stay: it may be scored again.
    """
    if row["points"] and row["status"] != "failed":
        retain(RunFolder(run).checkpoints, 2, {state["step"] for state in (row["best"], row["final"]) if state})


def _begin_anew_without_its_points(folder: RunFolder, planned: tuple[int, ...]) -> None:
    """Removes a run that cannot be scored as its protocol says: the checkpoints of its points were deleted before its row got lost, or are damaged."""
    there = {step for step, path in list_checkpoints(folder.checkpoints) if is_whole(path)}
    passed = {record["step"] for record in folder.records() if record.get("event") == EVENT} or set(planned)
    if there and {step for step in passed if step <= max(there)} - there:
        remove(move_aside(folder.path, "trash"))


def _made_of(recipe: Recipe, cell: Cell, job: Job) -> tuple[dict[str, BoundPart], ImageSpec]:
    """The parts of a cell's variant by role, and the images it draws."""
    labelled = recipe.variant.labels == "required" or cell.conditional
    image = ImageSpec(job.image_size, job.channels, job.classes if labelled else 0)
    return {role: recipe.parts[role] for role in ROLES if role in recipe.parts}, image


def count_ahead(cell: Cell, job: Job, registry: Registry) -> None:
    """Counts what a cell that is trained costs in the process that will be forked for it: the next seed need not. A cell whose networks
    cannot be built says so itself."""
    if job.kind == "train":
        with suppress(Exception):
            costs.remembered(*_made_of(cell.resolved(registry), cell, job))


def _steps(recipe: Recipe, image: ImageSpec, job: Job) -> int:
    """The length of the run: within a limited time as good as none, unless schedules are measured by the card's."""
    if job.minutes is not None:
        return recipe.training.steps if recipe.training.schedules else ENDLESS
    return job.steps if job.steps is not None else steps_for(job.images, recipe, image)


def _points(steps: int, points: int) -> tuple[int, ...]:
    """The ends of `points` equal parts of a run, each a whole step."""
    return tuple(dict.fromkeys(-(-steps * number // points) for number in range(1, points + 1)))


def _request(cell: Cell, job: Job, folder: RunFolder, steps: int, planned: tuple[int, ...]) -> Request:
    budget = Budget(steps=planned)
    if job.minutes is not None:
        shares = tuple(number / job.points for number in range(1, job.points + 1))
        budget = Budget(seconds=60 * job.minutes, shares=shares)
    options = TrainOptions(
        data=job.data,
        data_root=Path(job.data_root) if job.data_root else None,
        image_size=job.image_size,
        channels=job.channels,
        conditional=cell.conditional,
        steps=steps,
        settings=cell.settings,
        mixins=cell.mixins,
        precision=job.precision,
        device=job.device,
        threads=job.threads,
    )
    return Request(
        out=folder.path,
        variant=cell.variant,
        options=options,
        seed=cell.seed,
        intervals=Intervals(keep=2, budget=budget),
        resume=folder.config.exists(),
        quiet=True,
    )


def _divergence(folder: RunFolder) -> str | None:
    """What the run's records say of its end: the error itself names folders, and rows must not."""
    return next((record["text"] for record in reversed(folder.records()) if record.get("event") == "diverged"), None)


def _tell_training(row: dict[str, Any], folder: RunFolder, warnings: list[str]) -> None:
    """Fills in the events of a run: warnings before its first step, and what its metrics.jsonl records."""
    records = folder.records()
    row["events"] = [{"step": 0, "event": "warning", "text": text} for text in warnings]
    row["events"] += [
        {key: record[key] for key in ("step", "event", "text")} for record in records if record.get("event") in TOLD
    ]
    row["collapsed"] = any(event["event"] == "collapse" for event in row["events"])
    seconds, images = folder.seconds(), max((record.get("images", 0) for record in records), default=0)
    row["times"].update(training_seconds=seconds, training_images_per_second=images / seconds if seconds else None)


def _tell_unused(row: dict[str, Any], job: Job, variant: Variant, folder: RunFolder) -> None:
    """An event for a run that its schedules ended before its time was over."""
    steps = variant.training.steps
    reached = max((record["step"] for record in folder.records()), default=0)
    if job.minutes is None or row["status"] != "done" or reached < steps or folder.seconds() >= 60 * job.minutes:
        return
    text = f"ended at step {steps}, where its schedules end, before its time was over: training.steps sets their length"
    row["events"].append({"step": steps, "event": "short", "text": text})


class _Judged:
    """Fills in the scores of a run."""

    def __init__(self, row: dict[str, Any], cell: Cell, job: Job, folder: RunFolder, scorer: Scorer):
        self.row, self.cell, self.job, self.folder, self.scorer = row, cell, job, folder, scorer
        self.looks = {record["step"]: record for record in folder.records() if "samples" in record}
        self._drawn, self._seconds = 0, 0.0
        self._loaded: tuple[int, Model] | None = None

    @property
    def speed(self) -> float | None:
        """Images a second that the generator drew."""
        return self._drawn / self._seconds if self._seconds else None

    def fill(self, planned: list[int]) -> None:
        """Scores what was reached of the planned points with few images, the best of them and the end with all."""
        row, job = self.row, self.job
        there = [step for step, _ in list_checkpoints(self.folder.checkpoints)]
        done = row["status"] == "done"
        reached = sorted({step for step in planned if step in there} | set(there[:1] if done else []))
        row["points"] = [self._scored(step, job.point_images) for step in reached]
        row["times"]["point_seconds"] = [self.looks[step]["seconds"] for step in reached]
        best = self._best()
        if done:
            last = reached[-1]
            row["final"] = self._scored(last, job.eval_images)
            row["samples"] = save_samples(self._model(last), self.cell, job)
            row["weights_sha256"] = _weights_hash(self.folder.checkpoints / folder_name(last))
        if best is not None:
            row["best"] = row["final"] if done and best == last else self._scored(best, job.eval_images)

    def _scored(self, step: int, images: int) -> dict[str, Any]:
        found = self.scorer.score(self._model(step), images, self.cell.seed)
        told = {event["text"] for event in self.row["events"]}
        self.row["events"] += [
            {"step": step, "event": "metric", "text": text} for text in found.troubles if text not in told
        ]
        self._drawn, self._seconds = self._drawn + images, self._seconds + found.drawing_seconds
        return {"step": step, "images": self.looks[step]["images"], "scores": found.values}

    def _model(self, step: int) -> Model:
        """The generator of a step; the one that was asked for last is kept."""
        if self._loaded is None or self._loaded[0] != step:
            self._loaded = step, load(self.folder.checkpoints / folder_name(step), device=self.job.device)
        return self._loaded[1]

    def _best(self) -> int | None:
        """The step of the point that ranks first, the earliest of equal ones."""
        name = f"{ranking(self.job.metrics)}[{self.scorer.extractor.name}]"
        ranked = [
            (point["scores"][name], point["step"]) for point in self.row["points"] if point["scores"][name] is not None
        ]
        return min(ranked)[1] if ranked else None


def _weights_hash(checkpoint: Path) -> str:
    """The sha256 of the file of the generator that was scored: its average, where there is one."""
    files = read_manifest(checkpoint)["files"]
    return files.get("generator_ema.safetensors", files["generator.safetensors"])["sha256"]
