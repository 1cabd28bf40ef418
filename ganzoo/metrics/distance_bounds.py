"""Bounds squared distances in float32, so that few pairs need an exact distance.

Used by `precision_recall` alone; the gain is stated there.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from inspect import signature
from typing import NamedTuple

import torch
from torch import Tensor

# Rows that share their least bound: in torch comparing floats costs five times as much as their minimum.
GROUP = 8
FLOOR = 2.0**-100  # error by underflow of a distance between points whose coordinates are at most 2
UNIT_ROUNDOFF = 2.0**-24
SAMPLE = 256  # points whose mean is the centre
LEAF = 128  # rows up to which a symmetric product is computed whole
NARROW = 256  # dimensions below which copying the half costs more than computing it
NUMBERS = 2**17  # in one block of points: more do not fit into the processor's cache


class Frame(NamedTuple):
    """A centre (D,) and a power of two as unit, by which products lose fewer digits and never overflow."""

    centre: Tensor
    unit: float

    @classmethod
    def around(cls, *sets: Tensor) -> Frame:
        """Returns the frame of all sets, with the centre of the first."""
        centre = sets[0][:: -(-len(sets[0]) // SAMPLE)].double().mean(0).to(sets[0].dtype)
        (low, high), ends = (float(end) for end in centre.aminmax()), [points.aminmax() for points in sets]
        reach = max(max(float(most) - low, high - float(least)) for least, most in ends)
        return cls(centre, math.ldexp(1.0, math.frexp(reach)[1] - 1) if reach else 1.0)


class Screen:
    """Holds points (N, D) of a frame in float32; points at infinity make N a multiple of GROUP.

    A product of rounded coordinates is off by at most `share` (|x|² + |y|²) + FLOOR, whatever the order of its sums:
    each of D + 2 terms is rounded at most D + 4 times, and the coordinates once (Higham 2002, section 3.1). The centre
    costs nothing more: a difference of two floats is rounded once.
    """

    def __init__(self, points: Tensor, frame: Frame):
        self.count, dimensions = points.shape
        self.unit, self.share = frame.unit, 2.1 * (dimensions + 8) * UNIT_ROUNDOFF
        self.points = torch.zeros(-(-self.count // GROUP) * GROUP, dimensions, dtype=torch.float32)
        self.norms = torch.full((len(self.points),), torch.inf, dtype=torch.float64)
        centre = frame.centre.to(points.dtype) / frame.unit
        for some in tiles(self.count, max(1, NUMBERS // dimensions)):
            self.points[some] = (points[some] / frame.unit).sub_(centre)
            self.norms[some] = self.points[some].double().square_().sum(1)
        self.least = (self.norms * (1 - self.share) - FLOOR / 2).float()

    def __len__(self) -> int:
        return len(self.points)

    def central(self) -> bool:
        """Returns True if the points' own mean as centre would not halve the slack."""
        return bool(2 * self.points[: self.count].mean(0).square().sum() <= self.norms[: self.count].mean())

    def reach(self, rows: slice) -> Tensor:
        """Returns the largest |x|² of these rows."""
        return self.norms[rows.start : min(rows.stop, self.count)].max()

    def padded(self, limits: Tensor) -> Tensor:
        """Appends -inf to limits (N,) for the points at infinity."""
        return torch.cat([limits, limits.new_full((len(self) - self.count,), -torch.inf)])

    def slack(self, norms: Tensor) -> Tensor:
        """Returns how far the squared distance may lie above its lower bound, for |x|² + |y|²."""
        return 2 * (self.share * norms + FLOOR)


def lower_bounds(one: Screen, rows: slice, other: Screen, columns: slice, room: Tensor) -> Tensor:
    """Computes lower bounds (A, B) of squared distances |x|² + |y|² - 2xy, in the buffer `room`."""
    bounds = _sums(one.least[rows], other.least[columns], room)
    with _plain_products():
        return bounds.addmm_(one.points[rows], other.points[columns].T, alpha=-2)


def lower_bounds_among(screen: Screen, rows: slice, room: Tensor) -> Tensor:
    """Computes `lower_bounds` (A, A) of rows among themselves with little more than half of the products."""
    bounds = _sums(screen.least[rows], screen.least[rows], room)
    with _plain_products():
        return _subtract_products(bounds, screen.points[rows])


def _sums(one: Tensor, other: Tensor, room: Tensor) -> Tensor:
    """Returns the sums (A, B) of all pairs of numbers (A,) and (B,), in `room`."""
    return torch.add(one[:, None], other, out=room[: len(one) * len(other)].view(len(one), len(other)))


@contextmanager
def _plain_products() -> Iterator[None]:
    """Computes products in true float32, without autocast or bfloat16."""
    flags = torch.backends.mkldnn.flags
    unchanged = {name: None for name in ("allow_tf32", "fp32_precision") if name in signature(flags).parameters}
    with torch.autocast("cpu", enabled=False), flags(enabled=False, **unchanged):  # torch 2.6 knows `enabled` alone
        yield


def _subtract_products(symmetric: Tensor, points: Tensor) -> Tensor:
    """Subtracts 2 XXᵀ from a symmetric matrix in place, by halves; the upper triangle is copied from the lower one."""
    if len(points) <= LEAF or points.shape[1] < NARROW:
        return symmetric.addmm_(points, points.T, alpha=-2)
    half = len(points) // 2
    _subtract_products(symmetric[:half, :half], points[:half])
    _subtract_products(symmetric[half:, half:], points[half:])
    below = symmetric[half:, :half].addmm_(points[half:], points[:half].T, alpha=-2)
    symmetric[:half, half:].copy_(below.T)
    return symmetric


def group_minima(bounds: Tensor) -> Tensor:
    """Returns (A / GROUP, B): the least of the rows g, g + A / GROUP, g + 2 A / GROUP and so on.

    Rows beyond a multiple of GROUP are left out.
    """
    bounds = bounds[: len(bounds) // GROUP * GROUP]
    if bounds.is_contiguous():
        return bounds.unflatten(0, (GROUP, -1)).amin(0)
    return bounds.T.unflatten(1, (GROUP, -1)).amin(1).T  # of a transposed matrix this order is ten times as fast


def pairs_below(bounds: Tensor, minima: Tensor, limits: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Returns row, column and bound (P,) of every finite bound (A, B) up to its column's limit (B,)."""
    limits = rounded_up(limits)
    group, column = (minima <= limits).nonzero(as_tuple=True)
    found = bounds.unflatten(0, (GROUP, -1))[:, group, column]
    place, which = (found <= limits[column]).nonzero(as_tuple=True)
    return group[which] + len(minima) * place, column[which], found[place, which].double()


def rounded_up(limits: Tensor) -> Tensor:
    """Rounds float64 limits up to finite float32."""
    return (limits * (1 + 4 * UNIT_ROUNDOFF)).float().clamp_(max=torch.finfo(torch.float32).max)


def tiles(count: int, rows: int) -> Iterator[slice]:
    """Yields slices of so many rows of 0 … count."""
    for start in range(0, count, rows):
        yield slice(start, min(start + rows, count))


def exact(one: Tensor, other: Tensor, row: Tensor, column: Tensor) -> Tensor:
    """Computes squared distances of chosen pairs from their differences; a pair gives the same bits in every call."""
    size = max(1, NUMBERS // one.shape[1])
    parts = zip(row.split(size), column.split(size), strict=True)
    differences = (one.index_select(0, first).double().sub_(other.index_select(0, second)) for first, second in parts)
    return torch.cat([difference.square_().sum(1) for difference in differences])
