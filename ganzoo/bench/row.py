"""Defines the row of a bench, and reads results.jsonl and the protocols that its rows name."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Literal

import msgspec

from ganzoo.bench.old_names import renamed_protocol, renamed_scores, renamed_setting
from ganzoo.errors import CheckpointError
from ganzoo.files.strict_json import parse_json, read_bytes, read_json
from ganzoo.files.text import quoted
from ganzoo.variant import Part

FORMAT = 1
LARGEST_FILE = 2**30
LARGEST_NUMBER = 1e75  # whose fourth power, which statistics of a report need, is a number too
SHOWN = 60  # characters of a protocol's value in a list of differences


class CellKey(msgspec.Struct, frozen=True):
    """Names the cell of a row: the variant under the name that tables show, its data set and its seed."""

    name: str
    variant: str
    data: str
    seed: int


class Score(msgspec.Struct, frozen=True):
    """Holds the numbers of one checkpoint as {"metric[extractor]": value}.

    None where a value is not finite or its metric failed.
    """

    step: int | None
    images: int | None
    scores: dict[str, float | None]


class Event(msgspec.Struct, frozen=True):
    """Records an incident of a cell: a warning, a collapse, a divergence, a failed metric, an unsuited extractor."""

    step: int
    event: str
    text: str = ""


class Costs(msgspec.Struct, frozen=True):
    """Counts parameters, and multiply-accumulates for one image.

    None where a role is absent or cannot be run on one image.
    """

    generator_parameters: int | None = None
    discriminator_parameters: int | None = None
    loss_parameters: int | None = None
    generator_macs: int | None = None
    discriminator_macs: int | None = None


class Times(msgspec.Struct):
    """Holds every value that may differ between two runs of one cell."""

    training_seconds: float | None = None
    evaluation_seconds: float | None = None
    point_seconds: list[int | float] = []
    training_images_per_second: float | None = None
    sampling_images_per_second: float | None = None
    peak_memory_bytes: int | None = None
    machine: str | None = None
    started: str | None = None


class Row(msgspec.Struct):
    """One cell of a bench: filled in while the cell runs, then written, read and reported as this type.

    The fields are the keys of its JSON, in their order; `plugins` is left out where it is empty.
    """

    format: int
    protocol: str
    cell: CellKey
    kind: Literal["train", "pretrained"]
    status: Literal["done", "diverged", "failed"]
    error: str | None = None
    collapsed: bool = False
    events: list[Event] = []
    settings: tuple[str, ...] = ()
    parts: dict[str, Any] | None = {}
    budget: dict[str, int | float] | None = None
    points: list[Score] = []
    final: Score | None = None
    best: Score | None = None
    costs: Costs = Costs()
    samples: str | None = None
    weights_sha256: str | None = None
    plugins: dict[str, str] = {}
    times: Times = msgspec.field(default_factory=Times)

    @property
    def changes(self) -> tuple[str, ...]:
        """Its settings without those that a later one replaces, sorted by path."""
        return changes(self.settings)

    def to_json(self) -> dict[str, Any]:
        """Returns plain values for strict JSON."""
        found = msgspec.to_builtins(self)
        found["settings"] = list(self.settings)
        if not self.plugins:
            del found["plugins"]
        return found

    def to_line(self) -> str:
        """Returns one line of strict JSON, without its newline."""
        return json.dumps(self.to_json(), allow_nan=False, ensure_ascii=False)


def changes(settings: Iterable[str]) -> tuple[str, ...]:
    """Sorts settings "path=value" by path, without those that a later one replaces.

    Rows with equal ones are seeds of one variant.

    A setting replaces those of its own path and of all paths below it: a part named anew has its own options again.
    """
    kept: dict[str, str] = {}
    for setting in settings:
        path = setting.partition("=")[0].strip()
        kept = {other: value for other, value in kept.items() if other != path and not other.startswith(path + ".")}
        kept[path] = setting
    return tuple(kept[path] for path in sorted(kept))


def part_names(roles: Mapping[str, Part | None]) -> dict[str, str | None]:
    """Returns the name of each role's part, as rows state it."""
    return {role: part.name if part else None for role, part in roles.items()}


