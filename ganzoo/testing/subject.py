"""The variant under test: builds small networks and trainers on smooth random images."""

from __future__ import annotations

import math
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from ganzoo.config.parts import KIND_OF, options_of, parts_of
from ganzoo.config.recipe import bind, bind_part
from ganzoo.data.sample import ImageBatches, LazyFields
from ganzoo.engine.build import build_part, build_trainer
from ganzoo.engine.randomness import process_randomness, seeded
from ganzoo.engine.trainer import Trainer
from ganzoo.errors import UsageError
from ganzoo.networks import Generator
from ganzoo.networks.inputs import call
from ganzoo.registry.registry import Registry
from ganzoo.registry.registry import registry as installed_registry
from ganzoo.testing.checks import PATIENCE
from ganzoo.testing.instrumented import InstrumentedTraining
from ganzoo.testing.side_effects import SideEffects
from ganzoo.variant import Field, Part, SampleSpec, Sizes, Variant

BATCH = 4
CLASSES = 3
STEPS = 3  # WGAN-GP's generator skips the first step, and weights initialized to zero block gradients for one
WIDTHS = (8, 16, 32)
STEP_SECONDS = 20
SMALL, LARGEST = 32, 64  # pixels: the size of checks, and the largest own size that they train at


class SmoothImages(ImageBatches):
    """Batches of smooth random samples, labels and inputs, a pure function of the batch's number."""

    def __init__(self, image: SampleSpec, size: int) -> None:
        self.image, self.size = image, size

    def images(self, number: int, part: slice) -> Tensor:
        return smooth(self.image, self.size, number)[part]

    def labels(self, number: int, part: slice) -> Tensor:
        return ((torch.arange(self.size) + number) % max(self.image.classes, 1))[part]

    def sample(self, number: int, part: slice) -> Mapping[str, Tensor]:
        makers = {name: partial(self._source, one, number, part) for name, one in self.image.sources.items()}
        makers["output"] = partial(self.images, number, part)
        if self.image.classes:
            makers["label"] = partial(self.labels, number, part)
        return LazyFields(makers)

    def _source(self, source: Field, number: int, part: slice) -> Tensor:
        return source_of(self.images(number, part), source)


def source_of(output: Tensor, source: Field) -> Tensor:
    """Returns an input of the shape of `source` from which the output follows: half of it, resized."""
    if source.kind != "image" or output.ndim != 4:
        return output.flatten(1)[:, : math.prod(source.shape)].reshape(-1, *source.shape) / 2
    resized = functional.interpolate(output / 2, size=source.shape[1:], mode="bilinear", align_corners=False)
    return resized.mean(1, keepdim=True).expand(-1, source.shape[0], -1, -1).contiguous()


def inputs_of(spec: SampleSpec, output: Tensor) -> dict[str, Tensor]:
    """Returns the inputs besides the label that belong to these outputs."""
    return {name: source_of(output, one) for name, one in spec.sources.items()}


def smooth(image: SampleSpec, count: int, seed: int) -> Tensor:
    """Returns samples (count, ...) in [-1, 1]: a common pattern, which is easy to learn, plus individual blobs."""
    random = torch.Generator().manual_seed(seed)
    if image.output.kind != "image":
        return 0.5 + 0.1 * torch.randn(count, *image.output.shape, generator=random)
    shared = torch.tensor([[1.0, 1, -1, -1], [1, 1, -1, -1], [-1, -1, 1, 1], [-1, -1, 1, 1]])
    own = torch.rand(count, image.channels, 4, 4, generator=random) * 2 - 1
    size = (image.height, image.width)
    return functional.interpolate(0.6 * shared + 0.4 * own, size=size, mode="bilinear", align_corners=False)


def spec_of(
    variant: Variant, size: int, channels: int = 1, classes: int = 0, registry: Registry | None = None
) -> SampleSpec:
    """Returns the specification of small samples of a variant.

    Inputs are those that the card's conditions compute; what comes with the data has the shape of the output.
    """
    output = Field((channels, size, size)) if variant.kind == "image" else Field((2,), variant.kind)
    inputs = {"label": Field((), "class", classes)} if classes else {}
    for name, part in variant.inputs.items():
        inputs[name] = output
        if part is not None:
            factory = (registry or installed_registry()).get("conditions", part.name)
            stored = (getattr(factory, "stored_channels", None) or channels, size, size)
            fields = factory(SampleSpec(Field(stored)), **part.options).fields
            inputs[name], output = fields.get("source", output), fields.get("output", output)
    return SampleSpec(output, inputs)


def small_size(variant: Variant) -> int:
    """Returns the smallest own size of a card, or if that is above 64 pixels the size nearest 32 that its rule adds."""
    sizes = variant.sizes
    smallest = min(sizes, default=0)
    return sizes.nearest(SMALL) if isinstance(sizes, Sizes) and smallest > LARGEST else smallest


