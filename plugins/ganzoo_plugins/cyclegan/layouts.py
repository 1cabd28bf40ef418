"""The files of junyanz/pytorch-CycleGAN-and-pix2pix with a ResNet: `latest_net_G.pth`, `latest_net_G_A.pth`."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from ganzoo import Field, Part, SampleSpec
from ganzoo.layouts import Layout, Match, Shapes

from .model import Translator

SIZE = 256  # not in a file: the translator takes any multiple of 4
STATISTICS = ("running_mean", "running_var", "num_batches_tracked")
NOTE = "Left out: running statistics of instance norm, with which old files were written and which it never used."


class OfficialTranslator(Layout):
    """`model.1.weight` ... of `ResnetGenerator` with instance norm: one direction, whose names ours has too."""

    variants = ("cyclegan",)
    summary = "junyanz/pytorch-CycleGAN-and-pix2pix ResNet, one direction (latest_net_G.pth, latest_net_G_A.pth)"

    def recognize(self, shapes: Shapes) -> Match | None:
        kept = without_statistics(shapes)
        blocks = sum(name.endswith(".conv_block.1.weight") for name in kept)
        first, last = kept.get("model.1.weight", ()), kept.get(f"model.{17 + blocks}.weight", ())
        if len(first) != 4 or len(last) != 4 or blocks > 64 or not {first[1], last[0]} <= {1, 2, 3, 4}:
            return None
        image = SampleSpec(Field((last[0], SIZE, SIZE)), {"source": Field((first[1], SIZE, SIZE))})
        options = {"width": first[0], "blocks": blocks}
        with torch.device("meta"):
            ours = {name: tuple(value.shape) for name, value in Translator(image, **options).state_dict().items()}
        note = NOTE if len(kept) < len(shapes) else ""
        return Match(Part("cyclegan-one-way", options), image, note=note) if ours == kept else None

    def convert(self, tensors: Mapping[str, Tensor], match: Match) -> dict[str, Tensor]:
        return without_statistics(tensors)


def without_statistics(named: Mapping[str, object]) -> dict:
    """Returns what is no running statistic; no layer here has one."""
    return {name: value for name, value in named.items() if not name.endswith(STATISTICS)}
