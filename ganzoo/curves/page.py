"""Writes panels of curves and the samples of runs as one HTML page that loads nothing."""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from pathlib import Path

from ganzoo.bench.report.html import document
from ganzoo.bench.report.markup import Markup, join, tag
from ganzoo.bench.report.svg import BOTTOM, HEIGHT, LEFT, RIGHT, TOP, WIDTH, Axis, chart, colour, frame, swatch
from ganzoo.curves.series import Panel, Run, Series, panels, picture_of


def render(runs: Sequence[Run]) -> str:
    """Returns the page: a panel for each term or measurement, events and samples of each run."""
    title = "Curves of " + ", ".join(run.name for run in runs)
    plots = tag("div", *(_panel(panel) for panel in panels(runs)), class_="plots")
    return document(join([tag("h1", title), _legend(runs), plots, *map(_run, runs)]), title)


def _legend(runs: Sequence[Run]) -> Markup:
    several = len(runs) > 1
    items = (
        tag("li", swatch(place) if several else None, tag("b", run.name), f" {run.summary}")
        for place, run in enumerate(runs)
    )
    return tag("ul", *items, class_="legend")


def _panel(panel: Panel) -> Markup:
    points = [point for series in panel.series for point in series.line]
    values = [y for _, y in points]
    shown = [mark for mark in panel.marks if min(values) * 0.5 <= mark[0] <= max(values) * 2 or mark[0] == 0]
    across = Axis.of([x for x, _ in points], LEFT, WIDTH - RIGHT)
    up = Axis.of([*values, *(value for value, _ in shown)], HEIGHT - BOTTOM, TOP)
    marks = [
        join(
            [
                tag(
                    "path",
                    d=f"M{LEFT} {up(value)}H{WIDTH - RIGHT}",
                    stroke="currentColor",
                    stroke_dasharray="4 3",
                    opacity=0.6,
                ),
                tag("text", name, x=WIDTH - RIGHT - 2, y=up(value) - 3, text_anchor="end", class_="label"),
            ]
        )
        for value, name in shown
    ]
    lines = [_line(series, across, up) for series in panel.series]
    names = [tag("li", swatch(series.place), series.name) for series in panel.named]
    return tag(
        "figure",
        chart(panel.title, HEIGHT, frame(across, up, "step", HEIGHT), *marks, *lines),
        tag("figcaption", panel.title),
        tag("ul", *names, class_="legend") if names else None,
    )


def _line(series: Series, across: Axis, up: Axis) -> Markup:
    places = [(across(x), up(y)) for x, y in series.line]
    if len(places) == 1:
        shape = tag("circle", cx=places[0][0], cy=places[0][1], r=3)
    else:
        shape = tag("path", d="M" + "L".join(f"{x} {y}" for x, y in places), class_="thick")
    last = series.line[-1]
    return tag(
        "g", tag("title", f"{series.name}: {last[1]:.4g} at step {last[0]:,.0f}"), shape, class_=colour(series.place)
    )


def _run(run: Run) -> Markup:
    events = [tag("li", f"step {step:,}: {kind}: {text}") for step, kind, text in run.events]
    pictures = [_picture(run, caption, path) for caption, path in run.pictures]
    return join(
        [
            tag("h2", run.name),
            tag("p", run.summary, class_="quiet"),
            tag("ul", *events) if events else None,
            tag("div", *pictures, class_="samples"),
        ]
    )


def _picture(run: Run, caption: str, path: Path) -> Markup:
    buffer = io.BytesIO()
    picture_of(path).save(buffer, "PNG")
    source = f"data:image/png;base64,{base64.b64encode(buffer.getvalue()).decode()}"
    image = tag("img", src=Markup(source), alt=f"{run.name}, {caption}", loading="lazy").removesuffix("</img>")
    return tag("figure", Markup(image), tag("figcaption", caption))
