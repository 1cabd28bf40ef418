"""Precision, recall, density and coverage: which drawings lie among the real images, and which real images among the drawings."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import NamedTuple

import torch
from torch import Tensor

from ganzoo.errors import UsageError
from ganzoo.metrics.distance_bounds import (
    GROUP,
    UNIT_ROUNDOFF,
    Frame,
    Screen,
    exact,
    group_minima,
    lower_bounds,
    lower_bounds_among,
    pairs_below,
    rounded_up,
    tiles,
)
from ganzoo.metrics.moments import as_features

PAIRS = 2**20  # of one tile: 4 MiB of bounds
WAITING = 2**21  # pairs that wait for an exact look


def neighbour_scores(real: Tensor, fake: Tensor, *, k: int = 3, density_k: int = 5) -> dict[str, float]:
    """`precision` and `recall` with `k` neighbours, `density` and `coverage` with `density_k`, of features (N, D) and (M, D).

    Kynkäänniemi et al. 2019, equations 1 and 2; Naeem et al. 2020, equations 3 and 4; with the papers' k. Balls are closed.
    The same as comparing all pairs in float64: bounds from products in float32 leave out what cannot matter, the rest is taken
    from the differences. Time grows with N·M, memory with N + M.
    """
    single = real.dtype == fake.dtype  # or else one frame would have two centres
    real, fake = (as_features(features, single=single) for features in (real, fake))
    most = max(k, density_k)
    if real.shape[1] != fake.shape[1] or min(k, density_k) < 1 or most >= min(len(real), len(fake)):
        raise UsageError(
            f"{most} neighbours need more images than that, of one dimension: got {tuple(real.shape)} real, {tuple(fake.shape)} fake."
        )
    across = Across(real, fake)
    among_reals = searched(real, (k, density_k), across.real_screen)
    among_fakes = searched(fake, (k,), across.fake_screen if across.fake_screen.central() else None)
    seen = Seen(across, among_reals, among_fakes)
    for tile in across.tiles():
        seen.look(tile)
    seen.settle()
    return {
        "precision": int(seen.precise.sum()) / len(fake),
        "recall": int(seen.recalled.sum()) / len(real),
        "density": seen.inside / (density_k * len(fake)),
        "coverage": int(seen.covered.sum()) / len(real),
    }


class Seen:
    """What is known of the balls around real and fake features after some tiles, and the pairs of which bounds do not tell enough."""

    def __init__(self, across: Across, among_reals: Search, among_fakes: Search):
        self.across, self.among_reals, self.among_fakes = across, among_reals, among_fakes
        self.precise, self.inside = torch.zeros(len(across.fake), dtype=torch.bool), 0
        self.recalled, self.covered = (torch.zeros(len(across.real), dtype=torch.bool) for _ in range(2))
        unit = across.real_screen.unit
        self.spans, (self.fake_span,) = among_reals.spans(unit), among_fakes.spans(unit)
        self.real_limits = across.real_screen.padded(torch.maximum(*(most for _, most in self.spans)))
        self.fake_limits = across.fake_screen.padded(self.fake_span[1])
        self.waiting: tuple[list[Pairs], list[Pairs]] = [], []

    def look(self, tile: Tile) -> None:
        """Counts what bounds tell of a tile, and lets the rest wait."""
        pairs = self.across.near(tile, self.real_limits)
        upper = self.across.upper(pairs)
        inside = [upper <= least[pairs.real] for least, _ in self.spans]
        outside = [pairs.bound > most[pairs.real] for _, most in self.spans]
        sure = torch.stack([one | other for one, other in zip(inside, outside, strict=True)]).all(0)
        self._count(pairs.chosen(sure), *(one[sure] for one in inside))
        self.waiting[0].append(pairs.chosen(~sure))
        self.waiting[1].append(self.across.doubtful(tile, self.fake_span, self.fake_limits, self.recalled))
        if sum(len(some.bound) for waiting in self.waiting for some in waiting) > WAITING:
            self.settle()

    def _count(self, pairs: Pairs, narrow: Tensor, wide: Tensor) -> None:
        self.precise[pairs.fake[narrow]] = True
        self.covered[pairs.real[wide]] = True
        self.inside += int(wide.sum())

    def settle(self) -> None:
        """Takes the distances of the pairs that wait and the radii that these are compared with."""
        around_reals, around_fakes = (
            Pairs(*(torch.cat(parts) for parts in zip(*waiting, strict=True))) for waiting in self.waiting
        )
        self.waiting = [], []
        squared = self.across.exact(around_reals)
        narrow, wide = (squared <= radii[around_reals.real] for radii in self.among_reals.radii(around_reals.real))
        self._count(around_reals, narrow, wide)
        around_fakes = around_fakes.chosen(~self.recalled[around_fakes.real])
        (radii,) = self.among_fakes.radii(around_fakes.fake)
        self.recalled[around_fakes.real[self.across.exact(around_fakes) <= radii[around_fakes.fake]]] = True


class Pairs(NamedTuple):
    """Indices (P,) of real and fake features and lower bounds of their squared distances."""

    real: Tensor
    fake: Tensor
    bound: Tensor

    def chosen(self, which: Tensor) -> Pairs:
        return Pairs(*(part[which] for part in self))


class Tile(NamedTuple):
    """Bounds (A, B) of the squared distances of some fake and some real features; the next tile overwrites them."""

    fakes: slice
    reals: slice
    bounds: Tensor


class Across:
    """Real features (N, D) beside fake ones (M, D)."""

    def __init__(self, real: Tensor, fake: Tensor):
        frame = Frame.around(real, fake)
        self.real, self.fake, self.room, self.second_room = real, fake, *torch.empty(2, side() ** 2)
        self.real_screen, self.fake_screen = Screen(real, frame), Screen(fake, frame)

    def tiles(self) -> Iterator[Tile]:
        """All pairs."""
        for reals in tiles(len(self.real_screen), side()):
            for fakes in tiles(len(self.fake_screen), side()):
                yield Tile(fakes, reals, lower_bounds(self.fake_screen, fakes, self.real_screen, reals, self.room))

    def near(self, tile: Tile, real_limits: Tensor) -> Pairs:
        """All pairs, and perhaps others, that lie within the limit of the real feature."""
        fakes, reals, bound = pairs_below(tile.bounds, group_minima(tile.bounds), real_limits[tile.reals])
        return Pairs(reals + tile.reals.start, fakes + tile.fakes.start, bound)

    def doubtful(self, tile: Tile, span: tuple[Tensor, Tensor], limits: Tensor, recalled: Tensor) -> Pairs:
        """Marks real features (N,) that surely lie in the ball of a fake one as recalled, and finds the pairs of those that perhaps do.

        `span` holds the least and the largest that the squared radii may be, `limits` the largest.
        """
        limits, known, norms = limits[tile.fakes], recalled[tile.reals], self.real_screen.norms[tile.reals]
        room = self.second_room[: tile.bounds.numel()].view_as(tile.bounds)
        least = torch.sub(tile.bounds, limits.float()[:, None], out=room).amin(0)[: len(known)].double()
        rounded = 2 * UNIT_ROUNDOFF * (least.abs() + limits.max())
        slack = self.real_screen.slack(norms[: len(known)] + self.fake_screen.reach(tile.fakes))
        known |= least + rounded + slack + (span[1] - span[0])[tile.fakes].max() <= 0
        (reals,) = ((least <= rounded) & ~known).nonzero(as_tuple=True)
        bounds = tile.bounds[:, reals]
        fake, real = (bounds <= rounded_up(limits)[:, None]).nonzero(as_tuple=True)
        return Pairs(reals[real] + tile.reals.start, fake + tile.fakes.start, bounds[fake, real].double())

    def upper(self, pairs: Pairs) -> Tensor:
        """What the squared distances (P,) are not above, in the frame's unit."""
        return pairs.bound + self.real_screen.slack(
            self.real_screen.norms[pairs.real] + self.fake_screen.norms[pairs.fake]
        )

    def exact(self, pairs: Pairs) -> Tensor:
        """The squared distances (P,)."""
        return exact(self.fake, self.real, pairs.fake, pairs.real)


