"""Converts weights that other code trained to a model folder: recognizes, renames, loads and verifies them."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor

from ganzoo.config.recipe import bind_part
from ganzoo.config.settings import resolve
from ganzoo.convert.pickle_reader import read_inputs
from ganzoo.convert.recognize import InputFiles, recognize
from ganzoo.engine.build import build_part
from ganzoo.errors import CheckpointError, GanzooError, UsageError, did_you_mean
from ganzoo.files.output import check_new_folder
from ganzoo.files.text import quoted
from ganzoo.layouts import Layout, Match
from ganzoo.models.config import ModelConfig, Provider
from ganzoo.models.folder import write_model
from ganzoo.models.load import load_folder
from ganzoo.models.model import Model
from ganzoo.registry.registry import Registry
from ganzoo.variant import ImageSpec, Variant

log = logging.getLogger(__name__)

OWN = "ganzoo"
ROWS = 60
Shapes = dict[str, tuple[int, ...]]


@dataclass(frozen=True, kw_only=True)
class Request:
    """The options of `ganzoo convert`; `files` and `discriminator` are paths, `settings` as of `ganzoo train --set`.

    `layout` is a registered name, "ganzoo" (our own names) or "auto". `key` and `discriminator_key` choose among
    several networks of a file. `image_size`, `channels` and `classes` give facts on the images that the files do not
    hold.
    """

    files: Sequence[Path]
    variant: str
    out: Path
    layout: str = "auto"
    key: str | None = None
    discriminator: Sequence[Path] = ()
    discriminator_key: str | None = None
    license: str = "unknown"
    dtype: str = "float32"
    image_size: int | None = None
    channels: int | None = None
    classes: int | None = None
    settings: Sequence[str] = ()


def convert(request: Request, registry: Registry) -> Model:
    """Writes the model folder `request.out`, whole or not at all, and loads it back; logs the layout it found.

    UsageError for a wrong request; CheckpointError if a file cannot be read or fits no layout, after a table of our
    names beside those of the file is logged.
    """
    variant = resolve(_variant(request.variant, registry), request.settings, registry).variant
    conversion = _Conversion(request, variant, _layouts(request, registry), registry)
    check_new_folder(request.out)
    wanted = {"generator": (request.files, request.key)}
    if request.discriminator:
        wanted["discriminator"] = request.discriminator, request.discriminator_key
    files = [recognize(paths, key) for paths, key in wanted.values()]
    found = read_inputs(files, [key for _, key in wanted.values()])
    made = {role: conversion.of(role, file, result) for role, file, result in zip(wanted, files, found, strict=True)}
    generator, discriminator = made["generator"], made.get("discriminator")
    if discriminator and discriminator.match.image != generator.match.image:
        of_discriminator, of_generator = _images(discriminator.match.image), _images(generator.match.image)
        raise UsageError(f"The discriminator is for {of_discriminator}, the generator for {of_generator}.")
    config = _config(request, variant, registry, files, generator)
    pair = (discriminator.match.part, discriminator.tensors) if discriminator else None
    write_model(request.out, config, generator.tensors, dtype=request.dtype, discriminator=pair)
    return load_folder(request.out)


def _variant(name: str, registry: Registry) -> Variant:
    try:
        return registry.get("variants", name)
    except UsageError as error:  # lists all variants, since the file is of one of them
        known = "" if "Known:" in str(error) else f" Variants: {', '.join(registry.names('variants'))}."
        raise UsageError(f"{error}{known}") from None


def _layouts(request: Request, registry: Registry) -> dict[str, Layout]:
    """Returns the registered layouts to try, by name."""
    names = registry.names("layouts")
    if request.layout not in (*names, OWN, "auto"):
        raise UsageError(
            f"No layout is called {quoted(request.layout)}.{did_you_mean(request.layout, [*names, OWN, 'auto'])}"
        )
    if request.layout != "auto":
        names = [] if request.layout == OWN else [request.layout]
    layouts = {name: registry.get("layouts", name)() for name in names}
    fitting = {
        name: layout for name, layout in layouts.items() if not layout.variants or request.variant in layout.variants
    }
    if request.layout in layouts and not fitting:
        known = ", ".join(layouts[request.layout].variants)
        raise UsageError(f"The layout '{request.layout}' is of {known}, not of {request.variant}.")
    return fitting


@dataclass(frozen=True)
class Converted:
    """A network in our names and shapes, and the layout of its file."""

    layout: str
    match: Match
    tensors: dict[str, Tensor]


@dataclass(frozen=True)
class _Conversion:
    """Converts the networks of one request."""

    request: Request
    variant: Variant
    layouts: Mapping[str, Layout]
    registry: Registry

    def of(self, role: str, file: InputFiles, tensors: dict[str, Tensor] | GanzooError) -> Converted:
        """Converts one network and checks it against the module that will hold it."""
        if isinstance(tensors, GanzooError):
            raise tensors
        name, match = self._matched(role, file, _sizes(tensors))
        match = self._agreed(role, name, match)
        log.info(f"{file.label}: {role} in the layout {name}, {_images(match.image)}, {_options(match)}")
        if match.note:
            log.info(match.note)
        ours = self._shapes(match)
        made = dict(tensors) if name == OWN else self.layouts[name].convert(tensors, match)
        if _sizes(made) != ours:
            _log_table(ours, _sizes(made))
            raise GanzooError(
                f"The layout '{name}' does not produce the tensors of the {role} '{match.part.name}': "
                "that is a mistake of the layout."
            )
        for key, tensor in made.items():
            if tensor.is_floating_point() and not tensor.to(getattr(torch, self.request.dtype)).isfinite().all():
                raise CheckpointError(
                    f"{file.label}: {quoted(key)} has numbers that are not finite, or not in {self.request.dtype}."
                )
        return Converted(name, match, {key: made[key] for key in ours})

    def _matched(self, role: str, file: InputFiles, shapes: Shapes) -> tuple[str, Match]:
        """Finds the one layout that accounts for every tensor; our own names only if no other does."""
        found = {
            name: match for name, layout in self.layouts.items() if (match := layout.recognize(shapes)) is not None
        }
        matches = {name: match for name, match in found.items() if match.role == role}
        if not matches and self.request.layout in (OWN, "auto"):
            own = next((match for match in self._guesses(role) if self._shapes(match) == shapes), None)
            matches = {OWN: own} if own else {}
        if len(matches) > 1:
            raise UsageError(
                f"{file.label} fits several layouts: choose with --layout {' or --layout '.join(matches)}."
            )
        if matches:
            return next(iter(matches.items()))
        for other in found.values():
            is_discriminator = other.role == "discriminator"
            advice = "--discriminator FILE takes it, beside its generator" if is_discriminator else "give it as FILE"
            raise UsageError(f"{file.label} holds a {other.role}, not a {role}: {advice}.")
        nearest = max(map(self._shapes, self._guesses(role)), key=lambda ours: len(ours.items() & shapes.items()))
        _log_table(nearest, shapes)
        tried = ", ".join([*self.layouts, OWN] if self.request.layout == "auto" else [self.request.layout])
        raise CheckpointError(
            f"{file.label} fits no layout of {self.variant.name} ({tried}): "
            "the table above has our names beside the file's."
        )

    def _guesses(self, role: str) -> list[Match]:
        """Yields the networks of the request for every image size and number of channels that it leaves open."""
        part, request = getattr(self.variant, role), self.request
        if part is None:
            raise UsageError(f"The variant {self.variant.name} has no {role}.")
        sizes = [request.image_size] if request.image_size else self.variant.sizes
        channels = [request.channels] if request.channels else [3, 1]
        side: Literal["generator", "discriminator"] = "generator" if role == "generator" else "discriminator"
        return [Match(part, ImageSpec(size, count, request.classes or 0), side) for size in sizes for count in channels]

    def _shapes(self, match: Match) -> Shapes:
        """Returns the names and shapes of the network of a match, built without memory for its numbers."""
        with torch.device("meta"):
            return _sizes(build_part(bind_part(match.role, match.part, self.registry), match.image).state_dict())

    def _agreed(self, role: str, layout: str, match: Match) -> Match:
        """Returns the match with the settings of the request; UsageError if the two contradict each other."""
        asked = {"size": self.request.image_size, "channels": self.request.channels, "classes": self.request.classes}
        for name, value in asked.items():
            if value is not None and value != getattr(match.image, name):
                raise UsageError(f"The file's {name} is {getattr(match.image, name)}, not {value}.")
        settings = {setting.partition("=")[0].strip() for setting in self.request.settings}
        chosen = {
            name: value for name, value in getattr(self.variant, role).options.items() if f"{role}.{name}" in settings
        }
        for name, value in chosen.items():
            found = match.part.options.get(name, value)
            if (
                layout != OWN and found != value and not isinstance(found, str)
            ):  # numbers follow from the shapes, text does not
                raise UsageError(f"{role}.{name} is {found} in the file, not {value}.")
        return replace(match, part=replace(match.part, options=dict(match.part.options) | chosen))


def _sizes(tensors: Mapping[str, Tensor]) -> Shapes:
    return {name: tuple(tensor.shape) for name, tensor in tensors.items()}


def _config(
    request: Request, variant: Variant, registry: Registry, files: Sequence[InputFiles], generator: Converted
) -> ModelConfig:
    """Returns the content of config.json, which does not depend on the time or place of the conversion."""
    plugin = registry.claim("variants", variant.name).plugin
    facts = {
        "converted_from": [{"file": path.name, "sha256": _digest(path)} for file in files for path in file.paths],
        "layout": generator.layout,
        "note": generator.match.note,
    }
    with torch.device("meta"):
        part = bind_part("generator", generator.match.part, registry)
        latent_dim = build_part(part, generator.match.image).latent_dim
    return ModelConfig(
        variant=variant.name,
        generator=generator.match.part,
        image=generator.match.image,
        latent_dim=latent_dim,
        provider=Provider(distribution=plugin.distribution, version=plugin.version),
        license=request.license,
        training=facts,
    )


def _digest(path: Path) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _images(image: ImageSpec) -> str:
    classes = f" of {image.classes} classes" if image.classes else ""
    return f"{image.size}×{image.size} {'colour' if image.channels == 3 else 'grey'} images{classes}"


def _options(match: Match) -> str:
    return f"part {match.part.name}" + "".join(f", {name}={value}" for name, value in match.part.options.items())


def _log_table(ours: Mapping[str, tuple[int, ...]], theirs: Mapping[str, tuple[int, ...]]) -> None:
    """Logs our names and shapes beside those of the file: equal names in one row, the others in their order."""
    unknown = iter([name for name in theirs if name not in ours])
    pairs = [(name, name if name in theirs else next(unknown, None)) for name in ours] + [
        (None, name) for name in unknown
    ]
    rows = [(_cell(left, ours), _cell(right, theirs)) for left, right in pairs]
    width = max(len(left) for left, _ in rows[:ROWS])
    log.info(f"{'ours':{width}}   in the file")
    for left, right in rows[:ROWS]:
        log.info(f"{left:{width}} {' ' if left == right else '≠'} {right}")
    if len(rows) > ROWS:
        log.info(f"... and {len(rows) - ROWS} more")


def _cell(name: str | None, shapes: Mapping[str, tuple[int, ...]]) -> str:
    return "-" if name is None else f"{quoted(name)[1:-1]} {'×'.join(map(str, shapes[name])) or 'one number'}"
