"""The tensor names of ajbrock/BigGAN-PyTorch."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from functools import lru_cache

import torch
from torch import Tensor

from ganzoo import ImageSpec, Part, SampleSpec
from ganzoo.layouts import Layout, Match, Shapes

from .model import DISCRIMINATOR, GENERATOR, BigGANDiscriminator, BigGANGenerator

LAYERS = {"conv1": "convolution1", "conv2": "convolution2", "conv_sc": "shortcut", "bn1": "norm1", "bn2": "norm2"}
ATTENTION = {"theta": "query", "phi": "key", "g": "value", "o": "output", "gamma": "scale"}
ENDINGS = {"u0": "u", "stored_mean": "running_mean", "stored_var": "running_var"}
COUNTER = "num_batches_tracked"


def shapes_of(match: Match) -> dict[str, tuple[int, ...]]:
    """Returns names and shapes of the state of a match's network, built on the meta device."""
    return _shapes(match.role, match.image, tuple(match.part.options.items()))


@lru_cache(maxsize=8)
def _shapes(role: str, image: SampleSpec, options: tuple) -> dict[str, tuple[int, ...]]:
    made = BigGANGenerator if role == "generator" else BigGANDiscriminator
    with torch.device("meta"):
        network = made(image, **dict(options), initialization="normal")
    return {name: tuple(value.shape) for name, value in network.state_dict().items()}


def our_name(name: str, role: str) -> str:
    """Returns our name of an official tensor; "" for the singular values, which are stored for logging alone."""
    first, *rest = name.split(".")
    if rest and rest[-1] == "sv0":
        return ""
    rest = [ENDINGS.get(part, part) for part in rest]
    if first == "blocks" and len(rest) > 2:
        number, place, layer, *ending = rest
        if layer in ("bn1", "bn2") and ending:
            ending = (
                ["normalize", *ending]
                if ending[0].startswith("running")
                else [{"bias": "shift"}.get(ending[0], ending[0]), *ending[1:]]
            )
        if place == "0":
            return ".".join(["blocks", number, place, LAYERS.get(layer, layer), *ending])
        return ".".join(["blocks", number, place, ATTENTION.get(layer, layer), *ending])
    if first == "output_layer" and rest:
        number, *ending = rest
        ending = [{"gain": "weight"}.get(part, part) for part in ending] if number == "0" else ending
        return ".".join(["output", number, *ending])
    ends = {"linear": "input.0" if role == "generator" else "output", "embed": "embedding"}
    return ".".join([ends.get(first, first), *rest])


class AjbrockBigGAN(Layout):
    """`G_ema.pth`, `G.pth` and `D.pth` of the official PyTorch code, 32 to 256 px, with any kind of embedding."""

    variants = ("biggan", "biggan-cifar")
    summary = "ajbrock/BigGAN-PyTorch, 32 to 256 px (G, G_ema and D)"

    def recognize(self, shapes: Shapes) -> Match | None:
        match = self._generator(shapes) or self._discriminator(shapes)
        if match is None:
            return None
        try:
            ours = {name: shape for name, shape in shapes_of(match).items() if not name.endswith(COUNTER)}
        except ValueError:
            return None
        found = {our_name(name, match.role): shape for name, shape in shapes.items()}
        found.pop("", None)
        return (
            match
            if ours == {name: shape[-1:] if name.endswith(".u") else shape for name, shape in found.items()}
            else None
        )

    def convert(self, tensors: Mapping[str, Tensor], match: Match) -> dict[str, Tensor]:
        made = {our_name(name, match.role): tensor for name, tensor in tensors.items()}
        made = {name: tensor.flatten() if name.endswith(".u") else tensor for name, tensor in made.items()}
        return {name: made[name] if not name.endswith(COUNTER) else torch.tensor(0) for name in shapes_of(match)}

    def _generator(self, shapes: Shapes) -> Match | None:
        blocks = [int(found[1]) for name in shapes if (found := re.fullmatch(r"blocks\.(\d)\.0\.conv1\.weight", name))]
        size = {len(times) - 1: size for size, times in GENERATOR.items()}.get(len(blocks))
        first, last = shapes.get("linear.weight", ()), shapes.get("output_layer.2.weight", ())
        gain = shapes.get("blocks.0.0.bn1.gain.weight", ())
        if size is None or len(first) != 2 or len(last) != 4 or last[0] not in (1, 3) or len(gain) != 2:
            return None
        shared = shapes.get("shared.weight", ())
        hierarchical = len(shared) == 2 and gain[1] != shared[1]
        options = {
            "latent_dim": first[1] * (len(blocks) + 1 if hierarchical else 1),
            "width": last[1] // GENERATOR[size][-1],
            "hierarchical": hierarchical,
            "shared_dim": shared[1] if shared else 0,
            "attention": self._attention(shapes, lambda number: 8 * 2**number),
        }
        return Match(Part("biggan", options), ImageSpec(size, last[0], (shared or gain)[0]))

    def _discriminator(self, shapes: Shapes) -> Match | None:
        first, table = shapes.get("blocks.0.0.conv1.weight", ()), shapes.get("embed.weight", ())
        blocks = sum(1 for name in shapes if re.fullmatch(r"blocks\.\d\.0\.conv1\.weight", name))
        size = {len(times): size for size, (times, _) in DISCRIMINATOR.items()}.get(blocks)
        if size is None or len(first) != 4 or first[1] not in (1, 3) or len(table) != 2:
            return None
        attention = self._attention(shapes, lambda number: max(size >> number + 1, 16 if size == 32 else 4))
        options = {"width": first[0] // DISCRIMINATOR[size][0][0], "attention": attention}
        return Match(Part("biggan", options), ImageSpec(size, first[1], table[0]), role="discriminator")

    @staticmethod
    def _attention(shapes: Shapes, size_after: Callable[[int], int]) -> int:
        """Returns the image size in pixels after whose block attention follows; 0 if there is none."""
        numbers = [int(found[1]) for name in shapes if (found := re.fullmatch(r"blocks\.(\d)\.1\.gamma", name))]
        return size_after(numbers[0]) if numbers else 0
