"""The files of junyanz/pytorch-CycleGAN-and-pix2pix with a U-Net: `latest_net_G.pth`, a bare state_dict."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from ganzoo import Field, Part, SampleSpec
from ganzoo.layouts import Layout, Match, Shapes

from .model import UNet

STATISTICS = ("running_mean", "running_var", "num_batches_tracked")
NOTE = "Left out: running statistics of instance norm, with which old files were written and which it never used."


class OfficialUNet(Layout):
    """`model.model.0.weight` ... of `UnetGenerator` with batch or instance norm, whose names ours has too."""

    variants = ("pix2pix",)
    summary = "junyanz/pytorch-CycleGAN-and-pix2pix U-Net (latest_net_G.pth)"

    def recognize(self, shapes: Shapes) -> Match | None:
        first, last = shapes.get("model.model.0.weight", ()), shapes.get("model.model.3.weight", ())
        halvings = sum(len(shape) == 4 for shape in shapes.values()) // 2
        if len(first) != 4 or len(last) != 4 or not 5 <= halvings <= 10 or not {first[1], last[1]} <= {1, 2, 3, 4}:
            return None
        norm = "instance" if "model.model.0.bias" in shapes else "batch"
        size = (1 << halvings, 1 << halvings)
        image = SampleSpec(Field((last[1], *size)), {"source": Field((first[1], *size))})
        options: dict[str, Any] = {"width": first[0], "norm": norm}
        with torch.device("meta"):
            ours = {name: tuple(value.shape) for name, value in UNet(image, **options).state_dict().items()}
        left_out = STATISTICS if norm == "instance" else STATISTICS[2:]  # files from before torch 0.4.1 count nothing
        same = without(ours, left_out) == without(shapes, left_out)
        note = NOTE if norm == "instance" and any(name.endswith(STATISTICS) for name in shapes) else ""
        return Match(Part("unet", options), image, note=note) if same else None

    def convert(self, tensors: Mapping[str, Tensor], match: Match) -> dict[str, Tensor]:
        if match.part.options["norm"] == "instance":
            return without(tensors, STATISTICS)
        means = [name.removesuffix("running_mean") for name in tensors if name.endswith("running_mean")]
        counters = {f"{name}num_batches_tracked": torch.zeros((), dtype=torch.int64) for name in means}
        return {**counters, **tensors}


def without(named: Mapping[str, object], endings: tuple[str, ...]) -> dict:
    """Returns what has other names than those with these endings."""
    return {name: value for name, value in named.items() if not name.endswith(endings)}
