"""`ganzoo train` as a function: resolves what is asked for, checks everything, and only then makes a folder."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from ganzoo.checkpoints.checkpoint import remove_leftovers
from ganzoo.config.mixins import check_kept, mixed_in
from ganzoo.config.recipe import Recipe
from ganzoo.config.schema import variant_from_json
from ganzoo.config.settings import resolve
from ganzoo.data import Batches, ImageData, load_images
from ganzoo.data.batches import mean_image
from ganzoo.engine.build import build_part, build_trainer, warn_of_batch_norm
from ganzoo.engine.device import default_device, threads
from ganzoo.engine.distributed import Processes, join
from ganzoo.engine.randomness import repeatable, seeded
from ganzoo.errors import UsageError
from ganzoo.files.lock import FolderLock
from ganzoo.files.text import shorten
from ganzoo.losses import Loss, Phase
from ganzoo.registry.registry import Registry
from ganzoo.runs.folder import RunFolder, check_same, describe, read_run
from ganzoo.runs.loop import Cadence, TrainingLoop
from ganzoo.runs.sample_monitor import remembered_real, try_out
from ganzoo.variant import ImageSpec, Variant

log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Request:
    """What a person asks of `ganzoo train`; None means the variant's own, or on resuming the run's own."""

    out: Path
    variant: str | None = None
    data: str | None = None
    image_size: int | None = None
    channels: int | None = None
    conditional: bool | None = None
    steps: int | None = None
    images: int | None = None
    batch_size: int | None = None
    seed: int | None = None
    settings: tuple[str, ...] = ()
    mixins: tuple[str, ...] = ()
    precision: str | None = None
    device: str = "auto"
    threads: int | None = None
    data_root: Path | None = None
    on_bad_image: str = "error"
    cadence: Cadence = Cadence()
    resume: bool = False
    tensorboard: bool = False
    quiet: bool = False


def train(request: Request, registry: Registry, data: ImageData | None = None) -> RunFolder:
    """Runs a whole training, or goes on with one, and returns its folder; `data` are the images of the request if they are loaded already."""
    folder = RunFolder(request.out)
    if not request.resume:
        folder.check_new()
    before = read_run(folder.path) if request.resume else None
    threads(request.threads or (before["threads"] if before else None))
    device = default_device(_device(request.device, before))
    repeatable(device)
    writer = _curve_writer() if request.tensorboard else None
    recipe, seed = _recipe(request, registry, before)
    variant = recipe.variant
    processes = join(torch.device(device).type)
    with _in_turn(processes):
        data = data or _data(request, registry, variant, before)
    image = _image(request, variant, data, before)
    recipe = _with_length(request, recipe, image)
    variant = recipe.variant
    precision = request.precision or (before["precision"] if before else "fp32")
    source = _lasting(request.data, registry) or before["data"]["source"]
    config = describe(
        variant,
        recipe.plugin,
        image,
        data,
        source,
        seed=seed,
        precision=precision,
        device=torch.device(device).type,
        processes=processes.size,
    )
    if before:
        check_same(before, config)
    batches = Batches(
        data, batch_size=variant.training.batch_size, seed=seed, device=device, mirror=variant.training.mirror
    )
    trainer = build_trainer(
        recipe,
        image,
        batches,
        seed=seed,
        device=device,
        precision=precision,
        processes=processes,
        mean_image=lambda: mean_image(data),
    )
    try_out(trainer, variant.generator.name)
    first = processes.rank == 0
    if first:
        warn_of_batch_norm(trainer.discriminator, trainer.regularizers)
    if first and not request.resume:
        folder.create()
    with FolderLock(folder.path) if first else nullcontext():
        if first:
            _prepare(folder, config, request.resume)
        processes.barrier()
        board = writer(str(folder.path / "tensorboard")) if writer and first else None
        loop = TrainingLoop(trainer, folder, request.cadence, remembered_real(data), quiet=request.quiet, board=board)
        if request.resume:
            step = loop.resume()
            if step >= variant.training.steps:
                log.info(f"{folder.path} already has its {variant.training.steps} steps; ask for more with --steps.")
        loop.run()
        if board is not None:
            board.close()
    return folder


def _device(asked: str, before: dict[str, Any] | None) -> str:
    """A run that is resumed goes on where it was, if nobody says otherwise and such a device is there: elsewhere its bits would be others."""
    try:
        return default_device(before["device"]) if before and asked == "auto" else asked
    except UsageError:
        return asked


def _prepare(folder: RunFolder, config: dict[str, Any], resume: bool) -> None:
    """Under the lock: another process may have been here since the folder was looked at."""
    if not resume:
        folder.check_new()
    for path in (folder.path, folder.checkpoints, folder.samples):
        remove_leftovers(path)
    folder.write_config(config)


def _lasting(source: str | None, registry: Registry) -> str | None:
    """A data source as it can be found again from another folder: paths become absolute."""
    if source is None or "://" in source or source.partition(":")[0] in registry.names("datasets"):
        return source
    return str(Path(source).expanduser().absolute())


def _recipe(request: Request, registry: Registry, before: dict[str, Any] | None) -> tuple[Recipe, int]:
    """The recipe and the seed: from the registry, or from the run that is resumed, with the settings on top."""
    settings = list(request.settings)
    settings += [f"training.batch_size={request.batch_size}"] if request.batch_size is not None else []
    settings += [f"training.steps={request.steps}"] if request.steps is not None else []
    if before is None:
        if request.variant is None or request.data is None:
            raise UsageError("Say what to train and on what: ganzoo train VARIANT --data DATA --out RUN.")
        chosen = mixed_in(registry.get("variants", request.variant), request.mixins, registry)
        return resolve(chosen, settings, registry), 0 if request.seed is None else request.seed
    variant = variant_from_json(before["variant"])
    if request.variant not in (None, variant.name):
        raise UsageError(f"{request.out} is a run of '{variant.name}', not of '{request.variant}'.")
    if variant.name not in registry.names("variants"):
        provider = f"{before['plugin'].get('distribution', '')} {before['plugin'].get('version', '')}"
        raise UsageError(
            f"{request.out} is a run of '{variant.name}', which nobody provides here; {shorten(provider)} did: install that to go on."
        )
    check_kept(variant, request.mixins, registry)
    return resolve(variant, settings, registry), before["seed"] if request.seed is None else request.seed


def _data(request: Request, registry: Registry, variant: Variant, before: dict[str, Any] | None):
    size = request.image_size or (before["image"]["size"] if before else variant.sizes[0])
    if size not in variant.sizes:
        raise UsageError(
            f"Variant '{variant.name}' draws {_list(variant.sizes)} pixels, not {size}: use --image-size {variant.sizes[0]}."
        )
    return load_images(
        request.data or before["data"]["source"],
        size=size,
        channels=request.channels or (before["image"]["channels"] if before else None),
        datasets=registry.table("datasets"),
        root=request.data_root,
        on_bad_image=request.on_bad_image,
    )


def _image(request: Request, variant: Variant, data, before: dict[str, Any] | None) -> ImageSpec:
    """The images to draw: labelled if the variant needs it, or can be and `--conditional` asks for it."""
    conditional = request.conditional
    if conditional is None:
        conditional = before["image"]["classes"] > 0 if before else variant.labels == "required"
    if conditional and variant.labels == "unused":
        raise UsageError(f"Variant '{variant.name}' takes no labels: leave out --conditional.")
    if not conditional and variant.labels == "required":
        raise UsageError(f"Variant '{variant.name}' needs labels: leave out --unconditional.")
    if conditional and data.labels is None:
        raise UsageError(
            f"Variant '{variant.name}' needs labels and {data.name} has none: sort the images into one folder for each class."
        )
    return ImageSpec(data.size, data.channels, len(data.classes) if conditional else 0)


def _with_length(request: Request, recipe: Recipe, image: ImageSpec) -> Recipe:
    """The recipe with as many steps as `--images` amounts to: see `batches_in_step`."""
    if request.images is None:
        return recipe
    if request.steps is not None:
        raise UsageError("Give --steps or --images, not both.")
    return recipe.with_training(steps=steps_for(request.images, recipe, image))


def steps_for(images: int, recipe: Recipe, image: ImageSpec) -> int:
    """How many steps it takes until the critic has learnt from that many real images: in every fresh phase that teaches it from one batch."""
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
    """How many batches of real images a step takes: one for each phase that teaches more than the generator, unless it goes on with
    the batch of another such phase."""
    taken, shared = 0, False
    for phase in phases:
        for _ in range(phase.repeats_at(step)):
            shared = shared and not phase.fresh
            if not shared and phase.updates != ("generator",):
                taken, shared = taken + 1, True
    return taken


def _curve_writer():
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError:
        raise UsageError("--tensorboard needs the package tensorboard: pip install tensorboard.") from None
    return SummaryWriter


class _in_turn:
    """The first process goes first, the others after it: they find what it left in the cache."""

    def __init__(self, processes: Processes):
        self._processes = processes

    def __enter__(self) -> None:
        if self._processes.rank > 0:
            self._processes.barrier()

    def __exit__(self, *error) -> None:
        if self._processes.rank == 0:
            self._processes.barrier()


def _list(numbers) -> str:
    return " or ".join(map(str, sorted(numbers)))
