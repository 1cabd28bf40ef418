"""Checks of what a variant does in training."""

from __future__ import annotations

import time
from dataclasses import replace

import torch
from torch import Tensor
from torch.nn.modules.batchnorm import _BatchNorm

from ganzoo.checkpoints.checkpoint import load_checkpoint, save_checkpoint
from ganzoo.config.parts import part_mistakes
from ganzoo.engine.randomness import seeded
from ganzoo.engine.trainer import Trainer
from ganzoo.errors import GanzooError
from ganzoo.networks.latents import draw_latent
from ganzoo.runs import collapse as watch
from ganzoo.testing.checks import CheckFailed, CheckSkipped, check
from ganzoo.testing.subject import BATCH, STEPS, Images, Subject, labels_of, narrowed, qualified, smooth

TINY = 8
LEARN_STEPS = 300
LOOK_EVERY = 10
LOOKED_AT = 32
NEARER = 0.95
LEARN_RATE = 1e-3
LEARN_WIDTH = 32  # a critic of eight channels hardly teaches


def flat(tree, path: str = "") -> dict[str, object]:
    """Every leaf of a trainer's state by its path."""
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
    """The first leaf in which two flat states differ, or nothing; as "generator.main.0.weight"."""
    for name in dict.fromkeys([*one, *other]):
        if not equal(one.get(name), other.get(name)):
            return name
    return ""


def equal(one: object, other: object) -> bool:
    """Whether two leaves are the same, tensors bit for bit; nan, which an optimizer's state may hold, is equal to itself."""
    if isinstance(one, Tensor) and isinstance(other, Tensor):
        return (
            one.dtype == other.dtype and one.shape == other.shape and torch.equal(one.nan_to_num(), other.nan_to_num())
        )
    return one is other or one == other


@check("seeds")
def seeds(subject: Subject) -> None:
    """Two builds and two trainings of one seed, and a build of another."""
    with seeded(11):
        one = subject.trainer()
    with seeded(12):
        other = subject.trainer()
    if where := difference(flat(one.state()), flat(other.state())):
        raise CheckFailed(
            f"Two builds of seed 0 differ in {where}: initialize with torch's own random numbers, not with another source of chance."
        )
    for step in range(STEPS):
        one.step(), other.step()
        if where := difference(flat(one.state()), flat(other.state())):
            raise CheckFailed(
                f"Two trainings of seed 0 differ in {where} after step {step + 1}: in the loss draw with turn.uniform, turn.normal or turn.latent, "
                "elsewhere with torch's own functions; nothing may depend on time, address or order."
            )
    if not difference(flat(subject.trainer(seed=1).state()), flat(subject.trainer().state())):
        raise CheckFailed(
            f"Seeds 0 and 1 build the same weights: {subject.named('generator')} must not seed torch itself."
        )


@check("gradients")
def gradients(subject: Subject) -> None:
    """What moved in each phase, and how."""
    seen = subject.training
    loss = qualified(seen.trainer.loss)
    for phase in seen.trainer.phases:
        for what, names in (("gives gradients to", seen.stray), ("changes", seen.changed)):
            wrong = sorted(name for name in names.get(phase.name, ()) if name.partition(".")[0] not in phase.updates)
            if wrong:
                raise CheckFailed(
                    f"Phase '{phase.name}' of {loss} {what} {_some(wrong)}, but it updates {' and '.join(phase.updates)} only: "
                    f"a method computes terms, it calls no backward and no optimizer and writes to no other network."
                )
        for role in phase.updates:
            if phase.name in seen.changed and not any(name.startswith(f"{role}.") for name in seen.changed[phase.name]):
                raise CheckFailed(
                    f"Phase '{phase.name}' of {loss} updates the {role}, and nothing of it moved: no term reaches it, or its learning rate is 0."
                )
        if phase.name not in seen.changed:
            raise CheckFailed(
                f"Phase '{phase.name}' of {loss} did not run in the first {STEPS} steps: look at its repeats and every."
            )


