"""Trains a variant: resolves a request, checks it whole, and only then makes a run folder."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import NamedTuple

import torch
from torch import nn

from ganzoo.checkpoints.checkpoint import remove_leftovers
from ganzoo.config.mixins import check_kept, mixed_in
from ganzoo.config.options import TrainOptions
from ganzoo.config.parts import KIND_OF, conditions_of, parts_of
from ganzoo.config.recipe import Recipe
from ganzoo.config.schema import RunConfig
from ganzoo.config.settings import resolve
from ganzoo.config.source import with_source
from ganzoo.data import Batches, ImageData, Stream
from ganzoo.data.batches import mean_image
from ganzoo.data.request import load_data
from ganzoo.data.sources import ArraySource, Data, EncodedSource, PairedSource
from ganzoo.data.streams import StreamBatches, load_stream, rows_of
from ganzoo.engine.build import (
    build_part,
    build_trainer,
    check_augmentation,
    check_single_images,
    note_idle_discriminator,
    warn_of_batch_norm,
    warn_of_instance_norm,
    warn_of_late_mixins,
)
from ganzoo.engine.device import choose_device, set_threads
from ganzoo.engine.distributed import ALONE, Processes, join
from ganzoo.engine.randomness import repeatable, seeded
from ganzoo.engine.trainer import Trainer
from ganzoo.errors import SEE_OTHER, DivergedError, InterruptedRun, UsageError
from ganzoo.files.lock import FolderLock
from ganzoo.files.safe_open import check_own_folders
from ganzoo.files.text import quoted
from ganzoo.losses import Loss, Phase
from ganzoo.models.config import check_class_names, warn_of_class_names
from ganzoo.models.start import StartWeights, freeze_layers, read_start
from ganzoo.registry.in_process import changed_here, facts_of, in_words, missing_here
from ganzoo.registry.registry import Registry
from ganzoo.runs.data import check_count, data_request, found_spec, source_facts
from ganzoo.runs.folder import RunFolder, check_assets, check_same, describe
from ganzoo.runs.loop import TrainingLoop
from ganzoo.runs.request import INCOMPLETE, Request
from ganzoo.runs.sample_monitor import MONITORED, dry_run, real_samples
from ganzoo.runs.tracking import Tracking, callback_trackers, load_trackers
from ganzoo.variant import SampleSpec, Variant

log = logging.getLogger(__name__)

SETTLED = 999  # a step in which no loss warms up any more


class Plan(NamedTuple):
    """A training that was checked whole: its configuration, the trainer, and the real samples that it is compared with.

    `shown` are the data of the grid of real samples; `paired` states that each source belongs to the output of its row.
    """

    config: RunConfig
    trainer: Trainer
    shown: ImageData | Stream
    paired: bool


def train(request: Request, registry: Registry, data: ImageData | Stream | None = None) -> RunFolder:
    """Runs or resumes a training to its end and returns its folder.

    `data` are the images of the request, if they are loaded already. UsageError for a request that cannot be met,
    before anything is written; DivergedError or InterruptedRun after the state is safe.
    """
    folder = RunFolder(request.out)
    old = folder.read_config() if request.resume else None
    if old is None:
        folder.check_new()
    else:
        request = request.completed_by(old)
        _check_provided(old, request, registry)
    tracking, processes = Tracking(), ALONE

    def begin(device: str) -> Processes:
        nonlocal tracking, processes
        processes = join(torch.device(device).type)
        tracking = _tracking(request, folder, registry, processes)
        return processes

    config, trainer, shown, paired = plan_training(request, registry, data=data, old=old, begin=begin)
    if old is not None:
        check_assets(folder.path, old, trainer.assets)
    with _claimed(folder, config, trainer, new=old is None):
        loop = TrainingLoop(
            trainer,
            folder,
            request.intervals,
            real_samples(shown),
            paired=paired,
            quiet=request.quiet,
            tracking=tracking,
            shown=shown,
        )
        steps = trainer.training.steps
        if old is not None and loop.resume() >= steps:
            log.info(f"{folder.path} already has its {steps} steps; ask for more with --steps.")
        with tracking.running(config.to_json(), trainer.step_number):
            loop.run()
    return folder


def plan_training(
    request: Request,
    registry: Registry,
    *,
    data: ImageData | Stream | None = None,
    old: RunConfig | None = None,
    begin: Callable[[str], Processes] = lambda device: ALONE,
) -> Plan:
    """Resolves a request, loads its data and builds the trainer; only the cache of images is written.

    `old` is the configuration of the run to resume. `begin` is called with the device once the variant is resolved,
    before any data are loaded, and returns the processes that train together. UsageError for a request that cannot be
    met.
    """
    options = request.options
    set_threads(options.threads)
    device = choose_device(options.device)
    repeatable(device)
    recipe = _resolved(request, registry)
    processes = begin(device)
    with _in_turn(processes):
        loaded = _load_data(request, recipe, registry, data)
        start = None if request.start_from is None else read_start(request.start_from, registry)
    rows = loaded.output if isinstance(loaded, Data) else loaded
    image = _image_of(options, recipe.variant, loaded)
    if old is None and image.classes:
        check_class_names(rows.classes)
    recipe = _with_length(options, recipe, image)
    config = describe(
        recipe,
        image,
        rows,
        source=_absolute(request.source, registry),
        sources=source_facts(request, loaded, recipe.variant, partial(_absolute, registry=registry)),
        seed=request.seed or 0,
        precision=options.precision or "fp32",
        device=torch.device(device).type,
        processes=processes.size,
        options=request.run_options,
        origin=start.origin if start else old.origin if old else None,
        freeze=old.freeze if old else request.freeze,
        in_process=facts_of(_named_parts(recipe, request.options), registry),
    )
    if old is not None:
        check_same(old, config, recipe)
    trainer = _build(recipe, config, loaded, device, processes, start)
    config = replace(config, assets=trainer.assets)
    shown = trainer.batches.monitored(MONITORED) if isinstance(trainer.batches, Batches) else rows
    return Plan(config, trainer, shown, isinstance(loaded, Data) and loaded.paired)


def _check_provided(old: RunConfig, request: Request, registry: Registry) -> None:
    """UsageError if the variant of a run to resume is not installed, or what its process registered is not there."""
    data = {f"datasets.{text.partition(':')[0]}" for text in (request.options.data, request.options.source) if text}
    facts = {key: value for key, value in old.in_process.items() if not key.startswith("datasets.") or key in data}
    if missing := missing_here(facts, registry):
        given = " (data in memory: run.resume(data=...))" if "memory-" in missing[0] else ""
        raise UsageError(
            f"{request.out} needs {in_words(missing)}: register the same again and resume it from Python{given}."
        )
    if changed := changed_here(facts, registry):
        log.warning(f"{request.out} was begun with other code of the {' and the '.join(changed)} ({SEE_OTHER})")
    name = old.variant.name
    if name not in registry.names("variants"):
        provider = quoted(f"{old.plugin.distribution} {old.plugin.version}")
        raise UsageError(
            f"{request.out} is a run of '{name}', which nobody provides here; {provider} did: install that to go on."
        )


def _named_parts(recipe: Recipe, options: TrainOptions) -> list[tuple[str, str]]:
    """The variant, parts, conditions and data sets of a run, as (kind, name)."""
    variant = recipe.variant
    parts = {**parts_of(variant), **conditions_of(variant)}
    data = [text.partition(":")[0] for text in (options.data, options.source) if text is not None]
    return [
        ("variants", variant.name),
        *((KIND_OF[path.partition(".")[0]], part.name) for path, part in parts.items()),
        *(("datasets", name) for name in data),
    ]


def _resolved(request: Request, registry: Registry) -> Recipe:
    """Resolves a registered variant with mix-ins, or that of the run to resume, with the settings on top."""
    options = request.options
    if request.variant is None or options.data is None:
        raise UsageError(INCOMPLETE)
    if options.steps is not None and options.images is not None:
        raise UsageError("Give --steps or --images, not both.")
    if request.freeze and request.start_from is None and not request.resume:
        raise UsageError("--freeze keeps layers of the weights of --from: give --from MODEL too.")
    if isinstance(request.variant, Variant):
        variant = request.variant
        if request.resume:
            check_kept(variant, options.mixins, registry)
        else:
            variant = mixed_in(variant, options.mixins, registry)
    else:
        variant = mixed_in(registry.get("variants", request.variant), options.mixins, registry)
    variant = with_source(variant, options.source, bool(options.side_by_side), registry)
    return resolve(variant, request.settings, registry)


def _load_data(request: Request, recipe: Recipe, registry: Registry, given: ImageData | Stream | None) -> Data | Stream:
    """Loads the data at a size that the variant supports; what can be refused is refused before it is decoded.

    Data that are `given` are taken as they are, unless sources or larger images are needed.
    """
    variant = recipe.variant
    if isinstance(given, Stream):
        return given
    if variant.kind != "image":
        return _load_stream(request, variant, registry)
    if given is not None and not variant.inputs and recipe.training.load_ratio is None:
        return Data(given)
    conditional = _is_conditional(request.options, variant)
    wanted = data_request(request, recipe, registry)

    def check(source: ArraySource | EncodedSource | PairedSource, side: str) -> None:
        needs_labels = conditional and side == "output"
        if needs_labels and source.labels is None:
            raise UsageError(_no_labels_line(variant, source.name))
        check_count(source, recipe.training.batch_size)
        if needs_labels and not request.resume:
            check_class_names(source.classes)
        if not variant.inputs:  # or a loss may need more than what is known of the source
            check_augmentation(recipe, lambda: found_spec(wanted, source, conditional))

    return load_data(wanted, check=check)


def _load_stream(request: Request, variant: Variant, registry: Registry) -> Stream:
    """Looks up the stream that a variant of samples that are no images learns from."""
    options = request.options
    unused = {"--image-size": options.image_size, "--channels": options.channels, "--data-root": options.data_root}
    for option, value in unused.items():
        if value is not None:
            raise UsageError(f"Variant '{variant.name}' draws {variant.kind}, which have no {option}: leave it out.")
    found = load_stream(request.source, datasets=registry.table("datasets"))
    kind = found.spec.output.kind
    if kind != variant.kind:
        raise UsageError(f"Variant '{variant.name}' draws {variant.kind}, and {found.name} holds {kind}.")
    return found


def _is_conditional(options: TrainOptions, variant: Variant) -> bool:
    """Whether to train with labels: if the variant needs them, or if it can use them and they are requested."""
    conditional = options.conditional
    if conditional is None:
        conditional = variant.labels == "required"
    if conditional and variant.labels == "unused":
        raise UsageError(f"Variant '{variant.name}' takes no labels: leave out --conditional.")
    if not conditional and variant.labels == "required":
        raise UsageError(f"Variant '{variant.name}' needs labels: leave out --unconditional.")
    return conditional


def _no_labels_line(variant: Variant, name: str) -> str:
    return (
        f"Variant '{variant.name}' needs labels and {name} has none: "
        "sort the images into one folder for each class, or add a metadata.csv with file_name and label."
    )


def _image_of(options: TrainOptions, variant: Variant, data: Data | Stream) -> SampleSpec:
    """The samples to generate and their inputs, with labels where `_is_conditional` says so."""
    conditional = _is_conditional(options, variant)
    rows = data.output if isinstance(data, Data) else data
    if conditional and rows.labels is None:
        raise UsageError(_no_labels_line(variant, rows.name))
    spec = data.spec
    return spec if conditional else SampleSpec(spec.output, spec.sources)


def _absolute(source: str, registry: Registry) -> str:
    """A data source that is valid in any working directory: paths become absolute."""
    if "://" in source or source.partition(":")[0] in registry.names("datasets"):
        return source
    return str(Path(source).expanduser().absolute())


def _batches(recipe: Recipe, config: RunConfig, data: Data | Stream, device: str) -> Batches | StreamBatches:
    """Cuts the data into the minibatches of a run."""
    training = recipe.training
    if isinstance(data, Stream):
        if training.mirror:
            raise UsageError(f"training.mirror flips images, and {data.name} holds {data.spec.output.kind}.")
        return StreamBatches(data, batch_size=training.batch_size, seed=config.seed, device=device)
    return Batches(
        data,
        batch_size=training.batch_size,
        seed=config.seed,
        device=device,
        mirror=training.mirror,
        spec=config.image,
    )


def _build(
    recipe: Recipe,
    config: RunConfig,
    data: Data | Stream,
    device: str,
    processes: Processes,
    start: StartWeights | None = None,
) -> Trainer:
    """Builds the trainer of a run, from the weights of another one if `start` is given, and samples it once."""

    def prepare(networks: Mapping[str, nn.Module]) -> None:
        if start is not None:
            start.load_into(networks)
        for role, layers in config.freeze.items():
            if start is not None and role not in start.tensors:
                raise UsageError(
                    f"--freeze {role}:{layers}: {start.origin.source} holds no {role} whose layers could stay."
                )
            freeze_layers(networks.get(role), layers, role)

    trainer = build_trainer(
        recipe,
        config.image,
        _batches(recipe, config, data, device),
        seed=config.seed,
        device=device,
        precision=config.precision,
        processes=processes,
        mean_image=None if isinstance(data, Stream) else lambda: mean_image(data),
        prepare=prepare,
    )
    dry_run(trainer, recipe.variant.generator.name)
    check_single_images(trainer)
    if processes.rank == 0:
        warn_of_batch_norm(trainer.discriminator, trainer.regularizers, trainer.loss)
        warn_of_instance_norm(trainer)
        note_idle_discriminator(trainer)
        rows = data.output if isinstance(data, Data) else data
        warn_of_class_names(rows.classes if config.image.classes else ())
        warn_of_late_mixins(trainer, rows_of(rows), batches_in_step(trainer.phases, SETTLED))
    return trainer


@contextmanager
def _claimed(folder: RunFolder, config: RunConfig, trainer: Trainer, *, new: bool) -> Iterator[None]:
    """Makes the folder of a new run, locks it and writes its configuration; only the first process does.

    An error before the end of the first step, but for numbers that are not finite, takes a new folder back, so that the
    corrected run can have it.
    """
    processes = trainer.processes
    if processes.rank > 0:
        processes.barrier()
        yield
        return
    made = new and folder.create()
    with FolderLock(folder.path):
        if new:
            folder.check_new()  # under the lock: another process may have been here since
        check_own_folders(folder.checkpoints, folder.samples, folder.curves)
        for path in (folder.path, folder.checkpoints, folder.samples):
            remove_leftovers(path)
        try:
            folder.write_config(config)
            processes.barrier()
            yield
        except Exception as error:
            if new and trainer.step_number == 0 and not isinstance(error, InterruptedRun | DivergedError):
                folder.remove_start(made)
            raise


def _with_length(options: TrainOptions, recipe: Recipe, image: SampleSpec) -> Recipe:
    """The recipe with the number of steps that `--images` amounts to: see `batches_in_step`."""
    if options.images is None:
        return recipe
    longer = recipe.with_training(steps=steps_for(options.images, recipe, image))
    if image.sources:
        log.info(
            f"--images {options.images} counts the outputs that the discriminator learns from: {longer.training.steps} "
            f"steps. Phases of the generator alone that ask for another batch take more."
        )
    return longer


def steps_for(images: int, recipe: Recipe, image: SampleSpec) -> int:
    """Counts the steps until the discriminator has seen that many real images: see `batches_in_step`."""
    with seeded(0):
        loss: Loss = build_part(recipe.parts["loss"], image)
    seen = steps = 0
    while seen < images:
        taken = batches_in_step(loss.phases, steps)
        if not taken and steps > 1000:
            raise UsageError(
                f"Variant '{recipe.variant.name}' learns from no real images in a phase of its own: use --steps."
            )
        seen += taken * recipe.training.batch_size
        steps += 1
    return max(steps, 1)


def batches_in_step(phases: Sequence[Phase], step: int) -> int:
    """Counts the batches of real images in a step: one for each phase that updates more than the generator.

    A phase that is not fresh shares the batch of the phase before it.
    """
    taken, shared = 0, False
    for phase in phases:
        for _ in range(phase.repeats_at(step)):
            shared = shared and not phase.fresh
            if not shared and phase.updates != ("generator",):
                taken, shared = taken + 1, True
    return taken


def _tracking(request: Request, folder: RunFolder, registry: Registry, processes: Processes) -> Tracking:
    """The trackers and callbacks of the first process; the others have none. UsageError if a package is missing."""
    if processes.rank > 0:
        return Tracking()
    return Tracking(load_trackers(request.trackers, folder.path, registry), callback_trackers(request.callbacks))


@contextmanager
def _in_turn(processes: Processes) -> Iterator[None]:
    """Runs the first process before the others, which find its results in the cache."""
    if processes.rank > 0:
        processes.barrier()
    try:
        yield
    finally:
        if processes.rank == 0:
            processes.barrier()
