"""What the tests of the contract share: a registry of its plugins, made-up pictures, and a spy on phases."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import partial

import torch

from contract import VARIANTS
from contract.parts import NonSaturating, TinyDiscriminator, TinyGenerator
from ganzoo import ImageSpec, SampleSpec, Training, Variant
from ganzoo.config.recipe import bind
from ganzoo.data.sample import ImageBatches, LazyFields
from ganzoo.engine.build import build_trainer
from ganzoo.engine.trainer import Trainer
from ganzoo.registry.discovery import Plugin
from ganzoo.registry.registry import Registry
from ganzoo.testing.subject import spec_of
from ganzoo.variant import Field

IMAGE = ImageSpec(8, 1)


def contract_registry() -> Registry:
    """The sixteen plugins and the one that registers the parts that several of them name."""
    names = ("basics", *VARIANTS)
    return Registry([Plugin(name, "ganzoo-contract", "1.0", f"contract.{name.replace('-', '_')}") for name in names])


class Pictures(ImageBatches):
    """Smooth made-up pictures in [-1, 1] with labels, a pure function of their number."""

    def __init__(self, image: SampleSpec, batch_size: int):
        self.image, self.batch_size = image, batch_size
        self.asked: list[int] = []

    def images(self, number: int, part: slice = slice(None)) -> torch.Tensor:
        self.asked.append(number)
        return self.field(self.image.output, number)[part]

    def field(self, field: Field, seed: int) -> torch.Tensor:
        random = torch.Generator().manual_seed(seed)
        coarse = torch.rand(self.batch_size, field.shape[0], 4, 4, generator=random) * 2 - 1
        return torch.nn.functional.interpolate(coarse, size=field.shape[1:], mode="bilinear")

    def sample(self, number: int, part: slice) -> Mapping[str, torch.Tensor]:
        places = enumerate(self.image.sources.items(), 1)
        sources = {name: partial(self.field, field, number + 1000 * place) for place, (name, field) in places}
        makers = {name: lambda make=make: make()[part] for name, make in sources.items()}
        makers["output"] = partial(self.images, number, part)
        return LazyFields({**makers, "label": partial(self.labels, number, part)})

    @property
    def evaluation_rows(self) -> int:
        return self.batch_size

    def evaluation(self, count: int, part: slice) -> Mapping[str, torch.Tensor]:
        return self.sample(0, slice(part.start, min(part.stop, count)))

    def labels(self, number: int, part: slice = slice(None)) -> torch.Tensor | None:
        if not self.image.classes:
            return None
        return torch.randint(self.image.classes, (self.batch_size,), generator=torch.Generator().manual_seed(number))[
            part
        ]


def spec(variant: Variant) -> SampleSpec:
    """The smallest image that the variant is made for, with ten classes if it needs labels."""
    return spec_of(variant, variant.sizes[0], 1, 10 if variant.labels == "required" else 0)


def trainer_for(variant: Variant | str, registry: Registry, *, training=None, **more) -> Trainer:
    """A trainer of a variant on made-up pictures; `training` are fields of its settings to change."""
    if isinstance(variant, str):
        variant = registry.get("variants", variant)
    variant = replace(variant, training=replace(variant.training, **(training or {})))
    image = spec(variant)
    return build_trainer(bind(variant, registry), image, Pictures(image, variant.training.batch_size), **more)


def make(
    loss=None,
    *,
    batch_size=4,
    norm=False,
    generator=None,
    discriminator=None,
    initial=0,
    dtype=torch.float64,
    more=None,
    **training,
):
    """A small trainer in float64 whose weights follow from `initial`; `training` are fields of its settings."""
    torch.manual_seed(initial)
    return Trainer(
        generator=generator or TinyGenerator(IMAGE, norm=norm),
        discriminator=discriminator or TinyDiscriminator(IMAGE, norm=norm),
        loss=loss or NonSaturating(IMAGE),
        batches=Pictures(IMAGE, batch_size),
        image=IMAGE,
        training=Training(batch_size=batch_size, steps=10, **training),
        dtype=dtype,
        **(more or {}),
    )


def parameters(trainer: Trainer) -> dict[str, torch.Tensor]:
    """Copies of all parameters by "role.name"."""
    return {
        f"{role}.{name}": parameter.detach().clone()
        for role, module in trainer.modules().items()
        for name, parameter in module.named_parameters()
    }


def spy_on_phases(trainer: Trainer) -> list[tuple[int, str, set[str]]]:
    """A list that grows by (step, phase, names of the parameters that moved) with every phase from now on."""
    seen: list[tuple[int, str, set[str]]] = []
    original = trainer._take_turns

    def take_turns(phase, *arguments):
        before = parameters(trainer)
        terms = original(phase, *arguments)
        moved = {name for name, value in parameters(trainer).items() if not torch.equal(value, before[name])}
        seen.append((trainer.step_number, phase.name, moved))
        return terms

    trainer._take_turns = take_turns
    return seen


def silence(module: torch.nn.Module) -> None:
    """Sets a layer's weights to zero, so that what it gives is known."""
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.zero_()
