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
        reached = (
            (self.output_side(axis, side, kernel) - 1) * self.stride[axis] + self.dilation[axis] * (kernel - 1) + 1
        )
        return side + 2 * self.padding[axis] - reached

    def options(self) -> dict[str, Any]:
        return {"stride": self.stride, "padding": self.padding, "dilation": self.dilation, "groups": self.groups}


class ToWeight(torch.autograd.Function):
    """Zeros as large as conv2d(x, weight). Their gradient with respect to the weight is the convolution's; with respect to x there is none.

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
    """conv2d(x, weight) + zeros. The gradient with respect to x is a transposed convolution of its own, which autograd differentiates like any
    other; the zeros get the output's gradient; with respect to the weight there is none here."""

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
        with torch.autocast(
            weight.device.type, enabled=False
        ):  # the forward pass was without it, whatever the caller of backward has open
            return functional.conv_transpose2d(gradient, weight, **context.options), None, gradient, None


def twice_differentiable(x: Tensor, weight: Tensor, bias: Tensor | None, geometry: Geometry) -> Tensor:
    """conv2d(x, weight, bias): the same numbers and gradients, of which no second derivative of a convolution is ever taken.

    PyTorch's own takes the groups one after the other, each as a convolution whose kernel is as large as the image. Here the gradient
    with respect to x is itself a convolution, so that differentiating it asks for first derivatives alone; and the weight's has a
    node of its own, so that a penalty on x's gradient does not pay for it.
    """
    result = ToInput.apply(x, weight, ToWeight.apply(weight, [x], geometry), geometry)
    return result if bias is None else result + bias.view(1, -1, 1, 1)


class TwiceDifferentiable(TorchFunctionMode):
    """While it is open, `conv2d` is `twice_differentiable` where that pays, so that a network of anybody's gains.

    What is recomputed in the backward pass, as `torch.utils.checkpoint` does, must not be inside: it would be PyTorch's then.
    """

    def __torch_function__(
        self, function: Callable, types, arguments: tuple = (), options: dict[str, Any] | None = None
    ):
        options = options or {}
        if function in (functional.conv2d, torch.conv2d):
            found = recognized(*arguments, **options)
            if found is not None:
                return twice_differentiable(*found)
        return function(*arguments, **options)


def pays(input: Tensor, groups: int) -> bool:
    """On GPUs up to eight times, in small networks nothing; on CPUs for groups alone: with one PyTorch's own was faster for most shapes."""
    return input.is_cuda or groups > 1


def recognized(input: Tensor, weight: Tensor, bias=None, stride=1, padding=0, dilation=1, groups=1):
    """The arguments of `twice_differentiable`, or None for PyTorch's own, which also says what is wrong with them; named as conv2d's."""
    if not (torch.is_grad_enabled() and input.requires_grad and pays(input, groups)):
        return None
    if not (input.is_floating_point() and weight.is_floating_point()) or torch.is_autocast_enabled(input.device.type):
        return None
    if input.ndim != 4 or weight.ndim != 4 or (bias is not None and bias.shape != weight.shape[:1]):
        return None
    pairs = [pair(value) for value in (stride, padding, dilation)]
    if None in pairs:
        return None
    geometry = Geometry(*pairs, groups)
    if any(geometry.output_side(axis, input.shape[2 + axis], weight.shape[2 + axis]) < 1 for axis in range(2)):
        return None
    return input, weight, bias, geometry


def pair(value: Any) -> Pair | None:
    """One number for both axes, or one for each; None for padding by name and whatever else."""
    if isinstance(value, int):
        return value, value
    if isinstance(value, tuple | list) and len(value) in (1, 2) and all(isinstance(number, int) for number in value):
        return value[0], value[-1]
    return None
