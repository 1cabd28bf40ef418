"""`load_images`: prepares images from any source of `--data` once, and keeps them."""

from __future__ import annotations

import logging
import os
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from ganzoo.data import hub, store
from ganzoo.data.decode import Size, rectangle
from ganzoo.data.memory import available_bytes
from ganzoo.data.prepare import Target, bad_images_line, checked, prepare, report_seen, targets_of
from ganzoo.data.resolve import find_source
from ganzoo.data.sources import ArraySource, EncodedSource, HubSource, ImageData, PairedSource, Stream
from ganzoo.errors import DataError, UsageError
from ganzoo.files.text import quoted, reason

log = logging.getLogger(__name__)

LARGEST_SIZE = 2048


def load_images(
    source: str,
    *,
    size: Size,
    channels: int | None = None,
    datasets: Mapping[str, Callable] | None = None,
    root: Path | None = None,
    on_bad_image: str = "error",
    cache: Path | None = None,
    limit_memory: int | None = None,
    check: Callable[[ArraySource | EncodedSource], object] | None = None,
) -> ImageData:
    """Prepares a source as uint8 images (H, W, C), or reads those prepared before.

    `size` is that of squares, or (height, width). `source` is a registered name with an optional ":split", a folder, a
    .zip, an .npz, idx or Parquet files, or hf://datasets/owner/name. `datasets` maps names to factories, which look for
    local files in `root`. `channels` None means 1 for grey images and 3 for all others; 4 keeps the transparency, which
    the others put on white. `on_bad_image` is "error" or "skip". `cache` is the folder for prepared images
    ($GANZOO_CACHE, else ~/.cache/ganzoo); beyond `limit_memory` bytes (a quarter of the free memory) they are mapped,
    not read. `check` is called with the source before its images are decoded. Raises UsageError and DataError of one
    line.
    """
    check_request(size, channels, on_bad_image)
    found = find_images(source, datasets or {}, root)
    options: dict[str, Any] = {"on_bad_image": on_bad_image, "cache": cache, "limit_memory": limit_memory}
    return load_found(found, size=rectangle(size), channels=channels, check=check, **options)


def find_images(
    source: str, datasets: Mapping[str, Callable], root: Path | None
) -> ArraySource | EncodedSource | HubSource:
    """Finds a source of images; UsageError for one of other samples."""
    found = find_source(source, datasets, root)
    if isinstance(found, Stream):
        kind = found.spec.output.kind
        raise UsageError(f"{quoted(source)} holds {kind}, not images: `ganzoo train points` takes it.")
    return found


def load_found(
    found: ArraySource | EncodedSource | HubSource,
    *,
    size: tuple[int, int],
    channels: int | None,
    larger: tuple[int, int] | None = None,
    on_bad_image: str = "error",
    cache: Path | None = None,
    limit_memory: int | None = None,
    check: Callable[[ArraySource | EncodedSource], object] | None = None,
) -> ImageData:
    """Does the work of `load_images` for a source that was found.

    With `larger`, images are kept at that size, for random crops of `size`, and at `size` as the field "images.view".
    """
    kept = cache_folder(cache)
    files = None
    if isinstance(found, HubSource):
        found, files = hub.pin(found, kept / "hub")
        identity = hub.identity(found)
    else:
        found = checked(found)
        if check is not None:
            check(found)
        identity = found.identity
    facts: dict[str, Any] = {"larger": list(larger)} if larger else {}
    keys = {
        one: store.key_of(identity=identity, size=size_key(size), channels=one, **facts) for one in (channels, None)
    }
    limit = memory_limit(limit_memory)
    skip = on_bad_image == "skip"
    for key in keys.values():  # a resumed run states the channels that it found when it started
        data = read_kept(kept / "datasets" / key, limit, skip)
        if data is not None and channels in (None, data.channels):
            return data
    revision = None
    if isinstance(found, HubSource):
        revision = found.revision
        found = checked(hub.download(found, files))
        if check is not None:
            check(found)
    targets = targets_of(found, size, channels, larger)
    return build(found, kept / "datasets" / keys[channels], limit, targets, revision=revision, skip=skip)


