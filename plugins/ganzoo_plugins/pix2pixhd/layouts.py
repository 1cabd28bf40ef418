"""The files of NVIDIA/pix2pixHD, global generator and local enhancer: `latest_net_G.pth`, a bare state_dict."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from ganzoo import Field, Part, SampleSpec
from ganzoo.layouts import Layout, Match, Shapes

from .model import GlobalGenerator, LocalEnhancer

SIZE = 512  # not in a file: the generator takes any multiple of its own
STATISTICS = ("running_mean", "running_var", "num_batches_tracked")
NOTE = "Left out: running statistics of instance norm, with which old files were written and which it never used."


class OfficialGlobalGenerator(Layout):
    """`model.1.weight` ... of `GlobalGenerator` with instance norm, whose names ours has too."""

    variants = ("pix2pixhd",)
    summary = "NVIDIA/pix2pixHD global generator (latest_net_G.pth)"

    def recognize(self, shapes: Shapes) -> Match | None:
        kept = without_statistics(shapes)
        blocks = sum(name.endswith(".conv_block.1.weight") for name in kept)
        halvings = (sum(name.endswith(".weight") for name in kept) - 2 * blocks - 2) // 2
        first, last = kept.get("model.1.weight", ()), kept.get(f"model.{5 + 6 * halvings + blocks}.weight", ())
        if len(first) != 4 or len(last) != 4 or blocks > 64 or not 3 <= halvings <= 6 or last[0] > 4:
            return None  # two halvings are those of CycleGAN
        image = SampleSpec(Field((last[0], SIZE, SIZE)), {"source": Field((first[1], SIZE, SIZE))})
        options = {"width": first[0], "blocks": blocks, "halvings": halvings}
        return matched(GlobalGenerator, Part("pix2pixhd", options), image, kept, shapes)

    def convert(self, tensors: Mapping[str, Tensor], match: Match) -> dict[str, Tensor]:
        return without_statistics(tensors)


class OfficialLocalEnhancer(Layout):
    """`model.1.weight` ... of the network at half the size, `model1_1` and `model1_2` of the enhancer around it."""

    variants = ("pix2pixhd",)
    summary = "NVIDIA/pix2pixHD local enhancer (latest_net_G.pth of --netG local)"

    def recognize(self, shapes: Shapes) -> Match | None:
        kept = without_statistics(shapes)
        enhancers = max((number for number in range(1, 5) if f"model{number}_1.1.weight" in kept), default=0)
        inside = [name for name in kept if name.startswith("model.") and name.endswith(".weight")]
        blocks = sum(name.endswith(".conv_block.1.weight") for name in inside)
        outer = f"model{enhancers}_2."
        local_blocks = sum(name.startswith(outer) and name.endswith(".conv_block.1.weight") for name in kept)
        halvings = (len(inside) - 2 * blocks - 1) // 2
        first, last = kept.get(f"model{enhancers}_1.1.weight", ()), kept.get(f"{outer}{local_blocks + 4}.weight", ())
        known = len(first) == len(last) == 4 and 1 <= halvings <= 6 and max(blocks, local_blocks) <= 64
        if not known or last[0] > 4 or halvings + enhancers > 9:
            return None
        image = SampleSpec(Field((last[0], SIZE, SIZE)), {"source": Field((first[1], SIZE, SIZE))})
        options = {"width": first[0], "blocks": blocks, "halvings": halvings}
        options |= {"enhancers": enhancers, "local_blocks": local_blocks}
        return matched(LocalEnhancer, Part("local-enhancer", options), image, kept, shapes)

    def convert(self, tensors: Mapping[str, Tensor], match: Match) -> dict[str, Tensor]:
        return without_statistics(tensors)


def without_statistics(named: Mapping[str, Any]) -> dict[str, Any]:
    """Returns what has other names than statistics of norms."""
    return {name: value for name, value in named.items() if not name.endswith(STATISTICS)}


def matched(network: type[nn.Module], part: Part, image: SampleSpec, kept: Shapes, shapes: Shapes) -> Match | None:
    """Returns the match of a network that has exactly the tensors that were `kept` of a file; else None."""
    with torch.device("meta"):
        built = network(image, **part.options)
    ours = {name: tuple(value.shape) for name, value in built.state_dict().items()}
    return Match(part, image, note=NOTE if len(kept) < len(shapes) else "") if ours == dict(kept) else None
