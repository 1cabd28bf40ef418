"""Measures the classes of samples: their number, their shares, and how well a generator's code predicts them."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from ganzoo.errors import UsageError


def class_histogram(logits: Tensor) -> Tensor:
    """Counts the images (K,) int64 that are classified as each class, for logits (N, K)."""
    if logits.ndim != 2 or 0 in logits.shape:
        raise UsageError(f"Logits must have the shape (N, K), got {tuple(logits.shape)}.")
    return torch.bincount(logits.argmax(1), minlength=logits.shape[1])


def modes_present(fake: Tensor, real: Tensor, share: float = 0.0) -> int:
    """Counts the classes of real images that also appear among the fake ones, for two histograms (K,).

    With `share` 0 one image is enough, as in Metz et al. 2017 and Lin et al. 2018, who sample 26 images for each class.
    A classifier that errs in one image of ten fills every class of ten thousand images; a `share` above 0 therefore
    requires that part of the class's frequency among real images.
    """
    _check(fake, real)
    wanted = real.double() / real.sum() * fake.sum() * share
    return int(((real > 0) & (fake > 0) & (fake >= wanted)).sum())


def divergence(fake: Tensor, real: Tensor) -> float:
    """Returns KL(fake ‖ real) of two histograms (K,), in nats; infinite if fakes are in a class without real images."""
    _check(fake, real)
    shares, real_shares = fake.double() / fake.sum(), real.double() / real.sum()
    there = shares > 0
    return max(0.0, float((shares[there] * (shares[there] / real_shares[there]).log()).sum()))


def _check(fake: Tensor, real: Tensor) -> None:
    if fake.shape != real.shape or fake.ndim != 1 or fake.sum() < 1 or real.sum() < 1:
        raise UsageError(
            f"Two histograms of as many classes are needed, got {tuple(fake.shape)} and {tuple(real.shape)}."
        )


class CodeAgreement(NamedTuple):
    """States how well a code predicts a class.

    `accuracy` is the share of images whose class is paired with their code value, in the best pairing of every value
    with at most one class. `information` is 2 I(code; class) / (H(code) + H(class)), from 0 to 1; 0 where both are
    constant. `pairing` holds the class of each code value, -1 where no class is left.
    """

    accuracy: float
    information: float
    pairing: tuple[int, ...]


def code_agreement(codes: Tensor, classes: Tensor, values: int, class_count: int) -> CodeAgreement:
    """Measures how well codes (N,) in [0, values) predict classes (N,) in [0, class_count), both int64."""
    if codes.shape != classes.shape or codes.ndim != 1 or not len(codes):
        raise UsageError(
            f"Codes and classes must be of one length, got {tuple(codes.shape)} and {tuple(classes.shape)}."
        )
    if not (
        0 <= int(codes.min())
        and int(codes.max()) < values
        and 0 <= int(classes.min())
        and int(classes.max()) < class_count
    ):
        raise UsageError(f"Codes must lie below {values} and classes below {class_count}, none below 0.")
    counts = torch.bincount(codes * class_count + classes, minlength=values * class_count).reshape(values, class_count)
    pairing = best_pairing(counts)
    right = sum(int(counts[value, number]) for value, number in enumerate(pairing) if number >= 0)
    return CodeAgreement(right / len(codes), normalized_information(counts), tuple(pairing))


def normalized_information(counts: Tensor) -> float:
    """Returns 2 I / (H + H) of a table of counts (A, B): Strehl and Ghosh 2002, with the mean of the entropies."""
    shares = counts.double() / counts.sum()
    rows, columns = entropy(shares.sum(1)), entropy(shares.sum(0))
    information = rows + columns - entropy(shares.flatten())
    return float((2 * information / (rows + columns)).clamp(0, 1)) if rows + columns > 0 else 0.0


def entropy(shares: Tensor) -> Tensor:
    return -torch.special.xlogy(shares, shares).sum()


def best_pairing(counts: Tensor) -> list[int]:
    """Assigns a column to each row (-1: none), each column at most once, with the largest sum of counts; exact.

    Rows join one at a time along a shortest augmenting path, found by Dijkstra on reduced costs (Edmonds and Karp
    1972): 10 values and 10 classes take milliseconds, 100 and 100 a third of a second.
    """
    rows, columns = counts.shape
    if rows > columns:
        chosen = {row: column for column, row in enumerate(best_pairing(counts.T))}
        return [chosen.get(row, -1) for row in range(rows)]
    costs = counts.max() - counts
    row_prices, column_prices = costs.new_zeros(rows), costs.new_zeros(columns)
    owner = [-1] * columns
    for row in range(rows):
        _admit(row, costs, row_prices, column_prices, owner)
    found = {row: column for column, row in enumerate(owner)}
    return [found[row] for row in range(rows)]


def _admit(newcomer: int, costs: Tensor, row_prices: Tensor, column_prices: Tensor, owner: list[int]) -> None:
    """Assigns the newcomer a column along the shortest augmenting path, and updates the prices."""
    far = torch.iinfo(costs.dtype).max
    distances, movers = torch.full_like(column_prices, far), torch.full_like(column_prices, newcomer)
    waiting = torch.full_like(column_prices, 0)  # `far` where a column is settled, so that it is never nearest again
    settled, row, reached = [], newcomer, 0
    while row >= 0:
        through = reached + costs[row] - row_prices[row] - column_prices
        closer = (through < distances) & (waiting == 0)
        distances, movers = torch.where(closer, through, distances), torch.where(closer, row, movers)
        column = int(torch.maximum(distances, waiting).argmin())
        reached, row, waiting[column] = int(distances[column]), owner[column], far
        settled.append(column)
    row_prices[newcomer] += reached
    for taken in settled[:-1]:
        row_prices[owner[taken]] += reached - distances[taken]
        column_prices[taken] -= reached - distances[taken]
    while True:
        row = int(movers[column])
        before = owner.index(row) if row != newcomer else None
        owner[column] = row
        if before is None:
            return
        column = before
