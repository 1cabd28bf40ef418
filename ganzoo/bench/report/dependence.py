"""Compares the rankings of the same variants by two extractors."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple

from ganzoo.bench.report.statistics import kendall
from ganzoo.bench.report.summary import Section
from ganzoo.metrics.directions import direction

LEAST_VARIANTS = 3  # of two there is one pair, which says nothing about a ranking
MOST_MOVES = 3  # that are named


class Move(NamedTuple):
    """Holds the ranks of a variant by the first and by the second extractor, among those that have both scores."""

    name: str
    first: int
    second: int


@dataclass(frozen=True)
class Dependence:
    """Holds how much the rankings by two numbers, of one metric and two extractors, differ.

    `swapped` of `pairs` are in the opposite order; `moves` are the variants whose ranks differ most, at most three.
    """

    first: str
    second: str
    variants: int
    tau: float
    pairs: int
    swapped: int
    moves: tuple[Move, ...]


def dependences(section: Section) -> list[Dependence]:
    """Returns one comparison for each other extractor by which the metric that ranks was computed.

    Variants without one of the two scores are left out; of fewer than three, and where all scores are equal, nothing
    is said.
    """
    if section.ranking is None or not direction(section.ranking):
        return []
    metric = section.ranking.partition("[")[0]
    others = [name for name in section.metrics if name.startswith(f"{metric}[") and name != section.ranking]
    found = [_between(section, section.ranking, other) for other in others]
    return [one for one in found if one is not None]


def _between(section: Section, first: str, second: str) -> Dependence | None:
    scored = [
        (summary, -direction(first) * one.mean, -direction(first) * other.mean)
        for summary in section.summaries
        if (one := summary.ranked_by(first)) and (other := summary.ranked_by(second))
    ]
    if len(scored) < LEAST_VARIANTS:
        return None
    names = [summary.name for summary, _, _ in scored]
    ours, theirs = [one for _, one, _ in scored], [other for _, _, other in scored]
    tau, swapped = kendall(ours, theirs)
    if tau is None:
        return None
    moves = [
        Move(
            " ".join([summary.name, *summary.settings]) if names.count(summary.name) > 1 else summary.name,
            _rank(one, ours),
            _rank(other, theirs),
        )
        for summary, one, other in scored
    ]
    moves.sort(key=lambda move: (-abs(move.first - move.second), move.first))
    most = tuple(move for move in moves if move.first != move.second)[:MOST_MOVES]
    return Dependence(first, second, len(scored), tau, math.comb(len(scored), 2), swapped, most)


def _rank(value: float, values: list[float]) -> int:
    return 1 + sum(other < value for other in values)
