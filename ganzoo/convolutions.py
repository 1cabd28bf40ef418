"""Convolutions whose gradient is differentiated again, as a gradient penalty does: the second derivative at the price of a first."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.overrides import TorchFunctionMode

Pair = tuple[int, int]


@dataclass(frozen=True)
class Geometry:
    """What a convolution is besides its tensors."""

    stride: Pair
    padding: Pair
    dilation: Pair
    groups: int

    def output_side(self, axis: int, side: int, kernel: int) -> int:
        return (side + 2 * self.padding[axis] - self.dilation[axis] * (kernel - 1) - 1) // self.stride[axis] + 1

    def left_over(self, axis: int, side: int, kernel: int) -> int:
        """Rows of the input that no kernel reached, which the transposed convolution must add."""
        reached = (self.output_side(axis, side, kernel) - 1) * self.stride[axis] + self.dilation[axis] * (kernel - 1) + 1
        return side + 2 * self.padding[axis] - reached

    def options(self) -> dict[str, Any]:
        return {"stride": self.stride, "padding": self.padding, "dilation": self.dilation, "groups": self.groups}


class ToWeight(torch.autograd.Function):
    """Zeros as large as conv2d(x, weight), of which only the weight has a gradient: the convolution's.

    x comes in a list, which autograd does not look into: with an edge to x, this would be computed whenever x's gradient is asked for.
    """

    @staticmethod
    def forward(context, weight: Tensor, holder: list[Tensor], geometry: Geometry) -> Tensor:
        (x,) = holder
        context.save_for_backward(x, weight)
        context.set_materialize_grads(False)  # or a missing gradient would go on as zeros
        context.geometry = geometry
        sides = (geometry.output_side(axis, x.shape[2 + axis], weight.shape[2 + axis]) for axis in range(2))
        return x.new_zeros(()).expand(len(x), len(weight), *sides)

    @staticmethod
    def backward(context, gradient: Tensor | None) -> tuple[Tensor | None, None, None]:
        if gradient is None:
            return None, None, None
        x, weight = context.saved_tensors
        return nn.grad.conv2d_weight(x, weight.shape, gradient, **context.geometry.options()), None, None


class ToInput(torch.autograd.Function):
    """conv2d(x, weight) + zeros, of which x and `zeros` have a gradient: x a transposed convolution, not a derivative of one."""

    @staticmethod
    def forward(context, x: Tensor, weight: Tensor, zeros: Tensor, geometry: Geometry) -> Tensor:
        context.save_for_backward(weight)
        context.set_materialize_grads(False)
        left = tuple(geometry.left_over(axis, x.shape[2 + axis], weight.shape[2 + axis]) for axis in range(2))
        context.options = {**geometry.options(), "output_padding": left}
        return functional.conv2d(x, weight, None, **geometry.options())

    @staticmethod
    def backward(context, gradient: Tensor | None) -> tuple[Tensor | None, None, Tensor | None, None]:
        if gradient is None:
            return None, None, None, None
        (weight,) = context.saved_tensors
        return functional.conv_transpose2d(gradient, weight, **context.options), None, gradient, None


def twice_differentiable(x: Tensor, weight: Tensor, bias: Tensor | None, geometry: Geometry) -> Tensor:
    """conv2d(x, weight, bias): the same numbers and gradients, of which no second derivative of a convolution is ever taken.

    PyTorch's own takes the groups one after the other, and as a convolution whose kernel is as large as the image. Here the gradient
    with respect to x is itself a convolution, so that differentiating it asks for first derivatives alone; and the weight's has a
    node of its own, so that a penalty on x's gradient does not pay for it.
    """
    result = ToInput.apply(x, weight, ToWeight.apply(weight, [x], geometry), geometry)
    return result if bias is None else result + bias.view(1, -1, 1, 1)


class TwiceDifferentiable(TorchFunctionMode):
    """While it is open, `conv2d` is `twice_differentiable` where that is faster: on GPUs always, on CPUs in groups.

    It reaches convolutions wherever they are called, so that a network of anybody's gains. Those without a gradient with respect to
    their input, and paddings by name, stay as they are.
    """

    def __torch_function__(self, function: Callable, types, arguments: tuple = (), options: dict[str, Any] | None = None):
        options = options or {}
        if function in (functional.conv2d, torch.conv2d):
            found = recognized(*arguments, **options)
            if found is not None:
                return twice_differentiable(*found)
        return function(*arguments, **options)


def recognized(input: Tensor, weight: Tensor, bias=None, stride=1, padding=0, dilation=1, groups=1):
    """The arguments of `twice_differentiable`, or None where PyTorch's own is the better choice; parameters are named as conv2d's."""
    if not (torch.is_grad_enabled() and input.requires_grad and input.ndim == 4) or isinstance(padding, str):
        return None
    if groups == 1 and not input.is_cuda:
        return None
    return input, weight, bias, Geometry(pair(stride), pair(padding), pair(dilation), groups)


def pair(value: int | tuple[int, ...]) -> Pair:
    return (value, value) if isinstance(value, int) else (value[0], value[-1])
