"""The networks and the loss of DRAGAN.

Followed: kodalinaveen3/DRAGAN, `DRAGAN.ipynb` (MNIST, perceptrons with one hidden layer). `ConvolutionalDiscriminator`
is ganzoo's: DCGAN's without batch norm, which would make the penalty of one image depend on the others.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

from ganzoo import SampleSpec
from ganzoo.losses import Loss, Turn, squared_gradient_norm
from ganzoo.networks import LeakyReLU, Reshape, UniformGenerator, rectangle_doublings

TINY = 1e-12


def initialize(module: nn.Module) -> None:
    """Initializes weights from N(0, √(2 / inputs)), which the notebook calls Xavier's, and biases with 0."""
    for layer in module.modules():
        if isinstance(layer, nn.Linear):
            nn.init.normal_(layer.weight, 0.0, math.sqrt(2 / layer.in_features))
            nn.init.zeros_(layer.bias)


class DRAGANGenerator(UniformGenerator):
    """Latents (N, latent_dim), uniform in [-1, 1), to images: one hidden layer, a sigmoid rescaled to [-1, 1].

    Options:
        latent_dim: numbers in a latent.
        width: hidden units.
    """

    def __init__(self, image: SampleSpec, latent_dim: int = 100, width: int = 128):
        super().__init__()
        self.latent_dim = latent_dim
        shape = image.channels, image.height, image.width
        pixels = math.prod(shape)
        self.main = nn.Sequential(
            nn.Linear(latent_dim, width), nn.ReLU(), nn.Linear(width, pixels), nn.Sigmoid(), Reshape(*shape)
        )
        initialize(self)

    def forward(self, latent: Tensor, label: Tensor | None = None) -> Tensor:
        return self.main(latent) * 2 - 1


class DRAGANDiscriminator(nn.Module):
    """Images to logits (N,): one hidden layer of ReLUs; pixels are rescaled to [0, 1].

    Options:
        width: hidden units.
    """

    def __init__(self, image: SampleSpec, width: int = 128):
        super().__init__()
        self.main = nn.Sequential(
            nn.Flatten(),
            nn.Linear(image.channels * image.height * image.width, width),
            LeakyReLU(0.0),
            nn.Linear(width, 1),
        )
        initialize(self)

    def forward(self, images: Tensor, label: Tensor | None = None) -> Tensor:
        return self.main((images + 1) / 2).flatten()


class ConvolutionalDiscriminator(nn.Module):
    """Images to logits (N,): strided 4×4 convolutions with biases, leaky ReLU 0.2, no normalization.

    Weights are N(0, 0.02) as DCGAN's.

    Options:
        width: channels of the first layer; later ones have multiples of it.
    """

    def __init__(self, image: SampleSpec, width: int = 64):
        super().__init__()
        end, stages = rectangle_doublings(image.height, image.width)
        widths = [image.channels] + [width * 2**i for i in range(stages)]
        layers: list[nn.Module] = []
        for narrow, wide in zip(widths, widths[1:], strict=False):
            layers += [nn.Conv2d(narrow, wide, 4, 2, 1), LeakyReLU(0.2)]
        self.main = nn.Sequential(*layers, nn.Conv2d(widths[-1], 1, end))
        for layer in self.main:
            if isinstance(layer, nn.Conv2d):
                nn.init.normal_(layer.weight, 0.0, 0.02)
                if layer.bias is not None:
                    nn.init.zeros_(layer.bias)

    def forward(self, images: Tensor, label: Tensor | None = None) -> Tensor:
        return self.main(images).flatten()


def perturbed(images: Tensor, noise: Tensor, size: float) -> Tensor:
    """Returns images + size·σ·noise, σ the standard deviation of all pixels of the minibatch: `get_perturbed_batch`.

    `noise` is uniform in [0, 1) and of the shape of `images`, so pixels only grow.
    """
    return images + size * images.std(correction=0) * noise


class DRAGAN(Loss):
    """Kodali et al. 2017: the non-saturating loss and λ·mean((‖∇D(x̂)‖₂ − 1)²) around the real images.

    x̂ lies between a real image and its `perturbed` copy. The generator then steps on fresh latents.

    Options:
        penalty: factor λ of the penalty.
        perturbation: size of the noise, in standard deviations of the batch.
        unit_range: whether the gradient is with respect to pixels in [0, 1], as in the notebook.
    """

    boundary = 0.0
    needs_per_sample_gradients = True

    def __init__(self, image: SampleSpec, penalty: float = 10.0, perturbation: float = 0.5, unit_range: bool = False):
        super().__init__()
        self.penalty, self.perturbation, self.gradient_scale = penalty, perturbation, 2.0 if unit_range else 1.0

    def discriminator(self, turn: Turn) -> dict[str, Tensor]:
        real, fake = turn.logits(turn.real), turn.logits(turn.fake)
        around = perturbed(turn.real, turn.uniform(*turn.real.shape[1:]), self.perturbation)
        mix = turn.uniform(*[1] * (turn.real.ndim - 1))  # one number for a sample
        between = torch.lerp(turn.real, around, mix)
        squared = squared_gradient_norm(lambda images: self.gradient_scale * turn.logits(images), between)
        # ReLUs can all be off at a point, and the root has no slope at 0
        penalty = (squared.clamp_min(TINY).sqrt() - 1).square().mean()
        return {
            "real": functional.softplus(-real).mean(),
            "fake": functional.softplus(fake).mean(),
            "penalty": self.penalty * penalty,
        }

    def generator(self, turn: Turn) -> dict[str, Tensor]:
        return {"fake": functional.softplus(-turn.logits(turn.fake)).mean()}
