"""The config.json of a model folder: what a generator is, where it came from, and the hash of its weights."""

from __future__ import annotations

import json
import re
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

from ..config import LARGEST_OPTION, from_json, image_from_json, option_bounds_of
from ..errors import CheckpointError, did_you_mean
from ..files import read_json, shorten
from ..variant import ImageSpec, Part, check_name

FORMAT = 1
CONFIG_BYTES = 64 * 2**10
GENERATOR_FILE = "model.safetensors"
DISCRIMINATOR_FILE = "discriminator.safetensors"
SHA256 = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True, kw_only=True)
class Provider:
    """The distribution that provides the variant: what to install where nobody does."""

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
    """Everything that a config.json of a model says. Its keys are documented in `docs/weights.md`.

    `training` is a summary for people and model cards and decides nothing; `metrics` are numbers by name, the name of the
    feature extractor included ("frechet[fashion-cnn]"). `weights` is None only while a generator has not been written.
    """

    format: int = FORMAT
    variant: str
    generator: Part
    image: ImageSpec
    latent_dim: int
    classes: tuple[str, ...] = ()
    provider: Provider
    licence: str
    weights: WeightsFile | None = None
    discriminator: Part | None = None
    discriminator_weights: WeightsFile | None = None
    training: dict[str, Any] = field(default_factory=dict)
    metrics: dict[str, float] = field(default_factory=dict)

    def as_json(self) -> str:
        """The text of config.json."""
        return json.dumps(asdict(self), indent=2, allow_nan=False) + "\n"


def read_model_config(path: Path) -> ModelConfig:
    """The config.json at `path`, every value of it checked; CheckpointError names the key and says why."""
    data = read_json(path, limit=CONFIG_BYTES, depth=16)
    if not isinstance(data, dict) or type(data.get("format")) is not int:
        raise CheckpointError(f"{path} is not the configuration of a model.")
    if data["format"] != FORMAT:
        raise CheckpointError(f"{path}: format {shorten(data['format'])} is not one that this ganzoo reads ({FORMAT}); update ganzoo.")
    for key in data:
        if key not in ModelConfig.__dataclass_fields__:
            raise CheckpointError(f"{path}: unknown key {shorten(key)}.{did_you_mean(key, ModelConfig.__dataclass_fields__)}")
    image_from_json(data.get("image"), str(path))
    config = from_json(data, ModelConfig, str(path))
    for mistake in _mistakes(config):
        raise CheckpointError(f"{path}: {mistake}")
    return config


def _mistakes(config: ModelConfig) -> list[str]:
    """What no key's type can say."""
    found = []
    try:
        check_name(config.variant)
    except ValueError as error:
        found.append(f"variant: {error}")
    files = {"weights": (config.weights, GENERATOR_FILE), "discriminator_weights": (config.discriminator_weights, DISCRIMINATOR_FILE)}
    for key, (weights, name) in files.items():
        if weights is not None and (weights.file != name or weights.size < 10 or not SHA256.fullmatch(weights.sha256)):
            found.append(f"{key}: must name {name}, its size in bytes and its sha256")
    if config.weights is None:
        found.append("weights: is missing")
    if not 1 <= config.latent_dim <= LARGEST_OPTION:
        found.append(f"latent_dim: {shorten(config.latent_dim)} is out of range")
    if config.classes and len(config.classes) != config.image.classes:
        found.append(f"classes: {len(config.classes)} names for {config.image.classes} classes")
    parts = {"generator": config.generator} | ({"discriminator": config.discriminator} if config.discriminator else {})
    return found + option_bounds_of(parts)
