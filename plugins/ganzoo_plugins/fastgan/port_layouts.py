"""The tensor names of FastGAN's generator in autonomousvision/projected-gan, and in stylegan-xl, which has a copy."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from ganzoo import ImageSpec, Part
from ganzoo.errors import CheckpointError
from ganzoo.layouts import Layout, Match, Shapes

from .generator import SHARES, FastGANGenerator
from .layers import times

START, CONDITIONAL = "synthesis.init.init.0.weight_orig", "synthesis.embed.weight"
DISCRIMINATOR = ("feature_network.", "feature_networks.")
SIZES = (128, 256, 512, 1024)  # for which the port's networks run
ALWAYS = 256  # pixels of the last block and excitation that the port makes for smaller images too, and does not use
WIDEST = 4096
NOISE = "Noise of evaluation is drawn once; the official code draws it anew for every image. "
NOTE = "Images are clamped to [-1, 1] when sampling."


class ProjectedGAN(Layout):
    """`G` and `G_ema` of the configurations fastgan and fastgan_lite, without labels."""

    variants = ("projected-gan",)
    summary = "autonomousvision/projected-gan, fastgan and fastgan_lite (.pkl, or a state_dict of G or G_ema)"

    def recognize(self, shapes: Shapes) -> Match | None:
        if any(name.startswith(DISCRIMINATOR) for name in shapes):
            raise CheckpointError(
                "it holds a discriminator of Projected GAN or StyleGAN-XL, which is not read: its feature network is a "
                "file of its own here; a key such as G_ema takes the generator."
            )
        if START not in shapes:
            return None
        if CONDITIONAL in shapes:
            raise CheckpointError(
                "it holds FastGAN's generator with labels (synthesis.embed, and batch norm whose scales are made of "
                "it): the generator here takes no labels, so it cannot be converted."
            )
        match = guess(shapes)
        if match is None or used(shapes, match.image.size) != wanted(match):
            raise CheckpointError(
                f"it holds FastGAN's generator as Projected GAN has it ({len(shapes)} tensors), with other widths or "
                f"blocks than those of fastgan and fastgan_lite at {', '.join(map(str, SIZES))} pixels."
            )
        return match

    def configured(self, match: Match, stated: Mapping[str, Any]) -> Match:
        options = stated.get("options")
        if not isinstance(options, dict):
            raise CheckpointError("the options of its network are no dictionary.")
        facts = {"z_dim": match.part.options["latent_dim"], "c_dim": 0}
        facts |= {"img_resolution": match.image.size, "img_channels": match.image.channels}
        for name, value in facts.items():
            if options.get(name, value) != value:
                raise CheckpointError(f"it states {name} {ascii(options[name])[:60]}, and its tensors are of {value}.")
        return match

    def convert(self, tensors: Mapping[str, Tensor], match: Match) -> dict[str, Tensor]:
        random, heavy = torch.Generator().manual_seed(0), match.part.options["blocks"] == "heavy"
        return {
            name: torch.randn(value.shape, generator=random)
            if name.endswith(".noise")
            else tensors[official(name, heavy)]
            for name, value in network(match).state_dict().items()
        }


def guess(shapes: Shapes) -> Match | None:
    """Returns the match that the decisive shapes suggest."""
    start, output = shapes[START], shapes.get("synthesis.to_big.weight_orig", ())
    last = shapes.get("synthesis.feat_128.1.weight_orig", ())
    if (len(start), len(output), len(last)) != (4, 4, 4) or not 1 <= output[0] <= 4 or not 2 <= last[0] <= 2 * WIDEST:
        return None
    width = last[0] // 2
    largest = max((size for size in SIZES if f"synthesis.feat_{size}.1.weight_orig" in shapes), default=ALWAYS)
    # The last of 256 pixels are there for images of 128 too.
    sizes = (128, 256) if largest == ALWAYS else (largest,)
    size = next((size for size in sizes if output[1] == times(width, SHARES[size])), None)
    if size is None:
        return None
    options = {
        "latent_dim": start[0],
        "width": width,
        "blocks": "heavy" if "synthesis.feat_8.5.weight_orig" in shapes else "light",
        "spherical": True,
        "stored_vectors": True,
    }
    note = NOISE + NOTE if options["blocks"] == "heavy" else NOTE
    return Match(Part("fastgan", options), ImageSpec(size, output[0]), note=note)


def used(shapes: Shapes, size: int) -> dict[str, tuple[int, ...]]:
    """Returns the shapes of the tensors that make images of this size."""
    idle = tuple(f"synthesis.{place}_{ALWAYS}." for place in ("feat", "se")) if size < ALWAYS else ()
    return {name: tuple(shape) for name, shape in shapes.items() if not (idle and name.startswith(idle))}


def network(match: Match) -> FastGANGenerator:
    """Builds the network of a match on the meta device."""
    with torch.device("meta"):
        return FastGANGenerator(match.image, **match.part.options)


def wanted(match: Match) -> dict[str, tuple[int, ...]]:
    """Returns the names and shapes of the official network."""
    heavy = match.part.options["blocks"] == "heavy"
    return {
        official(name, heavy): tuple(value.shape)
        for name, value in network(match).state_dict().items()
        if not name.endswith(".noise")
    }


def official(name: str, heavy: bool) -> str:
    """Returns the official name of one of our tensors."""
    vectors = {"weight": "weight_orig", "u": "weight_u", "v": "weight_v"}
    if found := re.fullmatch(r"start\.norm\.(.+)", name):
        return f"synthesis.init.init.1.{found[1]}"
    if found := re.fullmatch(r"(start|output)\.(weight|u|v|bias)", name):
        place = "init.init.0" if found[1] == "start" else "to_big"
        return f"synthesis.{place}.{vectors.get(found[2], found[2])}"
    if found := re.fullmatch(r"excitations\.(\d)\.(main\.\d)\.(.+)", name):
        return f"synthesis.se_{4 << int(found[1])}.{found[2]}.{vectors[found[3]]}"
    found = re.fullmatch(r"blocks\.(\d)\.(\d)\.(convolution|strength|norm)\.?(.*)", name)
    if found is None:
        raise ValueError(f"the port has no tensor for {name}")
    kind = found[3]
    index = {"convolution": 1, "strength": 2, "norm": 3 if heavy else 2}[kind] + 4 * int(found[2])
    ending = {"convolution": vectors.get(found[4], ""), "strength": "weight"}.get(kind, found[4])
    return f"synthesis.feat_{8 << int(found[1])}.{index}.{ending}"
