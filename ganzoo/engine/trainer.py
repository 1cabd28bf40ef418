"""The training loop's step: runs the phases of a loss. It knows phases and roles, and no variant's name."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from copy import deepcopy
from functools import partial
from types import MappingProxyType
from typing import Any, Protocol, TypeVar, cast

import torch
from torch import Tensor, nn

from ganzoo.engine.batch_norm import BATCH, BATCHES, has_statistics, recalibrate_batch_norm
from ganzoo.engine.distributed import ALONE, Processes, parts
from ganzoo.engine.optimizers import build_optimizer, match_layout, stage
from ganzoo.engine.randomness import hashed, process_randomness, seed_process
from ganzoo.engine.schedules import Schedules
from ganzoo.errors import PluginError, UsageError
from ganzoo.losses import Augmentation, Loss, Phase, Regularizer, Turn
from ganzoo.losses.phase import ROLES
from ganzoo.losses.turn import Minibatch
from ganzoo.networks import Generator
from ganzoo.networks.inputs import accepted_inputs
from ganzoo.networks.precision import float32_by_default
from ganzoo.variant import SampleSpec, Training

STATEFUL = ("loss", "augmentation", "regularizers")  # roles whose buffers steer later steps

Module = TypeVar("Module", bound=nn.Module)


class Minibatches(Protocol):
    """The training data: minibatches by number, of which a micro-batch or process takes the slice `part`.

    `sample` returns the fields of a slice by name, a pure function of the seed and the number: "output", "label" where
    there are labels, and the inputs of the specification.
    """

    def sample(self, number: int, part: slice) -> Mapping[str, Tensor]: ...


class Trainer:
    """Trains the networks of one variant, one step at a time.

    A step is a pure function of the state, the seed and the data: all random numbers are derived from (seed, step), so
    there is no generator state to save, and the process-wide one is restored after each step. `precision` "bf16" runs
    networks under autocast; parameters, optimizers and penalties stay in `dtype`. `assets` are the sha256 of pretrained
    networks that parts hold, by their place in the settings.
    """

    def __init__(
        self,
        *,
        generator: Generator,
        discriminator: nn.Module | None,
        loss: Loss,
        batches: Minibatches,
        image: SampleSpec,
        training: Training,
        augmentation: Augmentation | None = None,
        regularizers: dict[str, Regularizer] | None = None,
        seed: int = 0,
        device: torch.device | str = "cpu",
        dtype: torch.dtype = torch.float32,
        precision: str = "fp32",
        processes: Processes = ALONE,
        assets: Mapping[str, str] = MappingProxyType({}),
    ):
        self.device, self.dtype, self.precision = torch.device(device), dtype, precision
        self.assets = dict(assets)
        self.image, self.training, self.batches, self.seed, self.processes = image, training, batches, seed, processes
        self.regularizers = nn.ModuleDict(
            {name.replace(".", "_"): module for name, module in (regularizers or {}).items()}
        )
        pair: list[nn.Module] = [generator] if discriminator is None else [generator, discriminator]
        self.channels_last = all(getattr(network, "channels_last", True) for network in pair)
        place = partial(_place, device=self.device, dtype=dtype, channels_last=self.channels_last)
        self.generator, self.loss = place(generator), place(loss)
        self.discriminator = None if discriminator is None else place(discriminator)
        self.augmentation = None if augmentation is None else place(augmentation)
        place(self.regularizers)
        self.generator_inputs = accepted_inputs(self.generator, image.sources)
        self.discriminator_inputs = (
            () if self.discriminator is None else accepted_inputs(self.discriminator, image.sources)
        )
        self.phases = _checked_phases(self.loss, self.discriminator, self.regularizers)
        _check_inputs(self)
        processes.broadcast(self.modules().values())
        self.ema = _frozen_copy(self.generator) if training.averages else None
        self._trainable = {
            role: [p for p in module.parameters() if p.requires_grad] for role, module in self.modules().items()
        }
        updated = {role for phase in self.phases for role in phase.updates if self._trainable.get(role)}
        self.optimizers = {
            role: build_optimizer(training, role, self._trainable[role], self.device)
            for role in ROLES
            if role in updated
        }
        scheduled = {f"regularizers.{name}": module for name, module in (regularizers or {}).items()}
        networks = {"generator": self.generator, "discriminator": self.discriminator, "loss": self.loss}
        self._schedules = Schedules(
            training, self.optimizers, {**networks, "augmentation": self.augmentation, **scheduled}
        )
        self.observing = augmentation is not None and type(augmentation).observe is not Augmentation.observe
        self.unobserved: set[str] = set()  # phases in which an adaptive augmentation received no real logits
        self.unselected: set[str] = set()  # phases in which a regularizer that selects received no fakes' logits
        self.micro_batches = parts(training, processes)
        self.step_number = 0
        self.batches_taken = 0
        self._recalibrated_at = 0  # the step of the EMA's batch-norm statistics; at step 0 the EMA is the generator
        self.attempt = 0  # raised by a rollback, so that the same state continues with other random numbers

    def modules(self) -> dict[str, nn.Module]:
        """Returns everything that has parameters or buffers, by role."""
        named: dict[str, nn.Module | None] = {
            "generator": self.generator,
            "discriminator": self.discriminator,
            "loss": self.loss,
            "augmentation": self.augmentation,
            "regularizers": self.regularizers,
        }
        return {role: module for role, module in named.items() if module is not None}

    @property
    def sampler(self) -> Generator:
        """The generator to sample from: the moving average with recalibrated batch norm if there is one."""
        if self.ema is None:
            return self.generator
        if self._recalibrated_at != self.step_number and has_statistics(self.ema):
            with process_randomness(self.device), float32_by_default():
                seed_process(0, self.device)
                recalibrate_batch_norm(self.ema, self._statistics_batches())
            self._recalibrated_at = self.step_number
        return self.ema

    def _statistics_batches(self) -> Iterator[tuple[Tensor, Tensor | None, dict[str, Tensor]]]:
        """Yields latents, labels and inputs for the batch statistics of the EMA generator; takes no batch of the run.

        A generator with inputs sees those of the first training batches, others latents of every class.
        """
        random, classes = self.random(self.step_number, "statistics"), self.image.classes
        labels = torch.arange(BATCH, device=self.device) % classes if classes else None
        if not self.generator_inputs:
            latents = [self.generator.latent(BATCH, random).to(self.dtype) for _ in range(BATCHES)]
            yield from ((latent, labels, {}) for latent in latents)
            return
        whole = slice(0, self.training.batch_size)
        for number in range(max(1, BATCHES * BATCH // self.training.batch_size)):
            fields = self.batches.sample(number, whole)
            inputs = {name: fields[name].to(self.dtype) for name in self.generator_inputs}
            latent = self.generator.latent(self.training.batch_size, random).to(self.dtype)
            yield latent, fields["label"] if classes else None, inputs

    @property
    def images_seen(self) -> int:
        """The number of real images that all processes together have used."""
        return self.batches_taken * self.training.batch_size

    def take_batch(self) -> int:
        """Takes the next batch of real images and returns its number."""
        self.batches_taken += 1
        return self.batches_taken - 1

    def random(self, *key: Any) -> torch.Generator:
        """Returns a random generator on the device whose stream depends on the seed and the key alone."""
        return torch.Generator(self.device).manual_seed(hashed(self.seed, self.attempt, *key))

    # -- one step ----------------------------------------------------------------------------------------------------

    def step(self) -> dict[str, Tensor]:
        """Runs every phase of one training step; returns its terms as "phase.term", detached and on the device."""
        values = self._scheduled()
        terms: dict[str, Tensor] = {}
        turns: list[Turn] | None = None
        with process_randomness(self.device), float32_by_default():
            for index, phase in enumerate(self.phases):
                for repeat in range(phase.repeats_at(self.step_number)):
                    key = (self.step_number, index, repeat)
                    turns = self._turns(phase, key, turns, self._needs_graph(index))
                    terms.update(self._take_turns(phase, key, turns))
        self._average(values)
        if self.augmentation is not None:
            self.augmentation.adapt(self.processes.size)
        self.step_number += 1
        return terms

    def _scheduled(self) -> dict[str, float]:
        """Sets every scheduled value; the optimizer of a network that this brings to a new stage starts anew."""
        modules = self.modules()
        before = {role: stage(modules[role]) for role in self.optimizers}
        values = self._schedules.at(self.step_number)
        for role, optimizer in self.optimizers.items():
            if stage(modules[role]) != before[role]:
                optimizer.state.clear()
        return values

    def _turns(self, phase: Phase, key: tuple, previous: list[Turn] | None, keep_graph: bool) -> list[Turn]:
        if not phase.fresh and previous is not None:
            return [turn.follow(phase, key, keep_graph) for turn in previous]
        minibatch = Minibatch(self, key, phase.batch)
        return [Turn(self, phase, minibatch, part, key, keep_graph) for part in self.micro_batches]

    def _needs_graph(self, index: int) -> bool:
        """Whether a later phase of this step goes on with this phase's fakes and updates the generator with them."""
        if "generator" in self.phases[index].updates:
            return False
        for phase in self.phases[index + 1 :]:
            if not phase.repeats_at(self.step_number):
                continue
            if phase.fresh:
                return False
            if "generator" in phase.updates:
                return True
        return False

    def _take_turns(self, phase: Phase, key: tuple, turns: list[Turn]) -> dict[str, Tensor]:
        """Runs one optimizer step: freeze the other roles, sum the terms, backward, average over processes, update."""
        method = getattr(self.loss, phase.name)
        self._freeze_all_but(phase.updates)
        logged: dict[str, Tensor] = {}
        for micro, turn in enumerate(turns):
            seed_process(hashed(self.seed, self.attempt, *key, self.processes.rank, micro), self.device)
            with torch.autocast(self.device.type, torch.bfloat16, enabled=self.precision == "bf16"):
                terms = _checked_terms(method(turn), f"{type(self.loss).__name__}.{phase.name}")
                if turn.unselected:
                    self.unselected.add(phase.name)
                terms = self._with_regularizers(phase, turn, terms)
            total = cast(Tensor, sum(terms.values()))
            if not total.requires_grad:
                raise PluginError(
                    f"No term of {type(self.loss).__name__}.{phase.name} depends on a parameter "
                    f"of the {' or '.join(phase.updates)}."
                )
            (total / len(turns) if len(turns) > 1 else total).backward()
            for name, term in terms.items():
                value = term.detach() / len(turns) if len(turns) > 1 else term.detach()
                logged[name] = logged[name] + value if name in logged else value
            if turn.unobserved:
                self.unobserved.add(phase.name)
            if "generator" in phase.updates:
                turn.release()
        for role in phase.updates:
            if role in self.optimizers:
                self.processes.average_gradients(self._trainable[role])
                self.optimizers[role].step()
                self.optimizers[role].zero_grad(set_to_none=True)
        self.processes.average_buffers(self.modules()[role] for role in STATEFUL if role in self.modules())
        return {f"{phase.name}.{name}": value for name, value in logged.items()}

    def _due(self, phase: Phase) -> Iterator[tuple[str, Regularizer]]:
        """Yields the regularizers that take part in a phase of this step."""
        for name, module in self.regularizers.items():
            regularizer = cast(Regularizer, module)
            if regularizer.phase == phase.name and self.step_number % regularizer.every == 0:
                yield name, regularizer

    def _with_regularizers(self, phase: Phase, turn: Turn, terms: dict[str, Tensor]) -> dict[str, Tensor]:
        for name, regularizer in self._due(phase):
            selects_only = (
                type(regularizer).forward is Regularizer.forward and type(regularizer).select is not Regularizer.select
            )
            if not selects_only:
                more = _checked_terms(regularizer(turn), f"{type(regularizer).__name__}.forward")
                terms = {**terms, **{f"{name}.{key}": value for key, value in more.items()}}
        return terms

    def selects(self, phase: Phase) -> bool:
        """Whether a regularizer of a phase of this step selects among the fakes."""
        return any(type(regularizer).select is not Regularizer.select for _, regularizer in self._due(phase))

    def select(self, turn: Turn, phase: Phase, logits: Tensor) -> Tensor:
        """Returns the logits of fakes as the regularizers of a phase select them."""
        for _, regularizer in self._due(phase):
            logits = regularizer.select(turn, logits)
        return logits

    def _freeze_all_but(self, roles: tuple[str, ...]) -> None:
        for role, parameters in self._trainable.items():
            for parameter in parameters:
                parameter.requires_grad_(role in roles)

    @contextmanager
    def trainable(self, role: str) -> Iterator[None]:
        """Lets gradients reach a role's parameters inside the context although the current phase does not update it."""
        parameters = self._trainable[role]
        before = [parameter.requires_grad for parameter in parameters]
        for parameter in parameters:
            parameter.requires_grad_(True)
        try:
            yield
        finally:
            for parameter, flag in zip(parameters, before, strict=True):
                parameter.requires_grad_(flag)

    @torch.no_grad()
    def _average(self, values: dict[str, float]) -> None:
        """Moves the EMA of the parameters towards the generator and copies buffers, whose mean would mean nothing.

        The copied batch-norm statistics are those of other weights; `sampler` recalibrates them before they are used.
        """
        if self.ema is None:
            return
        decay = values.get("ema", self._decay()) if self.step_number >= self.training.ema_start else 0.0
        torch._foreach_lerp_(list(self.ema.parameters()), list(self.generator.parameters()), 1 - decay)
        for mean, buffer in zip(self.ema.buffers(), self.generator.buffers(), strict=True):
            mean.copy_(buffer)

    def _decay(self) -> float:
        """The decay of this step's average: fixed, or by a half-life in images with a ramp (Karras et al. 2020).

        The official counter adds the batch size once a step, however many batches its phases take.
        """
        training = self.training
        if training.ema_images is None:
            return training.ema or 0.0
        half_life = training.ema_images
        if training.ema_ramp is not None:
            half_life = min(half_life, self.step_number * training.batch_size * training.ema_ramp)
        return 0.5 ** (training.batch_size / max(half_life, 1e-8))

    @torch.no_grad()
    def magnitudes(self) -> dict[str, float]:
        """Returns the largest magnitude among the weights of each role that is trained; NaN if one is."""
        weights: dict[str, list[Tensor]] = {role: [*self._trainable[role]] for role in self.optimizers}
        largest = {role: torch.stack(torch._foreach_norm(found, math.inf)).max() for role, found in weights.items()}
        return {role: float(value) for role, value in largest.items()}

    # -- state -------------------------------------------------------------------------------------------------------

    def state(self) -> dict[str, Any]:
        """Returns all that changes in training: trees of tensors and plain values, one for each checkpoint file."""
        if self.processes.size > 1:
            self.processes.average_buffers([*self.modules().values(), *([] if self.ema is None else [self.ema])])
            self._recalibrated_at = -1  # a process that has sampled averaged other statistics than one that has not
        trees: dict[str, Any] = {"generator": self.generator.state_dict()}
        if self.ema is not None:
            trees["generator_ema"] = self.sampler.state_dict()
        if self.discriminator is not None:
            trees["discriminator"] = self.discriminator.state_dict()
        trees["training"] = {
            "step": self.step_number,
            "batches_taken": self.batches_taken,
            "attempt": self.attempt,
            "optimizers": {role: optimizer.state_dict() for role, optimizer in self.optimizers.items()},
            "modules": {role: self.modules()[role].state_dict() for role in STATEFUL if role in self.modules()},
        }
        return trees

    def load_state(self, trees: dict[str, Any]) -> None:
        """Restores a `state`; training on from it is bit for bit the same as never having stopped."""
        training = trees["training"]
        self.generator.load_state_dict(trees["generator"])
        if self.ema is not None:
            self.ema.load_state_dict(trees["generator_ema"])
        if self.discriminator is not None:
            self.discriminator.load_state_dict(trees["discriminator"])
        for role, state in training["modules"].items():
            self.modules()[role].load_state_dict(state)
        for role, optimizer in self.optimizers.items():
            optimizer.load_state_dict(training["optimizers"][role])
            match_layout(optimizer)
        self.step_number, self.batches_taken = training["step"], training["batches_taken"]
        self.attempt, self._recalibrated_at = training["attempt"], -1


