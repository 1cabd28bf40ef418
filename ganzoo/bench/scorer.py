"""Scores every model with the same extractor, metrics and reference images."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from functools import cache, cached_property, partial
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

from ganzoo.bench.cells import Cell, Job
from ganzoo.bench.protocol import ranking_metric
from ganzoo.bench.row import Event
from ganzoo.bench.sources import Examples, rounded
from ganzoo.data import ArraySource, EncodedSource, ImageData, load_images
from ganzoo.data.request import Check, load_data
from ganzoo.data.sources import Data
from ganzoo.errors import GanzooError, InterruptedRun, PluginError, UsageError
from ganzoo.files import pictures
from ganzoo.files.text import one_line
from ganzoo.metrics import named
from ganzoo.metrics.features import (
    Extractor,
    FeatureSet,
    extract_by_each,
    load_extractor,
    needs_classes,
    needs_of,
    unsuited,
)
from ganzoo.metrics.paired import PAIRED
from ganzoo.metrics.score import measure, reference_features, with_codes_and_labels
from ganzoo.models.model import Model
from ganzoo.registry.registry import Registry

BATCH = 250
GRID = 8  # samples on a side of the picture, or examples in its rows


class Evaluation(NamedTuple):
    """Holds the numbers of some samples by name, the seconds of sampling, and the errors of metrics.

    A number is None if it is not finite or its metric failed.
    """

    scores: dict[str, float | None]
    sampling_seconds: float
    errors: tuple[str, ...] = ()


class Measures(NamedTuple):
    """Names an extractor, the metrics of its features, and what they need of them."""

    extractor: Extractor
    metrics: Mapping[str, Callable]
    needs: tuple[str, ...]


class Scorer:
    """Scores models against the reference images of a job; everything that is loaded is loaded once.

    `second` is the second extractor's measures, the metric that ranks; None without one.
    """

    def __init__(
        self,
        job: Job,
        registry: Registry,
        data: ImageData | Data | None = None,
        extractor: Extractor | None = None,
        examples: Examples | None = None,
    ):
        self.job, self.registry = job, registry
        self._data, self._examples = data, examples
        self.extractor = extractor or load_extractor(job.extractor)
        self.metrics = {name: registry.get("metrics", name) for name in job.metrics}
        self.second: Measures | None = None
        self._first = Measures(self.extractor, self.metrics, needs_of(self.metrics, self.extractor))
        if job.second_extractor is not None:
            self.score_also_by(load_extractor(job.second_extractor))
        self.reference = cache(self._reference)
        self.reference_features = cache(self._reference_features)

    def score_also_by(self, extractor: Extractor) -> None:
        """Adds a second extractor to the scores; call it before anything is scored."""
        name = ranking_metric(self.job.metrics)
        metrics = {name: self.metrics[name]}
        self.job = replace(self.job, second_extractor=extractor.name)
        self.second = Measures(extractor, metrics, needs_of(metrics, extractor))

    @property
    def measures(self) -> tuple[Measures, ...]:
        """What is measured by the first extractor, and by the second if there is one; nothing without metrics."""
        return tuple(one for one in (self._first, self.second) if one is not None and one.metrics)

    @property
    def data(self) -> ImageData:
        """The training images of all cells."""
        data = self.training
        return data.output if isinstance(data, Data) else data

    @property
    def training(self) -> ImageData | Data:
        """The training images with their sources, if there are any."""
        job = self.job
        if self._data is None:
            assert job.data is not None and job.image_size is not None
            if job.sources is None:
                self._data = load_prepared(job, job.data, self.registry, size=job.image_size, channels=job.channels)
            else:
                self._data = load_sides(job, job.data, job.sources.source, self.registry)
        return self._data

    @property
    def examples(self) -> Examples | None:
        """The sources that models are scored on, with their outputs; None for models without a source."""
        job = self.job
        if self._examples is None and job.sources is not None:
            assert job.reference is not None
            self._examples = Examples(load_sides(job, job.reference, job.sources.reference_source, self.registry))
        return self._examples

    @cached_property
    def source_facts(self) -> dict[str, Any] | None:
        """What the protocol says of the sources; None without any."""
        if self.job.sources is None or self.examples is None:
            return None
        training = self.training if self.job.data else None
        assert training is None or isinstance(training, Data)
        return self.job.sources.facts(training, self.examples.data)

    def _reference(self, size: int, channels: int) -> ImageData:
        if self.examples is not None:
            return self.examples.outputs
        if self.job.reference == self.job.data and (size, channels) == (self.job.image_size, self.job.channels):
            return self.data
        assert self.job.reference is not None
        return load_prepared(self.job, self.job.reference, self.registry, size=size, channels=channels)

    def _reference_features(self, size: int, channels: int) -> tuple[FeatureSet, ...]:
        """The features of the reference by each extractor."""
        reference = self.reference(size, channels)
        return tuple(reference_features(reference, one.extractor, one.needs) for one in self.measures)

    def unsuited(self, reference: ImageData) -> str:
        """Says why the extractor's classes mean nothing for these images; empty if it was made for them."""
        return unsuited(self.extractor, reference)

    def remarks(self, size: int, channels: int) -> list[Event]:
        """Returns the event of a row whose images are not those that the extractor was made for, else none."""
        text = self.unsuited(self.reference(size, channels))
        return [Event(0, "extractor", f"No metrics of classes: {text}")] if text else []

    def score(self, model: Model, images: int, seed: int) -> Evaluation:
        """Scores the first `images` samples of a seed, or outputs of as many sources, rounded to 8 bits.

        A metric that fails costs its own number alone.
        """
        shape = model.image.size, model.image.channels
        if self.examples is not None:
            return self._scored(self.examples.samples(model, images, seed), images, seed, shape)
        complete = partial(with_codes_and_labels, model=model, seed=seed)
        return self._scored(model.stream(images, seed, batch_size=BATCH), images, seed, shape, complete)

    def score_copies(self, images: int, seed: int) -> Evaluation:
        """Scores sources as if they were outputs, as `score` does."""
        assert self.examples is not None
        outputs = self.examples.outputs
        return self._scored(self.examples.copies(images), images, seed, (outputs.size, outputs.channels))

    def _scored(
        self,
        batches: Iterator[Tensor],
        images: int,
        seed: int,
        shape: tuple[int, int],
        complete: Callable[..., FeatureSet] | None = None,
    ) -> Evaluation:
        """Scores batches of samples; `complete` adds to their features what the model knows of them."""
        watch = _Stopwatch(batches)
        wanted = [(one.extractor, one.needs) for one in self.measures]
        scores: dict[str, float | None] = {}
        errors: list[str] = []
        pairs = _Pairs(self.job.paired, self.examples, images)
        fakes = extract_by_each((pairs.compared(rounded(batch)) for batch in watch), wanted)
        scores |= pairs.means(errors)
        reference = self.reference(*shape)
        for own, real, fake in zip(self.measures, self.reference_features(*shape), fakes, strict=True):
            samples = complete(fake, extractor=own.extractor) if complete else fake
            found, failed = _measured(own, real, samples, seed, unsuited(own.extractor, reference))
            scores |= found
            errors += failed
        return Evaluation(scores, watch.seconds, tuple(errors))


