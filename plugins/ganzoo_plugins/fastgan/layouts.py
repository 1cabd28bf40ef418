"""The tensor names of lucidrains/lightweight-gan, whose `model_N.pt` holds G, its average GE and D under `GAN`."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, TypeVar

import torch
from torch import Tensor

from ganzoo import ImageSpec, Part
from ganzoo.layouts import Layout, Match, Shapes

from .lightweight import SHARPEST, LightweightDiscriminator, LightweightGenerator

Network = LightweightGenerator | LightweightDiscriminator
Value = TypeVar("Value")

AVERAGE, WHOLE = "GE.", {"G", "GE", "D", "D_aug"}
NOISE = "Noise of evaluation is drawn once; the official code draws it anew for every image."
MOST_LAYERS = 8  # which make 1024 pixels


class LightweightGAN(Layout):
    """Tensors of `lightweight_gan.py`, version 1: a generator, a discriminator, or the whole GAN, of which GE is taken.

    Excitation by frequencies (`freq_chan_attn`) is none of ours.
    """

    variants = ("lightweight-gan",)
    summary = "lucidrains/lightweight-gan (model_N.pt: the averaged generator; --discriminator-key GAN.D)"

    def recognize(self, shapes: Shapes) -> Match | None:
        chosen = of_one_network(shapes)
        match = guess(chosen)
        if match is None:
            return None
        try:
            ours = network(match).state_dict()
        except (ValueError, RuntimeError):
            return None
        wanted = {name: tuple(value.shape) for name, value in ours.items() if not name.endswith(".noise")}
        return match if wanted == {name: tuple(shape) for name, shape in chosen.items()} else None

    def convert(self, tensors: Mapping[str, Tensor], match: Match) -> dict[str, Tensor]:
        random = torch.Generator().manual_seed(0)
        noise = {
            name: torch.randn(value.shape, generator=random)
            for name, value in network(match).state_dict().items()
            if name.endswith(".noise")
        }
        return {**of_one_network(tensors), **noise}


def of_one_network(tensors: Mapping[str, Value]) -> dict[str, Value]:
    """Returns the tensors of the averaged generator if those of the whole GAN are given, else all."""
    if {name.partition(".")[0] for name in tensors} - {"ema_updater"} != WHOLE:
        return dict(tensors)
    return {name.removeprefix(AVERAGE): value for name, value in tensors.items() if name.startswith(AVERAGE)}


def guess(shapes: Shapes) -> Match | None:
    """Returns the match that the decisive shapes suggest."""
    if "initial_conv.0.weight" in shapes:
        return guess_generator(shapes)
    return guess_discriminator(shapes) if "to_shape_disc_out.0.weight" in shapes else None


def guess_generator(shapes: Shapes) -> Match | None:
    """Returns the generator that the shapes of its convolutions suggest."""
    start, last = shapes["initial_conv.0.weight"], shapes.get("out_conv.weight", ())
    outputs = [shapes[name][0] // 2 for name in numbered(shapes, r"layers\.(\d)\.0\.2\.1\.weight")]
    if len(start) != 4 or len(last) != 4 or not 3 <= len(outputs) <= MOST_LAYERS or last[0] not in (1, 3, 4):
        return None
    places = (int(name.split(".")[1]) for name in numbered(shapes, r"layers\.(\d)\.2\.norm\.g"))
    power = min(len(outputs) + 1, SHARPEST - 1)  # of the last layer whose channels follow the rule
    options = {
        "latent_dim": start[0],
        "width": max(outputs),
        "finest": outputs[power - 2] << power >> 8,
        "attention": [4 << place for place in places],
        "antialias": "layers.0.0.1.f" in shapes,
    }
    return Match(Part("lightweight-gan", options), ImageSpec(4 << len(outputs), last[0]), note=NOISE)


def guess_discriminator(shapes: Shapes) -> Match | None:
    """Returns the discriminator that the shapes of its convolutions suggest."""
    first = shapes["to_shape_disc_out.0.weight"]
    outputs = [shapes[name][0] for name in numbered(shapes, r"residual_layers\.(\d)\.0\.branches\.0\.3\.weight")]
    halvings = len(numbered(shapes, r"non_residual_layers\.(\d)\.1\.weight"))
    if len(first) != 4 or not 1 <= len(outputs) <= MOST_LAYERS or first[1] not in (1, 3, 4) or halvings > 2:
        return None
    largest = 8 << len(outputs)
    places = (int(name.split(".")[1]) for name in numbered(shapes, r"residual_layers\.(\d)\.1\.norm\.g"))
    options = {
        "width": max(outputs),
        "finest": outputs[0] * (largest // 2) >> 8,
        "attention": sorted(largest >> place for place in places),
        "antialias": "residual_layers.0.0.branches.0.0.f" in shapes,
        "patches": "to_logits.0.weight" in shapes,
    }
    image = ImageSpec(largest << halvings, first[1])
    return Match(Part("lightweight-gan", options), image, role="discriminator")


def numbered(shapes: Shapes, pattern: str) -> list[str]:
    """Returns the names of the pattern that have a shape of four numbers, in the order of theirs."""
    return sorted(name for name, shape in shapes.items() if re.fullmatch(pattern, name) and len(shape) == 4)


def network(match: Match) -> Network:
    """Builds the network of a match on the meta device."""
    kind: Any = LightweightGenerator if match.role == "generator" else LightweightDiscriminator
    with torch.device("meta"):
        return kind(match.image, **match.part.options)
