"""The tensor names of brownvc/R3GAN, whose checkpoints are pickles of whole objects."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TypeVar

import torch
from torch import Tensor

from ganzoo import ImageSpec, Part
from ganzoo.layouts import Layout, Match, Shapes

from .model import R3GANDiscriminator, R3GANGenerator

Network = R3GANGenerator | R3GANDiscriminator
Value = TypeVar("Value")

WRAPPER = "Model."
STAGE = re.compile(r"MainLayers\.(\d{1,2})\.Layers\.(\d{1,2})\.LinearLayer2\.Layer\.weight")
LARGEST = 1024
BLOCK = {
    "LinearLayer1.Layer.weight": "expand.weight",
    "NonLinearity1.Bias": "activation1.bias",
    "LinearLayer2.Layer.weight": "mix.weight",
    "NonLinearity2.Bias": "activation2.bias",
    "LinearLayer3.Layer.weight": "contract.weight",
}
RESAMPLING = {"Resampler.Kernel": "kernel", "LinearLayer.Layer.weight": "project.weight"}


class R3GAN(Layout):
    """`MainLayers.<stage>.Layers.<i>` of `R3GAN/Networks.py`, both networks, with or without the wrapper's `Model.`."""

    variants = ("r3gan", "r3gan-64", "r3gan-256", "r3gan-imagenet-32", "r3gan-imagenet-64")
    summary = "brownvc/R3GAN (.pkl, or a state_dict of G, G_ema or D)"

    def recognize(self, shapes: Shapes) -> Match | None:
        shapes = without_wrapper(shapes)
        match = guess(shapes)
        if match is None:
            return None
        try:
            ours = network(match)
        except (ValueError, RuntimeError):
            return None
        found = {
            name: tuple(shape)[::-1] if name == "label.weight" else tuple(shape)
            for name, shape in renamed(shapes, ours).items()
        }
        return match if found == {name: tuple(value.shape) for name, value in ours.state_dict().items()} else None

    def convert(self, tensors: Mapping[str, Tensor], match: Match) -> dict[str, Tensor]:
        found = renamed(without_wrapper(tensors), network(match))
        if "label.weight" in found:  # there a linear layer of one-hot vectors
            found["label.weight"] = found["label.weight"].T.contiguous()
        return found


def without_wrapper(tensors: Mapping[str, Value]) -> dict[str, Value]:
    """Strips the `Model.` of the official wrapper if every name has it."""
    wrapped = all(name.startswith(WRAPPER) for name in tensors)
    return {name.removeprefix(WRAPPER) if wrapped else name: value for name, value in tensors.items()}


def guess(shapes: Shapes) -> Match | None:
    """Returns the match that the decisive shapes suggest."""
    blocks = sorted((int(match[1]), int(match[2])) for name in shapes if (match := STAGE.fullmatch(name)))
    if not blocks:
        return None
    last = blocks[-1][0]
    per_stage = [[number for stage, number in blocks if stage == wanted] for wanted in range(last + 1)]
    mixes = [
        shapes.get(f"MainLayers.{stage}.Layers.{numbers[0]}.LinearLayer2.Layer.weight", ())
        for stage, numbers in enumerate(per_stage)
        if numbers
    ]
    if len(mixes) != last + 1 or any(len(shape) != 4 for shape in mixes):
        return None
    drawn = "AggregationLayer.Layer.weight" in shapes
    mixes = mixes if drawn else mixes[::-1]
    widths, embedding = [shape[0] // 2 for shape in mixes], shapes.get("EmbeddingLayer.weight", (0, 0))
    border = shapes.get("AggregationLayer.Layer.weight" if drawn else "ExtractionLayer.Layer.weight", ())
    basis = shapes.get(
        "MainLayers.0.Layers.0.Basis" if drawn else f"MainLayers.{last}.Layers.{len(per_stage[-1])}.Basis.weight", ()
    )
    if (
        len(border) != 4
        or len(embedding) != 2
        or len(basis) != (3 if drawn else 4)
        or not 1 <= basis[-1] << last <= LARGEST
    ):
        return None
    channels = border[0 if drawn else 1]
    if channels not in (1, 3):
        return None
    options = {
        "width": widths[0],
        "group_width": mixes[0][1],
        "blocks": len(per_stage[0]),
        "full_width_stages": sum(width == widths[0] for width in widths),
    }
    image = ImageSpec(basis[-1] << last, channels, embedding[1])
    if not drawn:
        return Match(Part("r3gan", options), image, role="discriminator")
    scale = shapes.get("MainLayers.0.Layers.0.LinearLayer.weight", ())
    if len(scale) != 2:
        return None
    label = {"label_size": embedding[0]} if embedding[1] else {}
    note = "Images are clamped to [-1, 1] when sampling."
    return Match(Part("r3gan", {"latent_dim": scale[1] - embedding[0], **options, **label}), image, note=note)


def network(match: Match) -> Network:
    """Builds the network of a match on the meta device."""
    kind = R3GANGenerator if match.role == "generator" else R3GANDiscriminator
    with torch.device("meta"):
        return kind(match.image, **match.part.options)


def renamed(tensors: Mapping[str, Value], ours: Network) -> dict[str, Value]:
    """Returns the same values by our names; unknown names stay, so that a comparison fails."""
    return {our_name(name, ours): value for name, value in tensors.items()}


def our_name(name: str, ours: Network) -> str:
    """Returns our name of one of their tensors in a network like `ours`."""
    drawn = isinstance(ours, R3GANGenerator)
    fixed = {"EmbeddingLayer.weight": "label.weight"}
    fixed["AggregationLayer.Layer.weight" if drawn else "ExtractionLayer.Layer.weight"] = (
        f"main.{len(ours.main) - 1 if drawn else 0}.weight"
    )
    place = re.fullmatch(r"MainLayers\.(\d{1,2})\.Layers\.(\d{1,2})\.(.+)", name)
    if place is None:
        return fixed.get(name, name)
    stage, layer, rest = int(place[1]), int(place[2]), place[3]
    if drawn and (stage, layer) == (0, 0):
        return {"Basis": "main.0.maps", "LinearLayer.weight": "main.0.scale.weight"}.get(rest, name)
    if not drawn and rest in ("Basis.weight", "LinearLayer.weight"):
        return {"Basis.weight": "basis.weight", "LinearLayer.weight": "output.weight"}[rest]
    inside = BLOCK.get(rest) or RESAMPLING.get(rest)
    return f"main.{stage * layers_a_stage(ours) + layer + (not drawn)}.{inside}" if inside else name


def layers_a_stage(ours: Network) -> int:
    """Returns the number of modules of a stage: its blocks and one resampling."""
    return ours.blocks + 1
