"""The data of a run: what its request asks for, checked before pictures are decoded, and what config.json says."""

from __future__ import annotations

from collections.abc import Callable

from ganzoo.config.options import TrainOptions
from ganzoo.config.recipe import Recipe
from ganzoo.config.schema import SourceFacts
from ganzoo.data.batches import too_few_line
from ganzoo.data.decode import rectangle
from ganzoo.data.prepare import channels_of, count_of
from ganzoo.data.request import DataRequest, request_of
from ganzoo.data.sources import ArraySource, Data, EncodedSource, PairedSource, Stream
from ganzoo.errors import UsageError
from ganzoo.registry.registry import Registry
from ganzoo.runs.request import Request
from ganzoo.variant import Field, ImageSize, SampleSpec, Variant, size_text

NAMED = 6


def data_request(request: Request, recipe: Recipe, registry: Registry) -> DataRequest:
    """The data that a run asks for; UsageError for options that do not go together, and sizes the variant lacks."""
    options, variant = request.options, recipe.variant
    size = options.image_size or variant.sizes[0]
    check_size(variant, size, registry)
    check_sides(options, variant)
    return request_of(
        request.source,
        size,
        variant.inputs,
        registry,
        source=options.source,
        side_by_side=options.side_by_side,
        direction=options.direction,
        root=options.data_root,
        independent=is_unpaired(options, variant),
        source_size=options.source_size,
        channels=options.channels,
        source_channels=options.source_channels,
        load_ratio=recipe.training.load_ratio,
        on_bad_image=request.on_bad_image,
    )


def _computed(variant: Variant) -> bool:
    """Whether no input comes with the data: conditions compute them all, or there are none."""
    return all(part is not None for part in variant.inputs.values())


def is_unpaired(options: TrainOptions, variant: Variant) -> bool:
    """Whether sources are a set of their own: as requested, else as the variant learns."""
    if _computed(variant):
        return False
    return variant.pairing == "independent" if options.unpaired is None else options.unpaired


def check_sides(options: TrainOptions, variant: Variant) -> None:
    """UsageError for options of a source that say nothing about this data."""
    if options.unpaired and variant.pairing == "paired" and not _computed(variant):
        raise UsageError(f"Variant '{variant.name}' learns from pairs: leave out --unpaired.")
    given = {
        "--unpaired": options.unpaired,
        "--source-size": options.source_size,
        "--source-channels": options.source_channels,
        "--direction": options.direction,
    }
    if _computed(variant):
        for option, value in given.items():
            if value is not None:
                raise UsageError(
                    f"{option} is for sources that come with the data: leave it out, or give --source DIR."
                )
    if options.direction is not None and options.source is not None:
        raise UsageError("--direction is for pictures or folders that hold A and B: leave it out beside --source.")
    if options.source_size is not None and options.side_by_side:
        raise UsageError("Both sides of --pairs have one size: leave out --source-size.")


def check_size(variant: Variant, size: ImageSize, registry: Registry) -> None:
    """UsageError for a size that the variant does not draw."""
    if not variant.supports(*rectangle(size)):
        raise UsageError(_size_line(variant, size, registry))


def _size_line(variant: Variant, size: ImageSize, registry: Registry) -> str:
    """One line for a size that the variant has not: its nearest one, and the variants that have it."""
    height, width = rectangle(size)
    came, rule = size_text(size), variant.size_rule
    nearest = size_text(rule.nearest(width) if rule.square else (rule.nearest(height), rule.nearest(width)))
    able = sorted(other.name for other in registry.variants() if other.supports(height, width))
    others = f"a variant that draws {came}: {', '.join(able[:NAMED])}" + (" ..." if len(able) > NAMED else "")
    drawn = f"{rule} pixels, not {came}"
    if rule.square and height != width:
        drawn = f"squares, not {height} x {width} pixels"
    return f"Variant '{variant.name}' draws {drawn}: use --image-size {nearest}" + (
        f", or {others}." if able else f"; no variant here draws {came}."
    )


def check_count(source: ArraySource | EncodedSource | PairedSource, batch_size: int) -> None:
    """UsageError for fewer pictures than a batch has."""
    if batch_size > count_of(source):
        raise UsageError(too_few_line(batch_size, count_of(source), source.name))


def found_spec(
    request: DataRequest, source: ArraySource | EncodedSource | PairedSource, conditional: bool
) -> SampleSpec:
    """The samples of data that were found, before they are decoded; without what conditions compute."""
    own = source.channels[1] if isinstance(source, PairedSource) else channels_of(source)
    labels = {"label": Field((), "class", len(source.classes))} if conditional else {}
    return SampleSpec(Field((request.channels or own, *rectangle(request.size))), labels)


def source_facts(
    request: Request, data: Data | Stream, variant: Variant, absolute: Callable[[str], str]
) -> SourceFacts | None:
    """What config.json says of the sources of a run; None for a variant without inputs."""
    if isinstance(data, Stream) or not variant.inputs:
        return None
    options = request.options
    stored, computed = data.stored, _computed(variant)
    own = stored.inputs.get(data.source_name)
    return SourceFacts(
        source=None if options.source is None or computed else absolute(options.source),
        side_by_side=bool(options.side_by_side),
        direction=options.direction or "AtoB",
        unpaired=is_unpaired(options, variant),
        size=(own.shape[1], own.shape[2]) if own else None,
        channels=options.channels,
        source_channels=options.source_channels,
        images=len(data.source) if data.source is not None else None,
        fingerprint=data.source.fingerprint if data.source is not None else None,
        conditions={name: condition.fingerprint for name, condition in data.conditions.items()},
    )
