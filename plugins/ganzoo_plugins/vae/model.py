"""The decoder, the encoder and the bound of the variational autoencoder.

Followed: pytorch/examples `vae/main.py`, whose layers at 28 px and one channel have 652,824 parameters in torch's
default initialization. Their names stay: fc1, fc21 (mean) and fc22 (log-variance) encode, fc3 and fc4 decode. Other
sizes and colour are ganzoo's adaptation: the same layers on more pixels.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from ganzoo import SampleSpec
from ganzoo.errors import UsageError
from ganzoo.losses import Loss, Phase, Turn
from ganzoo.networks import Generator


class Decoder(Generator):
    """Latents (N, latent_dim) to images: one hidden layer, ReLU, a sigmoid rescaled from [0, 1] to [-1, 1].

    `logits=True` returns the input of the sigmoid, of the shape of the images.

    Options:
        latent_dim: numbers in a latent.
        width: hidden units.
    """

    def __init__(self, image: SampleSpec, latent_dim: int = 20, width: int = 400):
        super().__init__()
        self.latent_dim, self.shape = latent_dim, (image.channels, image.height, image.width)
        self.fc3 = nn.Linear(latent_dim, width)
        self.fc4 = nn.Linear(width, image.channels * image.height * image.width)

    def forward(self, latent: Tensor, label: Tensor | None = None, logits: bool = False) -> Tensor:
        x = self.fc4(functional.relu(self.fc3(latent))).unflatten(1, self.shape)
        return x if logits else x.sigmoid() * 2 - 1


class Encoder(nn.Module):
    """Images in [0, 1] to the mean and log-variance (N, latent_dim) of a normal distribution over latents."""

    def __init__(self, image: SampleSpec, latent_dim: int, width: int):
        super().__init__()
        self.fc1 = nn.Linear(image.channels * image.height * image.width, width)
        self.fc21 = nn.Linear(width, latent_dim)
        self.fc22 = nn.Linear(width, latent_dim)

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        hidden = functional.relu(self.fc1(images.flatten(1)))
        return self.fc21(hidden), self.fc22(hidden)


class EvidenceLowerBound(Loss):
    """Kingma and Welling 2013, equation 10, with a Bernoulli decoder: cross-entropy plus the KL divergence.

    Both are as in appendix B and `loss_function` of main.py, but the batch's mean and not its sum: a mean can be split
    over micro-batches and processes, and Adam cancels a constant factor. The encoder, which only training needs, is a
    submodule.

    Options:
        latent_dim: numbers in a latent; must be the decoder's.
        width: hidden units of the encoder.
    """

    phases = (Phase("elbo", ("generator", "loss")),)

    def __init__(self, image: SampleSpec, latent_dim: int = 20, width: int = 400):
        super().__init__()
        self.latent_dim, self.encoder = latent_dim, Encoder(image, latent_dim, width)

    def elbo(self, turn: Turn) -> dict[str, Tensor]:
        if turn.generator.latent_dim != self.latent_dim:
            sizes = f"loss.latent_dim is {self.latent_dim}, generator.latent_dim is {turn.generator.latent_dim}"
            raise UsageError(f"{sizes}: set both to the same.")
        pixels = (turn.real + 1) / 2
        mean, log_variance = self.encoder(pixels)
        latent = mean + turn.normal(self.latent_dim) * torch.exp(log_variance / 2)
        decoded = turn.generator(latent, turn.label, logits=True)
        cross_entropy = functional.binary_cross_entropy_with_logits(decoded.float(), pixels.float(), reduction="none")
        divergence = (mean.square() + log_variance.exp() - 1 - log_variance).sum(1) / 2
        return {"pixels": cross_entropy.flatten(1).sum(1).mean(), "divergence": divergence.mean()}
