"""Reads Parquet files of images as the Hugging Face Hub stores them: encoded images beside their labels."""

from __future__ import annotations

import bisect
import functools
import itertools
import json
import re
import threading
from collections.abc import Sequence
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any, overload

from ganzoo.data.decode import LARGEST_BYTES, BadImage
from ganzoo.data.labels import checked_labels
from ganzoo.data.memory import available_bytes
from ganzoo.data.sources import EncodedSource
from ganzoo.errors import DataError, UsageError, did_you_mean
from ganzoo.files.text import printable, quoted, reason

if TYPE_CHECKING:
    import numpy

IMAGE_COLUMNS = ("image", "img")
LABEL_COLUMNS = ("label", "labels", "fine_label")
SHARD = re.compile(r"(?P<split>.+)-\d{5}-of-\d{5}(-[0-9a-f]+)?")
BUFFER = 2**20
LEAST_LIMIT = 2**28
LABEL_ROWS = 1024
MOST_ROWS = 50_000_000
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
    """Reads the encoded image in row i; keeps two row groups in memory, since images are read in order.

    A row group of more than `limit` bytes, whatever the file states, is not kept: its images are bad ones.
    """

    def __init__(self, groups: list[tuple[Path, int, int]], column: str, limit: int):
        self.groups, self.column, self.limit = groups, column, limit
        self.starts = [0]
        for _, _, count in groups:
            self.starts.append(self.starts[-1] + count)
        self.lock = threading.Lock()
        self.group = functools.lru_cache(maxsize=2)(self.read_group)

    def read_group(self, number: int) -> list[bytes | BadImage] | BadImage:
        path, group, _ = self.groups[number]
        rows: list[bytes | BadImage] = []
        size = 0
        with arrow().ParquetFile(path, buffer_size=BUFFER) as file:
            # Row by row, because a few bytes of a file can stand for any number of copies of a long value.
            one = dict(batch_size=1, row_groups=[group], columns=[self.column], use_threads=False)
            for batch in file.iter_batches(**one):
                row = encoded_image(batch.column(0)[0].as_py())
                rows.append(row)
                size += 0 if isinstance(row, BadImage) else len(row)
                if size > self.limit:
                    return BadImage(f"its row group has more than {self.limit} bytes: write smaller row groups")
        return rows

    def __call__(self, number: int) -> bytes:
        group = bisect.bisect_right(self.starts, number) - 1
        with self.lock:
            rows = self.group(group)
        row = rows if isinstance(rows, BadImage) else rows[number - self.starts[group]]
        if isinstance(row, BadImage):
            raise row
        return row


def encoded_image(value: Any) -> bytes | BadImage:
    """Returns the bytes in a cell, or the reason why they are no image."""
    if isinstance(value, dict):
        value = value.get("bytes")
    if not value:
        return BadImage("the row holds no bytes, only a path or nothing")
    if len(value) > LARGEST_BYTES:
        return BadImage(f"{len(value)} bytes are more than any image within the limits needs")
    return value


class RowNames(Sequence[str]):
    """The names of all rows, "<file> row <number>", made when they are asked for: a file states any number of rows."""

    def __init__(self, files: Sequence[tuple[str, int]]):
        self.files = files
        self.starts = list(itertools.accumulate((rows for _, rows in files), initial=0))

    def __len__(self) -> int:
        return self.starts[-1]

    @overload
    def __getitem__(self, number: int) -> str: ...
    @overload
    def __getitem__(self, number: slice) -> list[str]: ...
    def __getitem__(self, number: int | slice) -> str | list[str]:
        if isinstance(number, slice):
            return [self[one] for one in range(*number.indices(len(self)))]
        number = range(len(self))[number]
        file = bisect.bisect_right(self.starts, number) - 1
        return f"{self.files[file][0]} row {number - self.starts[file]}"


