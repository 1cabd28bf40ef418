"""The torch side of `contract.basics`."""

import torch
from torch import Tensor, nn
from torch.nn.functional import softplus

from ganzoo import SampleSpec
from ganzoo.losses import Loss, Phase, Regularizer, Turn, zero_centred_penalty
from ganzoo.networks import Generator, LeakyReLU, Reshape


class TinyGenerator(Generator):
    """Latents to pictures of 8 pixels by a linear layer and a transposed convolution."""

    def __init__(self, image: SampleSpec, latent_dim: int = 6, width: int = 4, norm: bool = True):
        super().__init__()
        self.latent_dim = latent_dim
        self.main = nn.Sequential(
            nn.Linear(latent_dim, width * 16, bias=not norm),
            Reshape(width, 4, 4),
            nn.BatchNorm2d(width) if norm else nn.Identity(),
            LeakyReLU(),
            nn.ConvTranspose2d(width, image.channels, 4, 2, 1),
            nn.Tanh(),
        )

    def forward(self, latent: Tensor, label: Tensor | None = None) -> Tensor:
        return self.main(latent)


class TinyDiscriminator(nn.Module):
    """Pictures of 8 pixels to logits (N,); `features` ends in a vector, `head` is linear."""

    def __init__(self, image: SampleSpec, width: int = 4, norm: bool = False):
        super().__init__()
        self.features = nn.Sequential(
            nn.Conv2d(image.channels, width, 4, 2, 1),
            LeakyReLU(),
            nn.Conv2d(width, width, 4, 2, 1, bias=not norm),
            nn.BatchNorm2d(width) if norm else nn.Identity(),
            LeakyReLU(),
            nn.Flatten(),
        )
        self.head = nn.Linear(width * 4, 1)

    def forward(self, images: Tensor, label: Tensor | None = None) -> Tensor:
        return self.head(self.features(images)).flatten()


class LinearCritic(nn.Module):
    """a·x, whose gradient is `a` everywhere."""

    def __init__(self, image: SampleSpec):
        super().__init__()
        self.weight = nn.Parameter(torch.randn(image.channels * image.size**2) / 4)

    def forward(self, images: Tensor, label: Tensor | None = None) -> Tensor:
        return images.flatten(1) @ self.weight


class NonSaturating(Loss):
    """Goodfellow et al. 2014, section 3; the generator is scored on the fakes that the discriminator has just seen."""

    phases = (Phase("discriminator", ("discriminator",)), Phase("generator", ("generator",), fresh=False))

    def __init__(self, image: SampleSpec):
        super().__init__()

    def discriminator(self, turn: Turn) -> dict[str, Tensor]:
        return {"real": softplus(-turn.logits(turn.real)).mean(), "fake": softplus(turn.logits(turn.fake)).mean()}

    def generator(self, turn: Turn) -> dict[str, Tensor]:
        return {"fake": softplus(-turn.logits(turn.fake)).mean()}


class R1(Regularizer):
    """gamma/2 · mean ‖∇D(x)‖² on real pictures, with respect to the picture before its augmentation."""

    def __init__(self, image: SampleSpec, gamma: float = 2.0, every: int = 1):
        super().__init__()
        self.gamma, self.every = gamma, every

    def forward(self, turn: Turn) -> dict[str, Tensor]:
        return {"penalty": self.gamma * self.every * zero_centred_penalty(turn.logits, turn.real)}
