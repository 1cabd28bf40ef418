"""Turns a request of `ganzoo bench` into job, cells, scorer and protocol, or refuses it before any file is written."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import replace
from functools import cache, partial
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

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
from ganzoo.bench.protocol import protocol_of, ranking_metric
from ganzoo.bench.scorer import Scorer, default_reference, load_prepared
from ganzoo.bench.trainable import refuse_untrainable
from ganzoo.data import ArraySource, EncodedSource, ImageData
from ganzoo.data.prepare import channels_of
from ganzoo.engine.device import choose_device
from ganzoo.errors import GanzooError, PluginError, UsageError
from ganzoo.files.text import quoted
from ganzoo.metrics.features import Extractor, load_extractor, needs_classes, unsuited
from ganzoo.models.load import load
from ganzoo.registry.registry import Registry
from ganzoo.variant import SampleSpec, Variant

log = logging.getLogger(__name__)

if TYPE_CHECKING:
    from ganzoo.bench.request import Request

REFERENCE = "fashion-mnist-test"
EXTRACTOR, GENERIC = "fashion-cnn", "random-cnn"  # where none is chosen: for grey images, and for colour
SECOND, NO_SECOND = "fashion-cnn-native", "none"  # where no second one is chosen: if it was made for the images
ONLY_TRAINING = (
    *("data", "everything", "image_size", "channels", "conditional", "steps", "images", "minutes", "settings"),
    *("generator", "discriminator", "loss", "mixins", "points", "point_images", "precision"),
)
SAMPLES, FEWEST_SAMPLES = 10_000, 500  # scored of a checkpoint where --eval-images is not given
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
    variants = chosen_variants(request.sources, request.everything, options.image_size, registry)
    size = common_size(variants, options.image_size)
    reference = request.reference or default_reference(options.data, registry, options.data_root)
    extractor = load_extractor(request.extractor or EXTRACTOR)
    job = _job(request, registry, "train", reference, extractor)
    check = partial(_check_source, variants, request, size, registry)
    data = load_prepared(job, options.data, registry, size=size, channels=options.channels, check=check)
    if request.extractor is None and data.channels == 3:
        extractor = _generic()
        job = _job(request, registry, "train", reference, extractor)
    job = replace(job, image_size=size, channels=data.channels, classes=len(data.classes))
    variants = _with_labels(variants, request, data)
    scorer = Scorer(job, registry, data, extractor)
    real = scorer.reference(size, data.channels)
    scorer = _without_empty_classes(scorer, [real], request)
    second = _add_second(scorer, [real], request)
    job = scorer.job
    cells = _cells(variants, seeds, data.name, request, registry)
    refuse_untrainable(cells, _named(request), registry, data, size, lambda: data.channels)
    _check_numbers(job, scorer, [real], trained=True)
    if request.eval_images is None and job.eval_images < SAMPLES:
        log.info(
            f"The training is short: {job.eval_images:,} samples of a checkpoint are scored instead of {SAMPLES:,}, "
            f"{job.point_images:,} at each point; --eval-images changes it."
        )
    scorer.reference_features(size, data.channels)
    return Planned(job, cells, scorer, protocol_of(job, data, [real], scorer.extractor, registry, second))


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
    )


def _check_source(
    variants: Sequence[Variant], request: Request, size: int, registry: Registry, source: ArraySource | EncodedSource
) -> None:
    """UsageError, before any image is prepared, for data that the variants cannot be trained on."""
    _refuse_unlabelled(variants, request, source)
    trained = [variant for variant in variants if source.classes or variant.labels != "required"]
    cells = _cells(trained, [0], source.name, request, registry)
    refuse_untrainable(
        cells, _named(request), registry, source, size, lambda: request.options.channels or channels_of(source)
    )


def _refuse_unlabelled(
    variants: Sequence[Variant], request: Request, data: ArraySource | EncodedSource | ImageData
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
        if asked[name]:
            option = OPTION_OF.get(name, name.replace("_", "-"))
            raise UsageError(f"--{option} is for --train: without it, trained generators are scored.")
    _refuse_variants(request.sources, registry)
    seeds = parse_seeds(request.seeds or "1")
    extractor = load_extractor(request.extractor or EXTRACTOR)
    job = _job(request, registry, "pretrained", request.reference or REFERENCE, extractor)
    named = {name: (source, inspect_generator(source, registry)) for source, name in names_of(request.sources).items()}
    found = named or _embedded(registry)
    shapes = sorted({info.shape for _, info in found.values() if info.shape})
    if request.extractor is None and any(channels == 3 for _, channels in shapes):
        extractor = _generic()
        job = _job(request, registry, "pretrained", request.reference or REFERENCE, extractor)
    scorer = Scorer(job, registry, extractor=extractor)
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
    for shape in shapes:
        scorer.reference_features(*shape)
    return Planned(job, cells, scorer, protocol_of(job, None, references, scorer.extractor, registry, second))


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
    return Scorer(job, scorer.registry, scorer.data if job.data else None, scorer.extractor)


def _add_second(scorer: Scorer, references: Sequence[ImageData], request: Request) -> Extractor | None:
    """Adds the second extractor to a scorer and returns it: the one that was asked for, else SECOND if it suits.

    None without one. UsageError if it is the first; a warning if it was not made for the images.
    """
    name, first = request.second_extractor, scorer.extractor.name
    if name == NO_SECOND or (name is None and first == SECOND):
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

    `shape` is None if it cannot be loaded, `macs` 0 if they cannot be counted.
    """

    variant: str
    shape: tuple[int, int] | None
    macs: int


