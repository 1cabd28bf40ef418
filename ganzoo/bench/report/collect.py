"""Reads a bench folder into a report: sections, protocols and pictures."""

from __future__ import annotations

import base64
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ganzoo.bench.report.summary import Section, Summary, sections
from ganzoo.bench.report.tables import order
from ganzoo.bench.results import read_picture
from ganzoo.bench.row import Row, read_protocols, read_rows
from ganzoo.errors import CheckpointError


@dataclass(frozen=True)
class Picture:
    """Holds the samples of one row as path and PNG bytes, or the reason why there are none."""

    row: Row
    path: str | None
    png: bytes | None
    missing: str = ""

    @property
    def uri(self) -> str:
        return "data:image/png;base64," + base64.b64encode(self.png or b"").decode()


@dataclass(frozen=True)
class Report:
    """Holds all data that report.html and report.md show."""

    rows: tuple[Row, ...]
    sections: tuple[Section, ...]
    protocols: Mapping[str, dict[str, Any]]
    pictures: Mapping[int, Picture]  # by the id of the row

    def pictures_of(self, summary: Summary) -> Sequence[Picture]:
        """Returns the pictures of a variant by seed; rows that name no samples are left out."""
        return [self.pictures[id(row)] for row in summary.rows if id(row) in self.pictures]

    def galleries(self, section: Section) -> list[tuple[int, Summary, Sequence[Picture]]]:
        """Returns (place, summary, pictures) in the order of the ranking, for variants that have pictures."""
        return [
            (place, summary, found)
            for place, summary in enumerate(order(section))
            if (found := self.pictures_of(summary))
        ]


def collect(folder: Path) -> Report:
    """Reads rows, protocols and pictures of a bench folder."""
    rows, protocols = read_rows(folder / "results.jsonl"), read_protocols(folder)
    pictures = {id(row): picture(folder, row, row.samples) for row in rows if row.samples}
    return Report(tuple(rows), tuple(sections(rows, rankings(protocols))), protocols, pictures)


def rankings(protocols: Mapping[str, dict[str, Any]]) -> dict[str, str]:
    """Returns the metric that ranks, by the fingerprint of each protocol that names one."""
    return {key: protocol["ranking"] for key, protocol in protocols.items() if isinstance(protocol.get("ranking"), str)}


def picture(folder: Path, row: Row, samples: str) -> Picture:
    """Reads the samples of a row if they are a PNG inside the folder: foreign results must not show other files."""
    place = (folder / samples).resolve()
    try:
        data = read_picture(folder, samples)
    except CheckpointError as problem:
        inside = place.is_relative_to(folder.resolve())
        words = str(problem).rpartition(": ")[2].rstrip(".")
        return Picture(row, None, None, "missing" if inside and not os.path.lexists(folder / samples) else words)
    return Picture(row, place.relative_to(folder.resolve()).as_posix(), data)
