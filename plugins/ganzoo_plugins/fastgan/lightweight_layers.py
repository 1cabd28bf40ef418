"""Layers of lightweight-gan: attention, blur, resampling by pixel shuffle; tensors have the names of the official code.

Followed: lucidrains/lightweight-gan 1.2.1 (MIT).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from ganzoo.networks import LeakyReLU

HEAD = 64  # features of each head of attention
SLOPE = 0.1
Noise = Callable[..., Tensor]  # of a shape without the batch: noise(1, 8, 8) -> (N, 1, 8, 8)


class ChannelNorm(nn.Module):
    """Normalizes the channels of each pixel, then scales and shifts them by learned numbers."""

    def __init__(self, channels: int):
        super().__init__()
        self.g = nn.Parameter(torch.ones(1, channels, 1, 1))
        self.b = nn.Parameter(torch.zeros(1, channels, 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        variance, mean = torch.var_mean(x, 1, correction=0, keepdim=True)
        return (x - mean) / (variance + 1e-5).sqrt() * self.g + self.b


class DepthwiseConvolution(nn.Module):
    """A 3 × 3 convolution of each channel alone, then 1 × 1."""

    def __init__(self, inputs: int, outputs: int):
        super().__init__()
        alone = nn.Conv2d(inputs, inputs, 3, padding=1, groups=inputs, bias=False)
        self.net = nn.Sequential(alone, nn.Conv2d(inputs, outputs, 1, bias=False))

    def forward(self, x: Tensor) -> Tensor:
        return self.net(x)


class Attention(nn.Module):
    """Adds two attentions over pixels: a linear one over all, and one over the 3 × 3 neighbours of each.

    `inner` features of queries, keys and values are those of heads of 64 each, or fewer those of one head.
    """

    def __init__(self, channels: int, inner: int):
        super().__init__()
        if inner < 1 or (inner > HEAD and inner % HEAD):
            raise ValueError(f"hidden must be a multiple of {HEAD}, or less than it, not {inner}")
        self.head = min(inner, HEAD)
        self.heads = inner // self.head
        self.to_lin_q = nn.Conv2d(channels, inner, 1, bias=False)
        self.to_lin_kv = DepthwiseConvolution(channels, 2 * inner)
        self.to_q = nn.Conv2d(channels, inner, 1, bias=False)
        self.to_kv = nn.Conv2d(channels, 2 * inner, 1, bias=False)
        self.to_out = nn.Conv2d(2 * inner, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        height, width = x.shape[2:]
        scale = self.head**-0.5

        def by_head(maps: Tensor) -> Tensor:
            return maps.reshape(len(maps), self.heads, self.head, height * width)

        query = by_head(self.to_lin_q(x)).softmax(2) * scale
        key, value = (by_head(maps) for maps in self.to_lin_kv(x).chunk(2, 1))
        context = key.softmax(3) @ value.transpose(2, 3)  # (N, heads, key, value)
        everywhere = (context.transpose(2, 3) @ query).reshape(x.shape[0], -1, height, width)

        query = self.to_q(x).view(x.shape[0], self.heads, self.head, height, width) * scale
        key, value = (
            functional.pad(maps, (1, 1, 1, 1)).view(x.shape[0], self.heads, self.head, height + 2, width + 2)
            for maps in self.to_kv(x).chunk(2, 1)
        )
        # neighbour by neighbour, for all nine at once take nine times the memory
        places = [(slice(row, row + height), slice(column, column + width)) for row in range(3) for column in range(3)]
        weights = torch.stack([(query * key[:, :, :, rows, columns]).sum(2) for rows, columns in places]).softmax(0)
        nearby = torch.zeros_like(query)
        for weight, (rows, columns) in zip(weights.unbind(), places, strict=True):
            nearby = nearby + weight[:, :, None] * value[:, :, :, rows, columns]
        nearby = nearby.reshape(x.shape[0], -1, height, width)
        return self.to_out(torch.cat([functional.gelu(everywhere), nearby], 1))


class NormalizedAttention(nn.Module):
    """Attention of normalized channels, to be added to its input."""

    def __init__(self, channels: int, inner: int):
        super().__init__()
        self.fn, self.norm = Attention(channels, inner), ChannelNorm(channels)

    def forward(self, x: Tensor) -> Tensor:
        return self.fn(self.norm(x))


class Residual(nn.Module):
    """Adds attention to its input."""

    def __init__(self, channels: int, inner: int):
        super().__init__()
        self.fn = NormalizedAttention(channels, inner)

    def forward(self, x: Tensor) -> Tensor:
        return self.fn(x) + x


class Blur(nn.Module):
    """Filters with [1, 2, 1] / 4 on both axes; borders are reflected."""

    f: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("f", torch.tensor([1.0, 2.0, 1.0]))

    def forward(self, x: Tensor) -> Tensor:
        taps = torch.outer(self.f, self.f)
        kernel = (taps / taps.abs().sum()).to(x.dtype).expand(x.shape[1], 1, 3, 3)
        return functional.conv2d(functional.pad(x, (1, 1, 1, 1), mode="reflect"), kernel, groups=x.shape[1])


def blurred(antialias: bool) -> nn.Module:
    """Returns the filter, or with `antialias` False a layer that does nothing."""
    return Blur() if antialias else nn.Identity()


class ShuffleUp(nn.Module):
    """Doubles the size: a 1 × 1 convolution to four times the channels, SiLU, pixel shuffle."""

    def __init__(self, channels: int):
        super().__init__()
        convolution = nn.Conv2d(channels, 4 * channels, 1)
        nn.init.zeros_(cast(Tensor, convolution.bias))
        self.net = nn.Sequential(convolution, nn.SiLU(), nn.PixelShuffle(2))

    def forward(self, x: Tensor) -> Tensor:
        return self.net(x)


class Branches(nn.Module):
    """Half the size by two ways, whose sum it is: pixels to channels and a convolution, and a pooling."""

    def __init__(self, inputs: int, outputs: int, antialias: bool):
        super().__init__()
        shuffled = nn.Sequential(nn.PixelUnshuffle(2), nn.Conv2d(4 * inputs, outputs, 1))
        main = [blurred(antialias), shuffled, LeakyReLU(SLOPE)]
        main += [nn.Conv2d(outputs, outputs, 3, padding=1), LeakyReLU(SLOPE)]
        pooled = [blurred(antialias), nn.AvgPool2d(2), nn.Conv2d(inputs, outputs, 1), LeakyReLU(SLOPE)]
        self.branches = nn.ModuleList([nn.Sequential(*main), nn.Sequential(*pooled)])

    def forward(self, x: Tensor) -> Tensor:
        main, pooled = self.branches
        return main(x) + pooled(x)


class GlobalContext(nn.Module):
    """Excitation by a mean of all pixels with learned weights (Cao et al. 2020), to numbers in (0, 1)."""

    def __init__(self, inputs: int, outputs: int):
        super().__init__()
        self.to_k = nn.Conv2d(inputs, 1, 1)
        inner = max(3, outputs // 2)
        layers = [nn.Conv2d(inputs, inner, 1), LeakyReLU(SLOPE), nn.Conv2d(inner, outputs, 1), nn.Sigmoid()]
        self.net = nn.Sequential(*layers)

    def forward(self, x: Tensor) -> Tensor:
        weights = self.to_k(x).flatten(2).softmax(2)
        return self.net((x.flatten(2) @ weights.transpose(1, 2))[..., None])


class StoredNoise(nn.Module):
    """Adds noise of a learned strength: as given, else new in training and the stored one in evaluation."""

    noise: Tensor

    def __init__(self, size: int):
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(1))
        self.register_buffer("noise", torch.randn(size, size))

    def forward(self, x: Tensor, noise: Noise | None = None) -> Tensor:
        size = self.noise.shape
        if noise is not None:
            drawn = noise(1, *size)
        elif self.training:
            drawn = torch.randn(x.shape[0], 1, *size, device=x.device)
        else:
            drawn = self.noise
        return x + self.weight.to(x.dtype) * drawn.to(x.dtype)


def initialize(network: nn.Module) -> None:
    """Draws weights of convolutions from N(0, √2/√fan_in), but not of transposed ones."""
    for layer in network.modules():
        if type(layer) is nn.Conv2d:
            nn.init.normal_(layer.weight, 0.0, math.sqrt(2 / layer.weight[0].numel()))
