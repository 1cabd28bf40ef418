"""Converts weights that other code trained to a model folder: recognizes, renames, loads and verifies them."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ganzoo.config.recipe import bind_part
from ganzoo.config.settings import resolve
from ganzoo.convert.bundles import SeveralNetworks
from ganzoo.convert.ncnn import read_graph
from ganzoo.convert.ncnn_graph import refuse_difference
from ganzoo.convert.own_networks import Role, conditions_of
from ganzoo.convert.pickle_reader import NamedTensors, read_inputs
from ganzoo.convert.recognize import InputFiles, recognize
from ganzoo.convert.request import UNKNOWN, Request
from ganzoo.convert.search import OWN, Fit, Search, log_table
from ganzoo.engine.build import build_part
from ganzoo.errors import CheckpointError, GanzooError, UsageError
from ganzoo.files.output_checks import check_new_folder
from ganzoo.files.text import quoted
from ganzoo.layouts import Layout, Match
from ganzoo.models.config import ModelConfig, Provider, check_license
from ganzoo.models.folder import write_model
from ganzoo.models.load import load_folder
from ganzoo.models.meta_device import without_numbers
from ganzoo.models.model import Model
from ganzoo.networks import Generator
from ganzoo.registry.registry import Registry
from ganzoo.variant import SampleSpec, Variant

log = logging.getLogger(__name__)

COUNTER = "num_batches_tracked"
ROLES: tuple[Role, ...] = ("generator", "discriminator")


def convert(request: Request, registry: Registry) -> Model:
    """Writes the model folder `request.out`, whole or not at all, and loads it back; logs the layout it found.

    UsageError for a wrong request; CheckpointError if a file cannot be read or fits no layout, after a table of our
    names beside those of the file is logged.
    """
    check_license(request.license)
    search = _search(request, registry)
    check_new_folder(request.out)
    wanted: dict[Role, tuple[Sequence[Path], str | None]] = {"generator": (request.files, request.key)}
    if request.discriminator:
        wanted["discriminator"] = request.discriminator, request.discriminator_key
    files = [recognize(paths, key) for paths, key in wanted.values()]
    found = read_inputs(
        files, [_key(role, file, key) for (role, (_, key)), file in zip(wanted.items(), files, strict=True)]
    )
    tensors = [_tensors(search, role, result) for role, result in zip(ROLES, found, strict=False)]
    for file, each in zip(files, tensors, strict=True):
        if file.kind in ("npz", "npy"):
            _refuse_nonfinite(file, each)
    if request.variant is None:
        request = replace(request, variant=_variant_of(search, files[0], tensors[0]))
        search = _search(request, registry)
    made = {role: _converted(search, file, each, role) for role, file, each in zip(ROLES, files, tensors, strict=False)}
    generator, discriminator = made["generator"], made.get("discriminator")
    if discriminator and discriminator.match.image != generator.match.image:
        of_discriminator, of_generator = _images(discriminator.match.image), _images(generator.match.image)
        raise UsageError(f"The discriminator is for {of_discriminator}, the generator for {of_generator}.")
    if request.license == UNKNOWN:
        published = " NVIDIA's own weights are for non-commercial use." if files[0].kind == "objects" else ""
        log.info(
            "No license is recorded, and none is assumed: --license NAME records what the weights' authors state "
            f"(MIT, BSD-3-Clause, CC-BY-NC-SA-4.0, ...).{published}"
        )
    config = _config(search, files, generator)
    agreed = _compared(search, files[0], generator) if files[0].kind == "ncnn" else ""
    pair = (discriminator.match.part, discriminator.tensors) if discriminator else None
    write_model(request.out, config, generator.tensors, dtype=request.dtype, discriminator=pair)
    model = load_folder(request.out)
    log.info(agreed or _unsaid(model))
    return model


def _search(request: Request, registry: Registry) -> Search:
    """Returns the search for the variant of the request with its settings; for all if it names none."""
    if request.variant is not None:
        return Search(
            request, registry, resolve(_variant(request.variant, registry), request.settings, registry).variant
        )
    if request.settings:
        raise UsageError(f"--set {request.settings[0]} needs --variant, whose setting it is.")
    return Search(request, registry, None)


def _tensors(search: Search, role: Role, found: dict[str, Tensor] | GanzooError) -> dict[str, Tensor]:
    """Returns what was read; raises the error that refuses a file, with the command that takes one of its networks."""
    if isinstance(found, SeveralNetworks):
        raise UsageError(f"{found}{search.command_for(role, found.networks)}") from None
    if isinstance(found, GanzooError):
        raise found
    return found


def _refuse_nonfinite(file: InputFiles, tensors: dict[str, Tensor]) -> None:
    """CheckpointError that names the first array of a numpy file with NaN or infinity, before a layout is searched."""
    for name, tensor in tensors.items():
        if tensor.is_floating_point() and not tensor.isfinite().all():
            raise CheckpointError(f"{file.label}: {quoted(name)} holds NaN or infinity.")


def _variant_of(search: Search, file: InputFiles, tensors: dict[str, Tensor]) -> str:
    """Returns the variant that a file is of; the error of a file that is of none says what the file states."""
    try:
        return search.variant_of(file, _sizes(tensors))
    except CheckpointError as error:
        if not isinstance(tensors, NamedTensors) or not tensors.stated:
            raise
        options = tensors.stated["options"]
        size = options.get("img_resolution") if isinstance(options, dict) else None
        of = f" of {size}×{size} images" if type(size) is int else ""
        kind = quoted(tensors.stated["class"])
        raise CheckpointError(f"{error} The file states the class {kind}{of}: no variant here has it.") from None


def _key(role: Role, file: InputFiles, key: str | None) -> str | None:
    """Returns the key of a network; without one, a file of NVIDIA's code gives G_ema as generator, D beside it."""
    return "D" if key is None and role == "discriminator" and file.kind == "objects" else key


