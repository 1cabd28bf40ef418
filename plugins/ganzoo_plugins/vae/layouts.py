"""The tensor names of pytorch/examples `vae/main.py`, which stores decoder and encoder in one module."""

from __future__ import annotations

import math
from collections.abc import Mapping

from torch import Tensor

from ganzoo import ImageSpec, Part
from ganzoo.layouts import Layout, Match, Shapes

DECODER = ("fc3", "fc4")


class PytorchExamplesVAE(Layout):
    """`fc1`, `fc21`, `fc22` (the encoder, which sampling does not need) and `fc3`, `fc4` (the decoder)."""

    variants = ("vae",)
    summary = "pytorch/examples vae/main.py (the whole module; its decoder is taken)"

    def recognize(self, shapes: Shapes) -> Match | None:
        weight, last = shapes.get("fc3.weight", ()), shapes.get("fc4.weight", ())
        if len(weight) != 2 or len(last) != 2:
            return None
        (width, latent_dim), pixels = weight, last[0]
        encoder = {"fc1": (width, pixels), "fc21": (latent_dim, width), "fc22": (latent_dim, width)}
        expected = with_biases({"fc3": (width, latent_dim), "fc4": (pixels, width)} | encoder)
        image = next((ImageSpec(side, channels) for channels in (1, 3) if (side := whole_root(pixels, channels))), None)
        if image is None or dict(shapes) != expected:
            return None
        note = "The encoder, which sampling does not need, was left out."
        return Match(Part("vae", {"latent_dim": latent_dim, "width": width}), image, note=note)

    def convert(self, tensors: Mapping[str, Tensor], match: Match) -> dict[str, Tensor]:
        return {f"{layer}.{kind}": tensors[f"{layer}.{kind}"] for layer in DECODER for kind in ("weight", "bias")}


def with_biases(layers: dict[str, tuple[int, int]]) -> dict[str, tuple[int, ...]]:
    """Returns names and shapes of linear layers with their biases."""
    return {
        f"{name}.{kind}": shape if kind == "weight" else shape[:1]
        for name, shape in layers.items()
        for kind in ("weight", "bias")
    }


def whole_root(pixels: int, channels: int) -> int:
    """Returns the side of a square of `pixels` numbers in `channels`, 0 if there is none."""
    side = math.isqrt(pixels // channels)
    return side if channels * side * side == pixels else 0
