"""Builds the networks of a variant and the trainer around them from a recipe."""

from __future__ import annotations

import logging
import math
import warnings
from collections.abc import Callable, Mapping
from copy import deepcopy
from typing import TYPE_CHECKING, Any, cast

import torch
from torch import Tensor, nn

from ganzoo.config.recipe import BoundPart, Recipe
from ganzoo.engine.assets import provide_assets
from ganzoo.engine.distributed import ALONE, Processes
from ganzoo.engine.randomness import process_randomness, seeded
from ganzoo.errors import SEE_OTHER, GanzooError, PluginError, UsageError
from ganzoo.files.text import one_line
from ganzoo.losses import Augmentation, Loss, Regularizer
from ganzoo.networks import Generator
from ganzoo.networks.precision import float32_by_default
from ganzoo.variant import SampleSpec

if TYPE_CHECKING:
    from ganzoo.engine.trainer import Trainer

log = logging.getLogger(__name__)


def build_part(part: BoundPart, image: SampleSpec) -> Any:
    """Builds one part for images of this size.

    UsageError that names the part if its plugin refuses the options or the image, PluginError if the plugin fails.
    """
    try:
        with float32_by_default(), warnings.catch_warnings():
            warnings.filterwarnings("ignore", "Initializing zero-element tensors")  # `_refuse_empty` says it better
            module = part.factory(image, **part.options)
    except GanzooError:
        raise
    except ValueError as error:
        raise UsageError(f"The {part.path} '{part.name}' cannot be built: {one_line(error)}") from None
    except Exception as error:
        if zeros := _zeros(part):
            text = f"{type(error).__name__}: {one_line(error)}"
            raise UsageError(f"The {part.path} '{part.name}' cannot be built with {_as_zeros(zeros)}: {text}") from None
        raise PluginError(
            f"The {part.path} '{part.name}' of {part.plugin.name} failed to build: "
            f"{type(error).__name__}: {one_line(error)}"
        ) from error
    if not isinstance(module, nn.Module):
        raise PluginError(
            f"The {part.path} '{part.name}' of {part.plugin.name} is a {type(module).__name__}, not a torch module."
        )
    _refuse_empty(part, module)
    return module


def _zeros(part: BoundPart) -> list[str]:
    """The options of a part that are 0, or hold one, and are no switches."""
    given = {name: value if isinstance(value, list | tuple) else [value] for name, value in part.options.items()}
    return [name for name, values in given.items() if any(type(value) is int and value == 0 for value in values)]


def _refuse_empty(part: BoundPart, module: nn.Module) -> None:
    """UsageError for a part that an option of 0 leaves with nothing to learn, or a generator of empty latents."""
    if not (zeros := _zeros(part)):
        return
    named = [*module.named_parameters(), *module.named_buffers()]
    empty = next((f"'{name}' is empty" for name, tensor in named if tensor.numel() == 0), "")
    if not empty and "latent_dim" in zeros:
        empty = "a latent is empty"
    if empty:
        raise UsageError(f"The {part.path} '{part.name}' cannot be built with {_as_zeros(zeros)}: {empty}.")


def _as_zeros(zeros: list[str]) -> str:
    return " and ".join(f"{name} 0" for name in zeros)


def overrides_init_from_data(generator: nn.Module) -> bool:
    """True if a generator needs the mean of the images, which costs a pass over them."""
    return getattr(type(generator), "init_from_data", Generator.init_from_data) is not Generator.init_from_data


def build_trainer(
    recipe: Recipe,
    image: SampleSpec,
    batches: Any,
    *,
    seed: int = 0,
    device: torch.device | str = "cpu",
    dtype: torch.dtype = torch.float32,
    precision: str = "fp32",
    processes: Processes = ALONE,
    mean_image: Callable[[], Tensor] | None = None,
    prepare: Callable[[Mapping[str, nn.Module]], None] | None = None,
) -> Trainer:
    """Builds every part of a recipe, initialized from the seed on the CPU, and the trainer around them.

    `mean_image` returns the mean (C, H, W) of the images in [-1, 1]; called only for a generator that starts from it.
    `prepare` is called with the parts by path before the optimizers and averages of their parameters are made.
    """
    from ganzoo.engine.trainer import Trainer  # sampling needs no optimizers

    with seeded(seed):
        built = {path: build_part(part, image) for path, part in recipe.parts.items()}
    assets: dict[str, str] = {}
    for path, module in built.items():
        assets |= provide_assets(module, path, recipe.parts[path].name, device, dtype)
    if mean_image is not None and overrides_init_from_data(built["generator"]):
        built["generator"].init_from_data(mean_image())
    check_boundary(recipe, built["loss"], built.get("augmentation"))
    if prepare is not None:
        prepare(built)
    return Trainer(
        generator=built["generator"],
        discriminator=built.get("discriminator"),
        loss=built["loss"],
        augmentation=built.get("augmentation"),
        regularizers={part.name: built[f"regularizers.{part.name}"] for part in recipe.variant.regularizers},
        batches=batches,
        image=image,
        training=recipe.training,
        seed=seed,
        device=device,
        dtype=dtype,
        precision=precision,
        processes=processes,
        assets=assets,
    )