def _compared(search: Search, file: InputFiles, converted: Converted) -> str:
    """Says how far the network is from what the layers of its file compute; CheckpointError if they differ."""
    match = converted.match
    with without_numbers():
        generator = build_part(bind_part("generator", match.part, search.registry), match.image)
    generator.load_state_dict({name: tensor.float() for name, tensor in converted.tensors.items()}, assign=True)
    difference = refuse_difference(str(file.paths[0]), read_graph(*file.paths), generator)
    return (
        f"On an image of noise the network and the layers of {file.paths[0].name} differ by {difference:.1e} at most."
    )


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


@dataclass(frozen=True)
class Converted:
    """A network in our names and shapes, and the layout of its file."""

    layout: str
    match: Match
    tensors: dict[str, Tensor]


def _converted(search: Search, file: InputFiles, tensors: dict[str, Tensor], role: Role = "generator") -> Converted:
    """Converts one network and checks it against the module that will hold it."""
    fit = search.only(role, file, _sizes(tensors))
    if isinstance(tensors, NamedTensors) and tensors.stated and fit.layout != OWN:
        fit = replace(fit, match=_configured(search.layouts[fit.layout], file, fit.match, tensors.stated))
    if len(fit.names) < len(tensors):
        left = ", ".join(quoted(key) for key in tensors if key not in fit.names.values())
        log.info(f"{file.label}: left out {left}, which belongs to the wrapper around the network")
    tensors = {ours: tensors[theirs] for ours, theirs in fit.names.items()}
    match = _agreed(search, role, fit)
    log.info(f"{file.label}: {role} in the layout {fit.layout}, {_images(match.image)}, {_options(match)}")
    if match.note:
        log.info(match.note)
    ours = search.own.state_of(match)
    made = dict(tensors) if fit.layout == OWN else search.layouts[fit.layout].convert(tensors, match)
    if _sizes(made) != _sizes(ours):
        log_table(_sizes(ours), _sizes(made))
        raise GanzooError(
            f"The layout '{fit.layout}' does not produce the tensors of the {role} '{match.part.name}': "
            "that is a mistake of the layout."
        )
    made = {key: _of_kind(file, key, tensor, ours[key].dtype) for key, tensor in made.items()}
    for key, tensor in made.items():
        if tensor.is_floating_point() and not tensor.to(getattr(torch, search.request.dtype)).isfinite().all():
            raise CheckpointError(
                f"{file.label}: {quoted(key)} has numbers that are not finite, or not in {search.request.dtype}."
            )
    return Converted(fit.layout, match, {key: made[key] for key in ours})


def _configured(layout: Layout, file: InputFiles, match: Match, stated: Mapping[str, Any]) -> Match:
    """Returns the match with what the file states; CheckpointError, with the file's name, if the two do not agree."""
    try:
        return layout.configured(match, stated)
    except CheckpointError as error:
        raise CheckpointError(f"{file.label}: {error}") from None


def _agreed(search: Search, role: Role, fit: Fit) -> Match:
    """Returns the match with the settings of the request; UsageError if the two contradict each other."""
    request, match = search.request, fit.match
    asked = {"size": request.image_size, "channels": request.channels, "classes": request.classes}
    for name, value in asked.items():
        if value is not None and value != getattr(match.image, name):
            raise UsageError(f"The file's {name} is {getattr(match.image, name)}, not {value}.")
    settings = {setting.partition("=")[0].strip() for setting in request.settings}
    own = getattr(search.variant, role).options
    chosen = {name: value for name, value in own.items() if f"{role}.{name}" in settings}
    for name, value in chosen.items():
        found = match.part.options.get(name, value)
        # Numbers follow from the shapes, text does not.
        if fit.layout != OWN and found != value and not isinstance(found, str):
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


def _config(search: Search, files: Sequence[InputFiles], generator: Converted) -> ModelConfig:
    """Returns the content of config.json, which does not depend on the time or place of the conversion."""
    variant, match = search.variant, generator.match
    assert variant is not None  # as `convert` has found it
    plugin = search.registry.claim("variants", variant.name).plugin
    facts = {
        "converted_from": [{"file": path.name, "sha256": _digest(path)} for file in files for path in file.paths],
        "layout": generator.layout,
        "note": match.note,
    }
    with torch.device("meta"):
        latent_dim = build_part(bind_part("generator", match.part, search.registry), match.image).latent_dim
    return ModelConfig(
        variant=variant.name,
        generator=match.part,
        image=match.image,
        latent_dim=latent_dim,
        provider=Provider(distribution=plugin.distribution, version=plugin.version),
        license=search.request.license,
        training=facts,
        task=variant.task,
        inputs=conditions_of(variant, match.image, search.registry),
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
