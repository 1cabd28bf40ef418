"""The Fréchet distance between two normal distributions that are fitted to features."""

from __future__ import annotations

import torch
from torch import Tensor

from ganzoo.errors import UsageError
from ganzoo.metrics.moments import Moments, as_features

EPSILON = torch.finfo(torch.float64).eps


def frechet_distance(real: Moments | Tensor, fake: Moments | Tensor) -> float:
    """|m₁ - m₂|² + tr(S₁ + S₂ - 2 (S₁ S₂)^½) of moments or features (N, D): Heusel et al. 2017, equation 6; never below 0.

    The last trace is the sum of the singular values of F₁ᵀF₂ for any factors FFᵀ = S. That keeps twelve digits where the
    covariances are singular; eigenvalues of the product keep six. Of fewer features than dimensions the features themselves,
    centred, are the factor, and the work falls to that of the smaller number.
    """
    one, other = _Normal(real), _Normal(fake)
    if one.mean.shape != other.mean.shape:
        raise UsageError(f"Features of {len(one.mean)} dimensions cannot be compared with features of {len(other.mean)}.")
    shared = torch.linalg.svdvals(one.factor().T @ other.factor()).sum()
    return max(0.0, float((one.mean - other.mean).square().sum() + one.trace + other.trace - 2 * shared))


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

    def factor(self) -> Tensor:
        if self.centred is not None:
            return self.centred.T
        values, vectors = torch.linalg.eigh(self.covariance)
        # What rounding makes of a zero eigenvalue counts with its square root: 1e-16 would become 1e-8.
        kept = values > EPSILON * len(values) * values[-1].abs()
        return vectors[:, kept] * values[kept].sqrt()
