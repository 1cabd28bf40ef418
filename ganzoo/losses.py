"""The contract of losses: phases, what a loss sees in one, and the gradient penalties that a loss may call."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from .networks import second_order

ROLES = ("generator", "discriminator", "loss")
OWN_LABEL: Any = object()


@dataclass(frozen=True)
class Phase:
    """One optimizer step: calls the loss method `name`, then updates the roles in `updates`.

    `updates` names some of "generator", "discriminator" and "loss". `repeats` is how often the phase runs in one training
    step (critic steps), or a function of the step. `every` runs it only in every so-many-th step (lazy regularization).
    `fresh=False` goes on with the previous phase's minibatch and fakes. `batch` multiplies the batch size of this phase's
    latents (and its labels are then drawn uniformly).
    """

    name: str
    updates: tuple[str, ...]
    repeats: int | Callable[[int], int] = 1
    every: int = 1
    fresh: bool = True
    batch: int = 1

    def repeats_at(self, step: int) -> int:
        """How often the phase runs in training step `step`."""
        if step % self.every:
            return 0
        return self.repeats(step) if callable(self.repeats) else self.repeats


class Loss(nn.Module):
    """Names its phases and has one method per phase: `(turn) -> {term: scalar tensor}`.

    The engine minimizes the sum of the terms and logs each. A loss is a module: what it must remember is a buffer, a
    network that only training needs is a submodule. It contains no optimizer, no logger, no device and no `backward`.
    """

    phases: tuple[Phase, ...] = (Phase("discriminator", ("discriminator",)), Phase("generator", ("generator",)))


class Regularizer(nn.Module):
    """A term added to any loss: `forward(turn) -> {term: scalar tensor}`, in the phase called `phase`, every `every` steps."""

    phase: str = "discriminator"
    every: int = 1

    def forward(self, turn: Turn) -> dict[str, Tensor]:
        raise TypeError(f"{type(self).__name__} must define forward(turn)")


class Augmentation(nn.Module):
    """What happens to real and fake images on their way to the discriminator: `forward(images) -> images`, differentiable."""

    def forward(self, images: Tensor) -> Tensor:
        raise TypeError(f"{type(self).__name__} must define forward(images)")

    def observe(self, real_logits: Tensor) -> None:
        """Is told the discriminator's logits of real images while it learns; adaptive augmentation moves its buffer here."""


class Draw:
    """One minibatch of the whole batch, numbered when its real images or labels are first asked for.

    Micro-batches and processes share the number and the random streams: each takes its slice of the same whole, so that
    how a batch is split does not change what is drawn.
    """

    def __init__(self, trainer, key: tuple, multiplier: int):
        self.trainer, self.key, self.multiplier = trainer, key, multiplier
        self._number: int | None = None

    @property
    def number(self) -> int:
        """Which of the data's batches this is; asking for it takes the next one."""
        if self._number is None:
            self._number = self.trainer.take_batch()
        return self._number


