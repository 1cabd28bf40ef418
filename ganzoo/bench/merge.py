"""Merges the shards of a bench into one folder."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ganzoo.bench.cells import Cell
from ganzoo.bench.protocol import check_same
from ganzoo.bench.results import BenchFolder, check_plugins, read_picture
from ganzoo.bench.row import Row, fingerprint
from ganzoo.errors import GanzooError, UsageError
from ganzoo.files.atomic import disk_errors, write_atomically
from ganzoo.files.lock import FolderLock

log = logging.getLogger(__name__)


def merge(folders: Sequence[Path], out: Path) -> list[Row]:
    """Copies the rows and samples of all folders to `out`, and returns the rows in the order of the plan.

    Trained runs stay where they are. Nothing in `folders` is changed, unless `out` is one of them: a damaged cell is
    logged and left out. UsageError if the protocols differ, if two folders have different rows of one cell, or if a
    variant was made by different versions of its plugins.
    """
    shards = [BenchFolder(path) for path in folders]
    for shard in shards:
        if not (shard.protocol.exists() and shard.plan.exists()):
            raise UsageError(f"{shard.path} is not the folder of a bench: it has no protocol.json or no plan.json.")
    protocol = shards[0].read_protocol()
    for shard in shards[1:]:
        check_same(shard.read_protocol(), protocol, f"{shard.path}, unlike {shards[0].path},")
    target = BenchFolder(out)
    target.make()
    hashed = fingerprint(protocol)
    with FolderLock(target.path):
        _check_plugins([target, *shards], hashed)
        plan: tuple[Cell, ...] = ()
        for shard in shards:
            plan = target.open(protocol, shard.planned())
            for cell in () if shard.path.resolve() == target.path.resolve() else shard.planned():
                _copy_cell(cell, shard, target, hashed)
        rows = target.rewrite(plan, hashed)
        if missing := [cell.file for cell in plan if not (target.cells / f"{cell.file}.json").exists()]:
            more = " ..." if len(missing) > 5 else ""
            log.warning(
                f"{len(missing)} of {len(plan)} cells are in none of the folders: {', '.join(missing[:5])}{more}"
            )
        if rows:
            write_outcome(target.path)
    return rows


def _check_plugins(folders: Sequence[BenchFolder], protocol: str) -> None:
    """Raises UsageError, before anything is written, if two folders made one variant with different plugin versions."""
    known: dict[str, dict[str, str]] = {}
    for folder in folders:
        rows = folder.rows(protocol)
        check_plugins(rows, known, str(folder.path), "before it stood")
        known |= {row.cell.name: row.plugins for row in rows if row.status != "failed"}


def _copy_cell(cell: Cell, shard: BenchFolder, target: BenchFolder, protocol: str) -> None:
    """Copies a cell's row and picture, if the shard has them."""
    row, there = shard.row(cell, protocol, set_aside=False), target.row(cell, protocol)
    if row is None:
        return
    if there is not None and _without_times(there) != _without_times(row):
        raise UsageError(
            f"{shard.path} has another row of '{cell.name}' seed {cell.seed} than an earlier folder: merge one of them."
        )
    if row.samples:
        picture = read_picture(shard.path, f"samples/{cell.file}.png")
        with disk_errors(f"{target.path / 'samples'} cannot be made", GanzooError):
            (target.path / "samples").mkdir(exist_ok=True)
        write_atomically(target.path / "samples" / f"{cell.file}.png", picture)
    if there is None:
        target.write_row(cell, row)


def _without_times(row: Row) -> dict[str, Any]:
    return {key: value for key, value in row.to_json().items() if key != "times"}


def write_outcome(folder: Path) -> None:
    """Writes report.html and report.md of a bench folder."""
    from ganzoo.bench.report.write import write_report

    write_report(folder)
