"""What a bench leaves behind, read strictly: results.jsonl and the protocols that its rows name."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Literal

import msgspec

from ganzoo.errors import CheckpointError
from ganzoo.files.strict_json import parse_json, read_bytes, read_json
from ganzoo.files.text import shorten

FORMAT = 1
LARGEST_FILE = 2**30
SHOWN = 60  # characters of a protocol's value in a list of differences


class Cell(msgspec.Struct, frozen=True):
    """Which row of the matrix: a variant under the name that tables show, a data set, a seed."""

    name: str
    variant: str
    data: str
    seed: int


class Score(msgspec.Struct, frozen=True):
    """Numbers of one moment of a training, as {"metric[extractor]": value}."""

    step: int | None
    images: int | None
    scores: dict[str, float | None]


class Event(msgspec.Struct, frozen=True):
    """What was noticed while a cell ran."""

    step: int
    event: str
    text: str = ""


class Times(msgspec.Struct, frozen=True):
    """What differs between two runs of one cell on one machine."""

    training_seconds: float | None = None
    evaluation_seconds: float | None = None
    point_seconds: tuple[float, ...] = ()
    training_images_per_second: float | None = None
    sampling_images_per_second: float | None = None
    peak_memory_bytes: int | None = None
    machine: str | None = None


class Row(msgspec.Struct, frozen=True):
    """One cell of a bench, finished or not."""

    format: int
    protocol: str
    cell: Cell
    kind: Literal["train", "pretrained"]
    status: Literal["done", "diverged", "failed"]
    error: str | None = None
    collapsed: bool = False
    events: tuple[Event, ...] = ()
    settings: tuple[str, ...] = ()
    parts: dict[str, Any] | None = None
    budget: dict[str, float] | None = None
    points: tuple[Score, ...] = ()
    final: Score | None = None
    best: Score | None = None
    costs: dict[str, int | None] = {}
    samples: str | None = None
    plugins: dict[str, str] = {}
    times: Times = Times()

    @property
    def changes(self) -> tuple[str, ...]:
        """What its settings come to, in whatever order they were given."""
        return changes(self.settings)


def changes(settings: Iterable[str]) -> tuple[str, ...]:
    """Settings "path=value" sorted by path, without what a later one replaces: rows with the same ones are seeds of one variant.

    A setting replaces those of its own path and of what lies below it: a part named anew has its own options again.
    """
    kept: dict[str, str] = {}
    for setting in settings:
        path = setting.partition("=")[0].strip()
        kept = {other: value for other, value in kept.items() if other != path and not other.startswith(path + ".")}
        kept[path] = setting
    return tuple(kept[path] for path in sorted(kept))


def read_rows(file: Path) -> list[Row]:
    """The rows of a results.jsonl; CheckpointError names the line that is damaged, of another format, or there a second time."""
    rows, seen = [], {}
    for number, line in enumerate(read_bytes(file, LARGEST_FILE).split(b"\n"), 1):
        if not line.strip():
            continue
        where = f"{file}, line {number}"
        row = checked_row(parse_json(line, where), where)
        known = seen.setdefault(
            (row.protocol, row.kind, row.cell, json.dumps(row.budget, sort_keys=True), row.changes), number
        )
        if known != number:
            raise CheckpointError(f"{where} repeats the cell of line {known}: one of the two must go.")
        rows.append(row)
    if not rows:
        raise CheckpointError(f"{file} has no rows.")
    return rows


def checked_row(value, where: str) -> Row:
    """A row from plain values; CheckpointError says where it stands and what is wrong with it."""
    if isinstance(value, dict) and value.get("format") != FORMAT:
        raise CheckpointError(
            f"{where} is of format {shorten(value.get('format'))}; this ganzoo reads format {FORMAT}."
        )
    try:
        return msgspec.convert(value, Row)
    except msgspec.ValidationError as problem:
        raise CheckpointError(f"{where} is not a row of a bench: {problem}.") from None


def fingerprint(protocol) -> str:
    """The sha256 of a protocol's canonical JSON, as rows state it."""
    text = json.dumps(protocol, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()


def read_protocols(folder: Path) -> dict[str, dict]:
    """Every protocol of a bench folder by its fingerprint: protocol.json, and what merging put beside it as protocol-*.json."""
    found = {}
    for file in sorted([*folder.glob("protocol.json"), *folder.glob("protocol-*.json")]):
        protocol = read_json(file)
        if not isinstance(protocol, dict):
            raise CheckpointError(f"{file} is not a protocol: an object is expected.")
        found[fingerprint(protocol)] = protocol
    return found


def differences(one, other, prefix: str = "", longest: int = SHOWN) -> list[tuple[str, str, str]]:
    """The fields in which two protocols, or two cells of a plan, differ, as (name, one's value, other's value) with dots between the levels;
    a value of more than `longest` characters is cut off."""
    if not (isinstance(one, dict) and isinstance(other, dict)):
        return [] if one == other else [(prefix, _shown(one, longest), _shown(other, longest))]
    found = []
    for key in sorted(one.keys() | other.keys()):
        name = f"{prefix}.{key}" if prefix else key
        if key in one and key in other:
            found += differences(one[key], other[key], name, longest)
        else:
            found.append((name, *(_shown(side[key], longest) if key in side else "absent" for side in (one, other))))
    return found


def _shown(value, longest: int) -> str:
    text = json.dumps(value, sort_keys=True, ensure_ascii=False)
    return text if len(text) <= longest else f"{text[: longest - 3]}..."
