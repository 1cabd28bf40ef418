"""The rows of a bench as a few lines for a terminal; report.html says more."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from statistics import mean, stdev
from typing import Any

SHOWN = ("frechet", "kernel", "precision", "recall", "coverage", "modes", "code-agreement", "label-agreement")


def table(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """A line a name, seeds as mean ± standard deviation of the best and the final scores, the best name first."""
    names = list(dict.fromkeys(row["cell"]["name"] for row in rows))
    labels = _labels(rows)
    if not labels:
        return [f"{row['cell']['name']} seed {row['cell']['seed']}: {row['status']}: {row['error']}" for row in rows]
    lines = []
    for name in names:
        own = [row for row in rows if row["cell"]["name"] == name]
        best = _values(own, "best", labels[0])
        cells = [
            name,
            _counted(own),
            *(_told(_values(own, "best", label)) for label in labels),
            _told(_values(own, "final", labels[0])),
        ]
        lines.append((mean(best) if best else float("inf"), cells))
    head = ["", "cells", *labels, f"final {labels[0].partition('[')[0]}"]
    return _aligned([head, *(cells for _, cells in sorted(lines, key=lambda line: line[0]))])


def _labels(rows: Iterable[Mapping[str, Any]]) -> list[str]:
    """The names of the numbers to show, as far as they were measured."""
    there = {label for row in rows if row["best"] for label in row["best"]["scores"]}
    return [label for name in SHOWN for label in sorted(there) if label.partition("[")[0] == name]


def _values(rows: Iterable[Mapping[str, Any]], state: str, label: str) -> list[float]:
    found = [row[state]["scores"].get(label) for row in rows if row[state]]
    return [value for value in found if value is not None]


def _counted(rows: Sequence[Mapping[str, Any]]) -> str:
    """How many cells there are and what became of those that did not go well."""
    words = {"diverged": "diverged", "failed": "failed"}
    bad = [
        f"{count} {word}" for status, word in words.items() if (count := sum(row["status"] == status for row in rows))
    ]
    bad += [f"{count} collapsed"] if (count := sum(row["collapsed"] for row in rows)) else []
    return " ".join([str(len(rows)), f"({', '.join(bad)})"] if bad else [str(len(rows))])


def _told(values: Sequence[float]) -> str:
    if not values:
        return "-"
    return f"{mean(values):.4g}" + (f" ± {stdev(values):.2g}" if len(values) > 1 else "")


def _aligned(rows: Sequence[Sequence[str]]) -> list[str]:
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return ["  ".join(f"{cell:<{width}}" for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
