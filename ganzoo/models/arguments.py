"""Checks the latents, styles, labels and inputs that a program gives to a generator: each fault is one clear line."""

from __future__ import annotations

import math
from collections.abc import Mapping
from numbers import Real
from typing import Any

import torch
from torch import Tensor

from ganzoo.errors import UsageError
from ganzoo.files.text import quoted
from ganzoo.networks.generator import Generator
from ganzoo.networks.latents import sample_latents


def check_numbers(values: Any, kind: str, shape: tuple[int, ...], variant: str, generator: Generator) -> None:
    """UsageError unless `values` are finite floats (n, *shape), n at least 1; `kind` is "latents" or "styles".

    A generator that draws whole numbers as latents takes these.
    """
    wanted = f"{kind} of '{variant}' are a float tensor ({', '.join(map(str, ('n', *shape)))})"
    if not isinstance(values, Tensor):
        raise UsageError(f"The {wanted}, not {type(values).__name__}.")
    floats = values.is_floating_point() or (kind == "latents" and values.dtype == sample_latents(generator, 1, 0).dtype)
    if not floats or tuple(values.shape[1:]) != shape or values.ndim == 0 or not len(values):
        raise UsageError(f"The {wanted}, not {str(values.dtype).removeprefix('torch.')} {tuple(values.shape)}.")
    if not torch.isfinite(values).all():
        raise UsageError(f"The {kind} hold NaN or infinity: '{variant}' takes finite numbers.")


def check_labels(labels: Any, count: int, classes: int) -> None:
    """UsageError unless labels are None, or the numbers (count,) of classes that the generator has."""
    if labels is None:
        return
    if not isinstance(labels, Tensor) or labels.is_floating_point() or tuple(labels.shape) != (count,):
        shape = f"a tensor {tuple(labels.shape)}" if isinstance(labels, Tensor) else quoted(labels)
        raise UsageError(f"Labels are a tensor ({count},) of class numbers, as Model.labels returns them, not {shape}.")
    if classes and not ((labels >= 0) & (labels < classes)).all():
        raise UsageError(f"Labels are from 0 to {classes - 1}, not from {int(labels.min())} to {int(labels.max())}.")


def check_inputs(inputs: Mapping[str, Any], count: int) -> None:
    """UsageError unless the inputs are tensors (count, ...)."""
    for name, value in inputs.items():
        if not isinstance(value, Tensor) or value.ndim == 0 or len(value) != count:
            found = f"a tensor {tuple(value.shape)}" if isinstance(value, Tensor) else type(value).__name__
            raise UsageError(f"The input {quoted(name)} is a tensor of {count} rows, one for each latent, not {found}.")


def check_truncation(truncation: Any) -> None:
    """UsageError unless a truncation is a number, or one and a number of layers."""
    amount, *layers = truncation if isinstance(truncation, tuple) and len(truncation) == 2 else (truncation,)
    whole = all(isinstance(one, int) and one > 0 for one in layers)
    if not (isinstance(amount, Real) and not math.isnan(amount) and whole):
        raise UsageError(f"Truncation is a number above 0, such as 0.7, or (0.7, 8) with layers, not {truncation!r}.")


def check_count(n: Any, batch_size: Any) -> None:
    """UsageError unless both are whole numbers above 0."""
    if not (isinstance(n, int) and isinstance(batch_size, int) and n > 0 and batch_size > 0):
        raise UsageError(
            f"Ask for at least one image in batches of at least one, got n={quoted(n)} and "
            f"batch_size={quoted(batch_size)}."
        )
