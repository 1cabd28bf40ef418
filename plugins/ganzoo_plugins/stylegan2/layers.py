"""Layers of StyleGAN2: convolutions with equalized learning rates, modulated convolutions, the filter [1, 3, 3, 1].

Written from Karras et al. 2018 (1710.10196), section 4.1, Karras et al. 2019 (1812.04948), section 2, and Karras et
al. 2020 (1912.04958), section 2 and appendix B. Layers take the filter as a tensor, of which each network has one.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

from ganzoo import SampleSpec
from ganzoo.networks import LeakyReLU
from ganzoo.networks.equalized import ScaledLinear, scaled

GAIN = math.sqrt(2)
EPSILON = 1e-8


def resampling_filter() -> Tensor:
    """Returns the filter [1, 3, 3, 1] on both axes (4, 4), of sum 1."""
    taps = torch.tensor([1.0, 3.0, 3.0, 1.0])
    return torch.outer(taps, taps) / taps.sum().square()


def channels_at(size: int, channel_base: int, width: int) -> int:
    """Returns the channels of feature maps of `size` pixels: as many as keep numbers × size the same, at most `width`.

    ValueError if that is none.
    """
    channels = min(channel_base // size, width)
    if channels < 1:
        raise ValueError(f"channel_base {channel_base} and width {width} leave no channel at {size} pixels")
    return channels


def automatic_base(image: SampleSpec, channel_base: int | None) -> int:
    """Returns `channel_base`, or if that is None the official choice: 16384 below 512 pixels, from there on 32768."""
    return channel_base if channel_base is not None else 16384 if image.size < 512 else 32768


def per_channel(x: Tensor, kernel: Tensor, *, stride: int = 1, padding: int = 0) -> Tensor:
    """Convolves each channel with one kernel (4, 4); outside are zeros."""
    channels = x.shape[1]
    weight = kernel.to(x.dtype).expand(channels, 1, *kernel.shape)
    return functional.conv2d(x, weight, stride=stride, padding=padding, groups=channels)


def doubled(x: Tensor, kernel: Tensor) -> Tensor:
    """Returns twice the pixels: each number among zeros, then the filter, so that a constant stays one inside."""
    channels = x.shape[1]
    weight = 4 * kernel.to(x.dtype).expand(channels, 1, *kernel.shape)
    return functional.conv_transpose2d(x, weight, stride=2, padding=1, groups=channels)


def halved(x: Tensor, kernel: Tensor) -> Tensor:
    """Returns half the pixels: the filter, then every other number of each axis."""
    return per_channel(x, kernel, stride=2, padding=1)


class ScaledConvolution(nn.Module):
    """A convolution with an equalized learning rate that keeps the size or, with `down`, halves it after the filter."""

    def __init__(self, inputs: int, outputs: int, kernel: int, *, bias: bool = True, down: bool = False):
        super().__init__()
        self.down, self.scale = down, 1 / math.sqrt(inputs * kernel**2)
        self.weight = nn.Parameter(torch.randn(outputs, inputs, kernel, kernel))
        self.bias = nn.Parameter(torch.zeros(outputs)) if bias else None

    def forward(self, x: Tensor, kernel: Tensor, gain: float = 1.0) -> Tensor:
        """Returns `gain` times the convolution of x (N, inputs, H, W)."""
        bias, side = None if self.bias is None else self.bias * gain, self.weight.shape[-1]
        if not self.down:
            x, weight = scaled(x, self.weight, self.scale * gain)
            return functional.conv2d(x, weight, bias, padding=side // 2)
        if side == 1:
            x, weight = scaled(halved(x, kernel), self.weight, self.scale * gain)
            return functional.conv2d(x, weight, bias)
        x, weight = scaled(per_channel(x, kernel, padding=2), self.weight, self.scale * gain)
        return functional.conv2d(x, weight, bias, stride=2)


class Activation(nn.Module):
    """A leaky ReLU 0.2, and magnitudes above `limit` are cut off unless it is None.

    The gain √2 belongs to the layer before, for a leaky ReLU of a multiple is the multiple of a leaky ReLU.
    """

    def __init__(self, limit: float | None = None):
        super().__init__()
        self.slope, self.limit = LeakyReLU(0.2), limit

    def forward(self, x: Tensor, gain: float = 1.0) -> Tensor:
        return clamped(self.slope(x), None if self.limit is None else self.limit * gain)


def clamped(x: Tensor, limit: float | None) -> Tensor:
    """Cuts magnitudes above `limit` off, unless it is None."""
    return x if limit is None else x.clamp(-limit, limit)


class ModulatedConvolution(nn.Module):
    """A convolution whose input channels a style scales; with `demodulate`, each output channel is normalized again.

    The weights w of one image are scaled by its style s and divided by √(Σ (ws)²) (Karras et al. 2020, equations 1 and
    3). Here s multiplies the input and the root divides the output, which is the same and needs no weights for each
    image. With `up` the size is doubled, by a transposed convolution and the filter.
    """

    def __init__(
        self, styles: int, inputs: int, outputs: int, kernel: int = 3, *, up: bool = False, demodulate: bool = True
    ):
        super().__init__()
        self.up, self.demodulate = up, demodulate
        self.style = ScaledLinear(styles, inputs, bias=1.0)
        self.weight = nn.Parameter(torch.randn(outputs, inputs, kernel, kernel))

    def forward(self, x: Tensor, style: Tensor, kernel: Tensor) -> tuple[Tensor, Tensor | None]:
        """Returns the convolution of x (N, inputs, H, W), and the factors (N, outputs) that normalize it."""
        scale, factor = self.style(style), None
        if self.demodulate:
            factor = self.normalization(scale)
        else:
            scale = scale / math.sqrt(self.weight[0].numel())
        x = x * scale[:, :, None, None]
        if not self.up:
            return functional.conv2d(x, self.weight, padding=self.weight.shape[-1] // 2), factor
        x = functional.conv_transpose2d(x, self.weight.transpose(0, 1), stride=2)
        return per_channel(x, 4 * kernel, padding=1), factor

    def normalization(self, scale: Tensor) -> Tensor:
        """Returns 1 / √(Σ (ws)²) of each image and output channel (N, outputs), in float32 at least."""
        with torch.autocast(scale.device.type, enabled=False):
            squares = self.weight.square().sum((2, 3))
            return (functional.linear(scale.to(squares.dtype).square(), squares) + EPSILON).rsqrt()
