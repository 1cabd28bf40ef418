"""Curves as inline SVG, in the colours of the page."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from ganzoo.bench.report.markup import Markup, tag
from ganzoo.bench.report.svg import (
    BOTTOM,
    HEIGHT,
    LEFT,
    RIGHT,
    TOP,
    WIDTH,
    Axis,
    chart,
    colour,
    frame,
    swatch,
    tick_text,
)

Line = Sequence[tuple[float, float]]
MOST_POINTS = 400  # of a line: more are thinned out
STYLE = """
.studio-plots { --line: var(--border-color-primary); --text: var(--body-text-color);
  --quiet: var(--body-text-color-subdued);
  --c0: #0b62c4; --c1: #c2410c; --c2: #14803c; --c3: #a21caf; --c4: #0e7490; --c5: #92600a; --c6: #be123c;
  --c7: #5b5bd6; display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 270px), 1fr)); gap: 12px; }
.dark .studio-plots { --c0: #6aa9ff; --c1: #ff9558; --c2: #5fcf80; --c3: #e58af0; --c4: #4fc3d9; --c5: #dcb048;
  --c6: #ff8094; --c7: #a5a5ff; }
.studio-plots figure { margin: 0; } .studio-plots figcaption { font-size: .85rem; color: var(--text); }
.studio-plots .entry { white-space: nowrap; }
.studio-plots .chart { display: block; width: 100%; height: auto; }
.studio-plots .chart text { fill: var(--text); font-size: 12.5px; } .studio-plots .chart .label { fill: var(--quiet); }
.studio-plots .grid { stroke: var(--line); fill: none; }
.studio-plots .swatch { display: inline-block; width: 22px; height: 10px; margin: 0 4px 0 10px; }
.studio-plots .thick { stroke: var(--own); stroke-width: 2; fill: none; }
""" + "".join(f".studio-plots .c{number} {{ --own: var(--c{number}); }}\n" for number in range(8))


def plot(title: str, lines: Mapping[str, Line], label: str = "step") -> Markup | None:
    """Draws lines against a common axis with their last values in the legend; None without a finite point."""
    kept = {name: found for name, line in lines.items() if (found := _thinned(line))}
    if not kept:
        return None
    points = [point for line in kept.values() for point in line]
    across = Axis.of([x for x, _ in points], LEFT, WIDTH - RIGHT, from_zero=True)
    up = Axis.of([y for _, y in points], HEIGHT - BOTTOM, TOP)
    drawn, legend = [], []
    for place, (name, line) in enumerate(kept.items()):
        path = "M" + "L".join(f"{across(x)} {up(y)}" for x, y in line) + ("h1" if len(line) == 1 else "")
        drawn.append(tag("g", tag("path", tag("title", name), d=path, class_="thick"), class_=colour(place)))
        legend.append(tag("span", swatch(place), f"{name} {tick_text(line[-1][1])}", class_="entry"))
    picture = chart(title, HEIGHT, frame(across, up, label, HEIGHT), *drawn)
    return tag("figure", tag("figcaption", tag("strong", title), *legend), picture)


def plots(*figures: Markup | None) -> Markup:
    """Sets figures beside each other where there is room."""
    return tag("div", *(one for one in figures if one is not None), class_="studio-plots")


def _thinned(line: Line) -> list[tuple[float, float]]:
    """Leaves out points that are not finite, and evenly those beyond what a screen shows; the last one stays."""
    finite = [(float(x), float(y)) for x, y in line if _is_number(x) and _is_number(y)]
    step = max(1, math.ceil(len(finite) / MOST_POINTS))
    return finite[-1::-step][::-1]


def _is_number(value: object) -> bool:
    return type(value) in (int, float) and math.isfinite(value) and abs(value) < 1e30  # type: ignore[arg-type]
