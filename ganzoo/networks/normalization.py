"""Spectral normalization, and batch norm whose scale and shift depend on a condition.

Spectral normalization divides a weight by its largest singular value (Miyato et al. 2018, algorithm 1). Every forward
pass of training takes one step of the power method, so passes of real and of fake images each advance `u`, also while
the weights are frozen; in evaluation the step is taken and forgotten, as in pfnet-research/sngan_projection. `u` and
`v` carry no gradient, σ = uᵀWv does.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

EPSILON = 1e-12


def spectrally_normalized(weight: Tensor, u: Tensor, advance: bool) -> Tensor:
    """Divides `weight` (out, ...) by its largest singular value as (out, rest), estimated from the vector `u` (out,).

    With `advance` the vector is updated in place. A kernel is taken as a flat matrix, not as the operator that it is.
    """
    with torch.autocast(weight.device.type, enabled=False):
        matrix = weight.flatten(1)
        v = functional.normalize(matrix.detach().t().mv(u), dim=0, eps=EPSILON)
        product = matrix.mv(v)
        better = functional.normalize(product.detach(), dim=0, eps=EPSILON)
        if advance:
            with torch.no_grad():
                u.copy_(better)
        return weight / better.dot(product)


def _start(outputs: int) -> Tensor:
    return functional.normalize(torch.randn(outputs), dim=0, eps=EPSILON)


class SpectralConv2d(nn.Conv2d):
    """A convolution with spectral normalization; its weight is the one before the division."""

    u: Tensor

    def __init__(self, *arguments: Any, **keywords: Any):
        super().__init__(*arguments, **keywords)
        self.register_buffer("u", _start(self.out_channels))

    def forward(self, x: Tensor) -> Tensor:
        return self._conv_forward(x, spectrally_normalized(self.weight, self.u, self.training), self.bias)


class SpectralLinear(nn.Linear):
    """A linear layer with spectral normalization."""

    u: Tensor

    def __init__(self, *arguments: Any, **keywords: Any):
        super().__init__(*arguments, **keywords)
        self.register_buffer("u", _start(self.out_features))

    def forward(self, x: Tensor) -> Tensor:
        return functional.linear(x, spectrally_normalized(self.weight, self.u, self.training), self.bias)


class SpectralEmbedding(nn.Embedding):
    """An embedding with spectral normalization of the whole table."""

    u: Tensor

    def __init__(self, *arguments: Any, **keywords: Any):
        super().__init__(*arguments, **keywords)
        self.register_buffer("u", _start(self.num_embeddings))

    def forward(self, index: Tensor) -> Tensor:
        return functional.embedding(index, spectrally_normalized(self.weight, self.u, self.training))


class BatchNorm(nn.BatchNorm2d):
    """Batch norm with the signature of the conditional one; it ignores the condition."""

    def forward(self, x: Tensor, condition: Tensor | None = None) -> Tensor:
        return super().forward(x)


class InstanceNorm(nn.Module):
    """Normalizes each channel of each image (N, C, H, W) by its own mean and variance, without parameters.

    It computes what `nn.InstanceNorm2d` does and keeps channels last in memory. Torch's own gives wrong gradients on a
    CPU for a batch of one image if the gradient that it gets has channels last (torch 2.13).
    """

    def __init__(self, channels: int, eps: float = 1e-5):
        super().__init__()
        self.channels, self.eps = channels, eps

    def forward(self, x: Tensor) -> Tensor:
        # Group norm squares before it averages, which loses digits where a mean is large. Shifts change nothing else.
        return functional.group_norm(x - x.detach().mean((2, 3), keepdim=True), self.channels, eps=self.eps)

    def extra_repr(self) -> str:
        return f"{self.channels}, eps={self.eps}"


class ConditionalBatchNorm(nn.Module):
    """Batch norm whose scale is 1 + `gain(condition)` and whose shift is `shift(condition)`, both (N, channels).

    The condition is the input of both modules: labels for an `nn.Embedding`, vectors for a linear layer.
    De Vries et al. 2017, section 3; Brock et al. 2018, appendix B.1.
    """

    def __init__(self, channels: int, gain: nn.Module, shift: nn.Module, eps: float = 1e-5, momentum: float = 0.1):
        super().__init__()
        self.normalize = nn.BatchNorm2d(channels, eps=eps, momentum=momentum, affine=False)
        self.gain, self.shift = gain, shift

    def forward(self, x: Tensor, condition: Tensor) -> Tensor:
        gain, shift = self.gain(condition)[:, :, None, None], self.shift(condition)[:, :, None, None]
        return self.normalize(x) * (1 + gain) + shift
