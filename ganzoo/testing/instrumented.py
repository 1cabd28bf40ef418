"""A training of which every phase is watched: what changed, which gradients came, and whether inputs stayed as they were."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from ganzoo.engine.trainer import Trainer


class InstrumentedTraining:
    """Trains `steps` steps and keeps what was seen.

    `changed` has, by phase, the roles whose parameters moved in it; `by_hand` those that its method changed itself;
    `stray` the parameters outside the phase's roles that got a gradient. `gradients` says of every trainable parameter
    whether a gradient came: None, "zero" or "some". `inputs` are the tensors that were given to the plugin's code, with copies.
    """

    def __init__(self, trainer: Trainer, steps: int):
        self.trainer = trainer
        self.changed: dict[str, set[str]] = {}
        self.by_hand: dict[str, set[str]] = {}
        self.stray: dict[str, set[str]] = {}
        self.unlearned = self._trainable()
        self.gradients: dict[str, str | None] = dict.fromkeys(self.unlearned)
        self.inputs: list[tuple[str, Tensor, Tensor]] = trainer.batches.given
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
        """Books what changed since the last phase began to that phase."""
        if self._before:
            self.changed.setdefault(self._phase, set()).update(self._moved())
        self._before = {}

    def _wrap_phase(self, name: str) -> Callable[[], None]:
        loss = self.trainer.loss
        method = getattr(loss, name)

        def call(turn):
            self._compare()
            self._phase, self._before = name, self._snapshot()
            terms = method(turn)
            self.by_hand.setdefault(name, set()).update(self._moved())
            return terms

        vars(loss)[name] = call
        return lambda: vars(loss).pop(name, None)

    def _wrap_latent(self) -> Callable[[], None]:
        generator = self.trainer.generator
        draw = generator.latent

        def latent(n, random):
            drawn = draw(n, random)
            self.inputs.append(("the latents (turn.latent)", drawn, drawn.detach().clone()))
            return drawn

        vars(generator)["latent"] = latent
        return lambda: vars(generator).pop("latent", None)

    def _wrap_optimizer(self, role: str) -> None:
        optimizer = self.trainer.optimizers[role]
        step = optimizer.step

        def watched_step(*arguments, **options):
            self._look()
            return step(*arguments, **options)

        optimizer.step = watched_step

    def _look(self) -> None:
        """Notes, before an optimizer steps, which parameters have gradients."""
        roles = self._updates[self._phase]
        for name, parameter in self._parameters().items():
            if parameter.grad is None:
                continue
            if name.partition(".")[0] not in roles:
                self.stray.setdefault(self._phase, set()).add(name)
            elif name in self.gradients and self.gradients[name] != "some":
                self.gradients[name] = "some" if bool(parameter.grad.count_nonzero()) else "zero"
