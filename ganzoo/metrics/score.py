"""Scores a model against real images with any extractor and metrics; features of the real images are cached."""

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
from ganzoo.files.text import quoted
from ganzoo.metrics import named
from ganzoo.metrics.features import (
    Extractor,
    FeatureSet,
    as_images,
    check_channels,
    extract_features,
    failure,
    needs_classes,
    needs_of,
    real_batches,
    unsuited,
)
from ganzoo.metrics.moments import Moments
from ganzoo.models.model import Model
from ganzoo.networks.precision import float32_by_default
from ganzoo.variant import ImageSpec

log = logging.getLogger(__name__)

REAL_BATCH = 500  # fixed, because rounding depends on it and the cache must not
LARGEST_STATISTICS = 2**34
STREAMS = {"kid": "kernel"}  # random streams have the names of before: renaming a metric must not change its numbers


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
    """Scores `images` samples of `seed` against all `real` images; returns {"metric[extractor]": value}.

    Samples are rounded to 8 bits first, as in an image file. The features of the real images are kept in `cache`
    ($GANZOO_CACHE, else ~/.cache/ganzoo) and verified when they are read. Where the extractor was not made for such
    images, metrics of classes are left out with a warning. UsageError if the real images do not have the model's shape,
    or no metric is left.
    """
    shape = (real.channels, real.height, real.width)
    if shape != model.image.output.shape:
        raise UsageError(
            f"The model's images have {model.image.extent} and {model.image.channels} channels, those of '{real.name}' "
            f"{ImageSpec(shape[1:], shape[0]).extent} and {real.channels}: prepare the real images for the model."
        )
    check_channels(extractor, real)
    metrics = _meaningful(metrics, extractor, real)
    needs = needs_of(metrics, extractor)
    reference = reference_features(real, extractor, needs, cache)
    fake = extract_features(samples(model, images, seed, batch_size), extractor, needs)
    return measure(reference, with_codes_and_labels(fake, model, seed, extractor), extractor, metrics, seed)


def _meaningful(metrics: Mapping[str, Callable], extractor: Extractor, real: ImageData) -> Mapping[str, Callable]:
    """Returns the metrics without those of classes that mean nothing for the images, which a warning names."""
    left_out = [name for name, metric in metrics.items() if needs_classes(metric)]
    if not left_out or not (trouble := unsuited(extractor, real)):
        return metrics
    line = f"metrics of classes ({', '.join(left_out)}) say nothing, because {trouble}"
    if len(left_out) == len(metrics):
        raise UsageError(f"{line[:1].upper()}{line[1:]} Choose another extractor or other metrics.")
    log.warning(f"left out: {line}")
    return {name: metric for name, metric in metrics.items() if name not in left_out}


def samples(model: Model, images: int, seed: int, batch_size: int) -> Iterator[Tensor]:
    """Samples the images of a seed in batches, rounded to 8 bits."""
    for batch in model.stream(images, seed, batch_size=batch_size):
        yield as_images(to_uint8(batch))


def with_codes_and_labels(features: FeatureSet, model: Model, seed: int, extractor: Extractor) -> FeatureSet:
    """Adds the codes and labels of the samples of a seed, those of `Model.stream`, to their features.

    Labels are added only if the classes of model and extractor have the same names in the same order.
    """
    count, named_alike = features.moments.count, bool(extractor.classes) and tuple(model.classes) == extractor.classes
    return replace(features, codes=model.categories(count, seed), labels=model.labels(count) if named_alike else None)


def measure(
    real: FeatureSet, fake: FeatureSet, extractor: Extractor, metrics: Mapping[str, Callable], seed: int
) -> dict[str, float]:
    """Calls every metric with a random stream of its own, so that no number depends on the choice of metrics.

    PluginError names a metric that raises something of its own, or returns neither a number nor a dict of numbers,
    at least one.
    """
    results: dict[str, float] = {}
    for name, metric in metrics.items():
        try:
            with float32_by_default():
                found = metric(real, fake, generator_for(seed, "metric", STREAMS.get(name, name)))
        except GanzooError:
            raise
        except Exception as error:
            raise failure("metric", name, error) from error
        if found == {} and isinstance(found, dict):
            raise PluginError(f"The metric '{name}' gave no number: it must return one, or a dict of at least one.")
        for measure_name, value in (found if isinstance(found, dict) else {name: found}).items():
            label = named(measure_name, extractor.name)
            if label in results:
                raise PluginError(f"Two metrics give a number called '{label}'; '{name}' must choose another name.")
            results[label] = number(name, measure_name, value)
    return results


def number(metric: str, name: Any, value: Any) -> float:
    """Converts one of a metric's results to a number; PluginError if it is none, or if its name is no text."""
    try:
        if isinstance(name, str) and not isinstance(value, str | bytes):
            return float(value)
    except Exception:  # the __float__ of a plugin's object may raise anything
        pass
    what = quoted(value) if isinstance(name, str) else f"a number called {quoted(name)}"
    raise PluginError(f"The metric '{metric}' must return a number, or a dict of numbers by name, not {what}.")


def reference_features(
    real: ImageData,
    extractor: Extractor,
    needs: tuple[str, ...],
    cache: Path | None = None,
) -> FeatureSet:
    """Extracts the features of all real images, or reads them from the cache if they are there and undamaged."""
    # Older entries without the features of few images have the same key: these are extracted again and replaced.
    key = key_of(data=real.fingerprint, extractor=extractor.fingerprint, needs=needs, batch=REAL_BATCH)
    file = cache_folder(cache) / "statistics" / f"{key}.safetensors"
    try:
        kept = read_features(file)
        if kept.features is not None or kept.moments.count > kept.moments.dimensions:
            return kept
    except FileNotFoundError:
        pass
    except CheckpointError as damage:
        log.warning(f"{damage} The features of '{real.name}' are extracted again.")
    features = extract_features(real_batches(real, REAL_BATCH), extractor, needs)
    try:
        write_features(features, file)
    except (OSError, GanzooError) as problem:
        log.warning(f"The features of '{real.name}' by '{extractor.name}' cannot be cached: {problem}")
    return features


def write_features(features: FeatureSet, file: Path) -> None:
    """Writes features, and their sha256 into a file beside them."""
    from safetensors.torch import save

    others = {"features": features.features, "logits": features.logits}
    data = save(
        {**features.moments.tensors(), **{name: tensor for name, tensor in others.items() if tensor is not None}}
    )
    file.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(file, data)
    write_atomically(file.with_suffix(".sha256"), hashlib.sha256(data).hexdigest() + "\n")


def read_features(file: Path) -> FeatureSet:
    """Reads cached features; FileNotFoundError if there are none, CheckpointError if they are damaged."""
    from safetensors.torch import load

    if not file.exists():
        raise FileNotFoundError(file)
    data, stated = read_bytes(file, LARGEST_STATISTICS), read_bytes(file.with_suffix(".sha256"), 100)
    if hashlib.sha256(data).hexdigest().encode() != stated.strip():
        raise CheckpointError(f"{file} is damaged: its sha256 differs.")
    tensors = load(data)
    return FeatureSet(Moments.from_tensors(tensors), tensors.get("features"), tensors.get("logits"))
