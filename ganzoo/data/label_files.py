"""Reads labels that are published in files beside the images.

Known are the dataset.json of StyleGAN, the metadata.csv and metadata.jsonl of image folders on the Hugging Face Hub,
CSV files that name the images, and the .cls files of webdataset.
"""

from __future__ import annotations

import csv
import io
import json
import logging
from collections.abc import Iterable, Iterator, Sequence
from pathlib import PurePosixPath
from typing import Any

from ganzoo.data.archives import FileSet
from ganzoo.errors import DataError
from ganzoo.files.text import quoted, reason

log = logging.getLogger(__name__)

LABEL_COLUMNS = ("label", "labels", "class", "class_name", "class_id", "category", "target", "fine_label")
METADATA = ("metadata.csv", "metadata.jsonl", "metadata.tsv")
TABLES = (".csv", ".tsv")
LOOKED_AT = 50
READ_ERRORS = (ValueError, RecursionError, MemoryError, csv.Error)

Label = int | str


class _Index:
    """Finds images below a folder by relative path, or where it is unique by name with or without the suffix."""

    def __init__(self, folder: str, images: Iterable[str]):
        self.paths: dict[str, str] = {}
        self.short: dict[str, str | None] = {}
        for image in images:
            if image.startswith(folder):
                inner = image[len(folder) :]
                self.paths[inner] = image
                base = inner.rpartition("/")[2]
                for key in {base, base.partition(".")[0], base.rpartition(".")[0]}:
                    self.short[key] = None if key in self.short else image

    def find(self, key: Any) -> str | None:
        """The image that a table means, or None."""
        text = str(key).strip().replace("\\", "/").removeprefix("./")
        return self.paths.get(text) or self.short.get(text.rpartition("/")[2])


def find_labels(files: FileSet, images: Sequence[str]) -> tuple[list[Label] | None, str | None, set[str]]:
    """Returns (a label for each image or None, the file that they are from or None, the files that were understood).

    A file that says that there are no labels gives None and its name. DataError if a file of labels cannot be read, or
    leaves images without one.
    """
    for read in (_sidecars, _dataset_json, _metadata, _tables):
        used, labels = read(files, images)
        if not used:
            continue
        source = next(iter(sorted(used))) if len(used) == 1 else f"{len(used)} files such as {min(used)}"
        if labels is None:
            return None, source, used
        missing = [image for image in images if image not in labels]
        if missing:
            raise DataError(
                f"{files.where}: {quoted(source)} has no label for {len(missing)} of {len(images)} images, the first"
                f" is {quoted(missing[0])}: add the labels, or move these images or the file away."
            )
        return [labels[image] for image in images], source, used
    return None, None, set()


Found = tuple[set[str], dict[str, Label] | None]


def _sidecars(files: FileSet, images: Sequence[str]) -> Found:
    """Labels from "name.cls" beside "name.png", a whole number or a text."""
    known = {name for name in files.names if name.endswith(".cls")}
    labels: dict[str, Label] = {}
    used = set()
    for image in images if known else ():
        folder, slash, base = image.rpartition("/")
        name = f"{folder}{slash}{base.partition('.')[0]}.cls"
        if name in known:
            try:
                labels[image] = _label(_text(files, name).strip())
            except READ_ERRORS as error:
                raise DataError(f"{files.where}: {quoted(name)} cannot be read: {reason(error)}.") from error
            used.add(name)
    return used, labels


def _dataset_json(files: FileSet, images: Sequence[str]) -> Found:
    """Labels from "labels" in dataset.json: pairs of a file and a number, a table of them, or null for none."""
    used: set[str] = set()
    labels: dict[str, Label] = {}
    stated = False
    for name in _named(files, ("dataset.json",)):
        try:
            content = json.loads(_text(files, name))
        except READ_ERRORS as error:
            raise DataError(f"{files.where}: {quoted(name)} cannot be read as JSON: {reason(error)}.") from error
        if not isinstance(content, dict) or "labels" not in content:
            continue
        used.add(name)
        rows = content["labels"]
        rows = list(rows.items()) if isinstance(rows, dict) else rows
        if rows is None:
            continue
        if not isinstance(rows, list) or not all(isinstance(row, list | tuple) and len(row) == 2 for row in rows):
            raise DataError(f"{files.where}: 'labels' of {quoted(name)} are not pairs of a file and a label.")
        stated = True
        index = _Index(_folder(name), images)
        for key, value in rows:
            if (image := index.find(key)) is not None:
                labels[image] = _number(value, f"{files.where}: {quoted(name)}")
    return used, labels if stated else None


