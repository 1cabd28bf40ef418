"""What the tests of variants share: a trainer on a few random images, and what each phase of a step changed."""

from dataclasses import dataclass, field, replace
from types import SimpleNamespace

import torch

from ganzoo.config.recipe import bind
from ganzoo.data.sample import ImageBatches
from ganzoo.engine.build import build_trainer
from ganzoo.registry.registry import registry


class RandomBatches(ImageBatches):
    """Endless batches of seeded noise with labels that count up; remembers the numbers it was asked for."""

    def __init__(self, image, size):
        self.image, self.size, self.asked = image, size, []

    def images(self, number, part):
        self.asked.append(number)
        random = torch.Generator().manual_seed(number)
        shape = (self.size, self.image.channels, self.image.size, self.image.size)
        return (torch.rand(shape, generator=random) * 2 - 1)[part]

    def labels(self, number, part):
        return (torch.arange(self.size) + number)[part] % self.image.classes


def small_trainer(name, image, batch_size=4, *, generator=None, discriminator=None, loss=None, **training):
    """The trainer of a registered variant with changed options, so that it is small."""
    variant = registry().get("variants", name)
    parts = {"generator": generator or {}, "discriminator": discriminator or {}, "loss": loss or {}}
    changed = {
        role: replace(getattr(variant, role), options={**getattr(variant, role).options, **more})
        for role, more in parts.items()
        if more
    }
    variant = replace(variant, **changed, training=replace(variant.training, batch_size=batch_size, **training))
    return build_trainer(bind(variant, registry()), image, RandomBatches(image, batch_size))


def part(kind, name, image, **options):
    """A registered part, built."""
    return registry().get(kind, name)(image, **options)


@dataclass
class Visit:
    """One phase of one step: its name, its turn, and the parameters that it changed, as "role.name"."""

    phase: str
    turn: object
    changed: set = field(default_factory=set)


def _parameters(trainer):
    return {
        f"{role}.{name}": p.detach().clone()
        for role, module in trainer.modules().items()
        for name, p in module.named_parameters()
    }


def step_by_phase(trainer):
    """Runs one training step and returns its visits in order, and its terms."""
    visits, snapshots = [], []

    def watched(phase, method):
        def call(turn):
            snapshots.append(_parameters(trainer))
            visits.append(Visit(phase, turn))
            return method(turn)

        return call

    methods = {phase.name: getattr(trainer.loss, phase.name) for phase in trainer.phases}
    for name, method in methods.items():
        setattr(trainer.loss, name, watched(name, method))
    terms = trainer.step()
    for name in methods:
        delattr(trainer.loss, name)
    snapshots.append(_parameters(trainer))
    for visit, before, after in zip(visits, snapshots, snapshots[1:], strict=False):
        visit.changed = {name for name in before if not torch.equal(before[name], after[name])}
    return visits, terms


def names_of(trainer, role):
    """Every parameter of a role as "role.name"."""
    return {f"{role}.{name}" for name, _ in trainer.modules()[role].named_parameters()}


def scripted_turn(logits, **tensors):
    """A turn whose `logits(images, **heads)` is the given function and whose other attributes are the given tensors."""

    def scored(images, *label, stands_for=None, **heads):
        return logits(images, *label, **heads)

    return SimpleNamespace(logits=scored, **tensors)


def count_parameters(module):
    """How many numbers a module learns."""
    return sum(p.numel() for p in module.parameters())


def count_calls(module):
    """A list that grows by one with each forward call of the module."""
    calls = []
    module.register_forward_hook(lambda *_: calls.append(1))
    return calls