class _Pairs:
    """Compares outputs, batch by batch, with the truths of their sources."""

    def __init__(self, metrics: tuple[str, ...], examples: Examples | None, count: int):
        self._truths = iter(()) if examples is None or not metrics else examples.truths(count)
        self._values: dict[str, list[Tensor]] = {name: [] for name in metrics}
        self._errors: dict[str, str] = {}

    def compared(self, outputs: Tensor) -> Tensor:
        """Returns the outputs, after their comparison with the truths that are next."""
        if self._values:
            truth = next(self._truths)
            for name in self._values.keys() - self._errors.keys():
                try:
                    self._values[name].append(PAIRED[name](outputs, truth))
                except GanzooError as error:
                    self._errors[name] = f"The metric '{name}' failed: {one_line(error)}"
        return outputs

    def means(self, errors: list[str]) -> dict[str, float | None]:
        """Returns the mean over all pairs by metric, None if it failed or is not finite; adds to `errors`."""
        errors += self._errors.values()
        found = {
            name: math.nan if name in self._errors or not values else float(torch.cat(values).mean())
            for name, values in self._values.items()
        }
        return {name: value if math.isfinite(value) else None for name, value in found.items()}


def _measured(
    own: Measures, real: FeatureSet, fake: FeatureSet, seed: int, classless: str
) -> tuple[dict[str, float | None], list[str]]:
    """Computes the metrics of one extractor's features, and returns them with the errors of those that failed.

    `classless` says why its classes mean nothing for these images; it is empty where they mean something.
    """
    scores: dict[str, float | None] = {}
    errors: list[str] = []
    for name, metric in own.metrics.items():
        label = named(name, own.extractor.name)
        if classless and needs_classes(metric):
            scores[label] = None
            errors.append(f"The metric '{name}' is left out: {classless}")
            continue
        try:
            found = measure(real, fake, own.extractor, {name: metric}, seed)
            if twice := found.keys() & scores.keys():
                raise PluginError(
                    f"The metric '{name}' gives '{min(twice)}', as another does; it must choose another name."
                )
        except InterruptedRun:
            raise
        except Exception as error:  # a plugin's metric may raise anything, and a training of hours must not be lost
            scores[label] = None
            text = one_line(error)
            errors.append(text if f"metric '{name}'" in text else f"The metric '{name}' failed: {text}")
        else:
            scores |= {label: value if math.isfinite(value) else None for label, value in found.items()}
    return scores, errors


