"""The networks and the loss of BEGAN.

Followed: carpedm20/BEGAN-tensorflow `models.py` and `trainer.py`, which agree with the paper's table of layers and
generate 64 and 32 px. 128 and 256 px have a stage more each, as the paper says; 16 px, with one less, and 28 px, with
a start of 7×7 instead of 8×8, are ganzoo's adaptation.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from ganzoo import SampleSpec
from ganzoo.losses import Loss, Phase, Turn
from ganzoo.networks import Reshape, UniformGenerator, doublings


def initialize(module: nn.Module) -> None:
    """Initializes weights with Xavier's uniform distribution and biases with 0, the defaults of the TensorFlow code."""
    for layer in module.modules():
        if isinstance(layer, (nn.Conv2d, nn.Linear)):
            nn.init.xavier_uniform_(layer.weight)
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)


class Halving(nn.Module):
    """A 3×3 convolution of stride 2 with TensorFlow's SAME padding: one row and column of zeros at the end."""

    def __init__(self, channels: int):
        super().__init__()
        self.convolution = nn.Conv2d(channels, channels, 3, 2)

    def forward(self, x: Tensor) -> Tensor:
        return self.convolution(functional.pad(x, (0, 1, 0, 1)))


def convolutions(inputs: int, channels: int) -> list[nn.Module]:
    """Two 3×3 convolutions, each followed by an ELU."""
    return [nn.Conv2d(inputs, channels, 3, padding=1), nn.ELU(), nn.Conv2d(channels, channels, 3, padding=1), nn.ELU()]


def decoder(image: SampleSpec, inputs: int, width: int) -> nn.Sequential:
    """Vectors (N, inputs) to images: a linear start, two convolutions per block, pixels doubled in between, no tanh."""
    side, steps = doublings(image.size, 7, 8)
    count = steps + 1
    layers: list[nn.Module] = [nn.Linear(inputs, width * side**2), Reshape(width, side, side)]
    for block in range(count):
        layers += [nn.Upsample(scale_factor=2, mode="nearest")] if block else []
        layers += convolutions(width, width)
    return nn.Sequential(*layers, nn.Conv2d(width, image.channels, 3, padding=1))


def encoder(image: SampleSpec, outputs: int, width: int) -> nn.Sequential:
    """Images to vectors (N, outputs): `width` more channels per block; all blocks but the last end by halving."""
    side, steps = doublings(image.size, 7, 8)
    count = steps + 1
    layers: list[nn.Module] = [nn.Conv2d(image.channels, width, 3, padding=1), nn.ELU()]
    for block in range(count):
        layers += convolutions(width * max(block, 1), width * (block + 1))
        layers += [Halving(width * (block + 1)), nn.ELU()] if block + 1 < count else []
    return nn.Sequential(*layers, nn.Flatten(), nn.Linear(width * count * side**2, outputs))


class BEGANGenerator(UniformGenerator):
    """Latents (N, latent_dim), uniform in [-1, 1], to images; clamped to [-1, 1] in evaluation, not in training.

    Options:
        latent_dim: numbers in a latent; as many as the discriminator's code in the paper.
        width: channels of every convolution in its first stage.
    """

    def __init__(self, image: SampleSpec, latent_dim: int = 64, width: int = 128):
        super().__init__()
        self.latent_dim = latent_dim
        self.main = decoder(image, latent_dim, width)
        initialize(self)

    def forward(self, latent: Tensor, label: Tensor | None = None) -> Tensor:
        images = self.main(latent)
        return images if self.training else images.clamp(-1, 1)


class Autoencoder(nn.Module):
    """Images to the mean absolute error (N,) of their reconstruction; gradients also flow through the target.

    Options:
        width: channels of every convolution in its first stage.
        code_size: numbers in the code between encoder and decoder.
    """

    def __init__(self, image: SampleSpec, width: int = 128, code_size: int = 64):
        super().__init__()
        self.encoder = encoder(image, code_size, width)
        self.decoder = decoder(image, code_size, width)
        initialize(self)

    def reconstruct(self, images: Tensor) -> Tensor:
        """Encodes and decodes the images through a code of `code_size` numbers."""
        return self.decoder(self.encoder(images))

    def forward(self, images: Tensor, label: Tensor | None = None) -> Tensor:
        return (self.reconstruct(images) - images).abs().flatten(1).mean(1)


class Equilibrium(Loss):
    """Berthelot et al. 2017, section 3.4: L(x) − k L(G(z)) and L(G(z)), L the error of the autoencoder.

    k moves by λ times γ L(x) − L(G(z)), within [0, 1], from 0. Both networks step from the same parameters and
    the same fakes, as in the followed code: the generator steps first, against the discriminator before its update. The
    paper measures convergence by L(x) + |γ L(x) − L(G(z))|; the log contains both errors.

    Options:
        gamma: ratio of the two errors at equilibrium; lower makes images less diverse.
        rate: factor λ by which k moves in a step.
    """

    phases = (Phase("generator", ("generator",)), Phase("discriminator", ("discriminator",), fresh=False))
    short_run = {
        "gamma": 1.0,
        "rate": 0.3,
    }  # at 0.001 k is still near 0 when all errors have become small, and stays there

    real_is_low = True
    k: Tensor

    def __init__(self, image: SampleSpec, gamma: float = 0.5, rate: float = 0.001):
        super().__init__()
        self.gamma, self.rate = gamma, rate
        self.register_buffer("k", torch.zeros(()))

    def generator(self, turn: Turn) -> dict[str, Tensor]:
        return {"fake": turn.logits(turn.fake).mean()}

    def discriminator(self, turn: Turn) -> dict[str, Tensor]:
        real, fake = turn.logits(turn.real).mean(), turn.logits(turn.fake).mean()
        balance = self.k.clone()  # the backward pass needs the k of this step
        self.k.add_(self.rate * (self.gamma * real - fake).detach()).clamp_(0, 1)
        return {"real": real, "fake": -balance * fake}
