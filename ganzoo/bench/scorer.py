"""The same eyes for every cell: an extractor, its metrics, the images to learn from, and what it sees of the real images."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from functools import cache
from typing import NamedTuple

from torch import Tensor

from ganzoo.bench.plan import Job
from ganzoo.data import ImageData, load_images
from ganzoo.errors import GanzooError, InterruptedRun, PluginError, UsageError
from ganzoo.files.pictures import to_uint8
from ganzoo.files.text import one_line
from ganzoo.metrics import named
from ganzoo.metrics.features import Extractor, as_images, load_extractor, needs_of, observe
from ganzoo.metrics.score import measure, observe_real, with_origin
from ganzoo.models.model import Model
from ganzoo.registry.registry import Registry

BATCH = 250


class Score(NamedTuple):
    """The numbers of some drawings by name (None where one is not finite or its metric failed), how long the generator took for them, and
    what went wrong."""

    values: dict[str, float | None]
    drawing_seconds: float
    troubles: tuple[str, ...] = ()


class Scorer:
    """Scores models against the reference images of a job; everything that is loaded is loaded once."""

    def __init__(
        self,
        job: Job,
        registry: Registry,
        data: ImageData | None = None,
        extractor: Extractor | None = None,
    ):
        self.job, self.registry, self._data = job, registry, data
        self.extractor = extractor or load_extractor(job.extractor)
        self.metrics = {name: registry.get("metrics", name) for name in job.metrics}
        self.needs = needs_of(self.metrics, self.extractor)
        self.reference = cache(self._reference)
        self.seen = cache(self._seen)

    @property
    def data(self) -> ImageData:
        """What the cells are trained on."""
        if self._data is None:
            job = self.job
            self._data = load(job, job.data, self.registry, size=job.image_size, channels=job.channels)
        return self._data

    def _reference(self, size: int, channels: int) -> ImageData:
        if self.job.reference == self.job.data and (size, channels) == (self.job.image_size, self.job.channels):
            return self.data
        return load(self.job, self.job.reference, self.registry, size=size, channels=channels)

    def _seen(self, size: int, channels: int):
        return observe_real(self.reference(size, channels), self.extractor, self.needs)

    def score(self, model: Model, images: int, seed: int) -> Score:
        """The numbers of the first `images` drawings of a seed, rounded to 8 bits; a metric that fails leaves a trouble and the others alone."""
        watch = _Stopwatch(model.stream(images, seed, batch_size=BATCH))
        fake = observe((as_images(to_uint8(batch)) for batch in watch), self.extractor, self.needs)
        fake = with_origin(fake, model, seed, self.extractor)
        real = self.seen(model.image.size, model.image.channels)
        values: dict[str, float | None] = {}
        troubles = []
        for name, metric in self.metrics.items():
            try:
                found = measure(real, fake, self.extractor, {name: metric}, seed)
                if twice := found.keys() & values.keys():
                    raise PluginError(
                        f"The metric '{name}' gives '{min(twice)}', as another does; it must choose another name."
                    )
            except InterruptedRun:
                raise
            except Exception as error:  # a metric may be anybody's, and a training of hours must not be lost for it
                values[named(name, self.extractor.name)] = None
                said = one_line(error)
                troubles.append(said if f"metric '{name}'" in said else f"The metric '{name}' failed: {said}")
            else:
                values.update((label, value if math.isfinite(value) else None) for label, value in found.items())
        return Score(values, watch.seconds, tuple(troubles))


def load(job: Job, source: str, registry: Registry, *, size: int, channels: int | None) -> ImageData:
    """Images of a source at a size, prepared or from the cache."""
    return load_images(source, size=size, channels=channels, datasets=registry.table("datasets"), root=job.data_root)


def default_reference(data: str, registry: Registry, root) -> str:
    """What a training is judged by unless someone says: the test split of a registered data set that has one, else its own images."""
    from ganzoo.data.resolve import find_source

    name, colon, _ = data.partition(":")
    if colon or name not in registry.names("datasets"):
        return data
    try:
        find_source(f"{name}:test", registry.table("datasets"), root)
    except UsageError:
        return data
    except GanzooError:  # the split exists, and its files are what is missing: whoever loads it says so
        pass
    return f"{name}:test"


class _Stopwatch:
    """Passes batches on and adds up how long each took to come."""

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