def read_rows(file: Path) -> list[Row]:
    """Reads a results.jsonl; CheckpointError names the line that is damaged, of another format, or a repetition."""
    rows: list[Row] = []
    lines: dict[tuple[object, ...], int] = {}
    for number, line in enumerate(read_bytes(file, LARGEST_FILE).split(b"\n"), 1):
        if not line.strip():
            continue
        where = f"{file}, line {number}"
        row = checked_row(parse_json(line, where), where)
        key = (row.protocol, row.kind, row.cell, json.dumps(row.budget, sort_keys=True), row.changes)
        known = lines.setdefault(key, number)
        if known != number:
            raise CheckpointError(f"{where} repeats the cell of line {known}: remove one of the two.")
        rows.append(row)
    if not rows:
        raise CheckpointError(f"{file} has no rows.")
    return rows


def checked_row(value: Any, where: str) -> Row:
    """Converts plain values, also those of before, to a row; CheckpointError says where the fault is."""
    if isinstance(value, dict) and value.get("format") != FORMAT:
        raise CheckpointError(f"{where} is of format {quoted(value.get('format'))}; this ganzoo reads format {FORMAT}.")
    if (number := _largest(value)) > LARGEST_NUMBER:
        raise CheckpointError(f"{where} states a number that no bench gives: {quoted(number)}.")
    try:
        row = msgspec.convert(value, Row)
    except msgspec.ValidationError as problem:
        raise CheckpointError(f"{where} is not a row of a bench: {problem}.") from None
    row.settings = tuple(renamed_setting(setting) for setting in row.settings)
    row.points = [_of_today(score) for score in row.points]
    row.final, row.best = (score and _of_today(score) for score in (row.final, row.best))
    return row


def _largest(value: Any) -> int | float:
    """The largest magnitude of the numbers in plain values; 0 if there are none."""
    if isinstance(value, dict | list):
        return max(map(_largest, value.values() if isinstance(value, dict) else value), default=0)
    return abs(value) if isinstance(value, int | float) else 0


def _of_today(score: Score) -> Score:
    return Score(score.step, score.images, renamed_scores(score.scores))


def fingerprint(protocol: Any) -> str:
    """Returns the sha256 of a protocol's canonical JSON, as rows state it."""
    text = json.dumps(protocol, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()


def read_protocols(folder: Path) -> dict[str, dict[str, Any]]:
    """Reads protocol.json and protocol-*.json by the fingerprints that rows state; metrics have today's names."""
    found = {}
    for file in sorted([*folder.glob("protocol.json"), *folder.glob("protocol-*.json")]):
        protocol = read_json(file, follow=False)
        if not isinstance(protocol, dict):
            raise CheckpointError(f"{file} is not a protocol: an object is expected.")
        found[fingerprint(protocol)] = renamed_protocol(protocol)
    return found


def differences(one: Any, other: Any, prefix: str = "", longest: int = SHOWN) -> list[tuple[str, str, str]]:
    """Lists the fields in which two protocols, or two cells of a plan, differ, as (name.with.dots, value, value).

    A value of more than `longest` characters is cut off.
    """
    if not (isinstance(one, dict) and isinstance(other, dict)):
        return [] if one == other else [(prefix, _shown(one, longest), _shown(other, longest))]
    found = []
    for key in sorted(one.keys() | other.keys()):
        name = f"{prefix}.{key}" if prefix else key
        if key in one and key in other:
            found += differences(one[key], other[key], name, longest)
        else:
            here, there = (_shown(side[key], longest) if key in side else "absent" for side in (one, other))
            found.append((name, here, there))
    return found


def _shown(value: Any, longest: int) -> str:
    text = json.dumps(value, sort_keys=True, ensure_ascii=False)
    return text if len(text) <= longest else f"{text[: longest - 3]}..."
