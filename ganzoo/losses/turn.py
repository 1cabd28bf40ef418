"""What a loss sees in one phase: networks, minibatch, latents, fakes and logits."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from typing import Any, Literal

import torch
from torch import Tensor

from ganzoo.losses.penalties import at_least_float32
from ganzoo.losses.phase import Phase

OWN_LABEL: Any = object()
Source = Literal["real", "fake"]


class Minibatch:
    """Numbers one minibatch when its real images or labels are first asked for.

    Micro-batches and processes share the number and the random streams, and each takes its slice of the whole
    minibatch, so that a split changes no sample.
    """

    def __init__(self, trainer: Any, key: tuple[Any, ...], multiplier: int):
        self.trainer, self.key, self.multiplier = trainer, key, multiplier
        self._number: int | None = None

    @property
    def number(self) -> int:
        """The number of the batch in the data; the first access takes the next one."""
        if self._number is None:
            self._number = self.trainer.take_batch()
        return self._number


class Turn:
    """Gives a loss the networks and the minibatch of one phase; each part is made on first access.

    `generator`, `discriminator`: the networks. `step`: the training step, from 0. `real` (N, C, H, W) in [-1, 1],
    `label` (N,) int64 or None if unlabelled, `latent` (N, latent_dim), `fake` = generator(latent, label), which carries
    a graph into the generator only in a phase that updates it.
    """

    def __init__(
        self,
        trainer: Any,
        phase: Phase,
        minibatch: Minibatch,
        part: slice,
        key: tuple[Any, ...],
        keep_graph: bool = False,
        shared: dict[str, Any] | None = None,
    ):
        self._trainer, self._phase, self._minibatch, self._part, self._key = trainer, phase, minibatch, part, key
        self._keep_graph = keep_graph
        self._shared: dict[str, Any] = {} if shared is None else shared
        self._detached_fake: Tensor | None = None
        self._streams: dict[str, torch.Generator] = {}
        self._scores: dict[Source, Tensor] = {}
        self._scored_fakes: tuple[Tensor, Tensor | None] | None = None
        self.generator, self.discriminator, self.step = trainer.generator, trainer.discriminator, trainer.step_number

    def follow(self, phase: Phase, key: tuple[Any, ...], keep_graph: bool = False) -> Turn:
        """Returns the turn of a phase with `fresh=False`: the same minibatch, latents and fakes."""
        return Turn(self._trainer, phase, self._minibatch, self._part, key, keep_graph, self._shared)

    def release(self) -> None:
        """Drops the fakes' graph, which a backward pass through the generator has used up."""
        if "fake" in self._shared:
            self._shared["fake"] = self._shared["fake"].detach()

    @property
    def real(self) -> Tensor:
        """Real images; a phase that never asks for them takes no batch of the data."""
        if "real" not in self._shared:
            images = self._trainer.batches.images(self._minibatch.number, self._part)
            self._shared["real"] = images.to(self._trainer.dtype)
        return self._shared["real"]

    @property
    def label(self) -> Tensor | None:
        """The real images' labels, which the fakes share; None if the run is unlabelled."""
        if self._trainer.image.classes == 0:
            return None
        if "label" not in self._shared:
            real = self._minibatch.multiplier == 1
            self._shared["label"] = (
                self._trainer.batches.labels(self._minibatch.number, self._part) if real else self.random_label()
            )
        return self._shared["label"]

    @property
    def latent(self) -> Tensor:
        """Latents from the generator's prior."""
        if "latent" not in self._shared:
            random = self._trainer.random(*self._minibatch.key, "latent")
            whole = self.generator.latent(self._whole_batch, random)
            self._shared["latent"] = whole[self._rows].to(self._trainer.dtype)
        return self._shared["latent"]

    @property
    def fake(self) -> Tensor:
        """The generator's images of `latent`, computed once however many phases go on with them.

        Only a second phase that updates the generator computes them anew, for the first has changed its parameters.
        """
        fake = self._shared.get("fake")
        learning = "generator" in self._phase.updates
        if fake is None or (learning and not fake.requires_grad):
            with self._trainer.trainable("generator") if self._keep_graph else nullcontext():
                fake = self._shared["fake"] = self.generator(self.latent, self.label)
        if learning:
            return fake
        if self._detached_fake is None:  # one object for the whole phase: `logits` knows it by identity
            self._detached_fake = fake.detach()
        return self._detached_fake

    def logits(
        self, images: Tensor, label: Tensor | None = OWN_LABEL, *, stands_for: Source | None = None, **heads: Any
    ) -> Any:
        """Augments the images and scores them with the discriminator; `label` is this turn's unless given.

        `heads` go to the discriminator's forward. Logits (N,) are float32 at least, whatever the precision of the
        networks. The objects `turn.real` and `turn.fake`, with this turn's label, are known by identity. For a changed
        copy of them (with noise, say, or with a gradient of its own), `stands_for` states the original, "real" or
        "fake"; an adaptive augmentation and the regularizers then treat its logits as those of the original.
        """
        if stands_for is None:
            stands_for = self._identified(images, label)
        label = self.label if label is OWN_LABEL else label
        result = self._judged(images, label, heads)
        if stands_for == "fake" and self._scored_fakes is None:
            self._scored_fakes = images.detach(), label
        return self._recorded(result, stands_for)

    def logits_of_both(self, real: Tensor | None = None, fake: Tensor | None = None, **heads: Any) -> tuple[Any, Any]:
        """Scores real images and fakes in one pass over their concatenation; returns what `logits` does for each.

        Batch norm then takes its statistics over both. `real` and `fake` are `turn.real` and `turn.fake`, or the
        changed copies (N, C, H, W) that stand for them. Both have this turn's label. Of a tuple of heads, each tensor
        of 2N rows is split, and anything else is returned for both.
        """
        real = self.real if real is None else real
        fake = self.fake if fake is None else fake
        label = None if self.label is None else torch.cat([self.label, self.label])
        halves = _split(self._judged(torch.cat([real, fake]), label, heads), len(real), len(fake))
        if self._scored_fakes is None:
            self._scored_fakes = fake.detach(), self.label
        return self._recorded(halves[0], "real"), self._recorded(halves[1], "fake")

    @property
    def real_logits(self) -> Tensor:
        """Logits (N,) of `turn.real`: the ones that the loss computed in this phase, or else computed now."""
        return self._scores["real"] if "real" in self._scores else _first(self.logits(self.real))

    @property
    def fake_logits(self) -> Tensor:
        """Logits (N,) of `turn.fake`, likewise; under a regularizer that selects, the selected ones."""
        return self._scores["fake"] if "fake" in self._scores else _first(self.logits(self.fake))

    @property
    def scored_fake(self) -> tuple[Tensor, Tensor | None]:
        """The images (N, C, H, W) of `fake_logits`, without a graph, and the labels (N,) they were scored with.

        They are the loss's, which may be others than `turn.fake` with `turn.label`: with labels of their own, say.
        """
        return (self.fake.detach(), self.label) if self._scored_fakes is None else self._scored_fakes

    @property
    def real_is_low(self) -> bool:
        """Whether the loss gives real images the lower logits, as losses on energies do."""
        return bool(self._trainer.loss.real_is_low)

    @property
    def unselected(self) -> bool:
        """True if a regularizer selects among the fakes of this phase, but received no logits of them."""
        return "fake" not in self._scores and self._trainer.selects(self._phase)

    @property
    def unobserved(self) -> bool:
        """True if real images were used, but an augmentation that observes their logits received none."""
        return self._adapts and "real" in self._shared and "real" not in self._scores

    @property
    def _adapts(self) -> bool:
        """Whether an adaptive augmentation observes the real logits of this phase."""
        return "discriminator" in self._phase.updates and self._trainer.observing

    def _judged(self, images: Tensor, label: Tensor | None, heads: dict[str, Any]) -> Any:
        return at_least_float32(self.discriminator(self._augmented(images), label, **heads))

    def _augmented(self, images: Tensor) -> Tensor:
        augmentation = self._trainer.augmentation
        if augmentation is None:
            return images
        augmentation._turn = self
        try:
            return augmentation(images)
        finally:
            augmentation._turn = None

    def _identified(self, images: Tensor, label: Tensor | None) -> Source | None:
        """Returns "real" or "fake" if the images are that very object and the label is theirs; else None."""
        unlabelled = self._trainer.image.classes == 0
        if not (unlabelled or label is OWN_LABEL or label is self._shared.get("label", OWN_LABEL)):
            return None
        if images is self._shared.get("real"):
            return "real"
        return "fake" if images is self._detached_fake or images is self._shared.get("fake") else None

    def _recorded(self, result: Any, source: Source | None) -> Any:
        """Keeps the first logits of real images and of fakes for regularizers, and lets these select among fakes."""
        if source is None:
            return result
        logits = _first(result)
        if source == "real":
            if "real" not in self._scores:
                self._scores["real"] = logits
                if self._adapts:
                    self._trainer.augmentation.observe(self._from_boundary(logits.detach()))
            return result
        if source != "fake":
            raise ValueError(f"stands_for is 'real' or 'fake', not {source!r}")
        first = "fake" not in self._scores
        if first:
            self._scores["fake"] = logits  # `select` itself may read `turn.fake_logits`
        selected = self._trainer.select(self, self._phase, logits)
        if first:
            self._scores["fake"] = selected
        return (selected, *result[1:]) if isinstance(result, tuple) else selected

    def _from_boundary(self, logits: Tensor) -> Tensor:
        """Returns the distances of logits from the loss's boundary, above 0 on the side of real images."""
        boundary = self._trainer.loss.boundary
        if boundary is None:
            return logits
        distance = logits - boundary if boundary else logits
        return -distance if self.real_is_low else distance

    def for_images(self, function: Callable[..., Tensor], count: int, shape: tuple[int, ...]) -> Tensor:
        """Returns random numbers (count, *shape) for an augmentation, the same however the batch is split."""
        blocks = -(-count // (self._rows.stop - self._rows.start))
        return torch.cat([self._sample(function, shape, "augmentation") for _ in range(blocks)])[:count]

    @property
    def epoch(self) -> int:
        """The number of full passes over the images so far; 0 for data without an end."""
        count = getattr(getattr(self._trainer.batches, "data", None), "images", ())
        return self._trainer.images_seen // len(count) if len(count) else 0

    def uniform(self, *shape: int) -> Tensor:
        """Returns uniform numbers in [0, 1) of shape (N, *shape), the same however the batch is split."""
        return self._sample(torch.rand, shape)

    def normal(self, *shape: int) -> Tensor:
        """Returns standard normal numbers of shape (N, *shape), the same however the batch is split."""
        return self._sample(torch.randn, shape)

    def random_label(self) -> Tensor | None:
        """Samples labels (N,) uniformly from all classes; None if the run is unlabelled."""
        classes = self._trainer.image.classes
        return (self.uniform() * classes).long().clamp_(max=classes - 1) if classes else None

    def _sample(self, function: Callable[..., Tensor], shape: tuple[int, ...], stream: str = "noise") -> Tensor:
        if stream not in self._streams:
            self._streams[stream] = self._trainer.random(*self._key, stream)
        random = self._streams[stream]
        whole = function(self._whole_batch, *shape, generator=random, device=random.device, dtype=self._trainer.dtype)
        return whole[self._rows]

    @property
    def _whole_batch(self) -> int:
        return self._trainer.training.batch_size * self._minibatch.multiplier

    @property
    def _rows(self) -> slice:
        times = self._minibatch.multiplier
        return slice(self._part.start * times, self._part.stop * times)


def _first(result: Any) -> Any:
    return result[0] if isinstance(result, tuple) else result


def _split(result: Any, real: int, fake: int) -> tuple[Any, Any]:
    """The rows of real images and of fakes in a result of both."""
    if isinstance(result, tuple | list):
        pairs = [_split(item, real, fake) for item in result]
        return type(result)(pair[0] for pair in pairs), type(result)(pair[1] for pair in pairs)
    if isinstance(result, Tensor) and result.ndim and len(result) == real + fake:
        return result[:real], result[real:]
    return result, result
