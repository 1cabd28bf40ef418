"""The networks and the loss of the small ProGAN, at 4, 8 and 16 pixels."""

import math

import torch
from torch import Tensor, nn
from torch.nn.functional import avg_pool2d, interpolate

from ganzoo import SampleSpec
from ganzoo.losses import Loss, Phase, Turn, gradient_penalty
from ganzoo.networks import Generator, LeakyReLU


def growth(stages: float, top: int) -> float:
    """Returns how far the networks have grown: 0 is 4 pixels, 1 is 8; one steady stage, one that fades in, ..."""
    doublings, within = divmod(stages, 2)
    return min(doublings + max(within - 1, 0), top)


def double(x: Tensor) -> Tensor:
    return interpolate(x, scale_factor=2, mode="nearest")


class GrowingGenerator(Generator):
    """Pictures of the full size at every growth, so that nothing else need know of it."""

    def __init__(self, image: SampleSpec, latent_dim: int = 6, width: int = 4):
        super().__init__()
        self.latent_dim, self.width = latent_dim, width
        top = int(math.log2(image.size / 4))
        self.start = nn.Linear(latent_dim, width * 16)
        self.blocks = nn.ModuleList(nn.Conv2d(width, width, 3, 1, 1) for _ in range(top + 1))
        self.to_image = nn.ModuleList(nn.Conv2d(width, image.channels, 1) for _ in range(top + 1))
        self.act = LeakyReLU()
        self.register_buffer("stages", torch.tensor(2.0 * top))  # a schedule moves it during training

    def forward(self, latent: Tensor, label: Tensor | None = None) -> Tensor:
        grown = growth(float(self.stages), len(self.blocks) - 1)
        floor, above = int(grown), grown - int(grown)
        x = self.act(self.blocks[0](self.start(latent).view(-1, self.width, 4, 4)))
        for block in self.blocks[1 : floor + 1]:
            x = self.act(block(double(x)))
        image, size = self.to_image[floor](x), floor
        if above:
            x = self.act(self.blocks[floor + 1](double(x)))
            image, size = torch.lerp(double(image), self.to_image[floor + 1](x), above), floor + 1
        return interpolate(image, scale_factor=2 ** (len(self.blocks) - 1 - size), mode="nearest")


class GrowingDiscriminator(nn.Module):
    """The generator's mirror; it looks at pictures of the full size at the resolution that it has grown to."""

    def __init__(self, image: SampleSpec, width: int = 4):
        super().__init__()
        top = int(math.log2(image.size / 4))
        self.from_image = nn.ModuleList(nn.Conv2d(image.channels, width, 1) for _ in range(top + 1))
        self.blocks = nn.ModuleList(nn.Conv2d(width, width, 3, 1, 1) for _ in range(top + 1))
        self.head = nn.Linear(width * 16, 1)
        self.act = LeakyReLU()
        self.register_buffer("stages", torch.tensor(2.0 * top))

    def forward(self, images: Tensor, label: Tensor | None = None) -> Tensor:
        grown = growth(float(self.stages), len(self.blocks) - 1)
        floor, above = int(grown), grown - int(grown)
        x = self.act(self.from_image[floor](avg_pool2d(images, 2 ** (len(self.blocks) - 1 - floor))))
        if above:
            fine = self.act(self.from_image[floor + 1](avg_pool2d(images, 2 ** (len(self.blocks) - 2 - floor))))
            x = torch.lerp(x, avg_pool2d(self.act(self.blocks[floor + 1](fine)), 2), above)
        for block in reversed(self.blocks[1 : floor + 1]):
            x = avg_pool2d(self.act(block(x)), 2)
        return self.head(self.act(self.blocks[0](x)).flatten(1)).flatten()


class Growing(Loss):
    """WGAN-GP with the drift term of the paper's appendix A.1."""

    phases = (Phase("discriminator", ("discriminator",)), Phase("generator", ("generator",)))

    def __init__(self, image: SampleSpec, penalty: float = 10.0, drift: float = 0.001):
        super().__init__()
        self.penalty, self.drift = penalty, drift

    def discriminator(self, turn: Turn) -> dict[str, Tensor]:
        real, fake = turn.logits(turn.real), turn.logits(turn.fake)
        penalty = gradient_penalty(turn.logits, turn.real, turn.fake, turn.uniform(1, 1, 1))
        return {
            "distance": fake.mean() - real.mean(),
            "penalty": self.penalty * penalty,
            "drift": self.drift * real.square().mean(),
        }

    def generator(self, turn: Turn) -> dict[str, Tensor]:
        return {"fake": -turn.logits(turn.fake).mean()}
