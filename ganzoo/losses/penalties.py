"""Gradient penalties on a discriminator, for losses and regularizers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from ganzoo.losses.double_backward import TwiceDifferentiable
from ganzoo.networks.layers import second_order


def at_least_float32(result: Any) -> Any:
    """Widens half precision to float32 in a tensor, or in tuples and lists of them; other values pass."""
    if isinstance(result, tuple | list):
        return type(result)(at_least_float32(item) for item in result)
    half = isinstance(result, Tensor) and result.dtype in (torch.bfloat16, torch.float16)
    return result.float() if half else result


def squared_gradient_norm(critic: Callable[[Tensor], Tensor], images: Tensor) -> Tensor:
    """Returns ‖∂ Σ critic(x) / ∂x‖² of each sample (N,), with a graph, in float32 at least.

    `critic` maps samples to logits (N, ...), of which the sum is differentiated: for a map of 8 x 8 logits that is 4096
    times the penalty of their mean. It must not couple the samples of a batch (no batch norm), or the gradient is not
    each sample's own.
    """
    with torch.autocast(images.device.type, enabled=False), second_order(), TwiceDifferentiable():
        points = at_least_float32(images.detach()).requires_grad_(True)
        (gradient,) = torch.autograd.grad(critic(points).sum(), points, create_graph=True)
        return gradient.square().sum(tuple(range(1, gradient.ndim)))  # flatten would copy what is channels last


def safe_root(squared: Tensor) -> Tensor:
    """Returns the square root with the gradient 0 where the number is 0: torch's is infinite there, times 0 NaN."""
    flat = squared == 0
    return squared.masked_fill(flat, 1.0).sqrt().masked_fill(flat, 0.0)


def gradient_penalty(
    critic: Callable[[Tensor], Tensor],
    real: Tensor,
    fake: Tensor,
    mix: Tensor,
    target: float = 1.0,
    one_sided: bool = False,
) -> Tensor:
    """Returns mean((‖∇ critic(x̂)‖₂ − target)²) at x̂ = real + mix·(fake − real), without the factor λ.

    `mix` has N numbers, uniform in [0, 1). The norm is over all axes of a sample, without an epsilon under the root, as
    in the official code; a norm of exactly 0 gives no gradient. With `one_sided`, only norms above `target` count.
    Gulrajani et al. 2017, equation 3.
    """
    real, fake = at_least_float32(real.detach()), at_least_float32(fake.detach())
    mix = mix.reshape(-1, *[1] * (real.ndim - 1))  # (N, 1, 1, 1) against points (N, 2) would broadcast to four axes
    excess = safe_root(squared_gradient_norm(critic, torch.lerp(real, fake, mix))) - target
    return (excess.relu() if one_sided else excess).square().mean()


def zero_centred_penalty(critic: Callable[[Tensor], Tensor], images: Tensor) -> Tensor:
    """Returns ½·mean(‖∇ critic(x)‖²), without γ: R1 on real, R2 on fake images (Mescheder et al. 2018, equation 9)."""
    return squared_gradient_norm(critic, images).mean() / 2
