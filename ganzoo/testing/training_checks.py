"""Checks of training: determinism, gradients, batches, resuming, precision, side effects, and learning."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from ganzoo.checkpoints.checkpoint import load_checkpoint, save_checkpoint
from ganzoo.config.parts import part_mistakes
from ganzoo.engine.randomness import seeded
from ganzoo.engine.trainer import Trainer
from ganzoo.errors import GanzooError
from ganzoo.losses import Loss
from ganzoo.networks.inputs import call, select_inputs
from ganzoo.networks.latents import sample_latents
from ganzoo.runs import collapse as watch
from ganzoo.testing.checks import CheckFailed, CheckSkipped, check
from ganzoo.testing.subject import (
    BATCH,
    STEPS,
    SmoothImages,
    Subject,
    inputs_of,
    labels_of,
    narrowed,
    qualified,
    smooth,
)
from ganzoo.variant import SampleSpec

TINY = 8  # images to learn
LEARN_STEPS = 300
MEASURE_EVERY = 10
SAMPLES = 32  # of which the distance to the data is taken
CLOSER = 0.95  # of the distance before training
LEARN_RATE = 1e-3
LEARN_WIDTH = 32  # a critic of eight channels is too weak


def flat(tree: object, path: str = "") -> dict[str, object]:
    """Flattens a trainer's state: leaves by path, such as "generator.main.0.weight"."""
    if isinstance(tree, dict):
        return {
            name: leaf for key, value in tree.items() for name, leaf in flat(value, f"{path}.{key}".lstrip(".")).items()
        }
    if isinstance(tree, list | tuple):
        return {
            name: leaf for number, value in enumerate(tree) for name, leaf in flat(value, f"{path}.{number}").items()
        }
    return {path: tree.detach().clone() if isinstance(tree, Tensor) else tree}


def difference(one: dict[str, object], other: dict[str, object]) -> str:
    """Returns the path of the first leaf in which two flat states differ, or ""."""
    for name in dict.fromkeys([*one, *other]):
        if not equal(one.get(name), other.get(name)):
            return name
    return ""


def equal(one: object, other: object) -> bool:
    """True if two leaves are equal, tensors bit for bit; NaN, which optimizer states may contain, equals itself."""
    if isinstance(one, Tensor) and isinstance(other, Tensor):
        return (
            one.dtype == other.dtype and one.shape == other.shape and torch.equal(one.nan_to_num(), other.nan_to_num())
        )
    return one is other or one == other


@check("seeds")
def seeds(subject: Subject) -> None:
    """Compares two builds and trainings of one seed, and a build of another."""
    with seeded(11):
        one = subject.trainer()
    with seeded(12):
        other = subject.trainer()
    if where := difference(flat(one.state()), flat(other.state())):
        raise CheckFailed(
            f"Two builds of seed 0 differ in {where}: "
            "initialize with torch's random numbers, not with another source of randomness."
        )
    for step in range(STEPS):
        one.step(), other.step()
        if where := difference(flat(one.state()), flat(other.state())):
            raise CheckFailed(
                f"Two trainings of seed 0 differ in {where} after step {step + 1}: draw random numbers with "
                "turn.uniform, turn.normal or turn.latent in the loss and with torch's functions elsewhere; "
                "nothing may depend on time, memory addresses or the order of a set."
            )
    drawn = any(True for module in one.modules().values() for _ in module.parameters())
    if drawn and not difference(flat(subject.trainer(seed=1).state()), flat(subject.trainer().state())):
        raise CheckFailed(
            f"Seeds 0 and 1 build the same weights: {subject.named('generator')} must not seed torch itself."
        )


@check("gradients")
def gradients(subject: Subject) -> None:
    """Checks which parameters each phase changes and gives gradients to."""
    seen = subject.training
    loss = qualified(seen.trainer.loss)
    for phase in seen.trainer.phases:
        for action, names in (("gives gradients to", seen.stray), ("changes", seen.changed)):
            wrong = sorted(name for name in names.get(phase.name, ()) if name.partition(".")[0] not in phase.updates)
            if wrong:
                raise CheckFailed(
                    f"Phase '{phase.name}' of {loss} {action} {_some(wrong)}, but it updates "
                    f"{' and '.join(phase.updates)} only: a method computes terms; "
                    "it calls no backward and no optimizer, and writes to no other network."
                )
        for role in phase.updates:
            if phase.name in seen.changed and not any(name.startswith(f"{role}.") for name in seen.changed[phase.name]):
                raise CheckFailed(
                    f"Phase '{phase.name}' of {loss} updates the {role}, but no parameter of it changed: "
                    "no term depends on it, or its learning rate is 0."
                )
        if phase.name not in seen.changed:
            raise CheckFailed(
                f"Phase '{phase.name}' of {loss} did not run in the first {STEPS} steps: check its repeats and every."
            )


