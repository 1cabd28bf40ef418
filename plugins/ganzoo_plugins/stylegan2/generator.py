"""The generator of StyleGAN2 (Karras et al. 2020, 1912.04958), with labels as in StyleGAN2-ADA (2006.06676)."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, Literal

import torch
from torch import Tensor, nn

from ganzoo import SampleSpec
from ganzoo.networks import Generator, doublings
from ganzoo.networks.equalized import StyleMapping

from .layers import (
    GAIN,
    Activation,
    ModulatedConvolution,
    ScaledConvolution,
    automatic_base,
    channels_at,
    clamped,
    doubled,
    resampling_filter,
)

Noise = Callable[..., Tensor]  # of a shape without the batch: noise(1, 8, 8) -> (N, 1, 8, 8)
DECAY = 0.995


class StyledLayer(nn.Module):
    """A modulated convolution, noise of a learned strength, a bias and a leaky ReLU with the gain √2."""

    noise: Tensor

    def __init__(self, styles: int, inputs: int, outputs: int, size: int, *, up: bool, limit: float | None):
        super().__init__()
        self.convolution = ModulatedConvolution(styles, inputs, outputs, up=up)
        self.noise_strength = nn.Parameter(torch.zeros(()))
        self.bias = nn.Parameter(torch.zeros(outputs))
        self.activation = Activation(limit)
        self.register_buffer("noise", torch.randn(size, size))

    def forward(self, x: Tensor, style: Tensor, kernel: Tensor, noise: Noise | None, gain: float = 1.0) -> Tensor:
        """Returns `gain` times the features; `noise` None is new in training, stored in evaluation."""
        x, factor = self.convolution(x, style, kernel)
        size = self.noise.shape
        if noise is not None:
            drawn = noise(1, *size).to(x.dtype)
        elif self.training:
            drawn = torch.randn(x.shape[0], 1, *size, device=x.device, dtype=x.dtype)
        else:
            drawn = self.noise.to(x.dtype)
        scale = GAIN * gain  # before the leaky ReLU, which keeps factors above 0
        assert factor is not None  # these layers are normalized
        x = torch.addcmul(
            (self.bias * scale).to(x.dtype)[:, None, None], x, (factor * scale).to(x.dtype)[:, :, None, None]
        )
        return self.activation(x + drawn * (self.noise_strength * scale).to(x.dtype), gain)


class ToImage(nn.Module):
    """Features to the image's channels by a modulated convolution of one pixel, which is not normalized."""

    def __init__(self, styles: int, inputs: int, channels: int, limit: float | None):
        super().__init__()
        self.convolution = ModulatedConvolution(styles, inputs, channels, 1, demodulate=False)
        self.bias = nn.Parameter(torch.zeros(channels))
        self.limit = limit

    def forward(self, x: Tensor, style: Tensor, kernel: Tensor) -> Tensor:
        image, _ = self.convolution(x, style, kernel)
        return clamped(image + self.bias.to(image.dtype)[:, None, None], self.limit)


