"""Plans a bench of trained generators, or refuses it before any file is written."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cache
from typing import TYPE_CHECKING, NamedTuple

import torch

from ganzoo.bench import costs
from ganzoo.bench.cells import (
    Cell,
    names_of,
    parse_seeds,
)
from ganzoo.bench.make_job import (
    EXTRACTOR,
    Planned,
    add_second,
    check_numbers,
    colour_extractor,
    copies_of_sources,
    make_job,
    shapes_in_words,
    within_examples,
    without_empty_classes,
)
from ganzoo.bench.protocol import protocol_of
from ganzoo.bench.scorer import Scorer
from ganzoo.bench.sources import Sources, sources_of
from ganzoo.config.source import with_source
from ganzoo.errors import GanzooError, UsageError
from ganzoo.metrics.features import load_extractor
from ganzoo.models.load import load
from ganzoo.networks.inputs import select_inputs
from ganzoo.registry.registry import Registry
from ganzoo.variant import Part, SampleSpec

log = logging.getLogger(__name__)

if TYPE_CHECKING:
    from ganzoo.bench.request import Request

REFERENCE = "fashion-mnist-test"
ONLY_TRAINING = (
    *("data", "everything", "image_size", "channels", "conditional", "steps", "images", "minutes", "settings"),
    *("generator", "discriminator", "loss", "mixins", "points", "point_images", "precision", "reference_source"),
)
OPTION_OF = {"everything": "all", "settings": "set", "mixins": "with"}


def plan_scoring(request: Request, registry: Registry) -> Planned:
    """Plans a bench of trained generators; an embedded generator that cannot be loaded becomes a failed row."""
    asked = vars(request.options) | vars(request)
    for name in ONLY_TRAINING:
        if asked[name] and not (name == "data" and request.options.side_by_side):
            option = OPTION_OF.get(name, name.replace("_", "-"))
            raise UsageError(f"--{option} is for --train: without it, trained generators are scored.")
    _refuse_variants(request.sources, registry)
    seeds = parse_seeds(request.seeds or "1")
    extractor = load_extractor(request.extractor or EXTRACTOR)
    named = {name: (source, inspect_generator(source, registry)) for source, name in names_of(request.sources).items()}
    found = named or _embedded(registry)
    shapes = sorted({info.shape for _, info in found.values() if info.shape})
    reference, sources, size = _scored_sources([info for _, info in found.values()], request, registry)
    job = make_job(request, registry, "pretrained", reference, extractor, sources, size)
    if request.extractor is None and any(channels == 3 for _, channels in shapes):
        extractor = colour_extractor(size for size, channels in shapes if channels == 3)
        job = make_job(request, registry, "pretrained", reference, extractor, sources, size)
    classes = 0
    if sources is not None:
        job = replace(job, image_size=shapes[0][0], channels=shapes[0][1])
        classes = next(info.spec.classes for _, info in found.values() if info.spec)
    scorer = within_examples(Scorer(job, registry, extractor=extractor), request, classes)
    references = [scorer.reference(*shape) for shape in shapes]
    scorer = without_empty_classes(scorer, references, request)
    second = add_second(scorer, references, request)
    job = scorer.job
    cells = tuple(
        Cell(name=name, variant=info.variant, data=references[0].name, seed=seed, source=source)
        for name, (source, info) in found.items()
        for seed in seeds
    )
    check_numbers(job, scorer, references, trained=False)
    cells = (*cells, *copies_of_sources(scorer, references[0].name))
    for shape in shapes:
        scorer.reference_features(*shape)
    protocol = protocol_of(job, None, references, scorer.extractor, registry, second, scorer.source_facts)
    return Planned(job, cells, scorer, protocol)


def _scored_sources(
    models: Sequence[GeneratorInfo], request: Request, registry: Registry
) -> tuple[str, Sources | None, int | None]:
    """Returns the reference of trained generators, and their sources and size if they take any."""
    options = request.options
    known = [info for info in models if info.spec is not None]
    variants = [
        with_source(
            replace(registry.get("variants", info.variant), inputs=info.inputs),
            options.source if info.inputs else None,
            bool(options.side_by_side and info.inputs),
            registry,
        )
        for info in known
    ]
    sources = sources_of(variants, options)
    if sources is None:
        return request.reference or REFERENCE, None, None
    specs = [info.spec for info in known if info.spec is not None]
    for spec in specs:
        if spec != specs[0]:
            raise UsageError(
                f"Generators with a source are scored together if all have one shape, and these have "
                f"{shapes_in_words(specs[0])} and {shapes_in_words(spec)}: bench them apart."
            )
    if options.side_by_side and request.reference is not None:
        raise UsageError("--pairs holds the reference and its sources: leave out --reference.")
    reference = options.data if options.side_by_side else request.reference
    if reference is None:
        if not sources.computed:
            raise UsageError("Say on what to score: --reference OUTPUTS/ --source SOURCES/, or --pairs FOLDER.")
        reference = REFERENCE
    spec = specs[0]
    (source,) = list(spec.sources.values())[:1]
    needed = [
        getattr(registry.get("conditions", one.name), "stored_channels", None) for one in sources.inputs.values() if one
    ]
    height, width = source.shape[1:]
    sources = replace(
        sources,
        fields=spec.sources,
        reference_source=options.source,
        channels=None if any(needed) else spec.channels,
        source_size=None if sources.computed or (height, width) == (spec.size, spec.size) else (height, width),
        source_channels=None if sources.computed else source.shape[0],
    )
    return reference, sources, spec.size


def _refuse_variants(sources: Sequence[str], registry: Registry) -> None:
    """Raises UsageError for the name of a variant, and names its trained generators and the way to train one."""
    for source in sources:
        if source in registry.names("variants"):
            tags = " or ".join(sorted(registry.get("variants", source).weights))
            scored = f"score its trained generator {tags}, or " if tags else ""
            how = "train it with --train --data DATA --images N --out FOLDER."
            raise UsageError(
                f"'{source}' is a variant, and without --train trained generators are scored: {scored}{how}"
            )


class GeneratorInfo(NamedTuple):
    """Describes a trained generator: its variant, (size, channels) of its images, and MACs per sample.

    `shape` and `spec` are None if it cannot be loaded, `macs` 0 if they cannot be counted; `inputs` are as on a card.
    """

    variant: str
    shape: tuple[int, int] | None
    macs: int
    spec: SampleSpec | None = None
    inputs: Mapping[str, Part | None] = {}


@cache
def inspect_generator(source: str, registry: Registry) -> GeneratorInfo:
    """Loads a trained generator and describes it; UsageError for samples that a bench does not score."""
    model = load(source)
    spec = model.image
    if spec.output.kind != "image" or spec.height != spec.width or spec.channels not in (1, 3):
        shape = " x ".join(map(str, spec.output.shape))
        instead = ": benchmarks/points.py compares what draws points" if spec.output.kind == "points" else ""
        raise UsageError(
            f"{source} makes {spec.output.kind} of {shape} numbers, and a bench scores square images of 1 or 3 "
            f"channels{instead}."
        )
    inputs = select_inputs(model.generator, {name: torch.zeros(1, *one.shape) for name, one in spec.sources.items()})
    cost = costs.macs(model.generator, model.latent(1), model.labels(1), **inputs) or 0
    given = dict(model.config.inputs) or dict.fromkeys(spec.sources)
    return GeneratorInfo(model.variant, (spec.size, spec.channels), cost, spec, given)


def _embedded(registry: Registry) -> dict[str, tuple[str, GeneratorInfo]]:
    """Returns all generators of grey images whose weights come with a variant; UsageError if none can be loaded.

    Those in colour are left out, for no images in colour to compare them with come with ganzoo.
    """
    tags = []
    for card in registry.variants():
        for tag, weights in sorted(card.weights.items()):
            if not weights.package_file or weights.image.sources or weights.image.output.kind != "image":
                continue
            if weights.image.channels == 1:
                tags.append((tag, card.name))
            else:
                log.info(f"left out: {tag} draws in colour; name it, and the images to compare it with by --reference")
    found, trouble = {}, None
    for tag, variant in tags:
        try:
            found[tag] = tag, inspect_generator(tag, registry)
        except GanzooError as error:
            trouble = trouble or error
            log.warning(f"{tag} cannot be loaded: {error}")
            found[tag] = tag, GeneratorInfo(variant, None, 0)
    if not any(info.shape for _, info in found.values()):
        raise UsageError(f"No generator comes with a variant that can be loaded{f': {trouble}' if trouble else '.'}")
    return found


def sampling_cost(cell: Cell, registry: Registry) -> int:
    """Returns the MACs per sample of a pretrained cell, to start with the most expensive.

    0 for cells that are trained.
    """
    try:
        return inspect_generator(cell.source, registry).macs if cell.source else 0
    except GanzooError:  # its row will say so
        return 0
