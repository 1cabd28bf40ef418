"""Converts weights that other code trained to a model folder: recognizes, renames, loads and verifies them."""

from __future__ import annotations

import hashlib
import logging
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor

from ganzoo.config.recipe import bind_part
from ganzoo.config.settings import resolve
from ganzoo.convert import bundles, pickle_process
from ganzoo.convert.bundles import SeveralNetworks, Shapes, views
from ganzoo.convert.pickle_reader import read_inputs
from ganzoo.convert.recognize import InputFiles, recognize
from ganzoo.engine.build import build_part
from ganzoo.errors import CheckpointError, GanzooError, UsageError, did_you_mean
from ganzoo.files.output_checks import check_new_folder
from ganzoo.files.text import quoted
from ganzoo.layouts import Layout, Match
from ganzoo.models.config import ModelConfig, Provider
from ganzoo.models.folder import write_model
from ganzoo.models.load import load_folder
from ganzoo.models.model import Model
from ganzoo.networks import Generator
from ganzoo.registry.registry import Registry
from ganzoo.variant import ImageSpec, SampleSpec, Variant

log = logging.getLogger(__name__)

OWN = "ganzoo"
ROWS = 60
COUNTER = "num_batches_tracked"


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
    model = load_folder(request.out)
    log.info(_unsaid(model))
    return model


