"""The kernel distance between two sets of features: a squared maximum mean discrepancy that small sets do not bias."""

from __future__ import annotations

import torch
from torch import Tensor

from ganzoo.errors import UsageError
from ganzoo.metrics.moments import as_features

ROWS = 2048


def kernel_distance(
    real: Tensor, fake: Tensor, random: torch.Generator, *, subsets: int = 100, subset_size: int = 1000
) -> tuple[float, float]:
    """Mean and standard deviation over subsets of the squared discrepancy of features (N, D) under (x·y / D + 1)³.

    Bińkowski et al. 2018, section 4: the unbiased estimate, which may be below zero, of `subset_size` features drawn from
    each side without replacement. The deviation is that of the population, as in the authors' code.
    """
    real, fake = as_features(real), as_features(fake)
    if real.shape[1] != fake.shape[1]:
        raise UsageError(f"Features of {real.shape[1]} dimensions cannot be compared with features of {fake.shape[1]}.")
    if not 2 <= subset_size <= min(len(real), len(fake)) or subsets < 1:
        raise UsageError(f"Cannot draw {subsets} subsets of {subset_size} from {len(real)} real and {len(fake)} fake images.")
    values = torch.stack([
        discrepancy(drawn(real, subset_size, random), drawn(fake, subset_size, random)) for _ in range(subsets)
    ])  # fmt: skip
    return float(values.mean()), float(values.std(correction=0))


def drawn(features: Tensor, count: int, random: torch.Generator) -> Tensor:
    return features[torch.randperm(len(features), generator=random)[:count]]


def discrepancy(one: Tensor, other: Tensor) -> Tensor:
    """The unbiased squared discrepancy of two sets (M, D) and (N, D) in float64: Gretton et al. 2012, equation 3."""
    return within(one) + within(other) - 2 * total(one, other) / (len(one) * len(other))


def within(features: Tensor) -> Tensor:
    """The mean kernel of two different members of one set."""
    count, dimensions = features.shape
    with_itself = (features.square().sum(1) / dimensions + 1).pow(3).sum()
    return (total(features, features) - with_itself) / (count * (count - 1))


def total(one: Tensor, other: Tensor) -> Tensor:
    """The sum of the kernel over all pairs, a block of rows at a time."""
    result = one.new_zeros(())
    for block in one.split(ROWS):
        kernel = (block / one.shape[1] @ other.T).add_(1)
        result += (kernel * kernel).mul_(kernel).sum()
    return result