@check("parameters")
def parameters(subject: Subject) -> str:
    """Requires a gradient for every trainable parameter; only a vector's may be zero (a critic's last bias)."""
    seen = subject.training
    still = [name for name, gradient in seen.gradients.items() if gradient is None]
    idle = {role for role in seen.trainer.modules() if role not in seen.trainer.optimizers}
    if unlearned := sorted(name for name in still if name.partition(".")[0] in idle):
        role = unlearned[0].partition(".")[0]
        raise CheckFailed(
            f"{_some(unlearned)} can be trained, but no phase of {qualified(seen.trainer.loss)} updates '{role}': "
            "name it in a Phase's updates, freeze it with requires_grad_(False), or make it a buffer."
        )
    if still:
        module = qualified(seen.trainer.modules()[still[0].partition(".")[0]])
        raise CheckFailed(
            f"{_some(still)} never got a gradient in {STEPS} steps: "
            f"use it in {module}.forward without detaching, or remove it."
        )
    zero = [name for name, gradient in seen.gradients.items() if gradient == "zero"]
    if matrices := [name for name in zero if seen.trainable[name].ndim > 1]:
        raise CheckFailed(f"The gradient of {_some(matrices)} was zero in all of {STEPS} steps: no term depends on it.")
    return f"gradient always zero: {_some(zero)}" if zero else ""


def _some(names: list[str]) -> str:
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")


@check("inputs")
def inputs(subject: Subject) -> None:
    """Compares the inputs of the loss, and of each network called alone, with copies."""
    for description, tensor, before in subject.training.inputs:
        if not torch.equal(tensor, before):
            raise CheckFailed(
                f"{qualified(subject.training.trainer.loss)} or a network changed {description} in place: "
                "use a function without a trailing underscore."
            )
    trainer = subject.trainer()
    images, label = smooth(subject.image, BATCH, 0), labels_of(subject.image, BATCH)
    latent = trainer.generator.latent(BATCH, torch.Generator().manual_seed(0))
    given = inputs_of(subject.image, images)
    calls: list[tuple[nn.Module | None, dict[str, Tensor | None], dict[str, Tensor]]] = [
        (trainer.generator, {"latent": latent, "label": label}, given),
        (trainer.discriminator, {"images": images, "label": label}, given),
        (trainer.augmentation, {"images": images}, {}),
    ]
    for module, positional, known in calls:
        if module is None:
            continue
        named = select_inputs(module, known)
        arguments = {**positional, **named}
        copies = {name: argument.clone() for name, argument in arguments.items() if argument is not None}
        with torch.no_grad():
            module(*positional.values(), **named)
        for name, copy in copies.items():
            if not torch.equal(cast(Tensor, arguments[name]), copy):
                raise CheckFailed(
                    f"{qualified(module)}.forward changes its argument '{name}' in place: "
                    "its first layer may not be inplace=True."
                )


@check("batches")
def batches(subject: Subject) -> str:
    """Samples one by one and in a batch, then trains on batches of 3 and 1 and on micro-batches."""
    _require_independence(subject)
    notes = []
    _train(subject, "a batch of 3", batch=3)
    _train(subject, "a batch of 4 in 2 micro-batches", batch=4, accumulate=2)
    try:
        _train(subject, "a batch of 1", batch=1)
    except (CheckFailed, ValueError, GanzooError) as error:
        trainer = subject.trainer()
        normed = [
            role
            for role, module in trainer.modules().items()
            if any(isinstance(layer, _BatchNorm) for layer in module.modules())
        ]
        if isinstance(error, GanzooError) or (normed and "more than 1 value per channel" in str(error)):
            reason = error if isinstance(error, GanzooError) else f"batch norm of the {normed[0]} needs two values"
            notes.append(f"a batch of 1 cannot train: {reason}")
        elif isinstance(error, CheckFailed) or "more than 1 value" not in str(error):
            raise
    return "; ".join(notes)


def _require_independence(subject: Subject) -> None:
    generator = subject.generator
    latent, label = sample_latents(generator, 5, 0), labels_of(subject.image, 5)
    given = inputs_of(subject.image, smooth(subject.image, 5, 0))

    def rows(part: slice) -> Tensor:
        own = {name: value[part] for name, value in given.items()}
        return call(generator, latent[part], None if label is None else label[part], own)

    with torch.no_grad():
        together = rows(slice(0, 5))
        alone = torch.cat([rows(slice(i, i + 1)) for i in range(5)])
    if together.shape != alone.shape or not torch.allclose(together, alone, atol=1e-4):
        raise CheckFailed(
            f"{qualified(generator)} in evaluation mode generates other images one by one than in a batch: "
            "no layer may mix the samples of a batch."
        )


def _train(subject: Subject, description: str, **settings: Any) -> Trainer:
    """Trains for a few steps and requires finite terms and weights."""
    trainer = subject.trainer(**settings)
    for step in range(STEPS):
        for name, term in trainer.step().items():
            if not torch.isfinite(term):
                raise CheckFailed(
                    f"Term '{name}' of {qualified(trainer.loss)} is {float(term)} in step {step + 1} "
                    f"with {description}."
                )
    for role, module in trainer.modules().items():
        for name, tensor in module.state_dict().items():
            if tensor.is_floating_point() and not torch.isfinite(tensor).all():
                raise CheckFailed(f"{role}.{name} is not finite after {STEPS} steps with {description}.")
    return trainer


