"""Plots scores as inline SVG: against time or images, and for every seed beside the interval of the mean."""

from __future__ import annotations

import math
from dataclasses import dataclass

from ganzoo.bench.report.markup import Markup, join, tag
from ganzoo.bench.report.statistics import mean
from ganzoo.bench.report.summary import Estimate, Section, Summary
from ganzoo.bench.report.tables import decimals, number, order

WIDTH, HEIGHT = 460, 300
LEFT, RIGHT, TOP, BOTTOM = 52, 14, 14, 44
COLOURS, DASHES = 8, 5  # as many as style.py defines; the first dash is none
LOGARITHMIC = 8  # ratio of the highest to the lowest value above which the axis is logarithmic


@dataclass(frozen=True)
class Axis:
    """Maps values to pixels, linearly or logarithmically, with round ticks."""

    low: float
    high: float
    start: float
    end: float
    logarithmic: bool = False

    @classmethod
    def of(
        cls, values: list[float], start: float, end: float, *, from_zero: bool = False, logarithm: bool = False
    ) -> Axis:
        low, high = min(values), max(values)
        if logarithm and low > 0 and high / low > LOGARITHMIC:
            return cls(low / 1.1, high * 1.1, start, end, True)
        room = (high - low) * 0.06 or abs(high) * 0.1 or 1.0
        return cls(0.0 if from_zero else low - room, high if from_zero and high > 0 else high + room, start, end)

    def __call__(self, value: float) -> float:
        if self.logarithmic:
            share = math.log(value / self.low) / math.log(self.high / self.low)
        else:
            share = (value - self.low) / (self.high - self.low)
        return round(self.start + share * (self.end - self.start), 2)

    def ticks(self) -> list[float]:
        if self.logarithmic:
            steps = [1, 2, 5] if self.high / self.low < 500 else [1]
            powers = range(math.floor(math.log10(self.low)), math.ceil(math.log10(self.high)) + 1)
            return [tick for power in powers for step in steps if self.low <= (tick := step * 10.0**power) <= self.high]
        rough = (self.high - self.low) / 5
        power = 10.0 ** math.floor(math.log10(rough))
        step = next(size * power for size in (1, 2, 5, 10) if size * power >= rough * 0.999)
        first, last = math.ceil(self.low / step - 1e-9), math.floor(self.high / step + 1e-9)
        return [count * step for count in range(first, last + 1)]


def colour(place: int) -> str:
    """Returns the CSS classes of a series: eight colours, then the same ones dashed; they repeat after forty."""
    dash = place // COLOURS % DASHES
    return f"c{place % COLOURS}" + (f" dash{dash}" if dash else "")


def swatch(place: int) -> Markup:
    return tag(
        "svg",
        tag("path", d="M1 5H21", class_=f"thick {colour(place)}"),
        class_="swatch",
        viewBox="0 0 22 10",
        aria_hidden="true",
    )


def tick_text(value: float) -> str:
    if abs(value) >= 1000:
        unit, letter = next(
            (unit, letter) for unit, letter in ((1e9, "G"), (1e6, "M"), (1e3, "k")) if abs(value) >= unit
        )
        return f"{value / unit:g}{letter}"
    return (
        f"{value:.{min(6, decimals(value, 3))}f}".rstrip("0").rstrip(".") if 1e-4 < abs(value) < 1 else f"{value:.4g}"
    )


def frame(across: Axis, up: Axis | None, label: str, height: float) -> Markup:
    """Returns grid lines, tick labels and the axis label."""
    parts = []
    for tick in across.ticks():
        place = across(tick)
        parts += [
            tag("path", d=f"M{place} {TOP}V{height - BOTTOM}", class_="grid"),
            tag("text", tick_text(tick), x=place, y=height - BOTTOM + 17, text_anchor="middle"),
        ]
    for tick, place in [(tick, up(tick)) for tick in up.ticks()] if up else []:
        parts += [
            tag("path", d=f"M{LEFT} {place}H{WIDTH - RIGHT}", class_="grid"),
            tag("text", tick_text(tick), x=LEFT - 6, y=place + 4, text_anchor="end"),
        ]
    middle = (across.start + across.end) / 2
    return join([*parts, tag("text", label, x=middle, y=height - 7, text_anchor="middle", class_="label")])


def chart(title: str, height: float, *content: Markup) -> Markup:
    return tag("svg", tag("title", title), *content, viewBox=f"0 0 {WIDTH} {height:g}", role="img", class_="chart")


