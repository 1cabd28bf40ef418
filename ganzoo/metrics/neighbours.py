"""Precision, recall, density and coverage: which drawings lie among the real images, and which real images among the drawings."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from ganzoo.errors import UsageError
from ganzoo.metrics.moments import as_features
from ganzoo.metrics.screening import GROUP, Frame, Screen, group_minima, lower_bounds, pairs_below, tiles

PAIRS = 2**20  # of one tile: 4 MiB of bounds
NUMBERS = 2**20  # of one block of differences
WAITING = 2**21  # pairs that wait for an exact look


def neighbour_scores(real: Tensor, fake: Tensor, *, k: int = 3, density_k: int = 5) -> dict[str, float]:
    """`precision` and `recall` with `k` neighbours, `density` and `coverage` with `density_k`, of features (N, D) and (M, D).

    Kynkäänniemi et al. 2019, equations 1 and 2; Naeem et al. 2020, equations 3 and 4; with the papers' k. Balls are closed.
    The same as comparing all pairs in float64: bounds from products in float32 leave out what cannot matter, the rest is taken
    from the differences. Time grows with N·M, memory with N + M.
    """
    real, fake = as_features(real), as_features(fake)
    most = max(k, density_k)
    if real.shape[1] != fake.shape[1] or min(k, density_k) < 1 or most >= min(len(real), len(fake)):
        raise UsageError(
            f"{most} neighbours need more images than that, of one dimension: got {tuple(real.shape)} real, {tuple(fake.shape)} fake."
        )
    real_radii, fake_radii = nearest(real, (k, density_k)), nearest(fake, (k,))
    return _compare(real, fake, real_radii, fake_radii[0], density_k)


def _compare(real: Tensor, fake: Tensor, real_radii: list[Tensor], fake_radii: Tensor, density_k: int) -> dict[str, float]:
    among_real, inside = torch.zeros(len(fake), dtype=torch.bool), 0
    recalled, covered = torch.zeros(len(real), dtype=torch.bool), torch.zeros(len(real), dtype=torch.bool)
    across = Across(real, fake)
    for in_real, in_fake in across.near(torch.maximum(*real_radii), fake_radii):
        narrow, wide = across.within(in_real, [radii[in_real.real] for radii in real_radii])
        among_real[in_real.fake[narrow]] = True
        covered[in_real.real[wide]] = True
        inside += int(wide.sum())
        (held,) = across.within(in_fake, [fake_radii[in_fake.fake]])
        recalled[in_fake.real[held]] = True
    return {
        "precision": int(among_real.sum()) / len(fake),
        "recall": int(recalled.sum()) / len(real),
        "density": inside / (density_k * len(fake)),
        "coverage": int(covered.sum()) / len(real),
    }


class Pairs(NamedTuple):
    """Indices (P,) of real and fake features and lower bounds of their squared distances."""

    real: Tensor
    fake: Tensor
    bound: Tensor


class Across:
    """Real features (N, D) beside fake ones (M, D)."""

    def __init__(self, real: Tensor, fake: Tensor):
        frame = Frame.around(real, fake)
        self.real, self.fake, self.unit = real, fake, frame.unit
        self.screens = Screen(real, frame, side()), Screen(fake, frame, side())

    def near(self, real_radii: Tensor, fake_radii: Tensor) -> Iterator[tuple[Pairs, Pairs]]:
        """Tile by tile all pairs, and perhaps others, that lie within the squared radius of the real, and of the fake feature."""
        real, fake = self.screens
        real_limits, fake_limits = real.padded(real_radii / self.unit / self.unit), fake.padded(fake_radii / self.unit / self.unit)
        for columns in tiles(len(real.left), side()):
            right = real.right(columns)
            for rows in tiles(len(fake.left), side()):
                bounds = lower_bounds(fake.left[rows], right)
                fakes, reals, bound = pairs_below(bounds, group_minima(bounds), real_limits[columns])
                in_real = Pairs(reals + columns.start, fakes + rows.start, bound)
                reals, fakes, bound = pairs_below(bounds.T, group_minima(bounds.T), fake_limits[rows])
                yield in_real, Pairs(reals + columns.start, fakes + rows.start, bound)

    def within(self, pairs: Pairs, squared_radii: Sequence[Tensor]) -> list[Tensor]:
        """For each of the radii (P,) whether the pairs are at most so far apart: by their differences where bounds cannot tell."""
        real, fake = self.screens
        squared = pairs.bound + real.slack(real.norms[pairs.real] + fake.norms[pairs.fake])
        scaled = [radii / self.unit / self.unit for radii in squared_radii]
        unsure = sum(((pairs.bound <= radii) & (radii < squared) for radii in scaled), torch.zeros(len(squared), dtype=torch.bool))
        squared[unsure] = exact(self.fake, self.real, pairs.fake[unsure], pairs.real[unsure]) / self.unit / self.unit
        return [squared <= radii for radii in scaled]


def nearest(features: Tensor, numbers: tuple[int, ...]) -> list[Tensor]:
    """Squared distances (N,) to the so-many-th nearest other feature, one tensor for each number."""
    search = Search(features, max(numbers))
    spans = list(tiles(len(search.limits), side()))
    for span in spans:  # neighbours among a few: from now on only what is nearer matters
        search.look(span, span)
    for place, span in enumerate(spans):
        for other in spans[:place]:
            search.look(other, span)
    search.settle()
    return [search.found[:, number - 1] for number in numbers]


class Search:
    """The nearest neighbours so far: upper bounds of their squared distances, pairs that may belong to them, and settled ones."""

    def __init__(self, features: Tensor, number: int):
        frame = Frame.around(features)
        self.features, self.unit, self.screen = features, frame.unit, Screen(features, frame, side())
        self.limits = torch.full((len(self.screen.left), number), torch.inf, dtype=torch.float64)
        self.found = torch.full((len(features), number), torch.inf, dtype=torch.float64)
        self.waiting: list[tuple[Tensor, Tensor, Tensor]] = []

    def look(self, rows: slice, columns: slice) -> None:
        """Compares every feature of some rows with every one of some columns, once for both."""
        bounds = lower_bounds(self.screen.left[rows], self.screen.right(columns))
        if rows == columns:
            bounds.fill_diagonal_(torch.inf)
        else:
            self._gather(rows, columns, bounds.T)
        self._gather(columns, rows, bounds)
        if sum(len(point) for point, _, _ in self.waiting) > WAITING:
            self.settle()

    def _gather(self, points: slice, others: slice, bounds: Tensor) -> None:
        """Looks for neighbours of the columns of bounds (B, A) among its rows."""
        minima = group_minima(bounds)
        upper = minima + self.screen.slack(self.screen.norms[points] + self.screen.reach(others))
        limits = torch.cat([self.limits[points], upper.T], 1)
        self.limits[points] = limits.topk(self.limits.shape[1], 1, largest=False).values
        farthest = self.limits[points, -1]
        # Nothing is nearer than a distance of 0: many copies of one feature would all wait.
        other, point, bound = pairs_below(bounds, minima, farthest.where(farthest > 0, -torch.inf))
        self.waiting.append((point + points.start, other + others.start, bound))

    def settle(self) -> None:
        """Takes the exact distances of the pairs that wait and keeps the least of every feature."""
        if not self.waiting:
            return
        count, number = self.found.shape
        point, other, bound = (torch.cat(parts) for parts in zip(*self.waiting, strict=True))
        kept = bound <= self.limits[point, -1]
        point, other, self.waiting = point[kept], other[kept], []
        point = torch.cat([torch.arange(count).repeat_interleave(number), point])
        squared = torch.cat([self.found.flatten(), exact(self.features, self.features, point[count * number :], other)])
        order = squared.argsort()
        order = order[point[order].argsort(stable=True)]
        point, squared = point[order], squared[order]
        place = torch.arange(len(point)) - torch.searchsorted(point, point)
        least = place < number
        self.found[point[least], place[least]] = squared[least]
        self.limits[:count] = torch.minimum(self.limits[:count], self.found / self.unit / self.unit)


def exact(one: Tensor, other: Tensor, row: Tensor, column: Tensor) -> Tensor:
    """Squared distances of chosen pairs from their differences: the same pair gives the same bits wherever it is asked."""
    size = max(1, NUMBERS // one.shape[1])
    parts = zip(row.split(size), column.split(size), strict=True)
    return torch.cat([(one.index_select(0, first) - other.index_select(0, second)).square_().sum(1) for first, second in parts])


def side() -> int:
    """Rows of a square tile."""
    return max(1, math.isqrt(PAIRS) // GROUP) * GROUP
