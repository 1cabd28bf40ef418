"""Scores a generator that is trained already: a tag, a Hub repository, a run or a model folder."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from ganzoo.bench.cells import Cell, Job
from ganzoo.bench.costs import costs_of, peak_memory
from ganzoo.bench.protocol import plugins_of
from ganzoo.bench.row import Event, Row, Score, part_names
from ganzoo.bench.scorer import Scorer, save_samples
from ganzoo.config.recipe import bind_part
from ganzoo.models.load import load
from ganzoo.registry.registry import Registry
from ganzoo.variant import Part


def score_pretrained(row: Row, cell: Cell, job: Job, registry: Registry, scorer: Callable[[], Scorer]) -> None:
    """Loads the generator of `cell.source`, scores it with all images, and fills in its row."""
    assert cell.source is not None
    model = load(cell.source, device=job.device)
    config = model.config
    loss = _loss_of(config.training, registry)
    parts = {"generator": config.generator, "discriminator": config.discriminator, "loss": loss}
    row.parts = {**part_names(parts), "regularizers": [], "augmentation": None}
    row.plugins = plugins_of(registry.get("variants", model.variant), registry)
    roles = {role: bind_part(role, part, registry) for role, part in parts.items() if part is not None}
    row.costs = costs_of(roles, model.image)
    row.weights_sha256 = config.weights.sha256 if config.weights else None
    began = time.monotonic()
    found = scorer().score(model, job.eval_images, cell.seed)
    row.events = scorer().remarks(model.image.size, model.image.channels)
    row.events += [Event(0, "metric", text) for text in found.errors]
    row.samples = save_samples(model, cell, job, scorer())
    row.final = row.best = Score(config.training.get("steps"), None, found.scores)
    row.times.evaluation_seconds = time.monotonic() - began
    row.times.sampling_images_per_second = job.eval_images / found.sampling_seconds
    row.times.peak_memory_bytes = peak_memory(job.device)


def score_copy(row: Row, cell: Cell, job: Job, registry: Registry, scorer: Callable[[], Scorer]) -> None:
    """Scores the sources themselves as if they were outputs, and fills in a row that has no generator."""
    began = time.monotonic()
    found = scorer().score_copies(job.eval_images, cell.seed)
    row.events = [Event(0, "metric", text) for text in found.errors]
    row.final = row.best = Score(None, None, found.scores)
    row.times.evaluation_seconds = time.monotonic() - began


def _loss_of(training: dict[str, Any], registry: Registry) -> Part | None:
    """Returns the loss that a summary of the training names, None if it names none that is registered."""
    loss = training.get("loss")
    if not isinstance(loss, dict) or loss.get("name") not in registry.names("losses"):
        return None
    options = loss.get("options")
    return Part(loss["name"], options) if isinstance(options, dict) else None
