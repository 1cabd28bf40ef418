"""Reads and writes the folder of a bench: protocol, plan, one file a cell, and results.jsonl made of these files."""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

from ganzoo.bench import protocol as protocols
from ganzoo.bench.cells import Cell, cells_from_json, plan_to_json
from ganzoo.bench.row import Row, changes, checked_row, fingerprint
from ganzoo.errors import CheckpointError, GanzooError, UsageError
from ganzoo.files.atomic import disk_errors, move_aside, remove_leftovers, write_atomically
from ganzoo.files.output_checks import check_new_folder
from ganzoo.files.safe_open import check_own_folders, open_own
from ganzoo.files.strict_json import read_bytes, read_json
from ganzoo.files.text import reason

log = logging.getLogger(__name__)

LARGEST_PICTURE = 2**23
SIGNATURE = b"\x89PNG\r\n\x1a\n"


class BenchFolder:
    """Names the files of a bench; hold the lock of the folder while you write."""

    def __init__(self, path: Path):
        self.path = Path(path)
        self.protocol = self.path / "protocol.json"
        self.plan = self.path / "plan.json"
        self.cells = self.path / "cells"
        self.results = self.path / "results.jsonl"

    def make(self) -> None:
        """Creates the folder; UsageError if it holds anything that is no bench."""
        try:
            self.path.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise UsageError(f"{self.path} cannot be made: {reason(error)}.") from None
        if not self.protocol.exists():
            remedy = "--out takes a new or empty folder, or the folder of a bench to go on with"
            check_new_folder(self.path, remedy, leftovers=True)

    def open(
        self, protocol: dict[str, Any], cells: Sequence[Cell], plugins: Mapping[str, dict[str, str]] = {}
    ) -> tuple[Cell, ...]:
        """Writes protocol and plan, or checks them against those of the folder.

        Returns the whole plan, older cells first.

        UsageError lists the differences if the protocol, the settings of a cell of the same name, or the versions of
        its `plugins` differ; then nothing is changed.
        """
        check_own_folders(self.cells, self.path / "runs", self.path / "samples")
        remove_leftovers(self.path)
        if self.protocol.exists():
            protocols.check_same(self.read_protocol(), protocol, str(self.path))
        else:
            write_atomically(self.protocol, json.dumps(protocol, indent=2) + "\n")
        plan = merged_plans(self.planned(), cells, str(self.path))
        check_plugins(self.rows(fingerprint(protocol)), plugins, str(self.path))
        if plan != self.planned() or not self.plan.exists():
            write_atomically(self.plan, json.dumps(plan_to_json(plan), indent=1) + "\n")
        self.cells.mkdir(exist_ok=True)
        remove_leftovers(self.cells)
        return plan

    def read_protocol(self) -> Any:
        """Reads protocol.json; CheckpointError if it is a link, too large or damaged."""
        return read_json(self.protocol, follow=False)

    def planned(self) -> tuple[Cell, ...]:
        """Returns the cells of plan.json; none if it is not written yet."""
        return cells_from_json(read_json(self.plan, follow=False), str(self.plan)) if self.plan.exists() else ()

    def row(self, cell: Cell, protocol: str, *, set_aside: bool = True) -> Row | None:
        """Returns the row of a cell, or None if it is missing or damaged.

        A damaged file is logged, and renamed if `set_aside`.
        """
        try:
            return self._read(cell, protocol)
        except CheckpointError as error:
            fate = "set aside, as if the cell had not been done" if set_aside else "left as it is, and not merged"
            log.info(f"{error} It is {fate}.")
            if set_aside:
                move_aside(self._file(cell), "damaged")
            return None

    def rows(self, protocol: str) -> list[Row]:
        """Returns the undamaged rows in the order of plan.json; changes and logs nothing."""
        found = []
        for cell in self.planned():
            with suppress(CheckpointError):
                found.append(self._read(cell, protocol))
        return [row for row in found if row is not None]

    def _file(self, cell: Cell) -> Path:
        return self.cells / f"{cell.file}.json"

    def _read(self, cell: Cell, protocol: str) -> Row | None:
        """Reads the row of a cell, None if it is missing; CheckpointError if it is damaged or of another bench."""
        file = self._file(cell)
        check_own_folders(self.cells, error=CheckpointError)
        if not os.path.lexists(file):
            return None
        value = read_json(file, follow=False)
        row = checked_row(value, str(file))
        if row.protocol != protocol or "times" not in value:
            raise CheckpointError(f"{file} is not a row of this bench.")
        return row

    def write_row(self, cell: Cell, row: Row) -> None:
        """Writes the row of a cell, whole or not at all."""
        write_atomically(self._file(cell), row.to_line() + "\n")

    def append(self, row: Row) -> None:
        """Appends a row to results.jsonl, which shows the rows so far while the bench runs."""
        with (
            disk_errors(f"{self.results} cannot be written", GanzooError),
            open(open_own(self.results, os.O_WRONLY | os.O_APPEND), "a", encoding="utf-8") as file,
        ):
            file.write(row.to_line() + "\n")

    def rewrite(self, plan: Iterable[Cell], protocol: str) -> list[Row]:
        """Writes results.jsonl anew with all rows in the order of the plan, and returns them."""
        rows = [row for cell in plan if (row := self.row(cell, protocol)) is not None]
        write_atomically(self.results, "".join(row.to_line() + "\n" for row in rows))
        return rows


def read_picture(folder: Path, name: str) -> bytes:
    """Reads a PNG of a bench folder; CheckpointError if it is none or lies elsewhere: a shard may hold links."""
    place = folder / name
    if not place.resolve().is_relative_to(folder.resolve()) or place.suffix != ".png":
        raise CheckpointError(f"{place} cannot be read: not a .png of this folder.")
    data = read_bytes(place, LARGEST_PICTURE, follow=False)
    if not data.startswith(SIGNATURE):
        raise CheckpointError(f"{place} cannot be read: not a PNG file.")
    return data


def check_plugins(
    rows: Iterable[Row], now: Mapping[str, dict[str, str]], where: str, elsewhere: str = "here it would be"
) -> None:
    """Raises UsageError if a row was made by other plugin versions than a cell of its name would be `now`.

    Such rows are not seeds of one variant.
    """
    for row in rows:
        name, there = row.cell.name, row.plugins
        if row.status != "failed" and there != now.get(name, there):
            theirs, ours = (
                ", ".join(f"{one} {version}" for one, version in sorted(side.items())) or "no plugin"
                for side in (there, now[name])
            )
            raise UsageError(
                f"{where} holds '{name}' made with {theirs}; {elsewhere} {ours}: their rows cannot be compared."
            )


def _normalized(cell: Cell) -> Cell:
    return replace(cell, settings=changes(cell.settings))


def merged_plans(old: Sequence[Cell], new: Sequence[Cell], where: str) -> tuple[Cell, ...]:
    """Returns the cells of both plans, the old ones first; UsageError if two of one name and seed differ."""
    cells = {cell.file: cell for cell in old}
    for cell in new:
        other = cells.setdefault(cell.file, cell)
        if _normalized(other) != _normalized(cell):
            differing = protocols.difference_lines(other.to_json(), cell.to_json())
            what = f"'{cell.name}' of seed {cell.seed} with other settings"
            raise UsageError(f"{where} holds {what}: {'; '.join(differing)}. Choose another --out.")
    return tuple(cells.values())
