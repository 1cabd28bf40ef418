"""The networks of ProGAN (Karras et al. 2018, 1710.10196), which grow from 4×4 pixels to the size of the images.

Written from the paper; channels, gains and the order of layers are facts of tkarras/progressive_growing_of_gans
(`networks.py`), of which no line is copied. Images have the full size at every growth: enlarged by repeating pixels on
their way out of the generator, averaged on their way into the discriminator, as there. At 1024 px the networks have
23,079,115 and 23,087,249 parameters. 28 px is ganzoo's adaptation: a 7×7 start.
"""

from __future__ import annotations

import math
from typing import Self

import torch
from torch import Tensor, nn
from torch.nn import functional

from ganzoo import SampleSpec
from ganzoo.networks import Generator, LeakyReLU, doublings

GAIN = math.sqrt(2)
EPSILON = 1e-8


def level(growth: float, count: int) -> float:
    """Returns how many of `count` doublings are in use at a growth from 0 to 1; a fraction is how far the last is in.

    The way from 0 to 1 has 2·count stages of equal length, by turns one of steady size and one that fades in.
    """
    steady, within = divmod(growth * 2 * count, 2)
    return min(steady + max(within - 1.0, 0.0), float(count))


def channels_at(size: float, channel_base: int, width: int) -> int:
    """Returns the channels of feature maps of `size` pixels: channel_base / size, at most `width`.

    ValueError if that is none.
    """
    channels = min(int(channel_base / size), width)
    if channels < 1:
        raise ValueError(f"channel_base {channel_base} and width {width} leave no channel at {size:g} pixels")
    return channels


def enlarged(x: Tensor, factor: int) -> Tensor:
    """Repeats each pixel `factor` times on both axes."""
    return x if factor == 1 else functional.interpolate(x, scale_factor=factor, mode="nearest")


def averaged(x: Tensor, factor: int) -> Tensor:
    """Averages squares of `factor` pixels."""
    return x if factor == 1 else functional.avg_pool2d(x, factor)


def normalized(x: Tensor) -> Tensor:
    """Divides the vector of each pixel, or of each row, by the root of its mean square (paper, section 4.2)."""
    return x * (x.square().mean(1, keepdim=True) + EPSILON).rsqrt()


def spread(weight: Tensor) -> Tensor:
    """Returns the 4×4 kernel that is the sum of a 3×3 one at four places, one pixel apart on each axis.

    A transposed convolution of stride 2 with it is a repetition of pixels and a convolution; a convolution of stride 2
    with a quarter of it is a convolution and an average of four pixels.
    """
    wide = functional.pad(weight, (1, 1, 1, 1))
    return wide[..., 1:, 1:] + wide[..., :-1, 1:] + wide[..., 1:, :-1] + wide[..., :-1, :-1]


class EqualizedLinear(nn.Module):
    """A linear layer whose weights start from N(0, 1) and are scaled by gain/√inputs when they are used.

    So Adam's step is the same relative to the weights of every layer (paper, section 4.1).
    """

    def __init__(self, inputs: int, outputs: int, gain: float = GAIN, *, bias: bool = True):
        super().__init__()
        self.scale = gain / math.sqrt(inputs)
        self.weight = nn.Parameter(torch.randn(outputs, inputs))
        self.bias = nn.Parameter(torch.zeros(outputs)) if bias else None

    def forward(self, x: Tensor) -> Tensor:
        return functional.linear(x * self.scale, self.weight, self.bias)