@check("parameters")
def parameters(subject: Subject) -> str:
    """Parameters that could learn and got no gradient; a vector's may be all zeros, as that of a critic's last bias is."""
    seen = subject.training
    still = [name for name, gradient in seen.gradients.items() if gradient is None]
    idle = {role for role in seen.trainer.modules() if role not in seen.trainer.optimizers}
    if unlearned := sorted(name for name in still if name.partition(".")[0] in idle):
        role = unlearned[0].partition(".")[0]
        raise CheckFailed(
            f"{_some(unlearned)} can learn, but no phase of {qualified(seen.trainer.loss)} updates '{role}': "
            f"name it in a Phase's updates, or freeze it with requires_grad_(False), or make it a buffer."
        )
    if still:
        module = qualified(seen.trainer.modules()[still[0].partition(".")[0]])
        raise CheckFailed(
            f"{_some(still)} never got a gradient in {STEPS} steps: use it in {module}.forward without detaching, or take it out."
        )
    zero = [name for name, gradient in seen.gradients.items() if gradient == "zero"]
    if matrices := [name for name in zero if seen.unlearned[name].ndim > 1]:
        raise CheckFailed(
            f"The gradient of {_some(matrices)} was zero in all of {STEPS} steps: the term that should teach it does not depend on it."
        )
    return f"gradient always zero: {_some(zero)}" if zero else ""


def _some(names: list[str]) -> str:
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")


@check("inputs")
def inputs(subject: Subject) -> None:
    """Tensors that were given to the plugin's code in training, and then to each network alone."""
    for what, tensor, before in subject.training.inputs:
        if not torch.equal(tensor, before):
            raise CheckFailed(
                f"{qualified(subject.training.trainer.loss)} or a network changed {what} in place: use a function without a trailing underscore."
            )
    trainer = subject.trainer()
    images, label = smooth(subject.image, BATCH, 0), labels_of(subject.image, BATCH)
    calls = [(trainer.generator, (trainer.generator.latent(BATCH, torch.Generator().manual_seed(0)), label), "latent")]
    calls += [(trainer.discriminator, (images, label), "images")] if trainer.discriminator is not None else []
    calls += [(trainer.augmentation, (images,), "images")] if trainer.augmentation is not None else []
    for module, arguments, first in calls:
        before = [argument if argument is None else argument.clone() for argument in arguments]
        with torch.no_grad():
            module(*arguments)
        for name, argument, copy in zip((first, "label"), arguments, before, strict=False):
            if argument is not None and not torch.equal(argument, copy):
                raise CheckFailed(
                    f"{qualified(module)}.forward changes its argument '{name}' in place: its first layer may not be inplace=True."
                )


@check("batches")
def batches(subject: Subject) -> str:
    """Drawing alone and in company, then training on batches of 3 and 1 and on micro-batches."""
    _refuse_coupling(subject)
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
            notes.append(
                f"a batch of 1 cannot train: {error if isinstance(error, GanzooError) else f'batch norm of the {normed[0]} needs two values'}"
            )
        elif isinstance(error, CheckFailed) or "more than 1 value" not in str(error):
            raise
    return "; ".join(notes)


def _refuse_coupling(subject: Subject) -> None:
    generator = subject.generator
    latent, label = draw_latent(generator, 5, 0), labels_of(subject.image, 5)
    with torch.no_grad():
        together = generator(latent, label)
        alone = torch.cat([generator(latent[i : i + 1], None if label is None else label[i : i + 1]) for i in range(5)])
    if together.shape != alone.shape or not torch.allclose(together, alone, atol=1e-4):
        raise CheckFailed(
            f"{qualified(generator)} in evaluation draws other images one by one than in a batch: nothing may mix the samples of a batch."
        )


