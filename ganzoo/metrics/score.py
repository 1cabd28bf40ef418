"""Scores a model against real images: any extractor, any metrics, what was seen of the real images kept for the next time."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from torch import Tensor

from ganzoo.data import ImageData
from ganzoo.data.batches import generator_for
from ganzoo.data.load import cache_folder
from ganzoo.data.store import key_of
from ganzoo.errors import CheckpointError, GanzooError, PluginError, UsageError
from ganzoo.files.atomic import write_atomically
from ganzoo.files.pictures import to_uint8
from ganzoo.files.strict_json import read_bytes
from ganzoo.files.text import shorten
from ganzoo.metrics import named
from ganzoo.metrics.features import Extractor, Observation, as_images, failure, needs_of, observe, real_batches
from ganzoo.metrics.moments import Moments
from ganzoo.models.model import Model

log = logging.getLogger(__name__)

REAL_BATCH = 500  # not the caller's, since rounding depends on it and what is kept must not
LARGEST_STATISTICS = 2**34


def score(
    model: Model,
    real: ImageData,
    extractor: Extractor,
    metrics: Mapping[str, Callable],
    *,
    images: int = 10_000,
    seed: int = 0,
    batch_size: int = 250,
    cache: Path | None = None,
) -> dict[str, float]:
    """The numbers of all `metrics` for `images` drawings of `seed` against all `real` images, as {"metric[extractor]": value}.

    Drawings are rounded to 8 bits first, as they would be stored. What the extractor sees of the real images is kept in `cache`
    ($GANZOO_CACHE, else ~/.cache/ganzoo) and verified when it is read. UsageError if the images are not of the model's shape.
    """
    if (real.size, real.channels) != (model.image.size, model.image.channels):
        raise UsageError(
            f"The model draws images of {model.image.size} pixels and {model.image.channels} channels, the real ones of '{real.name}' "
            f"have {real.size} and {real.channels}: prepare these for the model."
        )
    needs = needs_of(metrics, extractor)
    seen = observe_real(real, extractor, needs, cache)
    fake = observe(drawings(model, images, seed, batch_size), extractor, needs)
    return measure(seen, with_origin(fake, model, seed, extractor), extractor, metrics, seed)


def drawings(model: Model, images: int, seed: int, batch_size: int) -> Iterator[Tensor]:
    """The images of a seed as anyone would see them, rounded to 8 bits."""
    for batch in model.stream(images, seed, batch_size=batch_size):
        yield as_images(to_uint8(batch))


def with_origin(seen: Observation, model: Model, seed: int, extractor: Extractor) -> Observation:
    """What was seen of a seed's drawings, and the codes and labels that they were drawn from: the ones of `Model.stream`.

    Numbers name the same class on both sides only where names and order are the same; of other classes there are no labels.
    """
    count, named_alike = seen.moments.count, bool(extractor.classes) and tuple(model.classes) == extractor.classes
    return replace(seen, codes=model.categories(count, seed), labels=model.labels(count) if named_alike else None)


def measure(
    real: Observation, fake: Observation, extractor: Extractor, metrics: Mapping[str, Callable], seed: int
) -> dict[str, float]:
    """Calls every metric with a random stream of its own, so that no number depends on which others are asked for.

    PluginError names a metric that raises something of its own, or returns what is neither a number nor numbers by name.
    """
    results: dict[str, float] = {}
    for name, metric in metrics.items():
        try:
            found = metric(real, fake, generator_for(seed, "metric", name))
        except GanzooError:
            raise
        except Exception as error:
            raise failure("metric", name, error) from error
        for measure_name, value in (found if isinstance(found, dict) else {name: found}).items():
            label = named(measure_name, extractor.name)
            if label in results:
                raise PluginError(f"Two metrics give a number called '{label}'; '{name}' must choose another name.")
            results[label] = number(name, measure_name, value)
    return results


def number(metric: str, name: Any, value: Any) -> float:
    """One of a metric's numbers; PluginError if it is none, or its name no text."""
    try:
        if isinstance(name, str) and not isinstance(value, str | bytes):
            return float(value)
    except Exception:  # whatever a foreign object raises when it is asked to be a number
        pass
    what = shorten(value) if isinstance(name, str) else f"a number called {shorten(name)}"
    raise PluginError(f"The metric '{metric}' must return a number, or a dict of numbers by name, not {what}.")


def observe_real(
    real: ImageData,
    extractor: Extractor,
    needs: tuple[str, ...],
    cache: Path | None = None,
) -> Observation:
    """What the extractor sees of all real images, from the cache if it was kept there and is whole."""
    # Features of few images are no part of the key: what was kept before they were is looked at again, and replaced.
    key = key_of(data=real.fingerprint, extractor=extractor.fingerprint, needs=needs, batch=REAL_BATCH)
    file = cache_folder(cache) / "statistics" / f"{key}.safetensors"
    try:
        kept = unpacked(file)
        if kept.features is not None or kept.moments.count > kept.moments.dimensions:
            return kept
    except FileNotFoundError:
        pass
    except CheckpointError as damage:
        log.warning(f"{damage} Looking at '{real.name}' again.")
    seen = observe(real_batches(real, REAL_BATCH), extractor, needs)
    try:
        keep(seen, file)
    except (OSError, GanzooError) as problem:
        log.warning(f"What '{extractor.name}' saw of '{real.name}' cannot be kept: {problem}")
    return seen


def keep(seen: Observation, file: Path) -> None:
    """Writes an observation, and its sha256 into a file beside it."""
    from safetensors.torch import save

    others = {"features": seen.features, "logits": seen.logits}
    data = save({**seen.moments.tensors(), **{name: tensor for name, tensor in others.items() if tensor is not None}})
    file.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(file, data)
    write_atomically(file.with_suffix(".sha256"), hashlib.sha256(data).hexdigest() + "\n")


def unpacked(file: Path) -> Observation:
    """The kept observation; FileNotFoundError if there is none, CheckpointError if it is not what was written."""
    from safetensors.torch import load

    if not file.exists():
        raise FileNotFoundError(file)
    data, stated = read_bytes(file, LARGEST_STATISTICS), read_bytes(file.with_suffix(".sha256"), 100)
    if hashlib.sha256(data).hexdigest().encode() != stated.strip():
        raise CheckpointError(f"{file} is damaged: its sha256 differs.")
    tensors = load(data)
    return Observation(Moments.from_tensors(tensors), tensors.get("features"), tensors.get("logits"))
