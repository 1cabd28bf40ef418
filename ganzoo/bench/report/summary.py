"""Summarizes the rows of a bench: sections that can be ranked, and in them one summary a variant over its seeds."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property

from ganzoo.bench.report.statistics import deviation, mean, mean_interval
from ganzoo.bench.row import Row, Score
from ganzoo.metrics.directions import direction

ORDER = (  # of columns; other numbers follow
    "l1",
    "psnr",
    "ssim",
    "ms-ssim",
    "lpips",
    "frechet",
    "kid",
    "precision",
    "recall",
    "density",
    "coverage",
    "inception-score",
    "modes",
    "modes-tenth",
    "code-agreement",
    "label-agreement",
    "class-divergence",
)
FIRST = "frechet"  # ranks where the protocol names no metric
MINUTES = (1 / 60, 1 / 12, 1 / 6, 0.5, 1, 2, 5, 10, 20, 30, 60, 120, 240, 480, 960, 1440, 2880)
COLUMNS = 5


def better(metric: str, values: Iterable[float]) -> float:
    """Returns the best of some values of one metric; the lowest where its direction is unknown."""
    return max(values) if direction(metric) > 0 else min(values)


@dataclass(frozen=True)
class Estimate:
    """Holds a number over the seeds that have it.

    `deviation` is None for one seed, `interval` (95 %) for fewer than three.
    """

    count: int
    mean: float
    deviation: float | None
    interval: tuple[float, float] | None
    values: tuple[float, ...]

    @classmethod
    def of(cls, values: Sequence[float]) -> Estimate | None:
        if not values:
            return None
        return cls(len(values), mean(values), deviation(values), mean_interval(values), tuple(values))


@dataclass(frozen=True)
class Point:
    """Holds a score during a training."""

    images: int
    seconds: float | None
    value: float


@dataclass(frozen=True)
class Summary:
    """Summarizes all seeds of one variant with one set of settings, successful or not."""

    name: str
    settings: tuple[str, ...]
    rows: tuple[Row, ...]

    def estimate(self, metric: str, which: str) -> Estimate | None:
        """Returns the `metric` at the "best" or the "final" score; None if no seed has it."""
        return Estimate.of([value for row in self.rows if (value := value_of(getattr(row, which), metric)) is not None])

    def ranked_by(self, metric: str) -> Estimate | None:
        """Returns the estimate of a metric that ranks: of the best scores, else of the final ones."""
        return self.estimate(metric, "best") or self.estimate(metric, "final")

    def lacks(self, metric: str) -> bool:
        """Returns True if the metric was never computed for this variant (as opposed to being NaN)."""
        found = [score.scores for row in self.rows for score in (row.best, row.final) if score is not None]
        return bool(found) and all(metric not in scores for scores in found)

    @cached_property
    def counts(self) -> dict[str, int]:
        """Counts the seeds that ran, and those that diverged, failed or collapsed, which one seed may do together."""
        states = [row.status for row in self.rows]
        collapsed = sum(row.collapsed for row in self.rows)
        return {
            "seeds": len(states),
            "diverged": states.count("diverged"),
            "failed": states.count("failed"),
            "collapsed": collapsed,
        }

    def curves(self, metric: str) -> list[tuple[int, list[Point]]]:
        """Returns (seed, its scores in order) for each seed that has any."""
        found = []
        for row in self.rows:
            seconds = [*row.times.point_seconds, *[None] * len(row.points)]
            points = [
                Point(point.images, when, value)
                for point, when in zip(row.points, seconds, strict=False)
                if (value := value_of(point, metric)) is not None and point.images is not None
            ]
            if points:
                found.append((row.cell.seed, points))
        return found

    def within(self, metric: str, minutes: float) -> Estimate | None:
        """Returns the best scores within so many minutes of training; seeds without a score until then are left out."""
        best: list[float] = []
        for _, points in self.curves(metric):
            reached = [point.value for point in points if point.seconds is not None and point.seconds <= 60 * minutes]
            best += [better(metric, reached)] if reached else []
        return Estimate.of(best)

    def cost(self, name: str) -> float | None:
        """Returns the mean over seeds of a field of `Costs` or `Times`; None if no seed states it."""
        values = [getattr(row.costs if hasattr(row.costs, name) else row.times, name, None) for row in self.rows]
        found = [float(value) for value in values if value is not None]
        return mean(found) if found else None


@dataclass(frozen=True)
class Section:
    """Holds the variants that can be ranked together: of one protocol, data set, budget and kind."""

    protocol: str
    data: str
    kind: str
    budget: dict[str, float] | None
    summaries: tuple[Summary, ...]
    metrics: tuple[str, ...]
    ranking: str | None

    @cached_property
    def ranked(self) -> list[tuple[int | None, Summary]]:
        """Returns (rank, summary), the best mean first; the rank is None without a score or a direction."""
        if self.ranking is None or not direction(self.ranking):
            return [(None, summary) for summary in self.summaries]
        scored = [
            (estimate.mean * -direction(self.ranking), summary)
            for summary in self.summaries
            if (estimate := summary.ranked_by(self.ranking))
        ]
        scored.sort(key=lambda pair: pair[0])
        places = [(1 + sum(value < own for value, _ in scored), summary) for own, summary in scored]
        return [
            *places,
            *((None, summary) for summary in self.summaries if all(summary is not other for _, other in scored)),
        ]

    @cached_property
    def minutes(self) -> list[float]:
        """Returns round training times up to the longest run, an hour among them, at which variants are compared."""
        if self.ranking is None:
            return []
        curves = [points for summary in self.summaries for _, points in summary.curves(self.ranking)]
        first = [points[0].seconds for points in curves if points[0].seconds is not None]
        seconds = [points[-1].seconds for points in curves if points[-1].seconds is not None]
        if not seconds:
            return []
        fitting = [m for m in MINUTES if min(first, default=0) <= 60 * m <= max(seconds)]
        kept = [m for m in fitting[-COLUMNS:] if m != 60] + [m for m in fitting if m == 60]
        return sorted([*kept, max(seconds) / 60] if max(seconds) / 60 not in kept else kept)


def value_of(score: Score | None, metric: str) -> float | None:
    return None if score is None else score.scores.get(metric)


def sections(rows: Iterable[Row], rankings: dict[str, str] | None = None) -> list[Section]:
    """Groups rows into sections.

    `rankings` names the metric that ranks by protocol, where it is not the Fréchet distance.
    """
    groups: dict[tuple, list[Row]] = {}
    for row in rows:
        groups.setdefault((row.protocol, row.kind, row.cell.data, json.dumps(row.budget, sort_keys=True)), []).append(
            row
        )
    return [_section(group, (rankings or {}).get(group[0].protocol)) for _, group in sorted(groups.items())]


def _section(rows: list[Row], asked: str | None) -> Section:
    metrics = metrics_of(rows)
    names = [asked, *(name for name in metrics if name.startswith(f"{FIRST}[")), *metrics]
    ranking = next((name for name in names if name in metrics and direction(name)), None)
    groups: dict[tuple, list[Row]] = {}
    for row in rows:
        groups.setdefault((row.cell.name, row.changes), []).append(row)
    summaries = tuple(
        Summary(name, settings, tuple(sorted(group, key=lambda row: row.cell.seed)))
        for (name, settings), group in sorted(groups.items())
    )
    first = rows[0]
    return Section(first.protocol, first.cell.data, first.kind, first.budget, summaries, tuple(metrics), ranking)


def metrics_of(rows: Iterable[Row]) -> list[str]:
    """Returns the names of all numbers but deviations, the known ones in the order of this module, then the others.

    Of one number by several extractors, that by the extractor which rows name first comes first.
    """
    found = extractors_in_order(
        name
        for row in rows
        for score in (row.best, row.final, *row.points)
        if score is not None
        for name in score.scores
    )
    order = {name: place for place, name in enumerate(ORDER)}
    kept = [name for name in found if not name.partition("[")[0].endswith("-deviation")]
    return sorted(kept, key=lambda name: order.get(name.partition("[")[0], len(order)))


def extractors_in_order(labels: Iterable[str]) -> list[str]:
    """Sorts names of numbers, each once: by extractor, the one that is named first before the others, then by name."""
    named = list(dict.fromkeys(labels))
    extractors = [label.partition("[")[2] for label in named]
    return sorted(named, key=lambda label: (extractors.index(label.partition("[")[2]), label))