def _train(subject: Subject, what: str, **settings) -> Trainer:
    """A few steps, whose terms and weights must stay finite."""
    trainer = subject.trainer(**settings)
    for step in range(STEPS):
        for name, term in trainer.step().items():
            if not torch.isfinite(term):
                raise CheckFailed(
                    f"Term '{name}' of {qualified(trainer.loss)} is {float(term)} in step {step + 1} with {what}."
                )
    for role, module in trainer.modules().items():
        for name, tensor in module.state_dict().items():
            if tensor.is_floating_point() and not torch.isfinite(tensor).all():
                raise CheckFailed(f"{role}.{name} is not finite after {STEPS} steps with {what}.")
    return trainer


@check("resume")
def resume(subject: Subject) -> None:
    """A checkpoint after one step, written, read and gone on with by a new trainer."""
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
            f"A resumed run differs in {where} from one that never stopped: everything that {role if role in ('generator', 'discriminator') else 'the loss'} "
            "remembers from step to step must be a buffer (register_buffer), not a plain attribute."
        )


@check("bf16")
def bf16(subject: Subject) -> None:
    """The same steps under autocast on the processor."""
    trainer = _train(subject, "--precision bf16", precision="bf16")
    for role, module in trainer.modules().items():
        for name, parameter in module.named_parameters():
            if parameter.dtype != torch.float32:
                raise CheckFailed(
                    f"{role}.{name} is {parameter.dtype} after training with --precision bf16: leave the weights' type alone."
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
    """Trains on eight images until samples are clearly nearer to them than the untrained generator's; seconds, if the signs are right."""
    images = smooth(subject.image, TINY, 0)
    trainer, paced = _short_run(subject, images)
    began, first = time.process_time(), distance(trainer, images)
    best = first
    for step in range(1, LEARN_STEPS + 1):
        trainer.step()
        if step % LOOK_EVERY == 0:
            best = min(best, distance(trainer, images))
            if best <= NEARER * first:
                return f"{first:.3g} to {best:.3g} in {step} steps{paced}"
            if time.process_time() - began > subject.patience:
                raise CheckSkipped(
                    f"after {step} steps and {subject.patience:g} s the distance had gone from {first:.3g} to {best:.3g}{paced}; give it more --patience"
                )
    raise CheckFailed(
        f"After {LEARN_STEPS} steps on {TINY} images{paced} the distance of samples to them had only gone from {first:.3g} to {best:.3g}: "
        f"look at the signs of the terms of {qualified(trainer.loss)} and at the learning rates."
    )


def _short_run(subject: Subject, images: Tensor) -> tuple[Trainer, str]:
    """A trainer on these images alone that has to learn in a few hundred steps, and in words which options of the loss are for that."""
    settings = subject.variant.training
    rates = {f"{role}_lr": max(getattr(settings, f"{role}_lr"), LEARN_RATE) for role in ("generator", "discriminator")}
    variant = (
        subject.variant
        if subject.small is subject.variant
        else narrowed(subject.variant, subject.registry, LEARN_WIDTH)
    )
    options = dict(subject.build("loss").short_run)
    variant = replace(variant, loss=replace(variant.loss, options={**variant.loss.options, **options}))
    if mistakes := part_mistakes(variant, subject.registry):
        raise CheckFailed(
            f"short_run of {subject.named('loss')} has options that it does not take: {'; '.join(mistakes)}."
        )
    trainer = subject.trainer(variant, batch=TINY, ema=None, schedules={}, **rates)
    trainer.batches = Few(subject.image, images)
    return trainer, "".join(f", loss.{name}={value}" for name, value in options.items())


class Few(Images):
    """The same few images in every batch."""

    def __init__(self, image, images: Tensor):
        super().__init__(image, len(images))
        self._images = images

    def images(self, number: int, part: slice) -> Tensor:
        return self._images[part].clone()

    def labels(self, number: int, part: slice) -> Tensor:
        return labels_of(self.image, self.size)[part]


@torch.no_grad()
def distance(trainer: Trainer, images: Tensor) -> float:
    """The energy distance between a few samples and the images."""
    generator = trainer.generator.eval()
    fake = generator(draw_latent(generator, LOOKED_AT, 0), labels_of(trainer.image, LOOKED_AT))
    generator.train()
    return watch.compare(fake, images)["energy_distance"]
