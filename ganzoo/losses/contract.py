"""Base classes of losses, regularizers and augmentations."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from ganzoo.losses.phase import Phase
from ganzoo.losses.turn import Turn


class Loss(nn.Module):
    """Names its phases and has one method per phase: `(turn) -> {term: scalar tensor}`; the engine minimizes their sum and logs each.

    A loss is a module: what it must remember is a buffer, a network that only training needs is a submodule. It contains no
    optimizer, logger, device or `backward`. `short_run`: its options if only a few hundred steps are made (`ganzoo check`).
    """

    phases: tuple[Phase, ...] = (Phase("discriminator", ("discriminator",)), Phase("generator", ("generator",)))
    short_run: Mapping[str, Any] = {}


class Regularizer(nn.Module):
    """What is added to any loss in the phase called `phase`, every `every` steps: terms, or a choice of fakes, or both.

    `forward(turn) -> {term: scalar tensor}` gives terms. `select(turn, logits) -> logits` gets the logits (N,) of `turn.fake`
    that the loss asks for, and returns as many, of which those count that still carry a gradient. `needs_per_sample_gradients` says that the
    terms need each sample's own gradient, so that a discriminator with batch norm is worth a warning.
    """

    phase: str = "discriminator"
    every: int = 1
    needs_per_sample_gradients: bool = False

    def forward(self, turn: Turn) -> dict[str, Tensor]:
        raise TypeError(f"{type(self).__name__} must define forward(turn)")

    def select(self, turn: Turn, logits: Tensor) -> Tensor:
        """Which fakes the loss learns from: all of them unless overridden."""
        return logits


class Augmentation(nn.Module):
    """What happens to real and fake images on their way to the discriminator: `forward(images) -> images`, differentiable.

    Random numbers come from `uniform` and `normal`: in a training step they do not depend on how the batch is split.
    """

    _turn: Turn | None = None

    def forward(self, images: Tensor) -> Tensor:
        raise TypeError(f"{type(self).__name__} must define forward(images)")

    def uniform(self, images: Tensor, *shape: int) -> Tensor:
        """Uniform numbers in [0, 1) of shape (N, *shape) for these N images."""
        return self._sample(torch.rand, images, shape)

    def normal(self, images: Tensor, *shape: int) -> Tensor:
        """Standard normal numbers of shape (N, *shape) for these N images."""
        return self._sample(torch.randn, images, shape)

    def _sample(self, function: Callable[..., Tensor], images: Tensor, shape: tuple[int, ...]) -> Tensor:
        if self._turn is None:
            dtype = torch.promote_types(images.dtype, torch.float32)
            return function(len(images), *shape, device=images.device, dtype=dtype)
        return self._turn.for_images(function, len(images), shape)

    def observe(self, real_logits: Tensor) -> None:
        """Is told the discriminator's logits of real images while it learns; adaptive augmentation remembers them in buffers."""

    def adapt(self, processes: int) -> None:
        """Is called after every training step, once buffers are means over the `processes`; a probability moves here."""
