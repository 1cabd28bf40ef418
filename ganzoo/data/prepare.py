"""Prepares the images of a source: each is decoded once, by several threads, in order."""

from __future__ import annotations

import itertools
import logging
import os
import time
import warnings
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy
from PIL import Image

from ganzoo.data.decode import BadImage, as_bad_image, fit, is_grey, open_picture
from ganzoo.data.labels import checked_labels
from ganzoo.data.sources import ArraySource, EncodedSource, PairedSource
from ganzoo.data.store import Writer
from ganzoo.errors import DataError
from ganzoo.files.text import quoted

log = logging.getLogger(__name__)

# A thread takes a run of images at a time: handing over one costs more than decoding a small one. A window of runs is
# done before the next begins, which bounds the memory.
RUN = 16
WINDOW = 16 * RUN
NAMED = 5
LOOKED_AT = 64
SECONDS_BETWEEN_REPORTS = 10


def checked(source: ArraySource | EncodedSource) -> ArraySource | EncodedSource:
    """Returns the source if images and labels fit together; DataError names the data set if not."""
    where = quoted(source.name)
    if isinstance(source, ArraySource):
        images = source.images
        shape_fits = images.ndim == 3 or (images.ndim == 4 and images.shape[3] in (1, 3, 4))
        if images.dtype != numpy.uint8 or not shape_fits or 0 in images.shape[1:]:
            raise DataError(
                f"{where}: images of type {images.dtype} and shape {images.shape}; uint8 (N, H, W, C) is needed."
            )
    if count_of(source) == 0:
        raise DataError(f"{where} holds no images.")
    if source.labels is not None:
        checked_labels(source.labels, count_of(source), where, source.classes)
    return source


def count_of(source: ArraySource | EncodedSource | PairedSource) -> int:
    return len(source.images if isinstance(source, ArraySource) else source.names)


