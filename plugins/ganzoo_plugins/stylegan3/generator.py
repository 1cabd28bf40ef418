"""The generators of StyleGAN3-T and StyleGAN3-R (Karras et al. 2021, 2106.12423), written from the paper.

Those of StyleGAN-XL (Sauer et al. 2022, 2202.00273) are these with other mappings and with heads, which enlarge what a
network of small images ends in: section 3.2 there; the rule of a head's bands follows autonomousvision/stylegan-xl.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from ganzoo import SampleSpec
from ganzoo.networks import Generator, doublings
from ganzoo.networks.equalized import StyleMapping

from .class_mapping import ClassMapping
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
    return growing(FIRST_CUTOFF, FIRST_STOPBAND, size, layers, critical, channel_base, width)


def growing(
    first_cutoff: float,
    first_stopband: float,
    size: int,
    layers: int,
    critical: int,
    channel_base: int,
    width: int,
) -> list[Signal]:
    """Returns `layers` + 1 signals whose bands grow geometrically from the first to that of images of `size` pixels."""
    last_cutoff = size / 2
    last_stopband = last_cutoff * LAST_STOPBAND
    found = []
    for layer in range(layers + 1):
        share = min(layer / (layers - critical), 1)
        cutoff = first_cutoff * (last_cutoff / first_cutoff) ** share
        stopband = first_stopband * (last_stopband / first_stopband) ** share
        rate = 2 ** math.ceil(math.log2(min(2 * stopband, size)))
        channels = round(min(channel_base / 2 / cutoff, width))
        if channels < 1:
            raise ValueError(f"channel_base {channel_base} and width {width} leave no channel at {size} pixels")
        pixels = size if layer >= layers - 1 else rate + 2 * MARGIN
        found.append(Signal(pixels, rate, channels, cutoff, max(stopband, rate / 2) - cutoff))
    return found


@dataclass(frozen=True)
class Step:
    """A layer by the signals before and after it; `critical` ones use the whole band of the image."""

    before: Signal
    after: Signal
    critical: bool


def steps(
    size: int, layers: int, critical: int, channel_base: int, width: int, factors: Sequence[int], heads: Sequence[int]
) -> list[Step]:
    """Returns the layers before the one that makes images of `size` pixels.

    Without heads they are those between `signals`. A head takes the critical layers of what it enlarges by its factor
    away, and adds layers from the band of the last signal left.
    """
    pixels = size // math.prod(factors)
    found = between(signals(pixels, layers, critical, channel_base, width), critical)
    for factor, count in zip(factors, heads, strict=True):
        found = [step for step in found if not step.critical]
        last, pixels = found[-1].after, pixels * factor
        _, *more = growing(last.cutoff, last.half_width + last.cutoff, pixels, count, critical, channel_base, width)
        found += between([last, *more], critical)
    return found


def between(every: list[Signal], critical: int) -> list[Step]:
    """Returns the layers between signals, without the last, which makes the image of the last signal but one.

    The first layer filters once more what is already within the band of the first signal.
    """
    count = len(every) - 1
    pairs = zip([every[0], *every[:-2]], every[:-1], strict=True)
    return [Step(*pair, number >= count - critical) for number, pair in enumerate(pairs)]


class StyleGAN3Generator(Generator):
    """Latents (N, latent_dim) to styles (N, styles, style_dim) to images (N, C, H, W) whose details move with objects.

    Fourier features, alias-free layers, and a layer that makes the image. Signals have min(channel_base / (2 · cutoff),
    width) channels. StyleGAN3-T has a kernel of 3; StyleGAN3-R has one of 1 and radial filters. `mean_style` is the
    running mean of styles, towards which `truncate` moves. As there is no tanh, images are clamped to [-1, 1] in
    evaluation, not in training.

    StyleGAN-XL's generators have more. With `class_features` a label has that many numbers, which a layer makes as
    long as a latent, and every class its own mean style. `head_factors` and `head_layers` enlarge the image: the stem
    with its `layers` is that of images smaller by all factors, and each head replaces the critical layers before it.

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
        class_features: numbers in the embedding of a class of StyleGAN-XL; 0: the embedding is a linear layer.
        head_factors: factors by which heads enlarge what the network before them makes: 2, 4, 8 or 16 each.
        head_layers: alias-free layers of each head, the critical ones among them.
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
        class_features: int = 0,
        head_factors: tuple[int, ...] = (),
        head_layers: tuple[int, ...] = (),
    ):
        super().__init__()
        check_heads(image.size, layers, critical, head_factors, head_layers)
        if not 0 <= critical < layers or kernel not in (1, 3) or magnitude_images <= 0:
            raise ValueError(
                "layers must be more than critical, kernel 1 or 3 and magnitude_images above 0, "
                f"not {layers}, {critical}, {kernel} and {magnitude_images}"
            )
        dim = latent_dim if style_dim is None else style_dim
        self.by_class = bool(class_features and image.classes)
        self.map: nn.Module = (
            ClassMapping(latent_dim, image.classes, class_features, dim, mapping_layers)
            if self.by_class
            else StyleMapping(latent_dim, image.classes, dim, mapping_layers)
        )
        every = steps(image.size, layers, critical, channel_base, width, head_factors, head_layers)
        self.latent_dim, self.style_dim, self.styles = latent_dim, dim, len(every) + 2
        options: dict[str, Any] = {"limit": limit, "half_life": magnitude_images}
        self.input = FourierInput(dim, every[0].before)
        self.layers = nn.ModuleList(
            AliasFreeLayer(dim, step.before, step.after, kernel=kernel, radial=radial and not step.critical, **options)
            for step in every
        )
        self.to_image = ToImage(dim, every[-1].after, image.channels, **options)
        self.register_buffer("mean_style", torch.zeros(image.classes, dim) if self.by_class else torch.zeros(dim))

    def mapping(self, latent: Tensor, label: Tensor | None = None, **inputs: Any) -> Tensor:
        """Returns the styles of latents, the same vector for every layer; in training, moves their running mean."""
        style = self.map(latent, label)
        if self.training:
            with torch.no_grad():
                self._average(style.to(self.mean_style.dtype), label)
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
        """Moves styles towards their running mean (Karras et al. 2019, appendix B); 1 leaves them as they are.

        Where every class has a mean, it is that of all classes.
        """
        mean = self.mean_style.mean(0) if self.by_class else self.mean_style
        return torch.lerp(mean.to(style.dtype).expand_as(style), style, truncation)

    def truncate_classes(self, style: Tensor, truncation: float, label: Tensor | None) -> Tensor:
        """Moves styles towards the mean of their classes, where every class has one."""
        if not self.by_class or label is None:
            return self.truncate(style, truncation)
        mean = self.mean_style[label].to(style.dtype)[:, None]
        return torch.lerp(mean.expand_as(style), style, truncation)

    def _average(self, style: Tensor, label: Tensor | None) -> None:
        """Moves the running means of styles (N, style_dim), those of classes once for all images of a class."""
        if not self.by_class or label is None:
            self.mean_style.lerp_(style.mean(0), 1 - DECAY)
            return
        found = torch.zeros_like(self.mean_style).index_add_(0, label, style)
        count = torch.bincount(label, minlength=len(found)).to(style.dtype)[:, None]
        share = (1 - DECAY**count) / count.clamp(min=1)  # of each image, as if they came one after the other
        self.mean_style.mul_(DECAY**count).add_(found * share)


def check_heads(size: int, layers: int, critical: int, factors: Sequence[int], heads: Sequence[int]) -> None:
    """ValueError unless a stem of so many layers with these heads makes images of `size` pixels."""
    if len(factors) != len(heads) or any(factor not in (2, 4, 8, 16) for factor in factors):
        raise ValueError(
            f"head_factors and head_layers have one number for each head, a factor of 2, 4, 8 or 16, not "
            f"{list(factors)} and {list(heads)}"
        )
    if any(count <= critical for count in heads):
        raise ValueError(f"head_layers must be more than critical ({critical}), not {list(heads)}")
    doublings(size // math.prod(factors), 16, least=0)  # powers of two alone
