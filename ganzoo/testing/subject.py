"""The variant under test: built small, on smooth random images, with what several checks share."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import cached_property
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional

from ganzoo.config.parts import KIND_OF, options_of, parts_of
from ganzoo.config.recipe import bind, bind_part
from ganzoo.engine.build import build_part, build_trainer
from ganzoo.engine.randomness import process_randomness, seeded
from ganzoo.engine.trainer import Trainer
from ganzoo.errors import UsageError
from ganzoo.registry.registry import Registry
from ganzoo.registry.registry import registry as installed_registry
from ganzoo.testing.checks import PATIENCE
from ganzoo.testing.instrumented import InstrumentedTraining
from ganzoo.testing.side_effects import SideEffects
from ganzoo.variant import ImageSpec, Part, Variant

BATCH = 4
CLASSES = 3
STEPS = 3  # WGAN-GP's generator sits out the first step, and weights that start at zero hold back others for one
WIDTHS = (8, 16, 32)
STEP_SECONDS = 20


class Images:
    """Smooth random images and labels, a pure function of the batch's number; remembers what it gave, to see whether it was changed."""

    def __init__(self, image: ImageSpec, size: int):
        self.image, self.size = image, size
        self.given: list[tuple[str, Tensor, Tensor]] = []

    def images(self, number: int, part: slice) -> Tensor:
        return self._give("the real images (turn.real)", smooth(self.image, self.size, number)[part])

    def labels(self, number: int, part: slice) -> Tensor:
        return self._give(
            "the labels (turn.label)", ((torch.arange(self.size) + number) % max(self.image.classes, 1))[part]
        )

    def _give(self, what: str, tensor: Tensor) -> Tensor:
        self.given.append((what, tensor, tensor.clone()))
        return tensor


def smooth(image: ImageSpec, count: int, seed: int) -> Tensor:
    """Images (count, C, H, W) in [-1, 1] of large blobs: what all share is easy to learn, and each has something of its own."""
    random = torch.Generator().manual_seed(seed)
    shared = torch.tensor([[1.0, 1, -1, -1], [1, 1, -1, -1], [-1, -1, 1, 1], [-1, -1, 1, 1]])
    own = torch.rand(count, image.channels, 4, 4, generator=random) * 2 - 1
    return functional.interpolate(
        0.6 * shared + 0.4 * own, size=(image.size, image.size), mode="bilinear", align_corners=False
    )


