"""Modalities: how a run measures and shows samples, by the kind of its output."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

from ganzoo.data import Stream
from ganzoo.data.batches import generator_for
from ganzoo.engine.trainer import Trainer
from ganzoo.files import pictures, scatter
from ganzoo.metrics import modes
from ganzoo.runs.collapse import LEAST_DIVERSITY, Spread, compare
from ganzoo.variant import SampleSpec

LARGEST_MEASURED = 64
LEAST_COVERAGE = 0.5  # of the modes: on half of them a generator has collapsed, however far apart they are
LOOK_EVERY = 250  # steps between two measurements of points: churn depends on it
LOOK, SCORE = 2500, 10_000  # points at each look, and at the end of a run
DISTANT = 1000  # points between which all distances are computed
REAL_SHOWN = 300
ROWS = 8  # of a grid of images


class RealImages(NamedTuple):
    """Real images (N, C, H, W) in [-1, 1] and the mean distances between them."""

    images: Tensor
    spread: Spread


class RealPoints(NamedTuple):
    """The stream of points that a run learns, and points (N, D) of it that stay the same in every run."""

    stream: Stream
    points: Tensor


def real_points(data: Stream) -> RealPoints:
    """Returns the points that samples are compared with."""
    return RealPoints(data, data.draw(LOOK, generator_for(0, "look")))


class Modality:
    """Measures and draws samples of one kind; the base class, and the way of images.

    `monitored` samples of fixed latents are measured at each look; `look_every` is the number of steps between looks
    besides those of sample grids and checkpoints, 0 for none. `raw` states that the generator being trained is measured
    beside its moving average.
    """

    monitored = 256
    look_every = 0
    raw = False

    def measurable(self, samples: Tensor) -> Tensor:
        """Averages images of more than 64 pixels down to 64: distances change little, and memory stays small."""
        size = (min(samples.shape[2], LARGEST_MEASURED), min(samples.shape[3], LARGEST_MEASURED))
        return samples if size == samples.shape[2:] else functional.adaptive_avg_pool2d(samples, size)

    def compare(self, fake: Tensor, real: Any) -> dict[str, float]:
        """Returns "diversity" and "energy_distance" of samples, and what else there is to measure."""
        return compare(fake, *real)

    def least_diversity(self, real: Any) -> float:
        """Returns the diversity below which a generator has collapsed."""
        return LEAST_DIVERSITY

    def notes(self, fake: Tensor, real: Any) -> dict[str, list[float]]:
        """Returns lists of numbers to record with a look."""
        return {}

    def final(self, sample: Callable[[int], Tensor], real: Any, looks: Sequence[dict[str, Any]]) -> dict[str, float]:
        """Returns the numbers of a finished run, from many samples and from the records of its looks."""
        return {}

    def preview(self, trainer: Trainer, sample: Callable[[int], Tensor], real: Any) -> Any:
        """Returns a Pillow picture of samples; a conditional generator's columns are its classes, if they are few."""
        columns = _columns(trainer.image.classes)
        return pictures.enlarged(pictures.grid(sample(ROWS * columns), columns))

    def real_preview(self, data: Any, classes: int) -> Any:
        """Returns a Pillow picture of real samples from all over the data set, in the columns of `preview`."""
        columns = _columns(classes)
        if columns == classes and data.labels is not None:
            groups = [(data.labels == label).nonzero().flatten() for label in range(classes)]
            groups = [group if len(group) else torch.arange(1) for group in groups]
            rows = torch.stack([group[_spaced(ROWS, len(group))] for group in groups], 1).flatten()
        else:
            rows = _spaced(ROWS * columns, len(data))
        images = data.images[rows].permute(0, 3, 1, 2).float() / 127.5 - 1
        return pictures.enlarged(pictures.grid(images, columns))


def _columns(classes: int) -> int:
    """The columns of a grid: the classes, if they are few."""
    return classes if 2 <= classes <= 12 else 8


