"""The names that RRDB networks have in other code: BasicSR, the first ESRGAN, ESRGAN+, BSRGAN and RealSR, and ncnn."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from torch import Tensor

from ganzoo import Field, Part, SampleSpec
from ganzoo.layouts import Layout, Match, Shapes

SOURCE = 64  # pixels of the sources that a converted network states; it takes any
ENDS = (".weight", ".bias")
ONE_STEP = "One convolution enlarges: taken as a scale of 2. A network for 3 of the first ESRGAN has the same tensors."
PLUS = "ESRGAN+ adds noise to its features while it trains: the network here has its shortcuts, and no noise."


class RRDBLayout(Layout):
    """An RRDB network under other names; subclasses define `renamed`."""

    variants: tuple[str, ...] = ("esrgan", "real-esrgan")

    def renamed(self, shapes: Shapes) -> dict[str, str]:
        """Returns their names by ours; others than theirs may be left out."""
        raise TypeError(f"{type(self).__name__} must define renamed(shapes)")

    def recognize(self, shapes: Shapes) -> Match | None:
        names = self.renamed(shapes)
        if len(names) < len(shapes):
            return None
        return match_of({ours: tuple(shapes[theirs]) for ours, theirs in names.items()})

    def convert(self, tensors: Mapping[str, Tensor], match: Match) -> dict[str, Tensor]:
        names = self.renamed({name: tuple(tensor.shape) for name, tensor in tensors.items()})
        return {ours: tensors[theirs] for ours, theirs in names.items()}


class BasicSR(RRDBLayout):
    """`conv_first`, `body.0.rdb1.conv1`, ...: the names of BasicSR, which ours are."""

    variants = ("real-esrgan", "esrgan")
    summary = "XPixelGroup/BasicSR and xinntao/Real-ESRGAN RRDBNet: x4plus, x2plus, anime_6B, ESRGAN of BasicSR"

    def renamed(self, shapes: Shapes) -> dict[str, str]:
        return {name: name for name in shapes if name.startswith(("conv_", "body."))}


class OldESRGAN(RRDBLayout):
    """`model.0`, `model.1.sub.0.RDB1.conv1.0`, ...: the first code of ESRGAN, and ESRGAN+ with `conv1x1`."""

    summary = "xinntao/ESRGAN before BasicSR (most community models), and ncarraz/ESRGANplus"
    dense = re.compile(r"model\.1\.sub\.(\d{1,3})\.RDB([123])\.(conv[1-5]|conv1x1)(?:\.0)?\.(weight|bias)")
    body = re.compile(r"model\.1\.sub\.\d{1,3}\.(weight|bias)")
    stage = re.compile(r"model\.(\d{1,2})\.(weight|bias)")

    def renamed(self, shapes: Shapes) -> dict[str, str]:
        stages = sorted({int(found[1]) for name in shapes if (found := self.stage.fullmatch(name))})
        if len(stages) < 3 or stages[0] != 0:
            return {}
        ours = dict(zip(stages[1:-2], (f"conv_up{number}" for number in range(1, 10)), strict=False))
        ours |= {0: "conv_first", stages[-2]: "conv_hr", stages[-1]: "conv_last"}
        names: dict[str, str] = {}
        for name in shapes:
            if found := self.stage.fullmatch(name):
                names[f"{ours[int(found[1])]}.{found[2]}"] = name
            elif found := self.body.fullmatch(name):
                names[f"conv_body.{found[1]}"] = name
            elif found := self.dense.fullmatch(name):
                names[f"body.{int(found[1])}.rdb{found[2]}.{found[3]}.{found[4]}"] = name
        return names


class BSRGAN(RRDBLayout):
    """`RRDB_trunk.0.RDB1.conv1`, `trunk_conv`, `upconv1`, `HRconv`: BSRGAN, RealSR and the ESRGAN test code."""

    summary = "cszn/BSRGAN, RealSR and xinntao/ESRGAN RRDBNet_arch.py: RRDB_trunk, trunk_conv"
    dense = re.compile(r"RRDB_trunk\.(\d{1,3})\.RDB([123])\.(conv[1-5])\.(weight|bias)")
    words = {"trunk_conv": "conv_body", "HRconv": "conv_hr", "conv_first": "conv_first", "conv_last": "conv_last"}
    words |= {f"upconv{number}": f"conv_up{number}" for number in (1, 2, 3)}

    def renamed(self, shapes: Shapes) -> dict[str, str]:
        names: dict[str, str] = {}
        for name in shapes:
            stem, _, end = name.rpartition(".")
            if found := self.dense.fullmatch(name):
                names[f"body.{int(found[1])}.rdb{found[2]}.{found[3]}.{found[4]}"] = name
            elif stem in self.words:
                names[f"{self.words[stem]}.{end}"] = name
        return names if any(self.dense.fullmatch(name) for name in shapes) else {}


class Ncnn(RRDBLayout):
    """The convolutions of a .param in their order: the first, 15 a block, the body's, those that enlarge, the last two.

    Activations and shortcuts are those of the file: what it computes is compared with the network after it is read.
    """

    variants = ("real-esrgan", "esrgan")
    summary = "a .param and .bin of ncnn with an RRDBNet: realesrgan-x4plus, realesrgan-x4plus-anime"

    def renamed(self, shapes: Shapes) -> dict[str, str]:
        theirs = [name.removesuffix(".weight") for name in shapes if name.endswith(".convolution.weight")]
        blocks, ups = divmod(len(theirs) - 4, 15)
        if blocks < 1 or not all(name.startswith(f"{number}.") for number, name in enumerate(theirs)):
            return {}
        ours = ["conv_first"]
        for block in range(blocks):
            ours += [f"body.{block}.rdb{part}.conv{number}" for part in (1, 2, 3) for number in range(1, 6)]
        ours += ["conv_body", *(f"conv_up{number}" for number in range(1, ups + 1)), "conv_hr", "conv_last"]
        pairs = zip(ours, theirs, strict=True)
        return {f"{mine}{end}": f"{other}{end}" for mine, other in pairs for end in ENDS}


def match_of(shapes: Shapes) -> Match | None:
    """Returns the network with tensors of our names and these shapes; None unless it accounts for every one."""
    first, last = shapes.get("conv_first.weight", ()), shapes.get("conv_last.weight", ())
    growth = shapes.get("body.0.rdb1.conv1.weight", ())
    if not len(first) == len(last) == len(growth) == 4 or not 1 <= last[0] <= 4:
        return None
    blocks = len({name.split(".")[1] for name in shapes if name.startswith("body.")})
    ups = sum(name.startswith("conv_up") and name.endswith(".weight") for name in shapes)
    plus = "body.0.rdb1.conv1x1.weight" in shapes
    if wanted_shapes(first[1], last[0], first[0], blocks, growth[0], ups, plus) != shapes or ups > 3:
        return None
    options: dict[str, Any] = {"width": first[0], "blocks": blocks, "growth": growth[0]}
    folded = {4 * last[0]: 2, 16 * last[0]: 4}.get(first[1], 1) if ups == 2 else 1
    scale, channels = 2**ups // folded, first[1] // folded**2
    if not 1 <= channels <= 4:
        return None
    if folded == 1 and scale <= 2:
        options["unshuffle"] = False
    if plus:
        options["plus"] = True
    image = SampleSpec(Field((last[0], scale * SOURCE, scale * SOURCE)), {"source": Field((channels, SOURCE, SOURCE))})
    return Match(Part("rrdbnet", options), image, note=" ".join([PLUS] * plus + [ONE_STEP] * (ups == 1)))


def wanted_shapes(
    inputs: int, outputs: int, width: int, blocks: int, growth: int, ups: int, plus: bool
) -> dict[str, tuple[int, ...]]:
    """Returns names and shapes of an RRDB network's tensors."""
    sizes = {"conv_first": (inputs, width), "conv_body": (width, width), "conv_hr": (width, width)}
    sizes |= {f"conv_up{number}": (width, width) for number in range(1, ups + 1)} | {"conv_last": (width, outputs)}
    shapes: dict[str, tuple[int, ...]] = {}
    for block in range(blocks):
        for part in (1, 2, 3):
            for number in range(1, 6):
                made = growth if number < 5 else width
                sizes[f"body.{block}.rdb{part}.conv{number}"] = (width + (number - 1) * growth, made)
            if plus:
                shapes[f"body.{block}.rdb{part}.conv1x1.weight"] = (growth, width, 1, 1)
    for name, (before, after) in sizes.items():
        shapes |= {f"{name}.weight": (after, before, 3, 3), f"{name}.bias": (after,)}
    return shapes