def _unsaid(model: Model) -> str:
    """Says what no file of weights holds, so that a user compares it with the old code."""
    prior = str(model.config.generator.options.get("prior", "")) or "its own"
    latents = "standard normal" if type(model.generator).latent is Generator.latent else prior
    taken = (
        f"activations, strides and the prior of the latents ({latents})"
        if model.config.latent_dim
        else "activations and strides"
    )
    return (
        f"Not in the file, so taken as those of the part '{model.config.generator.name}': {taken}. "
        "Compare some images with those of the old code."
    )


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
    known: dict[str, list[tuple[Shapes, Match]]] = field(default_factory=dict)

    def of(self, role: str, file: InputFiles, tensors: dict[str, Tensor] | GanzooError) -> Converted:
        """Converts one network and checks it against the module that will hold it."""
        if isinstance(tensors, SeveralNetworks):
            raise UsageError(f"{tensors}{self._command_for(role, tensors.networks)}") from None
        if isinstance(tensors, GanzooError):
            raise tensors
        name, match, names = self._matched(role, file, _sizes(tensors))
        if len(names) < len(tensors):
            left = ", ".join(quoted(key) for key in tensors if key not in names.values())
            log.info(f"{file.label}: left out {left}, which belongs to the wrapper around the network")
        tensors = {ours: tensors[theirs] for ours, theirs in names.items()}
        match = self._agreed(role, name, match)
        log.info(f"{file.label}: {role} in the layout {name}, {_images(match.image)}, {_options(match)}")
        if match.note:
            log.info(match.note)
        ours = self._built(match)
        made = dict(tensors) if name == OWN else self.layouts[name].convert(tensors, match)
        if _sizes(made) != _sizes(ours):
            _log_table(_sizes(ours), _sizes(made))
            raise GanzooError(
                f"The layout '{name}' does not produce the tensors of the {role} '{match.part.name}': "
                "that is a mistake of the layout."
            )
        made = {key: _of_kind(file, key, tensor, ours[key].dtype) for key, tensor in made.items()}
        for key, tensor in made.items():
            if tensor.is_floating_point() and not tensor.to(getattr(torch, self.request.dtype)).isfinite().all():
                raise CheckpointError(
                    f"{file.label}: {quoted(key)} has numbers that are not finite, or not in {self.request.dtype}."
                )
        return Converted(name, match, {key: made[key] for key in ours})

    def _matched(self, role: str, file: InputFiles, shapes: Shapes) -> tuple[str, Match, dict[str, str]]:
        """Finds the one layout that accounts for every tensor; our own names only if no other does.

        Names are tried as they are, then without the prefixes of wrappers: returned as in the layout, with the file's.
        """
        others: list[Match] = []
        for names in views(shapes):
            found = self._recognized({short: shapes[full] for short, full in names.items()}, role)
            matches = {name: match for name, match in found.items() if match.role == role}
            if len(matches) > 1:
                raise UsageError(
                    f"{file.label} fits several layouts: choose with --layout {' or --layout '.join(matches)}."
                )
            if matches:
                return *next(iter(matches.items())), names
            others += found.values()
        for other in others:
            is_discriminator = other.role == "discriminator"
            advice = "--discriminator FILE takes it, beside its generator" if is_discriminator else "give it as FILE"
            raise UsageError(f"{file.label} holds a {other.role}, not a {role}: {advice}.")
        if command := self._command_for(role, {".": shapes}):
            held = bundles.listed(shapes)
            raise UsageError(f"{file.label} holds several networks{f': {held}' if held else ''}.{command}")
        tried = ", ".join([*self.layouts, OWN] if self.request.layout == "auto" else [self.request.layout])
        head = f"{file.label} fits no layout of {self.variant.name} ({tried})"
        if elsewhere := self._elsewhere(role, shapes):
            raise CheckpointError(f"{head}. {elsewhere}")
        nearest = max(map(self._shapes, self._guesses(role)), key=lambda ours: len(ours.items() & shapes.items()))
        _log_table(nearest, shapes)
        held = bundles.listed(shapes)
        advice = f" Its names start with {held}: if these are networks, --key chooses one." if held else ""
        raise CheckpointError(f"{head}: the table above has our names beside the file's.{advice}")

    def _recognized(self, shapes: Shapes, role: str) -> dict[str, Match]:
        """Returns what each layout takes the tensors for; our own names are tried if no other layout fits the role."""
        found = {
            name: match for name, layout in self.layouts.items() if (match := layout.recognize(shapes)) is not None
        }
        if self.request.layout in (OWN, "auto") and not any(match.role == role for match in found.values()):
            own = next((match for ours, match in self._own(role) if ours == shapes), None)
            return found | ({OWN: own} if own else {})
        return found

    def _own(self, role: str) -> list[tuple[Shapes, Match]]:
        """Returns the networks of the request with their shapes, built once."""
        if role not in self.known:
            self.known[role] = [(self._shapes(match), match) for match in self._guesses(role)]
        return self.known[role]

    def _fits(self, role: str, shapes: Shapes) -> str | None:
        """Returns the layout that takes these tensors, behind wrappers too, for the role."""
        for names in views(shapes):
            found = self._recognized({short: shapes[full] for short, full in names.items()}, role)
            for name, match in found.items():
                if match.role == role:
                    return name
        return None

    def _command_for(self, role: str, dictionaries: Mapping[str, Shapes]) -> str:
        """Returns a sentence with the command that takes the network of this role from several; empty if none fits."""
        fitting: list[str] = []
        for path, shapes in dictionaries.items():
            shapes = pickle_process.without_prefix(dict(shapes))
            if path != "." and self._fits(role, shapes):
                fitting.append(path)
                continue
            inside = bundles.networks(shapes).items()
            start = "" if path == "." or len(dictionaries) == 1 else f"{path}."
            fitting += [f"{start}{prefix}" for prefix, part in inside if self._fits(role, part)]
        # A network that fits behind a wrapper fits inside of it too: the outermost key is the one to give.
        fitting = [key for key in fitting if not any(key.startswith(f"{other}.") for other in fitting)]
        if not fitting:
            return ""
        best, *rest = bundles.by_average(fitting)
        also = f" ({', '.join(map(quoted, rest[:5]))} would fit too)" if rest else ""
        return f" {quoted(best)} fits the {role} of {self.variant.name}{also}: {self._command(role, key=best)}"

    def _command(self, role: str, key: str | None = None, variant: str | None = None) -> str:
        """Returns the request as a command, with another key of the network, or for another variant."""
        asked = self.request
        words = ["ganzoo", "convert", *map(str, asked.files), "--variant", variant or asked.variant]
        keys = {"generator": asked.key, "discriminator": asked.discriminator_key} | ({role: key} if key else {})
        options: list[tuple[str, object]] = [
            ("--key", keys["generator"]),
            *(("--discriminator", path) for path in asked.discriminator),
            ("--discriminator-key", keys["discriminator"]),
            ("--layout", None if variant or asked.layout == "auto" else asked.layout),
            ("--license", None if asked.license == "unknown" else asked.license),
            ("--dtype", None if asked.dtype == "float32" else asked.dtype),
            ("--image-size", asked.image_size),
            ("--channels", asked.channels),
            ("--classes", asked.classes),
            *(("--set", setting) for setting in ([] if variant else asked.settings)),
            ("--out", asked.out),
        ]
        words += [str(word) for option in options if option[1] is not None for word in option]
        return f"`{shlex.join(words)}`"

    def _elsewhere(self, role: str, shapes: Shapes) -> str:
        """Says which other variants the file fits, with the command for the first; empty if none."""
        found: dict[str, tuple[str, str | None]] = {}
        for variant in self.registry.variants():
            request = replace(self.request, variant=variant.name, layout="auto", settings=())
            try:
                other = replace(
                    self, request=request, variant=variant, layouts=_layouts(request, self.registry), known={}
                )
                if whole := other._fits(role, shapes):
                    found[variant.name] = whole, None
                    continue
                inside = {key: part for key, part in bundles.networks(shapes).items() if "." not in key}
                fitting = {key: name for key, part in inside.items() if (name := other._fits(role, part))}
            except Exception:  # a variant without this part, or a plugin that fails: this file has its message already
                continue
            if len(inside) > 1 and fitting:
                best = bundles.by_average(list(fitting))[0]
                found[variant.name] = fitting[best], best
        if not found:
            return ""
        first = next((name for name in found if found[name][1] is None), next(iter(found)))
        fit = layout, key = found[first]
        many = [name for name in found if found[name] == fit]
        names = " or ".join(quoted(name)[1:-1] for name in many[:8])
        part = f"Its {quoted(key)}" if key else "It"
        return f"{part} fits {names} (layout {layout}): {self._command(role, key=key, variant=first)}"

    def _guesses(self, role: str) -> list[Match]:
        """Yields the networks of the request for every image size and number of channels that it leaves open."""
        part, request = getattr(self.variant, role), self.request
        if part is None:
            raise UsageError(f"The variant {self.variant.name} has no {role}.")
        rule = self.variant.size_rule
        # Translators of any multiple are fully convolutional: their weights are the same at all sizes.
        sizes = rule.own if self.variant.inputs and rule.multiple else rule.every()
        sizes = [request.image_size] if request.image_size else sizes
        channels = [request.channels] if request.channels else [3, 1]
        side: Literal["generator", "discriminator"] = "generator" if role == "generator" else "discriminator"
        specs = [ImageSpec(size, count, request.classes or 0) for size in sizes for count in channels]
        sources = [dict.fromkeys(self.variant.inputs, spec.output) for spec in specs]
        return [
            Match(part, SampleSpec(spec.output, {**spec.inputs, **inputs}), side)
            for spec, inputs in zip(specs, sources, strict=True)
        ]

    def _built(self, match: Match) -> dict[str, Tensor]:
        """Returns the tensors of the network of a match, without memory for their numbers."""
        with torch.device("meta"):
            return build_part(bind_part(match.role, match.part, self.registry), match.image).state_dict()

    def _shapes(self, match: Match) -> Shapes:
        return _sizes(self._built(match))

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