def _has_samples(image: SampleSpec) -> bool:
    """True for images that are made of latents alone, of which a bench scores samples."""
    return image.output.kind == "image" and not image.sources


@cache
def inspect_generator(source: str, registry: Registry) -> GeneratorInfo:
    """Loads a trained generator and describes it; UsageError if its samples have no score."""
    model = load(source)
    if not _has_samples(model.image):
        raise UsageError(
            f"{source} makes {'images of others' if model.image.sources else model.image.output.kind}, and a bench "
            "compares images of latents: measure it with `ganzoo apply` and `ganzoo score --paired`."
        )
    if model.image.height != model.image.width:
        raise UsageError(f"'{source}' generates images of {model.image.extent}, and a bench compares square ones.")
    cost = costs.macs(model.generator, model.latent(1), model.labels(1)) or 0
    return GeneratorInfo(model.variant, (model.image.size, model.image.channels), cost)


def _embedded(registry: Registry) -> dict[str, tuple[str, GeneratorInfo]]:
    """Returns all generators whose weights come with a variant; UsageError if none can be loaded."""
    tags = [
        (tag, variant.name)
        for variant in registry.variants()
        for tag, weights in sorted(variant.weights.items())
        if weights.package_file and _has_samples(weights.image)
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
                others = f"--metric {ranking_metric([*scorer.metrics])}"
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


def _job(
    request: Request, registry: Registry, kind: Literal["train", "pretrained"], reference: str, extractor: Extractor
) -> Job:
    builtin = [name for name in registry.names("metrics") if registry.claim("metrics", name).plugin.builtin]
    able = [
        name
        for name in builtin
        if extractor.classes or "logits" not in getattr(registry.get("metrics", name), "needs", ())
    ]
    asked = {metric_of(name, extractor.name) for name in request.metrics or able}
    first = ranking_metric(asked)
    metrics = [first, *sorted(asked - {first})]  # sorted, because the order is part of the protocol
    least = max(_least(name, registry.get("metrics", name)) for name in metrics)
    samples = request.eval_images or max(default_samples(request, kind), least)
    return Job(
        folder=str(request.out.absolute()),
        kind=kind,
        data=request.options.data,
        reference=reference,
        data_root=str(request.options.data_root.absolute()) if request.options.data_root else None,
        extractor=extractor.name,
        metrics=tuple(metrics),
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