def parquet_source(
    paths: Sequence[Path], names: Sequence[str], identity: str, name: str, classes: tuple[str, ...] = ()
) -> EncodedSource:
    """Joins several files with the same columns: `image` or `img`, and `label` if it is there.

    DataError for a file that cannot be read, and for one whose rows or row groups are beyond what memory holds.
    """
    parquet, label_parts = arrow(), []
    groups: list[tuple[Path, int, int]] = []
    files: list[tuple[str, int]] = []
    image_column, label_column = "", None
    limit = max(LEAST_LIMIT, available_bytes() // 8)
    for path, file_name in zip(paths, names, strict=True):
        try:
            with parquet.ParquetFile(path, buffer_size=BUFFER) as file:
                if not files:
                    image_column, label_column = image_column_of(file, file_name), label_column_of(file)
                    classes = classes or class_names(file, label_column)
                sizes = group_sizes(file, [image_column, *([label_column] if label_column else [])], limit, file_name)
            if sum(sizes) + sum(rows for _, rows in files) > MOST_ROWS:
                raise DataError(f"{quoted(name)}: the Parquet files state more than {MOST_ROWS} rows.")
            if label_column:
                label_parts.extend(label_values(path, label_column, limit, file_name))
        except (OSError, ValueError, KeyError, IndexError, MemoryError) as error:  # pyarrow's errors are among them
            raise DataError(f"{quoted(file_name)} cannot be read as Parquet: {reason(error)}.") from error
        groups.extend((path, group, rows) for group, rows in enumerate(sizes))
        files.append((file_name, sum(sizes)))
    row_names = RowNames(files)
    if not row_names:
        raise DataError(f"{quoted(name)}: the Parquet files have no rows.")
    labels, classes = row_labels(label_parts, len(row_names), name, classes) if label_column else (None, ())
    return EncodedSource(row_names, Rows(groups, image_column, limit), labels, classes, identity, name)


def group_sizes(file: Any, columns: Sequence[str], limit: int, name: str) -> list[int]:
    """Returns the number of rows of each row group; DataError if one states more bytes in a column than `limit`."""
    sizes = []
    for number in range(file.num_row_groups):
        group = file.metadata.row_group(number)
        for column in map(group.column, range(group.num_columns)):
            if column.path_in_schema.split(".")[0] in columns and column.total_uncompressed_size > limit:
                raise DataError(
                    f"{quoted(name)}: row group {number} has {column.total_uncompressed_size} bytes in a column, and "
                    f"at most {limit} (an eighth of the free memory) are read at once: write smaller row groups."
                )
        sizes.append(group.num_rows)
    return sizes


def label_values(path: Path, column: str, limit: int, name: str) -> list:
    """Returns the labels of a file; equal texts are one object, however often they occur."""
    import pyarrow.types as types

    values: list = []
    size = 0
    with arrow().ParquetFile(path, buffer_size=BUFFER, read_dictionary=[column]) as file:
        for batch in file.iter_batches(batch_size=LABEL_ROWS, columns=[column], use_threads=False):
            labels = batch.column(0)
            size += labels.nbytes
            if size > limit:
                raise DataError(f"{quoted(name)}: the labels have more than {limit} bytes.")
            if types.is_dictionary(labels.type):
                words = labels.dictionary.to_pylist()
                values.extend(None if word is None else words[word] for word in labels.indices.to_pylist())
            else:
                values.extend(labels.to_pylist())
    return values


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
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        return ()
    return tuple(map(printable, names))


def row_labels(
    values: list, count: int, name: str, classes: tuple[str, ...]
) -> tuple[numpy.ndarray | None, tuple[str, ...]]:
    """Returns checked labels, or none if every row has -1 or nothing, as unlabelled test splits do."""
    if all(value is None or value == -1 for value in values):
        return None, ()
    if any(value is None for value in values):
        raise DataError(f"{quoted(name)}: {sum(value is None for value in values)} of {count} rows have no label.")
    return checked_labels(values, count, quoted(name), classes)