def _sizes(tensors: Mapping[str, Tensor]) -> dict[str, tuple[int, ...]]:
    return {name: tuple(tensor.shape) for name, tensor in tensors.items()}


def _of_kind(file: InputFiles, key: str, tensor: Tensor, dtype: torch.dtype) -> Tensor:
    """Returns whole numbers as the network has them, where the file has fractions: `.half()` of a state_dict, numpy.

    A counter beyond half precision is infinite there; it becomes the largest number of that dtype.
    """
    if dtype.is_floating_point:
        return tensor if tensor.is_floating_point() else tensor.float()
    if tensor.dtype == dtype:
        return tensor
    if tensor.is_floating_point() and key.endswith(COUNTER) and (tensor == torch.inf).any():
        log.info(f"{file.label}: {quoted(key)} is beyond {tensor.dtype}: stored as the largest number of that type")
        tensor = tensor.nan_to_num(nan=torch.nan)
    if tensor.is_floating_point() and not (tensor.isfinite() & (tensor == tensor.round())).all():
        raise CheckpointError(f"{file.label}: {quoted(key)} must hold whole numbers.")
    return tensor.to(dtype)


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


def _images(image: SampleSpec) -> str:
    classes = f" of {image.classes} classes" if image.classes else ""
    colours = {1: "grey", 3: "colour", 4: "RGBA"}.get(image.channels, f"{image.channels}-channel")
    return f"{image.size}×{image.size} {colours} images{classes}"


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
