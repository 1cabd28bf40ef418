"""Precision, recall, density and coverage: which drawings lie among the real images, and which real images among the drawings."""

from __future__ import annotations

import torch
from torch import Tensor

from ganzoo.errors import UsageError
from ganzoo.metrics.moments import as_features

PAIRS = 2**22  # of one block: 32 MiB of distances
NUMBERS = 2**22  # of one block of differences
ROUNDING = 64 * torch.finfo(torch.float64).eps


def neighbour_scores(real: Tensor, fake: Tensor, *, k: int = 3, density_k: int = 5) -> dict[str, float]:
    """`precision` and `recall` with `k` neighbours, `density` and `coverage` with `density_k`, of features (N, D) and (M, D).

    Kynkäänniemi et al. 2019, equations 1 and 2; Naeem et al. 2020, equations 3 and 4; with the papers' k. Balls are closed.
    All pairs are compared in blocks, exactly: where a distance from a matrix product is too close to a radius to tell, it
    is taken again from the differences. Time grows with N·M, memory with N + M.
    """
    real, fake = as_features(real), as_features(fake)
    most = max(k, density_k)
    if real.shape[1] != fake.shape[1] or min(k, density_k) < 1 or most >= min(len(real), len(fake)):
        raise UsageError(
            f"{most} neighbours need more images than that, of one dimension: got {tuple(real.shape)} real, {tuple(fake.shape)} fake."
        )
    centre = real.mean(0)  # the nearer to zero, the fewer digits a matrix product loses
    real, fake = real - centre, fake - centre
    real_radii, fake_radii = nearest(real, (k, density_k)), nearest(fake, (k,))
    return _compare(real, fake, real_radii, fake_radii[0], density_k)


def _compare(real: Tensor, fake: Tensor, real_radii: list[Tensor], fake_radii: Tensor, density_k: int) -> dict[str, float]:
    among_real, inside = 0, 0
    recalled, covered = torch.zeros(len(real), dtype=torch.bool), torch.zeros(len(real), dtype=torch.bool)
    for rows in blocks(len(fake), len(real)):
        squared = squared_distances(fake[rows], real)
        compare = Comparison(squared, fake[rows], real)
        among_real += int(compare(real_radii[0][None]).any(1).sum())
        recalled |= compare(fake_radii[rows, None]).any(0)
        dense = compare(real_radii[1][None])
        inside += int(dense.sum())
        covered |= dense.any(0)
    return {
        "precision": among_real / len(fake),
        "recall": int(recalled.sum()) / len(real),
        "density": inside / (density_k * len(fake)),
        "coverage": int(covered.sum()) / len(real),
    }


class Comparison:
    """Which pairs of `rows` (A, D) and `columns` (B, D) are at most a radius apart, given their `squared` distances (A, B)."""

    def __init__(self, squared: Tensor, rows: Tensor, columns: Tensor):
        self.squared, self.rows, self.columns = squared, rows, columns
        self.error = ROUNDING * (rows.square().sum(1).max() + columns.square().sum(1).max())

    def __call__(self, squared_radii: Tensor) -> Tensor:
        """(A, B) bool; the squared radii are (1, B) or (A, 1)."""
        within = self.squared <= squared_radii - self.error
        unsure = (self.squared <= squared_radii + self.error) ^ within
        if unsure.any():
            row, column = unsure.nonzero(as_tuple=True)
            within[row, column] = exact(self.rows, self.columns, row, column) <= squared_radii.expand_as(within)[row, column]
        return within


def nearest(features: Tensor, numbers: tuple[int, ...]) -> list[Tensor]:
    """Squared distances (N,) to the so-many-th nearest other feature, one tensor for each number."""
    found: list[list[Tensor]] = [[] for _ in numbers]
    for rows in blocks(len(features), len(features)):
        squared = squared_distances(features[rows], features)
        own = torch.arange(len(features))[rows]
        squared[torch.arange(len(own)), own] = torch.inf
        order = squared.topk(max(numbers), 1, largest=False).indices
        every = torch.stack([exact(features, features, own, column) for column in order.T]).sort(0).values
        for place, number in zip(found, numbers, strict=True):
            place.append(every[number - 1])
    return [torch.cat(place) for place in found]


def squared_distances(one: Tensor, other: Tensor) -> Tensor:
    """(A, B) by a matrix product, whose rounding may leave small ones a little wrong or below zero."""
    squared = torch.addmm(other.square().sum(1)[None], one, other.T, alpha=-2)
    return squared.add_(one.square().sum(1)[:, None])


def exact(one: Tensor, other: Tensor, row: Tensor, column: Tensor) -> Tensor:
    """Squared distances of chosen pairs from their differences: the same pair gives the same bits wherever it is asked."""
    size = max(1, NUMBERS // one.shape[1])
    parts = zip(row.split(size), column.split(size), strict=True)
    return torch.cat([(one[first] - other[second]).square().sum(1) for first, second in parts])


def blocks(rows: int, columns: int):
    size = max(1, PAIRS // columns)
    for start in range(0, rows, size):
        yield slice(start, start + size)
