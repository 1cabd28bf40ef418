"""Mixes the weights of two generators of one architecture, number by number: network interpolation."""

from __future__ import annotations

import copy
import math
from collections.abc import Mapping
from dataclasses import replace
from fractions import Fraction
from typing import Any

import torch
from torch import Tensor

from ganzoo.config.parts import options_of
from ganzoo.errors import UsageError
from ganzoo.files.text import quoted
from ganzoo.models.config import ModelConfig
from ganzoo.models.model import Model
from ganzoo.registry.registry import registry
from ganzoo.variant import Part, SampleSpec

UNKNOWN = "unknown"


def mix(first: Model, second: Model, alpha: float, names: tuple[str, str] | None = None) -> Model:
    """Returns a model whose weights are (1 - alpha) of the first's plus alpha of the second's.

    Wang et al. 2018 (ESRGAN, section 3.4) mix a network that was trained for PSNR with one that a GAN fine-tuned, and
    Real-ESRGAN's denoising strength two networks of one start: weights of independent trainings mix to nothing useful.
    Numbers are mixed in float64, counters are the first's. The result is of the first's variant, device and dtype; its
    config names both origins (`names`, if given) under `training.mixed`. UsageError unless `alpha` is in [0, 1] and
    both generators have the same part, options, tensors, channels and scale.
    """
    if not (isinstance(alpha, int | float) and math.isfinite(alpha) and 0 <= alpha <= 1):
        raise UsageError(f"alpha is the second model's share, a number from 0 to 1, not {alpha!r}.")
    if difference := _difference(first, second):
        raise UsageError(f"Only models of one architecture mix: {difference}.")
    generator = copy.deepcopy(first.generator)
    generator.load_state_dict(_mixed(first.generator.state_dict(), second.generator.state_dict(), alpha))
    mixed = {
        "alpha": alpha,
        "of": [_origin(model, name) for model, name in zip((first, second), names or ("", ""), strict=True)],
    }
    config = replace(
        first.config,
        license=_license(first.config.license, second.config.license),
        weights=None,
        discriminator=None,
        discriminator_weights=None,
        training={"mixed": mixed},
        metrics={},
    )
    return Model(generator, config)


def _mixed(first: Mapping[str, Tensor], second: Mapping[str, Tensor], alpha: float) -> dict[str, Tensor]:
    """Mixes tensors of equal names and shapes."""

    def one(name: str, ours: Tensor) -> Tensor:
        if not ours.is_floating_point():
            return ours
        theirs = second[name].to(ours.device, torch.float64)
        return ((1 - alpha) * ours.double() + alpha * theirs).to(ours.dtype)

    return {name: one(name, ours) for name, ours in first.items()}


def _difference(first: Model, second: Model) -> str:
    """Says in what two architectures differ, the first difference alone; empty if they are the same."""
    parts = first.config.generator, second.config.generator
    if parts[0].name != parts[1].name:
        return f"the first is the generator {quoted(parts[0].name)}, the second {quoted(parts[1].name)}"
    shapes = [
        {name: tuple(tensor.shape) for name, tensor in model.generator.state_dict().items()}
        for model in (first, second)
    ]
    for name in [*shapes[0], *shapes[1]]:
        if shapes[0].get(name) != shapes[1].get(name):
            ours, theirs = (str(of.get(name, "not there")) for of in shapes)
            return f"{quoted(name)} is {ours} in the first and {theirs} in the second"
    options = [_options(part) for part in parts]
    for name in {**options[0], **options[1]}:
        if options[0].get(name) != options[1].get(name):
            ours, theirs = (quoted(of.get(name)) for of in options)
            return f"the option {name} is {ours} in the first and {theirs} in the second"
    for key, (ours, theirs) in _facts(first, second).items():
        if ours != theirs:
            return f"{key}: {ours} in the first and {theirs} in the second"
    return ""


def _options(part: Part) -> dict[str, Any]:
    """Returns the options of a part, those that it leaves out with their defaults where a plugin provides it."""
    if part.name not in registry().names("generators"):
        return dict(part.options)
    known = options_of(registry().get("generators", part.name))
    defaults = {name: one.default for name, one in known.items() if one.default is not one.empty}
    return {**defaults, **part.options}


def _facts(first: Model, second: Model) -> dict[str, tuple[Any, Any]]:
    """Returns what else decides the images of the two models, in words, but the size of those that take any."""
    pairs = {name: (_of(first.image), _of(second.image)) for name, _of in (("images", _pictures), ("inputs", _sources))}
    return {**pairs, "classes": (list(first.config.classes), list(second.config.classes))}


def _pictures(image: SampleSpec) -> str:
    shape = image.output.shape[:1] if image.sources else image.output.shape
    return f"{image.output.kind} {shape}, {image.classes} classes"


def _sources(image: SampleSpec) -> str:
    """Returns the kind, channels and relative size of every source."""
    scales = {
        name: [
            str(Fraction(after, before)) for after, before in zip(image.output.shape[1:], one.shape[1:], strict=True)
        ]
        for name, one in image.sources.items()
    }
    return ", ".join(f"{name} {one.kind} {one.shape[:1]} ×{scales[name]}" for name, one in image.sources.items())


def _origin(model: Model, name: str) -> dict[str, Any]:
    """Returns what config.json says of one of the two: its variant, license, hash, and how it came about."""
    config: ModelConfig = model.config
    said: dict[str, Any] = {"model": name, "variant": config.variant, "license": config.license}
    said["sha256"] = config.weights.sha256 if config.weights is not None else None
    kept = ("converted_from", "layout", "mixed", "command", "steps", "data")
    said["training"] = {key: config.training[key] for key in kept if key in config.training}
    return {key: value for key, value in said.items() if value not in ("", None, {})}


def _license(first: str, second: str) -> str:
    """Returns the license of a mixture, which both origins bind, as an SPDX expression; unknown if one is."""
    return first if first == second else UNKNOWN if UNKNOWN in (first, second) else f"{first} AND {second}"
