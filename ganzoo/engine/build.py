"""Builds the networks of a variant from registered parts, and checks their options before anything is built."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, get_type_hints

import torch
from torch import Tensor, nn

from ganzoo.config.schema import one_line
from ganzoo.engine.distributed import Processes
from ganzoo.errors import GanzooError, PluginError, UsageError, did_you_mean
from ganzoo.files.atomic import in_path
from ganzoo.networks import Generator
from ganzoo.registry.registry import Registry
from ganzoo.variant import ImageSpec, Part, Variant

if TYPE_CHECKING:
    from ganzoo.engine.trainer import Trainer

KIND_OF = {
    "generator": "generators",
    "discriminator": "discriminators",
    "loss": "losses",
    "regularizers": "regularizers",
    "augmentation": "augmentations",
}


def parts_of(variant: Variant) -> dict[str, Part]:
    """Every part of a variant by its path in the settings: "generator", "loss", "regularizers.r1", ..."""
    parts = {role: getattr(variant, role) for role in ("generator", "discriminator", "loss", "augmentation")}
    parts |= {f"regularizers.{part.name}": part for part in variant.regularizers}
    return {role: part for role, part in parts.items() if part is not None}


def options_of(factory: Callable) -> dict[str, inspect.Parameter]:
    """The options that a part's factory takes, by name: all its parameters after the image."""
    parameters = list(inspect.signature(factory).parameters.values())[1:]
    return {parameter.name: parameter for parameter in parameters if parameter.kind is not parameter.VAR_POSITIONAL}


def option_mistakes(factory: Callable, options: Mapping[str, Any]) -> list[str]:
    """What is wrong with a part's options, each as "<option>: why", checked against the factory's signature and annotations."""
    import msgspec

    known = options_of(factory)
    mistakes = []
    hints = _hints(factory)
    for name, value in options.items():
        if name not in known:
            if not any(parameter.kind is parameter.VAR_KEYWORD for parameter in known.values()):
                mistakes.append(f"{in_path(name)}: unknown option.{did_you_mean(name, known)}")
        elif name in hints:
            try:
                msgspec.convert(value, hints[name])
            except msgspec.ValidationError as error:
                mistakes.append(f"{name}: {error}")
            except TypeError:  # an annotation that msgspec does not know says nothing about plain values
                continue
    return mistakes


def _hints(factory: Callable) -> dict[str, Any]:
    try:
        return get_type_hints(factory.__init__ if inspect.isclass(factory) else factory)
    except (NameError, TypeError, AttributeError):
        return {}


def part_mistakes(variant: Variant, registry: Registry) -> list[str]:
    """Everything that is wrong with a variant's parts: unknown names and options, each with the nearest known one."""
    mistakes = []
    for path, part in parts_of(variant).items():
        try:
            factory = registry.get(KIND_OF[path.partition(".")[0]], part.name)
        except GanzooError as error:
            mistakes.append(f"{path}: {error}")
            continue
        mistakes += [f"{path}.{mistake}" for mistake in option_mistakes(factory, part.options)]
    return mistakes


def build_part(path: str, part: Part, image: ImageSpec, registry: Registry) -> nn.Module:
    """Builds one part; a plugin's own refusal of its options or of the image becomes one line that names the part."""
    kind = KIND_OF[path.partition(".")[0]]
    claim = registry.claim(kind, part.name)
    try:
        module = claim.value(image, **part.options)
    except GanzooError:
        raise
    except ValueError as error:
        raise UsageError(f"The {path} '{part.name}' cannot be built: {one_line(error)}") from None
    except Exception as error:
        raise PluginError(
            f"The {path} '{part.name}' of {claim.plugin.name} failed to build: {type(error).__name__}: {one_line(error)}"
        ) from error
    if not isinstance(module, nn.Module):
        raise PluginError(
            f"The {path} '{part.name}' of {claim.plugin.name} is a {type(module).__name__}, not a torch module."
        )
    return module


def wants_mean(generator: nn.Module) -> bool:
    """Whether a generator overrides `prepare`, so that the mean of the images is worth a pass over them."""
    return getattr(type(generator), "prepare", Generator.prepare) is not Generator.prepare


@contextmanager
def seeded(seed: int):
    """Seeds torch's process-wide generator for initialization, and leaves it as it was found."""
    state = torch.default_generator.get_state()
    torch.default_generator.manual_seed(seed)
    try:
        yield
    finally:
        torch.default_generator.set_state(state)


def build_trainer(
    variant: Variant,
    image: ImageSpec,
    batches,
    registry: Registry,
    *,
    seed: int = 0,
    device: torch.device | str = "cpu",
    dtype: torch.dtype = torch.float32,
    precision: str = "fp32",
    processes: Processes = Processes(),
    mean_image: Callable[[], Tensor] | None = None,
) -> Trainer:
    """Builds every part of a variant, initialized from the seed on the CPU, and the trainer around them.

    `mean_image` gives the mean (C, H, W) of the images in [-1, 1]; it is called only for a generator that starts from it.
    """
    from ganzoo.engine.trainer import Trainer  # whoever only draws needs no optimizers

    built = {}
    with seeded(seed):
        for path, part in parts_of(variant).items():
            built[path] = build_part(path, part, image, registry)
    if mean_image is not None and wants_mean(built["generator"]):
        built["generator"].prepare(mean_image())
    return Trainer(
        generator=built["generator"],
        discriminator=built.get("discriminator"),
        loss=built["loss"],
        augmentation=built.get("augmentation"),
        regularizers={part.name: built[f"regularizers.{part.name}"] for part in variant.regularizers},
        batches=batches,
        image=image,
        training=variant.training,
        seed=seed,
        device=device,
        dtype=dtype,
        precision=precision,
        processes=processes,
    )
