"""The discriminator and the loss of EBGAN.

There is no official code. The equations are the paper's (1, 2 and 4); the autoencoder and the learning rates are those
of the widespread port hwalsuklee/tensorflow-generative-model-collections for MNIST, adapted to the image size.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

from ganzoo import SampleSpec
from ganzoo.losses import Loss, Phase, Turn
from ganzoo.networks import Reshape


class EnergyAutoencoder(nn.Module):
    """Images to energies (N,): the Euclidean norm of the reconstruction error, in pixels from 0 to 1.

    A halving 4×4 convolution and a linear layer encode, a linear layer with batch norm and a transposed convolution
    decode. With `codes=True`, returns (energies, codes (N, code_size)). Gradients also flow through the target.

    Options:
        width: channels of the convolution.
        code_size: numbers in the code of an image.
    """

    def __init__(self, image: SampleSpec, width: int = 64, code_size: int = 32):
        super().__init__()
        if image.height % 2 or image.width % 2:
            raise ValueError(f"EBGAN's autoencoder halves the image: its size must be even, not {image.extent}")
        half = width, image.height // 2, image.width // 2
        features = math.prod(half)
        self.encoder = nn.Sequential(
            nn.Conv2d(image.channels, width, 4, 2, 1), nn.ReLU(), nn.Flatten(), nn.Linear(features, code_size)
        )
        start = [nn.Linear(code_size, features), nn.BatchNorm1d(features), nn.ReLU(), Reshape(*half)]
        self.decoder = nn.Sequential(*start, nn.ConvTranspose2d(width, image.channels, 4, 2, 1), nn.Sigmoid())
        self.apply(initialize)

    def forward(
        self, images: Tensor, label: Tensor | None = None, codes: bool = False
    ) -> Tensor | tuple[Tensor, Tensor]:
        code = self.encoder(images)
        lost = self.decoder(code) - (images + 1) / 2
        energies = torch.linalg.vector_norm(lost.flatten(1), dim=1)
        return (energies, code) if codes else energies


def initialize(layer: nn.Module) -> None:
    """Initializes weights from N(0, 0.02) and biases with 0."""
    if isinstance(layer, (nn.Conv2d, nn.ConvTranspose2d, nn.Linear)):
        nn.init.normal_(layer.weight, 0.0, 0.02)
        if layer.bias is not None:
            nn.init.zeros_(layer.bias)


def pulling_away(codes: Tensor) -> Tensor:
    """Returns the mean squared cosine between different codes (N, D) of a batch: equation 4; 0 for a batch of one."""
    n = codes.shape[0]
    directions = functional.normalize(codes, dim=1)
    squares = (directions @ directions.t()).square()
    return (squares.sum() - squares.diagonal().sum()) / max(n * (n - 1), 1)


class Energy(Loss):
    """Zhao et al. 2016: E(x) + max(0, m − E(G(z))) and E(G(z)) + w·PT (equations 1, 2 and section 2.4).

    The generator is scored by the updated discriminator on the same fakes.

    Options:
        margin: m; the paper has 10 for MNIST, 20 for CelebA, 80 for LSUN.
        pulling: weight w of PT; 0: EBGAN without it.
    """

    phases = (Phase("discriminator", ("discriminator",)), Phase("generator", ("generator",), fresh=False))
    real_is_low = True
    heads = ("codes",)

    def __init__(self, image: SampleSpec, margin: float = 10.0, pulling: float = 0.1):
        super().__init__()
        self.margin, self.pulling = margin, pulling

    def discriminator(self, turn: Turn) -> dict[str, Tensor]:
        real, fake = turn.logits(turn.real), turn.logits(turn.fake)
        return {"real": real.mean(), "fake": functional.relu(self.margin - fake).mean()}

    def generator(self, turn: Turn) -> dict[str, Tensor]:
        energies, codes = turn.logits(turn.fake, codes=True)
        terms = {"fake": energies.mean()}
        return terms | {"pulling_away": self.pulling * pulling_away(codes)} if self.pulling else terms
