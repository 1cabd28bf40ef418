"""The tensors of BasicSR's MSRResNet, whose names ours are."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor

from ganzoo import Field, Part, SampleSpec
from ganzoo.layouts import Layout, Match, Shapes

SOURCE = 64  # pixels of the sources that a converted network states; it takes any


class MSRResNet(Layout):
    """`conv_first`, `body.0.conv1`, `upconv1`, `conv_hr`, `conv_last`: residual blocks without batch norm."""

    variants = ("srgan",)
    summary = "XPixelGroup/BasicSR MSRResNet: MSRResNet_x2, x3, x4 and MSRGANx4"

    def recognize(self, shapes: Shapes) -> Match | None:
        first, up = shapes.get("conv_first.weight", ()), shapes.get("upconv1.weight", ())
        if len(first) != 4 or len(up) != 4 or not 1 <= first[1] <= 4:
            return None
        width, channels = first[:2]
        blocks = len({name.split(".")[1] for name in shapes if name.startswith("body.")})
        scale = 4 if "upconv2.weight" in shapes else {4 * width: 2, 9 * width: 3}.get(up[0], 0)
        sizes = {"conv_first": (channels, width), "conv_hr": (width, width), "conv_last": (width, channels)}
        sizes |= {f"body.{block}.conv{number}": (width, width) for block in range(blocks) for number in (1, 2)}
        sizes |= {"upconv1": (width, 9 * width if scale == 3 else 4 * width)}
        sizes |= {"upconv2": (width, 4 * width)} if scale == 4 else {}
        wanted: dict[str, tuple[int, ...]] = {}
        for name, (before, after) in sizes.items():
            wanted |= {f"{name}.weight": (after, before, 3, 3), f"{name}.bias": (after,)}
        if wanted != shapes or not scale:
            return None
        image = SampleSpec(
            Field((channels, scale * SOURCE, scale * SOURCE)), {"source": Field((channels, SOURCE, SOURCE))}
        )
        return Match(Part("sr-resnet", {"width": width, "blocks": blocks}), image)

    def convert(self, tensors: Mapping[str, Tensor], match: Match) -> dict[str, Tensor]:
        return dict(tensors)
