"""The config.json of a run: written of a resolved variant, read back with every value checked."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, is_dataclass
from functools import cache
from pathlib import Path
from typing import Any, Literal

from ganzoo.errors import CheckpointError, did_you_mean
from ganzoo.files.strict_json import read_json
from ganzoo.files.text import in_path, one_line, shorten
from ganzoo.variant import OPTIMIZERS, SHAPES, ImageSpec, Part, Training, Variant

SCHEDULE_KEYS = {"start": "from_value", "end": "to_value", "begin": "from_fraction", "finish": "to_fraction"}
BOUNDS = {
    "batch_size": (1, None),
    "accumulate": (1, None),
    "steps": (1, None),
    "generator_lr": (0, None),
    "discriminator_lr": (0, None),
    "loss_lr": (0, None),
    "ema": (0, 1),
    "ema_start": (0, None),
}
FORMAT = 1
CONFIG_BYTES = 2**20
LARGEST_SIZE = 4096
LARGEST_OPTION = 2**20
ROLES = ("generator", "discriminator", "loss", "augmentation")


@dataclass(frozen=True, kw_only=True)
class DataFacts:
    """What config.json says of the data."""

    source: str
    name: str
    fingerprint: str
    revision: str | None
    images: int
    classes: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class RunConfig:
    """What config.json of a run holds: all that decides the result, and what surrounds it."""

    format: int
    variant: dict[str, Any]
    plugin: dict[str, str]
    image: ImageSpec
    data: DataFacts
    seed: int
    precision: Literal["fp32", "bf16"]
    processes: int
    device: str
    threads: int
    versions: dict[str, str]


def training_mistakes(training: Training) -> list[str]:
    """What is wrong with the training settings: values out of range, unknown optimizers and options of theirs."""
    mistakes = []
    for name, (low, high) in BOUNDS.items():
        value = getattr(training, name)
        if value is not None and not (math.isfinite(value) and value >= low and (high is None or value < high)):
            limit = f"at least {low}" + (f" and below {high}" if high is not None else "")
            mistakes.append(f"training.{name}: must be {limit}, got {shorten(value)}")
    for key, schedule in training.schedules.items():
        name = in_path(key)
        if schedule.shape not in SHAPES:
            mistakes.append(
                f"training.schedules.{name}.shape: must be {', '.join(SHAPES[:-1])} or {SHAPES[-1]}, got {shorten(schedule.shape)}"
            )
        if not all(
            math.isfinite(value)
            for value in (schedule.to_value, schedule.from_value or 0, schedule.from_fraction, schedule.to_fraction)
        ):
            mistakes.append(f"training.schedules.{name}: its numbers must be finite")
    return mistakes + _optimizer_mistakes(training)


def _optimizer_mistakes(training: Training) -> list[str]:
    mistakes = []
    for role in ("", "generator_", "discriminator_", "loss_"):
        name = getattr(training, f"{role}optimizer") or training.optimizer
        if name not in OPTIMIZERS:
            mistakes.append(
                f"training.{role}optimizer: no optimizer is called {shorten(name)}.{did_you_mean(name, OPTIMIZERS)}"
            )
            continue
        known = _optimizer_options(name)
        for option in getattr(training, f"{role}optimizer_options"):
            if option not in known:
                mistakes.append(
                    f"training.{role}optimizer_options.{in_path(option)}: unknown option of {name}.{did_you_mean(option, known)}"
                )
    return list(dict.fromkeys(mistakes))


@cache
def _optimizer_options(name: str) -> tuple[str, ...]:
    """What an optimizer takes besides parameters and learning rate."""
    from inspect import signature

    from torch import optim

    return tuple(
        option for option in signature(getattr(optim, OPTIMIZERS[name])).parameters if option not in ("params", "lr")
    )


def option_bounds(variant: Variant) -> list[str]:
    """Numbers among the options of a variant's parts that are out of all proportion."""
    return option_bounds_of(
        {role: getattr(variant, role) for role in ROLES}
        | {f"regularizers.{part.name}": part for part in variant.regularizers}
    )


def option_bounds_of(parts: Mapping[str, Part | None]) -> list[str]:
    """Numbers among the options of parts that are out of all proportion: they would ask for networks that fit nowhere."""
    return [
        f"{path}.{in_path(option)}: {shorten(value)} is out of range (numbers up to {LARGEST_OPTION})"
        for path, part in parts.items()
        for option, value in (part.options.items() if part else ())
        if not _bounded(value)
    ]


def _bounded(value: Any) -> bool:
    """Whether a number, or every number in a list or table, is one that an option may have."""
    if isinstance(value, dict | list | tuple):
        return len(value) <= 1000 and all(map(_bounded, value.values() if isinstance(value, dict) else value))
    return not isinstance(value, int | float) or abs(value) <= LARGEST_OPTION


