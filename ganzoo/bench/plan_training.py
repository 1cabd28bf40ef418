"""Plans a bench that trains variants, or refuses it before any file is written."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

from ganzoo.bench.cells import (
    Cell,
    Job,
    chosen_variants,
    common_size,
    is_pattern,
    parse_seeds,
    training_cells,
)
from ganzoo.bench.make_job import (
    EXTRACTOR,
    SAMPLES,
    Planned,
    add_second,
    check_numbers,
    colour_extractor,
    copies_of_sources,
    make_job,
    within_examples,
    without_empty_classes,
)
from ganzoo.bench.protocol import protocol_of
from ganzoo.bench.scorer import Scorer, default_reference, load_prepared, load_sides
from ganzoo.bench.sources import Sources, default_examples, source_of_reference, sources_of
from ganzoo.bench.trainable import refuse_untrainable
from ganzoo.data import ArraySource, EncodedSource, ImageData
from ganzoo.data.prepare import channels_of
from ganzoo.data.sources import Data, PairedSource
from ganzoo.errors import UsageError
from ganzoo.files.text import quoted
from ganzoo.metrics.features import load_extractor
from ganzoo.registry.registry import Registry
from ganzoo.variant import ImageSpec, SampleSpec, Variant, size_text

log = logging.getLogger(__name__)

if TYPE_CHECKING:
    from ganzoo.bench.request import Request


def plan_training(request: Request, registry: Registry) -> Planned:
    """Plans a matrix of trainings; UsageError if a cell cannot be trained or scored."""
    options = request.options
    budgets = [budget for budget in (options.steps, options.images, request.minutes) if budget is not None]
    if options.data is None:
        raise UsageError("Say what to train on: ganzoo bench VARIANT... --train --data DATA --images N --out FOLDER.")
    if isinstance(options.image_size, tuple) or options.channels == 4:
        came = "4 channels" if options.channels == 4 else size_text(options.image_size or 0)
        raise UsageError(
            f"A bench scores squares of 1 or 3 channels, not {came}: networks that see features are made for those. "
            "Give one number to --image-size, 1 or 3 to --channels; `ganzoo score` compares others pixel by pixel."
        )
    if len(budgets) != 1:
        raise UsageError("Every variant gets the same budget: give exactly one of --steps, --images and --minutes.")
    minutes = request.minutes
    if minutes is not None and not (isinstance(minutes, int | float) and 0 < minutes < float("inf")):
        raise UsageError(f"The minutes of a bench are a number above 0, not {quoted(minutes)}.")
    seeds = parse_seeds(request.seeds or "1")
    has_source = options.source is not None or bool(options.side_by_side)
    variants = chosen_variants(request.sources, request.everything, options.image_size, registry, has_source)
    size = common_size(variants, options.image_size)
    sources = _sources(variants, request, registry)
    if sources is None:
        if request.reference_source is not None:
            raise UsageError("--reference-source is for variants that take a source: leave it out.")
        reference = request.reference or default_reference(options.data, registry, options.data_root)
    else:
        reference, sources = _reference(request, options.data, sources, registry)
    extractor = load_extractor(request.extractor or EXTRACTOR)
    job = replace(make_job(request, registry, "train", reference, extractor, sources, size), image_size=size)
    loaded, spec = _load(variants, job, request, registry)
    data = loaded.output if isinstance(loaded, Data) else loaded
    channels = spec(0).channels
    if request.extractor is None and channels == 3:
        extractor = colour_extractor([size])
        job = make_job(request, registry, "train", reference, extractor, sources, size)
    job = replace(job, image_size=size, channels=channels, classes=len(data.classes))
    if isinstance(loaded, Data):
        job = _of_loaded(job, loaded)
    variants = _with_labels(variants, request, data)
    cells = _cells(variants, seeds, data.name, request, registry)
    scorer = Scorer(job, registry, loaded, extractor)
    scorer = within_examples(scorer, request, job.classes if any(_labelled(cell, registry) for cell in cells) else 0)
    real = scorer.reference(size, channels)
    scorer = without_empty_classes(scorer, [real], request)
    second = add_second(scorer, [real], request)
    job = scorer.job
    refuse_untrainable(cells, _named(request), registry, data, spec)
    check_numbers(job, scorer, [real], trained=True)
    cells = (*cells, *copies_of_sources(scorer, data.name))
    if sources is None and request.eval_images is None and job.eval_images < SAMPLES:
        log.info(
            f"The training is short: {job.eval_images:,} samples of a checkpoint are scored instead of {SAMPLES:,}, "
            f"{job.point_images:,} at each point; --eval-images changes it."
        )
    scorer.reference_features(size, channels)
    protocol = protocol_of(job, data, [real], scorer.extractor, registry, second, scorer.source_facts)
    return Planned(job, cells, scorer, protocol)


def _sources(variants: Sequence[Variant], request: Request, registry: Registry) -> Sources | None:
    """Returns the sources of the cells of these variants; UsageError if they are not the same for all."""
    if any(variant.inputs for variant in variants):
        cells = _cells(variants, [0], "", request, registry)
        variants = [cell.resolved(registry).variant for cell in cells]
    return sources_of(variants, request.options)


def _reference(request: Request, data: str, sources: Sources, registry: Registry) -> tuple[str, Sources]:
    """Returns the reference of a training, and the sources with those that belong to it."""
    own = request.reference_source
    if own is not None and (sources.source is None or sources.computed):
        raise UsageError("--reference-source is for --source FOLDER: leave it out.")
    if own is not None and request.reference is None:
        raise UsageError("--reference-source holds the sources of --reference: give --reference too.")
    if request.reference is not None:
        reference, source = request.reference, own or source_of_reference(request.reference, sources)
    else:
        reference, source = default_examples(data, sources, registry, request.options.data_root)
        log.info(f"The reference: {reference}{f', with the sources {source}' if source else ''}.")
    return reference, replace(sources, reference_source=source)


def _load(
    variants: Sequence[Variant], job: Job, request: Request, registry: Registry
) -> tuple[ImageData | Data, Callable[[int], SampleSpec]]:
    """Loads the training images, with their sources if there are any, and says how to specify samples of them."""
    size = job.image_size
    assert job.data is not None and size is not None
    if job.sources is None:
        check = partial(_check_source, variants, request, size, registry)
        images = load_prepared(job, job.data, registry, size=size, channels=request.options.channels, check=check)
        return images, lambda classes: ImageSpec(size, images.channels, classes)

    def check_side(found: ArraySource | EncodedSource | PairedSource, side: str) -> None:
        if side == "output":
            _refuse_unlabelled(variants, request, found)
        trained = [one for one in variants if found.classes or side == "source" or one.labels != "required"]
        refuse_untrainable(_cells(trained, [0], found.name, request, registry), _named(request), registry, found, None)

    loaded = load_sides(job, job.data, job.sources.source, registry, check_side)
    spec = loaded.spec
    if spec.channels not in (1, 3):
        raise UsageError(f"A bench scores images of 1 or 3 channels, and these outputs have {spec.channels}.")
    sources = replace(job.sources, fields=spec.sources)
    return loaded, lambda classes: sources.spec(size, spec.channels, classes)


def _of_loaded(job: Job, loaded: Data) -> Job:
    """Returns the job with shapes and channels as they were found, which then hold for the reference too."""
    sources, stored = job.sources, loaded.stored
    assert sources is not None
    own = stored.sources.get(loaded.source_name)
    found = replace(
        sources,
        fields=loaded.spec.sources,
        channels=stored.channels,
        source_channels=sources.source_channels if own is None else own.shape[0],
    )
    return replace(job, sources=found)


def _labelled(cell: Cell, registry: Registry) -> bool:
    return bool(cell.conditional) or registry.get("variants", cell.variant).labels == "required"


def _cells(
    variants: Sequence[Variant], seeds: Sequence[int], data: str, request: Request, registry: Registry
) -> tuple[Cell, ...]:
    return training_cells(
        variants,
        seeds,
        data,
        registry,
        parts={"generator": request.generator, "discriminator": request.discriminator, "loss": request.loss},
        mixins=request.options.mixins,
        settings=request.options.settings,
        conditional=request.options.conditional or None,
        source=request.options.source,
        side_by_side=bool(request.options.side_by_side),
    )


def _check_source(
    variants: Sequence[Variant], request: Request, size: int, registry: Registry, source: ArraySource | EncodedSource
) -> None:
    """UsageError, before any image is prepared, for data that the variants cannot be trained on."""
    _refuse_unlabelled(variants, request, source)
    trained = [variant for variant in variants if source.classes or variant.labels != "required"]
    cells = _cells(trained, [0], source.name, request, registry)
    channels = request.options.channels
    refuse_untrainable(
        cells,
        _named(request),
        registry,
        source,
        lambda classes: ImageSpec(size, channels or channels_of(source), classes),
    )


def _refuse_unlabelled(
    variants: Sequence[Variant], request: Request, data: ArraySource | EncodedSource | PairedSource | ImageData
) -> None:
    """UsageError for data without labels if --conditional, a variant that was named, or all variants need them."""
    if data.classes:
        return
    how = f"{data.name} has no labels: sort the images into one folder for each class"
    if request.options.conditional:
        raise UsageError(f"--conditional needs labels, and {how}.")
    named = _named(request)
    for variant in variants:
        if variant.labels == "required" and variant.name in named:
            raise UsageError(f"Variant '{variant.name}' needs labels, and {how}.")
    if all(variant.labels == "required" for variant in variants):
        raise UsageError(f"All these variants need labels, and {how}.")


def _named(request: Request) -> set[str]:
    """Returns the variants that the request names, not those of its patterns."""
    return {source for source in request.sources if not is_pattern(source)}


def _with_labels(variants: Sequence[Variant], request: Request, data: ImageData) -> list[Variant]:
    """Returns the variants that can be trained on the data; without labels, those that need them are left out."""
    _refuse_unlabelled(variants, request, data)
    if data.classes:
        return list(variants)
    for variant in variants:
        if variant.labels == "required":
            log.warning(f"left out: '{variant.name}' needs labels, and {data.name} has none")
    return [variant for variant in variants if variant.labels != "required"]
