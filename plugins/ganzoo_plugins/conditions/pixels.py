"""Conditions that remove something from an image, which a generator learns to put back."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional

from ganzoo import Field, SampleSpec
from ganzoo.data import Condition

LUMA = (0.299, 0.587, 0.114)  # of ITU-R BT.601, as Pillow's mode L
SMALLEST = 4  # pixels of a small copy


def luma(images: Tensor) -> Tensor:
    """Returns the brightness (n, 1, H, W) of images with 3 or more channels, of which the first are RGB."""
    red, green, blue = images[:, 0:1], images[:, 1:2], images[:, 2:3]
    return LUMA[0] * red + LUMA[1] * green + LUMA[2] * blue


def on_white(images: Tensor) -> Tensor:
    """Returns images without alpha: those with one are laid on white."""
    if images.shape[1] != 4:
        return images
    alpha = (images[:, 3:] + 1) / 2
    return images[:, :3] * alpha + (1 - alpha)


class Downscale(Condition):
    """A smaller copy of the output, for super-resolution.

    It is antialiased bicubic with a = -1/2, as Pillow's BICUBIC and MATLAB's imresize make it (MATLAB's differs at the
    border, where it repeats the image in a mirror), clamped to [-1, 1].

    Options:
        factor: how many times smaller the source is: 2, 3, 4 or 8.
    """

    def __init__(self, stored: SampleSpec, factor: Literal[2, 3, 4, 8] = 4) -> None:
        super().__init__(stored)
        channels, height, width = stored.output.shape
        if factor not in (2, 3, 4, 8):
            raise ValueError(f"factor must be 2, 3, 4 or 8, got {factor}")
        if height % factor or width % factor or min(height, width) < SMALLEST * factor:
            raise ValueError(
                f"{height} x {width} pixels cannot be made {factor} times smaller: whole pixels, at least {SMALLEST}"
                " each way, must remain"
            )
        self.size = (height // factor, width // factor)
        self.fields = {"source": Field((channels, *self.size))}

    def compute(self, stored: Mapping[str, Tensor], drawn: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
        small = functional.interpolate(stored["output"], self.size, mode="bicubic", antialias=True)
        return {"source": small.clamp_(-1, 1)}


class Grey(Condition):
    """The brightness of the output, for colouring: one channel, as Pillow's mode L without its rounding."""

    def __init__(self, stored: SampleSpec) -> None:
        super().__init__(stored)
        if stored.channels < 3:
            raise ValueError("the images are grey already; give images in colour, or --channels 3")
        self.fields = {"source": Field((1, stored.height, stored.width))}

    def compute(self, stored: Mapping[str, Tensor], drawn: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
        return {"source": luma(on_white(stored["output"]))}


class Edges(Condition):
    """Line art of the output: dark lines on white, one channel, where its colours change.

    The lines are the length of Sobel's gradient of the slightly blurred image, the largest of its channels.

    Options:
        blur: standard deviation of the blur before, in pixels.
        low: length below which there is no line; 1 is a step from black to white.
        high: length from which lines are full ink.
    """

    def __init__(self, stored: SampleSpec, blur: float = 0.7, low: float = 0.06, high: float = 0.3) -> None:
        super().__init__(stored)
        if not (0 <= blur <= 16 and 0 <= low < high):
            raise ValueError(f"blur must be 0 to 16 and low below high, got blur={blur}, low={low}, high={high}")
        self.low, self.high = low, high
        reach = math.ceil(3 * blur)
        weights = [math.exp(-0.5 * (place / blur) ** 2) if blur else 1.0 for place in range(-reach, reach + 1)]
        self.weights = [weight / sum(weights) for weight in weights]
        self.fields = {"source": Field((1, stored.height, stored.width))}

    def compute(self, stored: Mapping[str, Tensor], drawn: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
        images = weighted(weighted(on_white(stored["output"]), self.weights, 2), self.weights, 3)
        across = weighted(weighted(images, (0.25, 0.5, 0.25), 2), (-0.5, 0.0, 0.5), 3)
        down = weighted(weighted(images, (0.25, 0.5, 0.25), 3), (-0.5, 0.0, 0.5), 2)
        slope = (across**2 + down**2).sqrt().amax(1, keepdim=True)  # a step from black to white has 1
        return {"source": 1 - 2 * ((slope - self.low) / (self.high - self.low)).clamp(0, 1)}


def weighted(images: Tensor, weights: tuple[float, ...] | list[float], axis: int) -> Tensor:
    """Returns the weighted sum of each pixel's neighbours along an axis, with the border's pixels repeated.

    Sums of slices give the same bits for any batch and on any number of threads, which a convolution need not.
    """
    reach, size = len(weights) // 2, images.shape[axis]
    padding = (reach, reach, 0, 0) if axis == 3 else (0, 0, reach, reach)
    padded = functional.pad(images, padding, mode="replicate")
    parts = (weight * padded.narrow(axis, place, size) for place, weight in enumerate(weights) if weight)
    return sum(parts, torch.zeros_like(images))


class Mask(Condition):
    """The output with a part hidden, for inpainting, and the mask as a last channel: 1 is seen, -1 is hidden.

    A rectangle is anywhere, a half any of the four. Hidden pixels are grey, which is 0.

    Options:
        shape: "rectangle", "half", or the half at the "left", "right", "top" or "bottom".
        least: smallest side of a rectangle, as a share of the image's.
        most: largest side of a rectangle, as a share of the image's.
        channel: whether the mask is a further channel of the source.
    """

    def __init__(
        self,
        stored: SampleSpec,
        shape: Literal["rectangle", "half", "left", "right", "top", "bottom"] = "rectangle",
        least: float = 0.25,
        most: float = 0.5,
        channel: bool = True,
    ) -> None:
        super().__init__(stored)
        known = ("rectangle", "half", "left", "right", "top", "bottom")
        if shape not in known:
            raise ValueError(f"shape must be one of {', '.join(known)}, got {shape}")
        if not 0 < least <= most <= 1:
            raise ValueError(f"least and most must be shares with 0 < least <= most <= 1, got {least} and {most}")
        channels = stored.channels + channel
        if channels > 4:
            raise ValueError("images with transparency have no room for the mask: set channel=false, or --channels 3")
        self.shape, self.least, self.most, self.channel = shape, least, most, channel
        self.fields = {"source": Field((channels, stored.height, stored.width))}

    def draw(self, n: int, random: torch.Generator) -> Mapping[str, Tensor]:
        places = torch.rand(n, 4, generator=random, dtype=torch.float32)
        return {"places": places}

    def compute(self, stored: Mapping[str, Tensor], drawn: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
        images = stored["output"]
        hidden = self._hidden(drawn["places"], images.shape[2], images.shape[3])
        holed = images.masked_fill(hidden, 0.0)
        return {"source": torch.cat([holed, 1 - 2 * hidden.to(images.dtype)], 1) if self.channel else holed}

    def _hidden(self, places: Tensor, height: int, width: int) -> Tensor:
        """Which pixels are hidden, bool (n, 1, H, W)."""
        top, bottom = self._range(places[:, 0], places[:, 1], height)
        left, right = self._range(places[:, 2], places[:, 3], width)
        if self.shape != "rectangle":
            side = (
                torch.full_like(top, ("left", "right", "top", "bottom").index(self.shape))
                if self.shape != "half"
                else ((places[:, 0] * 4).long().clamp_(max=3))
            )
            top, bottom = torch.where(side == 3, height // 2, 0), torch.where(side == 2, height // 2, height)
            left, right = torch.where(side == 1, width // 2, 0), torch.where(side == 0, width // 2, width)
        rows = torch.arange(height, device=places.device).view(1, 1, -1, 1)
        columns = torch.arange(width, device=places.device).view(1, 1, 1, -1)
        top, bottom, left, right = (edge.view(-1, 1, 1, 1) for edge in (top, bottom, left, right))
        return (rows >= top) & (rows < bottom) & (columns >= left) & (columns < right)

    def _range(self, share: Tensor, place: Tensor, size: int) -> tuple[Tensor, Tensor]:
        """The first hidden pixel and the first seen one after it, int64 (n,): at least one, at most all."""
        length = ((self.least + share * (self.most - self.least)) * size).round().long().clamp_(1, size)
        start = (place * (size - length + 1)).long().minimum(size - length)
        return start, start + length
