"""Bounds of squared distances in float32: one matrix product a tile says which few pairs are worth an exact look."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import NamedTuple

import torch
from torch import Tensor

GROUP = 16  # rows whose least bound stands for all of them: comparing float with float costs torch five times as much as a minimum
FLOOR = 2.0**-100  # what underflow may do to a distance between points whose coordinates are at most 2
UNIT_ROUNDOFF = 2.0**-24


class Frame(NamedTuple):
    """A point (D,) near the middle and a power of two: without the mean a product loses fewer digits, and nothing overflows."""

    centre: Tensor
    unit: float

    @classmethod
    def around(cls, *sets: Tensor) -> Frame:
        centre = sets[0].mean(0)
        reach = max(float(torch.maximum(points.amax(0) - centre, centre - points.amin(0)).max()) for points in sets)
        return cls(centre, math.ldexp(1.0, math.frexp(reach)[1] - 1) if reach else 1.0)


class Screen:
    """Points (N, D) of a frame in float32, N made a multiple of GROUP by points at infinity.

    A product of rounded coordinates is off by at most `share` (|x|² + |y|²) + FLOOR, whatever the order of its sums: each of
    D + 2 terms is rounded at most D + 2 times, and the coordinates once (Higham 2002, section 3.1). The centre costs nothing more:
    a difference of two floats is rounded once.
    """

    def __init__(self, points: Tensor, frame: Frame, rows: int):
        count, dimensions = points.shape
        self.count, self.share = count, 2.1 * (dimensions + 8) * UNIT_ROUNDOFF
        self.left = torch.zeros(-(-count // GROUP) * GROUP, dimensions + 2)
        self.norms = torch.full((len(self.left),), torch.inf, dtype=torch.float64)
        for some in tiles(count, rows):
            self.left[some, :-2] = (points[some] - frame.centre) / frame.unit
            self.norms[some] = self.left[some, :-2].double().square().sum(1)
        self.left[:, -2] = self.norms * (1 - self.share) - FLOOR / 2
        self.left[:, -1] = 1

    def right(self, rows: slice) -> Tensor:
        """What `left` is multiplied by: [x, |x|², 1]·[-2y, 1, |y|²] is the squared distance."""
        some = self.left[rows]
        return torch.cat([-2 * some[:, :-2], some[:, -1:], some[:, -2:-1]], 1)

    def reach(self, rows: slice) -> Tensor:
        """The largest |x|² there."""
        return self.norms[rows.start : min(rows.stop, self.count)].max()

    def padded(self, limits: Tensor) -> Tensor:
        """Limits (N,) and below everything those of the points at infinity."""
        return torch.cat([limits, limits.new_full((len(self.left) - self.count,), -torch.inf)])

    def slack(self, norms: Tensor) -> Tensor:
        """How far the true squared distance may lie above its lower bound, for |x|² + |y|²."""
        return 2 * (self.share * norms + FLOOR)


def lower_bounds(left: Tensor, right: Tensor) -> Tensor:
    """(A, B): no squared distance is below its bound. In float32 indeed: autocast and bfloat16 products are kept away."""
    with torch.autocast("cpu", enabled=False), torch.backends.mkldnn.flags(enabled=False, allow_tf32=None, fp32_precision=None):
        return left @ right.T


def group_minima(bounds: Tensor) -> Tensor:
    """(A / GROUP, B): the least of the rows g, g + A / GROUP, g + 2 A / GROUP and so on."""
    if bounds.is_contiguous():
        return bounds.unflatten(0, (GROUP, -1)).amin(0)
    return bounds.T.unflatten(1, (GROUP, -1)).amin(1).T  # of a transposed matrix this order is ten times as fast


def pairs_below(bounds: Tensor, minima: Tensor, limits: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Rows, columns and bounds (P,) of every bound (A, B) that is at most its column's limit (B,)."""
    limits = (limits * (1 + 4 * UNIT_ROUNDOFF)).float()
    group, column = (minima <= limits).nonzero(as_tuple=True)
    rows = group[:, None] + len(minima) * torch.arange(GROUP)
    found = bounds[rows, column[:, None]]
    kept = (found <= limits[column][:, None]) & (found < torch.inf)
    return rows[kept], column[:, None].expand_as(rows)[kept], found[kept].double()


def tiles(count: int, rows: int) -> Iterator[slice]:
    """Slices of so many rows of 0 … count."""
    for start in range(0, count, rows):
        yield slice(start, min(start + rows, count))
