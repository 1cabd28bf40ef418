"""Weights that other code trained, made into a model folder: recognised by names and shapes, filled into our network, verified."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import Tensor

from ..build import build_part
from ..config import resolve
from ..errors import CheckpointError, GanzooError, UsageError, did_you_mean
from ..files import shorten
from ..layouts import Layout, Match
from ..model import Model
from ..registry import Registry
from ..variant import ImageSpec, Variant
from .config import ModelConfig, Provider
from .folder import write_model
from .foreign import Foreign, recognise
from .legacy import read_foreign
from .load import load_folder

OWN = "ganzoo"
ROWS = 60
Shapes = dict[str, tuple[int, ...]]


@dataclass(frozen=True, kw_only=True)
class Request:
    """What `ganzoo convert` is asked for; `files` and `discriminator` are paths, `settings` as of `ganzoo train --set`.

    `layout` is a registered name, "ganzoo" (our own names) or "auto". `key` and `discriminator_key` choose among the networks of
    a file. What the files themselves do not say of the images may be given: `image_size`, `channels`, `classes`.
    """

    files: Sequence[Path]
    variant: str
    out: Path
    layout: str = "auto"
    key: str | None = None
    discriminator: Sequence[Path] = ()
    discriminator_key: str | None = None
    licence: str = "unknown"
    dtype: str = "float32"
    image_size: int | None = None
    channels: int | None = None
    classes: int | None = None
    settings: Sequence[str] = ()


def convert(request: Request, registry: Registry, report: Callable[[str], None] = lambda line: None) -> Model:
    """Writes the model folder `request.out`, whole or not at all, and loads it back. `report` is told what was found.

    UsageError for what is asked wrongly; CheckpointError if a file cannot be read or fits no layout, after a table of our names
    beside the file's has been reported.
    """
    variant = resolve(_variant(request.variant, registry), request.settings, registry)
    layouts = _layouts(request, registry)
    if request.out.exists() and (not request.out.is_dir() or any(request.out.iterdir())):
        raise UsageError(f"{request.out} is in the way: give a new or empty folder.")
    files = [recognise(request.files, request.key)]
    if request.discriminator:
        files.append(recognise(request.discriminator, request.discriminator_key))
    found = read_foreign(files, [request.key, request.discriminator_key][: len(files)])
    for result in found:
        if isinstance(result, GanzooError):
            raise result
    generator = _converted("generator", files[0], found[0], variant, layouts, request, registry, report)
    other = None
    if request.discriminator:
        other = _converted("discriminator", files[1], found[1], variant, layouts, request, registry, report)
        if other.match.image != generator.match.image:
            raise UsageError(f"The discriminator judges {_images(other.match.image)}, the generator draws {_images(generator.match.image)}.")
    config = _config(request, variant, registry, files, generator)
    pair = (other.match.part, other.tensors) if other else None
    write_model(request.out, config, generator.tensors, dtype=request.dtype, discriminator=pair)
    return load_folder(request.out)


def _variant(name: str, registry: Registry) -> Variant:
    try:
        return registry.get("variants", name)
    except UsageError as error:  # who converts has a network at hand, so all that it could be is worth a line
        known = "" if "Known:" in str(error) else f" Variants: {', '.join(registry.names('variants'))}."
        raise UsageError(f"{error}{known}") from None


@dataclass(frozen=True)
class Converted:
    """A network in our names and shapes, and the layout that it was in."""

    layout: str
    match: Match
    tensors: dict[str, Tensor]


def _converted(role: str, file: Foreign, tensors: dict[str, Tensor], variant: Variant, layouts, request: Request, registry, report) -> Converted:
    """One network of the request, checked against the module that will hold it."""
    shapes = {name: tuple(tensor.shape) for name, tensor in tensors.items()}
    name, match = _matched(role, file, shapes, variant, layouts, request, registry, report)
    match = _agreed(match, role, variant, request, name)
    report(f"{file.label}: {role} in the layout {name}, {_images(match.image)}, {_options(match)}")
    if match.note:
        report(match.note)
    ours = _shapes(role, match, registry)
    made = dict(tensors) if name == OWN else layouts[name].convert(tensors, match)
    made = {key: made[key] for key in ours if key in made} | made
    if {key: tuple(tensor.shape) for key, tensor in made.items()} != ours:
        _report_table(ours, {key: tuple(tensor.shape) for key, tensor in made.items()}, report)
        raise GanzooError(f"The layout '{name}' did not make what the {role} '{match.part.name}' needs: that is a mistake of the layout.")
    for key, tensor in made.items():
        if tensor.is_floating_point() and not tensor.to(getattr(torch, request.dtype)).isfinite().all():
            raise CheckpointError(f"{file.label}: {shorten(key)} has numbers that are not finite, or not in {request.dtype}.")
    return Converted(name, match, made)


def _layouts(request: Request, registry: Registry) -> dict[str, Layout]:
    """The layouts to try, by name, without our own."""
    names = registry.names("layouts")
    if request.layout not in (*names, OWN, "auto"):
        raise UsageError(f"No layout is called {shorten(request.layout)}.{did_you_mean(request.layout, [*names, OWN, 'auto'])}")
    if request.layout != "auto":
        names = [] if request.layout == OWN else [request.layout]
    layouts = {name: registry.get("layouts", name)() for name in names}
    fitting = {name: layout for name, layout in layouts.items() if not layout.variants or request.variant in layout.variants}
    if request.layout in layouts and not fitting:
        known = ", ".join(layouts[request.layout].variants)
        raise UsageError(f"The layout '{request.layout}' is of {known}, not of {request.variant}.")
    return fitting


def _matched(role: str, file: Foreign, shapes: Shapes, variant: Variant, layouts, request: Request, registry, report) -> tuple[str, Match]:
    """The one layout that accounts for every tensor. Our own names count only where no other layout does."""
    matches = {name: match for name, layout in layouts.items() if (match := layout.recognises(shapes)) is not None}
    wrong = [match.role for match in matches.values() if match.role != role]
    matches = {name: match for name, match in matches.items() if match.role == role}
    if not matches and request.layout in (OWN, "auto"):
        own = _own(role, shapes, variant, request, registry)
        matches = {OWN: own} if own else {}
    if len(matches) > 1:
        raise UsageError(f"{file.label} fits several layouts: choose with --layout {' or --layout '.join(matches)}.")
    if matches:
        return next(iter(matches.items()))
    if wrong:
        told = "--discriminator FILE takes it, beside its generator" if wrong[0] == "discriminator" else "give it as FILE"
        raise UsageError(f"{file.label} holds a {wrong[0]}, not a {role}: {told}.")
    _report_table(_shapes(role, _guesses(role, variant, request)[0], registry), shapes, report)
    tried = ", ".join([*layouts, OWN] if request.layout == "auto" else [request.layout])
    raise CheckpointError(f"{file.label} fits no layout of {variant.name} ({tried}): the table above has our names beside the file's.")


def _guesses(role: str, variant: Variant, request: Request) -> list[Match]:
    """What the request says of the network, for every image size and number of channels that it leaves open."""
    part = getattr(variant, role)
    if part is None:
        raise UsageError(f"The variant {variant.name} has no {role}.")
    sizes = [request.image_size] if request.image_size else variant.sizes
    channels = [request.channels] if request.channels else [3, 1]
    return [Match(part, ImageSpec(size, count, request.classes or 0), role) for size in sizes for count in channels]


def _own(role: str, shapes: Shapes, variant: Variant, request: Request, registry: Registry) -> Match | None:
    return next((match for match in _guesses(role, variant, request) if _shapes(role, match, registry) == shapes), None)


def _shapes(role: str, match: Match, registry: Registry) -> Shapes:
    """Names and shapes of the network that a match describes, built without memory for its numbers."""
    with torch.device("meta"):
        module = build_part(role, match.part, match.image, registry)
    return {name: tuple(tensor.shape) for name, tensor in module.state_dict().items()}


def _agreed(match: Match, role: str, variant: Variant, request: Request, layout: str) -> Match:
    """The match with what the person set besides; UsageError where the two contradict each other."""
    asked = {"size": request.image_size, "channels": request.channels, "classes": request.classes}
    for name, value in asked.items():
        if value is not None and value != getattr(match.image, name):
            raise UsageError(f"The file's {name} is {getattr(match.image, name)}, not {value}.")
    settings = {setting.partition("=")[0].strip() for setting in request.settings}
    options = dict(match.part.options)
    for name, value in getattr(variant, role).options.items():
        shape_says = layout != OWN and options.get(name, value) != value and not isinstance(options[name], str)
        if f"{role}.{name}" in settings and shape_says:
            raise UsageError(f"{role}.{name} is {options[name]} in the file, not {value}.")
        if f"{role}.{name}" in settings:
            options[name] = value
    return replace(match, part=replace(match.part, options=options))


def _config(request: Request, variant: Variant, registry: Registry, files: Sequence[Foreign], generator: Converted) -> ModelConfig:
    """What config.json says; nothing of it depends on when or where the conversion ran."""
    plugin = registry.claim("variants", variant.name).plugin
    facts = {
        "converted_from": [{"file": path.name, "sha256": _digest(path)} for file in files for path in file.paths],
        "layout": generator.layout,
        "note": generator.match.note,
    }
    with torch.device("meta"):
        latent_dim = build_part("generator", generator.match.part, generator.match.image, registry).latent_dim
    return ModelConfig(
        variant=variant.name,
        generator=generator.match.part,
        image=generator.match.image,
        latent_dim=latent_dim,
        provider=Provider(distribution=plugin.distribution, version=plugin.version),
        licence=request.licence,
        training=facts,
    )


def _digest(path: Path) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _images(image: ImageSpec) -> str:
    return f"{image.size}×{image.size} {'colour' if image.channels == 3 else 'grey'} images" + (f" of {image.classes} classes" * bool(image.classes))


def _options(match: Match) -> str:
    return f"part {match.part.name}" + "".join(f", {name}={value}" for name, value in match.part.options.items())


def _report_table(ours: Mapping[str, tuple[int, ...]], theirs: Mapping[str, tuple[int, ...]], report: Callable[[str], None]) -> None:
    """Our names and shapes on the left, the file's on the right: the same names in one row, the others in the order they have."""
    unknown = iter([name for name in theirs if name not in ours])
    pairs = [(name, name if name in theirs else next(unknown, None)) for name in ours] + [(None, name) for name in unknown]
    rows = [(_cell(left, ours), _cell(right, theirs)) for left, right in pairs]
    width = max(len(left) for left, _ in rows[:ROWS])
    report(f"{'ours':{width}}   in the file")
    for left, right in rows[:ROWS]:
        report(f"{left:{width}} {' ' if left == right else '≠'} {right}")
    if len(rows) > ROWS:
        report(f"... and {len(rows) - ROWS} more")


def _cell(name: str | None, shapes: Mapping[str, tuple[int, ...]]) -> str:
    return "-" if name is None else f"{shorten(name)[1:-1]} {'×'.join(map(str, shapes[name])) or 'one number'}"
