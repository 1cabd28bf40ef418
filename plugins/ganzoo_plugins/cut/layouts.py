"""The files of taesungp/contrastive-unpaired-translation: `latest_net_G.pth`, a bare state_dict."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from ganzoo import Field, Part, SampleSpec
from ganzoo.layouts import Layout, Match, Shapes

from .model import AntialiasedTranslator

SIZE = 256  # not in a file: the translator takes any multiple of 4


class OfficialAntialiased(Layout):
    """`model.1.weight` ... of `ResnetGenerator` with blurs, whose names ours has too, fixed filters included."""

    variants = ("cut", "fastcut")
    summary = "taesungp/contrastive-unpaired-translation ResNet (latest_net_G.pth)"

    def recognize(self, shapes: Shapes) -> Match | None:
        blocks = sum(name.endswith(".conv_block.1.weight") for name in shapes)
        first, last = shapes.get("model.1.weight", ()), shapes.get(f"model.{21 + blocks}.weight", ())
        if len(first) != 4 or len(last) != 4 or not 1 <= blocks <= 64 or not {first[1], last[0]} <= {1, 2, 3, 4}:
            return None
        image = SampleSpec(Field((last[0], SIZE, SIZE)), {"source": Field((first[1], SIZE, SIZE))})
        options = {"width": first[0], "blocks": blocks}
        with torch.device("meta"):
            network = AntialiasedTranslator(image, **options)
        ours = {name: tuple(value.shape) for name, value in network.state_dict().items()}
        return Match(Part("cut", options), image) if ours == dict(shapes) else None

    def convert(self, tensors: Mapping[str, Tensor], match: Match) -> dict[str, Tensor]:
        return dict(tensors)
