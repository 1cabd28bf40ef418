"""Layers for several variants, and a context in which piecewise-linear ones skip their second derivative."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils import parametrize


class _SecondOrder:
    active = False


@contextmanager
def second_order() -> Iterator[None]:
    """Makes the activations below skip their second derivative inside the context.

    A gradient penalty differentiates a gradient. For a leaky ReLU the second derivative is zero almost everywhere, but
    autograd would still send those zeros through a whole backward pass of the network.
    """
    before, _SecondOrder.active = _SecondOrder.active, True
    try:
        yield
    finally:
        _SecondOrder.active = before


class _PiecewiseLinear(torch.autograd.Function):
    """A leaky ReLU whose slope does not depend on its input: the detached input cuts the second derivative off."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, slope: float) -> Tensor:
        ctx.save_for_backward(x)
        ctx.slope = slope
        ctx.set_materialize_grads(False)  # or a missing gradient would go on as zeros
        return functional.leaky_relu(x, slope)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor | None) -> tuple[Tensor | None, None]:
        if gradient is None:
            return None, None
        (x,) = ctx.saved_tensors
        return torch.ops.aten.leaky_relu_backward(gradient, x.detach(), ctx.slope, False), None


class LeakyReLU(nn.Module):
    """Computes max(x, slope·x) as `nn.LeakyReLU` does, cheaper inside a gradient penalty. Slope 0 is a ReLU."""

    def __init__(self, slope: float = 0.2):
        super().__init__()
        self.slope = slope

    def forward(self, x: Tensor) -> Tensor:
        if _SecondOrder.active:
            return _PiecewiseLinear.apply(x, self.slope)
        return functional.leaky_relu(x, self.slope) if self.slope else functional.relu(x)

    def extra_repr(self) -> str:
        return f"slope={self.slope}"


def is_layer(module: nn.Module) -> bool:
    """True if a module has parameters, or parametrized ones, and no child that has."""
    if parametrize.is_parametrized(module):
        return True
    own = list(module.parameters(recurse=False))
    return bool(own) and not any(list(child.parameters()) for child in module.children())


class Maxout(nn.Module):
    """Each unit is the largest of `pieces` linear functions: (N, inputs) to (N, units). Goodfellow et al. 2013."""

    def __init__(self, inputs: int, units: int, pieces: int):
        super().__init__()
        self.linear, self.units, self.pieces = nn.Linear(inputs, units * pieces), units, pieces

    def forward(self, x: Tensor) -> Tensor:
        return self.linear(x).view(x.shape[0], self.units, self.pieces).amax(2)

    def extra_repr(self) -> str:
        return f"units={self.units}, pieces={self.pieces}"


class Reshape(nn.Module):
    """Reshapes every sample to `shape`, so that convolutions can follow a linear layer inside a Sequential."""

    def __init__(self, *shape: int):
        super().__init__()
        self.shape = shape

    def forward(self, x: Tensor) -> Tensor:
        return x.view(x.shape[0], *self.shape)

    def extra_repr(self) -> str:
        return ", ".join(map(str, self.shape))


def logits_of_mean(mean: Tensor) -> Tensor:
    """Returns the logit of each pixel of a mean image (C, H, W) in [-1, 1], flat: pylearn2's bias before a sigmoid.

    Pixels are clamped to 1e-7 from 0 and 1, whose logits are not finite.
    """
    return torch.logit((mean.double().flatten() + 1) / 2, eps=1e-7)
