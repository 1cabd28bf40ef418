"""The networks and the loss of the first GAN.

Followed: goodfeli/adversarial, `mnist.yaml` and `__init__.py` (`AdversaryCost2`), with pylearn2's layers. The networks
are perceptrons, so images of any size and in colour work too. `mlp` is ganzoo's own: a present-day GAN of perceptrons.
"""

from __future__ import annotations

import math
from typing import Literal, cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from ganzoo import SampleSpec
from ganzoo.losses import Loss, Phase, Turn
from ganzoo.networks import Generator, Maxout, Reshape, UniformGenerator, logits_of_mean


def initialize(module: nn.Module, reach: float) -> None:
    """Initializes weights uniformly in [-reach, reach] and biases with 0: pylearn2's `irange`."""
    for layer in module.modules():
        if isinstance(layer, nn.Linear):
            nn.init.uniform_(layer.weight, -reach, reach)
            nn.init.zeros_(layer.bias)


class GANGenerator(UniformGenerator):
    """Latents (N, latent_dim), uniform in [-√3, √3), to images: two hidden layers of ReLUs.

    The last layer is a sigmoid, rescaled from the original's [0, 1] to [-1, 1].

    Options:
        latent_dim: numbers in a latent.
        width: hidden units of each layer.
    """

    edge = math.sqrt(3)

    def __init__(self, image: SampleSpec, latent_dim: int = 100, width: int = 1200):
        super().__init__()
        self.latent_dim = latent_dim
        self.main = nn.Sequential(
            *[nn.Linear(latent_dim, width), nn.ReLU(), nn.Linear(width, width), nn.ReLU()],
            *[
                nn.Linear(width, image.channels * image.height * image.width),
                nn.Sigmoid(),
                Reshape(image.channels, image.height, image.width),
            ],
        )
        initialize(self, 0.05)

    def init_from_data(self, mean: Tensor) -> None:
        """Starts the output bias at the logit of each pixel's mean: pylearn2's `init_sigmoid_bias_from_marginals`."""
        with torch.no_grad():
            cast(nn.Linear, self.main[-3]).bias.copy_(logits_of_mean(mean))

    def forward(self, latent: Tensor, label: Tensor | None = None) -> Tensor:
        return self.main(latent) * 2 - 1


class GANDiscriminator(nn.Module):
    """Images to logits (N,): two hidden layers of maxout units; pixels are rescaled to [0, 1].

    Dropout drops a fifth of the pixels and half of the hidden units while either network is trained.

    Options:
        units: maxout units of each layer.
        pieces: linear pieces of each unit.
        input_dropout: share of the pixels that is dropped in training.
        dropout: share of the hidden units that is dropped in training.
    """

    def __init__(
        self, image: SampleSpec, units: int = 240, pieces: int = 5, input_dropout: float = 0.2, dropout: float = 0.5
    ):
        super().__init__()
        self.main = nn.Sequential(
            *[
                nn.Flatten(),
                nn.Dropout(input_dropout),
                Maxout(image.channels * image.height * image.width, units, pieces),
            ],
            *[nn.Dropout(dropout), Maxout(units, units, pieces), nn.Dropout(dropout), nn.Linear(units, 1)],
        )
        initialize(self, 0.005)

    def forward(self, images: Tensor, label: Tensor | None = None) -> Tensor:
        return self.main((images + 1) / 2).flatten()


class PerceptronGenerator(Generator):
    """Latents (N, latent_dim) to images: linear layers, leaky ReLU, tanh.

    Options:
        latent_dim: numbers in a latent.
        hidden: units of each hidden layer.
        normalize: whether batch norm follows every hidden layer from the second on.
        slope: slope of the leaky ReLUs below 0.
    """

    def __init__(
        self,
        image: SampleSpec,
        latent_dim: int = 100,
        hidden: tuple[int, ...] = (128, 256, 512, 1024),
        normalize: bool = True,
        slope: float = 0.2,
    ):
        super().__init__()
        self.latent_dim = latent_dim
        layers: list[nn.Module] = []
        for number, (inputs, outputs) in enumerate(zip([latent_dim, *hidden], hidden, strict=False)):
            layers += [nn.Linear(inputs, outputs)]
            layers += [nn.BatchNorm1d(outputs)] if normalize and number else []
            layers += [nn.LeakyReLU(slope)]
        layers += [nn.Linear([latent_dim, *hidden][-1], image.channels * image.height * image.width), nn.Tanh()]
        self.main = nn.Sequential(*layers, Reshape(image.channels, image.height, image.width))

    def forward(self, latent: Tensor, label: Tensor | None = None) -> Tensor:
        return self.main(latent)


class PerceptronDiscriminator(nn.Module):
    """Images to logits (N,): linear layers, leaky ReLU.

    Options:
        hidden: units of each hidden layer.
        slope: slope of the leaky ReLUs below 0.
    """

    def __init__(self, image: SampleSpec, hidden: tuple[int, ...] = (512, 256), slope: float = 0.2):
        super().__init__()
        sizes = [image.channels * image.height * image.width, *hidden]
        layers: list[nn.Module] = [nn.Flatten()]
        for inputs, outputs in zip(sizes, hidden, strict=False):
            layers += [nn.Linear(inputs, outputs), nn.LeakyReLU(slope)]
        self.main = nn.Sequential(*layers, nn.Linear(sizes[-1], 1))

    def forward(self, images: Tensor, label: Tensor | None = None) -> Tensor:
        return self.main(images).flatten()


class Adversarial(Loss):
    """Goodfellow et al. 2014, equation 1: the discriminator minimizes ½·(−log D(x) − log(1 − D(G(z)))).

    Terms are means over the batch. The generator minimizes −log D(G(z)) (section 3, and the code's default), or log(1 −
    D(G(z))) as in "minimax". As in the code both networks learn at once, from the same images and latents, each from
    the other as it was before the step: the generator steps first, and the discriminator then scores the fakes sampled
    before that step.

    Options:
        objective: of the generator: "non-saturating" or "minimax".
        weight: factor of the discriminator's terms, the ½.
    """

    boundary = 0.0
    phases = (
        Phase("generator", ("generator",)),
        Phase("discriminator", ("discriminator",), fresh=False),
    )

    def __init__(
        self,
        image: SampleSpec,
        objective: Literal["non-saturating", "minimax"] = "non-saturating",
        weight: float = 0.5,
    ):
        super().__init__()
        if objective not in ("non-saturating", "minimax"):
            raise ValueError(f"objective must be non-saturating or minimax, not {objective!r}")
        self.minimax, self.weight = objective == "minimax", weight

    def generator(self, turn: Turn) -> dict[str, Tensor]:
        fake = turn.logits(turn.fake)
        return {"fake": -functional.softplus(fake).mean() if self.minimax else functional.softplus(-fake).mean()}

    def discriminator(self, turn: Turn) -> dict[str, Tensor]:
        real, fake = turn.logits(turn.real), turn.logits(turn.fake)
        costs = {"real": functional.softplus(-real).mean(), "fake": functional.softplus(fake).mean()}
        return {name: self.weight * cost for name, cost in costs.items()}