class StyleGAN2Generator(Generator):
    """Latents (N, latent_dim) to styles (N, styles, style_dim) to images (N, C, H, W), without tanh.

    From a learned 4×4 start (7×7 for 28 pixels), every doubling has two layers, each with a style and noise of its own.
    Feature maps of n pixels have min(channel_base / n, width) channels. The architectures (Karras et al. 2020, figure
    7): "skip" adds up an image of every size, "residual" adds the doubled features before two layers to those after and
    makes one image, "plain" makes one image without that. `mean_style` is the running mean of styles, towards which
    `truncate` moves. As there is no tanh, images are clamped to [-1, 1] in evaluation, not in training.

    Options:
        latent_dim: numbers in a latent.
        style_dim: numbers in a style; None is latent_dim.
        mapping_layers: layers from latent to style.
        channel_base: channels times pixels of a map's side; None: 16384, from 512 px on 32768.
        width: most channels of a layer.
        architecture: "skip" (images of all sizes are added up), "residual" or "plain".
        limit: magnitude at which features are cut off; None: not at all (official in float16: 256).
    """

    mean_style: Tensor
    filter: Tensor

    def __init__(
        self,
        image: SampleSpec,
        latent_dim: int = 512,
        style_dim: int | None = None,
        mapping_layers: int = 8,
        channel_base: int | None = None,
        width: int = 512,
        architecture: Literal["skip", "residual", "plain"] = "skip",
        limit: float | None = None,
    ):
        super().__init__()
        start, count = doublings(image.size, 4, 7)
        styles = latent_dim if style_dim is None else style_dim
        base = automatic_base(image, channel_base)
        self.latent_dim, self.style_dim, self.architecture = latent_dim, styles, architecture
        self.styles = 2 * count + 2
        widths = [channels_at(start << step, base, width) for step in range(count + 1)]
        self.map = StyleMapping(latent_dim, image.classes, styles, mapping_layers)
        self.start = nn.Parameter(torch.randn(widths[0], start, start))
        layers = [StyledLayer(styles, widths[0], widths[0], start, up=False, limit=limit)]
        for step, (before, after) in enumerate(zip(widths, widths[1:], strict=False), 1):
            layers += [
                StyledLayer(styles, one, after, start << step, up=up, limit=limit)
                for one, up in ((before, True), (after, False))
            ]
        self.layers = nn.ModuleList(layers)
        images = widths if architecture == "skip" else widths[-1:]
        self.to_images = nn.ModuleList(ToImage(styles, one, image.channels, limit) for one in images)
        pairs = zip(widths, widths[1:], strict=False) if architecture == "residual" else ()
        self.skips = nn.ModuleList(ScaledConvolution(before, after, 1, bias=False) for before, after in pairs)
        self.register_buffer("mean_style", torch.zeros(styles))
        self.register_buffer("filter", resampling_filter())

    def mapping(self, latent: Tensor, label: Tensor | None = None, **inputs: Any) -> Tensor:
        """Returns the styles of latents, the same vector for every layer; in training, moves their running mean."""
        style = self.map(latent, label)
        if self.training:
            with torch.no_grad():
                self.mean_style.lerp_(style.mean(0).to(self.mean_style.dtype), 1 - DECAY)
        return style[:, None].expand(-1, self.styles, -1)

    def synthesis(
        self, style: Tensor, label: Tensor | None = None, *, noise: Noise | None = None, **inputs: Any
    ) -> Tensor:
        """Returns the images of styles (N, styles, style_dim).

        `noise(1, H, W)` returns the noise (N, 1, H, W) of a layer; unless given, it is new in training and the stored
        one in evaluation.
        """
        each = style.unbind(1)
        x = self.start.to(style.dtype).expand(style.shape[0], -1, -1, -1)
        x = self.layers[0](x, each[0], self.filter, noise)
        skip = self.architecture == "skip"
        image = self.to_images[0](x, each[1], self.filter) if skip else x  # made of the last features below
        for number in range(1, len(self.layers), 2):
            x = self._doubled(x, number, each, noise)
            if skip:
                more = self.to_images[number // 2 + 1](x, each[number + 2], self.filter)
                image = doubled(image, self.filter) + more
        image = image if skip else self.to_images[0](x, each[-1], self.filter)
        return image if self.training else image.clamp(-1, 1)

    def _doubled(self, x: Tensor, number: int, each: tuple[Tensor, ...], noise: Noise | None) -> Tensor:
        """Returns the features after the layers `number` and `number` + 1, of which the first doubles the size."""
        y = self.layers[number](x, each[number], self.filter, noise)
        second, style = self.layers[number + 1], each[number + 1]
        if self.architecture != "residual":
            return second(y, style, self.filter, noise)
        share = math.sqrt(0.5)
        around = doubled(self.skips[number // 2](x, self.filter, share), self.filter)
        return second(y, style, self.filter, noise, share) + around

    def forward(
        self,
        latent: Tensor,
        label: Tensor | None = None,
        *,
        mixing: tuple[Tensor, Tensor] | None = None,
        noise: Noise | None = None,
    ) -> Tensor:
        """Returns the images of latents; `mixing` (second latents, cuts (N,)) gives layers from the cut on theirs."""
        style = self.mapping(latent, label)
        if mixing is not None:
            style = self.mixed(style, *mixing, label)
        return self.synthesis(style, label, noise=noise)

    def mixed(self, style: Tensor, second: Tensor, cut: Tensor, label: Tensor | None = None) -> Tensor:
        """Returns styles whose layers from `cut` (N,) on are those of the latents `second` (Karras et al. 2019)."""
        other = self.map(second, label)[:, None]
        layer = torch.arange(self.styles, device=style.device)
        return torch.where((layer < cut[:, None])[..., None], style, other)

    def truncate(self, style: Tensor, truncation: float) -> Tensor:
        """Moves styles towards their running mean (Karras et al. 2019, appendix B); 1 leaves them as they are."""
        return torch.lerp(self.mean_style.to(style.dtype).expand_as(style), style, truncation)
