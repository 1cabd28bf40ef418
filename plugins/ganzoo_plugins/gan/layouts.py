"""The tensor names of tutorials' GANs that consist of linear layers alone."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import Literal

from torch import Tensor

from ganzoo import ImageSpec, Part, SampleSpec
from ganzoo.layouts import Layout, Match, Shapes

LAYER = re.compile(r"(?:[a-z]\w*\.)?(\d{1,3})\.(weight|bias)")


class Perceptrons(Layout):
    """Linear layers in one Sequential, of any depth, with activations between: `0.weight`, `gen.0.weight` and so on.

    A file does not contain the activation. ReLU is assumed, as in yunjey/pytorch-tutorial; names with a prefix before
    the numbers are taken for Aladdin Persson's tutorial, whose leaky ReLU has a slope of 0.01.
    """

    variants = ("gan-mlp-modern",)
    summary = (
        "linear layers in one Sequential, without normalization (yunjey/pytorch-tutorial, Aladdin Persson's first GAN)"
    )

    def recognize(self, shapes: Shapes) -> Match | None:
        layers = numbered(shapes)
        weights = [shapes[names["weight"]] for _, names in sorted(layers.items())]
        if (
            len(weights) < 2
            or any(len(shape) != 2 for shape in weights)
            or list(sorted(layers)) != list(range(0, 2 * len(weights), 2))
        ):
            return None
        if any(shapes[names["bias"]] != shapes[names["weight"]][:1] for names in layers.values()):
            return None
        if any(inner[0] != outer[1] for inner, outer in zip(weights, weights[1:], strict=False)):
            return None
        judges = weights[-1][0] == 1
        image = square(weights[0][1] if judges else weights[-1][0])
        slope = 0.0 if "0.weight" in shapes else 0.01
        options = {"hidden": [shape[0] for shape in weights[:-1]], "slope": slope}
        if not judges:
            options |= {"latent_dim": weights[0][1], "normalize": False}
        note = f"The activations, which the file does not name, were taken for leaky ReLUs of slope {slope:g}."
        role: Literal["generator", "discriminator"] = "discriminator" if judges else "generator"
        return Match(Part("mlp", options), image, role, note) if image else None

    def convert(self, tensors: Mapping[str, Tensor], match: Match) -> dict[str, Tensor]:
        first = 1 if match.role == "discriminator" else 0  # ours flattens the images in layer 0
        layers = numbered({name: tuple(tensor.shape) for name, tensor in tensors.items()})
        return {
            f"main.{number + first}.{kind}": tensors[name]
            for number, names in layers.items()
            for kind, name in names.items()
        }


def numbered(shapes: Shapes) -> dict[int, dict[str, str]]:
    """Returns the names of weight and bias by the number of their layer.

    Empty if a name is not of such a layer or one of a pair is missing.
    """
    layers: dict[int, dict[str, str]] = {}
    prefixes = {name.rpartition(".")[0].rpartition(".")[0] for name in shapes}
    for name in shapes:
        found = LAYER.fullmatch(name)
        if not found or len(prefixes) > 1:
            return {}
        layers.setdefault(int(found[1]), {})[found[2]] = name
    return layers if all(len(names) == 2 for names in layers.values()) else {}


def square(pixels: int) -> SampleSpec | None:
    """Returns the image of so many numbers: grey if that is a square, colour if a third of it is."""
    for channels in (1, 3):
        side = math.isqrt(pixels // channels)
        if side > 1 and channels * side * side == pixels:
            return ImageSpec(side, channels)
    return None
