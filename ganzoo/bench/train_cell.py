"""Trains a cell of a bench and scores it: at the points of its budget, the best of them, and the end."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from ganzoo.bench import costs
from ganzoo.bench.cells import Cell, Job
from ganzoo.bench.protocol import plugins_of, ranking_of
from ganzoo.bench.row import Event, Row, Score, part_names
from ganzoo.bench.scorer import Scorer, save_samples
from ganzoo.checkpoints.checkpoint import list_checkpoints, retain
from ganzoo.checkpoints.manifest import folder_name, is_whole, read_manifest
from ganzoo.config.options import TrainOptions
from ganzoo.config.recipe import BoundPart, Recipe
from ganzoo.errors import DivergedError
from ganzoo.files.atomic import move_aside, remove
from ganzoo.files.text import one_line
from ganzoo.metrics.directions import direction
from ganzoo.models.load import load
from ganzoo.models.model import Model
from ganzoo.registry.registry import Registry
from ganzoo.runs.budget import EVENT, Budget
from ganzoo.runs.folder import RunFolder
from ganzoo.runs.request import Intervals, Request
from ganzoo.runs.train import steps_for, train
from ganzoo.variant import ImageSpec, SampleSpec, Variant

ROLES = ("generator", "discriminator", "loss")
RECORDED = ("collapse", "diverged", "rollback")
ENDLESS = 10**9


@contextmanager
def warnings_of(logger: str) -> Iterator[list[str]]:
    """Collects the warnings of one logger while all messages of ganzoo are kept off the terminal."""
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


def train_and_score(row: Row, cell: Cell, job: Job, registry: Registry, scorer: Callable[[], Scorer]) -> None:
    """Trains the cell, or resumes its run, scores its checkpoints, and fills in its row.

    A divergence is recorded in the row, with the scores of the points before it.
    """
    recipe = cell.resolved(registry)
    variant = recipe.variant
    roles, image = _roles_and_image(recipe, cell, job)
    row.parts = {
        **part_names({role: getattr(variant, role) for role in ROLES}),
        "regularizers": [part.name for part in variant.regularizers],
        **part_names({"augmentation": variant.augmentation}),
    }
    row.plugins = plugins_of(variant, registry)
    row.costs = costs.cached_costs(roles, image)
    folder = RunFolder(Path(job.folder) / "runs" / cell.file)
    steps = _steps(recipe, image, job)
    planned = _points(steps, job.points) if job.minutes is None else ()
    _discard_run_without_its_points(folder, planned)
    try:
        with warnings_of("ganzoo.engine.build") as warnings:
            given = None if job.sources else scorer().data  # those with sources differ in size by variant
            train(_request(cell, job, folder, steps, planned), registry, given)
    except DivergedError as error:
        row.status, row.error = "diverged", _divergence(folder) or one_line(error)
    row.events = [*scorer().remarks(image.size, image.channels), *_events(folder, warnings)]
    row.collapsed = any(event.event == "collapse" for event in row.events)
    row.events += _ended_early(row, job, variant, folder)
    row.times.training_seconds = seconds = folder.seconds()
    images = max((record.get("images", 0) for record in folder.records()), default=0)
    row.times.training_images_per_second = images / seconds if seconds else None
    row.times.peak_memory_bytes = costs.peak_memory(job.device)  # before scoring, whose memory depends on the metrics
    began = time.monotonic()
    scores = _RunScorer(row, cell, job, folder, scorer())
    scores.score([*planned, *(record["step"] for record in folder.records() if record.get("event") == EVENT)])
    row.times.evaluation_seconds = time.monotonic() - began
    row.times.sampling_images_per_second = scores.sampling_images_per_second


def prune_checkpoints(row: Row, run: Path) -> None:
    """Deletes the checkpoints of points whose scores are safe in the row; the best, the last and the one before stay.

    A cell that failed keeps all: it may be scored again.
    """
    if row.points and row.status != "failed":
        best_and_final = {score.step for score in (row.best, row.final) if score and score.step is not None}
        retain(RunFolder(run).checkpoints, 2, best_and_final)


def _discard_run_without_its_points(folder: RunFolder, planned: tuple[int, ...]) -> None:
    """Removes a run whose points cannot all be scored, because their checkpoints are deleted or damaged."""
    there = {step for step, path in list_checkpoints(folder.checkpoints) if is_whole(path)}
    passed = {record["step"] for record in folder.records() if record.get("event") == EVENT} or set(planned)
    if there and {step for step in passed if step <= max(there)} - there:
        remove(move_aside(folder.path, "trash"))


def _roles_and_image(recipe: Recipe, cell: Cell, job: Job) -> tuple[dict[str, BoundPart], SampleSpec]:
    """Returns the parts of a cell's variant by role, and the shape of its images."""
    labelled = recipe.variant.labels == "required" or cell.conditional
    assert job.image_size is not None and job.channels is not None
    classes = job.classes if labelled else 0
    make = ImageSpec if job.sources is None else job.sources.spec
    image = make(job.image_size, job.channels, classes)
    return {role: recipe.parts[role] for role in ROLES if role in recipe.parts}, image


