"""report.html and report.md of a bench: the same tables, with pictures and plots, from results.jsonl alone."""

from __future__ import annotations

from pathlib import Path

from ganzoo.bench.report import html as page
from ganzoo.bench.report import markdown
from ganzoo.bench.report.collect import collect
from ganzoo.files.atomic import write_atomically


def write_report(folder: Path) -> None:
    """Writes report.html and report.md into a bench folder that has results.jsonl, and as far as there are any protocol.json and samples.

    The same rows give the same bytes. CheckpointError if the rows or a protocol are damaged; a missing picture is said in its place.
    """
    folder = Path(folder)
    report = collect(folder)
    write_atomically(folder / "report.html", page.render(report))
    write_atomically(folder / "report.md", markdown.render(report))