def searched(features: Tensor, numbers: tuple[int, ...], screen: Screen | None = None) -> Search:
    """The so-many-th nearest other features of each of N; `screen` holds them, if given."""
    search = Search(features, numbers, screen or Screen(features, Frame.around(features)))
    spans = list(tiles(len(search.screen), side()))
    for span in spans:  # neighbours among a few: from now on only what is nearer matters
        search.look(span, span)
    for place, span in enumerate(spans):
        for other in spans[:place]:
            search.look(other, span)
    return search


class Search:
    """The nearest neighbours so far: upper bounds of their squared distances, and pairs that may belong to them.

    A pair that waits is a point, another, a lower bound of their squared distance in the frame's unit, and the squared distance, NaN as
    long as nobody asked. Of most it is never asked: where bounds lie far enough apart, their order is that of the distances.
    """

    def __init__(self, features: Tensor, numbers: tuple[int, ...], screen: Screen):
        self.features, self.numbers, self.screen = features, numbers, screen
        self.room = torch.empty(side() ** 2)
        self.limits = torch.full((len(screen), max(numbers)), torch.inf, dtype=torch.float64)
        self.waiting: list[tuple[Tensor, ...]] = []
        self.settled = 0

    def look(self, rows: slice, columns: slice) -> None:
        """Compares every feature of some rows with every one of some columns, once for both."""
        if rows == columns:
            bounds = lower_bounds_among(self.screen, rows, self.room).fill_diagonal_(torch.inf)
        else:
            bounds = lower_bounds(self.screen, rows, self.screen, columns, self.room)
            self._gather(rows, columns, bounds.T)
        self._gather(columns, rows, bounds)
        if sum(len(point) for point, *_ in self.waiting) > WAITING + self.settled:
            self.settle()

    def _gather(self, points: slice, others: slice, bounds: Tensor) -> None:
        """Looks for neighbours of the columns of bounds (B, A) among its rows."""
        minima, number = group_minima(bounds), self.limits.shape[1]
        fewer = group_minima(minima) if len(minima) // GROUP > number else minima
        upper = fewer.topk(min(number, len(fewer)), 0, largest=False).values.T.double()
        upper += self.screen.slack(self.screen.norms[points] + self.screen.reach(others))[:, None]
        self.limits[points] = torch.cat([self.limits[points], upper], 1).topk(number, 1, largest=False).values
        farthest = self.limits[points, -1]
        # Nothing is nearer than a distance of 0: many copies of one feature would all wait.
        other, point, bound = pairs_below(bounds, minima, farthest.where(farthest > 0, -torch.inf))
        self.waiting.append((point + points.start, other + others.start, bound, torch.full_like(bound, torch.nan)))

    def settle(self) -> None:
        """Keeps of every feature as many pairs as neighbours are wanted, and takes the distances that tell which ones these are."""
        pairs = self._candidates()
        least = self._exactly(*pairs)
        upper = at(self._upper(*pairs), least).sort(1).values
        self.limits[: len(least)] = torch.minimum(self.limits[: len(least)], upper)
        kept = least[least < len(pairs[0])]
        self.waiting, self.settled = [tuple(part[kept] for part in pairs)], len(kept)

    def _candidates(self) -> tuple[Tensor, ...]:
        """The pairs that wait, without those that others have left behind."""
        point, other, bound, squared = (torch.cat(parts) for parts in zip(*self.waiting, strict=True))
        kept = bound <= self.limits[point, -1]
        self.waiting = [tuple(part[kept] for part in (point, other, bound, squared))]
        return self.waiting[0]

    def _upper(self, point: Tensor, other: Tensor, bound: Tensor, squared: Tensor) -> Tensor:
        """What the squared distances are not above, in the frame's unit."""
        return bound + self.screen.slack(self.screen.norms[point] + self.screen.norms[other]).where(
            squared.isnan(), 0.0
        )

    def _between(self, point: Tensor, bound: Tensor, upper: Tensor) -> tuple[Tensor, Tensor]:
        """The least (N, number) and the most that the distances to the nearest features may be."""
        return tuple(
            at(values, least_of(point, values, self.limits.shape[1], len(self.features))) for values in (bound, upper)
        )

    def _exactly(self, point: Tensor, other: Tensor, bound: Tensor, squared: Tensor) -> Tensor:
        """Puts the distances of those pairs in place that may be the so-many-th nearest, and returns where (N, number) the nearest are."""
        upper = self._upper(point, other, bound, squared)
        lowest, highest = self._between(point, bound, upper)
        places = [number - 1 for number in sorted(set(self.numbers))]
        unsure = torch.stack(
            [(lowest[point, place] <= upper) & (bound <= highest[point, place]) for place in places]
        ).any(0)
        unsure &= squared.isnan()
        squared[unsure] = exact(self.features, self.features, point[unsure], other[unsure])
        bound[unsure] = squared[unsure] / self.screen.unit / self.screen.unit
        return least_of(point, bound, self.limits.shape[1], len(self.features))

    def spans(self, unit: float) -> list[tuple[Tensor, Tensor]]:
        """For each of the numbers the least (N,) and the most that the squared distances may be, in a unit."""
        point, other, bound, squared = self._candidates()
        scale = (self.screen.unit / unit) ** 2
        lowest, highest = (
            scale * ends for ends in self._between(point, bound, self._upper(point, other, bound, squared))
        )
        return [(lowest[:, number - 1], highest[:, number - 1]) for number in self.numbers]

    def radii(self, asked: Tensor) -> list[Tensor]:
        """The squared distances (N,) for each of the numbers; infinite where nobody asked."""
        pairs = self._candidates()
        wanted = torch.zeros(len(self.features), dtype=torch.bool).index_fill_(0, asked, True)[pairs[0]]
        pairs = tuple(part[wanted] for part in pairs)
        least = self._exactly(*pairs)
        return [at(pairs[-1], least[:, number - 1]) for number in self.numbers]


def least_of(point: Tensor, values: Tensor, number: int, count: int) -> Tensor:
    """Where (count, number) the least values (P,) of every point are, in their order; P where a point has too few."""
    order = values.argsort()
    order = order[point[order].argsort(stable=True)]
    sizes = point.bincount(minlength=count)[:, None]
    place = torch.arange(number)
    place = (sizes.cumsum(0) - sizes + place).where(place < sizes, len(values))
    return torch.cat([order, order.new_tensor([len(values)])])[place]


def at(values: Tensor, places: Tensor) -> Tensor:
    """Values (P,) at places, infinite at place P."""
    return torch.cat([values, values.new_tensor([torch.inf])])[places]


def side() -> int:
    """Rows of a square tile."""
    return max(1, math.isqrt(PAIRS) // GROUP) * GROUP
