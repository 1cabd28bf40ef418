"""Trains points in the plane and shows the training: a picture, numbers and a verdict a few times a second."""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from typing import Any

from ganzoo.config.mixins import mixed_in
from ganzoo.config.settings import resolve
from ganzoo.data.streams import StreamBatches, load_stream
from ganzoo.engine.build import build_trainer
from ganzoo.engine.trainer import Trainer
from ganzoo.errors import DivergedError, GanzooError, UsageError
from ganzoo.files.text import one_line
from ganzoo.registry.registry import Registry
from ganzoo.runs.collapse import WARM_UP, check_finite, check_magnitudes
from ganzoo.runs.modalities import modality_of
from ganzoo.runs.sample_monitor import SampleMonitor, real_samples
from ganzoo.studio.commands import command
from ganzoo.studio.sampling import LARGEST_SEED, whole

KIND = "points"
LONGEST = 20_000  # steps
LOOK_SECONDS = 0.4  # between two pictures
PAUSE = 0.05  # seconds between two trials, in which others get the lock: it is not fair
LEAST_SHARE = 1.5  # time of training for each second of looking
RATES = (1e-4, 3e-4, 1e-3, 3e-3, 1e-2, 3e-2, 0.1)
OWN = "its own"
ROLES = ("generator", "discriminator")


@dataclass(frozen=True)
class Request:
    """A training: a variant of points, data, and what to change. `loss`, `penalty` and rates None are the variant's."""

    variant: str
    data: str
    loss: str | None = None
    penalty: str | None = None
    generator_lr: float | None = None
    discriminator_lr: float | None = None
    seed: int = 0
    steps: int = 3000


@dataclass(frozen=True)
class Look:
    """The state at a step: a Pillow picture, measurements and terms by name, and a verdict in words.

    `ended` states that no look follows.
    """

    step: int
    picture: Any
    numbers: dict[str, float]
    terms: dict[str, float]
    verdict: str
    ended: bool = False


def variants_of_points(registry: Registry) -> list[str]:
    """Returns the names of the variants whose samples are points."""
    return [variant.name for variant in registry.variants() if variant.kind == KIND]


def streams(registry: Registry) -> list[str]:
    """Returns the names of the data sets that are drawn without end, by what their functions say they return."""
    found = []
    for name, factory in registry.table("datasets").items():
        stated = getattr(factory, "__annotations__", {}).get("return", "")
        if str(getattr(stated, "__name__", stated)).rpartition(".")[2] == "Stream":
            found.append(name)
    return sorted(found)


def candidates(registry: Registry, kind: str) -> list[str]:
    """Returns the regularizers, or the losses that no variant uses or one that needs neither labels nor inputs."""
    if kind != "losses":
        return list(registry.names(kind))
    users: dict[str, list[bool]] = {}
    for variant in registry.variants():
        users.setdefault(variant.loss.name, []).append(not variant.inputs and variant.labels != "required")
    return [name for name in registry.names(kind) if any(users.get(name, [True]))]


def usable(registry: Registry, kind: str, computing: Callable[[], Any] = nullcontext) -> list[str]:
    """Returns the "losses", or "regularizers", that a first step on points works with, found by trying each.

    `computing` gives the lock that is held while one is tried.
    """
    names = variants_of_points(registry)
    data = streams(registry)
    if not names or not data:
        return []
    variant = next(name for name in names if registry.get("variants", name).discriminator is not None)
    found = []
    for name in candidates(registry, kind):
        chosen: dict[str, Any] = {"loss": name} if kind == "losses" else {"penalty": name}
        time.sleep(PAUSE)
        try:
            with computing(), _unheard():
                trainer_of(Request(variant, data[0], **chosen), registry).step()
        except (GanzooError, RuntimeError, ValueError, TypeError, AttributeError, KeyError, IndexError):
            continue
        found.append(name)
    return found


@contextmanager
def _unheard() -> Iterator[None]:
    """Keeps to itself what the packages say while a loss is tried that nobody chose."""
    loggers = [logging.getLogger(name) for name in ("ganzoo", "ganzoo_plugins")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)


def prepared(request: Request, registry: Registry) -> tuple[Trainer, SampleMonitor]:
    """Builds the trainer of a request and the monitor of its samples; UsageError for what cannot be trained."""
    trainer = trainer_of(request, registry)
    return trainer, SampleMonitor(trainer, real_samples(trainer.batches.data))  # type: ignore[attr-defined]


