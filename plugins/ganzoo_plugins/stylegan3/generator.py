"""The generators of StyleGAN3-T and StyleGAN3-R (Karras et al. 2021, 2106.12423), written from the paper."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor, nn

from ganzoo import SampleSpec
from ganzoo.networks import Generator, doublings
from ganzoo.networks.equalized import StyleMapping

from .layers import AliasFreeLayer, FourierInput, Signal, ToImage

DECAY = 0.998
OUTPUT_SCALE = 0.25
MARGIN = 10  # pixels around the image, so that its border is no landmark
FIRST_CUTOFF, FIRST_STOPBAND, LAST_STOPBAND = 2.0, 2**2.1, 2**0.3


def signals(size: int, layers: int, critical: int, channel_base: int, width: int) -> list[Signal]:
    """Returns the signals before the first layer and after each of `layers`: bands from 2 to size / 2 cycles.

    Cutoff and stopband grow geometrically; the last `critical` layers have the cutoff of the image itself (section 3.2
    and appendix C.1). Signals have min(channel_base / (2 · cutoff), width) channels. ValueError if that is none.
    """
    last_cutoff = size / 2
    last_stopband = last_cutoff * LAST_STOPBAND
    found = []
    for layer in range(layers + 1):
        share = min(layer / (layers - critical), 1)
        cutoff = FIRST_CUTOFF * (last_cutoff / FIRST_CUTOFF) ** share
        stopband = FIRST_STOPBAND * (last_stopband / FIRST_STOPBAND) ** share
        rate = 2 ** math.ceil(math.log2(min(2 * stopband, size)))
        channels = round(min(channel_base / 2 / cutoff, width))
        if channels < 1:
            raise ValueError(f"channel_base {channel_base} and width {width} leave no channel at {size} pixels")
        pixels = size if layer >= layers - 1 else rate + 2 * MARGIN
        found.append(Signal(pixels, rate, channels, cutoff, max(stopband, rate / 2) - cutoff))
    return found


class StyleGAN3Generator(Generator):
    """Latents (N, latent_dim) to styles (N, styles, style_dim) to images (N, C, H, W) whose details move with objects.

    Fourier features, alias-free layers, and a layer that makes the image. Signals have min(channel_base / (2 · cutoff),
    width) channels. StyleGAN3-T has a kernel of 3; StyleGAN3-R has one of 1 and radial filters. `mean_style` is the
    running mean of styles, towards which `truncate` moves. As there is no tanh, images are clamped to [-1, 1] in
    evaluation, not in training.

    Options:
        latent_dim: numbers in a latent.
        style_dim: numbers in a style; None is latent_dim.
        mapping_layers: layers from latent to style.
        channel_base: channels times twice the cutoff of a layer's band; wider bands have fewer channels.
        width: most channels of a layer.
        layers: alias-free layers.
        critical: last layers, those that use the whole band of the image.
        kernel: side of the convolutions' kernels: 3, in StyleGAN3-R 1.
        radial: whether low-pass filters are radial, as in StyleGAN3-R; those of critical layers never are.
        limit: magnitude at which features are cut off; None: not at all.
        magnitude_images: half-life in images of the running magnitudes by which inputs are divided.
    """

    channels_last = False  # the products of matrices along rows need them together
    mean_style: Tensor

    def __init__(
        self,
        image: SampleSpec,
        latent_dim: int = 512,
        style_dim: int | None = None,
        mapping_layers: int = 2,
        channel_base: int = 32768,
        width: int = 512,
        layers: int = 14,
        critical: int = 2,
        kernel: int = 3,
        radial: bool = False,
        limit: float | None = 256.0,
        magnitude_images: float = 20_000.0,
    ):
        super().__init__()
        doublings(image.size, 16, least=0)  # powers of two alone
        if not 0 <= critical < layers or kernel not in (1, 3) or magnitude_images <= 0:
            raise ValueError(
                "layers must be more than critical, kernel 1 or 3 and magnitude_images above 0, "
                f"not {layers}, {critical}, {kernel} and {magnitude_images}"
            )
        dim = latent_dim if style_dim is None else style_dim
        self.latent_dim, self.style_dim, self.styles = latent_dim, dim, layers + 2
        self.map = StyleMapping(latent_dim, image.classes, dim, mapping_layers)
        every = signals(image.size, layers, critical, channel_base, width)
        options: dict[str, Any] = {"limit": limit, "half_life": magnitude_images}
        self.input = FourierInput(dim, every[0])
        # The first layer filters once more what is already within the band of the first signal.
        pairs = zip([every[0], *every[:-2]], every[:-1], strict=True)
        self.layers = nn.ModuleList(
            AliasFreeLayer(dim, before, after, kernel=kernel, radial=radial and number < layers - critical, **options)
            for number, (before, after) in enumerate(pairs)
        )
        self.to_image = ToImage(dim, every[-2], image.channels, **options)
        self.register_buffer("mean_style", torch.zeros(dim))

    def mapping(self, latent: Tensor, label: Tensor | None = None, **inputs: Any) -> Tensor:
        """Returns the styles of latents, the same vector for every layer; in training, moves their running mean."""
        style = self.map(latent, label)
        if self.training:
            with torch.no_grad():
                self.mean_style.lerp_(style.mean(0).to(self.mean_style.dtype), 1 - DECAY)
        return style[:, None].expand(-1, self.styles, -1)

    def synthesis(self, style: Tensor, label: Tensor | None = None, **inputs: Any) -> Tensor:
        """Returns the images of styles (N, styles, style_dim); the first style moves and turns the whole image."""
        first, *each, last = style.unbind(1)
        x = self.input(first)
        for layer, one in zip(self.layers, each, strict=True):
            x = layer(x, one)
        image = self.to_image(x, last) * OUTPUT_SCALE
        return image if self.training else image.clamp(-1, 1)

    def truncate(self, style: Tensor, truncation: float) -> Tensor:
        """Moves styles towards their running mean (Karras et al. 2019, appendix B); 1 leaves them as they are."""
        return torch.lerp(self.mean_style.to(style.dtype).expand_as(style), style, truncation)