def _spaced(count: int, among: int) -> Tensor:
    """Row numbers that are evenly spaced; of fewer rows some are repeated."""
    return torch.linspace(0, among - 1, count, dtype=torch.float64).round().long()


class Points(Modality):
    """Points in the plane: modes where the stream has some, distances between sorted projections, and a field.

    "diversity" is the effective share of modes that are nearest to a sample (e to the entropy of their shares): two
    opposite modes of eight would look 80 % diverse by their distances. Without modes it is the mean distance between
    samples over that between real points.
    """

    monitored = LOOK
    look_every = LOOK_EVERY
    raw = True

    def measurable(self, samples: Tensor) -> Tensor:
        return samples

    def compare(self, fake: Tensor, real: RealPoints) -> dict[str, float]:
        numbers = compare(fake[:DISTANT], real.points[:DISTANT])
        numbers["sliced-wasserstein"] = modes.sliced_wasserstein(fake, real.points)
        if real.stream.centres is not None:
            numbers["diversity"] = modes.coverage(modes.shares(fake, real.stream.centres))
            numbers |= modes.mode_numbers(fake, real.stream.centres, real.stream.deviation)
        return numbers

    def least_diversity(self, real: RealPoints) -> float:
        return LEAST_DIVERSITY if real.stream.centres is None else LEAST_COVERAGE

    def notes(self, fake: Tensor, real: RealPoints) -> dict[str, list[float]]:
        if real.stream.centres is None:
            return {}
        return {"shares": modes.shares(fake, real.stream.centres).tolist()}

    def final(
        self, sample: Callable[[int], Tensor], real: RealPoints, looks: Sequence[dict[str, Any]]
    ) -> dict[str, float]:
        many = RealPoints(real.stream, real.stream.draw(SCORE, generator_for(0, "score")))
        numbers = self.compare(sample(SCORE), many)
        found = [look["shares"] for look in looks if "shares" in look and look["step"] % LOOK_EVERY == 0]
        churn = modes.churn(found)
        return numbers if math.isnan(churn) else {**numbers, "churn": churn}

    def preview(self, trainer: Trainer, sample: Callable[[int], Tensor], real: RealPoints) -> Any:
        fake = sample(scatter.SHOWN)
        return scatter.scatter(
            fake,
            real=real.points[:REAL_SHOWN],
            field=None if trainer.discriminator is None else _field(trainer, fake, real.points),
            centres=real.stream.centres,
            radius=modes.REACH * real.stream.deviation,
        )

    def real_preview(self, data: Stream, classes: int) -> Any:
        radius = modes.REACH * data.deviation
        return scatter.scatter(real_points(data).points[: scatter.SHOWN], centres=data.centres, radius=radius)


def _field(trainer: Trainer, fake: Tensor, real: Tensor) -> Tensor:
    """The decisions of the discriminator over the window.

    A loss without a boundary gives logits of no fixed zero: the middle between real points and samples is taken.
    """

    def judge(points: Tensor) -> Tensor:
        given = points.to(trainer.device, trainer.dtype)
        with torch.no_grad():
            logits = trainer.discriminator(given)  # type: ignore[misc]
        logits = logits[0] if isinstance(logits, tuple) else logits
        return logits.reshape(len(points), -1).mean(1)

    count = min(len(fake), len(real)) // 8 * 8  # a discriminator may score packs
    boundary, low = trainer.loss.boundary, bool(trainer.loss.real_is_low)
    if boundary is None:
        boundary = float((judge(real[:count]).mean() + judge(fake[:count]).mean()) / 2)
    return scatter.field_of(judge, boundary, low)


MODALITIES: dict[str, Modality] = {"image": Modality(), "points": Points()}


def modality_of(spec: SampleSpec) -> Modality:
    """Returns how to measure and show the outputs of a specification."""
    return MODALITIES[spec.output.kind]
