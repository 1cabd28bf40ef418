"""Parses `--set path=value` and applies it to a variant."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from functools import cache
from typing import Any, get_type_hints

from ganzoo.config.parts import KIND_OF, part_mistakes, with_absolute_paths, with_parts
from ganzoo.config.recipe import Recipe, bind
from ganzoo.config.schema import ROLES, option_bounds, training_mistakes
from ganzoo.errors import UsageError, did_you_mean
from ganzoo.files.text import one_line
from ganzoo.registry.registry import Registry
from ganzoo.variant import Part, Schedule, Training, Variant

NOT_FINITE = re.compile(r"[+-]?(nan|inf|infinity)", re.IGNORECASE)  # numbers, which are refused as such
LEAST_DEPTH = {"training": 2, "regularizers": 3}


def resolve(variant: Variant, settings: Sequence[str], registry: Registry) -> Recipe:
    """Applies settings "path=value", checks every part and looks it up.

    UsageError lists all mistakes at once, each with the nearest known key.

    Paths: `training.<field>`, `training.optimizer_options.<option>`, `training.schedules.<what>.<field>`,
    `generator=<name>`, `generator.<option>` (likewise discriminator, loss, augmentation),
    `regularizers.<name>.<option>` and `<input>.<option>` of the condition that computes an input, as `source.factor`
    (also `inputs.source.factor`). A value is JSON, or else a plain string. Names of files become absolute
    (`with_absolute_paths`).
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
    mistakes += training_mistakes(variant.training) + option_bounds(variant) + part_mistakes(variant, registry)
    if variant.augmentation is not None and variant.discriminator is None:
        mistakes.append(
            f"augmentation: '{variant.augmentation.name}' transforms the input of a discriminator, "
            f"and variant '{variant.name}' has none"
        )
    if mistakes:
        head = "A setting cannot be used: " if len(mistakes) == 1 else f"{len(mistakes)} settings cannot be used:\n  "
        raise UsageError(head + "\n  ".join(dict.fromkeys(mistakes)))

    def settled(path: str, part: Part) -> Part:
        return with_absolute_paths(part, registry.get(KIND_OF[path.partition(".")[0]], part.name))

    return bind(with_parts(variant, settled), registry)


def _value(text: str) -> Any:
    try:
        return json.loads(text)
    except RecursionError:
        raise ValueError("the value is nested too deep") from None
    except ValueError:
        return float(text) if NOT_FINITE.fullmatch(text.strip()) else text


def _apply(variant: Variant, path: list[str], value: Any) -> Variant:
    """Applies one setting; ValueError says why it cannot be applied."""
    head, rest = path[0], path[1:]
    if not all(path):
        raise ValueError("a part of the path is empty")
    if head in ("training", "regularizers") and len(path) < LEAST_DEPTH[head]:
        raise ValueError(f"say which: {head}.{'<field>' if head == 'training' else '<name>.<option>'}=value")
    if head == "training":
        return replace(variant, training=_set_training(variant.training, rest, value))
    if head in ROLES:
        part = getattr(variant, head)
        if not rest:
            changed = None if value is None else Part(str(value))
        elif part is None:
            raise ValueError(f"variant '{variant.name}' has no {head}; choose one with {head}=<name>")
        else:
            changed = _with_option(part, rest, value)
        fields: dict[str, Any] = {head: changed}
        return replace(variant, **fields)
    if head == "inputs" and rest:
        head, rest = rest[0], rest[1:]
    if head in variant.inputs:
        return replace(variant, inputs={**variant.inputs, head: _with_input(variant, head, rest, value)})
    if head == "regularizers":
        parts = {part.name: part for part in variant.regularizers}
        if rest[0] not in parts:
            raise ValueError(f"variant '{variant.name}' has no regularizer '{rest[0]}'." + did_you_mean(rest[0], parts))
        parts[rest[0]] = _with_option(parts[rest[0]], rest[1:], value)
        return replace(variant, regularizers=tuple(parts.values()))
    heads = [*ROLES, *variant.inputs]
    known = ["training.<field>", *(f"{one}.<option>" for one in heads), "regularizers.<name>.<option>"]
    near = did_you_mean(head, ["training", "regularizers", *heads])
    raise ValueError(f"unknown key.{near}" if near.startswith(" Did") else f"unknown key. Known: {', '.join(known)}.")


def _with_input(variant: Variant, name: str, path: list[str], value: Any) -> Part | None:
    """The condition of an input with a setting applied; None says that the input comes with the data."""
    part = variant.inputs[name]
    if not path:
        return None if value is None else Part(str(value))
    if part is None:
        raise ValueError(f"the {name} comes with the data; choose a condition with --source NAME or {name}=<name>")
    return _with_option(part, path, value)


def _with_option(part: Part, path: list[str], value: Any) -> Part:
    return replace(part, options=_nested(part.options, path, value))


def _nested(mapping: Any, path: list[str], value: Any) -> dict[str, Any]:
    if not isinstance(mapping, Mapping):
        raise ValueError(f"there is one value, not a table with '{path[0]}' in it")
    mapping = dict(mapping)
    mapping[path[0]] = value if len(path) == 1 else _nested(mapping.get(path[0], {}), path[1:], value)
    return mapping


@cache
def _training_hints() -> dict[str, Any]:
    """The types of the training's fields, which take a millisecond to look up."""
    return get_type_hints(Training)


def _set_training(training: Training, path: list[str], value: Any) -> Training:
    import msgspec

    hints = _training_hints()
    name = path[0]
    if name not in hints:
        raise ValueError(f"unknown key.{did_you_mean(name, hints)}")
    if len(path) > 1:
        current = getattr(training, name)
        if not hasattr(current, "keys"):
            raise ValueError(f"training.{name} is one value, it has no '{path[1]}'")
        rest = _of_schedule(path[1:], value) if name == "schedules" else path[1:]
        value = _nested({key: _plain(item) for key, item in current.items()}, rest, value)
    try:
        return replace(training, **{name: msgspec.convert(value, hints[name])})
    except (msgspec.ValidationError, OverflowError, RecursionError) as error:
        raise ValueError(one_line(error)) from None


def _of_schedule(path: list[str], value: Any) -> list[str]:
    """Splits the path of a schedule into its name, which may have dots ("loss.share"), and the field, if any."""
    if isinstance(value, Mapping):
        return [".".join(path)]
    known = list(Schedule.__dataclass_fields__)
    if len(path) == 1 or path[-1] not in known:
        raise ValueError(
            f"write <what>.<field>=value, with {', '.join(known)} for a field.{did_you_mean(path[-1], known)}"
        )
    return [".".join(path[:-1]), path[-1]]


def _plain(item: Any) -> Any:
    return asdict(item) if isinstance(item, Schedule) else item
