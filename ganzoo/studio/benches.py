"""Shows benches: the report of a folder of results, as `ganzoo bench` writes it."""

from __future__ import annotations

from pathlib import Path

from ganzoo.bench.report.collect import collect
from ganzoo.bench.report.html import render
from ganzoo.bench.report.markup import Markup
from ganzoo.errors import UsageError
from ganzoo.files.text import quoted
from ganzoo.studio.watching import framed

RESULTS = "results.jsonl"


def bench_folders(folder: Path) -> dict[str, Path]:
    """Returns the benches by name: the folder itself, and those in it; links are not followed."""
    inner = sorted(one for one in folder.iterdir() if not one.is_symlink() and one.is_dir())
    found = {folder.absolute().name: folder} | {one.name: one for one in inner}
    return {name: path for name, path in found.items() if (path / RESULTS).is_file()}


def report(folder: Path, name: str) -> Markup:
    """Returns the report of a bench as an element: sortable tables, plots and pictures.

    UsageError for a name that the folder lacks, CheckpointError for damaged results.
    """
    found = bench_folders(folder)
    if name not in found:
        raise UsageError(f"{quoted(name)} is no bench of this folder: none has a {RESULTS} of that name.")
    return framed(render(collect(found[name])), f"Report of the bench {name}")
