"""Convolutions whose second derivative, which a gradient penalty needs, costs no more than a first one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional, grad
from torch.overrides import TorchFunctionMode

Pair = tuple[int, int]


@dataclass(frozen=True)
class Geometry:
    """Stride, padding, dilation and groups of a convolution."""

    stride: Pair
    padding: Pair
    dilation: Pair
    groups: int

    def output_side(self, axis: int, side: int, kernel: int) -> int:
        return (side + 2 * self.padding[axis] - self.dilation[axis] * (kernel - 1) - 1) // self.stride[axis] + 1

    def left_over(self, axis: int, side: int, kernel: int) -> int:
        """Returns how many rows of the input no kernel reached: the transposed convolution must add them."""
        reached = (
            (self.output_side(axis, side, kernel) - 1) * self.stride[axis] + self.dilation[axis] * (kernel - 1) + 1
        )
        return side + 2 * self.padding[axis] - reached

    def options(self) -> dict[str, Any]:
        return {"stride": self.stride, "padding": self.padding, "dilation": self.dilation, "groups": self.groups}


class ToWeight(torch.autograd.Function):
    """Returns zeros of the shape of conv2d(x, weight), with the convolution's gradient for the weight and none for x.

    x comes in a list, which autograd does not look into: with an edge to x, this would be computed whenever the
    gradient of x is needed.
    """

    @staticmethod
    def forward(context: Any, weight: Tensor, holder: list[Tensor], geometry: Geometry) -> Tensor:
        (x,) = holder
        context.save_for_backward(x, weight)
        context.set_materialize_grads(False)  # or a missing gradient would go on as zeros
        context.geometry = geometry
        sides = (geometry.output_side(axis, x.shape[2 + axis], weight.shape[2 + axis]) for axis in range(2))
        return x.new_zeros(()).expand(len(x), len(weight), *sides)

    @staticmethod
    def backward(context: Any, gradient: Tensor | None) -> tuple[Tensor | None, None, None]:
        if gradient is None:
            return None, None, None
        x, weight = context.saved_tensors
        return grad.conv2d_weight(x, weight.shape, gradient, **context.geometry.options()), None, None


class ToInput(torch.autograd.Function):
    """Returns conv2d(x, weight) + zeros, whose gradient for x is a transposed convolution.

    Autograd differentiates that one like any other. The zeros get the output's gradient; the weight gets none here.
    """

    @staticmethod
    def forward(context: Any, x: Tensor, weight: Tensor, zeros: Tensor, geometry: Geometry) -> Tensor:
        context.save_for_backward(weight)
        context.set_materialize_grads(False)
        left = tuple(geometry.left_over(axis, x.shape[2 + axis], weight.shape[2 + axis]) for axis in range(2))
        context.options = {**geometry.options(), "output_padding": left}
        return functional.conv2d(x, weight, None, **geometry.options())

    @staticmethod
    def backward(context: Any, gradient: Tensor | None) -> tuple[Tensor | None, None, Tensor | None, None]:
        if gradient is None:
            return None, None, None, None
        (weight,) = context.saved_tensors
        with torch.autocast(weight.device.type, enabled=False):  # as in forward, whatever surrounds the backward pass
            return functional.conv_transpose2d(gradient, weight, **context.options), None, gradient, None


def twice_differentiable(x: Tensor, weight: Tensor, bias: Tensor | None, geometry: Geometry) -> Tensor:
    """Computes conv2d(x, weight, bias) with the same numbers and gradients, but without second derivatives of it.

    PyTorch's double backward computes the groups one after the other, each as a convolution whose kernel is as large as
    the image. Here the gradient of x is itself a convolution, so differentiating it needs first derivatives alone; the
    gradient of the weight is a node of its own, so a penalty on the gradient of x does not compute it.
    """
    result = ToInput.apply(x, weight, ToWeight.apply(weight, [x], geometry), geometry)
    return result if bias is None else result + bias.view(1, -1, 1, 1)


class TwiceDifferentiable(TorchFunctionMode):
    """Replaces `conv2d` by `twice_differentiable` inside the context, where that is faster, in any network.

    Code that the backward pass recomputes, as `torch.utils.checkpoint` does, must not be inside: it would run PyTorch's
    own `conv2d` then.
    """

    def __torch_function__(
        self,
        function: Callable[..., Any],
        types: Any,
        arguments: tuple[Any, ...] = (),
        options: dict[str, Any] | None = None,
    ) -> Any:
        options = options or {}
        if function in (functional.conv2d, torch.conv2d):
            found = recognized(*arguments, **options)
            if found is not None:
                return twice_differentiable(*found)
        return function(*arguments, **options)


def pays(input: Tensor, groups: int) -> bool:
    """Whether `twice_differentiable` is faster: always on GPUs, on CPUs only with several groups.

    On GPUs it is up to eight times as fast, in small networks as fast. On CPUs and with one group PyTorch's own was
    faster for most shapes.
    """
    return input.is_cuda or groups > 1


def recognized(
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: Any = 1,
    padding: Any = 0,
    dilation: Any = 1,
    groups: int = 1,
) -> tuple[Tensor, Tensor, Tensor | None, Geometry] | None:
    """Returns the arguments of `twice_differentiable`, or None where PyTorch's own `conv2d` must run.

    That includes arguments that are wrong, for which PyTorch raises the error. Parameters are named as conv2d's.
    """
    if not (torch.is_grad_enabled() and input.requires_grad and pays(input, groups)):
        return None
    if not (input.is_floating_point() and weight.is_floating_point()) or torch.is_autocast_enabled(input.device.type):
        return None
    if input.ndim != 4 or weight.ndim != 4 or (bias is not None and bias.shape != weight.shape[:1]):
        return None
    strides, paddings, dilations = pair(stride), pair(padding), pair(dilation)
    if strides is None or paddings is None or dilations is None:
        return None
    geometry = Geometry(strides, paddings, dilations, groups)
    if any(geometry.output_side(axis, input.shape[2 + axis], weight.shape[2 + axis]) < 1 for axis in range(2)):
        return None
    return input, weight, bias, geometry


def pair(value: Any) -> Pair | None:
    """Returns one number for both axes, or one for each, as a pair; None for anything else, such as padding by name."""
    if isinstance(value, int):
        return value, value
    if isinstance(value, tuple | list) and len(value) in (1, 2) and all(isinstance(number, int) for number in value):
        return value[0], value[-1]
    return None
