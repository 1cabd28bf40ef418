"""Reads a bench folder into a report: sections, protocols and pictures."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from ganzoo.bench.report.summary import Section, Summary, sections
from ganzoo.bench.report.tables import order
from ganzoo.bench.row import Row, read_protocols, read_rows
from ganzoo.errors import CheckpointError
from ganzoo.files.strict_json import read_bytes

LARGEST_PICTURE = 2**23


SIGNATURE = b"\x89PNG\r\n\x1a\n"


@dataclass(frozen=True)
class Picture:
    """Samples of one row: a path relative to the bench folder, and the bytes; or why there are none."""

    row: Row
    path: str | None
    png: bytes | None
    missing: str = ""

    @property
    def uri(self) -> str:
        return "data:image/png;base64," + base64.b64encode(self.png or b"").decode()


@dataclass(frozen=True)
class Report:
    """What both files show."""

    rows: tuple[Row, ...]
    sections: tuple[Section, ...]
    protocols: Mapping[str, dict]
    pictures: Mapping[int, Picture]  # by the id of the row

    def pictures_of(self, summary: Summary) -> Sequence[Picture]:
        """The samples of a variant's seeds, in the order of seeds; rows that never had any are left out."""
        return [self.pictures[id(row)] for row in summary.rows if id(row) in self.pictures]

    def galleries(self, section: Section) -> list[tuple[int, Summary, Sequence[Picture]]]:
        """(place, summary, pictures) in the order of the ranking, of those that have any."""
        return [
            (place, summary, found)
            for place, summary in enumerate(order(section))
            if (found := self.pictures_of(summary))
        ]


def collect(folder: Path) -> Report:
    """Everything that a report shows."""
    rows, protocols = read_rows(folder / "results.jsonl"), read_protocols(folder)
    pictures = {id(row): picture(folder, row) for row in rows if row.samples}
    return Report(tuple(rows), tuple(sections(rows, rankings(protocols))), protocols, pictures)


def rankings(protocols: Mapping[str, dict]) -> dict[str, str]:
    """The metric that ranks, of each protocol that names one."""
    return {key: protocol["ranking"] for key, protocol in protocols.items() if isinstance(protocol.get("ranking"), str)}


def picture(folder: Path, row: Row) -> Picture:
    """The samples of a row, if they are a PNG inside of the folder: a results file from elsewhere must not show other files."""
    place = (folder / row.samples).resolve()
    if not place.is_relative_to(folder.resolve()) or place.suffix != ".png":
        return Picture(row, None, None, "not a .png of this folder")
    try:
        data = read_bytes(place, LARGEST_PICTURE)
    except CheckpointError as problem:
        return Picture(row, None, None, "missing" if not place.exists() else str(problem).rpartition(": ")[2])
    if not data.startswith(SIGNATURE):
        return Picture(row, None, None, "not a PNG file")
    return Picture(row, place.relative_to(folder.resolve()).as_posix(), data)
