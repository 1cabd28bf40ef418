"""Extracts the features of images: all that metrics are given."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from ganzoo.data import ImageData
from ganzoo.errors import GanzooError, PluginError, UsageError
from ganzoo.files.text import quoted
from ganzoo.metrics.directions import stated_directions
from ganzoo.metrics.moments import Moments
from ganzoo.networks.precision import float32_by_default
from ganzoo.variant import ImageSpec, SampleSpec

NEEDS = ("features", "logits")
IN_WORDS = {1: "grey images", 3: "images in colour"}
OTHERS = {1: "fashion-cnn or random-cnn", 3: "emoji-cnn or random-cnn"}  # embedded extractors, by channels of images


@dataclass(frozen=True)
class Extractor:
    """Holds a feature extractor: its name, network, the sha256 of weights and preprocessing, and its classes if any.

    `purpose` says in words for which images it was made; it is empty where that is any. `channels` are the numbers of
    channels of images that it compares.
    """

    name: str
    network: Callable[[Tensor], Tensor]
    fingerprint: str
    classes: tuple[str, ...]
    purpose: str = ""
    channels: tuple[int, ...] = (1, 3)

    def suits(self, data: ImageData) -> bool:
        """Returns True if it was made for such images; the classes that it finds in others mean nothing."""
        return self.suits_shape(ImageSpec((data.height, data.width), data.channels, len(data.classes)), data.classes)

    def suits_shape(self, image: SampleSpec, classes: tuple[str, ...] = ()) -> bool:
        """Returns True if it was made for images of this shape with classes of these names."""
        judge = getattr(self.network, "suits", None)
        if judge is None:
            return True
        try:
            return bool(judge(image, classes))
        except Exception as error:
            raise failure("extractor", self.name, error) from error

    def compares(self, data: ImageData) -> bool:
        """Returns True if it was made for images of this shape, whatever their classes are."""
        return self.suits_shape(ImageSpec((data.height, data.width), data.channels), self.classes)

    @property
    def classify(self) -> Callable[[Tensor], Tensor]:
        """The function from features (N, D) to logits (N, K) of an extractor that has classes."""
        return getattr(self.network, "classify")  # noqa: B009 - the network is any callable


@dataclass(frozen=True)
class FeatureSet:
    """Holds the moments of the features of some images, and features (N, D) and logits (N, K) in float32 if needed.

    Features of at most D images are always kept, since they are smaller than their moments. Samples also have, as
    int64, `codes` (N, K), the values of the generator's K categorical codes (None if it has none), and `labels` (N,),
    the requested classes (None unless the generator's classes are the extractor's, by name and in order).
    """

    moments: Moments
    features: Tensor | None
    logits: Tensor | None
    codes: Tensor | None = None
    labels: Tensor | None = None


def load_extractor(name: str, factories: Mapping[str, Callable] | None = None) -> Extractor:
    """Builds a registered extractor; PluginError if it breaks its contract.

    `factories` are by name (None: the registry's).
    """
    from ganzoo.registry.registry import registry

    factory = registry().get("extractors", name) if factories is None else factories[name]
    try:
        with float32_by_default():
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
    purpose = getattr(network, "purpose", "")
    if not isinstance(purpose, str) or bool(purpose) != callable(getattr(network, "suits", None)):
        raise PluginError(
            f"The extractor '{name}' must have both `purpose`, a text, and `suits(image, classes)`, or neither."
        )
    channels = getattr(network, "channels", (1, 3))
    if not isinstance(channels, tuple) or not channels or not set(channels) <= {1, 3}:
        raise PluginError(f"The extractor '{name}' must state its `channels` as a tuple of 1 (grey), 3 (RGB) or both.")
    return Extractor(name, network, fingerprint, tuple(classes), purpose, channels)


def check_channels(extractor: Extractor, images: ImageData) -> None:
    """Raises UsageError for images in colour and an extractor of grey ones alone, and the other way round."""
    if images.channels in extractor.channels or images.channels not in (1, 3):
        return
    there = "in colour" if images.channels == 3 else "grey"
    purpose = extractor.purpose or IN_WORDS[extractor.channels[0]]
    raise UsageError(
        f"The extractor '{extractor.name}' is for {purpose}, and the images in {quoted(images.name)} "
        f"are {there}: choose --extractor {OTHERS[images.channels]}."
    )


def failure(kind: str, name: str, error: Exception) -> PluginError:
    """Returns the error to raise where a plugin's extractor or metric raised something of its own."""
    return PluginError(f"The {kind} '{name}' failed: {type(error).__name__}: {quoted(str(error))}.")


def needs_of(metrics: Mapping[str, Callable], extractor: Extractor) -> tuple[str, ...]:
    """Returns the needs of these metrics beside moments; UsageError if one needs classes and the extractor has none."""
    found = set()
    for name, metric in metrics.items():
        needs = getattr(metric, "needs", ("features",))
        if not isinstance(needs, tuple | list) or not all(need in NEEDS for need in needs):
            raise PluginError(f"The metric '{name}' needs {quoted(needs)}; known are {' and '.join(NEEDS)}.")
        if "logits" in needs and not extractor.classes:
            raise UsageError(
                f"The metric '{name}' needs a classifier; the extractor '{extractor.name}' has no classes."
            )
        stated_directions(name, metric)
        found |= set(needs)
    return tuple(sorted(found))


def unsuited(extractor: Extractor, reference: ImageData) -> str:
    """Says why an extractor's classes mean nothing for these images; empty if it was made for them."""
    if extractor.suits(reference):
        return ""
    colour = "in colour" if reference.channels == 3 else "grey"
    names = f" of classes {quoted(', '.join(reference.classes[:3]))}" if reference.classes else ""
    return (
        f"the extractor '{extractor.name}' is for {extractor.purpose}, and the images{names} in "
        f"{quoted(reference.name)} are {colour}, {reference.size} pixels."
    )


def needs_classes(metric: Callable) -> bool:
    """Returns True if a metric needs the classes that a classifier finds."""
    return "logits" in getattr(metric, "needs", ())


def extract_features(batches: Iterable[Tensor], extractor: Extractor, needs: tuple[str, ...]) -> FeatureSet:
    """Extracts the features of batches of images (N, C, H, W) in [-1, 1]; PluginError names an extractor that fails."""
    (found,) = extract_by_each(batches, [(extractor, needs)])
    return found


def extract_by_each(
    batches: Iterable[Tensor], wanted: Sequence[tuple[Extractor, tuple[str, ...]]]
) -> tuple[FeatureSet, ...]:
    """Extracts the features of batches of images by several extractors, each with its needs, in one pass."""
    collectors = [_Collector(extractor, needs) for extractor, needs in wanted]
    with torch.inference_mode():
        for images in batches:
            for collector in collectors:
                collector.add(images)
    return tuple(collector.found() for collector in collectors)


class _Collector:
    """Collects what an extractor finds in batches of images."""

    def __init__(self, extractor: Extractor, needs: tuple[str, ...]):
        self.extractor, self.needs = extractor, needs
        self.moments: Moments | None = None
        self.features: list[Tensor] = []
        self.logits: list[Tensor] = []

    def add(self, images: Tensor) -> None:
        extractor = self.extractor
        batch = checked_features(call(extractor, extractor.network, images), len(images), extractor.name)
        self.moments = self.moments or Moments(batch.shape[1])
        self.moments.update(batch)
        if "features" in self.needs or self.moments.count <= self.moments.dimensions:
            self.features.append(batch)
        else:
            self.features.clear()
        if "logits" in self.needs:
            self.logits.append(checked_logits(call(extractor, extractor.classify, batch), len(images), extractor))

    def found(self) -> FeatureSet:
        if self.moments is None:
            raise UsageError("There are no images to extract features from.")
        features = torch.cat(self.features) if self.features else None
        return FeatureSet(self.moments, features, torch.cat(self.logits) if self.logits else None)


def call(extractor: Extractor, function: Callable[[Tensor], Tensor], inputs: Tensor) -> Tensor:
    """Calls a function of an extractor; PluginError if it raises something of its own."""
    try:
        with float32_by_default():
            return function(inputs)
    except GanzooError:
        raise
    except Exception as error:
        raise failure("extractor", extractor.name, error) from error


def checked_features(features: Tensor, images: int, name: str) -> Tensor:
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
    """Converts uint8 pixels (N, H, W, C) to the float32 images (N, C, H, W) in [-1, 1] that extractors take."""
    return pixels.permute(0, 3, 1, 2).to(torch.float32).div_(127.5).sub_(1).contiguous()


def real_batches(data: ImageData, batch_size: int) -> Iterator[Tensor]:
    for start in range(0, len(data), batch_size):
        yield as_images(data.images[start : start + batch_size])
