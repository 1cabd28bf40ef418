"""The loss of the geometric GAN.

Followed: lim0606/pytorch-geometric-gan, `main.py standard geogan`, `losses/` and `scripts/exp3.celeba.sh`; its networks
are those of DCGAN.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from ganzoo import SampleSpec
from ganzoo.errors import PluginError
from ganzoo.losses import Loss, Phase, Turn

SLOPE = 0.1


def last_weight(discriminator: nn.Module) -> Tensor:
    """Returns the weight of the last layer, whose features the hyperplane separates; PluginError if there is none."""
    weights = [parameter for parameter in discriminator.parameters() if parameter.dim() > 1]
    if not weights:
        raise PluginError(
            "The loss 'geometric' needs a discriminator with a last layer; "
            f"{type(discriminator).__name__} has no matrix of weights."
        )
    return weights[-1]


class Geometric(Loss):
    """Lim and Ye 2017, section 3: the hinge loss with ½·`decay`·‖w‖², w the last layer's weight.

    The discriminator minimizes mean(max(0, 1 − r)) + mean(max(0, 1 + f)) + ½·`decay`·‖w‖², the generator −mean(f). C =
    1 and a batch of 64 are the scripts'. The discriminator steps once, then the generator some times, each with fresh
    latents.

    Options:
        decay: weight decay of the last layer, officially 1/(batch·C).
        generator_steps: steps of the generator for each of the discriminator.
        leaky: whether the generator minimizes a leaky ReLU (slope 0.1) of 1 − f instead.
    """

    boundary = 0.0

    def __init__(self, image: SampleSpec, decay: float = 1 / 64, generator_steps: int = 10, leaky: bool = False):
        super().__init__()
        self.decay, self.leaky = decay, leaky
        self.phases = (
            Phase("discriminator", ("discriminator",)),
            Phase("generator", ("generator",), repeats=generator_steps),
        )

    def discriminator(self, turn: Turn) -> dict[str, Tensor]:
        real, fake = turn.logits(turn.real), turn.logits(turn.fake)
        terms = {"real": torch.relu(1 - real).mean(), "fake": torch.relu(1 + fake).mean()}
        return {**terms, "decay": self.decay / 2 * last_weight(turn.discriminator).square().sum()}

    def generator(self, turn: Turn) -> dict[str, Tensor]:
        fake = turn.logits(turn.fake)
        return {"fake": functional.leaky_relu(1 - fake, SLOPE).mean() if self.leaky else -fake.mean()}