def _place(module: Module, device: torch.device, dtype: torch.dtype, channels_last: bool) -> Module:
    layout = {"memory_format": torch.channels_last} if channels_last else {}
    return module.to(device=device, dtype=dtype, **layout).train()  # type: ignore[call-overload]


def _frozen_copy(module: Module) -> Module:
    return deepcopy(module).eval().requires_grad_(False)


def _checked_phases(loss: Loss, discriminator: nn.Module | None, regularizers: nn.ModuleDict) -> tuple[Phase, ...]:
    name = type(loss).__name__
    for phase in loss.phases:
        unknown = [role for role in phase.updates if role not in ROLES]
        if unknown:
            raise PluginError(
                f"Phase '{phase.name}' of {name} updates '{unknown[0]}'; known roles: {', '.join(ROLES)}."
            )
        if "discriminator" in phase.updates and discriminator is None:
            raise PluginError(f"Phase '{phase.name}' of {name} updates the discriminator, but the variant has none.")
        repeats = 1 if callable(phase.repeats) else phase.repeats
        if min(repeats, phase.every, phase.batch) < 1:
            facts = f"repeats {repeats}, every {phase.every}, batch {phase.batch}"
            raise UsageError(
                f"Phase '{phase.name}' of {name} cannot run ({facts}): give its options that count steps or batches "
                "at least 1."
            )
        if not callable(getattr(loss, phase.name, None)):
            raise PluginError(f"{name} has a phase '{phase.name}' but no method of that name.")
    names = [phase.name for phase in loss.phases]
    for regularizer, module in regularizers.items():
        if module.phase not in names:
            raise UsageError(
                f"The regularizer '{regularizer}' belongs to a phase '{module.phase}'; "
                f"the phases of {name} are: {', '.join(names)}."
            )
    return tuple(loss.phases)