def curves(section: Section, against: str) -> Markup | None:
    """Plots the ranking metric against "images" or "seconds"; None if no seed has two points.

    Seeds are thin lines, their mean is a thick one.
    """
    if section.ranking is None:
        return None
    metric = section.ranking
    unit, label = _unit(section, against)
    found = [(place, summary, _lines(summary, metric, against, unit)) for place, summary in enumerate(order(section))]
    every = [point for _, _, lines in found for line, _ in lines for point in line]
    if not any(len(line) > 1 for _, _, lines in found for line, _ in lines) or max(x for x, _ in every) <= 0:
        return None
    across = Axis.of([x for x, _ in every], LEFT, WIDTH - RIGHT, from_zero=True)
    up = Axis.of([y for _, y in every], HEIGHT - BOTTOM, TOP, logarithm=True)
    series = [_series(place, summary, lines, across, up) for place, summary, lines in found]
    scale = ", logarithmic" if up.logarithmic else ""
    title = f"{section.ranking}{scale}, against {label}"
    return tag("figure", chart(title, HEIGHT, frame(across, up, label, HEIGHT), *series), tag("figcaption", title))


Line = list[tuple[float, float]]


def _unit(section: Section, against: str) -> tuple[float, str]:
    """Returns the size of the axis unit and the label of the axis."""
    if against == "images":
        return 1, "real images seen in training"
    longest = 60 * max(section.minutes, default=0)
    size, name = (1, "seconds") if longest < 120 else (60, "minutes") if longest < 7200 else (3600, "hours")
    return size, f"{name} of training"


def _lines(summary: Summary, metric: str, against: str, unit: float) -> list[tuple[Line, bool]]:
    """Returns the points of each seed, and True if it finished."""
    ended = {row.cell.seed: row.status == "done" for row in summary.rows}
    lines = [
        ([(x / unit, point.value) for point in points if (x := getattr(point, against)) is not None], ended[seed])
        for seed, points in summary.curves(metric)
    ]
    return [(line, done) for line, done in lines if line]


def _series(place: int, summary: Summary, lines: list[tuple[Line, bool]], across: Axis, up: Axis) -> Markup:
    parts = [tag("path", d=_path(line, across, up), class_="thin") for line, _ in lines]
    complete = [line for line, done in lines if done]
    if complete:
        thick = [
            (mean([x for x, _ in points]), mean([y for _, y in points])) for points in zip(*complete, strict=False)
        ]
        parts += [tag("path", d=_path(thick, across, up), class_="thick")]
        parts += [
            tag("circle", tag("title", f"{summary.name}: {number(y)}"), cx=across(x), cy=up(y), r=2.6) for x, y in thick
        ]
    for line, done in lines:
        if not done:
            x, y = across(line[-1][0]), up(line[-1][1])
            parts.append(
                tag(
                    "path",
                    tag("title", f"{summary.name}: a seed ended early"),
                    d=f"M{x - 4} {y - 4}l8 8m0 -8l-8 8",
                    class_="cross",
                )
            )
    return tag("g", *parts, class_=colour(place))


def _path(line: Line, across: Axis, up: Axis) -> str:
    return "M" + "L".join(f"{across(x)} {up(y)}" for x, y in line)


def seeds_chart(section: Section) -> Markup | None:
    """Plots the best score of every seed as a dot and the interval of their mean as a bar, a row a variant."""
    if section.ranking is None:
        return None
    found = [
        (place, summary, estimate)
        for place, summary in enumerate(order(section))
        if (estimate := summary.estimate(section.ranking, "best"))
    ]
    if not found:
        return None
    height = TOP + 36 * len(found) + BOTTOM
    across = Axis.of(
        [value for _, _, estimate in found for value in estimate.values], 14, WIDTH - RIGHT, logarithm=True
    )
    rows = [
        _seed_row(place, summary.name, estimate, across, TOP + 36 * line)
        for line, (place, summary, estimate) in enumerate(found)
    ]
    scale = ", logarithmic" if across.logarithmic else ""
    title = f"Best {section.ranking} of every seed; bar: 95 % interval of the mean, of three seeds or more{scale}"
    return tag(
        "figure", chart(title, height, frame(across, None, section.ranking, height), *rows), tag("figcaption", title)
    )


def _seed_row(place: int, name: str, estimate: Estimate, across: Axis, top: float) -> Markup:
    y = top + 26
    parts = [
        tag("text", tag("title", name), name if len(name) <= 56 else f"{name[:55]}…", x=16, y=top + 14, class_="name")
    ]
    if estimate.interval:
        low, high = (across(min(max(end, across.low), across.high)) for end in estimate.interval)
        parts.append(tag("rect", x=low, y=y - 4, width=round(max(high - low, 1), 2), height=8, rx=2, class_="bar"))
    parts += [tag("circle", tag("title", number(value)), cx=across(value), cy=y, r=3.4) for value in estimate.values]
    parts.append(tag("path", d=f"M{across(estimate.mean)} {y - 7}v14", class_="thick"))
    return tag("g", *parts, class_=colour(place))
