"""Draws panels of curves in a terminal with braille characters, two by four dots each."""

from __future__ import annotations

import math
from collections.abc import Sequence

from ganzoo.bench.report.svg import tick_text
from ganzoo.curves.series import Panel, Series

ROWS = 10
MARGIN = 10  # characters of the labels on the left
DOTS = ((0x01, 0x08), (0x02, 0x10), (0x04, 0x20), (0x40, 0x80))  # bits of the Unicode block of braille, by row, column
COLOURS = (34, 33, 32, 35, 36, 31, 94, 93)


def drawn(panel: Panel, columns: int, *, colour: bool) -> list[str]:
    """Returns the lines of a panel: title, plot and legend, at most `columns` wide.

    Without colour each line of the plot has a panel of its own, because dots of one look cannot be told apart.
    """
    groups = [panel.series] if colour or len(panel.series) == 1 else [(series,) for series in panel.series]
    return [line for series in groups for line in _plot(panel.title, series, columns, colour)]


def _plot(title: str, series: Sequence[Series], columns: int, colour: bool) -> list[str]:
    width = max(columns - MARGIN - 1, 10)
    points = [point for one in series for point in one.line]
    left, right = min(x for x, _ in points), max(x for x, _ in points)
    low, high = min(y for _, y in points), max(y for _, y in points)
    cells: dict[tuple[int, int], tuple[int, int]] = {}
    for one in series:
        for across, down in _dots(one, (left, right), (low, high), width):
            row, column = down // 4, across // 2
            bits, _ = cells.get((row, column), (0, 0))
            cells[row, column] = bits | DOTS[down % 4][across % 2], one.place
    lines = [title if len(series) > 1 or series[0].name == title else f"{title}: {series[0].name}"]
    for row in range(ROWS):
        label = tick_text(high) if row == 0 else tick_text(low) if row == ROWS - 1 else ""
        body = "".join(_cell(cells.get((row, column)), colour) for column in range(width))
        lines.append(f"{label[:MARGIN]:>{MARGIN}} {body.rstrip()}")
    start, end = tick_text(left), f"step {tick_text(right)}"
    lines.append(f"{'':{MARGIN}} {start}{end:>{max(width - len(start), len(end) + 1)}}")
    if len(series) > 1:
        names = "  ".join(f"\033[{COLOURS[one.place % len(COLOURS)]}m━ {one.name}\033[0m" for one in series)
        lines.append(f"{'':{MARGIN}} {names}")
    return [*lines, ""]


def _cell(found: tuple[int, int] | None, colour: bool) -> str:
    if found is None:
        return " "
    bits, place = found
    letter = chr(0x2800 + bits)
    return f"\033[{COLOURS[place % len(COLOURS)]}m{letter}\033[0m" if colour else letter


def _dots(series: Series, across: tuple[float, float], up: tuple[float, float], width: int) -> list[tuple[int, int]]:
    """The dots of a line, whose points are joined."""
    far, tall = 2 * width - 1, 4 * ROWS - 1

    def place(x: float, y: float) -> tuple[float, float]:
        right = (x - across[0]) / ((across[1] - across[0]) or 1)
        over = (y - up[0]) / (up[1] - up[0]) if up[1] > up[0] else 0.5
        return right * far, (1 - over) * tall

    places = [place(x, y) for x, y in series.line]
    found = [(round(x), round(y)) for x, y in places[:1]]
    for (x0, y0), (x1, y1) in zip(places, places[1:], strict=False):
        steps = max(1, math.ceil(max(abs(x1 - x0), abs(y1 - y0))))
        found += [
            (round(x0 + (x1 - x0) * step / steps), round(y0 + (y1 - y0) * step / steps)) for step in range(1, steps + 1)
        ]
    return found
