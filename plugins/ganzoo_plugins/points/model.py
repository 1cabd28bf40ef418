"""Perceptrons for samples that are a few numbers, such as points in the plane."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Literal

from torch import Tensor, nn

from ganzoo import SampleSpec
from ganzoo.networks import Generator, LeakyReLU
from ganzoo.networks.normalization import SpectralLinear

Activation = Literal["tanh", "relu", "lrelu"]
ACTIVATIONS: dict[str, Callable[[], nn.Module]] = {"tanh": nn.Tanh, "relu": nn.ReLU, "lrelu": lambda: LeakyReLU(0.2)}


def perceptron(
    inputs: int, outputs: int, width: int, depth: int, activation: str, linear: type[nn.Linear] = nn.Linear
) -> nn.Sequential:
    """Returns `depth` hidden layers of `width` units and a linear one: He's normal weights, biases of 0."""
    if activation not in ACTIVATIONS:
        raise ValueError(f"activation must be {', '.join(ACTIVATIONS)}, not {activation!r}")
    if depth < 1 or width < 1:
        raise ValueError(f"depth and width must be at least 1, not {depth} and {width}")
    layers: list[nn.Module] = []
    for size in [inputs, *[width] * (depth - 1)]:
        layers += [linear(size, width), ACTIVATIONS[activation]()]
    network = nn.Sequential(*layers, linear(width, outputs))
    for layer in network:
        if isinstance(layer, nn.Linear):
            nn.init.kaiming_normal_(layer.weight)
            nn.init.zeros_(layer.bias)
    return network


class PointsGenerator(Generator):
    """Latents (N, latent_dim) to samples (N, *shape): a perceptron whose last layer is linear and bounds nothing.

    Options:
        latent_dim: numbers in a latent.
        width: units of each hidden layer.
        depth: hidden layers.
        activation: function after each hidden layer.
    """

    def __init__(
        self, image: SampleSpec, latent_dim: int = 2, width: int = 64, depth: int = 2, activation: Activation = "tanh"
    ):
        super().__init__()
        self.latent_dim, self.shape = latent_dim, shape_of(image)
        self.main = perceptron(latent_dim, math.prod(self.shape), width, depth, activation)

    def forward(self, latent: Tensor, label: Tensor | None = None) -> Tensor:
        return self.main(latent).unflatten(1, self.shape)


class PointsDiscriminator(nn.Module):
    """Samples (N, *shape) to logits (N,): a perceptron.

    Each sample of a pack has the logit of its pack (Lin et al. 2018): only the first layer is wider. With spectral
    weights (Miyato et al. 2018) logits rise by at most `scale` in a unit of distance.

    Options:
        width: units of each hidden layer.
        depth: hidden layers.
        activation: function after each hidden layer.
        pac: neighbours in the batch that are scored as one pack; 1: each alone.
        scale: factor of the logits.
        spectral: whether each weight is divided by its largest singular value.
    """

    def __init__(
        self,
        image: SampleSpec,
        width: int = 64,
        depth: int = 2,
        activation: Activation = "tanh",
        pac: int = 1,
        scale: float = 1.0,
        spectral: bool = False,
    ):
        super().__init__()
        if pac < 1:
            raise ValueError(f"pac must be at least 1, not {pac}")
        self.pac, self.scale = pac, scale
        linear = SpectralLinear if spectral else nn.Linear
        self.main = perceptron(pac * math.prod(shape_of(image)), 1, width, depth, activation, linear)

    def forward(self, images: Tensor, label: Tensor | None = None) -> Tensor:
        if len(images) % self.pac:
            raise ValueError(f"{len(images)} samples cannot be scored in packs of {self.pac}")
        logits = self.scale * self.main(images.reshape(len(images) // self.pac, -1)).flatten()
        return logits if self.pac == 1 else logits.repeat_interleave(self.pac)


def shape_of(image: SampleSpec) -> tuple[int, ...]:
    """Returns the shape of samples; ValueError if they are no points."""
    if image.output.kind != "points":
        raise ValueError(f"samples are of kind {image.output.kind}, and this part needs points (--data ring)")
    return image.output.shape
