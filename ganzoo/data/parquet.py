"""Reads Parquet files of images as the Hugging Face Hub stores them: encoded images beside their labels."""

from __future__ import annotations

import bisect
import functools
import json
import re
import threading
from collections.abc import Sequence
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

from ganzoo.data.decode import BadImage
from ganzoo.data.labels import checked_labels
from ganzoo.data.sources import EncodedSource
from ganzoo.errors import DataError, UsageError, did_you_mean
from ganzoo.files.text import quoted, reason

if TYPE_CHECKING:
    import numpy

IMAGE_COLUMNS = ("image", "img")
LABEL_COLUMNS = ("label", "labels", "fine_label")
SHARD = re.compile(r"(?P<split>.+)-\d{5}-of-\d{5}(-[0-9a-f]+)?")
SPLITS = ("train", "test", "validation", "valid", "val", "dev")


def arrow() -> Any:
    """Imports pyarrow's Parquet module; UsageError with the command to install it."""
    try:
        import pyarrow.parquet
    except ImportError as error:
        raise UsageError("Parquet files need pyarrow: install the extra ganzoo[parquet], or pyarrow.") from error
    return pyarrow.parquet


def split_of(name: str) -> str | None:
    """Returns the split in a file's name or one of its folders, as the Hub writes them, or None."""
    path = PurePosixPath(name)
    shard = SHARD.fullmatch(path.stem)
    if shard:
        return shard["split"]
    parts = [path.stem, *reversed(path.parts[:-1])]
    return next((split for part in parts if (split := part.removeprefix("partial-")) in SPLITS), None)


def choose_split(names: Sequence[str], split: str, where: str) -> list[str]:
    """Returns the files of one split in the order of their names; files without any split are the training split."""
    splits = {name: split_of(name) for name in sorted(names)}
    if not any(splits.values()) and split == "train":
        return list(splits)
    chosen = [name for name, found in splits.items() if found == split]
    if not chosen:
        known = {found for found in splits.values() if found}
        raise UsageError(f"{where} has no split called {quoted(split)}.{did_you_mean(split, known)}")
    return chosen


class Rows:
    """Reads the encoded image in row i; keeps two row groups in memory, since images are read in order."""

    def __init__(self, groups: list[tuple[Path, int, int]], column: str):
        self.groups = groups
        self.column = column
        self.starts = [0]
        for _, _, count in groups:
            self.starts.append(self.starts[-1] + count)
        self.lock = threading.Lock()
        self.group = functools.lru_cache(maxsize=2)(self.read_group)

    def read_group(self, number: int) -> Any:
        path, group, _ = self.groups[number]
        with arrow().ParquetFile(path) as file:
            return file.read_row_group(group, columns=[self.column]).column(0)

    def __call__(self, number: int) -> bytes:
        group = bisect.bisect_right(self.starts, number) - 1
        with self.lock:
            column = self.group(group)
        value = column[number - self.starts[group]].as_py()
        if isinstance(value, dict):
            value = value.get("bytes")
        if not value:
            raise BadImage("the row holds no bytes, only a path or nothing")
        return value


def parquet_source(
    paths: Sequence[Path], names: Sequence[str], identity: str, name: str, classes: tuple[str, ...] = ()
) -> EncodedSource:
    """Joins several files with the same columns: `image` or `img`, and `label` if it is there."""
    parquet, label_parts = arrow(), []
    groups: list[tuple[Path, int, int]] = []
    row_names: list[str] = []
    image_column, label_column = "", None
    for path, file_name in zip(paths, names, strict=True):
        try:
            with parquet.ParquetFile(path) as file:
                if not groups and not row_names:
                    image_column, label_column = image_column_of(file, file_name), label_column_of(file)
                    classes = classes or class_names(file, label_column)
                if label_column:
                    label_parts.extend(file.read(columns=[label_column]).column(0).to_pylist())
                sizes = [file.metadata.row_group(group).num_rows for group in range(file.num_row_groups)]
        except (OSError, ValueError, KeyError, IndexError, MemoryError) as error:  # pyarrow's errors are among them
            raise DataError(f"{quoted(file_name)} cannot be read as Parquet: {reason(error)}.") from error
        groups.extend((path, group, rows) for group, rows in enumerate(sizes))
        row_names.extend(f"{file_name} row {row}" for row in range(sum(sizes)))
    if not row_names:
        raise DataError(f"{quoted(name)}: the Parquet files have no rows.")
    labels, classes = row_labels(label_parts, len(row_names), name, classes) if label_column else (None, ())
    return EncodedSource(row_names, Rows(groups, image_column), labels, classes, identity, name)


def image_column_of(file: Any, name: str) -> str:
    """Returns the column of encoded images; DataError for pixels as nested lists, or without such a column."""
    import pyarrow.types as types

    schema = file.schema_arrow
    for column in IMAGE_COLUMNS:
        if column in schema.names:
            kind = schema.field(column).type
            if types.is_struct(kind) and kind.get_field_index("bytes") >= 0:
                return column
            if types.is_binary(kind) or types.is_large_binary(kind):
                return column
            raise DataError(f"{quoted(name)}: column '{column}' is {kind}; encoded images as bytes are needed.")
    raise DataError(f"{quoted(name)} has no column {' or '.join(IMAGE_COLUMNS)}; it has {', '.join(schema.names)}.")


def label_column_of(file: Any) -> str | None:
    return next((column for column in LABEL_COLUMNS if column in file.schema_arrow.names), None)


def class_names(file: Any, label_column: str | None) -> tuple[str, ...]:
    """Returns the names that the `datasets` library writes into the file's metadata, or ()."""
    try:
        metadata = json.loads(file.schema_arrow.metadata[b"huggingface"])
        names = metadata["info"]["features"][label_column]["names"]
    except (TypeError, KeyError, ValueError):
        return ()
    return tuple(names) if isinstance(names, list) and all(isinstance(name, str) for name in names) else ()


def row_labels(
    values: list, count: int, name: str, classes: tuple[str, ...]
) -> tuple[numpy.ndarray | None, tuple[str, ...]]:
    """Returns checked labels, or none if every row has -1 or nothing, as unlabelled test splits do."""
    if all(value is None or value == -1 for value in values):
        return None, ()
    if any(value is None for value in values):
        raise DataError(f"{quoted(name)}: {sum(value is None for value in values)} of {count} rows have no label.")
    return checked_labels(values, count, quoted(name), classes)
