"""Residual blocks and self-attention: pre-activated ones of SNGAN, SAGAN and BigGAN, and those of translators.

Of the former the caller chooses the kinds of convolution and norm: `convolution(inputs, outputs, kernel)` and
`norm(channels)` return modules. A 1×1 convolution commutes with pooling and with doubling of pixels, so shortcuts apply
it on the smaller side: the same function, cheaper.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor, nn
from torch.nn import functional

from ganzoo.networks.layers import LeakyReLU
from ganzoo.networks.normalization import InstanceNorm

Convolution = Callable[[int, int, int], nn.Module]
Norm = Callable[[int], nn.Module]


def doubled(x: Tensor, mode: str = "nearest") -> Tensor:
    """Doubles the pixels each way: `mode` "nearest" repeats them, "bilinear" interpolates (corners not aligned)."""
    return functional.interpolate(x, scale_factor=2, mode=mode, align_corners=None if mode == "nearest" else False)


def halved(x: Tensor) -> Tensor:
    """Returns the mean of each 2×2 pixels."""
    return functional.avg_pool2d(x, 2)


class GeneratorBlock(nn.Module):
    """Doubles the pixels: twice norm, ReLU and 3×3 convolution, beside a 1×1 convolution.

    Norms are called with the condition. `upsampling` is a mode of `doubled`. Miyato et al. 2018, figure 8.
    """

    def __init__(self, inputs: int, outputs: int, convolution: Convolution, norm: Norm, upsampling: str = "nearest"):
        super().__init__()
        self.doubled = partial(doubled, mode=upsampling)
        self.norm1, self.norm2 = norm(inputs), norm(outputs)
        self.convolution1, self.convolution2 = convolution(inputs, outputs, 3), convolution(outputs, outputs, 3)
        self.shortcut = convolution(inputs, outputs, 1)
        self.activation = LeakyReLU(0.0)

    def forward(self, x: Tensor, condition: Tensor | None = None) -> Tensor:
        residual = self.convolution1(self.doubled(self.activation(self.norm1(x, condition))))
        residual = self.convolution2(self.activation(self.norm2(residual, condition)))
        return self.doubled(self.shortcut(x)) + residual


class DiscriminatorBlock(nn.Module):
    """Applies ReLU and 3×3 convolution twice beside a shortcut, and halves the pixels if `down`.

    The `first` block applies no ReLU to the pixels. `hidden` is the width between the convolutions. The shortcut is a
    1×1 convolution where width or size change. With `activated_shortcut` it starts after the first ReLU: the effect of
    a ReLU in place in kwotsin/mimicry. Miyato et al. 2018, figure 8.
    """

    def __init__(
        self,
        inputs: int,
        outputs: int,
        hidden: int,
        convolution: Convolution,
        down: bool,
        first: bool = False,
        activated_shortcut: bool = False,
    ):
        super().__init__()
        self.down, self.first, self.activated_shortcut = down, first, activated_shortcut
        self.convolution1, self.convolution2 = convolution(inputs, hidden, 3), convolution(hidden, outputs, 3)
        self.shortcut = convolution(inputs, outputs, 1) if down or inputs != outputs else nn.Identity()
        self.activation = LeakyReLU(0.0)

    def forward(self, x: Tensor) -> Tensor:
        activated = x if self.first else self.activation(x)
        residual = self.convolution2(self.activation(self.convolution1(activated)))
        x = activated if self.activated_shortcut else x
        if not self.down:
            return self.shortcut(x) + residual
        return self.shortcut(halved(x)) + halved(residual)


class SelfAttention(nn.Module):
    """Adds to every pixel an attention-weighted mean of all 2×2 neighbourhoods, times a scale that starts at 0.

    Zhang et al. 2018 as their code has it: keys and values are max-pooled, values have half the channels (the paper's
    text says neither).
    """

    def __init__(self, channels: int, convolution: Convolution):
        super().__init__()
        narrow, half = max(channels // 8, 1), max(channels // 2, 1)
        self.query, self.key = convolution(channels, narrow, 1), convolution(channels, narrow, 1)
        self.value, self.output = convolution(channels, half, 1), convolution(half, channels, 1)
        self.scale = nn.Parameter(torch.zeros(()))

    def forward(self, x: Tensor, condition: Tensor | None = None) -> Tensor:
        query = self.query(x).flatten(2)
        key = functional.max_pool2d(self.key(x), 2).flatten(2)
        value = functional.max_pool2d(self.value(x), 2).flatten(2)
        share = (query.transpose(1, 2) @ key).softmax(-1)
        mixed = (value @ share.transpose(1, 2)).unflatten(2, x.shape[2:])
        return self.scale * self.output(mixed) + x


def instance_normalized(convolution: nn.Conv2d | nn.ConvTranspose2d) -> list[nn.Module]:
    """Returns the convolution, instance norm without parameters, and ReLU."""
    return [convolution, InstanceNorm(convolution.out_channels), nn.ReLU(inplace=True)]


class ReflectedBlock(nn.Module):
    """Adds to its input two 3 × 3 convolutions with instance norm; edges are reflected (Johnson et al. 2016)."""

    def __init__(self, channels: int):
        super().__init__()
        first = instance_normalized(nn.Conv2d(channels, channels, 3))
        last = [nn.ReflectionPad2d(1), nn.Conv2d(channels, channels, 3), InstanceNorm(channels)]
        self.conv_block = nn.Sequential(nn.ReflectionPad2d(1), *first, *last)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.conv_block(x)
