"""Computes intervals and tests for few samples: exact by enumeration where possible, else by a fixed random stream."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import cache
from itertools import combinations
from random import Random

import numpy

LEVEL = 0.95
LEAST_SEEDS = 3  # of an interval: of two normal values it is more than twelve times as wide as they are apart
RESAMPLES = 20_000
EXACT_SPLITS = 50_000
TINY = 1e-140
TIES = 1e-12  # of the largest difference: values that differ by less are ties up to rounding


def mean(values: Sequence[float]) -> float:
    """Returns the correctly rounded mean, whatever the order of the values."""
    return math.fsum(values) / len(values)


def deviation(values: Sequence[float]) -> float | None:
    """Returns the sample standard deviation (N - 1); None for a single value."""
    return _deviation(values) if len(values) >= 2 else None


def _deviation(values: Sequence[float]) -> float:
    centre = mean(values)
    return math.sqrt(math.fsum((value - centre) ** 2 for value in values) / (len(values) - 1))


def mean_interval(values: Sequence[float], level: float = LEVEL) -> tuple[float, float] | None:
    """Returns Student's interval of the mean (Student 1908), the one-sample form of `welch_interval`.

    None for fewer than 3 values. Of normal values it contains the true mean in as many cases as `level` says, whatever
    their number; for few values it is wide, and may reach below zero where no score can.
    """
    if len(values) < LEAST_SEEDS:
        return None
    half = student_quantile((1 + level) / 2, len(values) - 1) * _deviation(values) / math.sqrt(len(values))
    return mean(values) - half, mean(values) + half


def permutation_test(one: Sequence[float], other: Sequence[float]) -> tuple[float, bool]:
    """Returns the two-sided p-value of the difference of means, and True if it is exact (Fisher 1935; Pitman 1937).

    Up to 50,000 splits of the pooled values are enumerated; of more, 20,000 are sampled and the observed one is added
    (Phipson and Smyth 2010). The smallest possible value is `smallest_p`.
    """
    pooled = numpy.array([*one, *other])
    observed = abs(mean(one) - mean(other))
    exact = math.comb(len(pooled), len(one)) <= EXACT_SPLITS
    chosen = _splits(len(pooled), len(one), exact)
    sums = pooled[chosen].sum(1)
    apart = numpy.abs(sums / len(one) - (pooled.sum() - sums) / len(other))
    extreme = int((apart >= observed - TIES * max(observed, float(apart.max()))).sum())
    return (extreme / len(chosen), True) if exact else ((extreme + 1) / (len(chosen) + 1), False)


def _splits(count: int, part: int, exact: bool) -> numpy.ndarray:
    if exact:
        return numpy.array(list(combinations(range(count), part)))
    random = Random(count * 1000 + part)
    return numpy.array([random.sample(range(count), part) for _ in range(RESAMPLES)])


def smallest_p(one: int, other: int) -> float:
    """Returns the least p-value for so many samples: that of one split, or of two mirrored ones for equal sizes."""
    splits = math.comb(one + other, one)
    return min(1.0, (2 if one == other else 1) / splits) if splits <= EXACT_SPLITS else 1 / (RESAMPLES + 1)


def welch_interval(one: Sequence[float], other: Sequence[float], level: float = LEVEL) -> tuple[float, float] | None:
    """Returns the interval of mean(one) - mean(other) for unequal variances (Welch 1947).

    None where a side has fewer than 3 values.
    """
    if min(len(one), len(other)) < LEAST_SEEDS:
        return None
    parts = [_deviation(values) ** 2 / len(values) for values in (one, other)]
    apart, variance = mean(one) - mean(other), sum(parts)
    if variance == 0:
        return apart, apart
    if variance < TINY:  # whose square is 0
        parts, scale = [part / variance for part in parts], 1.0
    else:
        scale = variance
    freedom = scale**2 / sum(part**2 / (len(values) - 1) for part, values in zip(parts, (one, other), strict=True))
    half = student_quantile((1 + level) / 2, freedom) * math.sqrt(variance)
    return apart - half, apart + half


def hedges_g(one: Sequence[float], other: Sequence[float]) -> float | None:
    """Returns the difference in pooled standard deviations (Hedges 1981); None where they are zero."""
    freedom = len(one) + len(other) - 2
    pooled = ((len(one) - 1) * _deviation(one) ** 2 + (len(other) - 1) * _deviation(other) ** 2) / freedom
    return (mean(one) - mean(other)) / math.sqrt(pooled) * (1 - 3 / (4 * freedom - 1)) if pooled > 0 else None


def holm(values: Sequence[float]) -> list[float]:
    """Corrects p-values for multiple comparisons (Holm 1979), in the given order."""
    corrected, largest = [0.0] * len(values), 0.0
    for rank, place in enumerate(sorted(range(len(values)), key=lambda place: values[place])):
        largest = max(largest, min(1.0, (len(values) - rank) * values[place]))
        corrected[place] = largest
    return corrected


def kendall(one: Sequence[float], other: Sequence[float]) -> tuple[float | None, int]:
    """Returns Kendall's tau-b of two lists of values, and how many of the pairs they order in opposite ways.

    1 is the same order, -1 the reverse (Kendall 1945); it is None where all values of a list are equal.
    """
    agreement = swapped = apart = others_apart = 0
    for a, b in combinations(range(len(one)), 2):  # counted one by one: there may be millions of pairs
        first, second = _sign(one[a] - one[b]), _sign(other[a] - other[b])
        agreement += first * second
        swapped += first * second < 0
        apart += first != 0
        others_apart += second != 0
    return (agreement / math.sqrt(apart * others_apart) if apart and others_apart else None), swapped


def _sign(value: float) -> int:
    return (value > 0) - (value < 0)


@cache
def student_quantile(share: float, freedom: float) -> float:
    """Returns the quantile of Student's distribution for a `share` above one half, to 1e-12, by bisection."""
    low, high = 0.0, 1.0
    while student_below(high, freedom) < share:
        high *= 2
    for _ in range(200):
        middle = (low + high) / 2
        low, high = (middle, high) if student_below(middle, freedom) < share else (low, middle)
    return (low + high) / 2


def student_below(t: float, freedom: float) -> float:
    """Returns P(T < t) for t >= 0: 1 - I(freedom / 2, 1 / 2) / 2 at freedom / (freedom + t²)."""
    return 1 - beta_share(freedom / (freedom + t * t), freedom / 2, 0.5) / 2


def beta_share(x: float, a: float, b: float) -> float:
    """Computes the regularized incomplete beta function I_x(a, b) by the continued fraction of DLMF 8.17.22."""
    if x <= 0 or x >= 1:
        return float(x >= 1)
    if x > (a + 1) / (a + b + 2):
        return 1 - beta_share(1 - x, b, a)
    front = math.exp(math.lgamma(a + b) - math.lgamma(a) - math.lgamma(b) + a * math.log(x) + b * math.log1p(-x)) / a
    fraction = 1.0
    for number in range(200, 0, -1):  # from the far end: every term is at most the one before it here
        half = number // 2
        if number % 2:
            term = -(a + half) * (a + b + half) * x / ((a + 2 * half) * (a + 2 * half + 1))
        else:
            term = half * (b - half) * x / ((a + 2 * half - 1) * (a + 2 * half))
        fraction = 1 + term / fraction
    return front / fraction
