"""Writes report.html and report.md of a bench from its results.jsonl."""

from __future__ import annotations

from pathlib import Path

from ganzoo.bench.report import html, markdown
from ganzoo.bench.report.collect import collect
from ganzoo.files.atomic import write_atomically


def write_report(folder: Path) -> None:
    """Writes report.html and report.md into a bench folder with a results.jsonl; protocols and samples are optional.

    The same rows give the same bytes. CheckpointError if the rows or a protocol are damaged; a missing picture is noted
    in its place.
    """
    folder = Path(folder)
    report = collect(folder)
    write_atomically(folder / "report.html", html.render(report))
    write_atomically(folder / "report.md", markdown.render(report))
