"""The sources of a bench whose variants make their images of images: as plain data, and as examples to score on."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor

from ganzoo.config.options import TrainOptions
from ganzoo.data.batches import Batches
from ganzoo.data.request import DataRequest, domains_of, request_of
from ganzoo.data.resolve import existing_path, find_source, with_split
from ganzoo.data.sources import Data, ImageData
from ganzoo.errors import GanzooError, UsageError
from ganzoo.files.pictures import to_uint8
from ganzoo.metrics.features import as_images
from ganzoo.metrics.translations import as_output
from ganzoo.models.model import Model
from ganzoo.networks.inputs import select_inputs
from ganzoo.registry.registry import Registry
from ganzoo.runs.data import check_sides, is_unpaired
from ganzoo.variant import Field, Part, SampleSpec, Variant

BATCH = 250
TEST = "test"
OPTIONS = (  # of `TrainOptions` that say where sources are
    *("source", "side_by_side", "direction", "unpaired"),
    *("source_size", "channels", "source_channels"),
)


@dataclass(frozen=True, kw_only=True)
class Sources:
    """Says of what the variants of a bench make their images, as plain data that can be sent to a worker.

    `inputs` are the conditions that compute them, None for those that come with the data, and `fields` their shapes.
    `paired` states that the reference holds the truth of each source. The others are as in `TrainOptions`;
    `reference_source` belongs to the reference images.
    """

    inputs: dict[str, Part | None]
    paired: bool
    fields: dict[str, Field] = field(default_factory=dict)
    source: str | None = None
    reference_source: str | None = None
    side_by_side: bool | None = None
    direction: Literal["AtoB", "BtoA"] | None = None
    unpaired: bool | None = None
    source_size: int | tuple[int, int] | None = None
    channels: int | None = None
    source_channels: int | None = None

    def __hash__(self) -> int:
        return hash(repr(self))

    @property
    def computed(self) -> bool:
        """True if conditions compute all inputs."""
        return all(part is not None for part in self.inputs.values())

    def spec(self, size: int, channels: int, classes: int) -> SampleSpec:
        """Returns the specification of square outputs with these inputs."""
        labels = {"label": Field((), "class", classes)} if classes else {}
        return SampleSpec(Field((channels, size, size)), {**labels, **self.fields})

    def added_to(self, options: TrainOptions) -> TrainOptions:
        """Returns the options of a training with those of its sources."""
        return replace(options, **{name: getattr(self, name) for name in OPTIONS})

    def request(self, output: str, source: str | None, size: int, registry: Registry, root: str | None) -> DataRequest:
        """Returns the request of the data as evaluation sees them: not larger than samples, nothing cropped."""
        return request_of(
            output,
            size,
            self.inputs,
            registry,
            source=source,
            side_by_side=self.side_by_side,
            direction=self.direction,
            root=Path(root) if root else None,
            independent=not self.paired,
            source_size=self.source_size,
            channels=self.channels,
            source_channels=self.source_channels,
        )

    def facts(self, training: Data | None, reference: Data) -> dict[str, Any]:
        """Returns what the protocol says of the sources."""
        return {
            "inputs": {
                name: {
                    "shape": list(self.fields[name].shape),
                    "condition": None if part is None else {"name": part.name, "options": dict(part.options)},
                }
                for name, part in self.inputs.items()
            },
            "paired": self.paired,
            "data": None if training is None else _fingerprints(training),
            "reference": _fingerprints(reference),
        }


def _fingerprints(data: Data) -> list[str]:
    sets = data.output, data.source
    found = [one.fingerprint for one in sets if one is not None]
    return found + [condition.fingerprint for condition in data.conditions.values() if condition.fingerprint]


def sources_of(variants: Sequence[Variant], options: TrainOptions) -> Sources | None:
    """Returns the sources of variants with their inputs resolved, None if they have none.

    UsageError if the variants make their images of different inputs, or for options that do not go together.
    """
    first = variants[0]
    for variant in variants:
        if not variant.inputs == first.inputs:
            raise UsageError(
                f"'{first.name}' makes its images of {_in_words(first)} and '{variant.name}' of {_in_words(variant)}: "
                "a bench compares generators that get the same: bench them apart"
                f"{', or give all of them one --source' if variant.inputs and first.inputs else ''}."
            )
        if not variant.inputs:
            _refuse_source(variant, options)
        else:
            check_sides(options, variant)
    if not first.inputs:
        return None
    return Sources(
        inputs=dict(first.inputs),
        paired=not all(is_unpaired(options, variant) for variant in variants),
        **{name: getattr(options, name) for name in OPTIONS},
    )


def _in_words(variant: Variant) -> str:
    parts = [
        f"a {name} from the data" if part is None else f"a {name} by '{part.name}' {dict(part.options) or ''}".rstrip()
        for name, part in variant.inputs.items()
    ]
    return " and ".join(parts) or "latents alone"


def _refuse_source(variant: Variant, options: TrainOptions) -> None:
    """UsageError for options of a source that the variant does not take."""
    for name in ("source", "side_by_side", "direction", "unpaired", "source_size", "source_channels"):
        if getattr(options, name) is not None:
            option = "pairs" if name == "side_by_side" else name.replace("_", "-")
            raise UsageError(f"'{variant.name}' takes no source: leave out --{option}.")


def default_examples(data: str, sources: Sources, registry: Registry, root: Path | None) -> tuple[str, str | None]:
    """Returns the reference and its source: the test splits of both where both have one, else data and source."""
    output, source = f"{data}:{TEST}", sources.source and f"{sources.source}:{TEST}"
    if sources.computed:
        found = _is_there(output, registry, root)
        return (output, None) if found else (data, None)
    if source is None and not sources.side_by_side:
        found = _is_there(output, registry, root, domains=True)
        return (output, None) if found else (data, None)
    if _is_there(output, registry, root) and (source is None or _is_there(source, registry, root)):
        return output, source
    return data, sources.source


def _is_there(text: str, registry: Registry, root: Path | None, domains: bool = False) -> bool:
    """True if the text names a split that exists; the Hub is not asked."""
    if text.startswith("hf://"):
        return False
    try:
        domains_of(text) if domains else find_source(text, registry.table("datasets"), root)
    except UsageError:
        return False
    except GanzooError:  # the split exists and its files are missing or damaged: loading it will report that
        pass
    return True


def source_of_reference(reference: str, sources: Sources) -> str | None:
    """Returns the source that belongs to a reference: that of the data, in the split that the reference names."""
    if sources.source is None or sources.computed:
        return None
    split = existing_path(reference)[1]
    return sources.source if existing_path(sources.source)[1] else with_split(sources.source, split)


class Examples:
    """The sources that models of a bench are scored on, and the outputs that they are compared with."""

    def __init__(self, data: Data):
        self.data = data
        self.batches = Batches(data, batch_size=1, seed=0)
        self.count = min(len(one) for one in (data.output, data.source) if one is not None)

    @cached_property
    def outputs(self) -> ImageData:
        """All outputs as evaluation sees them, as bytes."""
        output = self.data.output
        if not any("output" in condition.fields for condition in self.data.conditions.values()):
            return replace(output, images=output.view, fields={})
        pixels = torch.cat([to_uint8(fields["output"]) for fields in self.fields(self.count)])
        return replace(
            output, images=pixels, fields={}, fingerprint=hashlib.sha256(pixels.numpy().tobytes()).hexdigest()
        )

    @cached_property
    def copied(self) -> str | None:
        """The input whose copy is scored as if it were an output: the first image, None without one."""
        return next((name for name, one in self.data.spec.sources.items() if one.kind == "image"), None)

    def fields(self, count: int) -> Iterator[Mapping[str, Tensor]]:
        """Yields the fields of `count` examples from all over the reference, in batches."""
        for start in range(0, count, BATCH):
            yield self.batches.evaluation(count, slice(start, start + BATCH))

    def truths(self, count: int) -> Iterator[Tensor]:
        """Yields the outputs of the examples, rounded to 8 bits."""
        for fields in self.fields(count):
            yield rounded(fields["output"])

    def copies(self, count: int) -> Iterator[Tensor]:
        """Yields the sources themselves, brought to the size and channels of outputs."""
        name = self.copied
        assert name is not None
        masked = name in self.data.conditions and self.data.spec.sources[name].shape[0] in (2, 4)
        for fields in self.fields(count):
            yield as_output(fields[name], fields["output"], masked)

    def samples(self, model: Model, count: int, seed: int) -> Iterator[Tensor]:
        """Yields what a model makes of the sources of `count` examples, with the latents of a seed if it takes any."""
        size = model.batch_of(BATCH)
        for latent, fields in zip(model.latent(count, seed).split(BATCH), self.fields(count), strict=True):
            label = fields["label"] if model.image.classes else None
            inputs = select_inputs(model.generator, {name: fields[name] for name in model.image.sources})
            parts = [slice(start, start + size) for start in range(0, len(latent), size)]
            made = [
                model.generate(
                    latent[part],
                    None if label is None else label[part],
                    **{name: one[part] for name, one in inputs.items()},
                )
                for part in parts
            ]
            yield torch.cat(made)

    def rows(self, output: Callable[[int], Iterator[Tensor]], count: int) -> list[Tensor]:
        """Returns the rows of a picture of `count` examples: sources, outputs and, of pairs, truths."""
        count = min(count, self.count)
        fields = self.batches.evaluation(count)
        spec = self.data.spec
        rows = [fields[name] for name, one in spec.sources.items() if one.kind == "image"]
        return [*rows, torch.cat(list(output(count))), *([fields["output"]] if self.data.paired else [])]


def rounded(images: Tensor) -> Tensor:
    """Rounds images (N, C, H, W) in [-1, 1] to 8 bits, as in an image file."""
    return as_images(to_uint8(images))
