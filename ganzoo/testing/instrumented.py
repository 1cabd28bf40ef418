"""A training that records, for every phase, changed parameters, gradients and changed inputs."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import torch
from torch import Tensor

from ganzoo.data.sample import LazyFields
from ganzoo.engine.trainer import Minibatches, Trainer
from ganzoo.losses import Turn


class RecordedBatches:
    """Minibatches that add every tensor they return to `inputs`, with a copy."""

    def __init__(self, batches: Minibatches, inputs: list[tuple[str, Tensor, Tensor]]) -> None:
        self.batches, self.inputs = batches, inputs

    def sample(self, number: int, part: slice) -> Mapping[str, Tensor]:
        fields = self.batches.sample(number, part)
        return LazyFields({name: partial(self._record, fields, name) for name in fields})

    def _record(self, fields: Mapping[str, Tensor], name: str) -> Tensor:
        value = fields[name]
        known = {"output": "the real images (turn.real)", "label": "the labels (turn.label)"}
        self.inputs.append((known.get(name, f'the input turn["{name}"]'), value, value.clone()))
        return value


class InstrumentedTraining:
    """Trains a trainer for `steps` steps and records what changes.

    Attributes:
        changed: by phase, the parameters that changed in it.
        stray: by phase, the parameters of roles that it does not update, which got a gradient.
        gradients: for every trainable parameter None (no gradient), "zero" or "some".
        inputs: latents, images and labels that were passed to the plugin's code: description, tensor, copy.
        terms: the terms of every step.
    """

    def __init__(self, trainer: Trainer, steps: int) -> None:
        self.trainer = trainer
        self.changed: dict[str, set[str]] = {}
        self.stray: dict[str, set[str]] = {}
        self.trainable = self._trainable()
        self.gradients: dict[str, str | None] = dict.fromkeys(self.trainable)
        self.inputs: list[tuple[str, Tensor, Tensor]] = []
        trainer.batches = RecordedBatches(trainer.batches, self.inputs)
        self.terms: list[dict[str, Tensor]] = []
        self._phase = ""
        self._before: dict[str, Tensor] = {}
        self._updates = {phase.name: phase.updates for phase in trainer.phases}
        undo = [self._wrap_phase(name) for name in self._updates] + [self._wrap_latent()]
        for role in trainer.optimizers:
            self._wrap_optimizer(role)
        try:
            for _ in range(steps):
                self.terms.append({name: term.clone() for name, term in trainer.step().items()})
                self._compare()
        finally:
            for call in undo:
                call()

    def _trainable(self) -> dict[str, Tensor]:
        learning = {id(p) for ps in self.trainer._trainable.values() for p in ps}
        named = {
            f"{role}.{name}": p
            for role, module in self.trainer.modules().items()
            for name, p in module.named_parameters()
        }
        return {name: p for name, p in named.items() if id(p) in learning}

    def _parameters(self) -> dict[str, Tensor]:
        named = ((role, module.named_parameters()) for role, module in self.trainer.modules().items())
        return {f"{role}.{name}": p for role, parameters in named for name, p in parameters}

    def _snapshot(self) -> dict[str, Tensor]:
        return {name: p.detach().clone() for name, p in self._parameters().items()}

    def _moved(self) -> set[str]:
        now = self._parameters()
        return {name for name, value in self._before.items() if not torch.equal(value, now[name].detach())}

    def _compare(self) -> None:
        """Attributes all changes since the start of the last phase to that phase."""
        if self._before:
            self.changed.setdefault(self._phase, set()).update(self._moved())
        self._before = {}

    def _wrap_phase(self, name: str) -> Callable[[], None]:
        loss = self.trainer.loss
        method = getattr(loss, name)

        def call(turn: Turn) -> Mapping[str, Tensor]:
            self._compare()
            self._phase, self._before = name, self._snapshot()
            return method(turn)

        vars(loss)[name] = call
        return lambda: vars(loss).pop(name, None)

    def _wrap_latent(self) -> Callable[[], None]:
        generator = self.trainer.generator
        original = generator.latent

        def latent(n: int, random: torch.Generator) -> Tensor:
            latents = original(n, random)
            self.inputs.append(("the latents (turn.latent)", latents, latents.detach().clone()))
            return latents

        vars(generator)["latent"] = latent
        return lambda: vars(generator).pop("latent", None)

    def _wrap_optimizer(self, role: str) -> None:
        optimizer = self.trainer.optimizers[role]
        step = optimizer.step

        def recording_step(*arguments: Any, **options: Any) -> Any:
            self._record_gradients()
            return step(*arguments, **options)

        vars(optimizer)["step"] = recording_step

    def _record_gradients(self) -> None:
        """Records, before an optimizer steps, which parameters have gradients."""
        roles = self._updates[self._phase]
        for name, parameter in self._parameters().items():
            if parameter.grad is None:
                continue
            if name.partition(".")[0] not in roles:
                self.stray.setdefault(self._phase, set()).add(name)
            elif name in self.gradients and self.gradients[name] != "some":
                self.gradients[name] = "some" if bool(parameter.grad.count_nonzero()) else "zero"
