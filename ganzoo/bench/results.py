"""The folder of a bench: one file a cell, written whole, and results.jsonl made of them."""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from ganzoo.bench import protocol as protocols
from ganzoo.bench.plan import Cell, cells_from_json, plan_to_json
from ganzoo.bench.row import changes, checked_row, fingerprint
from ganzoo.errors import CheckpointError, GanzooError, UsageError
from ganzoo.files.atomic import disk_errors, move_aside, remove_leftovers, write_atomically
from ganzoo.files.strict_json import read_json

log = logging.getLogger(__name__)


class BenchFolder:
    """Paths of a bench and its files; whoever writes holds the lock of the folder."""

    def __init__(self, path: Path):
        self.path = Path(path)
        self.protocol = self.path / "protocol.json"
        self.plan = self.path / "plan.json"
        self.cells = self.path / "cells"
        self.results = self.path / "results.jsonl"

    def make(self) -> None:
        """Makes the folder; UsageError if something else is there."""
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            names = os.listdir(self.path)
        except OSError as error:
            raise UsageError(f"{self.path} cannot be made: {error.strerror}.") from None
        if not self.protocol.exists() and any(name != ".lock" and not name.startswith(".tmp-") for name in names):
            raise UsageError(
                f"{self.path} is in the way: --out takes a new or empty folder, or the folder of a bench to go on with."
            )

    def open(
        self, protocol: dict[str, Any], cells: Sequence[Cell], plugins: Mapping[str, dict[str, str]] = {}
    ) -> tuple[Cell, ...]:
        """Writes protocol and plan, or checks them against those that are there; returns the whole plan, older cells first.

        UsageError lists the differences if the protocol, what a cell of the same name does, or by which versions of `plugins` it would be
        made, is another; then nothing is changed.
        """
        remove_leftovers(self.path)
        if self.protocol.exists():
            protocols.check_same(read_json(self.protocol), protocol, str(self.path))
        else:
            write_atomically(self.protocol, json.dumps(protocol, indent=2) + "\n")
        plan = united(self.planned(), cells, str(self.path))
        check_plugins(self.rows(fingerprint(protocol)), plugins, str(self.path))
        if plan != self.planned() or not self.plan.exists():
            write_atomically(self.plan, json.dumps(plan_to_json(plan), indent=1) + "\n")
        self.cells.mkdir(exist_ok=True)
        remove_leftovers(self.cells)
        return plan

    def planned(self) -> tuple[Cell, ...]:
        """The cells of plan.json; none if it is not written yet."""
        return cells_from_json(read_json(self.plan), str(self.plan)) if self.plan.exists() else ()

    def row(self, cell: Cell, protocol: str, *, set_aside: bool = True) -> dict[str, Any] | None:
        """The row of a cell, or None if it is missing; one that is damaged is told, set aside if the folder may be changed, and missing."""
        file = self.cells / f"{cell.file}.json"
        if not file.exists():
            return None
        try:
            row = read_json(file)
            checked_row(row, str(file))
            if row["protocol"] != protocol or "times" not in row:
                raise CheckpointError(f"{file} is not a row of this bench.")
        except CheckpointError as error:
            log.info(
                f"{error} It is {'set aside, as if the cell had not been done' if set_aside else 'left as it is, and not merged'}."
            )
            if set_aside:
                move_aside(file, "damaged")
            return None
        return row

    def rows(self, protocol: str) -> list[dict[str, Any]]:
        """The rows that are there, in the order of plan.json, whole ones alone; nothing is changed."""
        found = (self.row(cell, protocol, set_aside=False) for cell in self.planned())
        return [row for row in found if row is not None]

    def write_row(self, cell: Cell, row: dict[str, Any]) -> None:
        """Writes the row of a cell, whole or not at all."""
        write_atomically(self.cells / f"{cell.file}.json", line_of(row) + "\n")

    def append(self, row: dict[str, Any]) -> None:
        """Adds a row to results.jsonl, for whoever looks while the bench goes on."""
        with (
            disk_errors(f"{self.results} cannot be written", GanzooError),
            open(self.results, "a", encoding="utf-8") as file,
        ):
            file.write(line_of(row) + "\n")

    def rewrite(self, plan: Iterable[Cell], protocol: str) -> list[dict[str, Any]]:
        """Writes results.jsonl anew, all rows that are there in the order of the plan, and returns them."""
        rows = [row for cell in plan if (row := self.row(cell, protocol)) is not None]
        write_atomically(self.results, "".join(line_of(row) + "\n" for row in rows))
        return rows


def check_plugins(
    rows: Iterable[dict[str, Any]], now: Mapping[str, dict[str, str]], where: str, elsewhere: str = "here it would be"
) -> None:
    """UsageError if a row was made by other versions of plugins than a cell of its name would be `now`: they are not seeds of one variant."""
    for row in rows:
        name, there = row["cell"]["name"], row.get("plugins", {})
        if row["status"] != "failed" and there != now.get(name, there):
            theirs, ours = (
                ", ".join(f"{one} {version}" for one, version in sorted(side.items())) or "no plugin"
                for side in (there, now[name])
            )
            raise UsageError(
                f"{where} holds '{name}' made with {theirs}; {elsewhere} {ours}: rows of both cannot stand beside each other."
            )


def line_of(row: dict[str, Any]) -> str:
    """A row as one line of strict JSON."""
    return json.dumps(row, allow_nan=False, ensure_ascii=False)


def _settled(cell: Cell) -> Cell:
    return replace(cell, settings=changes(cell.settings))


def united(old: Sequence[Cell], new: Sequence[Cell], where: str) -> tuple[Cell, ...]:
    """The cells of both, the old ones first; UsageError if two of one name are not the same."""
    cells = {cell.file: cell for cell in old}
    for cell in new:
        other = cells.setdefault(cell.file, cell)
        if _settled(other) != _settled(cell):
            differing = protocols.changed(other.to_json(), cell.to_json())
            what = f"'{cell.name}' of seed {cell.seed} with other settings"
            raise UsageError(f"{where} holds {what}: {'; '.join(differing)}. Choose another --out.")
    return tuple(cells.values())
