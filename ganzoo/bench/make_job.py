"""What plans of training and of scoring share: the job, its metrics, extractors and numbers, checked."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from ganzoo.bench.cells import (
    Cell,
    Job,
)
from ganzoo.bench.protocol import RANKED_BY, ranking_metric
from ganzoo.bench.scorer import Scorer
from ganzoo.bench.sources import Sources
from ganzoo.data import ImageData
from ganzoo.engine.device import choose_device
from ganzoo.errors import PluginError, UsageError
from ganzoo.files.text import quoted
from ganzoo.metrics.directions import PAIRED as PAIRED_NAMES
from ganzoo.metrics.features import Extractor, check_channels, load_extractor, needs_classes, unsuited
from ganzoo.metrics.lpips import default_network
from ganzoo.metrics.paired import PAIRED
from ganzoo.registry.registry import Registry
from ganzoo.variant import ImageSpec, SampleSpec

log = logging.getLogger(__name__)

if TYPE_CHECKING:
    from ganzoo.bench.request import Request

EXTRACTOR, COLOUR = "fashion-cnn", "emoji-cnn"  # where none is chosen: for grey images, and for those in colour
GENERIC = "random-cnn"  # for images in colour of which COLOUR sees too little
SECOND, NO_SECOND = "fashion-cnn-native", "none"  # where no second one is chosen: if it was made for the images
SAMPLES, FEWEST_SAMPLES = 10_000, 500  # scored of a checkpoint where --eval-images is not given
USUAL_PAIRED = ("l1", "psnr", "ssim")  # where no metric is chosen; the first ranks
COPY = "copy of the {}"  # the row of sources that are scored as if they were outputs
SAMPLES_AN_IMAGE = 1 / 4  # of the budget: both last checkpoints and all points then sample 0.7 images for each of it
NOMINAL_BATCH, NOMINAL_MINUTE = 64, 10_000  # images of a step and of a minute, alike for all variants and machines


class Planned(NamedTuple):
    """Holds the cells of a bench, and the scorer and protocol that measure them."""

    job: Job
    cells: tuple[Cell, ...]
    scorer: Scorer
    protocol: dict[str, Any]


def within_examples(scorer: Scorer, request: Request, classes: int) -> Scorer:
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
        raise UsageError(
            f"The reference {name} gives {shapes_in_words(spec)}, and the models take and make other shapes."
        )
    if classes and classes != spec.classes:
        raise UsageError(f"The models know {classes} classes, and the reference {name} has {spec.classes}.")
    for option, asked in (("--eval-images", request.eval_images), ("--point-images", request.point_images)):
        if asked is not None and asked > there:
            raise UsageError(f"{option} {asked}: the reference {name} has {there} sources, each of which gives one.")
    images = request.eval_images or min(SAMPLES, there)
    point_images = request.point_images or min(images, max(images // 5, FEWEST_SAMPLES))
    metrics = scorer.job.metrics
    if not request.metrics:
        least = {name: least_needed(name, metric) for name, metric in scorer.metrics.items()}
        metrics = tuple(name for name in metrics if least[name] <= min(images, point_images))
        if left := [name for name in job.metrics if name not in metrics]:
            log.info(f"left out: {', '.join(left)} for want of images: the reference {name} has {there}")
    job = replace(job, eval_images=images, point_images=point_images, metrics=metrics)
    return Scorer(job, scorer.registry, scorer.training if job.data else None, scorer.extractor, examples)


def shapes_in_words(spec: SampleSpec) -> str:
    fields = {**spec.sources, "output": spec.output}
    return ", ".join(f"{name} {' x '.join(map(str, one.shape))}" for name, one in fields.items())


def copies_of_sources(scorer: Scorer, data: str) -> tuple[Cell, ...]:
    """Returns a cell that scores sources as if they were outputs, if they are images."""
    copied = scorer.examples and scorer.examples.copied
    return (Cell(name=COPY.format(copied), variant="", data=data, seed=0, copied=copied),) if copied else ()


def colour_extractor(sizes: Iterable[int]) -> Extractor:
    """Returns the extractor for images in colour of these sizes, where none is chosen."""
    extractor = load_extractor(COLOUR)
    if all(extractor.suits_shape(ImageSpec(size, 3), extractor.classes) for size in sizes):
        return extractor
    log.info(f"The images are in colour: they are compared by --extractor {GENERIC}, a random network without classes.")
    return load_extractor(GENERIC)


def without_empty_classes(scorer: Scorer, references: Sequence[ImageData], request: Request) -> Scorer:
    """Warns once if the extractor was not made for the images, and leaves out metrics of its classes.

    Those that were asked for, and those of only some of the references, are without a number in the rows instead.
    UsageError if the extractor is for grey images and these are in colour, or the other way round.
    """
    for reference in references:
        check_channels(scorer.extractor, reference)
    unsuited = [text for reference in references if (text := scorer.unsuited(reference))]
    if not unsuited:
        return scorer
    if request.extractor is None and scorer.extractor.name == COLOUR:  # chosen for its features, not for its classes
        log.info(f"Metrics of classes are left out: {unsuited[0]}")
    else:
        log.warning(
            f"Metrics of classes are left out: {unsuited[0]} Distances between its features say little about such "
            f"images: choose another --extractor, such as {GENERIC}."
        )
    if request.metrics or len(unsuited) < len(references):
        return scorer
    kept = tuple(name for name, metric in scorer.metrics.items() if not needs_classes(metric))
    job = replace(scorer.job, metrics=kept)
    return Scorer(job, scorer.registry, scorer.training if job.data else None, scorer.extractor, scorer.examples)


def add_second(scorer: Scorer, references: Sequence[ImageData], request: Request) -> Extractor | None:
    """Adds the second extractor to a scorer and returns it: the one that was asked for, else SECOND if it suits.

    Beside COLOUR, which knows drawings alone, it is GENERIC. None without one. UsageError if it is the first; a warning
    if it was not made for the images.
    """
    name, first = request.second_extractor, scorer.extractor.name
    if name == NO_SECOND or (name is None and (first == SECOND or scorer.job.paired)):
        return None
    if name == first:
        raise UsageError(
            f"--second-extractor {name} is the first extractor too: name another, or '{NO_SECOND}' for none."
        )
    second = load_extractor(name or (GENERIC if first == COLOUR else SECOND))
    trouble = [text for reference in references if (text := unsuited(second, reference))]
    if trouble and name is None:
        return None
    for reference in references:
        check_channels(second, reference)
    if trouble:
        log.warning(f"Distances between features of the second extractor say little here: {trouble[0]}")
    scorer.score_also_by(second)
    return second


def check_numbers(job: Job, scorer: Scorer, references: Sequence[ImageData], *, trained: bool) -> None:
    """Raises UsageError before any training if a metric needs more samples or real images than there will be."""
    counts = [("--eval-images", job.eval_images, "samples")]
    counts += [("--point-images", job.point_images, "samples")] if trained else []
    counts += [(f"the reference {reference.name}", len(reference), "images") for reference in references]
    for name, metric in scorer.metrics.items():
        least = least_needed(name, metric)
        for where, there, what in counts:
            if there < least:
                others = f"--metric {job.paired[0] if job.paired else ranking_metric([*scorer.metrics])}"
                raise UsageError(
                    f"The metric '{name}' needs {least} {what}, and {where} has {there}: "
                    f"give more, or choose metrics, such as {others}."
                )


def least_needed(name: str, metric: Any) -> int:
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


def make_job(
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
    least = max((least_needed(name, registry.get("metrics", name)) for name in metrics), default=1)
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
