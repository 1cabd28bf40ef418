"""Layers of StyleGAN3: Fourier features that a style moves, and modulated convolutions without aliasing."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from ganzoo.networks import LeakyReLU
from ganzoo.networks.equalized import ScaledLinear

from .filters import low_pass, lowered, raised

GAIN = math.sqrt(2)
EPSILON = 1e-8
TAPS = 6  # of a filter, for each factor of the sampling rate
OVERSAMPLING = 2  # of the leaky ReLU


@dataclass(frozen=True)
class Signal:
    """What a layer's feature maps can represent: `size` pixels at `rate` pixels per image width, and its band.

    Frequencies above `cutoff` fall off over `half_width` on either side of it; both are cycles per image width.
    """

    size: int
    rate: int
    channels: int
    cutoff: float
    half_width: float


class FourierInput(nn.Module):
    """Styles (N, styles) to feature maps of sines (N, channels, size, size) that the style turns and moves.

    The sines have fixed random frequencies up to the cutoff and phases, and a learned matrix mixes them. `transform` is
    a matrix (3, 3) in image widths that moves what all images show the other way: the identity unless it is set.
    """

    frequencies: Tensor
    phases: Tensor
    transform: Tensor

    def __init__(self, styles: int, signal: Signal):
        super().__init__()
        self.signal = signal
        direction = torch.randn(signal.channels, 2)
        radius = direction.norm(dim=1, keepdim=True)
        # Divided by its own length, and that exp(-r²/4) of a normal r² is spread evenly over the disc of the band.
        frequencies = direction / (radius * (radius.square() / 4).exp()) * signal.cutoff
        self.weight = nn.Parameter(torch.randn(signal.channels, signal.channels))
        self.style = ScaledLinear(styles, 4)
        with torch.no_grad():
            self.style.weight.zero_()
            self.style.bias[0] = 1
        self.register_buffer("frequencies", frequencies)
        self.register_buffer("phases", torch.rand(signal.channels) - 0.5)
        self.register_buffer("transform", torch.eye(3))

    def forward(self, style: Tensor) -> Tensor:
        with torch.autocast(style.device.type, enabled=False):  # 8 bits do not hold a phase
            moved, shift = self._transforms(style.to(self.weight.dtype))
            frequencies = self.frequencies @ moved
            phases = self.phases + (self.frequencies @ shift[..., None])[..., 0]
            half, cutoff, size = self.signal.rate / 2, self.signal.cutoff, self.signal.size
            # Frequencies that a transform brings above the band fade out before they alias.
            amplitudes = (1 - (frequencies.norm(dim=2) - cutoff) / (half - cutoff)).clamp(0, 1)
            place = torch.arange(size, dtype=style.dtype, device=style.device)
            place = (place.to(self.weight.dtype) + 0.5 - size / 2) / self.signal.rate
            across, down = frequencies[..., 0, None] * place, frequencies[..., 1, None] * place
            angle = across[:, :, None, :] + down[:, :, :, None] + phases[:, :, None, None]
            waves = torch.sin(2 * math.pi * angle)
            mixture = self.weight / math.sqrt(self.signal.channels) * amplitudes[:, None]  # (N, channels, channels)
            return (mixture @ waves.flatten(2)).unflatten(2, (size, size))

    def _transforms(self, style: Tensor) -> tuple[Tensor, Tensor]:
        """Returns matrices (N, 2, 2) and shifts (N, 2): the style's rotation after its translation, then `transform`.

        The style gives the cosine and sine of the angle up to a common factor, and two shifts of that factor.
        """
        told = self.style(style)
        cosine, sine, right, low = (told / told[:, :2].norm(dim=1, keepdim=True)).unbind(1)
        turn = torch.stack([torch.stack([cosine, -sine], 1), torch.stack([sine, cosine], 1)], 1)
        shift = -(turn @ torch.stack([right, low], 1)[..., None])[..., 0]
        own, by = self.transform[:2, :2], self.transform[:2, 2]
        return turn @ own, turn @ by + shift


class AliasFreeLayer(nn.Module):
    """A modulated convolution, a bias and a leaky ReLU that is computed at a higher rate, so that it does not alias.

    The input is divided by the root of `magnitude`, the running mean of its squares with a half-life of
    `half_life` images. `radial` filters are the same in every direction; `limit` cuts features off.
    """

    magnitude: Tensor
    up: Tensor
    down: Tensor

    def __init__(
        self,
        styles: int,
        before: Signal,
        after: Signal,
        *,
        kernel: int,
        radial: bool,
        limit: float | None,
        half_life: float,
    ):
        super().__init__()
        self.size, self.limit, self.half_life, side = after.size, limit, half_life, kernel
        self.style = ScaledLinear(styles, before.channels, bias=1.0)
        self.weight = nn.Parameter(torch.randn(after.channels, before.channels, side, side))
        self.bias = nn.Parameter(torch.zeros(after.channels))
        self.activation = LeakyReLU(0.2)
        rate = OVERSAMPLING * max(before.rate, after.rate)
        self.up_factor, self.down_factor = rate // before.rate, rate // after.rate
        up_taps, down_taps = TAPS * self.up_factor, TAPS * self.down_factor
        self.between = (after.size - 1) * self.down_factor + down_taps  # pixels that give `size` of them
        total = self.between + up_taps - 1 - (before.size + side - 1) * self.up_factor
        self.zeros = (total + self.up_factor) // 2  # so that both signals have the same middle (appendix C.3)
        self.register_buffer("magnitude", torch.ones(()))
        self.register_buffer("up", low_pass(up_taps, before.cutoff, before.half_width, rate))
        self.register_buffer("down", low_pass(down_taps, after.cutoff, after.half_width, rate, radial=radial))

    def forward(self, x: Tensor, style: Tensor) -> Tensor:
        gain, scale = input_gain(self, x), self.style(style)
        factor = normalization(self.weight, scale) * GAIN  # before the leaky ReLU, which keeps factors above 0
        x = functional.conv2d(
            x * (scale * gain).to(x.dtype)[:, :, None, None], self.weight, padding=self.weight.shape[-1] - 1
        )
        x = torch.addcmul((self.bias * GAIN).to(x.dtype)[:, None, None], x, factor.to(x.dtype)[:, :, None, None])
        x = self.activation(raised(x, self.up, self.up_factor, self.zeros, self.between))
        return lowered(clamped(x, self.limit), self.down, self.down_factor)


class ToImage(nn.Module):
    """Feature maps to the image's channels by a modulated convolution of one pixel, not normalized and not filtered."""

    magnitude: Tensor

    def __init__(self, styles: int, before: Signal, channels: int, *, limit: float | None, half_life: float):
        super().__init__()
        self.limit, self.half_life = limit, half_life
        self.style = ScaledLinear(styles, before.channels, bias=1.0)
        self.weight = nn.Parameter(torch.randn(channels, before.channels, 1, 1))
        self.bias = nn.Parameter(torch.zeros(channels))
        self.register_buffer("magnitude", torch.ones(()))

    def forward(self, x: Tensor, style: Tensor) -> Tensor:
        gain, scale = input_gain(self, x), self.style(style) / math.sqrt(self.weight.shape[1])
        x = functional.conv2d(x * (scale * gain).to(x.dtype)[:, :, None, None], self.weight, self.bias)
        return clamped(x, self.limit)


def input_gain(layer: AliasFreeLayer | ToImage, x: Tensor) -> Tensor:
    """Returns what divides a layer's input by its running magnitude, which x moves in training."""
    if layer.training:
        with torch.no_grad():
            square = x.to(layer.magnitude.dtype).square().mean()
            layer.magnitude.lerp_(square, 1 - 0.5 ** (len(x) / layer.half_life))
    return layer.magnitude.rsqrt()


def normalization(weight: Tensor, scale: Tensor) -> Tensor:
    """Returns 1 / √(Σ (ws)²) of each image and output channel (N, outputs), in float32 at least.

    The epsilon is relative to the mean squares of the weights and of the image's styles, as if both had been normalized
    before. That the official code takes the styles' mean over the batch changes the epsilon alone.
    """
    with torch.autocast(scale.device.type, enabled=False):
        square = weight.square()
        scale = scale.to(square.dtype).square()
        least = EPSILON * scale.mean(1, keepdim=True) * square.mean((1, 2, 3))
        return (functional.linear(scale, square.sum((2, 3))) + least).rsqrt()


def clamped(x: Tensor, limit: float | None) -> Tensor:
    """Cuts magnitudes above `limit` off, unless it is None."""
    return x if limit is None else x.clamp(-limit, limit)
