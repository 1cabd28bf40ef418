"""Accumulates count, mean and covariance of features, batch by batch."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from ganzoo.errors import CheckpointError, DataError, UsageError

BLOCK = 256  # columns: a symmetric product of fewer is one call, of more one half is computed and copied


class Moments:
    """Holds count, mean (D,) and `m2` (D, D), the sum of outer products of deviations, of features in float64.

    Batches and other Moments are merged about their own means (Chan, Golub and LeVeque 1979, equation 2.1): a large
    mean costs no digits, and the split into batches changes the result by rounding alone.
    """

    def __init__(self, dimensions: int):
        self.count = 0
        self.mean = torch.zeros(dimensions, dtype=torch.float64)
        self.m2 = torch.zeros(dimensions, dimensions, dtype=torch.float64)

    @classmethod
    def of(cls, features: Tensor) -> Moments:
        """Computes the moments of features (N, D)."""
        features = as_features(features)
        return cls(features.shape[1]).update(features)

    @property
    def dimensions(self) -> int:
        return self.mean.shape[0]

    @property
    def covariance(self) -> Tensor:
        """Returns the unbiased covariance (D, D); UsageError for fewer than two features."""
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
        """Adds the moments of another process or batch and returns itself."""
        self._check(other.dimensions)
        if other.count:
            self.m2 += other.m2
            self._move(other.count, other.mean)
        return self

    def _move(self, count: int, mean: Tensor) -> None:
        """Adds the sum of squares between two means, and moves to the common mean."""
        total, shift = self.count + count, mean - self.mean
        self.m2.addr_(shift, shift, alpha=self.count * count / total)
        self.mean += shift * (count / total)
        self.count = total

    def _check(self, dimensions: int) -> None:
        if dimensions != self.dimensions:
            raise UsageError(f"Features of {dimensions} dimensions cannot join features of {self.dimensions}.")

    def tensors(self) -> dict[str, Tensor]:
        """Returns plain tensors for a file."""
        return {"count": torch.tensor(self.count), "mean": self.mean, "m2": self.m2}

    @classmethod
    def from_tensors(cls, tensors: Mapping[str, Tensor]) -> Moments:
        """Restores the result of `tensors`; CheckpointError if these are not moments."""
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
    """Adds XᵀX of `rows` X (N, D) to a symmetric `total` (D, D) in place, and returns it.

    The upper triangle is copied from the lower one.
    """
    if len(total) <= BLOCK:
        return total.addmm_(rows.T, rows)
    for start in range(0, len(total), BLOCK):
        end = start + BLOCK
        total[start:end, :end].addmm_(rows[:, start:end].T, rows[:, :end])
        total[:start, start:end].copy_(total[start:end, :start].T)
    return total


def as_features(features: Tensor, *, single: bool = False) -> Tensor:
    """Returns features (N, D) in float64 on the CPU; with `single`, float32 stays float32.

    UsageError for another shape, DataError if a value is not finite.
    """
    if features.ndim != 2 or features.shape[1] == 0:
        raise UsageError(f"Features must have the shape (N, D), got {tuple(features.shape)}.")
    kept = single and features.dtype == torch.float32
    features = features.detach().to("cpu", torch.float32 if kept else torch.float64)
    # The sum is finite only if all values are, and is quicker to test.
    if not torch.isfinite(features.sum()) and not torch.isfinite(features).all():
        raise DataError("Some features are not finite: the images or the extractor have overflowed.")
    return features