def cache_costs(cell: Cell, job: Job, registry: Registry) -> None:
    """Counts a cell's costs in the process that will be forked, so that they are counted once for all seeds."""
    if job.kind == "train":
        with suppress(Exception):  # the cell's own row will state why its networks cannot be built
            costs.cached_costs(*_roles_and_image(cell.resolved(registry), cell, job))


def _steps(recipe: Recipe, image: SampleSpec, job: Job) -> int:
    """Returns the length of the run: no limit for a budget of minutes, unless schedules need the variant's own."""
    if job.minutes is not None:
        return recipe.training.steps if recipe.training.schedules else ENDLESS
    if job.steps is not None:
        return job.steps
    assert job.images is not None
    return steps_for(job.images, recipe, image)


def _points(steps: int, points: int) -> tuple[int, ...]:
    """Returns the last steps of `points` equal parts of a run."""
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
    if job.sources is not None:
        options = job.sources.added_to(options)
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
    """Returns the run's own record of a divergence: the error names folders, which rows must not."""
    return next((record["text"] for record in reversed(folder.records()) if record.get("event") == "diverged"), None)


def _events(folder: RunFolder, warnings: list[str]) -> list[Event]:
    """Returns warnings before the first step, then the events that the run's metrics.jsonl records."""
    recorded = [record for record in folder.records() if record.get("event") in RECORDED]
    return [
        *(Event(0, "warning", text) for text in warnings),
        *(Event(record["step"], record["event"], record["text"]) for record in recorded),
    ]


def _ended_early(row: Row, job: Job, variant: Variant, folder: RunFolder) -> list[Event]:
    """Returns one event if the run's schedules ended before its time was over, else none."""
    steps = variant.training.steps
    reached = max((record["step"] for record in folder.records()), default=0)
    if job.minutes is None or row.status != "done" or reached < steps or folder.seconds() >= 60 * job.minutes:
        return []
    text = f"ended at step {steps}, where its schedules end, before its time was over: training.steps sets their length"
    return [Event(steps, "short", text)]


class _RunScorer:
    """Scores the checkpoints of a run and fills in its row."""

    def __init__(self, row: Row, cell: Cell, job: Job, folder: RunFolder, scorer: Scorer):
        self.row, self.cell, self.job, self.folder, self.scorer = row, cell, job, folder, scorer
        self.records = {record["step"]: record for record in folder.records() if "samples" in record}
        self._sampled, self._seconds = 0, 0.0
        self._loaded: tuple[int, Model] | None = None

    @property
    def sampling_images_per_second(self) -> float | None:
        """Images that the generator sampled a second; None before the first."""
        return self._sampled / self._seconds if self._seconds else None

    def score(self, planned: list[int]) -> None:
        """Scores the planned points that were reached with few images, the best of them and the end with all."""
        row, job = self.row, self.job
        there = [step for step, _ in list_checkpoints(self.folder.checkpoints)]
        done = row.status == "done"
        reached = sorted({step for step in planned if step in there} | set(there[:1] if done else []))
        row.points = [self._scored(step, job.point_images) for step in reached]
        row.times.point_seconds = [self.records[step]["seconds"] for step in reached]
        best = self._best_step()
        if done:
            last = reached[-1]
            row.final = self._scored(last, job.eval_images)
            row.samples = save_samples(self._model(last), self.cell, job, self.scorer)
            row.weights_sha256 = _weights_hash(self.folder.checkpoints / folder_name(last))
        if best is not None:
            row.best = row.final if done and best == last else self._scored(best, job.eval_images)

    def _scored(self, step: int, images: int) -> Score:
        found = self.scorer.score(self._model(step), images, self.cell.seed)
        known = {event.text for event in self.row.events}
        self.row.events += [Event(step, "metric", text) for text in found.errors if text not in known]
        self._sampled, self._seconds = self._sampled + images, self._seconds + found.sampling_seconds
        return Score(step, self.records[step]["images"], found.scores)

    def _model(self, step: int) -> Model:
        """Loads the generator of a step; keeps the one that was used last."""
        if self._loaded is None or self._loaded[0] != step:
            self._loaded = step, load(self.folder.checkpoints / folder_name(step), device=self.job.device)
        return self._loaded[1]

    def _best_step(self) -> int | None:
        """Returns the step of the point that ranks first, the earliest of equal ones; None if none has a score."""
        name = ranking_of(self.job, self.scorer.extractor.name)
        sign = -(direction(name) or -1)  # the lowest where the direction is unknown
        ranked = [
            (sign * value, score.step)
            for score in self.row.points
            if (value := score.scores[name]) is not None and score.step is not None
        ]
        return min(ranked)[1] if ranked else None


def _weights_hash(checkpoint: Path) -> str | None:
    """Returns the sha256 of the scored generator's file: the moving average where there is one.

    None of a generator without parameters, which has no file.
    """
    files = read_manifest(checkpoint)["files"]
    found = files.get("generator_ema.safetensors") or files.get("generator.safetensors")
    return found["sha256"] if found else None