def _check_inputs(trainer: Trainer) -> None:
    """PluginError or UsageError for parts that cannot work on these samples."""
    kind = trainer.image.output.kind
    mixins: dict[str, Any] = dict(trainer.regularizers.items())
    mixins |= {"augmentation": trainer.augmentation} if trainer.augmentation is not None else {}
    for name, mixin in mixins.items():
        if kind not in mixin.kinds:
            kinds = " and ".join(mixin.kinds)
            raise UsageError(f"{type(mixin).__name__} ({name}) works on samples of kind {kinds}, and these are {kind}.")
    if trainer.discriminator is not None:
        given = accepted_inputs(trainer.discriminator, trainer.loss.heads)
        if missing := [head for head in trainer.loss.heads if head not in given]:
            raise UsageError(
                f"The loss {type(trainer.loss).__name__} asks the discriminator for {' and '.join(missing)}, which "
                f"{type(trainer.discriminator).__name__} does not give: choose another loss or discriminator."
            )
    needed = trainer.generator_inputs or trainer.discriminator_inputs
    multiplied = next((phase for phase in trainer.phases if phase.batch != 1), None)
    if needed and multiplied is not None:
        raise PluginError(
            f"Phase '{multiplied.name}' of {type(trainer.loss).__name__} has {multiplied.batch} times the latents of a "
            f"batch, and the networks take '{needed[0]}', of which a batch has one for each sample."
        )


def _checked_terms(terms: Any, source: str) -> dict[str, Tensor]:
    good = (
        isinstance(terms, dict)
        and terms
        and all(isinstance(term, Tensor) and term.ndim == 0 for term in terms.values())
    )
    if good:
        return terms
    shown = (
        {name: tuple(term.shape) if isinstance(term, Tensor) else type(term).__name__ for name, term in terms.items()}
        if isinstance(terms, dict)
        else type(terms).__name__
    )
    raise PluginError(f"{source} must return {{term: scalar tensor}}, got {shown}.")