def _number(value: Any, where: str) -> Label:
    """A label of dataset.json: a number, a text, or a list with a single 1, whose place is the number."""
    if isinstance(value, list):
        if value.count(1) != 1 or value.count(0) != len(value) - 1:
            raise DataError(f"{where}: labels that are lists of numbers, not classes, cannot be learned from.")
        return value.index(1)
    if isinstance(value, bool) or not isinstance(value, int | str):
        raise DataError(f"{where}: a label is {quoted(value)}; a whole number or a text is needed.")
    return value


def _metadata(files: FileSet, images: Sequence[str]) -> Found:
    """Labels from the column `label`, or one like it, of metadata.csv or metadata.jsonl."""
    used: set[str] = set()
    labels: dict[str, Label] = {}
    columns: set[str] = set()
    for name in _named(files, METADATA):
        try:
            rows = list(_rows(files, name))
        except READ_ERRORS as error:
            raise DataError(f"{files.where}: {quoted(name)} cannot be read: {reason(error)}.") from error
        columns |= {column for row in rows[:LOOKED_AT] for column in row if column is not None}  # None: more cells
        key = next((column for column in columns if column == "file_name" or column.endswith("_file_name")), None)
        label = _label_column(columns)
        if key is None or label is None:
            continue
        used.add(name)
        index = _Index(_folder(name), images)
        labels.update(_labels_in(rows, key, label, index))
    if columns and not used:
        log.info(f"{files.where}: its metadata has no column label; it has {', '.join(map(quoted, sorted(columns)))}")
    return used, labels


def _tables(files: FileSet, images: Sequence[str]) -> Found:
    """Labels from CSV files with a column that names the images and one called `label`, `class` or the like."""
    used: set[str] = set()
    labels: dict[str, Label] = {}
    for name in files.names:
        if not name.lower().endswith(TABLES) or name.rpartition("/")[2].lower() in METADATA:
            continue
        try:
            rows = list(_rows(files, name))
        except READ_ERRORS:
            continue  # some other table, which is among the files left out
        index = _Index(_folder(name), images)
        columns = list(rows[0]) if rows else []
        label = _label_column(columns)
        key = next((c for c in columns if c != label and any(index.find(row.get(c, "")) for row in rows)), None)
        if key is None:
            continue
        if label is None:
            log.warning(f"{files.where}: {quoted(name)} names images and has no column label; it is not used")
            continue
        used.add(name)
        for image, value in _labels_in(rows, key, label, index).items():
            if labels.setdefault(image, value) != value:
                raise DataError(f"{files.where}: {', '.join(sorted(used))} disagree about {quoted(image)}: keep one.")
    return used, labels


def _labels_in(rows: Iterable[dict[str, Any]], key: str, label: str, index: _Index) -> dict[str, Label]:
    found = {}
    for row in rows:
        image, value = index.find(row.get(key, "")), row.get(label)
        if image is not None and value not in (None, ""):
            found[image] = value if isinstance(value, int) else _label(str(value).strip())
    return found


def _rows(files: FileSet, name: str) -> Iterator[dict[str, Any]]:
    """The rows of a table by column; ValueError or csv.Error if it is none."""
    text = _text(files, name)
    if name.lower().endswith(".jsonl"):
        for line in text.splitlines():
            row = json.loads(line) if line.strip() else {}
            if not isinstance(row, dict):
                raise ValueError("a line is not a JSON object")
            yield row
        return
    head = text.partition("\n")[0]
    delimiter = max(",;\t", key=head.count)
    yield from csv.DictReader(io.StringIO(text, newline=""), delimiter=delimiter)


def _label_column(columns: Iterable[str]) -> str | None:
    by_name = {str(column).strip().lower(): column for column in columns}
    return next((by_name[name] for name in LABEL_COLUMNS if name in by_name), None)


def _label(text: str) -> Label:
    """A label as it stands in a text: a whole number or a name."""
    return int(text) if text.isascii() and text.isdigit() and len(text) < 16 else text


def _named(files: FileSet, names: Sequence[str]) -> list[str]:
    return [name for name in files.names if PurePosixPath(name).name.lower() in names]


def _folder(name: str) -> str:
    return name[: name.rfind("/") + 1]


def _text(files: FileSet, name: str) -> str:
    """The text of a file in UTF-8; ValueError if it is none or cannot be read, for whatever reason."""
    try:
        return files.read(name).decode("utf-8-sig")
    except Exception as error:  # damaged archives raise nearly every type there is
        raise ValueError(reason(error)) from error