def check_augmentation(recipe: Recipe, image: Callable[[], SampleSpec]) -> None:
    """UsageError, before any data are prepared, if the augmentation cannot act under the loss: see `check_boundary`.

    `image` returns the samples of the training; called only if there is an augmentation.
    """
    if "augmentation" in recipe.parts:
        spec = image()
        with seeded(0):
            loss, augmentation = (build_part(recipe.parts[path], spec) for path in ("loss", "augmentation"))
        check_boundary(recipe, loss, augmentation)


def check_boundary(recipe: Recipe, loss: Loss, augmentation: Augmentation | None) -> None:
    """UsageError if the augmentation adapts to a boundary between real and fake logits and the loss has none."""
    if augmentation is None or not augmentation.needs_boundary or loss.boundary is not None:
        return
    name, path = recipe.parts["augmentation"].name, "--set augmentation"
    raise UsageError(
        f"'{name}' adapts to how many real images the discriminator takes for real, and the loss "
        f"'{recipe.parts['loss'].name}' states no boundary between real and fake logits (its attribute boundary). "
        f"Fix the probability instead: {path}.target=null {path}.start=0.3."
    )


def check_single_images(trainer: Trainer) -> None:
    """UsageError if a micro-batch is one image and a network normalizes over the batch, where one value has no spread.

    Copies are tried in training mode, so that no statistics move.
    """
    if min(part.stop - part.start for part in trainer.micro_batches) > 1:
        return
    spec = trainer.image
    label = torch.zeros(1, dtype=torch.int64, device=trainer.device) if spec.classes else None
    zeros = {
        name: torch.zeros(1, *one.shape, device=trainer.device, dtype=trainer.dtype)
        for name, one in {"output": spec.output, **spec.sources}.items()
    }
    latent = trainer.generator.latent(1, trainer.random("one")).to(trainer.dtype)
    for role, given in {"generator": latent, "discriminator": zeros["output"]}.items():
        network = getattr(trainer, role)
        inputs = {name: zeros[name] for name in getattr(trainer, f"{role}_inputs")}
        if network is None:
            continue
        try:
            with torch.no_grad(), process_randomness(trainer.device):
                deepcopy(network).train()(given, label, **inputs)
        except ValueError as error:
            if "more than 1 value per channel" not in str(error):
                raise
            parts = trainer.training.accumulate * trainer.processes.size
            shared = f" for each of {parts} micro-batches (training.accumulate) and processes" if parts > 1 else ""
            raise UsageError(
                f"The {role} normalizes over the batch, and one image at a time has no spread: "
                f"use --batch-size {2 * parts} or more, two images{shared}."
            ) from None


def warn_of_late_mixins(trainer: Trainer, images: float, batches_per_step: int) -> None:
    """Logs a warning for each mix-in that cannot change any step of the run; the data are `images` images."""
    training = trainer.training
    epoch = images / (training.batch_size * max(batches_per_step, 1))
    size = min(part.stop - part.start for part in trainer.micro_batches)
    mixins = {f"the regularizer '{name}'": module for name, module in trainer.regularizers.items()}
    if trainer.augmentation is not None:
        mixins["the augmentation"] = trainer.augmentation
    for name, mixin in mixins.items():
        first = cast(Regularizer, mixin).first_step(size, epoch)
        if first >= training.steps:
            when = f"before step {math.ceil(first)}" if math.isfinite(first) else "with these options"
            cannot = f"it cannot act {when} ({SEE_OTHER})"
            log.warning(f"In the {training.steps} steps of this run {name} does nothing: {cannot}.")


def warn_of_batch_norm(discriminator: nn.Module | None, regularizers: nn.ModuleDict, loss: Loss | None = None) -> None:
    """Logs a warning if the loss or a regularizer needs per-sample gradients and the discriminator has batch norm."""
    from torch.nn.modules.batchnorm import _BatchNorm

    if discriminator is None or not any(isinstance(module, _BatchNorm) for module in discriminator.modules()):
        return
    names = [f"the loss {type(loss).__name__}"] if loss is not None and loss.needs_per_sample_gradients else []
    names += [name for name, regularizer in regularizers.items() if regularizer.needs_per_sample_gradients]
    if names:
        log.warning(
            f"The discriminator has batch norm, which couples the images of a batch, and {' and '.join(names)} "
            f"need{'s' if len(names) == 1 else ''} each image's own gradient: the penalty is not the paper's "
            f"({SEE_OTHER})."
        )


def warn_of_instance_norm(trainer: Trainer) -> None:
    """Logs a warning where torch's instance norm has a wrong gradient without an error: on a CPU, one image at a time.

    That is a fault of torch 2.13 for gradients that arrive channels last; see `ganzoo.networks.normalization`.
    """
    if trainer.device.type != "cpu" or min(part.stop - part.start for part in trainer.micro_batches) > 1:
        return
    for role in ("generator", "discriminator"):
        network = getattr(trainer, role)
        if network is not None and any(isinstance(module, nn.InstanceNorm2d) for module in network.modules()):
            log.warning(
                f"The {role} has torch's InstanceNorm2d, whose gradient is wrong on a CPU for one image at a time: "
                "use --batch-size 2 or more, or ganzoo.networks.normalization.InstanceNorm in the network "
                f"({SEE_OTHER})."
            )


def note_idle_discriminator(trainer: Trainer) -> None:
    """Logs a line if no phase of the loss updates the discriminator, as in a training on pixels alone."""
    if trainer.discriminator is not None and not any("discriminator" in phase.updates for phase in trainer.phases):
        log.info("The discriminator does not learn: with these options, no phase of the loss updates it.")
