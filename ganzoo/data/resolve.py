"""Resolves the text of `--data` to a source, without guessing."""

from __future__ import annotations

import hashlib
import logging
import re
import stat
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

from ganzoo.data.archives import TAR_SUFFIXES, file_identity, list_files
from ganzoo.data.arrays import IDX_IMAGES, holds_idx, idx_source, npz_source
from ganzoo.data.decode import SUFFIXES
from ganzoo.data.image_files import archive_source, folder_source, shards_source
from ganzoo.data.parquet import choose_split, parquet_source
from ganzoo.data.sources import ArraySource, EncodedSource, HubSource, Stream
from ganzoo.errors import DataError, GanzooError, PluginError, UsageError, did_you_mean
from ganzoo.files.text import quoted, reason

log = logging.getLogger(__name__)

Source = ArraySource | EncodedSource | HubSource | Stream
REPOSITORY = r"[\w][\w.-]*/[\w][\w.-]*"
HUB_ADDRESS = re.compile(
    rf"hf://datasets/(?P<repository>{REPOSITORY})"
    r"(@(?P<revision>refs/(convert/\w+|pr/\d+)|[\w.-]+))?(/(?P<folder>[\w./-]+?))?/?(:(?P<split>[\w.-]+))?"
)
KINDS = "a folder of images, a .zip, .tar or .npz, idx or Parquet files"
SPLIT = re.compile(r"[\w.-]+")


def find_source(text: str, datasets: Mapping[str, Callable], root: Path | None) -> Source:
    """Returns the source that the text names: the Hub, then a registered name, then a path.

    A registered name wins over a file of that name, which is reached as "./name". After a colon comes the split.
    """
    if text.startswith("hf://"):
        return hub_source(text)
    name, _, own_split = text.partition(":")
    if name in datasets:
        return registered_source(name, own_split, datasets[name], root)
    path, split = existing_path(text)
    try:
        found = path_source(path, path.stat().st_mode, split)
    except FileNotFoundError as error:
        raise UsageError(unknown_line(text, name, datasets)) from error
    except (OSError, ValueError) as error:
        raise DataError(f"{quoted(text)} cannot be read: {reason(error)}.") from error
    return replace(found, identity=f"{found.identity} {reading_of(found)}")


def with_split(source: str, split: str | None) -> str:
    """The source that names this split of it, as "photos:val" does."""
    if split is None:
        return source
    if not SPLIT.fullmatch(split):
        raise UsageError(f"{quoted(split)} is no name of a split; train, val and test are.")
    return f"{source}:{split}"


def existing_path(text: str) -> tuple[Path, str | None]:
    """The path, and the split after its last colon if there is no file or folder of the whole name."""
    path = Path(text).expanduser()
    start, colon, split = text.rpartition(":")
    if colon and SPLIT.fullmatch(split) and not _is_there(path) and _is_there(Path(start).expanduser()):
        return Path(start).expanduser(), split
    return path, None


def _is_there(path: Path) -> bool:
    try:
        return path.exists()
    except (OSError, ValueError):
        return False


def reading_of(source: ArraySource | EncodedSource) -> str:
    """A sum of what was read into a source besides its bytes: which images, which labels, which classes."""
    digest = hashlib.sha256()
    if isinstance(source, EncodedSource):
        digest.update("\0".join(source.names).encode("utf-8", "surrogateescape"))
    if source.labels is not None:
        digest.update(source.labels.astype("<i8").tobytes())
    digest.update("\0".join(("classes", *source.classes)).encode("utf-8", "surrogateescape"))
    return digest.hexdigest()


def registered_source(name: str, split: str, factory: Callable, root: Path | None) -> Source:
    try:
        source = factory(root, split=split) if split else factory(root)
    except GanzooError:
        raise
    except Exception as error:
        raise PluginError(f"Data set {quoted(name)} failed: {type(error).__name__}: {reason(error)}.") from error
    if not isinstance(source, Source):
        raise PluginError(
            f"Data set {quoted(name)} gave {type(source).__name__}; "
            "ArraySource, EncodedSource, HubSource or Stream is needed."
        )
    return source


def unknown_line(text: str, name: str, datasets: Mapping[str, Callable]) -> str:
    if re.fullmatch(REPOSITORY, text) and not text.lower().endswith(
        (".zip", ".npz", ".parquet", ".gz", *TAR_SUFFIXES, *SUFFIXES)
    ):
        return (
            f"There is no folder {quoted(text)}. For the data set of that name on the Hub write hf://datasets/{text}."
        )
    if "/" in text or "\\" in text or Path(text).suffix:
        return f"There is no file or folder {quoted(text)}."
    return f"No data set, file or folder is called {quoted(text)}.{did_you_mean(name, datasets)}"


def hub_source(text: str) -> HubSource:
    match = HUB_ADDRESS.fullmatch(text)
    if not match or ".." in text:
        raise UsageError(
            f"{quoted(text)} is no address of a data set; write hf://datasets/owner/name, then if needed @revision,"
            " /folder and :split."
        )
    return HubSource(
        repository=match["repository"],
        name=match["repository"],
        revision=match["revision"],
        split=match["split"] or "train",
        folder=match["folder"] or "",
    )


def path_source(path: Path, mode: int, split: str | None = None) -> ArraySource | EncodedSource:
    """What an existing path holds, told by names alone; the content is checked when it is read."""
    name = path.name.lower()
    if stat.S_ISDIR(mode):
        return directory_source(path, split)
    if not stat.S_ISREG(mode):
        raise UsageError(f"{quoted(path)} is not a regular file; {KINDS} can be read.")
    if name.endswith((".zip", *TAR_SUFFIXES)):
        return archive_source(path, split)
    if name.endswith(".npz"):
        return npz_source(path, split)
    if name.endswith(".parquet"):
        names = choose_split([path.name], split, quoted(path)) if split else [path.name]
        return parquet_source([path], names, file_identity(path), path.stem)
    if IDX_IMAGES.fullmatch(path.name):
        if split:
            raise UsageError(f"{quoted(path)} is one split: leave out {quoted(split)}, or give its folder.")
        return idx_source(path)
    if name.endswith(SUFFIXES):
        raise UsageError(f"{quoted(path)} is a single image: give the folder that holds all of them.")
    raise UsageError(f"{quoted(path)} is of no known kind; {KINDS} can be read.")


def directory_source(folder: Path, split: str | None = None) -> ArraySource | EncodedSource:
    """Images, archives of them, idx or Parquet files in a folder, of which it must hold only one kind."""
    files = list_files(folder)
    images = any(name.lower().endswith(SUFFIXES) for name in files)
    tables = [name for name in files if name.lower().endswith(".parquet")]
    shards = [name for name in files if name.lower().endswith(TAR_SUFFIXES)]
    if images + bool(tables) + holds_idx(folder) > 1:
        raise UsageError(f"{quoted(folder)} holds data of several kinds: give the folder or file that is meant.")
    if images:
        return folder_source(folder, files, split)
    if tables:
        names = choose_split(tables, split or "train", quoted(folder))
        if len(names) < len(tables):
            log.info(f"{quoted(folder)} has several splits: using {len(names)} of {len(tables)} Parquet files")
        paths = [folder / name for name in names]
        return parquet_source(paths, names, file_identity(*paths), folder.resolve().name)
    if holds_idx(folder):
        return idx_source(folder, split)
    if shards:
        return shards_source(folder, shards, split)
    if files:
        return folder_source(folder, files)  # says which kinds of files there are instead
    raise DataError(f"{quoted(folder)} is empty; known are {', '.join(SUFFIXES)}, idx and Parquet files.")
