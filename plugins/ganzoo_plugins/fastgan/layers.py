"""Layers that both networks of FastGAN share."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from ganzoo.networks.normalization import SpectralConv2d, spectrally_normalized

LEAST = 16  # pixels of one side
EPSILON = 1e-12  # of vectors that are divided by their lengths


def times(width: int, share: float) -> int:
    """Returns `width` channels times `share`, at least one."""
    return max(1, int(width * share))


def normalized(weight: Tensor, u: Tensor, v: Tensor | None, training: bool) -> Tensor:
    """Divides `weight` (out, ...) by its largest singular value uᵀWv; training takes a step of the power method.

    Without `v` evaluation takes that step too and forgets it. With `v` it uses both vectors as they are stored, as
    torch's own spectral normalization does: what weights of other code were sampled with.
    """
    if v is None:
        return spectrally_normalized(weight, u, training)
    with torch.autocast(weight.device.type, enabled=False):
        matrix = weight.flatten(1)
        if training:
            with torch.no_grad():
                v.copy_(functional.normalize(matrix.t().mv(u), dim=0, eps=EPSILON))
                u.copy_(functional.normalize(matrix.mv(v), dim=0, eps=EPSILON))
            u, v = u.clone(), v.clone()  # the next pass overwrites both
        return weight / u.dot(matrix.mv(v))


class StoredVectors(SpectralConv2d):
    """A convolution with spectral normalization by two stored vectors."""

    v: Tensor

    def __init__(self, *arguments: Any, **keywords: Any) -> None:
        super().__init__(*arguments, **keywords)
        self.register_buffer("v", functional.normalize(torch.randn(self.weight[0].numel()), dim=0))

    def forward(self, x: Tensor) -> Tensor:
        return self._conv_forward(x, normalized(self.weight, self.u, self.v, self.training), self.bias)


def convolution(
    inputs: int, outputs: int, kernel: int, stride: int = 1, padding: int = 0, *, stored: bool = False
) -> SpectralConv2d:
    """Returns a convolution without bias, with spectral normalization, whose two vectors are `stored` or not."""
    kind = StoredVectors if stored else SpectralConv2d
    return kind(inputs, outputs, kernel, stride, padding, bias=False)


def gated(x: Tensor) -> Tensor:
    """Returns a·σ(b) of the two halves of the channels."""
    values, gates = x.chunk(2, 1)
    return values * torch.sigmoid(gates)


class _Gate(torch.autograd.Function):
    """`gated`; torch's own gradient does not keep channels last in memory."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        ctx.save_for_backward(x)
        return gated(x)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        (x,) = ctx.saved_tensors
        values, gates = x.chunk(2, 1)
        share = torch.sigmoid(gates)
        through = gradient * share
        return torch.cat([through, through * values * (1 - share)], 1)


class GatedUnit(nn.Module):
    """Multiplies the first half of the channels by the sigmoid of the second (a gated linear unit)."""

    def forward(self, x: Tensor) -> Tensor:
        return _Gate.apply(x) if x.requires_grad else gated(x)  # exported graphs take no function of Python


class DoublingConvolution(SpectralConv2d):
    """Doubles the size by repeating pixels, then convolves 3 × 3.

    Of nine taps some fall on copies of one pixel. Their weights are added, so that a transposed convolution with 4 × 4
    taps gives the same with 4/9 of the products. Below `LEAST` pixels that is slower on CPUs, and is left out.
    """

    v: Tensor | None

    def __init__(self, inputs: int, outputs: int, stored: bool = False) -> None:
        super().__init__(inputs, outputs, 3, bias=False)
        self.register_buffer("v", functional.normalize(torch.randn(9 * inputs), dim=0) if stored else None)

    def forward(self, x: Tensor) -> Tensor:
        weight = normalized(self.weight, self.u, self.v, self.training)
        if x.shape[-1] < LEAST:
            return functional.conv2d(functional.interpolate(x, scale_factor=2.0), weight, padding=1)
        wide = functional.pad(weight, (1, 1, 1, 1))
        taps = wide[:, :, 1:, 1:] + wide[:, :, 1:, :-1] + wide[:, :, :-1, 1:] + wide[:, :, :-1, :-1]
        return functional.conv_transpose2d(x, taps.flip(2, 3).transpose(0, 1), stride=2, padding=1)


class Excitation(nn.Module):
    """Scales each channel of large feature maps by what small ones hold: skip-layer excitation (section 3.1).

    The small maps are averaged to 4 × 4, of which two convolutions with a swish make numbers in (0, 1).
    """

    def __init__(self, inputs: int, outputs: int, stored: bool = False) -> None:
        super().__init__()
        self.main = nn.Sequential(
            nn.AdaptiveAvgPool2d(4),
            convolution(inputs, outputs, 4, stored=stored),
            nn.SiLU(),
            convolution(outputs, outputs, 1, stored=stored),
            nn.Sigmoid(),
        )

    def forward(self, small: Tensor, large: Tensor) -> Tensor:
        return large * self.main(small)


def initialize(network: nn.Module) -> None:
    """Draws weights of convolutions from N(0, 0.02) and those of batch norm from N(1, 0.02)."""
    for layer in network.modules():
        if isinstance(layer, nn.Conv2d):
            nn.init.normal_(layer.weight, 0.0, 0.02)
        elif isinstance(layer, nn.BatchNorm2d):
            nn.init.normal_(layer.weight, 1.0, 0.02)
