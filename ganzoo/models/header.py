"""Reads the header of a safetensors file, more strictly than the library, before any memory is allocated for tensors.

The library accepts duplicate keys, headers of 100 MB and a million empty tensors, over which it takes minutes.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from ganzoo.errors import CheckpointError
from ganzoo.files.strict_json import parse_json
from ganzoo.files.text import quoted
from ganzoo.models.file_types import HEAD_BYTES, SAFETENSORS, file_type

HEADER_BYTES = 4 * 2**20
TENSORS = 20_000
DIMENSIONS = 8
LONGEST = 2**40
ITEM_BYTES = {"F32": 4, "F16": 2, "BF16": 2, "I64": 8, "I32": 4, "I16": 2, "I8": 1, "U8": 1, "BOOL": 1}
FIELDS = {"dtype", "shape", "data_offsets"}
# Upper bounds of characters in a header of that many tensors and 1000 words of metadata; checked before parsing.
MARKS = {b"{": TENSORS + 1000, b"[": 2 * TENSORS + 1000, b",": 12 * TENSORS + 2000, b":": 4 * TENSORS + 2000}


@dataclass(frozen=True)
class Entry:
    """One tensor of a file: its `dtype` as the format writes it, and its bytes, `begin` to `end` after the header."""

    dtype: str
    shape: tuple[int, ...]
    begin: int
    end: int


@dataclass(frozen=True)
class Header:
    """The tensors of a file by name, in the order of their bytes; `start` is the offset of the first in the file."""

    tensors: dict[str, Entry]
    metadata: dict[str, str]
    start: int


def read_header(file: BinaryIO, path: Path | str, size: int, item_bytes: Mapping[str, int] = ITEM_BYTES) -> Header:
    """Reads and checks the header of an open file of `size` bytes, whose tensors have the dtypes of `item_bytes`.

    CheckpointError names the damage, or the type of the file if it is no safetensors file.
    """
    start = file.read(HEAD_BYTES)
    try:
        return _header(file, path, size, start, item_bytes)
    except CheckpointError as problem:
        kind = file_type(start)
        if kind is not None and kind.description != SAFETENSORS:
            advice = "" if kind.convertible is None else f"; `ganzoo convert` reads such files{kind.convertible}"
            raise CheckpointError(f"{path} is {kind.description}{advice}.") from None
        raise problem from None


def _header(file: BinaryIO, path: Path | str, size: int, start: bytes, item_bytes: Mapping[str, int]) -> Header:
    if size == 0:
        raise CheckpointError(f"{path} is empty.")
    length = int.from_bytes(start[:8], "little")
    if size < 10 or (length <= HEADER_BYTES and length > size - 8):
        raise _damage(path, f"it is truncated, {size} bytes long")
    if not 2 <= length <= HEADER_BYTES:
        raise _damage(path, f"its header would be {length} bytes long (2 to {HEADER_BYTES} are possible)")
    file.seek(8)
    text = file.read(length)
    if len(text) != length or not text.startswith(b"{"):
        raise _damage(path, "its header is no JSON object")
    for mark, most in MARKS.items():
        if text.count(mark) > most:
            raise _damage(path, f"its header lists more than the {TENSORS} tensors that are possible")
    data: dict[str, Any] = parse_json(text, f"the header of {path}", depth=4)
    metadata = data.pop("__metadata__", {})
    if type(metadata) is not dict or not all(type(value) is str for value in metadata.values()):
        raise _damage(path, "__metadata__ must hold text alone")
    if len(data) > TENSORS:
        raise _damage(path, f"its header lists {len(data)} tensors (at most {TENSORS} are possible)")
    entries = {name: _entry(path, name, value, item_bytes) for name, value in data.items()}
    ordered = dict(sorted(entries.items(), key=lambda item: (item[1].begin, item[1].end)))
    _refuse_gaps(path, ordered, size - 8 - length)
    return Header(ordered, metadata, 8 + length)


def _entry(path: Path | str, name: str, value: Any, item_bytes: Mapping[str, int]) -> Entry:
    """Checks the line of one tensor: dtype, shape and number of bytes must agree."""
    if type(value) is not dict or value.keys() != FIELDS:
        raise _damage(path, f"{quoted(name)} must have dtype, shape and data_offsets, and nothing else")
    dtype, shape, offsets = value["dtype"], value["shape"], value["data_offsets"]
    if type(dtype) is not str or dtype not in item_bytes:
        raise _damage(path, f"{quoted(name)} has dtype {quoted(dtype)} (possible are {', '.join(item_bytes)})")
    if not _counts(shape) or len(shape) > DIMENSIONS:
        raise _damage(
            path, f"{quoted(name)} has shape {quoted(shape)} (at most {DIMENSIONS} whole numbers are possible)"
        )
    if not _counts(offsets) or len(offsets) != 2 or offsets[0] > offsets[1]:
        raise _damage(path, f"{quoted(name)} has data_offsets {quoted(offsets)}")
    needed = math.prod(shape) * item_bytes[dtype]
    if offsets[1] - offsets[0] != needed:
        raise _damage(
            path,
            f"{quoted(name)} has {offsets[1] - offsets[0]} bytes, its shape {quoted(shape)} of {dtype} needs {needed}",
        )
    return Entry(dtype, tuple(shape), *offsets)


def _counts(value: Any) -> bool:
    """True for a list of whole numbers within the limits; a bool is not a number here."""
    return type(value) is list and all(type(item) is int and 0 <= item <= LONGEST for item in value)


def _refuse_gaps(path: Path | str, ordered: dict[str, Entry], size: int) -> None:
    """CheckpointError unless the tensors cover the bytes after the header exactly, without gaps or overlaps."""
    position = 0
    for name, entry in ordered.items():
        if entry.begin != position:
            problem = "leaves a hole before it" if entry.begin > position else "overlaps another tensor"
            raise _damage(path, f"{quoted(name)} begins at byte {entry.begin} instead of {position}, which {problem}")
        position = entry.end
    if position > size:
        raise _damage(path, f"it is truncated: its tensors have {position} bytes, the file only {size}")
    if position < size:
        raise _damage(path, f"{size - position} bytes follow the last tensor")


def _damage(path: Path | str, why: str) -> CheckpointError:
    return CheckpointError(f"{path} is not valid safetensors: {why}.")
