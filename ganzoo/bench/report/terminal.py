"""Prints the rows of a bench as a short table for a terminal; report.html has all numbers."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from statistics import mean, stdev
from typing import Literal

from ganzoo.bench.report.sentences import on_extractors
from ganzoo.bench.report.summary import extractors_in_order, sections
from ganzoo.bench.row import Row
from ganzoo.files.text import printable
from ganzoo.metrics.directions import direction

PAIRED = ("l1", "psnr", "ssim", "ms-ssim", "lpips")
SHOWN = (*PAIRED, "frechet", "kid", "precision", "recall", "coverage", "modes", "code-agreement", "label-agreement")
LISTED = 3  # cells that a line names; it counts the others


def table(rows: Sequence[Row], asked: Collection[str] = ()) -> list[str]:
    """Returns a line a variant, best first: mean ± standard deviation over seeds of the best and final scores.

    Its numbers are the usual ones, those of plugins' metrics, and those that `asked` names, if they were measured. The
    rows may be others': control characters in their names and errors are escaped.
    """
    return [printable(line) for line in _table(rows, asked)]


def _table(rows: Sequence[Row], asked: Collection[str]) -> list[str]:
    names = list(dict.fromkeys(row.cell.name for row in rows))
    labels = _labels(rows, asked)
    if not labels:
        return [f"{row.cell.name} seed {row.cell.seed}: {row.status}: {row.error}" for row in rows]
    lines = []
    for name in names:
        own = [row for row in rows if row.cell.name == name]
        best = _values(own, "best", labels[0])
        cells = [
            name,
            _counted(own),
            *(_spread(_values(own, "best", label)) for label in labels),
            _spread(_values(own, "final", labels[0])),
        ]
        sign = direction(labels[0]) or -1  # the lowest is the best where the direction is unknown
        lines.append((-sign * mean(best) if best else float("inf"), cells))
    head = ["", "cells", *labels, f"final {labels[0].partition('[')[0]}"]
    return _aligned([head, *(cells for _, cells in sorted(lines, key=lambda line: line[0]))])


def dependence(rows: Sequence[Row]) -> list[str]:
    """Returns the sentences on how much rankings depend on the extractor, with control characters escaped."""
    return [printable(line) for section in sections(rows) for line in on_extractors(section)]


def without_number(rows: Sequence[Row]) -> list[str]:
    """Returns a line for each number that a finished cell lacks: its metric raised, or its value is not finite."""
    lacking: dict[str, list[Row]] = {}
    for row in rows:
        for state in (row.final, row.best):
            for label in [label for label, value in state.scores.items() if value is None] if state else []:
                if row not in lacking.setdefault(label, []):
                    lacking[label].append(row)
    lines = []
    for label, found in lacking.items():
        name = label.partition("[")[0]
        texts = (event.text for row in found for event in row.events if event.event == "metric")
        why = next((text for text in texts if f"metric '{name}'" in text), "its value is not finite.")
        cells = ", ".join(f"{row.cell.name} seed {row.cell.seed}" for row in found[:LISTED])
        more = f" and {len(found) - LISTED} more" if len(found) > LISTED else ""
        lines.append(f"{label} is missing in {len(found)} of {len(rows)} cells ({cells}{more}): {why}")
    return lines


def _labels(rows: Sequence[Row], asked: Collection[str]) -> list[str]:
    """Returns the names of the numbers to show that were measured."""
    there = extractors_in_order(label for row in rows if row.best for label in row.best.scores)
    names = {label: label.partition("[")[0] for label in there}
    usual = [label for name in SHOWN for label in there if names[label] == name]
    others = [
        label
        for label in there
        if label not in usual
        and any(row.best.scores.get(label) is not None for row in rows if row.best)  # else `without_number` names it
        and (names[label] in asked or not (direction(label) or names[label].endswith("-deviation")))
    ]
    first = next((name for name in asked if name in PAIRED and name in usual), None)  # it ranks
    return sorted(usual, key=lambda label: label != first) + others


def _values(rows: Iterable[Row], which: Literal["best", "final"], label: str) -> list[float]:
    states = [row.best if which == "best" else row.final for row in rows]
    found = [state.scores.get(label) for state in states if state]
    return [value for value in found if value is not None]


def _counted(rows: Sequence[Row]) -> str:
    """Counts the cells, and those that diverged, failed or collapsed."""
    statuses = [row.status for row in rows]
    bad = [f"{count} {status}" for status in ("diverged", "failed") if (count := statuses.count(status))]
    bad += [f"{count} collapsed"] if (count := sum(row.collapsed for row in rows)) else []
    return " ".join([str(len(rows)), f"({', '.join(bad)})"] if bad else [str(len(rows))])


def _spread(values: Sequence[float]) -> str:
    if not values:
        return "-"
    return f"{mean(values):.4g}" + (f" ± {stdev(values):.2g}" if len(values) > 1 else "")


def _aligned(rows: Sequence[Sequence[str]]) -> list[str]:
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return ["  ".join(f"{cell:<{width}}" for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