def trainer_of(request: Request, registry: Registry) -> Trainer:
    """Builds the trainer of a request; UsageError for what cannot be trained."""
    if request.variant not in variants_of_points(registry):
        raise UsageError(f"'{one_line(request.variant)[:64]}' draws no points.")
    if request.data not in streams(registry):
        raise UsageError(f"'{one_line(request.data)[:64]}' is no data set of points.")
    variant = registry.get("variants", request.variant)
    variant = mixed_in(variant, [request.penalty] if request.penalty else [], registry)
    recipe = resolve(variant, settings(request), registry)
    stream = load_stream(request.data, datasets=registry.table("datasets"))
    batches = StreamBatches(stream, batch_size=recipe.training.batch_size, seed=request.seed)
    return build_trainer(recipe, stream.spec, batches, seed=request.seed)


def settings(request: Request) -> list[str]:
    """Returns what the request changes, as `--set` takes it; UsageError for a number out of range."""
    steps = whole(request.steps, "Steps", 1, LONGEST)
    whole(request.seed, "The seed", 0, LARGEST_SEED)
    found = [f"loss={request.loss}"] if request.loss else []
    for role in ROLES:
        rate = getattr(request, f"{role}_lr")
        if rate is not None:
            if not (math.isfinite(rate) and 0 < rate <= 1):
                raise UsageError(f"The learning rate of the {role} is a number above 0, at most 1, not {rate}.")
            found.append(f"training.{role}_lr={rate:g}")
    return [*found, f"training.steps={steps}"]


def train_command(request: Request) -> str:
    """Returns the command that trains the same, bit for bit, into a run folder."""
    words = [word for setting in settings(request)[:-1] for word in ("--set", setting)]
    words += ["--with", request.penalty] if request.penalty else []
    return command(
        "train", request.variant, *words, data=request.data, seed=request.seed, steps=request.steps, out="runs/points"
    )


def train(
    request: Request, registry: Registry, *, computing: Callable[[], Any] = nullcontext, seconds: float = LOOK_SECONDS
) -> Iterator[Look]:
    """Trains and yields a look at the start, every `seconds`, and at the end or when the training diverges.

    `computing` gives the lock that is held while it computes. The training itself does not depend on the looks.
    """
    with computing():
        trainer, monitor = prepared(request, registry)
        began = time.monotonic()
        look = _look(trainer, monitor, {}, request.steps)
        cost = time.monotonic() - began
    yield look
    while not look.ended:
        with computing():
            due, terms = time.monotonic() + max(seconds, LEAST_SHARE * cost), {}
            problem = ""
            while trainer.step_number < request.steps and time.monotonic() < due and not problem:
                terms = {name: float(value) for name, value in trainer.step().items()}
                problem = _problem(trainer, terms)
            began = time.monotonic()
            look = _look(trainer, monitor, terms, request.steps, problem)
            cost = time.monotonic() - began
        yield look


def _problem(trainer: Trainer, terms: dict[str, float]) -> str:
    """Returns the line of a divergence, "" if there is none."""
    try:
        check_finite(trainer.step_number, terms)
        check_magnitudes(trainer.step_number, trainer.magnitudes())
    except DivergedError as error:
        return str(error)
    return ""


def _look(trainer: Trainer, monitor: SampleMonitor, terms: dict[str, float], steps: int, problem: str = "") -> Look:
    step = trainer.step_number
    picture, numbers = None, {}
    if not problem:
        try:
            numbers = monitor.measure()
            picture = modality_of(trainer.image).preview(trainer, monitor.sample, monitor.real)
        except DivergedError as error:
            problem = str(error)
    if problem:
        return Look(step, None, {}, {}, problem, ended=True)
    return Look(step, picture, numbers, terms, verdict(numbers, step, monitor.least_diversity), step >= steps)


def verdict(numbers: dict[str, float], step: int, least: float) -> str:
    """Says in words how a training does, by its diversity and the modes that it covers."""
    diversity, modes = numbers["diversity"], numbers.get("modes")
    covered = "" if modes is None else f" Modes that have their share of samples: {modes:.0f}."
    if step <= WARM_UP:
        return f"It has just begun: {step} steps.{covered}"
    if diversity < least:
        return f"Collapsed: its samples have {100 * diversity:.0f} % of the diversity of real points.{covered}"
    if diversity < 0.9:
        return f"Part of the data is missing: {100 * diversity:.0f} % of the diversity of real points.{covered}"
    return f"Healthy: {100 * diversity:.0f} % of the diversity of real points.{covered}"