def as_json(variant: Variant) -> dict[str, Any]:
    """A variant as plain JSON values; its pretrained weights are left out, for they are not settings."""
    plain = asdict(variant)
    del plain["weights"]
    return plain


def from_json(data: Any, model_type: type, where: str) -> Any:
    """Plain JSON values as one of our dataclasses, strictly: unknown keys and wrong types are a CheckpointError naming the key."""
    import msgspec

    try:
        found = msgspec.convert(data, model_type)
    except (msgspec.ValidationError, ValueError, OverflowError, RecursionError) as error:
        raise CheckpointError(f"{where}: {one_line(error)}") from None
    if is_dataclass(found):
        _refuse_unknown(data, asdict(found), where)
    return found


def _refuse_unknown(data: Any, known: Any, where: str) -> None:
    """msgspec passes over keys that a dataclass does not have; a file from outside may not have them."""
    if isinstance(data, dict) and isinstance(known, dict):
        for key, value in data.items():
            if key not in known:
                raise CheckpointError(f"{where}: unknown key {shorten(key)}.{did_you_mean(key, known)}")
            _refuse_unknown(value, known[key], f"{where}.{key}")
    elif isinstance(data, list):
        for number, (value, item) in enumerate(zip(data, known, strict=True)):
            _refuse_unknown(value, item, f"{where}[{number}]")


def _with_present_names(variant: Any) -> Any:
    """Replaces the first names of a schedule's fields (`SCHEDULE_KEYS`) in a variant of a config.json."""
    training = variant.get("training") if isinstance(variant, dict) else None
    schedules = training.get("schedules") if isinstance(training, dict) else None
    if not isinstance(schedules, dict):
        return variant
    present = {name: _renamed(schedule) for name, schedule in schedules.items()}
    return {**variant, "training": {**training, "schedules": present}}


def _renamed(schedule: Any) -> Any:
    if not isinstance(schedule, dict):
        return schedule
    renamed = {SCHEDULE_KEYS.get(key, key): value for key, value in schedule.items()}
    return renamed if len(renamed) == len(schedule) else schedule  # both names of one field: an unknown key


def variant_from_json(data: Any, where: str = "config.json") -> Variant:
    """The variant of a config.json; numbers are bounded, so that a hostile file cannot ask for huge networks."""
    variant = from_json(_with_present_names(data), Variant, f"{where}: variant")
    if variant.weights:
        raise CheckpointError(f"{where}: variant.weights: a run has none")
    mistakes = training_mistakes(variant.training) + option_bounds(variant)
    if any(not 1 <= size <= LARGEST_SIZE for size in variant.sizes):
        mistakes.append(f"sizes: must be 1 to {LARGEST_SIZE}")
    if mistakes:
        raise CheckpointError(f"{where}: variant.{mistakes[0]}")
    return variant


def image_from_json(data: Any, where: str = "config.json") -> ImageSpec:
    """The image specification of a config.json; sizes are bounded, so that a hostile file cannot ask for a huge network."""
    image = from_json(data, ImageSpec, f"{where}: image")
    if not (1 <= image.size <= LARGEST_SIZE and image.channels in (1, 3) and 0 <= image.classes <= 1_000_000):
        raise CheckpointError(
            f"{where}: image: {image} is out of range (size 1-{LARGEST_SIZE}, channels 1 or 3, classes 0-1000000)"
        )
    return image


def run_config(path: Path) -> dict[str, Any]:
    """A config.json from outside, as plain values, every one of which has been checked; CheckpointError names what is wrong."""
    config = read_json(path, limit=CONFIG_BYTES, depth=16)
    if not isinstance(config, dict) or type(config.get("format")) is not int:
        raise CheckpointError(f"{path} is not the configuration of a run.")
    if config["format"] != FORMAT:
        raise CheckpointError(
            f"{path}: format {shorten(config['format'])} is not one that this ganzoo reads ({FORMAT}); update ganzoo."
        )
    for key in config:
        if key not in RunConfig.__annotations__:
            raise CheckpointError(f"{path}: unknown key {shorten(key)}.{did_you_mean(key, RunConfig.__annotations__)}")
    found = from_json(config, RunConfig, str(path))
    if not (0 <= found.seed < 2**63 and 1 <= found.threads <= 4096 and found.processes >= 1):
        raise CheckpointError(f"{path}: seed, threads or processes is out of range.")
    variant = variant_from_json(config["variant"], str(path))
    image_from_json(config["image"], str(path))
    return {**asdict(found), "variant": as_json(variant)}
