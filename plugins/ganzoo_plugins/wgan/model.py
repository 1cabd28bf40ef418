"""The loss of WGAN, and its networks without convolutions.

Followed: martinarjovsky/WassersteinGAN, `main.py` and `models/mlp.py`. Its convolutional networks (`models/dcgan.py`)
are DCGAN's without the last sigmoid, which ganzoo's DCGAN leaves to the loss, so variants use those by name.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from ganzoo import SampleSpec
from ganzoo.losses import Loss, Phase, Turn
from ganzoo.networks import Generator, Reshape

HIDDEN_LAYERS = 3


def perceptron(inputs: int, width: int, outputs: int) -> list[nn.Module]:
    """Returns three hidden layers of ReLUs and a linear one, in torch's initialization.

    `main.py` initializes convolutions only.
    """
    sizes = [inputs, *[width] * HIDDEN_LAYERS]
    hidden = [layer for size in sizes[:-1] for layer in (nn.Linear(size, width), nn.ReLU(True))]
    return [*hidden, nn.Linear(width, outputs)]


class PerceptronGenerator(Generator):
    """Latents (N, latent_dim) to images: `MLP_G`, which has no tanh; clamped to [-1, 1] in evaluation.

    Options:
        latent_dim: numbers in a latent.
        width: units of each hidden layer.
    """

    def __init__(self, image: SampleSpec, latent_dim: int = 100, width: int = 512):
        super().__init__()
        self.latent_dim = latent_dim
        shape = image.channels, image.height, image.width
        self.main = nn.Sequential(*perceptron(latent_dim, width, math.prod(shape)), Reshape(*shape))

    def forward(self, latent: Tensor, label: Tensor | None = None) -> Tensor:
        images = self.main(latent)
        return images if self.training else images.clamp(-1, 1)  # a clipped pixel has no gradient


class PerceptronCritic(nn.Module):
    """Images to scores (N,): `MLP_D`.

    Options:
        width: units of each hidden layer.
    """

    def __init__(self, image: SampleSpec, width: int = 512):
        super().__init__()
        self.main = nn.Sequential(*perceptron(image.channels * image.height * image.width, width, 1))

    def forward(self, images: Tensor, label: Tensor | None = None) -> Tensor:
        return self.main(images.flatten(1)).flatten()


class WassersteinClipped(Loss):
    """Arjovsky et al. 2017, algorithm 1: the critic minimizes f̄ − r̄ with weights in [-clip, clip], the generator −f̄.

    Weights, batch norm's too, are clipped before each critic step, as in the code, so the last step may exceed the box
    by a learning rate. The code's critic is the negative of the paper's and of this one. Each generator step follows
    `critic_steps` critic steps, with fresh images each; it follows `long_critic_steps` in the first `warmup` steps and,
    unless `long_every` is 0, in every `long_every`-th, because a critic near its optimum gives a reliable gradient.

    Options:
        clip: largest magnitude of a weight of the critic.
        critic_steps: steps of the critic before each of the generator.
        long_critic_steps: the same while the critic must come near its optimum.
        warmup: first steps of the generator with so many.
        long_every: steps of the generator between two with so many; 0: none after the warm-up.
    """

    def __init__(
        self,
        image: SampleSpec,
        clip: float = 0.01,
        critic_steps: int = 5,
        long_critic_steps: int = 100,
        warmup: int = 25,
        long_every: int = 500,
    ):
        super().__init__()
        if clip <= 0 or critic_steps < 1 or long_critic_steps < 1 or warmup < 0 or long_every < 0:
            raise ValueError(
                "clip must be above 0, critic_steps and long_critic_steps at least 1, "
                "warmup and long_every at least 0, "
                f"not {clip}, {critic_steps}, {long_critic_steps}, {warmup} and {long_every}"
            )
        self.clip, self.critic_steps, self.long_critic_steps = clip, critic_steps, long_critic_steps
        self.warmup, self.long_every = warmup, long_every
        self.phases = (
            Phase("discriminator", ("discriminator",), repeats=self.steps_of_the_critic),
            Phase("generator", ("generator",)),
        )

    def steps_of_the_critic(self, step: int) -> int:
        """Returns the number of critic steps before generator step `step`, counted from 0."""
        long = step < self.warmup or (self.long_every > 0 and step % self.long_every == 0)
        return self.long_critic_steps if long else self.critic_steps

    def discriminator(self, turn: Turn) -> dict[str, Tensor]:
        with torch.no_grad():
            for weight in turn.discriminator.parameters():
                weight.clamp_(-self.clip, self.clip)
        return {"real": -turn.logits(turn.real).mean(), "fake": turn.logits(turn.fake).mean()}

    def generator(self, turn: Turn) -> dict[str, Tensor]:
        return {"fake": -turn.logits(turn.fake).mean()}
