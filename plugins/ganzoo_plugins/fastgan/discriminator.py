"""The discriminator of FastGAN: logits of patches of the image and of a smaller copy, and three small decoders."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from ganzoo import SampleSpec
from ganzoo.networks import LeakyReLU, doublings

from .layers import DoublingConvolution, Excitation, GatedUnit, convolution, initialize, times

MOST = 256  # pixels of the first features; larger images are halved by the first convolutions
SMALL = 128  # pixels at most of the smaller copy and of what decoders draw
SLOPE = 0.2


def features_of(width: int, size: int) -> int:
    """Returns the channels of features of `size` pixels: 8 times the width at 8 pixels, half as many at each double."""
    return times(width, min(8.0, 64 / size))


def normalized(inputs: int, outputs: int, kernel: int, stride: int = 1, padding: int = 0) -> list[nn.Module]:
    """Returns a convolution with batch norm and a leaky ReLU."""
    return [convolution(inputs, outputs, kernel, stride, padding), nn.BatchNorm2d(outputs), LeakyReLU(SLOPE)]


class Halving(nn.Module):
    """Half the size twice, by convolutions and by a pooling with a 1 × 1 convolution, of which the mean is taken."""

    def __init__(self, inputs: int, outputs: int):
        super().__init__()
        self.main = nn.Sequential(*normalized(inputs, outputs, 4, 2, 1), *normalized(outputs, outputs, 3, 1, 1))
        self.direct = nn.Sequential(nn.AvgPool2d(2), *normalized(inputs, outputs, 1))

    def forward(self, x: Tensor) -> Tensor:
        return (self.main(x) + self.direct(x)) / 2


class Decoder(nn.Sequential):
    """Features (N, inputs, h, w) to images: gated convolutions that double the size `count` times, and tanh."""

    def __init__(self, inputs: int, channels: int, width: int, count: int):
        layers: list[nn.Module] = []
        for step in range(count):
            outputs = times(width, (4, 2, 2, 1)[step])
            layers += [DoublingConvolution(inputs, 2 * outputs), nn.BatchNorm2d(2 * outputs), GatedUnit()]
            inputs = outputs
        super().__init__(*layers, convolution(inputs, channels, 3, padding=1), nn.Tanh())


def quarter_of(maps: Tensor, part: Tensor) -> Tensor:
    """Returns a quarter (N, C, H/2, W/2) of each of the maps, by numbers (N,) from 0, upper left, to 3."""
    height, width = maps.shape[2] // 2, maps.shape[3] // 2
    quarters = torch.stack([maps[:, :, y : y + height, x : x + width] for y in (0, height) for x in (0, width)], 1)
    return quarters[torch.arange(len(maps), device=maps.device), part]


class FastGANDiscriminator(nn.Module):
    """Images to logits (N, P): those of patches of the image, then those of a copy of half its size, at most 128 px.

    The image's features are halved to 8 × 8 (7 × 7 for 28 px) from 256 pixels at most, and have half as many channels
    at every double of the size. The last three are excited by those of eight times their size, in images below 64
    pixels the last by the first. With `part` (N,), the numbers of a quarter of each image, also returns three pairs of
    images and what they should be: decoded from the last features, from a quarter of the features of 16 × 16, and from
    those of the copy.

    Options:
        width: channels of features of 64 pixels; smaller ones have up to 8 times as many.
        head: times width, the channels before the logits of patches: 16 in the author's code, 4 in older runs here.
    """

    def __init__(self, image: SampleSpec, width: int = 64, head: int = 4):
        super().__init__()
        if head < 1:
            raise ValueError(f"head must be at least 1, not {head}")
        end, count = doublings(image.size, 8, 7, least=2)
        size = end << count
        self.small = min(SMALL, size // 2)
        channels = image.channels
        nominal = 8 << count
        start: list[nn.Module] = []
        for goal in range(max(size // MOST, 1).bit_length() - 1, 0, -1):
            outputs = times(width, 0.25 / 2 ** (goal - 1))
            start += [convolution(channels, outputs, 4, 2, 1), *([nn.BatchNorm2d(outputs)] if start else [])]
            start += [LeakyReLU(SLOPE)]
            channels = outputs
        if not start:
            start = [convolution(channels, features_of(width, nominal), 3, 1, 1), LeakyReLU(SLOPE)]
        self.start = nn.Sequential(*start)
        sizes = [min(nominal, MOST) >> step for step in range(min(count, 5) + 1)]
        widths = [features_of(width, one) for one in sizes]
        self.halvings = nn.ModuleList(Halving(*pair) for pair in zip(widths, widths[1:], strict=False))
        steps = len(widths) - 1
        self.sources = {step: step - 3 for step in range(max(3, steps - 2), steps + 1)} or {steps: 0}
        self.excitations = nn.ModuleDict(
            {str(step): Excitation(widths[source], widths[step]) for step, source in self.sources.items()}
        )
        hidden = times(width, head)
        self.logits = nn.Sequential(*normalized(widths[-1], hidden, 1), convolution(hidden, 1, 4))
        copies = [min(nominal // 2, SMALL) >> step for step in range(1, min(count - 1, 4) + 1)]
        narrow = [times(width, min(4.0, 32 / one)) for one in copies]
        layers: list[nn.Module] = [convolution(image.channels, narrow[0], 4, 2, 1), LeakyReLU(SLOPE)]
        for before, after in zip(narrow, narrow[1:], strict=False):
            layers += normalized(before, after, 4, 2, 1)
        self.copy = nn.Sequential(*layers)
        self.copy_logits = convolution(narrow[-1], 1, 4)
        doubled = (self.small // end).bit_length() - 1
        self.decoders = nn.ModuleList(
            Decoder(inputs, image.channels, width // 2, doubled) for inputs in (widths[-1], widths[-2], narrow[-1])
        )
        initialize(self)

    def forward(
        self, images: Tensor, label: Tensor | None = None, *, part: Tensor | None = None
    ) -> Tensor | tuple[Tensor, list[tuple[Tensor, Tensor]]]:
        maps = [self.start(images)]
        for step, halving in enumerate(self.halvings, 1):
            x = halving(maps[-1])
            if step in self.sources:
                x = self.excitations[str(step)](maps[self.sources[step]], x)
            maps.append(x)
        size = (self.small, self.small)
        small = functional.interpolate(images, size, mode="area")
        copy = self.copy(small)
        logits = torch.cat([self.logits(maps[-1]).flatten(1), self.copy_logits(copy).flatten(1)], 1)
        if part is None:
            return logits
        whole, quarter, of_copy = self.decoders
        corner = functional.interpolate(quarter_of(images, part), size, mode="area")
        return logits, [
            (whole(maps[-1]), small.detach()),
            (quarter(quarter_of(maps[-2], part)), corner.detach()),
            (of_copy(copy), small.detach()),
        ]
