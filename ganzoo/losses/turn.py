"""What a loss sees in one phase: networks, minibatch, latents, fakes and logits."""

from __future__ import annotations

from contextlib import nullcontext
from typing import Any

import torch
from torch import Tensor

from ganzoo.losses.penalties import at_least_float32
from ganzoo.losses.phase import Phase

OWN_LABEL: Any = object()


class Draw:
    """One minibatch of the whole batch, numbered when its real images or labels are first asked for.

    Micro-batches and processes share the number and the random streams, each a slice of one whole: no split changes what is drawn.
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

    def __init__(
        self, trainer, phase: Phase, draw: Draw, part: slice, key: tuple, keep_graph: bool = False, shared=None
    ):
        self._trainer, self._phase, self._draw, self._part, self._key = trainer, phase, draw, part, key
        self._keep_graph = keep_graph
        self._shared: dict[str, Any] = {} if shared is None else shared
        self._streams: dict[str, torch.Generator] = {}
        self._scores: dict[str, Tensor] = {}
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
            self._shared["label"] = (
                self._trainer.batches.labels(self._draw.number, self._part) if real else self.random_label()
            )
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

    def logits(self, images: Tensor, label: Tensor | None = OWN_LABEL, *, real: bool | None = None, **heads) -> Any:
        """Augmentation, then the discriminator with this turn's label; `heads` go to the discriminator's forward.

        Logits (N,) come back in float32 at least, whatever the precision of the networks. `turn.real` is recognized, alone
        or as a block of a concatenation; `real=True` says that the images are a changed copy of it, False that they are not it.
        """
        own = label is OWN_LABEL or label is self._shared.get("label", OWN_LABEL) or self._trainer.image.classes == 0
        label = self.label if label is OWN_LABEL else label
        result = at_least_float32(self.discriminator(self._augmented(images), label, **heads))
        return self._heard(images, result, own, real) if self._trainer.listening else result

    def _augmented(self, images: Tensor) -> Tensor:
        augmentation = self._trainer.augmentation
        if augmentation is None:
            return images
        augmentation._turn = self
        try:
            return augmentation(images)
        finally:
            augmentation._turn = None

    @property
    def real_logits(self) -> Tensor:
        """Logits (N,) of `turn.real`: those that the loss got in this phase, or else they are computed now."""
        return self._scores["real"] if "real" in self._scores else _first(self.logits(self.real))

    @property
    def fake_logits(self) -> Tensor:
        """Logits (N,) of `turn.fake`, likewise."""
        return self._scores["fake"] if "fake" in self._scores else _first(self.logits(self.fake))

    @property
    def unheard(self) -> bool:
        """Whether real images were used and the augmentation, which wants to know, was told the logits of none."""
        return (
            "discriminator" in self._phase.updates
            and self._trainer.observing
            and "real" in self._shared
            and "real" not in self._scores
        )

    def _heard(self, images: Tensor, result: Any, own: bool, real: bool | None) -> Any:
        """Keeps the logits of real and fake images, tells the augmentation of the real ones, lets regularizers select fakes."""
        logits = _first(result)
        found = {
            name: _rows_of(images, self._shared.get(name))
            for name in ("real", "fake")
            if own and len(logits) == len(images)
        }
        if real is not None:
            found = {"real": slice(None) if real else None}
        if (rows := found.get("real")) is not None and "real" not in self._scores:
            self._scores["real"] = logits[rows]
            if "discriminator" in self._phase.updates and self._trainer.observing:
                self._trainer.augmentation.observe(logits[rows].detach())
        if (rows := found.get("fake")) is None:
            return result
        asked = logits[rows]
        self._scores.setdefault("fake", asked)
        chosen = self._trainer.select(self, self._phase, asked)
        if chosen is asked:
            return result
        whole = torch.cat(
            [logits[: rows.start or 0], chosen, logits[len(logits) if rows.stop is None else rows.stop :]]
        )
        return (whole, *result[1:]) if isinstance(result, tuple) else whole

    def for_images(self, function, count: int, shape: tuple[int, ...]) -> Tensor:
        """Random numbers (count, *shape) for an augmentation, the same however the batch is split."""
        blocks = -(-count // (self._rows.stop - self._rows.start))
        return torch.cat([self._sample(function, shape, "augmentation") for _ in range(blocks)])[:count]

    @property
    def epoch(self) -> int:
        """How often all images have been seen, from 0; 0 where the data has no end."""
        count = getattr(getattr(self._trainer.batches, "data", None), "images", ())
        return self._trainer.images_seen // len(count) if len(count) else 0

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

    def _sample(self, function, shape, stream: str = "noise") -> Tensor:
        if stream not in self._streams:
            self._streams[stream] = self._trainer.random(*self._key, stream)
        random = self._streams[stream]
        whole = function(self._whole_batch, *shape, generator=random, device=random.device, dtype=self._trainer.dtype)
        return whole[self._rows]

    @property
    def _whole_batch(self) -> int:
        return self._trainer.training.batch_size * self._draw.multiplier

    @property
    def _rows(self) -> slice:
        times = self._draw.multiplier
        return slice(self._part.start * times, self._part.stop * times)


def _first(result: Any) -> Any:
    return result[0] if isinstance(result, tuple) else result


def _rows_of(images: Tensor, known: Tensor | None) -> slice | None:
    """Where the `known` images stand among these: all of them, or a block of a concatenation; None if nowhere."""
    if known is None or images.shape[1:] != known.shape[1:]:
        return None
    detached = not images.requires_grad and images.shape == known.shape and images.data_ptr() == known.data_ptr()
    if images is known or detached:
        return slice(None)
    count = len(known)
    starts = range(0, len(images) - count + 1, count) if len(images) > count else ()
    return next(
        (slice(start, start + count) for start in starts if torch.equal(images[start : start + count], known)), None
    )