class Subject:
    """One variant with the networks and trainers that checks build of it.

    `variant` is the card; `small` has narrower parts if they can be narrowed and still work. `image` is the shape that
    networks are trained for: grey, with labels if the card allows them. `patience` is in CPU seconds.
    """

    def __init__(
        self, variant: Variant, registry: Registry, folder: Path, size: int | None = None, patience: float = PATIENCE
    ) -> None:
        if size is not None and size not in variant.sizes:
            raise UsageError(
                f"Variant '{variant.name}' declares {', '.join(map(str, variant.sizes)) or 'no'} pixels, not {size}."
            )
        self.variant, self.registry, self.folder, self.patience = variant, registry, folder, patience
        self.plugin = registry.claim("variants", variant.name).plugin
        classes = 0 if variant.labels == "unused" else CLASSES
        self.image = spec_of(variant, size or small_size(variant), 1, classes, registry)

    @classmethod
    @contextmanager
    def open(
        cls, name: str, *, size: int | None = None, patience: float = PATIENCE, registry: Registry | None = None
    ) -> Iterator[Subject]:
        """Context manager: the subject of a registered variant, with a temporary folder."""
        registry = registry or installed_registry()
        with tempfile.TemporaryDirectory(prefix="ganzoo-check-") as folder:
            yield cls(registry.get("variants", name), registry, Path(folder), size, patience)

    @cached_property
    def small(self) -> Variant:
        """The variant at the smallest width at which its networks work, or unchanged."""
        for width in WIDTHS:
            variant = narrowed(self.variant, self.registry, width)
            try:
                self._try(variant)
            except Exception:  # at the card's own width, the checks report it
                continue
            return variant
        return self.variant

    def _try(self, variant: Variant) -> None:
        trainer = self.trainer(variant)
        # Dropout draws from the global random state; restore it, or a check would blame the variant.
        with torch.no_grad(), process_randomness(trainer.device):
            inputs, label = inputs_of(self.image, smooth(self.image, 2, 0)), labels_of(self.image, 2)
            fake = call(trainer.generator, trainer.generator.latent(2, trainer.random("try")), label, inputs)
            if trainer.discriminator is not None:
                call(trainer.discriminator, fake, label, inputs)

    def trainer(
        self,
        variant: Variant | None = None,
        *,
        seed: int = 0,
        batch: int = BATCH,
        image: SampleSpec | None = None,
        **more: Any,
    ) -> Trainer:
        """Builds a trainer of the small variant, or of the one given.

        `more` overrides training settings, except `precision`, which goes to the trainer. The schedules
        of networks pass by in `STEPS`, so that one that grows uses all its layers.
        """
        variant, image = variant or self.small, image or self.image
        precision = more.pop("precision", "fp32")
        settings = {"accumulate": 1, **({"steps": STEPS} if _grows(variant) else {}), **more}
        variant = replace(variant, training=replace(variant.training, batch_size=batch, **settings))
        return build_trainer(
            bind(variant, self.registry), image, SmoothImages(image, batch), seed=seed, precision=precision
        )

    def build(
        self, role: str, image: SampleSpec | None = None, variant: Variant | None = None, seed: int = 0
    ) -> nn.Module:
        """Builds one part of the small variant, or of the one given, initialized from the seed."""
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
                inputs = inputs_of(self.image, smooth(self.image, 2, 0))
                call(
                    generator,
                    generator.latent(2, training.trainer.random("observed")),
                    labels_of(self.image, 2),
                    inputs,
                )
        return training, effects

    @property
    def training(self) -> InstrumentedTraining:
        """A training of a few steps that recorded every phase. Checks share it, so none may train it further."""
        return self._observed[0]

    @property
    def side_effects(self) -> SideEffects:
        """The changes to the process during building, training and sampling."""
        return self._observed[1]

    @cached_property
    def generator(self) -> Generator:
        """A generator trained for a few steps, in evaluation mode."""
        return self.training.trainer.sampler.eval()

    def named(self, role: str) -> str:
        """Describes a role for a message: "the generator dcgan (ganzoo_plugins.dcgan.model.DCGANGenerator)"."""
        part: Part = parts_of(self.variant)[role]
        factory = self.registry.get(KIND_OF[role.partition(".")[0]], part.name)
        return f"the {role} {part.name} ({factory.__module__}.{factory.__qualname__})"

    def classes(self) -> list[int]:
        """The numbers of classes to test, as the card's `labels` allows."""
        return {"unused": [0], "optional": [0, CLASSES], "required": [CLASSES]}[self.variant.labels]


def _grows(variant: Variant) -> bool:
    """True if a schedule changes a network."""
    return any(name.startswith(("generator.", "discriminator.")) for name in variant.training.schedules)


def narrowed(variant: Variant, registry: Registry, width: int) -> Variant:
    """Limits the options `width` of all networks and the loss, and `hidden` and `latent_dim` to eight times that."""
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


def labels_of(image: SampleSpec, count: int) -> Tensor | None:
    """Returns labels (count,) that cycle through the classes; None without classes."""
    return torch.arange(count) % image.classes if image.classes else None


def qualified(module: object) -> str:
    """Returns the full name of an object's class."""
    return f"{type(module).__module__}.{type(module).__qualname__}"
