"""Computes the Fréchet distance between two normal distributions that are fitted to features."""

from __future__ import annotations

from functools import cached_property

import torch
from torch import Tensor

from ganzoo.errors import UsageError
from ganzoo.metrics.moments import BLOCK, Moments, add_gram, as_features

EPSILON = torch.finfo(torch.float64).eps
TOLERANCE = 1e-7  # of the distance: if rounding stays below, eigenvalues are used
LEAST = 1e-10  # of the trace: if all eigenvalues are larger, Cholesky is as exact and several times as fast
ITERATED, ITERATIONS = 2, 3  # vectors and steps of the inverse iteration for the least eigenvalue


def frechet_distance(real: Moments | Tensor, fake: Moments | Tensor) -> float:
    """Computes |m₁ - m₂|² + tr(S₁ + S₂ - 2 (S₁ S₂)^½) of moments or features (N, D), at least 0: Heusel et al.

    2017, eq. 6.

    The last trace is the sum of the singular values of F₁ᵀF₂ for any factors FFᵀ = S, which keeps twelve digits where
    covariances are singular. The eigenvalues of F₁ᵀS₂F₁ are the squares of these and several times as fast; their roots
    keep six digits, and are used where rounding changes the distance by less than 1e-7 of it. For fewer features than
    dimensions the centred features are the factor, and the cost is that of the smaller number.
    """
    one, other = _Normal(real), _Normal(fake)
    if one.mean.shape != other.mean.shape:
        raise UsageError(
            f"Features of {len(one.mean)} dimensions cannot be compared with features of {len(other.mean)}."
        )
    apart = (one.mean - other.mean).square().sum() + one.trace + other.trace
    shared = _by_eigenvalues(one, other, apart)
    if shared is None:
        shared = torch.linalg.svdvals(one.factor().T @ other.factor()).sum()
    return max(0.0, float(apart - 2 * shared))


def _by_eigenvalues(one: _Normal, other: _Normal, apart: Tensor) -> Tensor | None:
    """Computes tr (S₁ S₂)^½ as the sum of the roots σ of the eigenvalues of F₁ᵀS₂F₁.

    None where rounding could change the distance by more than TOLERANCE, or where there is no F₁.

    Rounding moves every eigenvalue by some epsilons of the scale (Weyl), and its root by that over 2σ.
    """
    found = _squares(one, other)
    if found is None:
        return None
    squares, scale = found
    roots = torch.linalg.eigvalsh(squares).clamp_(min=0).sqrt_()
    moved, shared = 4 * EPSILON * scale, roots.sum()
    error = torch.minimum(moved / (2 * roots), moved.sqrt()).sum()
    return shared if 2 * error <= TOLERANCE * (apart - 2 * shared) else None


def _squares(one: _Normal, other: _Normal) -> tuple[Tensor, Tensor] | None:
    """Returns F₁ᵀS₂F₁ or F₂ᵀS₁F₂ (only the lower half is valid), and the scale of its rounding errors."""
    few, many = (one, other) if other.centred is None else (other, one)
    if one.centred is not None and other.centred is not None:
        fewest, rest = sorted((one.centred, other.centred), key=len)
        squares = add_gram(fewest.new_zeros(len(fewest), len(fewest)), rest @ fewest.T)
        return squares, torch.linalg.matrix_norm(squares)
    scale = one.norm() * other.norm()
    if few.centred is not None and many.covariance is not None:
        return few.centred @ many.covariance @ few.centred.T, scale
    for side, opposite in ((one, other), (other, one)):
        if side.lower is not None and opposite.covariance is not None:
            return _congruent(opposite.covariance, side.lower), scale
    return None


def _congruent(symmetric: Tensor, lower: Tensor) -> Tensor:
    """Computes the lower half of LᵀSL without multiplying the zeros in L's upper half; other values are undefined."""
    right, found = torch.empty_like(lower), torch.empty_like(lower)
    for start in range(0, len(lower), BLOCK):
        end = start + BLOCK
        torch.mm(symmetric[start:, start:], lower[start:, start:end], out=right[start:, start:end])
        torch.mm(lower[start:, start:end].T, right[start:, :end], out=found[start:end, :end])
    return found


class _Normal:
    """Holds mean and trace, and `covariance` S (D, D) or, of fewer features than D, `centred` C (N, D) with CᵀC = S."""

    def __init__(self, source: Moments | Tensor):
        self.covariance: Tensor | None = None
        self.centred: Tensor | None = None
        if isinstance(source, Tensor) and source.ndim == 2 and source.shape[0] > source.shape[1]:
            source = Moments.of(source)
        if isinstance(source, Tensor):
            self._keep_features(source)
        else:
            self.mean, self.covariance = source.mean, source.covariance
            self.trace = self.covariance.trace()

    def _keep_features(self, source: Tensor) -> None:
        features = as_features(source)
        if features.shape[0] < 2:
            raise UsageError(f"A covariance needs at least 2 images, there is {features.shape[0]}.")
        self.mean = features.mean(0)
        # The caller's own features stay as they are.
        room = features if features.data_ptr() != source.data_ptr() else torch.empty_like(features)
        self.centred = torch.sub(features, self.mean, out=room).div_((features.shape[0] - 1) ** 0.5)
        self.trace = torch.linalg.vector_norm(self.centred).square()

    def norm(self) -> Tensor:
        """Returns an upper bound of the largest eigenvalue of the covariance."""
        return self.trace if self.covariance is None else torch.linalg.matrix_norm(self.covariance)

    @cached_property
    def lower(self) -> Tensor | None:
        """The Cholesky factor of the covariance; None where rounding leaves none."""
        lower, failed = torch.linalg.cholesky_ex(self.covariance)
        return None if failed else lower

    def factor(self) -> Tensor:
        """Returns F (D, R) with FFᵀ = S, in which small eigenvalues keep their digits beside large ones."""
        if self.centred is not None:
            return self.centred.T
        if self.lower is not None and _least_eigenvalue(self.lower) > LEAST * self.trace:
            return self.lower
        values, vectors = torch.linalg.eigh(self.covariance)
        # Rounding turns a zero eigenvalue into 1e-16, whose root of 1e-8 would count.
        kept = values > EPSILON * len(values) * values[-1].abs()
        return vectors[:, kept] * values[kept].sqrt()


def _least_eigenvalue(lower: Tensor) -> Tensor:
    """Estimates the least eigenvalue of LLᵀ by inverse iteration from fixed vectors.

    Never below it, seldom twice it.
    """
    vectors = torch.randn(len(lower), ITERATED, generator=torch.Generator().manual_seed(0), dtype=lower.dtype)
    for _ in range(ITERATIONS):
        vectors = torch.linalg.qr(vectors).Q
        vectors = torch.cholesky_solve(vectors, lower)
    return 1 / torch.linalg.matrix_norm(vectors, 2)
