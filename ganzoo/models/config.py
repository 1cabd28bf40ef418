"""Reads, checks and writes the config.json of a model folder: generator, origin, and hash of the weights."""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Sequence
from dataclasses import MISSING, asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal, get_type_hints

from ganzoo.config.schema import LARGEST_OPTION, from_json, general_spec, option_bounds_of, spec_as_json, spec_mistakes
from ganzoo.errors import SEE_OTHER, CheckpointError, UsageError, did_you_mean
from ganzoo.files.strict_json import read_json
from ganzoo.files.text import in_path, quoted
from ganzoo.variant import Part, SampleSpec, check_name

log = logging.getLogger(__name__)

FORMAT = 1
CONFIG_BYTES = 64 * 2**10
GENERATOR_FILE = "model.safetensors"
DISCRIMINATOR_FILE = "discriminator.safetensors"
LARGEST_FILE = 2**40
LONGEST_LINE = 200
SHA256 = re.compile(r"[0-9a-f]{64}")
DISTRIBUTION = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._-]{0,98}[A-Za-z0-9])?")


@dataclass(frozen=True, kw_only=True)
class Provider:
    """The distribution that provides the variant, to install where it is missing."""

    distribution: str
    version: str


@dataclass(frozen=True, kw_only=True)
class WeightsFile:
    """One file of tensors: its size in bytes, its hash, and how its floating-point numbers are stored."""

    file: Literal["model.safetensors", "discriminator.safetensors"]
    size: int
    sha256: str
    dtype: Literal["float32", "float16", "bfloat16"]


@dataclass(frozen=True, kw_only=True)
class ModelConfig:
    """The content of a model's config.json; `docs/weights.md` documents its keys.

    `training` is a summary for people and model cards, without effect on loading. `metrics` are numbers by name, with
    the feature extractor ("frechet[fashion-cnn]"). `weights` is None only until the generator is written.
    """

    format: int = FORMAT
    variant: str
    generator: Part
    image: SampleSpec
    latent_dim: int
    classes: tuple[str, ...] = ()
    provider: Provider
    license: str
    weights: WeightsFile | None = None
    discriminator: Part | None = None
    discriminator_weights: WeightsFile | None = None
    training: dict[str, Any] = field(default_factory=dict)
    metrics: dict[str, float] = field(default_factory=dict)
    task: str = "generation"
    inputs: dict[str, Part | None] = field(default_factory=dict)

    def as_json(self) -> str:
        """Returns the text of config.json.

        CheckpointError if it holds a number that is not finite, or is longer than what is read.
        """
        try:
            text = json.dumps(self._plain(), indent=2, allow_nan=False) + "\n"
        except ValueError:
            raise CheckpointError(
                "config.json: training or metrics holds a number that is not finite, which JSON cannot."
            ) from None
        if len(text) > CONFIG_BYTES:
            raise CheckpointError(f"config.json would have {len(text)} bytes, at most {CONFIG_BYTES} are read.")
        return text

    def _plain(self) -> dict[str, Any]:
        """Plain JSON values; `task` and `inputs` only if they say more than their defaults."""
        plain = {**asdict(self), "image": spec_as_json(self.image)}
        defaults = {"task": "generation", "inputs": {}}
        return {key: value for key, value in plain.items() if key not in defaults or value != defaults[key]}


def read_model_config(path: Path) -> ModelConfig:
    """Reads and checks the config.json at `path`; CheckpointError names the key and the problem."""
    return checked_config(read_json(path, limit=CONFIG_BYTES, depth=16), str(path))


def checked_config(data: Any, where: str) -> ModelConfig:
    """Builds a configuration from plain JSON values; CheckpointError `<where>: <key>: <problem>` for a wrong one."""
    if not isinstance(data, dict) or "format" not in data:
        raise CheckpointError(f"{where} is not the configuration of a model.")
    if type(data["format"]) is not int or data["format"] != FORMAT:
        raise CheckpointError(
            f"{where}: format: {quoted(data['format'])} is not one that this ganzoo reads ({FORMAT}); update ganzoo."
        )
    if "licence" in data and "license" not in data:  # the key's name until version 0.1
        data = {{"licence": "license"}.get(key, key): value for key, value in data.items()}
    fields = ModelConfig.__dataclass_fields__
    for key in data:
        if key not in fields:
            raise CheckpointError(f"{where}: {in_path(key)}: unknown key.{did_you_mean(key[:100], fields)}")
    hints, values = get_type_hints(ModelConfig), {}
    for key in fields:
        if key in data:
            value = general_spec(data[key], f"{where}: {key}") if key == "image" else data[key]
            values[key] = from_json(value, hints[key], f"{where}: {key}")
        elif fields[key].default is MISSING and fields[key].default_factory is MISSING:
            raise CheckpointError(f"{where}: {key}: is missing")
    config = ModelConfig(**values)
    for mistake in _mistakes(config):
        raise CheckpointError(f"{where}: {mistake}")
    return config


