"""Resolves the text of `--data` to a source, without guessing."""

from __future__ import annotations

import re
import stat
from collections.abc import Callable, Mapping
from pathlib import Path

from ganzoo.data.arrays import IDX_IMAGES, holds_idx, idx_source, npz_source
from ganzoo.data.decode import SUFFIXES
from ganzoo.data.image_files import file_identity, folder_source, list_files, zip_source
from ganzoo.data.parquet import choose_split, parquet_source
from ganzoo.data.sources import ArraySource, EncodedSource, HubSource
from ganzoo.errors import DataError, GanzooError, PluginError, UsageError, did_you_mean
from ganzoo.files.text import quoted, reason

Source = ArraySource | EncodedSource | HubSource
REPOSITORY = r"[\w][\w.-]*/[\w][\w.-]*"
HUB_ADDRESS = re.compile(
    rf"hf://datasets/(?P<repository>{REPOSITORY})"
    r"(@(?P<revision>refs/(convert/\w+|pr/\d+)|[\w.-]+))?(/(?P<folder>[\w./-]+?))?/?(:(?P<split>[\w.-]+))?"
)
KINDS = "a folder of images, a .zip, an .npz, idx or Parquet files"


def find_source(text: str, datasets: Mapping[str, Callable], root: Path | None) -> Source:
    """Returns the source that the text names: the Hub, then a registered name, then a path.

    A registered name wins over a file of that name, which is reached as "./name".
    """
    if text.startswith("hf://"):
        return hub_source(text)
    name, _, split = text.partition(":")
    if name in datasets:
        return registered_source(name, split, datasets[name], root)
    path = Path(text).expanduser()
    try:
        return path_source(path, path.stat().st_mode)
    except FileNotFoundError as error:
        raise UsageError(unknown_line(text, name, datasets)) from error
    except (OSError, ValueError) as error:
        raise DataError(f"{quoted(text)} cannot be read: {reason(error)}.") from error


def registered_source(name: str, split: str, factory: Callable, root: Path | None) -> Source:
    try:
        source = factory(root, split=split) if split else factory(root)
    except GanzooError:
        raise
    except Exception as error:
        raise PluginError(f"Data set {quoted(name)} failed: {type(error).__name__}: {reason(error)}.") from error
    if not isinstance(source, Source):
        raise PluginError(
            f"Data set {quoted(name)} gave {type(source).__name__}; ArraySource, EncodedSource or HubSource is needed."
        )
    return source


def unknown_line(text: str, name: str, datasets: Mapping[str, Callable]) -> str:
    if re.fullmatch(REPOSITORY, text) and not text.lower().endswith((".zip", ".npz", ".parquet", ".gz", *SUFFIXES)):
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


def path_source(path: Path, mode: int) -> ArraySource | EncodedSource:
    """Returns the source at an existing path by its name alone; the content is checked when it is read."""
    name = path.name.lower()
    if stat.S_ISDIR(mode):
        return directory_source(path)
    if not stat.S_ISREG(mode):
        raise UsageError(f"{quoted(path)} is not a regular file; {KINDS} can be read.")
    if name.endswith(".zip"):
        return zip_source(path)
    if name.endswith(".npz"):
        return npz_source(path)
    if name.endswith(".parquet"):
        return parquet_source([path], [path.name], file_identity(path), path.stem)
    if IDX_IMAGES.fullmatch(path.name):
        return idx_source(path)
    if name.endswith(SUFFIXES):
        raise UsageError(f"{quoted(path)} is a single image: give the folder that holds all of them.")
    raise UsageError(f"{quoted(path)} is of no known kind; {KINDS} can be read.")


def directory_source(folder: Path) -> ArraySource | EncodedSource:
    """Returns the images, idx or Parquet files in a folder, which must hold only one kind."""
    files = list_files(folder)
    images = any(name.lower().endswith(SUFFIXES) for name in files)
    tables = [name for name in files if name.lower().endswith(".parquet")]
    if images + bool(tables) + holds_idx(folder) > 1:
        raise UsageError(f"{quoted(folder)} holds data of several kinds: give the folder or file that is meant.")
    if images:
        return folder_source(folder, files)
    if tables:
        names = choose_split(tables, "train", quoted(folder))
        paths = [folder / name for name in names]
        return parquet_source(paths, names, file_identity(*paths), folder.resolve().name)
    if holds_idx(folder):
        return idx_source(folder)
    content = f"holds {len(files)} files but no images" if files else "is empty"
    raise DataError(f"{quoted(folder)} {content}; known are {', '.join(SUFFIXES)}, idx and Parquet files.")