class Subject:
    """One variant with everything that checks need of it.

    `variant` is the card; `small` the same with narrower parts where they can be narrowed and still work.
    `image` is what networks are trained for: grey, with labels if the card allows them. `patience` is in seconds of the processor.
    """

    def __init__(
        self, variant: Variant, registry: Registry, folder: Path, size: int | None = None, patience: float = PATIENCE
    ):
        if size is not None and size not in variant.sizes:
            raise UsageError(
                f"Variant '{variant.name}' declares {', '.join(map(str, variant.sizes))} pixels, not {size}."
            )
        self.variant, self.registry, self.folder, self.patience = variant, registry, folder, patience
        self.plugin = registry.claim("variants", variant.name).plugin
        self.image = ImageSpec(size or min(variant.sizes), 1, 0 if variant.labels == "unused" else CLASSES)

    @classmethod
    @contextmanager
    def open(
        cls, name: str, *, size: int | None = None, patience: float = PATIENCE, registry: Registry | None = None
    ) -> Iterator[Subject]:
        """The subject of a variant's name, with a temporary folder while it is open."""
        registry = registry or installed_registry()
        with tempfile.TemporaryDirectory(prefix="ganzoo-check-") as folder:
            yield cls(registry.get("variants", name), registry, Path(folder), size, patience)

    @cached_property
    def small(self) -> Variant:
        """The variant with the largest reduction of width with which its networks still work, or as it is."""
        for width in WIDTHS:
            variant = narrowed(self.variant, self.registry, width)
            try:
                self._try(variant)
            except Exception:  # whatever is wrong at this width; at the card's own the checks will say it
                continue
            return variant
        return self.variant

    def _try(self, variant: Variant) -> None:
        trainer = self.trainer(variant)
        with (
            torch.no_grad(),
            process_randomness(trainer.device),
        ):  # of dropout too nothing may be left, or a check would blame the variant
            fake = trainer.generator(trainer.generator.latent(2, trainer.random("try")), labels_of(self.image, 2))
            if trainer.discriminator is not None:
                trainer.discriminator(fake, labels_of(self.image, 2))

    def trainer(
        self,
        variant: Variant | None = None,
        *,
        seed: int = 0,
        batch: int = BATCH,
        image: ImageSpec | None = None,
        **more,
    ) -> Trainer:
        """A new trainer of the small variant, or of the one given; `more` goes to its training settings, `precision` to the trainer."""
        variant, image = variant or self.small, image or self.image
        precision = more.pop("precision", "fp32")
        variant = replace(variant, training=replace(variant.training, batch_size=batch, **{"accumulate": 1} | more))
        return build_trainer(bind(variant, self.registry), image, Images(image, batch), seed=seed, precision=precision)

    def build(
        self, role: str, image: ImageSpec | None = None, variant: Variant | None = None, seed: int = 0
    ) -> nn.Module:
        """One part of the small variant, or of the one given, initialized from the seed."""
        with seeded(seed):
            part = bind_part(role, getattr(variant or self.small, role), self.registry)
            return build_part(part, image or self.image)

    @cached_property
    def _observed(self) -> tuple[InstrumentedTraining, SideEffects]:
        effects = SideEffects()
        with effects.recording():
            training = InstrumentedTraining(self.trainer(), STEPS)
            with torch.no_grad():
                generator = training.trainer.sampler.eval()
                generator(generator.latent(2, training.trainer.random("observed")), labels_of(self.image, 2))
        return training, effects

    @property
    def training(self) -> InstrumentedTraining:
        """A training of a few steps that recorded every phase. Checks share it, so none may train it further."""
        return self._observed[0]

    @property
    def side_effects(self) -> SideEffects:
        """What building, training and sampling did to the process."""
        return self._observed[1]

    @cached_property
    def generator(self) -> nn.Module:
        """A generator that was trained a few steps, in evaluation mode."""
        return self.training.trainer.sampler.eval()

    def named(self, role: str) -> str:
        """A role with the class behind it, as a message names it: "the generator dcgan (ganzoo_plugins.dcgan.model.DCGANGenerator)"."""
        part: Part = parts_of(self.variant)[role]
        factory = self.registry.get(KIND_OF[role.partition(".")[0]], part.name)
        return f"the {role} {part.name} ({factory.__module__}.{factory.__qualname__})"

    def classes(self) -> list[int]:
        """The numbers of classes that the card allows."""
        return {"unused": [0], "optional": [0, CLASSES], "required": [CLASSES]}[self.variant.labels]


def narrowed(variant: Variant, registry: Registry, width: int) -> Variant:
    """The variant with its parts' options `width`, `hidden` and `latent_dim` at most `width`, eight and eight times as much."""
    limits = {"width": width, "hidden": 8 * width, "latent_dim": 8 * width}
    changed = {}
    for role in ("generator", "discriminator", "loss"):
        part = getattr(variant, role)
        if part is None:
            continue
        now = {
            name: option.default for name, option in options_of(registry.get(KIND_OF[role], part.name)).items()
        } | part.options
        less = {name: limit for name, limit in limits.items() if type(now.get(name)) is int and now[name] > limit}
        changed[role] = replace(part, options={**part.options, **less})
    return replace(variant, **changed)


def labels_of(image: ImageSpec, count: int) -> Tensor | None:
    """Labels (count,), all classes in turn; None without classes."""
    return torch.arange(count) % image.classes if image.classes else None


def qualified(module: object) -> str:
    """The class of a module as a message names it."""
    return f"{type(module).__module__}.{type(module).__qualname__}"
