"""The Fréchet distance between two normal distributions that are fitted to features."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from ganzoo.errors import UsageError
from ganzoo.metrics.moments import BLOCK, Moments, add_gram, as_features

EPSILON = torch.finfo(torch.float64).eps
TOLERANCE = 1e-7  # of the distance: where rounding stays below, the quick way is taken
LEAST = 1e-10  # of the largest eigenvalue: where all are larger, a triangular factor is as exact and several times as fast
ITERATED, ITERATIONS = 2, 3  # vectors and steps that look for the least eigenvalue


def frechet_distance(real: Moments | Tensor, fake: Moments | Tensor) -> float:
    """|m₁ - m₂|² + tr(S₁ + S₂ - 2 (S₁ S₂)^½) of moments or features (N, D): Heusel et al. 2017, equation 6; never below 0.

    The last trace is the sum of the singular values of F₁ᵀF₂ for any factors FFᵀ = S. That keeps twelve digits where the
    covariances are singular; eigenvalues of the product keep six, and serve only where they keep more. Of fewer features than
    dimensions the features themselves, centred, are the factor, and the work falls to that of the smaller number.
    """
    one, other = _Normal(real), _Normal(fake)
    if one.mean.shape != other.mean.shape:
        raise UsageError(f"Features of {len(one.mean)} dimensions cannot be compared with features of {len(other.mean)}.")
    apart = (one.mean - other.mean).square().sum() + one.trace + other.trace
    product = _product(one.factor(), other.factor())
    shared, error = _by_eigenvalues(product)
    if not 2 * error <= TOLERANCE * (apart - 2 * shared):
        shared = torch.linalg.svdvals(product).sum()
    return max(0.0, float(apart - 2 * shared))


def _by_eigenvalues(product: Tensor) -> tuple[Tensor, Tensor]:
    """The sum of the singular values σ of P as roots of the eigenvalues of PPᵀ, several times as fast, and how wrong it may be.

    Rounding moves every eigenvalue by some epsilons of the largest (Weyl), and its root by that over 2σ.
    """
    small = product if product.shape[0] <= product.shape[1] else product.T
    roots = torch.linalg.eigvalsh(add_gram(small.new_zeros(len(small), len(small)), small.T)).clamp_(min=0).sqrt_()
    moved = 4 * EPSILON * roots[-1].square() if len(roots) else roots.sum()
    return roots.sum(), torch.minimum(moved / (2 * roots), moved.sqrt()).sum()


def _product(one: Factor, other: Factor) -> Tensor:
    """F₁ᵀF₂; of two lower triangles only what is not zero is multiplied, two fifths of all where there are many blocks."""
    if not (one.triangular and other.triangular) or len(one.matrix) <= BLOCK:
        return one.matrix.T @ other.matrix
    left, right = one.matrix, other.matrix
    product = left.new_empty(len(left), len(left))
    for start in range(0, len(left), BLOCK):
        end = start + BLOCK
        product[start:end, :end] = left[start:, start:end].T @ right[start:, :end]
        product[:start, start:end] = left[start:, :start].T @ right[start:, start:end]
    return product


class Factor(NamedTuple):
    """F (D, R) with FFᵀ = S, and whether it is a lower triangle."""

    matrix: Tensor
    triangular: bool = False


class _Normal:
    """Mean, trace of the covariance, and on demand a factor (D, R) of it."""

    def __init__(self, source: Moments | Tensor):
        self.centred = None
        if isinstance(source, Tensor):
            source = as_features(source)
            if source.shape[0] > source.shape[1]:
                source = Moments.of(source)
        if isinstance(source, Tensor):
            self._keep_features(source)
        else:
            self.mean, self.covariance = source.mean, source.covariance
            self.trace = self.covariance.trace()

    def _keep_features(self, features: Tensor) -> None:
        if features.shape[0] < 2:
            raise UsageError(f"A covariance needs at least 2 images, there is {features.shape[0]}.")
        self.mean = features.mean(0)
        self.centred = (features - self.mean) / (features.shape[0] - 1) ** 0.5
        self.trace = self.centred.square().sum()

    def factor(self) -> Factor:
        if self.centred is not None:
            return Factor(self.centred.T)
        lower, failed = torch.linalg.cholesky_ex(self.covariance)
        if not failed and _least_eigenvalue(lower) > LEAST * self.trace:
            return Factor(lower, triangular=True)
        values, vectors = torch.linalg.eigh(self.covariance)
        # What rounding makes of a zero eigenvalue counts with its square root: 1e-16 would become 1e-8.
        kept = values > EPSILON * len(values) * values[-1].abs()
        return Factor(vectors[:, kept] * values[kept].sqrt())


def _least_eigenvalue(lower: Tensor) -> Tensor:
    """The least eigenvalue of LLᵀ by inverse iteration from fixed vectors: never too small, and seldom twice what it is."""
    vectors = torch.randn(len(lower), ITERATED, generator=torch.Generator().manual_seed(0), dtype=lower.dtype)
    for _ in range(ITERATIONS):
        vectors = torch.linalg.qr(vectors).Q
        vectors = torch.cholesky_solve(vectors, lower)
    return 1 / torch.linalg.matrix_norm(vectors, 2)