def _mistakes(config: ModelConfig) -> list[str]:
    """Returns the mistakes that the types of the keys do not rule out."""
    found = spec_mistakes(config.image)
    try:
        check_name(config.variant)
    except ValueError:
        found.append(f"variant: {quoted(config.variant)} cannot name one: use 1 to 64 of a-z, 0-9, '.', '_' and '-'")
    files = {
        "weights": (config.weights, GENERATOR_FILE),
        "discriminator_weights": (config.discriminator_weights, DISCRIMINATOR_FILE),
    }
    for key, (weights, name) in files.items():
        if weights is not None and (
            weights.file != name or not 10 <= weights.size <= LARGEST_FILE or not SHA256.fullmatch(weights.sha256)
        ):
            found.append(f"{key}: must name {name}, its size in bytes and its sha256 in 64 small hex digits")
    if config.weights is None:
        found.append("weights: is missing")
    if config.discriminator_weights is not None and config.discriminator is None:
        found.append("discriminator: is missing, although there are discriminator_weights")
    least = 0 if config.image.sources else 1  # nothing but a source may replace the latent
    if not least <= config.latent_dim <= LARGEST_OPTION:
        found.append(f"latent_dim: {quoted(config.latent_dim)} is out of range ({least} to {LARGEST_OPTION})")
    if config.classes and len(config.classes) != config.image.classes:
        found.append(f"classes: {len(config.classes)} names for the {config.image.classes} classes of image")
    if config.provider.distribution and not DISTRIBUTION.fullmatch(config.provider.distribution):
        found.append(f"provider: {quoted(config.provider.distribution)} cannot name a distribution")
    lines = {
        "license": [config.license],
        "provider": [config.provider.version],
        "classes": config.classes,
        "metrics": config.metrics,
        "task": [config.task],
        "inputs": config.inputs,
    }
    for key, texts in lines.items():
        if (wrong := next((text for text in texts if not _is_line(text)), None)) is not None:
            found.append(f"{key}: {quoted(wrong)} is not one line of at most {LONGEST_LINE} characters")
    optional = {"discriminator": config.discriminator} | {f"inputs.{name}": one for name, one in config.inputs.items()}
    parts = {"generator": config.generator} | {path: part for path, part in optional.items() if part is not None}
    if unknown := set(config.inputs) - set(config.image.sources):
        found.append(f"inputs: {', '.join(map(quoted, sorted(unknown)))} is no input of image")
    return found + option_bounds_of(parts)


def check_license(name: str | None) -> None:
    """UsageError for a license that is nothing but blanks."""
    if name is not None and not name.strip():
        raise UsageError("A license is a name such as MIT or CC-BY-4.0, not blanks: leave it out if none is stated.")


def check_class_names(names: Sequence[str]) -> None:
    """UsageError for a name of a class that config.json cannot hold."""
    if (wrong := next((name for name in names if not _is_line(name)), None)) is not None:
        raise UsageError(
            f"The name of class {quoted(wrong)} has {len(wrong)} characters: a model's config.json holds one printable "
            f"line of at most {LONGEST_LINE}. Rename the class."
        )


def warn_of_class_names(names: Sequence[str]) -> None:
    """Logs a warning if config.json cannot hold all the names of classes."""
    size = len(json.dumps(names, indent=2))
    if size > CONFIG_BYTES:
        log.warning(
            f"The names of the {len(names)} classes take {size} bytes, and a model's config.json at most "
            f"{CONFIG_BYTES}: this run can be sampled, and not be published ({SEE_OTHER})."
        )


def _is_line(text: str) -> bool:
    return len(text) <= LONGEST_LINE and text.isprintable()
