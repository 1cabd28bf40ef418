"""The parts of a variant, its conditions, and their options, checked against signatures without building anything."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal, get_args, get_origin, get_type_hints

from ganzoo.errors import GanzooError, did_you_mean
from ganzoo.files.text import in_path
from ganzoo.registry.registry import Registry
from ganzoo.variant import LocalPath, Part, Training, Variant

OPTION_LINE = re.compile(r" +(\w+): (\S.*)")
KIND_OF = {
    "generator": "generators",
    "discriminator": "discriminators",
    "loss": "losses",
    "regularizers": "regularizers",
    "augmentation": "augmentations",
    "inputs": "conditions",
}


def parts_of(variant: Variant) -> dict[str, Part]:
    """Returns the parts of a variant by their paths in the settings: "generator", "loss", "regularizers.r1", ..."""
    parts = {role: getattr(variant, role) for role in ("generator", "discriminator", "loss", "augmentation")}
    parts |= {f"regularizers.{part.name}": part for part in variant.regularizers}
    return {role: part for role, part in parts.items() if part is not None}


def conditions_of(variant: Variant) -> dict[str, Part]:
    """Returns the conditions that compute a variant's inputs by their paths in the settings: "inputs.source", ..."""
    return {f"inputs.{name}": part for name, part in variant.inputs.items() if part is not None}


def with_parts(variant: Variant, change: Callable[[str, Part], Part]) -> Variant:
    """Returns the variant with every part and condition replaced by `change(path, part)`, its path as in `parts_of`."""
    made = {path: change(path, part) for path, part in {**parts_of(variant), **conditions_of(variant)}.items()}
    roles: dict[str, Any] = {path: part for path, part in made.items() if "." not in path}
    return replace(
        variant,
        **roles,
        regularizers=tuple(made[f"regularizers.{part.name}"] for part in variant.regularizers),
        inputs={name: made.get(f"inputs.{name}") for name in variant.inputs},
    )


def with_absolute_paths(part: Part, factory: Callable) -> Part:
    """Returns the part with options of the type `LocalPath` made absolute, so that they hold in any folder."""
    named = {name: part.options[name] for name in local_paths(factory) & part.options.keys()}
    whole = {
        name: str(Path(value).expanduser().absolute())
        for name, value in named.items()
        if isinstance(value, str) and value and "://" not in value
    }
    return replace(part, options={**part.options, **whole}) if whole else part


def local_paths(factory: Callable) -> set[str]:
    """Returns the options of a part's factory that name files or folders: those annotated with `LocalPath`."""
    return {name for name, hint in _hints(factory).items() if LocalPath in (hint, *get_args(hint))}


def options_of(factory: Callable) -> dict[str, inspect.Parameter]:
    """Returns the options of a part's factory by name: all its parameters after the first."""
    parameters = list(inspect.signature(factory).parameters.values())[1:]
    return {parameter.name: parameter for parameter in parameters if parameter.kind is not parameter.VAR_POSITIONAL}


def option_meanings(factory: Callable) -> dict[str, str]:
    """Returns the meaning of each option that the docstring of a part's factory explains, as one line.

    It is the line "name: meaning" of a section "Options:", or else the first sentence with `name` in backticks.
    """
    text = inspect.getdoc(factory) or ""
    options = options_of(factory)
    before, listed = _listed_meanings(text, "Options")
    sentences = [sentence for block in before.split("\n\n") for sentence in _sentences(" ".join(block.split()))]
    for option in options:
        mentioned = re.compile(rf"`{re.escape(option)}(`|=)")
        listed.setdefault(option, next((sentence for sentence in sentences if mentioned.search(sentence)), ""))
    return {name: _as_sentence(meaning) for name, meaning in listed.items() if meaning and name in options}


def training_meanings() -> dict[str, str]:
    """Returns the meaning of each setting of `Training`, as its docstring explains it, as one line."""
    return {
        name: _as_sentence(meaning)
        for name, meaning in _listed_meanings(inspect.getdoc(Training) or "", "Attributes")[1].items()
    }


def _listed_meanings(text: str, heading: str) -> tuple[str, dict[str, str]]:
    """Returns what a docstring has before the section `heading`, and the lines "name: meaning" in that."""
    before, _, section = text.partition(f"\n{heading}:\n")
    listed: dict[str, str] = {}
    name = ""
    for line in section.splitlines():
        if not line.startswith(" "):
            break
        if found := OPTION_LINE.fullmatch(line):
            name = found[1]
            listed[name] = found[2]
        elif name:
            listed[name] += f" {line.strip()}"
    return before, listed


def _as_sentence(meaning: str) -> str:
    return meaning.rstrip(".") + "."


def _sentences(text: str) -> list[str]:
    """Splits a paragraph at ends of sentences, but not after "et al." and in numbers."""
    return re.split(r"(?<!et al)(?<!e\.g)\. (?=[A-Z`\"])|(?<=;) (?=`)", text)


def option_mistakes(factory: Callable, options: Mapping[str, Any]) -> list[str]:
    """Lists mistakes in a part's options as "<option>: why", by the factory's signature and annotations."""
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
                mistakes.append(f"{name}: {error}{choices(hints[name])}")
                continue
            except TypeError:  # an annotation that msgspec does not know says nothing about plain values
                continue
            if _is_count(hints[name], known[name].default) and _is_negative(value):
                mistakes.append(f"{name}: {value} is negative, and it counts or measures a size")
    return mistakes


def _is_count(hint: Any, default: Any) -> bool:
    """True for whole numbers, or lists of them, whose default is not negative: counts, sizes and numbers of layers."""
    whole = {int, type(None)}
    kinds = {hint, *get_args(hint)} - {Ellipsis} - {hint if get_args(hint) else None}
    return bool(kinds & {int}) and kinds <= whole and not _is_negative(default)


def _is_negative(value: Any) -> bool:
    if isinstance(value, list | tuple):
        return any(map(_is_negative, value))
    return isinstance(value, int) and value < 0


def choices(hint: Any) -> str:
    """Returns "; known: a, b" for a type with literals in it, such as `Literal["a", "b"] | None`, "" for any other."""
    known = list(map(str, _literals(hint)))
    return f"; known: {', '.join(known)}" if known else ""


def _literals(hint: Any) -> list[Any]:
    if get_origin(hint) is Literal:
        return list(get_args(hint))
    return [one for inner in get_args(hint) for one in _literals(inner)]


def _hints(factory: Callable) -> dict[str, Any]:
    try:
        return get_type_hints(factory.__init__ if inspect.isclass(factory) else factory, include_extras=True)
    except (NameError, TypeError, AttributeError):
        return {}


def part_mistakes(variant: Variant, registry: Registry) -> list[str]:
    """Lists unknown names and wrong options of a variant's parts, with the nearest known ones."""
    mistakes = []
    for path, part in {**parts_of(variant), **conditions_of(variant)}.items():
        try:
            factory = registry.get(KIND_OF[path.partition(".")[0]], part.name)
        except GanzooError as error:
            mistakes.append(f"{path}: {error}")
            continue
        mistakes += [f"{path}.{mistake}" for mistake in option_mistakes(factory, part.options)]
    return mistakes
