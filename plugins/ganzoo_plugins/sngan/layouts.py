"""The tensor names of kwotsin/mimicry's SNGAN and projection discriminator."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import lru_cache

import torch
from torch import Tensor

from ganzoo import ImageSpec, Part, SampleSpec
from ganzoo.layouts import Layout, Match, Shapes

from .model import DISCRIMINATOR, GENERATOR, SNGANDiscriminator, SNGANGenerator

SIZES = {3: 32, 4: 64, 5: 128}  # by the number of the generator's blocks; mimicry's other sizes have other networks
LAYERS = {"c1": "convolution1", "c2": "convolution2", "c_sc": "shortcut", "b1": "norm1", "b2": "norm2"}
ENDINGS = {"weight_orig": "weight", "weight_u": "u", "sn_u": "u", "embed.weight": "embed"}
FORGOTTEN = ("weight_v", "sn_sigma")  # follow from the others


def shapes_of(match: Match) -> dict[str, tuple[int, ...]]:
    """Returns names and shapes of the state of a match's network, built on the meta device."""
    return _shapes(match.role, match.image, tuple(match.part.options.items()))


@lru_cache(maxsize=8)
def _shapes(role: str, image: SampleSpec, options: tuple) -> dict[str, tuple[int, ...]]:
    made = SNGANGenerator if role == "generator" else SNGANDiscriminator
    with torch.device("meta"):
        network = made(image, **dict(options))
    return {name: tuple(value.shape) for name, value in network.state_dict().items()}


def our_name(name: str, role: str) -> str:
    """Returns our name of mimicry's tensor; "" for tensors that ours lack. The table "embed" holds two of ours."""
    layer, _, ending = name.partition(".")
    if ending.endswith(FORGOTTEN):
        return ""
    if block := re.fullmatch(r"block([1-9])", layer):
        number = int(block[1]) - (2 if role == "generator" else 1)
        part, _, ending = ending.partition(".")
        if part in ("b1", "b2") and ending.startswith("bn."):
            ending = ending.replace("bn", "normalize", 1)
        return f"blocks.{number}.{LAYERS.get(part, part)}.{ENDINGS.get(ending, ending)}"
    ends = (
        {"l1": "input.0", "b": "output.0", "c": "output.2"}
        if role == "generator"
        else {"l": "output", "l_y": "embedding"}
    )
    kind = layer if layer in ends else layer.rstrip("567")
    return f"{ends.get(kind, layer)}.{ENDINGS.get(ending, ending)}"


class MimicrySNGAN(Layout):
    """`l1`, `block2` ... of torch_mimicry's SNGAN for 32, 64 and 128 pixels, which doubles pixels bilinearly."""

    variants: tuple[str, ...] = ("sngan",)
    summary = "kwotsin/mimicry SNGAN, 32, 64 and 128 px (generator and discriminator)"
    conditional = False
    note = "Pixels are doubled bilinearly and batch norm adds 1e-5, as in mimicry."

    def recognize(self, shapes: Shapes) -> Match | None:
        match = self._generator(shapes) or self._discriminator(shapes)
        if match is None or bool(match.image.classes) is not self.conditional:
            return None
        mapped = [(our_name(name, match.role), shape) for name, shape in shapes.items()]
        found = {name: shape for name, shape in mapped if name}
        for name, shape in list(found.items()):
            if name.endswith(".embed"):
                del found[name]
                found |= {f"{name[:-5]}{half}.weight": (shape[0], shape[1] // 2) for half in ("gain", "shift")}
            elif name.endswith(".u"):
                found[name] = shape[-1:]
        return match if found == shapes_of(match) else None

    def convert(self, tensors: Mapping[str, Tensor], match: Match) -> dict[str, Tensor]:
        made: dict[str, Tensor] = {}
        for theirs, tensor in tensors.items():
            name = our_name(theirs, match.role)
            if name.endswith(".embed"):
                gain, shift = tensor.chunk(2, 1)
                made |= {f"{name[:-5]}gain.weight": gain - 1, f"{name[:-5]}shift.weight": shift}
            elif name:
                made[name] = tensor.flatten() if name.endswith(".u") else tensor
        return {name: made[name] for name in shapes_of(match)}

    def _generator(self, shapes: Shapes) -> Match | None:
        blocks = sum(1 for name in shapes if re.fullmatch(r"block\d\.c1\.weight", name))
        first, last = shapes.get("l1.weight", ()), shapes.get(f"c{blocks + 2}.weight", ())
        if blocks not in SIZES or len(first) != 2 or len(last) != 4 or last[0] not in (1, 3):
            return None
        table = shapes.get("block2.b1.embed.weight", (0,))
        size = SIZES[blocks]
        options = {
            "latent_dim": first[1],
            "width": last[1] // GENERATOR[size][-1],
            "upsampling": "bilinear",
            "epsilon": 1e-5,
        }
        return Match(Part("sngan", options), ImageSpec(size, last[0], table[0]), note=self.note)

    def _discriminator(self, shapes: Shapes) -> Match | None:
        blocks = sum(1 for name in shapes if re.fullmatch(r"block\d\.c1\.weight_orig", name))
        first = shapes.get("block1.c1.weight_orig", ())
        size = {len(DISCRIMINATOR[size]): size for size in SIZES.values()}.get(blocks)
        if size is None or len(first) != 4 or first[1] not in (1, 3):
            return None
        classes = shapes.get("l_y.weight", (0,))[0]
        options = {"width": first[0] // DISCRIMINATOR[size][0], "bias": True, "activated_shortcut": True}
        return Match(Part("sngan", options), ImageSpec(size, first[1], classes), role="discriminator")


class MimicryProjection(MimicrySNGAN):
    """The same with labels: tables `embed` of scales and shifts, and an embedding `l_y` of each class."""

    variants = ("cgan-pd",)
    summary = "kwotsin/mimicry cGAN-PD, 32 px (generator and discriminator)"
    conditional = True
