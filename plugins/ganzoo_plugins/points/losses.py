"""Two losses that points are for: a discriminator that is unrolled, and a bound on the likelihood without adversary."""

from __future__ import annotations

import math
from typing import Literal

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn import functional

from ganzoo import SampleSpec
from ganzoo.errors import UsageError
from ganzoo.losses import Loss, Phase, Turn

from .model import Activation, perceptron, shape_of


class Scores(nn.Module):
    """The logits of a turn as a module, so that the discriminator's parameters can be replaced for one call."""

    def __init__(self, turn: Turn):
        super().__init__()
        self.turn, self.discriminator = turn, turn.discriminator

    def forward(self, samples: Tensor) -> Tensor:
        return self.turn.logits(samples)


class Unrolled(Loss):
    """Metz et al. 2016, equation 7: the generator sees the discriminator as it will be some steps later.

    The steps are of plain gradient descent on this minibatch, and the gradient goes through them; the paper's code
    takes Adam's. Only the first of the discriminator's steps is kept: its own phase takes it with its optimizer.

    Options:
        unroll: steps of the discriminator that the generator looks ahead.
        step_size: learning rate of these steps.
        objective: of the generator: "non-saturating", or the paper's "minimax".
    """

    boundary = 0.0

    def __init__(
        self,
        image: SampleSpec,
        unroll: int = 5,
        step_size: float = 0.1,
        objective: Literal["non-saturating", "minimax"] = "non-saturating",
    ):
        super().__init__()
        if unroll < 0 or objective not in ("non-saturating", "minimax"):
            raise ValueError(
                f"unroll must be 0 or more, objective non-saturating or minimax, not {unroll}, {objective}"
            )
        self.unroll, self.step_size, self.minimax = unroll, step_size, objective == "minimax"

    def discriminator(self, turn: Turn) -> dict[str, Tensor]:
        real, fake = turn.logits(turn.real), turn.logits(turn.fake)
        return {"real": functional.softplus(-real).mean(), "fake": functional.softplus(fake).mean()}

    def generator(self, turn: Turn) -> dict[str, Tensor]:
        scores = Scores(turn)
        moved = {name: value.detach().requires_grad_() for name, value in scores.named_parameters()}
        for _ in range(self.unroll):
            real = functional_call(scores, moved, (turn.real,))
            fake = functional_call(scores, moved, (turn.fake.view_as(turn.fake),))  # not the one that is selected from
            cost = functional.softplus(-real).mean() + functional.softplus(fake).mean()
            slopes = torch.autograd.grad(cost, list(moved.values()), create_graph=True)
            moved = {
                name: value - self.step_size * slope for (name, value), slope in zip(moved.items(), slopes, strict=True)
            }
        fake = functional_call(scores, moved, (turn.fake,))
        return {"fake": -functional.softplus(fake).mean() if self.minimax else functional.softplus(-fake).mean()}


class PointsBound(Loss):
    """Kingma and Welling 2013, equation 10, with a Gaussian decoder whose one deviation is learned.

    The generator decodes latents to means. The encoder, a perceptron as wide as the decoder, and the deviation, which
    sampling does not need, are parameters of the loss.

    Options:
        latent_dim: numbers in a latent, as many as the generator's.
        width: units of each hidden layer of the encoder.
        depth: hidden layers of the encoder.
        activation: function after each hidden layer of the encoder.
        deviation: deviation of the decoder at the start.
    """

    phases = (Phase("elbo", ("generator", "loss")),)

    def __init__(
        self,
        image: SampleSpec,
        latent_dim: int = 2,
        width: int = 64,
        depth: int = 2,
        activation: Activation = "tanh",
        deviation: float = 0.5,
    ):
        super().__init__()
        self.latent_dim = latent_dim
        self.encoder = perceptron(math.prod(shape_of(image)), 2 * latent_dim, width, depth, activation)
        self.log_deviation = nn.Parameter(torch.tensor(math.log(deviation)))

    def elbo(self, turn: Turn) -> dict[str, Tensor]:
        if turn.generator.latent_dim != self.latent_dim:
            sizes = f"loss.latent_dim is {self.latent_dim}, generator.latent_dim is {turn.generator.latent_dim}"
            raise UsageError(f"{sizes}: set both to the same.")
        mean, log_variance = self.encoder(turn.real.flatten(1)).chunk(2, 1)
        latent = mean + turn.normal(self.latent_dim) * torch.exp(log_variance / 2)
        distance = (turn.generator(latent, turn.label) - turn.real).flatten(1)
        spread = distance.square().sum(1) * torch.exp(-2 * self.log_deviation) / 2
        divergence = (mean.square() + log_variance.exp() - 1 - log_variance).sum(1) / 2
        return {"points": spread.mean() + distance.shape[1] * self.log_deviation, "divergence": divergence.mean()}
