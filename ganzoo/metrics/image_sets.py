"""Scores images against images without a model: pair by pair, or two sets as distributions."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy
import torch
from PIL import Image
from torch import Tensor

from ganzoo.data import ArraySource, EncodedSource, ImageData, load_images
from ganzoo.data.archives import read_file
from ganzoo.data.decode import BadImage, fit, is_grey, is_transparent, open_header
from ganzoo.data.load import find_images as find_image_source
from ganzoo.data.prepare import count_of
from ganzoo.data.resolve import find_source
from ganzoo.data.single_files import ImageFile, Pair, checked_sizes, find_images, listed, paired, read_image
from ganzoo.errors import DataError, UsageError, did_you_mean
from ganzoo.files.text import quoted
from ganzoo.metrics.features import (
    Extractor,
    check_channels,
    extract_features,
    load_extractor,
    needs_classes,
    needs_of,
    real_batches,
)
from ganzoo.metrics.paired import PAIRED, WHOLE, ComparedPart
from ganzoo.metrics.score import REAL_BATCH, measure, reference_features
from ganzoo.registry.registry import Registry

log = logging.getLogger(__name__)

USUAL = ("psnr", "ssim", "ms-ssim", "l1")  # of pairs; lpips needs weights of its own
EXTRACTORS = ("fashion-cnn", "emoji-cnn", "random-cnn")  # for grey images of garments, for colour, for all others
LOOKED_AT = 64


@dataclass(frozen=True)
class PairScores:
    """The numbers of every pair by metric, in the order of `names`, and their means."""

    names: tuple[str, ...]
    values: Mapping[str, tuple[float, ...]]

    @property
    def means(self) -> dict[str, float]:
        return {metric: sum(values) / len(values) for metric, values in self.values.items()}


def score_pairs(
    images: Path,
    truth: Path,
    metrics: Sequence[str] = (),
    channels: int | None = None,
    part: ComparedPart = WHOLE,
) -> PairScores:
    """Compares the images in a folder with those of the same names in another, or one file with another.

    `metrics` are names of `ganzoo.metrics.paired.PAIRED`, by default all but lpips that the smallest image is large
    enough for. Images are compared in grey if all of them are, else in RGB, transparent ones on white; `channels` 1, 3
    or 4 decides it. `part` is the part of them that is compared. DataError names every file without a partner, every
    one that cannot be read, and every pair of different sizes.
    """
    pairs = _pairs(images.expanduser(), truth.expanduser())
    sizes = checked_sizes([file for pair in pairs for file in pair])
    first, second = sizes[::2], sizes[1::2]
    differing = [
        f"{quoted(pair[0].name)} is {one[0]} x {one[1]} and {other[0]} x {other[1]}"
        for pair, one, other in zip(pairs, first, second, strict=True)
        if one != other
    ]
    if differing:
        raise DataError(f"{len(differing)} pairs have two sizes (height x width): {listed(differing, '; ')}.")
    chosen = paired_metrics(metrics, min(min(size) for size in sizes), part.border)
    channels = channels or _channels(pairs)
    _say_transparent(pairs, channels)
    values: dict[str, list[float]] = {name: [] for name in chosen}
    for pair in pairs:
        one, other = (part(_pixels(file, channels), low=0.0) for file in pair)
        for name, metric in chosen.items():
            values[name].append(float(metric(one, other, low=0.0, high=1.0)))
    return PairScores(tuple(pair[0].name for pair in pairs), {name: tuple(found) for name, found in values.items()})


def _pairs(images: Path, truth: Path) -> list[Pair]:
    first, second = find_images([images]), find_images([truth])
    if images.is_dir() != truth.is_dir():
        raise UsageError(f"{quoted(images)} and {quoted(truth)} are a file and a folder: give two of one kind.")
    if not images.is_dir():
        return [(first[0], second[0])]
    return paired(first, second, (quoted(images), quoted(truth)))


def paired_metrics(asked: Sequence[str], smallest: int, border: int = 0) -> dict[str, Callable[..., Tensor]]:
    """Returns the metrics by name; UsageError for an unknown one, or one that needs larger images and was asked for.

    `smallest` is the shortest side of all images, of which `border` pixels are left out at both ends.
    """
    for name in asked:
        if name not in PAIRED:
            raise UsageError(f"No metric of pairs is called {quoted(name)}.{did_you_mean(name, PAIRED)}")
    left = smallest - 2 * border
    has = f"{smallest}, {left} without its border of {border}" if border else f"{smallest}"
    if left < 1:
        raise UsageError(
            f"A border of {border} leaves nothing of the smallest image, whose shorter side has {smallest} pixels: "
            f"give at most {(smallest - 1) // 2}."
        )
    small = [name for name in asked or USUAL if left < PAIRED[name].least]
    if small:
        needs = ", ".join(f"{name} needs {PAIRED[name].least}" for name in small)
        line = f"{needs} pixels on each side, and the smallest image has {has}"
        if asked:
            raise UsageError(f"{line}.")
        log.info(f"left out: {line}")
    return {name: PAIRED[name] for name in asked or USUAL if name not in small}


def _channels(pairs: Sequence[Pair]) -> int:
    """Returns 1 if the headers of all files say grey, else 3."""
    return 1 if all(is_grey(read_file(file.path)) for pair in pairs for file in pair) else 3


def _say_transparent(pairs: Sequence[Pair], channels: int) -> None:
    """Says how many images lose their transparency, which is not compared."""
    if channels == 4:
        return
    count = sum(is_transparent(read_file(file.path)) for pair in pairs for file in pair)
    if count:
        log.info(f"{count} of {2 * len(pairs)} images are transparent and put on white: --channels 4 compares that too")


def _pixels(file: ImageFile, channels: int) -> Tensor:
    """Decodes one file to (1, C, H, W) in [0, 1]."""
    try:
        image = read_image(file)
        pixels = fit(image, (image.height, image.width), channels)
    except BadImage as error:
        raise DataError(f"{quoted(file.path)} cannot be used: {error}.") from None
    return torch.from_numpy(numpy.array(pixels)).permute(2, 0, 1)[None].double() / 255


def score_sets(
    images: str,
    reference: str,
    registry: Registry,
    *,
    metrics: Sequence[str] = (),
    extractor: str | None = None,
    size: int | None = None,
    channels: int | None = None,
    seed: int = 0,
    root: Path | None = None,
) -> tuple[dict[str, float], dict[str, Any]]:
    """Scores the distribution of images against that of reference images; both are sources as `load_images` takes them.

    Returns ({"metric[extractor]": number}, facts). `metrics` are registered names, by default frechet, kid and
    precision-recall; `extractor` None chooses one that was made for the images. `size` None means that of the images
    themselves, if they have one and are square. UsageError for too few images.
    """
    size = size or _own_size(images, registry, root)
    options: dict[str, Any] = {"size": size, "datasets": registry.table("datasets"), "root": root}
    sets = [load_images(source, channels=channels, **options) for source in (images, reference)]
    if sets[0].channels != sets[1].channels:
        log.info("one side is grey: both are compared in colour")
        sets = [load_images(source, channels=3, **options) for source in (images, reference)]
    for source in (images, reference):
        _say_opaque(source, registry, root)
    fake, real = sets
    chosen = {name: registry.get("metrics", name) for name in metrics or ("frechet", "kid", "precision-recall")}
    found = load_extractor(extractor) if extractor is not None else chosen_extractor(sets)
    check_channels(found, real)
    _refuse_few(chosen, sets)
    if unfit := [name for name, metric in chosen.items() if needs_classes(metric) and not found.suits(real)]:
        raise UsageError(f"{listed(unfit)}: the extractor '{found.name}' is for {found.purpose}; choose another one.")
    needs = needs_of(chosen, found)
    features = extract_features(real_batches(fake, REAL_BATCH), found, needs)
    numbers = measure(reference_features(real, found, needs), features, found, chosen, seed)
    facts = {"images": len(fake), "reference": len(real), "size": size, "channels": fake.channels}
    return numbers, {**facts, "extractor": found.name}


def chosen_extractor(sets: Sequence[ImageData]) -> Extractor:
    """Returns the first built-in extractor that was made for images of this shape."""
    grey, colour, generic = EXTRACTORS
    found = load_extractor(grey)
    if all(map(found.suits, sets)):
        return found
    found = load_extractor(colour)
    return found if all(map(found.compares, sets)) else load_extractor(generic)


def _refuse_few(metrics: Mapping[str, Callable], sets: Sequence[ImageData]) -> None:
    fewest = min(map(len, sets))
    lines = [f"{name} needs {least}" for name in metrics if fewest < (least := getattr(metrics[name], "least", 1))]
    if lines:
        raise UsageError(f"One side has {fewest} images, and {listed(lines)}: give more, or choose with --metric.")


def _own_size(source: str, registry: Registry, root: Path | None) -> int:
    """Returns the common size of the images of a source, as far as 64 headers tell; UsageError if there is none."""
    found = find_image_source(source, registry.table("datasets"), root)
    sizes: set[tuple[int, int]] = set()
    if isinstance(found, ArraySource):
        sizes = {found.images.shape[1:3]}
    elif isinstance(found, EncodedSource):
        count = count_of(found)
        for position in range(min(count, LOOKED_AT)):
            try:
                sizes.add(_upright_size(open_header(found.read(position * count // min(count, LOOKED_AT)))))
            except Exception:  # whatever it is, decoding will meet it again and report it
                continue
    if len(sizes) == 1 and len(set(next(iter(sizes)))) == 1:
        return next(iter(sizes))[0]
    kinds = "no size that is known before they are loaded" if not sizes else "several sizes, or sides that differ"
    raise UsageError(f"The images of {quoted(source)} have {kinds}: choose one with --image-size.")


def _say_opaque(source: str, registry: Registry, root: Path | None) -> None:
    """Says that transparent images are put on white, as far as 64 headers of files tell."""
    found = find_source(source, registry.table("datasets"), root)
    if not isinstance(found, EncodedSource):
        return
    count, transparent = min(count_of(found), LOOKED_AT), 0
    for position in range(count):
        try:
            transparent += is_transparent(found.read(position * count_of(found) // count))
        except BadImage:  # which loading has reported
            continue
    if transparent:
        log.info(
            f"{quoted(source)}: transparent images are put on white ({transparent} of {count} that were looked at)"
        )


def _upright_size(image: Image.Image) -> tuple[int, int]:
    turned = image.getexif().get(0x0112, 1) in (5, 6, 7, 8)
    return (image.width, image.height) if turned else (image.height, image.width)