def save_samples(model: Model, cell: Cell, job: Job, scorer: Scorer) -> str:
    """Writes a grid of samples, or rows of sources, outputs and truths; returns its path in the bench's folder."""
    path = Path("samples") / f"{cell.file}.png"
    examples = scorer.examples
    if examples is None:
        sheet = pictures.grid(model.sample(GRID * GRID, cell.seed), GRID)
    else:
        sheet = pictures.rows_of(examples.rows(lambda count: examples.samples(model, count, cell.seed), GRID))
    (Path(job.folder) / path.parent).mkdir(exist_ok=True)
    pictures.save_picture(sheet, Path(job.folder) / path)
    return path.as_posix()


def load_sides(job: Job, output: str, source: str | None, registry: Registry, check: Check | None = None) -> Data:
    """Loads outputs with their sources as evaluation sees them; `check` sees them undecoded."""
    assert job.sources is not None and job.image_size is not None
    wanted = job.sources.request(output, source, job.image_size, registry, job.data_root)
    return load_data(wanted, check=check)


def load_prepared(
    job: Job,
    source: str,
    registry: Registry,
    *,
    size: int,
    channels: int | None,
    check: Callable[[ArraySource | EncodedSource], object] | None = None,
) -> ImageData:
    """Loads the images of a source at a size, prepared now or from the cache; `check` sees it undecoded."""
    datasets = registry.table("datasets")
    return load_images(source, size=size, channels=channels, datasets=datasets, root=job.data_root, check=check)


def default_reference(data: str, registry: Registry, root: Path | None) -> str:
    """Returns the test split of a registered data set that has one, else the training images themselves."""
    from ganzoo.data.resolve import find_source

    name, colon, _ = data.partition(":")
    if colon or name not in registry.names("datasets"):
        return data
    try:
        find_source(f"{name}:test", registry.table("datasets"), root)
    except UsageError:
        return data
    except GanzooError:  # the split exists and its files are missing: loading it will report that
        pass
    return f"{name}:test"


class _Stopwatch:
    """Passes batches on and adds up the seconds that each took to arrive."""

    def __init__(self, batches: Iterator[Tensor]):
        self._batches, self.seconds = batches, 0.0

    def __iter__(self) -> Iterator[Tensor]:
        while True:
            began = time.monotonic()
            batch = next(self._batches, None)
            self.seconds += time.monotonic() - began
            if batch is None:
                return
            yield batch
