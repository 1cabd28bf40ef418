"""Configuration flows one way: a plugin's variant, the settings of the command line, the resolved variant in config.json."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, fields, replace
from typing import Any, get_type_hints

from .errors import CheckpointError, UsageError, did_you_mean
from .variant import ImageSpec, Part, Schedule, Training, Variant

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
ROLES = ("generator", "discriminator", "loss", "augmentation")


def resolve(variant: Variant, settings: Sequence[str], registry=None) -> Variant:
    """Applies settings "path=value" and checks every part; UsageError lists all mistakes at once, with the nearest known keys.

    Paths: `training.<field>`, `training.optimizer_options.<option>`, `generator=<name>`, `generator.<option>` (likewise
    discriminator, loss, augmentation) and `regularizers.<name>.<option>`. A value is JSON, or else a plain string.
    """
    mistakes = []
    for setting in settings:
        path, equals, text = setting.partition("=")
        try:
            if not equals:
                raise ValueError("write it as path=value")
            variant = _apply(variant, path.strip().split("."), _value(text))
        except ValueError as error:
            mistakes.append(f"{path}: {error}")
    mistakes += training_mistakes(variant.training)
    if registry is not None:
        from .build import part_mistakes

        mistakes += part_mistakes(variant, registry)
    if mistakes:
        head = "A setting cannot be used: " if len(mistakes) == 1 else f"{len(mistakes)} settings cannot be used:\n  "
        raise UsageError(head + "\n  ".join(dict.fromkeys(mistakes)))
    return variant


def _value(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return text


def _apply(variant: Variant, path: list[str], value: Any) -> Variant:
    """One setting; ValueError says why it cannot be applied."""
    head, rest = path[0], path[1:]
    if head == "training" and rest:
        return replace(variant, training=_set_training(variant.training, rest, value))
    if head in ROLES:
        part = getattr(variant, head)
        if not rest:
            return replace(variant, **{head: None if value is None else Part(str(value))})
        if part is None:
            raise ValueError(f"variant '{variant.name}' has no {head}")
        return replace(variant, **{head: _with_option(part, rest, value)})
    if head == "regularizers" and len(rest) >= 2:
        parts = {part.name: part for part in variant.regularizers}
        if rest[0] not in parts:
            raise ValueError(f"variant '{variant.name}' has no regularizer '{rest[0]}'." + did_you_mean(rest[0], parts))
        parts[rest[0]] = _with_option(parts[rest[0]], rest[1:], value)
        return replace(variant, regularizers=tuple(parts.values()))
    known = ["training.<field>", *(f"{role}.<option>" for role in ROLES), "regularizers.<name>.<option>"]
    near = did_you_mean(head, ["training", "regularizers", *ROLES])
    raise ValueError(f"unknown key.{near}" if near.startswith(" Did") else f"unknown key. Known: {', '.join(known)}.")


def _with_option(part: Part, path: list[str], value: Any) -> Part:
    return replace(part, options=_nested(part.options, path, value))


def _nested(mapping: Any, path: list[str], value: Any) -> dict[str, Any]:
    mapping = dict(mapping)
    mapping[path[0]] = value if len(path) == 1 else _nested(mapping.get(path[0], {}), path[1:], value)
    return mapping


def _set_training(training: Training, path: list[str], value: Any) -> Training:
    import msgspec

    hints = get_type_hints(Training)
    name = path[0]
    if name not in hints:
        raise ValueError(f"unknown key.{did_you_mean(name, hints)}")
    if len(path) > 1:
        current = getattr(training, name)
        if not hasattr(current, "keys"):
            raise ValueError(f"training.{name} is one value, it has no '{path[1]}'")
        value = _nested({key: _plain(item) for key, item in current.items()}, path[1:], value)
    try:
        return replace(training, **{name: msgspec.convert(value, hints[name])})
    except msgspec.ValidationError as error:
        raise ValueError(str(error)) from None


def _plain(item: Any) -> Any:
    return asdict(item) if isinstance(item, Schedule) else item


def training_mistakes(training: Training) -> list[str]:
    """Values of the training settings that are out of their range."""
    mistakes = []
    for name, (low, high) in BOUNDS.items():
        value = getattr(training, name)
        if value is not None and (value < low or (high is not None and value >= high) or value != value):
            limit = f"at least {low}" + (f" and below {high}" if high is not None else "")
            mistakes.append(f"training.{name}: must be {limit}, got {value}")
    for name, schedule in training.schedules.items():
        if schedule.shape not in ("linear", "cosine"):
            mistakes.append(f"training.schedules.{name}.shape: must be linear or cosine, got '{schedule.shape}'")
    return mistakes


def as_json(variant: Variant) -> dict[str, Any]:
    """A variant as plain JSON values; its pretrained weights are left out, for they are not settings."""
    plain = asdict(variant)
    del plain["weights"]
    return plain


def from_json(data: Any, model_type: type, where: str) -> Any:
    """Plain JSON values as one of our dataclasses, strictly: unknown keys and wrong types are a CheckpointError naming the key."""
    import msgspec

    known = [field.name for field in fields(model_type)]
    if not isinstance(data, dict):
        raise CheckpointError(f"{where}: must be an object, got {type(data).__name__}")
    for key in data:
        if key not in known:
            raise CheckpointError(f"{where}.{key}: unknown key.{did_you_mean(key, known)}")
    try:
        return msgspec.convert(data, model_type)
    except (msgspec.ValidationError, ValueError) as error:
        raise CheckpointError(f"{where}: {error}") from None


def variant_from_json(data: Any) -> Variant:
    """The variant of a config.json."""
    return from_json(data, Variant, "config.json: variant")


def image_from_json(data: Any) -> ImageSpec:
    """The image specification of a config.json; sizes are bounded, so that a hostile file cannot ask for a huge network."""
    image = from_json(data, ImageSpec, "config.json: image")
    if not (1 <= image.size <= 4096 and 1 <= image.channels <= 16 and 0 <= image.classes <= 1_000_000):
        raise CheckpointError(f"config.json: image: {image} is out of range (size 1-4096, channels 1-16, classes 0-1000000)")
    return image
