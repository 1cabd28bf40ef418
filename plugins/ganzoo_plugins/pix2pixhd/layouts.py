"""The files of NVIDIA/pix2pixHD with the global generator: `latest_net_G.pth`, a bare state_dict."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from ganzoo import Field, Part, SampleSpec
from ganzoo.layouts import Layout, Match, Shapes

from .model import GlobalGenerator

SIZE = 512  # not in a file: the generator takes any multiple of its own
STATISTICS = ("running_mean", "running_var", "num_batches_tracked")
NOTE = "Left out: running statistics of instance norm, with which old files were written and which it never used."


class OfficialGlobalGenerator(Layout):
    """`model.1.weight` ... of `GlobalGenerator` with instance norm, whose names ours has too."""

    variants = ("pix2pixhd",)
    summary = "NVIDIA/pix2pixHD global generator (latest_net_G.pth)"

    def recognize(self, shapes: Shapes) -> Match | None:
        kept = {name: shape for name, shape in shapes.items() if not name.endswith(STATISTICS)}
        blocks = sum(name.endswith(".conv_block.1.weight") for name in kept)
        halvings = (sum(name.endswith(".weight") for name in kept) - 2 * blocks - 2) // 2
        first, last = kept.get("model.1.weight", ()), kept.get(f"model.{5 + 6 * halvings + blocks}.weight", ())
        if len(first) != 4 or len(last) != 4 or blocks > 64 or not 3 <= halvings <= 6 or last[0] > 4:
            return None  # two halvings are those of CycleGAN
        image = SampleSpec(Field((last[0], SIZE, SIZE)), {"source": Field((first[1], SIZE, SIZE))})
        options = {"width": first[0], "blocks": blocks, "halvings": halvings}
        with torch.device("meta"):
            network = GlobalGenerator(image, **options)
        ours = {name: tuple(value.shape) for name, value in network.state_dict().items()}
        return (
            Match(Part("pix2pixhd", options), image, note=NOTE if len(kept) < len(shapes) else "")
            if ours == kept
            else None
        )

    def convert(self, tensors: Mapping[str, Tensor], match: Match) -> dict[str, Tensor]:
        return {name: value for name, value in tensors.items() if not name.endswith(STATISTICS)}
