"""Base classes of losses, regularizers and augmentations."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from ganzoo.losses.phase import Phase
from ganzoo.losses.turn import Turn


class Loss(nn.Module):
    """Computes the terms of each phase in a method of its name: `(turn) -> {term: scalar tensor}`.

    The engine minimizes the sum of the terms and logs each. A loss is a module: its state is in buffers, a network that
    only training needs is a submodule. It contains no optimizer, logger, device or `backward`. `short_run`: its options
    for runs of only a few hundred steps (`ganzoo check`). `real_is_low`: whether it gives real images the lower logits,
    as losses on energies do. `boundary`: the logit that separates real from fake images as the loss has it, None if it
    has no such number (Wasserstein, relativistic, energies). `needs_per_sample_gradients`: whether a penalty of its own
    needs each image's own gradient, of which a discriminator with batch norm deprives it. `heads` are the keywords by
    which it asks the discriminator for more than logits.
    """

    phases: tuple[Phase, ...] = (Phase("discriminator", ("discriminator",)), Phase("generator", ("generator",)))
    short_run: Mapping[str, Any] = {}
    real_is_low: bool = False
    boundary: float | None = None
    needs_per_sample_gradients: bool = False
    heads: tuple[str, ...] = ()


class Regularizer(nn.Module):
    """Adds terms to any loss in the phase named `phase`, every `every` steps, or selects its fakes, or both.

    `forward(turn) -> {term: scalar tensor}` returns the terms. `select(turn, logits) -> logits` gets the logits
    (N, ...) of `turn.fake` whenever they are computed, and returns as many; only those with a gradient count. `kinds`
    are the kinds of samples that it works on. `needs_per_sample_gradients` states that the terms need each sample's own
    gradient; the engine then warns of a discriminator with batch norm.
    """

    phase: str = "discriminator"
    every: int = 1
    kinds: tuple[str, ...] = ("image", "points")
    needs_per_sample_gradients: bool = False

    def forward(self, turn: Turn) -> dict[str, Tensor]:
        raise TypeError(f"{type(self).__name__} must define forward(turn)")

    def first_step(self, batch: int, epoch: float) -> float:
        """Returns the first training step, from 0, that it can change; infinity for none.

        `batch` is the number of images in a micro-batch, `epoch` that of steps in a pass over the data.
        """
        return 0

    def select(self, turn: Turn, logits: Tensor) -> Tensor:
        """Selects the fakes that count, by detaching the logits of the others: all of them count unless overridden."""
        return logits


class Augmentation(nn.Module):
    """Transforms real and fake images before the discriminator: `forward(images) -> images`, differentiable.

    Random numbers come from `uniform` and `normal`: in a training step they do not depend on how the batch is split.
    Inputs that the discriminator sees at the same size are augmented by the same numbers. `kinds` are the kinds of
    samples that it works on.
    `needs_boundary` states that `observe` reads the signs of logits; a loss without `boundary` is then refused.
    """

    kinds: tuple[str, ...] = ("image",)
    needs_boundary: bool = False
    _turn: Turn | None = None

    def forward(self, images: Tensor) -> Tensor:
        raise TypeError(f"{type(self).__name__} must define forward(images)")

    def uniform(self, images: Tensor, *shape: int) -> Tensor:
        """Returns uniform numbers in [0, 1) of shape (N, *shape) for these N images."""
        return self._sample(torch.rand, images, shape)

    def normal(self, images: Tensor, *shape: int) -> Tensor:
        """Returns standard normal numbers of shape (N, *shape) for these N images."""
        return self._sample(torch.randn, images, shape)

    def _sample(self, function: Callable[..., Tensor], images: Tensor, shape: tuple[int, ...]) -> Tensor:
        if self._turn is None:
            dtype = torch.promote_types(images.dtype, torch.float32)
            return function(len(images), *shape, device=images.device, dtype=dtype)
        return self._turn.for_images(function, len(images), shape)

    def observe(self, real_logits: Tensor) -> None:
        """Called with the logits (N, ...) of real images in the discriminator's phases; ADA counts their signs.

        Where the loss states its `boundary`, they are the distances from it, above 0 if the image counts as real.
        """

    def first_step(self, batch: int, epoch: float) -> float:
        """Returns the first training step that it can change, as `Regularizer.first_step`."""
        return 0

    def adapt(self, processes: int) -> None:
        """Called after every training step, when buffers are means over the `processes`: moves a probability, say."""
