"""Draws panels of curves and the samples of runs as one PNG, with Pillow alone."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ganzoo.bench.report.svg import Axis, tick_text
from ganzoo.curves.series import Panel, Run, Series, panels, picture_of

SMOOTH = 2  # lines are drawn so many times larger, because Pillow does not smooth them
SCALE = 2 * SMOOTH  # pixels for each of the numbers below: small text stays sharp
WIDTH, HEIGHT = 460, 250
LEFT, RIGHT, TOP, BOTTOM = 56, 12, 28, 40
LEGEND_LINE = 17
STRIP = 150  # the width of a grid of samples
COLOURS = ("#0b62c4", "#c2410c", "#14803c", "#a21caf", "#0e7490", "#92600a", "#be123c", "#5b5bd6")
INK, QUIET, RULE = "#1b1f24", "#59636e", "#d9dee4"


class Pen:
    """Draws on a Pillow picture in units of `SCALE` pixels."""

    def __init__(self, width: float, height: float):
        from PIL import Image, ImageDraw, ImageFont

        self.picture = Image.new("RGB", (round(width * SCALE), round(height * SCALE)), "white")
        self._draw = ImageDraw.Draw(self.picture)
        self._fonts = {size: ImageFont.load_default(size * SCALE) for size in (11, 13)}

    def line(self, points: Sequence[tuple[float, float]], colour: str, width: float = 1.0) -> None:
        places = [(x * SCALE, y * SCALE) for x, y in points]
        if len(places) == 1:
            (x, y), radius = places[0], 2 * SCALE
            self._draw.ellipse((x - radius, y - radius, x + radius, y + radius), fill=colour)
        self._draw.line(places, fill=colour, width=max(1, round(width * SCALE)), joint="curve")

    def text(self, x: float, y: float, text: str, colour: str = INK, size: int = 11, anchor: str = "ls") -> None:
        """Writes text, whose characters outside of the font's become question marks."""
        text = text.encode("latin-1", "replace").decode("latin-1")
        self._draw.text((x * SCALE, y * SCALE), text, fill=colour, font=self._fonts[size], anchor=anchor)

    def width_of(self, text: str) -> float:
        return self._fonts[11].getlength(text.encode("latin-1", "replace").decode("latin-1")) / SCALE


def draw(runs: Sequence[Run]) -> Any:
    """Returns a Pillow picture: two panels a row, and below them a strip of samples for each run."""
    found = panels(runs)
    columns = 2 if len(found) > 1 else 1
    legend = LEGEND_LINE * max(_legend_lines(panel) for panel in found)
    tall = HEIGHT + legend
    rows = -(-len(found) // columns)
    strips = [(run, [(caption, picture_of(path)) for caption, path in run.pictures]) for run in runs if run.pictures]
    width = columns * WIDTH
    per_line = max(1, width // (STRIP + 8))
    heights = [_strip_height(pictures, per_line) for _, pictures in strips]
    pen = Pen(width, rows * tall + sum(heights) + 10)
    for number, panel in enumerate(found):
        _panel(pen, panel, number % columns * WIDTH, number // columns * tall)
    top = float(rows * tall)
    for (run, pictures), height in zip(strips, heights, strict=True):
        _strip(pen, run, pictures, per_line, top)
        top += height
    return pen.picture.reduce(SMOOTH)


def _panel(pen: Pen, panel: Panel, left: float, top: float) -> None:
    points = [point for series in panel.series for point in series.line]
    values = [y for _, y in points]
    shown = [mark for mark in panel.marks if min(values) * 0.5 <= mark[0] <= max(values) * 2 or mark[0] == 0]
    across = Axis.of([x for x, _ in points], left + LEFT, left + WIDTH - RIGHT)
    up = Axis.of([*values, *(value for value, _ in shown)], top + HEIGHT - BOTTOM, top + TOP)
    for tick in up.ticks():
        pen.line([(left + LEFT, up(tick)), (left + WIDTH - RIGHT, up(tick))], RULE, 0.5)
        pen.text(left + LEFT - 5, up(tick), tick_text(tick), QUIET, anchor="rm")
    for tick in across.ticks():
        pen.line([(across(tick), top + TOP), (across(tick), top + HEIGHT - BOTTOM)], RULE, 0.5)
        pen.text(across(tick), top + HEIGHT - BOTTOM + 14, tick_text(tick), QUIET, anchor="ms")
    for value, name in shown:
        pen.line([(left + LEFT, up(value)), (left + WIDTH - RIGHT, up(value))], QUIET, 0.5)
        pen.text(left + WIDTH - RIGHT - 2, up(value) - 3, name, QUIET, anchor="rs")
    for series in panel.series:
        pen.line([(across(x), up(y)) for x, y in series.line], _colour(series), 1.4)
    pen.text(left + LEFT, top + TOP - 10, panel.title, size=13)
    pen.text(left + (LEFT + WIDTH - RIGHT) / 2, top + HEIGHT - BOTTOM + 28, "step", QUIET, anchor="ms")
    _legend(pen, panel, left + LEFT, top + HEIGHT)


def _colour(series: Series) -> str:
    return COLOURS[series.place % len(COLOURS)]


def _legend_lines(panel: Panel) -> int:
    return -(-len(panel.named) // 2)


def _legend(pen: Pen, panel: Panel, left: float, top: float) -> None:
    half = (WIDTH - LEFT - RIGHT) / 2
    for number, series in enumerate(panel.named):
        x, y = left + number % 2 * half, top + number // 2 * LEGEND_LINE + 6
        name = series.name
        while pen.width_of(name) > half - 24 and len(name) > 4:
            name = f"{name[:-4]}..."
        pen.line([(x, y), (x + 16, y)], _colour(series), 2)
        pen.text(x + 21, y, name, anchor="lm")


def _strip_height(pictures: Sequence[tuple[str, Any]], per_line: int) -> float:
    tallest = max(STRIP * picture.height / picture.width for _, picture in pictures)
    return 30 + -(-len(pictures) // per_line) * (tallest + 22)


def _strip(pen: Pen, run: Run, pictures: Sequence[tuple[str, Any]], per_line: int, top: float) -> None:
    from PIL import Image

    pen.text(8, top + 20, f"{run.name}: {run.summary}", size=13)
    tallest = max(STRIP * picture.height / picture.width for _, picture in pictures)
    for number, (caption, picture) in enumerate(pictures):
        x, y = 8 + number % per_line * (STRIP + 8), top + 30 + number // per_line * (tallest + 22)
        size = STRIP * SCALE, max(1, round(STRIP * SCALE * picture.height / picture.width))
        shown = picture.resize(size, Image.Resampling.LANCZOS)
        pen.picture.paste(shown, (round(x * SCALE), round(y * SCALE)))
        pen.text(x, y + size[1] / SCALE + 13, caption, QUIET)
