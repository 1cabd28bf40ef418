"""The Dirac-GAN (Mescheder et al. 2018, section 2): two numbers that play the game of any loss of the zoo."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, cast

import torch
from torch import Tensor, nn

from ganzoo.config.recipe import BoundPart
from ganzoo.data import Stream
from ganzoo.data.streams import StreamBatches
from ganzoo.engine.build import build_part
from ganzoo.engine.randomness import seeded
from ganzoo.engine.trainer import Trainer
from ganzoo.networks import Generator
from ganzoo.variant import Field, SampleSpec, Training

LINE = SampleSpec(Field((1,), "points"))
START, RATE, STEPS = (1.0, 1.0), 0.2, 500
Order = Literal["alternating", "simultaneous"]


class Zeros(Stream):
    """The data: every sample is 0."""

    def __init__(self) -> None:
        super().__init__("dirac", LINE, {})

    def draw(self, count: int, random: torch.Generator) -> Tensor:
        return torch.zeros(count, 1, dtype=torch.float32)


class Point(Generator):
    """A generator whose every sample is its parameter θ."""

    latent_dim = 1

    def __init__(self) -> None:
        super().__init__()
        self.theta = nn.Parameter(torch.tensor(START[0], dtype=torch.float32))

    def forward(self, latent: Tensor, label: Tensor | None = None) -> Tensor:
        return self.theta.expand(len(latent), 1)


class Slope(nn.Module):
    """A discriminator D(x) = ψx."""

    def __init__(self) -> None:
        super().__init__()
        self.psi = nn.Parameter(torch.tensor([START[1]], dtype=torch.float32))

    def forward(self, images: Tensor, label: Tensor | None = None) -> Tensor:
        return (images * self.psi).flatten()


def dirac(parts: Mapping[str, BoundPart], order: Order, *, steps: int = STEPS, rate: float = RATE) -> Tensor:
    """Returns the path of (θ, ψ) from (1, 1): (steps + 1, 2) in float64, by gradient descent with the loss in `parts`.

    `parts` are those of a recipe: the loss, and regularizers. In "alternating" order the discriminator steps first and
    the generator answers; in "simultaneous" order both step from the same place, whatever the loss's own order is.
    """
    judge, mover = _player(parts, steps, discriminator_lr=rate), _player(parts, steps, generator_lr=rate)
    theta, psi = (torch.tensor(value, dtype=torch.float64) for value in START)
    path = [torch.stack([theta, psi])]
    for _ in range(steps):
        after = _moved(judge, theta, psi)[1]
        theta = _moved(mover, theta, after if order == "alternating" else psi)[0]
        psi = after
        path.append(torch.stack([theta, psi]))
    return torch.stack(path)


def _player(
    parts: Mapping[str, BoundPart], steps: int, *, generator_lr: float = 0.0, discriminator_lr: float = 0.0
) -> Trainer:
    """A trainer of which only the network with a learning rate moves."""
    training = Training(
        optimizer="sgd", batch_size=2, steps=steps, generator_lr=generator_lr, discriminator_lr=discriminator_lr
    )
    with seeded(0):
        built = {
            path: build_part(part, LINE) for path, part in parts.items() if path.startswith(("loss", "regularizers"))
        }
    return Trainer(
        generator=Point(),
        discriminator=Slope(),
        loss=built.pop("loss"),
        regularizers={path.partition(".")[2]: module for path, module in built.items()},
        batches=StreamBatches(Zeros(), batch_size=2, seed=0),
        image=LINE,
        training=training,
        dtype=torch.float64,
    )


def _moved(trainer: Trainer, theta: Tensor, psi: Tensor) -> tuple[Tensor, Tensor]:
    """The two parameters after one training step from here."""
    generator, discriminator = cast(Point, trainer.generator).theta, cast(Slope, trainer.discriminator).psi
    with torch.no_grad():
        generator.copy_(theta)
        discriminator.fill_(psi)
    trainer.step()
    return generator.detach().clone(), discriminator.detach().clone()[0]