class EqualizedConvolution(nn.Module):
    """A convolution whose weights are scaled when they are used; it keeps, doubles ("up") or halves ("down") the size.

    Weights are (outputs, inputs, kernel, kernel), of "up" (inputs, outputs, 3, 3).
    """

    def __init__(self, inputs: int, outputs: int, kernel: int = 3, *, gain: float = GAIN, direction: str = ""):
        super().__init__()
        self.direction, self.scale = direction, gain / math.sqrt(inputs * kernel**2)
        shape = (inputs, outputs) if direction == "up" else (outputs, inputs)
        self.weight = nn.Parameter(torch.randn(*shape, kernel, kernel))
        self.bias = nn.Parameter(torch.zeros(outputs))

    def forward(self, x: Tensor) -> Tensor:
        weight = self.weight * self.scale
        if self.direction == "up":
            return functional.conv_transpose2d(x, spread(weight), self.bias, stride=2, padding=1)
        if self.direction == "down":
            return functional.conv2d(x, spread(weight / 4), self.bias, stride=2, padding=1)
        return functional.conv2d(x, weight, self.bias, padding=weight.shape[-1] // 2)


class Growing(nn.Module):
    """What both networks share: the buffer `growth`, which a schedule moves from 0 to 1, and what follows from it.

    `optimizer_stage` is the number of the stage, at each of which the engine lets the optimizer start anew.
    """

    growth: Tensor

    def __init__(self, count: int):
        super().__init__()
        self.count, self.exported = count, (count, 0.0)
        self.register_buffer("growth", torch.ones(()))

    @property
    def optimizer_stage(self) -> int:
        return int(float(self.growth) * 2 * self.count)

    def place(self) -> tuple[int, float]:
        """Returns the doublings in full use, and how far the next one has faded in: 0 to below 1."""
        if torch.compiler.is_compiling():  # a graph has no branches that depend on a tensor
            return self.exported
        reached = level(float(self.growth), self.count)
        return int(reached), reached - int(reached)

    def train(self, mode: bool = True) -> Self:
        """Sets the mode; a graph that is made in evaluation keeps the place that the network then has."""
        if not mode and not self.growth.is_meta:
            self.exported = self.place()
        return super().train(mode)


class Start(nn.Module):
    """Latents (N, inputs) to the first feature maps (N, outputs, side, side): a linear layer and a convolution."""

    def __init__(self, inputs: int, outputs: int, side: int):
        super().__init__()
        self.channels, self.side = outputs, side
        self.linear = EqualizedLinear(inputs, outputs * side * side, GAIN / 4, bias=False)
        self.bias = nn.Parameter(torch.zeros(outputs))
        self.convolution, self.activation = EqualizedConvolution(outputs, outputs), LeakyReLU(0.2)

    def forward(self, latent: Tensor) -> Tensor:
        x = self.linear(normalized(latent)).view(-1, self.channels, self.side, self.side)
        x = normalized(self.activation(x + self.bias.to(x.dtype)[:, None, None]))
        return normalized(self.activation(self.convolution(x)))


class DoublingBlock(nn.Module):
    """Twice the size by two convolutions, each followed by a leaky ReLU and normalized pixels."""

    def __init__(self, inputs: int, outputs: int):
        super().__init__()
        self.first = EqualizedConvolution(inputs, outputs, direction="up")
        self.second, self.activation = EqualizedConvolution(outputs, outputs), LeakyReLU(0.2)

    def forward(self, x: Tensor) -> Tensor:
        x = normalized(self.activation(self.first(x)))
        return normalized(self.activation(self.second(x)))


class ProGANGenerator(Growing, Generator):
    """Latents (N, latent_dim) to images of the full size at every growth; pixel norm, no tanh.

    Feature maps of n pixels have min(channel_base / n, width) channels. With classes, the one-hot label is concatenated
    to the latent. While a size fades in, its image is mixed with the doubled one of the size before. As there is no
    tanh, images are clamped to [-1, 1] in evaluation, not in training.

    Options:
        latent_dim: numbers in a latent.
        channel_base: channels times pixels of a side; larger maps have fewer channels.
        width: most channels of a layer.
    """

    def __init__(self, image: SampleSpec, latent_dim: int = 512, channel_base: int = 16384, width: int = 512):
        side, count = doublings(image.size, 4, 7)
        super().__init__(count)
        self.latent_dim, self.classes = latent_dim, image.classes
        widths = [channels_at(side << step, channel_base, width) for step in range(count + 1)]
        self.start = Start(latent_dim + image.classes, widths[0], side)
        self.blocks = nn.ModuleList(
            DoublingBlock(before, after) for before, after in zip(widths, widths[1:], strict=False)
        )
        self.to_images = nn.ModuleList(EqualizedConvolution(one, image.channels, 1, gain=1.0) for one in widths)

    def forward(self, latent: Tensor, label: Tensor | None = None) -> Tensor:
        if self.classes:
            if label is None:
                raise ValueError("a conditional network needs labels")
            latent = torch.cat([latent, functional.one_hot(label, self.classes).to(latent.dtype)], 1)
        steps, share = self.place()
        x = self.start(latent)
        for block in self.blocks[:steps]:
            x = block(x)
        image = self.to_images[steps](x)
        if share:
            finer = self.to_images[steps + 1](self.blocks[steps](x))
            image, steps = torch.lerp(enlarged(image, 2), finer, share), steps + 1
        image = enlarged(image, 1 << (self.count - steps))
        return image if self.training else image.clamp(-1, 1)


class HalvingBlock(nn.Module):
    """Half the size by two convolutions, each followed by a leaky ReLU."""

    def __init__(self, inputs: int, outputs: int):
        super().__init__()
        self.first = EqualizedConvolution(inputs, inputs)
        self.second, self.activation = EqualizedConvolution(inputs, outputs, direction="down"), LeakyReLU(0.2)

    def forward(self, x: Tensor) -> Tensor:
        return self.activation(self.second(self.activation(self.first(x))))


def with_deviation(x: Tensor, group: int) -> Tensor:
    """Adds one map of the mean deviation within groups of images, minibatch deviation (paper, section 3).

    The images n, n + N/group, n + 2·N/group ... are a group; if N has no such groups, they are as large as the largest
    divisor of N below.
    """
    count, _, height, width = x.shape
    size = next(size for size in range(min(group, count), 0, -1) if count % size == 0)
    deviation = (x.unflatten(0, (size, -1)).var(0, unbiased=False) + EPSILON).sqrt().mean((1, 2, 3))
    return torch.cat([x, deviation.repeat(size)[:, None, None, None].expand(-1, 1, height, width)], 1)


class ProGANDiscriminator(Growing):
    """Images of the full size to scores (N,), and with `classes=True` to (scores, class logits (N, classes)).

    It averages pixels down to the size that it has grown to. While a size fades in, its features are mixed with those
    that the size before reads from the image.

    Options:
        channel_base: channels times pixels of a side; larger maps have fewer channels.
        width: most channels of a layer.
        group: images that share a map of their deviation; 1 or 0: none.
    """

    def __init__(self, image: SampleSpec, channel_base: int = 16384, width: int = 512, group: int = 4):
        side, count = doublings(image.size, 4, 7)
        super().__init__(count)
        if group < 0:
            raise ValueError(f"group must be 0 or more, not {group}")
        self.group = group
        widths = [channels_at(side << step, channel_base, width) for step in range(count + 1)]
        last, hidden = widths[0], channels_at(side / 2, channel_base, width)
        self.from_images = nn.ModuleList(EqualizedConvolution(image.channels, one, 1) for one in widths)
        self.blocks = nn.ModuleList(
            HalvingBlock(before, after) for after, before in zip(widths, widths[1:], strict=False)
        )
        self.convolution = EqualizedConvolution(last + (group > 1), last)
        self.hidden = EqualizedLinear(last * side * side, hidden)
        self.output = EqualizedLinear(hidden, 1 + image.classes, 1.0)
        self.activation = LeakyReLU(0.2)

    def forward(
        self, images: Tensor, label: Tensor | None = None, classes: bool = False
    ) -> Tensor | tuple[Tensor, Tensor]:
        steps, share = self.place()
        x = self.read(images, steps)
        if share:
            block = self.blocks[steps]
            x = torch.lerp(x, block(self.read(images, steps + 1)), share)
        for block in reversed(self.blocks[:steps]):
            x = block(x)
        x = with_deviation(x, self.group) if self.group > 1 else x
        x = self.activation(self.convolution(x)).flatten(1)
        answer = self.output(self.activation(self.hidden(x)))
        return (answer[:, 0], answer[:, 1:]) if classes else answer[:, 0]

    def read(self, images: Tensor, steps: int) -> Tensor:
        """Returns the features that the size after so many doublings reads from images of the full size."""
        return self.activation(self.from_images[steps](averaged(images, 1 << (self.count - steps))))

    def faded(self, images: Tensor) -> Tensor:
        """Returns real images at the resolution that the networks have grown to, as large as before.

        While a size fades in, they are mixed with themselves at half the size, as the generator's are.
        """
        steps, share = self.place()
        steps += share > 0
        if steps == self.count and not share:
            return images
        factor = 1 << (self.count - steps)
        small = averaged(images, factor)
        if share:
            small = torch.lerp(enlarged(averaged(small, 2), 2), small, share)
        return enlarged(small, factor)
