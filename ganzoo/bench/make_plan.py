"""Turns a request of `ganzoo bench` into job, cells, scorer and protocol, or refuses it before any file is written."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import cache, partial
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import torch

from ganzoo.bench import costs
from ganzoo.bench.cells import (
    Cell,
    Job,
    chosen_variants,
    common_size,
    is_pattern,
    names_of,
    parse_seeds,
    training_cells,
)
from ganzoo.bench.protocol import RANKED_BY, protocol_of, ranking_metric
from ganzoo.bench.scorer import Scorer, default_reference, load_prepared, load_sides
from ganzoo.bench.sources import Sources, default_examples, source_of_reference, sources_of
from ganzoo.bench.trainable import refuse_untrainable
from ganzoo.config.source import with_source
from ganzoo.data import ArraySource, EncodedSource, ImageData
from ganzoo.data.prepare import channels_of
from ganzoo.data.sources import Data, PairedSource
from ganzoo.engine.device import choose_device
from ganzoo.errors import GanzooError, PluginError, UsageError
from ganzoo.files.text import quoted
from ganzoo.metrics.directions import PAIRED as PAIRED_NAMES
from ganzoo.metrics.features import Extractor, load_extractor, needs_classes, unsuited
from ganzoo.metrics.lpips import default_network
from ganzoo.metrics.paired import PAIRED
from ganzoo.models.load import load
from ganzoo.networks.inputs import select_inputs
from ganzoo.registry.registry import Registry
from ganzoo.variant import ImageSpec, Part, SampleSpec, Variant

log = logging.getLogger(__name__)

if TYPE_CHECKING:
    from ganzoo.bench.request import Request

REFERENCE = "fashion-mnist-test"
EXTRACTOR, GENERIC = "fashion-cnn", "random-cnn"  # where none is chosen: for grey images, and for colour
SECOND, NO_SECOND = "fashion-cnn-native", "none"  # where no second one is chosen: if it was made for the images
ONLY_TRAINING = (
    *("data", "everything", "image_size", "channels", "conditional", "steps", "images", "minutes", "settings"),
    *("generator", "discriminator", "loss", "mixins", "points", "point_images", "precision", "reference_source"),
)
SAMPLES, FEWEST_SAMPLES = 10_000, 500  # scored of a checkpoint where --eval-images is not given
USUAL_PAIRED = ("l1", "psnr", "ssim")  # where no metric is chosen; the first ranks
COPY = "copy of the {}"  # the row of sources that are scored as if they were outputs
SAMPLES_AN_IMAGE = 1 / 4  # of the budget: both last checkpoints and all points then sample 0.7 images for each of it
NOMINAL_BATCH, NOMINAL_MINUTE = 64, 10_000  # images of a step and of a minute, alike for all variants and machines
OPTION_OF = {"everything": "all", "settings": "set", "mixins": "with"}


class Planned(NamedTuple):
    """Holds the cells of a bench, and the scorer and protocol that measure them."""

    job: Job
    cells: tuple[Cell, ...]
    scorer: Scorer
    protocol: dict[str, Any]


def plan_training(request: Request, registry: Registry) -> Planned:
    """Plans a matrix of trainings; UsageError if a cell cannot be trained or scored."""
    options = request.options
    budgets = [budget for budget in (options.steps, options.images, request.minutes) if budget is not None]
    if options.data is None:
        raise UsageError("Say what to train on: ganzoo bench VARIANT... --train --data DATA --images N --out FOLDER.")
    if isinstance(options.image_size, tuple) or options.channels == 4:
        raise UsageError("A bench scores squares of 1 or 3 channels: give one number to --image-size, 1 or 3 channels.")
    if len(budgets) != 1:
        raise UsageError("Every variant gets the same budget: give exactly one of --steps, --images and --minutes.")
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
    job = replace(_job(request, registry, "train", reference, extractor, sources, size), image_size=size)
    loaded, spec = _load(variants, job, request, registry)
    data = loaded.output if isinstance(loaded, Data) else loaded
    channels = spec(0).channels
    if request.extractor is None and channels == 3:
        extractor = _generic()
        job = _job(request, registry, "train", reference, extractor, sources, size)
    job = replace(job, image_size=size, channels=channels, classes=len(data.classes))
    if isinstance(loaded, Data):
        job = _of_loaded(job, loaded)
    variants = _with_labels(variants, request, data)
    cells = _cells(variants, seeds, data.name, request, registry)
    scorer = Scorer(job, registry, loaded, extractor)
    scorer = _within_examples(scorer, request, job.classes if any(_labelled(cell, registry) for cell in cells) else 0)
    real = scorer.reference(size, channels)
    scorer = _without_empty_classes(scorer, [real], request)
    second = _add_second(scorer, [real], request)
    job = scorer.job
    refuse_untrainable(cells, _named(request), registry, data, spec)
    _check_numbers(job, scorer, [real], trained=True)
    cells = (*cells, *_copies(scorer, data.name))
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


def _within_examples(scorer: Scorer, request: Request, classes: int) -> Scorer:
    """Returns a scorer that asks for no more outputs than the reference has sources; the same without sources.

    Metrics that need more are left out unless they were asked for. UsageError if more outputs were asked for, or if the
    reference lacks the shapes or labels that models get.
    """
    job, examples = scorer.job, scorer.examples
    if job.sources is None or examples is None:
        return scorer
    spec, there = examples.data.spec, examples.count
    name = quoted(examples.data.output.name)
    if spec.sources != job.sources.fields or spec.channels != job.channels:
        raise UsageError(f"The reference {name} gives {_shapes(spec)}, and the models take and make other shapes.")
    if classes and classes != spec.classes:
        raise UsageError(f"The models know {classes} classes, and the reference {name} has {spec.classes}.")
    for option, asked in (("--eval-images", request.eval_images), ("--point-images", request.point_images)):
        if asked is not None and asked > there:
            raise UsageError(f"{option} {asked}: the reference {name} has {there} sources, each of which gives one.")
    images = request.eval_images or min(SAMPLES, there)
    point_images = request.point_images or min(images, max(images // 5, FEWEST_SAMPLES))
    metrics = scorer.job.metrics
    if not request.metrics:
        least = {name: _least(name, metric) for name, metric in scorer.metrics.items()}
        metrics = tuple(name for name in metrics if least[name] <= min(images, point_images))
        if left := [name for name in job.metrics if name not in metrics]:
            log.info(f"left out: {', '.join(left)} for want of images: the reference {name} has {there}")
    job = replace(job, eval_images=images, point_images=point_images, metrics=metrics)
    return Scorer(job, scorer.registry, scorer.training if job.data else None, scorer.extractor, examples)


def _shapes(spec: SampleSpec) -> str:
    fields = {**spec.sources, "output": spec.output}
    return ", ".join(f"{name} {' x '.join(map(str, one.shape))}" for name, one in fields.items())


def _copies(scorer: Scorer, data: str) -> tuple[Cell, ...]:
    """Returns a cell that scores sources as if they were outputs, if they are images."""
    copied = scorer.examples and scorer.examples.copied
    return (Cell(name=COPY.format(copied), variant="", data=data, seed=0, copied=copied),) if copied else ()


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
    job = _job(request, registry, "pretrained", reference, extractor, sources, size)
    if request.extractor is None and any(channels == 3 for _, channels in shapes):
        extractor = _generic()
        job = _job(request, registry, "pretrained", reference, extractor, sources, size)
    classes = 0
    if sources is not None:
        job = replace(job, image_size=shapes[0][0], channels=shapes[0][1])
        classes = next(info.spec.classes for _, info in found.values() if info.spec)
    scorer = _within_examples(Scorer(job, registry, extractor=extractor), request, classes)
    references = [scorer.reference(*shape) for shape in shapes]
    scorer = _without_empty_classes(scorer, references, request)
    second = _add_second(scorer, references, request)
    job = scorer.job
    cells = tuple(
        Cell(name=name, variant=info.variant, data=references[0].name, seed=seed, source=source)
        for name, (source, info) in found.items()
        for seed in seeds
    )
    _check_numbers(job, scorer, references, trained=False)
    cells = (*cells, *_copies(scorer, references[0].name))
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
                f"{_shapes(specs[0])} and {_shapes(spec)}: bench them apart."
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


def _generic() -> Extractor:
    """Returns the extractor for images in colour, where none is chosen."""
    log.info(f"The images are in colour: they are compared by --extractor {GENERIC}, a random network without classes.")
    return load_extractor(GENERIC)


def _without_empty_classes(scorer: Scorer, references: Sequence[ImageData], request: Request) -> Scorer:
    """Warns once if the extractor was not made for the images, and leaves out metrics of its classes.

    Those that were asked for, and those of only some of the references, are without a number in the rows instead.
    """
    unsuited = [text for reference in references if (text := scorer.unsuited(reference))]
    if not unsuited:
        return scorer
    log.warning(
        f"Metrics of classes are left out: {unsuited[0]} Distances between its features say little about such images: "
        f"choose another --extractor, such as {GENERIC}."
    )
    if request.metrics or len(unsuited) < len(references):
        return scorer
    kept = tuple(name for name, metric in scorer.metrics.items() if not needs_classes(metric))
    job = replace(scorer.job, metrics=kept)
    return Scorer(job, scorer.registry, scorer.training if job.data else None, scorer.extractor, scorer.examples)


def _add_second(scorer: Scorer, references: Sequence[ImageData], request: Request) -> Extractor | None:
    """Adds the second extractor to a scorer and returns it: the one that was asked for, else SECOND if it suits.

    None without one. UsageError if it is the first; a warning if it was not made for the images.
    """
    name, first = request.second_extractor, scorer.extractor.name
    if name == NO_SECOND or (name is None and (first == SECOND or scorer.job.paired)):
        return None
    if name == first:
        raise UsageError(
            f"--second-extractor {name} is the first extractor too: name another, or '{NO_SECOND}' for none."
        )
    second = load_extractor(name or SECOND)
    trouble = [text for reference in references if (text := unsuited(second, reference))]
    if trouble and name is None:
        return None
    if trouble:
        log.warning(f"Distances between features of the second extractor say little here: {trouble[0]}")
    scorer.score_also_by(second)
    return second


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
    """Returns all generators whose weights come with a variant; UsageError if none can be loaded."""
    tags = [
        (tag, variant.name)
        for variant in registry.variants()
        for tag, weights in sorted(variant.weights.items())
        if weights.package_file and not weights.image.sources and weights.image.output.kind == "image"
    ]
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


def _check_numbers(job: Job, scorer: Scorer, references: Sequence[ImageData], *, trained: bool) -> None:
    """Raises UsageError before any training if a metric needs more samples or real images than there will be."""
    counts = [("--eval-images", job.eval_images, "samples")]
    counts += [("--point-images", job.point_images, "samples")] if trained else []
    counts += [(f"the reference {reference.name}", len(reference), "images") for reference in references]
    for name, metric in scorer.metrics.items():
        least = _least(name, metric)
        for where, there, what in counts:
            if there < least:
                others = f"--metric {job.paired[0] if job.paired else ranking_metric([*scorer.metrics])}"
                raise UsageError(
                    f"The metric '{name}' needs {least} {what}, and {where} has {there}: "
                    f"give more, or choose metrics, such as {others}."
                )


def _least(name: str, metric: Any) -> int:
    """Returns the least number of images that a metric states; PluginError if it is no whole number from 1."""
    least = getattr(metric, "least", 1)
    if type(least) is not int or least < 1:
        raise PluginError(f"The metric '{name}' must state as `least` a whole number from 1, not {quoted(least)}.")
    return least


def metric_of(name: str, extractor: str) -> str:
    """Returns the metric that an option names: "fid" is `frechet`, of the extractor `inception` alone."""
    if name != "fid":
        return name
    if extractor != "inception":
        raise UsageError(
            f"'fid' is frechet[inception], and the extractor is '{extractor}': "
            f"use --extractor inception or --metric frechet."
        )
    return "frechet"


def default_samples(request: Request, kind: Literal["train", "pretrained"]) -> int:
    """Returns the number of samples to score where none is given: 10,000, or fewer for a short training.

    It depends on the budget alone, so that more variants may join a bench: a quarter of the images, of 64 images a step
    or of 10,000 a minute, in hundreds, at least 500.
    """
    options = request.options
    images = options.images or (options.steps or 0) * NOMINAL_BATCH or (request.minutes or 0) * NOMINAL_MINUTE
    if kind == "pretrained" or not images:
        return SAMPLES
    return min(SAMPLES, max(FEWEST_SAMPLES, int(images * SAMPLES_AN_IMAGE) // 100 * 100))


def _paired_metrics(
    asked: Sequence[str], sources: Sources | None, size: int | None, registry: Registry
) -> tuple[str, ...]:
    """Returns the metrics of outputs beside their truths: those of `asked`, without any the usual ones.

    The first of them comes first, the others are sorted. UsageError if they were asked for and there are no pairs, or
    the images are too small.
    """
    own = registry.names("metrics")  # a plugin's metric of features may have the same name
    wanted = [name for name in asked if name in PAIRED_NAMES and name not in own]
    if sources is None or not sources.paired or size is None:
        if wanted:
            raise UsageError(
                f"The metric '{wanted[0]}' compares each output with its truth, and there are no pairs here: "
                "choose other metrics."
            )
        return ()
    if asked:
        for name in wanted:
            if size < PAIRED[name].least:
                raise UsageError(f"The metric '{name}' needs {PAIRED[name].least} pixels, and the images have {size}.")
        if "lpips" in wanted:
            default_network()
        return (*wanted[:1], *sorted({*wanted} - {*wanted[:1]}))
    return tuple(name for name in USUAL_PAIRED if size >= PAIRED[name].least)


def _job(
    request: Request,
    registry: Registry,
    kind: Literal["train", "pretrained"],
    reference: str,
    extractor: Extractor,
    sources: Sources | None = None,
    size: int | None = None,
) -> Job:
    builtin = [name for name in registry.names("metrics") if registry.claim("metrics", name).plugin.builtin]
    able = [
        name
        for name in builtin
        if extractor.classes or "logits" not in getattr(registry.get("metrics", name), "needs", ())
    ]
    paired = _paired_metrics(request.metrics, sources, size, registry)
    asked = {metric_of(name, extractor.name) for name in request.metrics or able} - {*paired}
    first = [] if paired and not asked & {*RANKED_BY} else [ranking_metric(asked)]
    metrics = [*first, *sorted(asked - {*first})]  # sorted, because the order is part of the protocol
    least = max((_least(name, registry.get("metrics", name)) for name in metrics), default=1)
    samples = request.eval_images or max(default_samples(request, kind), least)
    return Job(
        folder=str(request.out.absolute()),
        kind=kind,
        data=request.options.data,
        reference=reference,
        data_root=str(request.options.data_root.absolute()) if request.options.data_root else None,
        extractor=extractor.name,
        metrics=tuple(metrics),
        paired=paired,
        sources=sources,
        steps=request.options.steps,
        images=request.options.images,
        minutes=request.minutes,
        points=request.points or 4,
        eval_images=samples,
        point_images=request.point_images or max(samples // 5, least),
        precision=request.options.precision or "fp32",
        device=choose_device(request.options.device),
        threads=request.options.threads or 1,
    )
