"""What an extractor sees of a set of images: the only thing that metrics are given."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from ganzoo.data import ImageData
from ganzoo.errors import GanzooError, PluginError, UsageError
from ganzoo.files.text import shorten
from ganzoo.metrics.moments import Moments

NEEDS = ("features", "logits")


@dataclass(frozen=True)
class Extractor:
    """A registered feature extractor: its name, its network, the sha256 of weights and preprocessing, and its classes if it has any."""

    name: str
    network: Callable[[Tensor], Tensor]
    fingerprint: str
    classes: tuple[str, ...]


@dataclass(frozen=True)
class Observation:
    """Moments of the features of some images, and as far as metrics need them all features (N, D) and logits (N, K), in float32.

    Features of no more images than dimensions are there even if no metric needs them: they say as much as moments, in less room. Of
    drawings there is also what they were drawn from, int64 both: `codes` (N, K), the values of the generator's K categorical codes, None if
    it has none; `labels` (N,), the classes that were asked for, None unless the generator's classes are the extractor's, by name and in order.
    """

    moments: Moments
    features: Tensor | None
    logits: Tensor | None
    codes: Tensor | None = None
    labels: Tensor | None = None


def load_extractor(name: str, factories: Mapping[str, Callable] | None = None) -> Extractor:
    """Builds a registered extractor; PluginError if it breaks its contract. `factories` are all of them (None: the registry's)."""
    from ganzoo.registry.registry import registry

    factory = registry().get("extractors", name) if factories is None else factories[name]
    try:
        network = factory()
    except GanzooError:
        raise
    except Exception as error:
        raise failure("extractor", name, error) from error
    fingerprint, classes = getattr(network, "fingerprint", None), getattr(network, "classes", ())
    if not callable(network) or not isinstance(fingerprint, str) or not re.fullmatch(r"[0-9a-f]{64}", fingerprint):
        raise PluginError(
            f"The extractor '{name}' must be callable and state its `fingerprint`, a sha256 in 64 hex digits."
        )
    if bool(classes) != callable(getattr(network, "classify", None)):
        raise PluginError(f"The extractor '{name}' must have both `classes` and `classify(features)`, or neither.")
    return Extractor(name, network, fingerprint, tuple(classes))


def failure(kind: str, name: str, error: Exception) -> PluginError:
    """What to raise where a plugin's extractor or metric has raised something of its own."""
    return PluginError(f"The {kind} '{name}' failed: {type(error).__name__}: {shorten(str(error))}.")


def needs_of(metrics: Mapping[str, Callable], extractor: Extractor) -> tuple[str, ...]:
    """What these metrics need beside moments; UsageError if one needs classes that the extractor does not have."""
    found = set()
    for name, metric in metrics.items():
        needs = getattr(metric, "needs", ("features",))
        if not isinstance(needs, tuple | list) or not all(need in NEEDS for need in needs):
            raise PluginError(f"The metric '{name}' needs {shorten(needs)}; known are {' and '.join(NEEDS)}.")
        if "logits" in needs and not extractor.classes:
            raise UsageError(
                f"The metric '{name}' needs a classifier; the extractor '{extractor.name}' tells no classes apart."
            )
        found |= set(needs)
    return tuple(sorted(found))


def observe(batches: Iterable[Tensor], extractor: Extractor, needs: tuple[str, ...]) -> Observation:
    """Sends images (N, C, H, W) in [-1, 1] through the extractor, batch by batch; PluginError names an extractor that fails."""
    moments, features, logits = None, [], []
    with torch.inference_mode():
        for images in batches:
            seen = checked(ask(extractor, extractor.network, images), len(images), extractor.name)
            moments = moments or Moments(seen.shape[1])
            moments.update(seen)
            if "features" in needs or moments.count <= moments.dimensions:
                features.append(seen)
            else:
                features.clear()
            if "logits" in needs:
                logits.append(checked_logits(ask(extractor, extractor.network.classify, seen), len(images), extractor))
    if moments is None:
        raise UsageError("There are no images to look at.")
    return Observation(moments, torch.cat(features) if features else None, torch.cat(logits) if logits else None)


def ask(extractor: Extractor, eye: Callable[[Tensor], Tensor], seen: Tensor) -> Tensor:
    """What a part of an extractor makes of images or features; PluginError if it raises something of its own."""
    try:
        return eye(seen)
    except GanzooError:
        raise
    except Exception as error:
        raise failure("extractor", extractor.name, error) from error


def checked(features: Tensor, images: int, name: str) -> Tensor:
    if not isinstance(features, Tensor) or features.ndim != 2 or len(features) != images:
        shape = tuple(features.shape) if isinstance(features, Tensor) else type(features).__name__
        raise PluginError(f"The extractor '{name}' must turn {images} images into features ({images}, D), not {shape}.")
    return features.float().cpu()


def checked_logits(logits: Tensor, images: int, extractor: Extractor) -> Tensor:
    wanted = (images, len(extractor.classes))
    if not isinstance(logits, Tensor) or logits.shape != wanted:
        shape = tuple(logits.shape) if isinstance(logits, Tensor) else type(logits).__name__
        raise PluginError(
            f"The extractor '{extractor.name}' must classify {images} images by logits {wanted}, not {shape}."
        )
    return logits.float().cpu()


def as_images(pixels: Tensor) -> Tensor:
    """uint8 pixels (N, H, W, C) as extractors take them: float32 (N, C, H, W) in [-1, 1]."""
    return pixels.permute(0, 3, 1, 2).to(torch.float32).div_(127.5).sub_(1).contiguous()


def real_batches(data: ImageData, batch_size: int) -> Iterator[Tensor]:
    for start in range(0, len(data), batch_size):
        yield as_images(data.images[start : start + batch_size])