class Turn:
    """What a loss sees in one phase: both networks and a minibatch, each part of it drawn when first asked for.

    `generator`, `discriminator`: the networks. `step`: the training step, from 0. `real` (N, C, H, W) in [-1, 1],
    `label` (N,) int64 or None if unlabelled, `latent` (N, latent_dim), `fake` = generator(latent, label), which carries a
    graph into the generator only in a phase that updates it.
    """

    def __init__(self, trainer, phase: Phase, draw: Draw, part: slice, key: tuple, keep_graph: bool = False, shared=None):
        self._trainer, self._phase, self._draw, self._part, self._key = trainer, phase, draw, part, key
        self._keep_graph = keep_graph
        self._shared: dict[str, Any] = {} if shared is None else shared
        self._noise: torch.Generator | None = None
        self.generator, self.discriminator, self.step = trainer.generator, trainer.discriminator, trainer.step_number

    def follow(self, phase: Phase, key: tuple, keep_graph: bool = False) -> Turn:
        """The turn of a phase with `fresh=False`: the same minibatch, latents and fakes."""
        return Turn(self._trainer, phase, self._draw, self._part, key, keep_graph, self._shared)

    def release(self) -> None:
        """Lets go of the fakes' graph, which a backward pass through the generator has used up."""
        if "fake" in self._shared:
            self._shared["fake"] = self._shared["fake"].detach()

    @property
    def real(self) -> Tensor:
        """Real images; a phase that never asks draws none."""
        if "real" not in self._shared:
            images = self._trainer.batches.images(self._draw.number, self._part)
            self._shared["real"] = images.to(self._trainer.dtype)
        return self._shared["real"]

    @property
    def label(self) -> Tensor | None:
        """The real images' labels, which the fakes share; None if the run is unlabelled."""
        if self._trainer.image.classes == 0:
            return None
        if "label" not in self._shared:
            real = self._draw.multiplier == 1
            self._shared["label"] = self._trainer.batches.labels(self._draw.number, self._part) if real else self.random_label()
        return self._shared["label"]

    @property
    def latent(self) -> Tensor:
        """Latents from the generator's prior."""
        if "latent" not in self._shared:
            random = self._trainer.random(*self._draw.key, "latent")
            whole = self.generator.latent(self._whole_batch, random)
            self._shared["latent"] = whole[self._rows].to(self._trainer.dtype)
        return self._shared["latent"]

    @property
    def fake(self) -> Tensor:
        """The generator's images of `latent`, computed once however many phases go on with them.

        Only a second phase that teaches the generator computes them anew, for the first has changed its parameters.
        """
        fake = self._shared.get("fake")
        learning = "generator" in self._phase.updates
        if fake is None or (learning and not fake.requires_grad):
            with self._trainer.trainable("generator") if self._keep_graph else nullcontext():
                fake = self._shared["fake"] = self.generator(self.latent, self.label)
        return fake if learning else fake.detach()

    def logits(self, images: Tensor, label: Tensor | None = OWN_LABEL, **heads) -> Any:
        """Augmentation, then the discriminator with this turn's label; `heads` go to the discriminator's forward.

        Logits (N,) come back in float32 at least, whatever the precision of the networks.
        """
        label = self.label if label is OWN_LABEL else label
        augmentation = self._trainer.augmentation
        seen = images if augmentation is None else augmentation(images)
        result = _at_least_float32(self.discriminator(seen, label, **heads))
        if augmentation is not None and images is self._shared.get("real") and "discriminator" in self._phase.updates:
            augmentation.observe((result[0] if isinstance(result, tuple) else result).detach())
        return result

    def uniform(self, *shape: int) -> Tensor:
        """Uniform numbers in [0, 1) of shape (N, *shape), the same however the batch is split."""
        return self._sample(torch.rand, shape)

    def normal(self, *shape: int) -> Tensor:
        """Standard normal numbers of shape (N, *shape), the same however the batch is split."""
        return self._sample(torch.randn, shape)

    def random_label(self) -> Tensor | None:
        """Labels (N,) drawn uniformly from all classes; None if the run is unlabelled."""
        classes = self._trainer.image.classes
        return (self.uniform() * classes).long().clamp_(max=classes - 1) if classes else None

    def _sample(self, function, shape) -> Tensor:
        if self._noise is None:
            self._noise = self._trainer.random(*self._key, "noise")
        random = self._noise
        whole = function(self._whole_batch, *shape, generator=random, device=random.device, dtype=self._trainer.dtype)
        return whole[self._rows]

    @property
    def _whole_batch(self) -> int:
        return self._trainer.training.batch_size * self._draw.multiplier

    @property
    def _rows(self) -> slice:
        times = self._draw.multiplier
        return slice(self._part.start * times, self._part.stop * times)


def _at_least_float32(result: Any) -> Any:
    if isinstance(result, tuple):
        return tuple(_at_least_float32(item) for item in result)
    half = isinstance(result, Tensor) and result.dtype in (torch.bfloat16, torch.float16)
    return result.float() if half else result


def squared_gradient_norm(critic: Callable[[Tensor], Tensor], images: Tensor) -> Tensor:
    """‖∂ Σ critic(x) / ∂x‖² of each image (N,), with a graph, in float32 at least whatever the precision of the rest.

    `critic` maps images to logits (N,); it must not couple the samples of a batch (no batch normalization), or the
    gradient is not each sample's own.
    """
    with torch.autocast(images.device.type, enabled=False), second_order():
        points = _at_least_float32(images.detach()).requires_grad_(True)
        (gradient,) = torch.autograd.grad(critic(points).sum(), points, create_graph=True)
        return gradient.square().sum(tuple(range(1, gradient.ndim)))  # flatten would copy what is channels last


def gradient_penalty(critic: Callable[[Tensor], Tensor], real: Tensor, fake: Tensor, mix: Tensor, target: float = 1.0) -> Tensor:
    """mean((‖∇ critic(x̂)‖₂ − target)²) at x̂ = real + mix·(fake − real): Gulrajani et al. 2017, equation 3, without λ.

    `mix` (N, 1, 1, 1) is uniform in [0, 1). Two-sided; the norm is over all of C, H and W; no epsilon under the root, as
    in the official code.
    """
    real, fake = _at_least_float32(real.detach()), _at_least_float32(fake.detach())
    return (squared_gradient_norm(critic, torch.lerp(real, fake, mix)).sqrt() - target).square().mean()


def zero_centred_penalty(critic: Callable[[Tensor], Tensor], images: Tensor) -> Tensor:
    """½·mean(‖∇ critic(x)‖²): R1 on real and R2 on fake images (Mescheder et al. 2018, equation 9), without γ."""
    return squared_gradient_norm(critic, images).mean() / 2