def check_request(size: Size, channels: int | None, on_bad_image: str) -> None:
    """UsageError for a request that is out of range."""
    shape = rectangle(size)
    if len(shape) != 2 or not all(1 <= side <= LARGEST_SIZE for side in shape):
        named = f"{size} pixels wide" if isinstance(size, int) else f"{' x '.join(map(str, size))} pixels"
        raise UsageError(f"Images cannot be {named}; 1 to {LARGEST_SIZE} are possible.")
    if channels not in (None, 1, 3, 4):
        raise UsageError(
            f"Images cannot have {channels} channels; 1 (grey), 3 (RGB) and 4 (RGBA, with transparency) are possible."
        )
    if on_bad_image not in ("error", "skip"):
        raise UsageError(f"Bad images cannot be treated as {quoted(on_bad_image)}; known are 'error' and 'skip'.")


def size_key(shape: tuple[int, int]) -> int | list[int]:
    """A size in the facts of which a folder's name is made: one number for squares."""
    return shape[0] if shape[0] == shape[1] else list(shape)


def cache_folder(cache: Path | None) -> Path:
    """Returns the cache folder: the argument, $GANZOO_CACHE, or ~/.cache/ganzoo."""
    return Path(os.path.expanduser(cache or os.environ.get("GANZOO_CACHE") or "~/.cache/ganzoo")).absolute()


def memory_limit(limit: int | None) -> int:
    """The bytes of images that are read into memory: the argument, or a quarter of the free memory."""
    return available_bytes() // 4 if limit is None else limit


def read_kept(folder: Path, limit: int, skip: bool) -> ImageData | None:
    """Reads the prepared images in the folder; None if there are none, or if they were damaged and are now removed."""
    try:
        kept = store.read(folder, limit)
    except store.Damaged as damage:
        log.warning(f"the images kept in {quoted(folder)} are damaged ({damage}): preparing them again")
        try:
            store.discard(folder)
        except OSError as error:
            log.warning(f"{quoted(folder)} cannot be removed: {reason(error)}")
        return None
    if kept is None:
        return None
    data, facts = kept
    if facts["bad"]["count"]:
        line = bad_images_line(facts["bad"], facts["count"], facts["name"])
        if not skip:
            raise DataError(line)
        log.warning(f"left out {facts['bad']['count']} of {facts['count']} images, first {facts['bad']['first'][0]}")
    report_seen(facts)
    return data


def build(
    found: ArraySource | EncodedSource | PairedSource,
    folder: Path,
    limit: int,
    targets: Sequence[Target],
    *,
    revision: str | None,
    skip: bool,
) -> ImageData:
    """Prepares the images in the folder, or only in memory if the folder cannot be written."""
    names = [target.name for target in targets]
    try:
        with store.writing(folder, names) as writer:
            prepare(found, writer, targets, revision=revision, skip=skip)
        data = read_kept(folder, limit, skip)
        if data is not None:
            return data
        problem = "what was written does not read back"
    except OSError as error:
        problem = reason(error)
    log.warning(f"images cannot be kept in {quoted(folder)} ({problem}): preparing them for this run alone")
    try:
        with tempfile.TemporaryDirectory(prefix="ganzoo-") as temporary:
            with store.writing(Path(temporary) / "images", names) as writer:
                prepare(found, writer, targets, revision=revision, skip=skip)
            kept = store.read(Path(temporary) / "images", limit=2**63)
            assert kept is not None  # it was just written
            report_seen(kept[1])
            return kept[0]
    except OSError as error:
        raise DataError(
            f"Images can be prepared neither in {quoted(folder.parent)} ({problem}) nor in"
            f" {quoted(tempfile.gettempdir())} ({reason(error)}): set GANZOO_CACHE to a folder with room."
        ) from error
