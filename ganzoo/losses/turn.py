"""What a loss sees in one phase: networks, minibatch, latents, fakes and logits."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import nullcontext
from typing import Any, Literal

import torch
from torch import Tensor

from ganzoo.losses.penalties import at_least_float32
from ganzoo.losses.phase import Phase

OWN_LABEL: Any = object()
Source = Literal["real", "fake"]
FAKE = "fake"  # the name of the generation that `turn.fake` is


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

    `generator`, `discriminator`: the networks. `step`: the training step, from 0. `turn["source"]` is the field of that
    name. `real` is the field "output", such as images (N, C, H, W) in [-1, 1], `label` (N,) int64 or None if
    unlabelled, `latent` (N, latent_dim). `fake` is what the generator makes of latent, label and the inputs that its
    forward names; it carries a graph into the generator only in a phase that updates it.
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
        self._detached: dict[str, Tensor] = {}  # generations without their graph, for phases that do not update them
        self._streams: dict[str, torch.Generator] = {}
        self._scores: dict[Source, Tensor] = {}
        self._scored_fakes: tuple[Tensor, Tensor | None] | None = None
        self.generator, self.discriminator, self.step = trainer.generator, trainer.discriminator, trainer.step_number

    def follow(self, phase: Phase, key: tuple[Any, ...], keep_graph: bool = False) -> Turn:
        """Returns the turn of a phase with `fresh=False`: the same minibatch, latents and fakes."""
        return Turn(self._trainer, phase, self._minibatch, self._part, key, keep_graph, self._shared)

    def release(self) -> None:
        """Drops the graphs of generations, which a backward pass through the generator has used up."""
        for name, made in self._generations.items():
            self._generations[name] = made.detach()

    def __getitem__(self, name: str) -> Tensor:
        """Returns a field of the minibatch; a phase that never asks for one takes no batch of the data."""
        if name == "label":
            if self.label is None:
                raise KeyError("this run has no labels")
            return self.label
        if name not in self._fields:
            spec = self._trainer.image
            if name != "output" and name not in spec.inputs:
                raise KeyError(f"no field is called '{name}'; known: {', '.join(['output', *spec.inputs])}")
            value = self._minibatch_fields()[name].to(self._trainer.dtype)
            self._fields[name] = value if self._trainer.channels_last else value.contiguous()
        return self._fields[name]

    def _minibatch_fields(self) -> Mapping[str, Tensor]:
        """Returns the fields of this slice of the minibatch, the same mapping in every phase that goes on with it."""
        if "sample" not in self._shared:
            self._shared["sample"] = self._trainer.batches.sample(self._minibatch.number, self._part)
        return self._shared["sample"]

    @property
    def _fields(self) -> dict[str, Tensor]:
        return self._shared.setdefault("fields", {})

    @property
    def _generations(self) -> dict[str, Tensor]:
        return self._shared.setdefault("generations", {})

    @property
    def real(self) -> Tensor:
        """Real samples, the field "output"."""
        return self["output"]

    @property
    def label(self) -> Tensor | None:
        """The real images' labels, which the fakes share; None if the run is unlabelled."""
        if self._trainer.image.classes == 0:
            return None
        if "label" not in self._shared:
            real = self._minibatch.multiplier == 1
            self._shared["label"] = self._minibatch_fields()["label"] if real else self.random_label()
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
        """The generator's samples of `latent`, computed once however many phases go on with them.

        Only a second phase that updates the generator computes them anew, for the first has changed its parameters.
        """
        return self.made(FAKE)

    def made(self, name: str, **inputs: Any) -> Tensor:
        """Returns the generation `name`: that of this turn's latent, label and inputs, of which `inputs` replace some.

        It is computed once for all phases of a minibatch, as `fake` is, so that a second phase does not see what an
        updated generator makes of it. A cycle is `turn.made("cycle", source=turn.fake, back=True)`.
        """
        made = self._generations.get(name)
        learning = "generator" in self._phase.updates
        if made is None or (learning and not made.requires_grad):
            with self._trainer.trainable("generator") if self._keep_graph else nullcontext():
                own = {one: self[one] for one in self._trainer.generator_inputs if one not in inputs}
                given = {one: self._with_graph(value) for one, value in inputs.items()}
                label = given.pop("label", OWN_LABEL)
                label = self.label if label is OWN_LABEL else label
                made = self._generations[name] = self.generator(self.latent, label, **own, **given)
        if learning:
            return made
        if name not in self._detached:  # one object for the whole phase: `logits` knows it by identity
            self._detached[name] = made.detach()
        return self._detached[name]

    def _with_graph(self, value: Any) -> Any:
        """Returns the generation itself for its copy without a graph, if a later phase needs the graph."""
        if self._keep_graph:
            for name, copy in self._detached.items():
                if value is copy:
                    return self._generations[name]
        return value

    def gather(self, rows: Tensor) -> Tensor:
        """Returns the rows of all processes (n·processes, ...) in their order, without a graph.

        State that is fed with gathered rows, such as a pool of images, is the same in every process.
        """
        return self._trainer.processes.gather(rows.detach())

    def logits(
        self, images: Tensor, label: Tensor | None = OWN_LABEL, *, stands_for: Source | None = None, **heads: Any
    ) -> Any:
        """Augments the images and scores them with the discriminator; `label` is this turn's unless given.

        The discriminator gets the inputs that its forward names, which `heads` replace or add to. Logits (N, ...) are
        float32 at least, whatever the precision of the networks. The objects `turn.real` and `turn.fake`, with this
        turn's label, are known by identity. For a changed copy of them (with noise, say, or with a gradient of its
        own), `stands_for` states the original, "real" or "fake"; an adaptive augmentation and the regularizers then
        treat its logits as those of the original.
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
        """Logits (N, ...) of `turn.real`: the ones that the loss computed in this phase, or else computed now."""
        return self._scores["real"] if "real" in self._scores else _first(self.logits(self.real))

    @property
    def fake_logits(self) -> Tensor:
        """Logits (N, ...) of `turn.fake`, likewise; under a regularizer that selects, the selected ones."""
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
        """True if real images were used, but an augmentation that observes their logits received none.

        A phase that goes on with a minibatch need not pass the logits of the same images on again.
        """
        return self._adapts and "output" in self._fields and not self._shared.get("observed", False)

    @property
    def _adapts(self) -> bool:
        """Whether an adaptive augmentation observes the real logits of this phase."""
        return "discriminator" in self._phase.updates and self._trainer.observing

    def _judged(self, images: Tensor, label: Tensor | None, heads: dict[str, Any]) -> Any:
        inputs = {name: heads.get(name, OWN_LABEL) for name in self._trainer.discriminator_inputs}
        inputs = {name: _repeated(self[name], images) if one is OWN_LABEL else one for name, one in inputs.items()}
        images, inputs = self._augmented(images, inputs)
        return at_least_float32(self.discriminator(images, label, **{**heads, **inputs}))

    def _augmented(self, images: Tensor, inputs: dict[str, Any]) -> tuple[Tensor, dict[str, Any]]:
        """Augments images, and by the same random numbers the inputs that have their height and width."""
        augmentation = self._trainer.augmentation
        if augmentation is None:
            return images, inputs
        stream = self._stream("augmentation")
        augmentation._turn = self
        try:
            before = stream.get_state() if inputs else torch.empty(0)
            augmented = augmentation(images)
            for name, value in inputs.items():
                if isinstance(value, Tensor) and value.shape[2:] == images.shape[2:]:
                    stream.set_state(before)
                    inputs = {**inputs, name: augmentation(value)}
            return augmented, inputs
        finally:
            augmentation._turn = None

    def _identified(self, images: Tensor, label: Tensor | None) -> Source | None:
        """Returns "real" or "fake" if the images are that very object and the label is theirs; else None."""
        unlabelled = self._trainer.image.classes == 0
        if not (unlabelled or label is OWN_LABEL or label is self._shared.get("label", OWN_LABEL)):
            return None
        if images is self._fields.get("output"):
            return "real"
        return "fake" if images is self._detached.get(FAKE) or images is self._generations.get(FAKE) else None

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
                    self._shared["observed"] = True
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
        batches = self._trainer.batches
        return self._trainer.images_seen // len(batches) if hasattr(batches, "__len__") else 0

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
        random = self._stream(stream)
        whole = function(self._whole_batch, *shape, generator=random, device=random.device, dtype=self._trainer.dtype)
        return whole[self._rows]

    def _stream(self, name: str) -> torch.Generator:
        if name not in self._streams:
            self._streams[name] = self._trainer.random(*self._key, name)
        return self._streams[name]

    @property
    def _whole_batch(self) -> int:
        return self._trainer.training.batch_size * self._minibatch.multiplier

    @property
    def _rows(self) -> slice:
        times = self._minibatch.multiplier
        return slice(self._part.start * times, self._part.stop * times)


def _repeated(value: Tensor, images: Tensor) -> Tensor:
    """Repeats an input for a concatenation of several samples of each of its rows."""
    times, rest = divmod(len(images), len(value))
    if rest:
        raise ValueError(f"{len(images)} samples to score have no inputs of their own; the minibatch has {len(value)}")
    return value if times == 1 else torch.cat([value] * times)


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
