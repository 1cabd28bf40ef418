"""Gradient penalties: what a loss or a regularizer adds about the slope of a discriminator."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from ganzoo.losses.double_backward import TwiceDifferentiable
from ganzoo.networks import second_order


def at_least_float32(result: Any) -> Any:
    """A tensor, or a tuple of them, with half precision widened."""
    if isinstance(result, tuple):
        return tuple(at_least_float32(item) for item in result)
    half = isinstance(result, Tensor) and result.dtype in (torch.bfloat16, torch.float16)
    return result.float() if half else result


def squared_gradient_norm(critic: Callable[[Tensor], Tensor], images: Tensor) -> Tensor:
    """‖∂ Σ critic(x) / ∂x‖² of each image (N,), with a graph, in float32 at least whatever the precision of the rest.

    `critic` maps images to logits (N,); it must not couple the samples of a batch (no batch normalization), or the
    gradient is not each sample's own.
    """
    with torch.autocast(images.device.type, enabled=False), second_order(), TwiceDifferentiable():
        points = at_least_float32(images.detach()).requires_grad_(True)
        (gradient,) = torch.autograd.grad(critic(points).sum(), points, create_graph=True)
        return gradient.square().sum(tuple(range(1, gradient.ndim)))  # flatten would copy what is channels last


def gradient_penalty(
    critic: Callable[[Tensor], Tensor],
    real: Tensor,
    fake: Tensor,
    mix: Tensor,
    target: float = 1.0,
    one_sided: bool = False,
) -> Tensor:
    """mean((‖∇ critic(x̂)‖₂ − target)²) at x̂ = real + mix·(fake − real): Gulrajani et al. 2017, equation 3, without λ.

    `mix` (N, 1, 1, 1) is uniform in [0, 1). Two-sided, or with `one_sided` only where the norm is above `target`; the norm is over all of C, H and W; no epsilon under the root, as
    in the official code.
    """
    real, fake = at_least_float32(real.detach()), at_least_float32(fake.detach())
    excess = squared_gradient_norm(critic, torch.lerp(real, fake, mix)).sqrt() - target
    return (excess.relu() if one_sided else excess).square().mean()


def zero_centred_penalty(critic: Callable[[Tensor], Tensor], images: Tensor) -> Tensor:
    """½·mean(‖∇ critic(x)‖²): R1 on real and R2 on fake images (Mescheder et al. 2018, equation 9), without γ."""
    return squared_gradient_norm(critic, images).mean() / 2