def channels_of(source: ArraySource | EncodedSource) -> int:
    """Returns 1 if all of up to 64 images, evenly spaced, are stored as grey, else 3.

    Only headers are read. A grey picture stored as colour counts as colour; unreadable ones are skipped.
    """
    if isinstance(source, ArraySource):
        return 1 if source.images.ndim == 3 or source.images.shape[3] == 1 else 3
    count = len(source.names)
    looked_at = min(count, LOOKED_AT)
    grey = []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # as in `prepare`
        for position in range(looked_at):
            try:
                grey.append(is_grey(source.read(position * count // looked_at)))
            except Exception:  # whatever it is, decoding will meet it again and report it
                continue
    return 1 if grey and all(grey) else 3


@dataclass(frozen=True)
class Target:
    """A field to prepare: its name, which of a row's pictures it is made of, (height, width) and channels.

    `exact` pictures are cut in the same place whatever their size.
    """

    name: str
    picture: int
    size: tuple[int, int]
    channels: int
    exact: bool = False

    @property
    def shape(self) -> tuple[int, int, int]:
        return (*self.size, self.channels)


def targets_of(
    source: ArraySource | EncodedSource, size: tuple[int, int], channels: int | None, larger: tuple[int, int] | None
) -> list[Target]:
    """The fields of images without pairs: with `larger`, they are kept at that size, and at `size` as their view."""
    channels = channels or channels_of(source)
    images = Target("images", 0, larger or size, channels)
    return [images, Target("images.view", 0, size, channels)] if larger else [images]


def opener(source: ArraySource | EncodedSource | PairedSource) -> Callable[[int], tuple[Image.Image, ...]]:
    """Returns a function from the number of a row to its decoded pictures: the output last, after its source."""
    if isinstance(source, PairedSource):
        return source.open
    if isinstance(source, EncodedSource):
        return lambda number: (open_picture(source.read(number)),)
    return lambda number: (array_picture(source, number),)


def array_picture(source: ArraySource, number: int) -> Image.Image:
    image = source.images[number]
    image = image[..., 0] if image.shape[-1] == 1 and image.ndim == 3 else image
    return Image.fromarray(numpy.ascontiguousarray(image))


def converter(
    source: ArraySource | EncodedSource | PairedSource, targets: Sequence[Target], cropped: set[int]
) -> Callable:
    """Returns a function from the number of a row to its uint8 (H, W, C) arrays by target, or its BadImage.

    Numbers of rows with pictures of other proportions are added to `cropped`.
    """
    pictures_of = opener(source)

    def convert(number: int) -> list[numpy.ndarray] | BadImage:
        try:
            pictures = pictures_of(number)
            (height, width), last = targets[0].size, pictures[-1]
            if last.width * height != last.height * width:
                cropped.add(number)
            return [fit(pictures[one.picture], one.size, one.channels, one.exact) for one in targets]
        except Exception as error:  # `read` may be a plugin's; one image must not end the scan of all
            return as_bad_image(error)

    return convert


def prepare(
    source: ArraySource | EncodedSource | PairedSource,
    writer: Writer,
    targets: Sequence[Target],
    *,
    revision: str | None,
    skip: bool,
) -> None:
    """Decodes all rows into the writer; DataError after the last one if some are bad and `skip` is False.

    A pair is one row: if either picture is bad, both are left out.
    """
    count = count_of(source)
    with warnings.catch_warnings(), ThreadPoolExecutor(threads()) as pool:
        # Pillow warns about large images before the limit here refuses them, and about harmless metadata.
        warnings.simplefilter("ignore")
        named = " and ".join(" x ".join(map(str, target.shape)) for target in targets if ".view" not in target.name)
        kind = "pairs" if isinstance(source, PairedSource) else "images"
        log.info(f"preparing {count} {kind} of {quoted(source.name)} at {named}")
        cropped: set[int] = set()
        kept, bad = convert_all(count, pool, converter(source, targets, cropped), writer)
    if bad and (not skip or not kept):
        raise DataError(bad_images_line(bad_facts(source, bad), count, source.name))
    labels = None if source.labels is None else numpy.asarray(source.labels, dtype=numpy.int64)[kept]
    facts = {"name": source.name, "classes": list(source.classes), "revision": revision, "count": count}
    seen = {"cropped": len(cropped.intersection(kept)), "distinct": writer.distinct}
    further = [target.shape for target in targets[1:]]
    writer.finish(targets[0].shape, labels, {**facts, **seen, "bad": bad_facts(source, bad)}, further)


def convert_all(
    count: int, pool: ThreadPoolExecutor, convert: Callable, writer: Writer
) -> tuple[list[int], list[tuple[int, BadImage]]]:
    """Writes every good row in order; returns the numbers of these, and the bad ones with their reasons."""
    kept, bad, last_report, reported = [], [], time.monotonic(), False
    for start in range(0, count, WINDOW):
        end = min(start + WINDOW, count)
        runs = [range(first, min(first + RUN, end)) for first in range(start, end, RUN)]
        results = pool.map(lambda run: [convert(number) for number in run], runs)
        for number, result in zip(range(start, end), itertools.chain.from_iterable(results), strict=True):
            if isinstance(result, BadImage):
                bad.append((number, result))
            else:
                writer.add(*result)
                kept.append(number)
        if time.monotonic() - last_report > SECONDS_BETWEEN_REPORTS or (reported and end == count):
            last_report, reported = time.monotonic(), True
            log.info(f"prepared {end} of {count} images")
    return kept, bad


def threads() -> int:
    available = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return min(available, 16)


def bad_facts(source: ArraySource | EncodedSource | PairedSource, bad: list[tuple[int, BadImage]]) -> dict:
    """Returns the number of bad images, and the first five as "'name' (reason)"."""
    names = range(count_of(source)) if isinstance(source, ArraySource) else source.names
    return {"count": len(bad), "first": [f"{quoted(names[number])} ({error})" for number, error in bad[:NAMED]]}


def report_seen(facts: dict) -> None:
    """Says how many images were cropped, and warns of data in which most images are the same."""
    count = facts["shape"][0]
    if cropped := facts.get("cropped", 0):
        square = facts["shape"][1] == facts["shape"][2]
        how = "not square" if square else "of other proportions"
        part = "the square in their middle" if square else "the part in their middle"
        log.info(f"{cropped} of {count} images are {how} and are cropped to {part}")
    distinct = facts.get("distinct", count)
    if count > 1 and 2 * distinct <= count:
        alike = "all images are the same" if distinct == 1 else f"only {distinct} of {count} images differ"
        log.warning(f"{quoted(facts['name'])}: {alike} at {facts['shape'][1]} x {facts['shape'][2]} pixels")


def bad_images_line(bad: dict, count: int, name: str) -> str:
    """Returns one line about unusable images: how many, the first five, and the remedy."""
    more = f" and {bad['count'] - NAMED} more" if bad["count"] > NAMED else ""
    advice = "Mend or remove them" + (", or leave them out with --on-bad-image skip." if bad["count"] < count else ".")
    return (
        f"{bad['count']} of {count} images of {quoted(name)} cannot be used: {', '.join(bad['first'])}{more}. {advice}"
    )