@check("resume")
def resume(subject: Subject) -> None:
    """Resumes from a checkpoint after one step with a new trainer, and compares with an uninterrupted run."""
    straight = subject.trainer()
    straight.step()
    path = save_checkpoint(subject.folder / "checkpoints", 1, straight.state())
    resumed = subject.trainer(seed=0)
    resumed.load_state(load_checkpoint(path)[1])
    for _ in range(STEPS):
        straight.step(), resumed.step()
    if where := difference(flat(straight.state()), flat(resumed.state())):
        role = where.partition(".")[0]
        raise CheckFailed(
            f"A resumed run differs in {where} from an uninterrupted one: all state that "
            f"{f'the {role}' if role in ('generator', 'discriminator') else 'the loss'} keeps between steps "
            "must be a buffer (register_buffer), not a plain attribute."
        )


@check("bf16")
def bf16(subject: Subject) -> None:
    """Trains under bfloat16 autocast on the CPU."""
    trainer = _train(subject, "--precision bf16", precision="bf16")
    for role, module in trainer.modules().items():
        for name, parameter in module.named_parameters():
            if parameter.dtype != torch.float32:
                raise CheckFailed(
                    f"{role}.{name} is {parameter.dtype} after training with --precision bf16: "
                    "do not change the dtype of weights."
                )


@check("globals")
def global_state(subject: Subject) -> None:
    """Random states and settings of the process after building, training and sampling."""
    if mistakes := subject.side_effects.mistakes:
        raise CheckFailed(mistakes[0])


@check("silence")
def silence(subject: Subject) -> None:
    """The first line that was written to standard output or standard error."""
    if printed := subject.side_effects.printed:
        raise CheckFailed(f"{printed}: return terms, which are logged, or leave it out.")


@check("learns")
def learns(subject: Subject) -> str:
    """Trains on eight images until samples are closer to them than those of the untrained generator."""
    images = smooth(subject.image, TINY, 0)
    trainer, paced = _short_run(subject, images)
    if not trainer.phases:
        raise CheckSkipped("the loss has no phase, so nothing learns")
    began, first = time.process_time(), distance(trainer, images)
    best = first
    for step in range(1, LEARN_STEPS + 1):
        trainer.step()
        if step % MEASURE_EVERY == 0:
            best = min(best, distance(trainer, images))
            if best <= CLOSER * first:
                return f"{first:.3g} to {best:.3g} in {step} steps{paced}"
            if time.process_time() - began > subject.patience:
                raise CheckSkipped(
                    f"after {step} steps and {subject.patience:g} s the distance went from {first:.3g} to "
                    f"{best:.3g}{paced}; give it more --patience"
                )
    raise CheckFailed(
        f"After {LEARN_STEPS} steps on {TINY} images{paced} the distance of samples to them only went from "
        f"{first:.3g} to {best:.3g}: check the signs of the terms of {qualified(trainer.loss)} and the learning rates."
    )


def _short_run(subject: Subject, images: Tensor) -> tuple[Trainer, str]:
    """Builds a trainer on these images, with the loss's `short_run` options; also returns these as text."""
    settings = subject.variant.training
    rates = {f"{role}_lr": max(getattr(settings, f"{role}_lr"), LEARN_RATE) for role in ("generator", "discriminator")}
    variant = (
        subject.variant
        if subject.small is subject.variant
        else narrowed(subject.variant, subject.registry, LEARN_WIDTH)
    )
    options = dict(cast(Loss, subject.build("loss")).short_run)
    variant = replace(variant, loss=replace(variant.loss, options={**variant.loss.options, **options}))
    if mistakes := part_mistakes(variant, subject.registry):
        raise CheckFailed(f"short_run of {subject.named('loss')} has invalid options: {'; '.join(mistakes)}.")
    trainer = subject.trainer(variant, batch=TINY, ema=None, schedules={}, **rates)
    trainer.batches = FixedImages(subject.image, images)
    return trainer, "".join(f", loss.{name}={value}" for name, value in options.items())


class FixedImages(SmoothImages):
    """The same few images in every batch."""

    def __init__(self, image: SampleSpec, images: Tensor) -> None:
        super().__init__(image, len(images))
        self._images = images

    def images(self, number: int, part: slice) -> Tensor:
        return self._images[part].clone()

    def labels(self, number: int, part: slice) -> Tensor:
        return super().labels(0, part)


@torch.no_grad()
def distance(trainer: Trainer, images: Tensor) -> float:
    """Returns the energy distance between samples and the images."""
    generator, spec = trainer.generator.eval(), trainer.image
    count = len(images) if spec.sources else SAMPLES
    fake = call(generator, sample_latents(generator, count, 0), labels_of(spec, count), inputs_of(spec, images))
    generator.train()
    return watch.compare(fake, images)["energy_distance"]
