"""Computes the kernel inception distance: an unbiased squared maximum mean discrepancy between two sets of features."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from ganzoo.errors import UsageError
from ganzoo.metrics.moments import as_features

ROWS = 512


def kid(
    real: Tensor, fake: Tensor, random: torch.Generator, *, subsets: int = 100, subset_size: int = 1000
) -> tuple[float, float]:
    """Returns mean and standard deviation over subsets of the squared MMD of features (N, D) under (x·y / D + 1)³.

    Bińkowski et al. 2018, section 4: the unbiased estimate, which may be below zero, of `subset_size` features sampled
    from each side without replacement. The deviation is that of the population, as in the authors' code.
    """
    real, fake = as_features(real), as_features(fake)
    if real.shape[1] != fake.shape[1]:
        raise UsageError(f"Features of {real.shape[1]} dimensions cannot be compared with features of {fake.shape[1]}.")
    if not 2 <= subset_size <= min(len(real), len(fake)) or subsets < 1:
        raise UsageError(
            f"Cannot sample {subsets} subsets of {subset_size} from {len(real)} real and {len(fake)} fake images."
        )
    chosen = [(subset(real, subset_size, random), subset(fake, subset_size, random)) for _ in range(subsets)]
    every_pair = (len(real) ** 2 + len(fake) ** 2) / 2 + len(real) * len(fake)
    if every_pair <= 2 * subsets * subset_size**2:
        values = _from_every_pair(real, fake, chosen)
    else:
        values = torch.stack([discrepancy(real[mine], fake[yours]) for mine, yours in chosen])
    return float(values.mean()), float(values.std(correction=0))


def subset(features: Tensor, count: int, random: torch.Generator) -> Tensor:
    """Samples the indices (count,) of a subset of the features."""
    return torch.randperm(len(features), generator=random)[:count]


def _from_every_pair(real: Tensor, fake: Tensor, chosen: Sequence[tuple[Tensor, Tensor]]) -> Tensor:
    """Computes the MMD of every subset from one kernel matrix, since subsets of few images share most pairs."""
    mine, yours = (membership(features, [pair[side] for pair in chosen]) for side, features in enumerate((real, fake)))
    one, other = (
        (sums(points, points, member, member) - diagonal(points) @ member)
        / (member[:, 0].sum() * (member[:, 0].sum() - 1))
        for points, member in ((real, mine), (fake, yours))
    )
    return one + other - 2 * sums(real, fake, mine, yours) / (mine[:, 0].sum() * yours[:, 0].sum())


def membership(features: Tensor, subsets: Sequence[Tensor]) -> Tensor:
    """Returns (N, S) ones where a feature is in a subset, else zeros."""
    found = features.new_zeros(len(features), len(subsets))
    for column, chosen in enumerate(subsets):
        found[chosen, column] = 1
    return found


def sums(one: Tensor, other: Tensor, mine: Tensor, yours: Tensor) -> Tensor:
    """Sums the kernel over all pairs of each subset, (S,): the diagonal of MᵀKY."""
    found = one.new_zeros(mine.shape[1])
    for start in range(0, len(one), ROWS):
        rows = slice(start, start + ROWS)
        if one is other:  # a symmetric kernel: what lies right of the diagonal block counts for its mirror image too
            weighted = 2 * yours[start:]
            weighted[:ROWS] = yours[rows]
            found += (mine[rows] * (cubed(one[rows], one[start:]) @ weighted)).sum(0)
        else:
            found += (mine[rows] * (cubed(one[rows], other) @ yours)).sum(0)
    return found


def cubed(one: Tensor, other: Tensor) -> Tensor:
    """Returns the kernel (A, B) of every pair."""
    kernel = (one / one.shape[1] @ other.T).add_(1)
    return (kernel * kernel).mul_(kernel)


def diagonal(features: Tensor) -> Tensor:
    """Returns the kernel (N,) of every feature with itself."""
    return (features.square().sum(1) / features.shape[1] + 1).pow(3)


def discrepancy(one: Tensor, other: Tensor) -> Tensor:
    """Computes the unbiased squared MMD of two sets (M, D) and (N, D) in float64: Gretton et al. 2012, equation 3."""
    return within(one) + within(other) - 2 * total(one, other) / (len(one) * len(other))


def within(features: Tensor) -> Tensor:
    """Returns the mean kernel over pairs of different members of one set."""
    count = len(features)
    return (total(features, features) - diagonal(features).sum()) / (count * (count - 1))


def total(one: Tensor, other: Tensor) -> Tensor:
    """Sums the kernel over all pairs, one block of rows at a time."""
    result = one.new_zeros(())
    for start in range(0, len(one), ROWS):
        before = 0 if one is not other else start
        block = cubed(one[start : start + ROWS], other[before:])
        result += block.sum()
        if one is other:
            result += block[:, ROWS:].sum()
    return result
