"""Truncation of styles, in all layers or the first ones."""

from __future__ import annotations

import torch
from torch import Tensor

from ganzoo.errors import UsageError
from ganzoo.models.arguments import check_truncation
from ganzoo.networks import Generator

Truncation = float | tuple[float, int]  # ψ, or ψ and the number of first layers that it is applied to


def truncated(generator: Generator, style: Tensor, truncation: Truncation, label: Tensor | None = None) -> Tensor:
    """Truncates styles (N, ..., D) of labels (N,), or with (ψ, n) those of the first n layers alone.

    UsageError for a number of layers where styles have none.
    """
    check_truncation(truncation)
    amount, layers = truncation if isinstance(truncation, tuple) else (truncation, None)
    moved = generator.truncate_classes(style, amount, label)
    if layers is None:
        return moved
    if style.ndim != 3:
        raise UsageError(f"{type(generator).__name__} has one style for all layers: give the truncation alone.")
    return torch.cat([moved[:, :layers], style[:, layers:]], 1)
