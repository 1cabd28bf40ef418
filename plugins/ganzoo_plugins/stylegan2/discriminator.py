"""The discriminator of StyleGAN2 (Karras et al. 2020, 1912.04958), with labels as in StyleGAN2-ADA (2006.06676)."""

from __future__ import annotations

import math
from typing import Literal

import torch
from torch import Tensor, nn

from ganzoo import SampleSpec
from ganzoo.networks import doublings
from ganzoo.networks.equalized import ScaledLinear, StyleMapping

from .layers import (
    EPSILON,
    GAIN,
    Activation,
    ScaledConvolution,
    automatic_base,
    channels_at,
    halved,
    resampling_filter,
)

LABEL_LAYERS = 8
Architecture = Literal["residual", "skip", "plain"]


class Block(nn.Module):
    """Two convolutions, of which the second halves the size; `image` channels are read in if it is given."""

    def __init__(
        self, inputs: int, outputs: int, architecture: Architecture, image: int | None, limit: float | None
    ) -> None:
        super().__init__()
        self.from_image = None if image is None else ScaledConvolution(image, inputs, 1)
        self.first = ScaledConvolution(inputs, inputs, 3)
        self.second = ScaledConvolution(inputs, outputs, 3, down=True)
        self.skip = ScaledConvolution(inputs, outputs, 1, bias=False, down=True) if architecture == "residual" else None
        self.activation = Activation(limit)

    def forward(self, x: Tensor | None, image: Tensor, kernel: Tensor) -> Tensor:
        if self.from_image is not None:
            read = self.activation(self.from_image(image, kernel, GAIN))
            x = read if x is None else x + read
        assert x is not None  # the first block reads the image
        y = self.activation(self.first(x, kernel, GAIN))
        if self.skip is None:
            return self.activation(self.second(y, kernel, GAIN))
        share = math.sqrt(0.5)
        return self.activation(self.second(y, kernel, GAIN * share), share) + self.skip(x, kernel, share)


def with_deviation(x: Tensor, group: int, channels: int) -> Tensor:
    """Adds `channels` maps of the mean deviation within groups of images: minibatch deviation of the features x.

    The images n, n + N/group, n + 2·N/group ... are a group; if N has no such groups, they are as large as the largest
    divisor of N below (Karras et al. 2018, section 3).
    """
    count, features, height, width = x.shape
    size = next(size for size in range(min(group, count), 0, -1) if count % size == 0)
    y = x.reshape(size, count // size, channels, features // channels, height, width)
    deviation = (y.var(0, unbiased=False) + EPSILON).sqrt().mean((2, 3, 4))
    return torch.cat([x, deviation[:, :, None, None].repeat(size, 1, height, width)], 1)


class StyleGAN2Discriminator(nn.Module):
    """Images to logits (N,): the generator's sizes in reverse, minibatch deviation, then two linear layers.

    With classes, the logit is the inner product of the features and the mapped label, over √features. Blocks hold their
    layers in the order in which `--freeze` counts them. The architectures are those of Karras et al. 2020, figure 7.

    Options:
        channel_base: channels times pixels of a map's side; None: 16384, from 512 px on 32768.
        width: most channels of a layer.
        architecture: "residual", "skip" (reads the image at every size) or "plain".
        group: images that share the maps of their deviation; 0: no maps.
        deviation_channels: maps of deviation.
        limit: magnitude at which features are cut off; None: not at all.
    """

    filter: Tensor

    def __init__(
        self,
        image: SampleSpec,
        channel_base: int | None = None,
        width: int = 512,
        architecture: Architecture = "residual",
        group: int = 4,
        deviation_channels: int = 1,
        limit: float | None = None,
    ):
        super().__init__()
        end, count = doublings(image.size, 4, 7)
        base = automatic_base(image, channel_base)
        widths = [channels_at(image.size >> step, base, width) for step in range(count + 1)]
        last = widths[-1]
        if group < 1 or deviation_channels < 0 or (deviation_channels and last % deviation_channels):
            raise ValueError(
                f"group must be at least 1 and deviation_channels divide {last}, not {group} and {deviation_channels}"
            )
        reads = [architecture == "skip" or not step for step in range(count + 1)]
        self.group, self.deviation_channels, self.architecture = group, deviation_channels, architecture
        self.blocks = nn.ModuleList(
            Block(before, after, architecture, image.channels if read else None, limit)
            for before, after, read in zip(widths, widths[1:], reads, strict=False)
        )
        self.from_image = ScaledConvolution(image.channels, last, 1) if reads[-1] else None
        self.convolution = ScaledConvolution(last + deviation_channels, last, 3)
        self.hidden = ScaledLinear(last * end * end, last)
        self.output = ScaledLinear(last, last if image.classes else 1)
        self.map = StyleMapping(0, image.classes, last, LABEL_LAYERS) if image.classes else None
        self.activation, self.slope = Activation(limit), Activation()
        self.register_buffer("filter", resampling_filter())

    def forward(self, images: Tensor, label: Tensor | None = None) -> Tensor:
        x: Tensor | None = None
        for number, block in enumerate(self.blocks):
            if number and self.architecture == "skip":
                images = halved(images, self.filter)
            x = block(x, images, self.filter)
        assert x is not None
        if self.from_image is not None:
            x = x + self.activation(self.from_image(halved(images, self.filter), self.filter, GAIN))
        if self.deviation_channels:
            x = with_deviation(x, self.group, self.deviation_channels)
        x = self.activation(self.convolution(x, self.filter, GAIN))
        features = self.output(self.slope(self.hidden(x.flatten(1), GAIN)))
        if self.map is None:
            return features.flatten()
        return (features * self.map(None, label)).sum(1) / math.sqrt(features.shape[1])
