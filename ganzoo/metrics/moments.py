"""Count, mean and second moment of features, gathered batch by batch and merged without loss."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from ganzoo.errors import CheckpointError, DataError, UsageError

BLOCK = 256  # columns: of fewer a symmetric product is one call, of more the half of it that repeats is not computed


class Moments:
    """How many features there were, their mean (D,) and `m2` (D, D), the sum of the outer products of their deviations, in float64.

    Batches and other Moments are merged about their own means (Chan, Golub and LeVeque 1979, equation 2.1), so a large mean
    costs no digits, and however the features are split the result is the same up to rounding.
    """

    def __init__(self, dimensions: int):
        self.count = 0
        self.mean = torch.zeros(dimensions, dtype=torch.float64)
        self.m2 = torch.zeros(dimensions, dimensions, dtype=torch.float64)

    @classmethod
    def of(cls, features: Tensor) -> Moments:
        """The moments of features (N, D)."""
        features = as_features(features)
        return cls(features.shape[1]).update(features)

    @property
    def dimensions(self) -> int:
        return self.mean.shape[0]

    @property
    def covariance(self) -> Tensor:
        """The unbiased covariance (D, D); UsageError for fewer than two features."""
        if self.count < 2:
            raise UsageError(f"A covariance needs at least 2 images, there is {self.count}.")
        return self.m2 / (self.count - 1)

    def update(self, features: Tensor) -> Moments:
        """Adds features (N, D) and returns itself; DataError if one is not finite."""
        features = as_features(features)
        self._check(features.shape[1])
        count = features.shape[0]
        if count:
            mean = features.mean(0)
            add_gram(self.m2, features - mean)
            self._move(count, mean)
        return self

    def merge(self, other: Moments) -> Moments:
        """Adds what another process or batch gathered and returns itself."""
        self._check(other.dimensions)
        if other.count:
            self.m2 += other.m2
            self._move(other.count, other.mean)
        return self

    def _move(self, count: int, mean: Tensor) -> None:
        """Puts the part of the sum of squares that lies between two means, and the common mean, in their place."""
        total, shift = self.count + count, mean - self.mean
        self.m2.addr_(shift, shift, alpha=self.count * count / total)
        self.mean += shift * (count / total)
        self.count = total

    def _check(self, dimensions: int) -> None:
        if dimensions != self.dimensions:
            raise UsageError(f"Features of {dimensions} dimensions cannot join features of {self.dimensions}.")

    def tensors(self) -> dict[str, Tensor]:
        """Everything as plain tensors, for a file."""
        return {"count": torch.tensor(self.count), "mean": self.mean, "m2": self.m2}

    @classmethod
    def from_tensors(cls, tensors: Mapping[str, Tensor]) -> Moments:
        """What `tensors` gave; CheckpointError if these are not moments."""
        try:
            count, mean, m2 = tensors["count"], tensors["mean"], tensors["m2"]
            found = cls(mean.shape[0])
            fits = (
                count.dtype == torch.int64
                and count.ndim == 0
                and mean.shape == found.mean.shape
                and m2.shape == found.m2.shape
            )
        except (KeyError, IndexError):
            fits = False
        if not fits or mean.dtype != torch.float64 or m2.dtype != torch.float64:
            raise CheckpointError("These tensors are not moments: count, mean (D,) and m2 (D, D) in float64 are.")
        found.count, found.mean, found.m2 = int(count), mean.clone(), m2.clone()
        return found


def add_gram(total: Tensor, rows: Tensor) -> Tensor:
    """Adds XᵀX of `rows` X (N, D) to a symmetric `total` (D, D) in place, and returns it: what lies above the diagonal is copied from below."""
    if len(total) <= BLOCK:
        return total.addmm_(rows.T, rows)
    for start in range(0, len(total), BLOCK):
        end = start + BLOCK
        total[start:end, :end].addmm_(rows[:, start:end].T, rows[:, :end])
        total[:start, start:end].copy_(total[start:end, :start].T)
    return total


def as_features(features: Tensor, *, single: bool = False) -> Tensor:
    """Features (N, D) in float64, or with `single` what is float32 as it is; UsageError for another shape, DataError if one is not finite."""
    if features.ndim != 2 or features.shape[1] == 0:
        raise UsageError(f"Features must have the shape (N, D), got {tuple(features.shape)}.")
    features = features.detach().to(
        "cpu", torch.float32 if single and features.dtype == torch.float32 else torch.float64
    )
    if (
        not torch.isfinite(features.sum()) and not torch.isfinite(features).all()
    ):  # a sum is quicker, and finite only of what is finite
        raise DataError("Some features are not finite: the images or the extractor have overflowed.")
    return features
