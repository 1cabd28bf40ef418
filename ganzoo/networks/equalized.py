"""Layers with equalized learning rates, and the mapping of latents to styles, of the StyleGAN family.

Written from Karras et al. 2018 (1710.10196), section 4.1, and Karras et al. 2019 (1812.04948), section 2.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

from ganzoo.networks.layers import LeakyReLU

GAIN = math.sqrt(2)
EPSILON = 1e-8


def unit_length(x: Tensor) -> Tensor:
    """Divides each row by the root of its mean square."""
    return x * (x.square().mean(1, keepdim=True) + EPSILON).rsqrt()


class ScaledLinear(nn.Module):
    """A linear layer whose weights have the deviation 1 / `multiplier` and are scaled when they are used.

    The factor multiplier / √inputs makes Adam's step the same relative to every layer's weights; `multiplier` is the
    layer's share of the learning rate. `gain` multiplies the output.
    """

    def __init__(self, inputs: int, outputs: int, *, bias: float = 0.0, multiplier: float = 1.0):
        super().__init__()
        self.multiplier, self.scale = multiplier, multiplier / math.sqrt(inputs)
        self.weight = nn.Parameter(torch.randn(outputs, inputs) / multiplier)
        self.bias = nn.Parameter(torch.full((outputs,), float(bias)))

    def forward(self, x: Tensor, gain: float = 1.0) -> Tensor:
        x, weight = scaled(x, self.weight, self.scale * gain)
        return functional.linear(x, weight, self.bias * (self.multiplier * gain))


def scaled(x: Tensor, weight: Tensor, scale: float) -> tuple[Tensor, Tensor]:
    """Multiplies by `scale` whichever of a layer's input and weight has fewer numbers; in a graph, the weight."""
    if torch.compiler.is_compiling():  # the batch of a graph has any size, so nothing may depend on it
        return x, weight * scale
    return (x * scale, weight) if x.numel() < weight.numel() else (x, weight * scale)


class StyleMapping(nn.Module):
    """Latents and labels to vectors (N, outputs): normalized, concatenated, `layers` linear layers with leaky ReLU.

    The label's embedding is a linear layer of its one-hot vector. Without latents (`latent_dim` 0) the labels alone
    are mapped. The layers learn at a hundredth of the rate (Karras et al. 2019, appendix C).
    """

    def __init__(self, latent_dim: int, classes: int, outputs: int, layers: int):
        super().__init__()
        if layers < 1:
            raise ValueError(f"a mapping has at least one layer, not {layers}")
        self.embedding = ScaledLinear(classes, outputs) if classes else None
        widths = [latent_dim + (outputs if classes else 0), *[outputs] * layers]
        self.layers = nn.ModuleList(
            ScaledLinear(before, after, multiplier=0.01) for before, after in zip(widths, widths[1:], strict=False)
        )
        self.activation = LeakyReLU(0.2)

    def forward(self, latent: Tensor | None, label: Tensor | None = None) -> Tensor:
        parts = [] if latent is None else [unit_length(latent)]
        if self.embedding is not None:
            if label is None:
                raise ValueError("a conditional network needs labels")
            embedding = self.embedding
            parts.append(unit_length(embedding.weight.t()[label] * embedding.scale + embedding.bias))
        x = torch.cat(parts, 1) if len(parts) > 1 else parts[0]
        for layer in self.layers:
            x = self.activation(layer(x, GAIN))
        return x
