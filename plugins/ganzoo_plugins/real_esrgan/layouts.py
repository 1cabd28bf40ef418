"""The tensors of compact networks for super-resolution in other code: SRVGGNetCompact of Real-ESRGAN, and ncnn."""

from __future__ import annotations

import math
from collections.abc import Mapping

from torch import Tensor

from ganzoo import Field, Part, SampleSpec
from ganzoo.layouts import Layout, Match, Shapes

SOURCE = 64  # pixels of the sources that a converted network states; it takes any


class Compact(Layout):
    """`body.0.weight`, `body.1.weight`, ...: convolutions, and slopes of PReLU between them, whose names ours are."""

    variants = ("real-esrgan-compact",)
    summary = "xinntao/Real-ESRGAN SRVGGNetCompact with PReLU: realesr-animevideov3, realesr-general-x4v3"

    def recognize(self, shapes: Shapes) -> Match | None:
        return match_of(shapes)

    def convert(self, tensors: Mapping[str, Tensor], match: Match) -> dict[str, Tensor]:
        return dict(tensors)


class NcnnCompact(Layout):
    """The convolutions and PReLUs of a .param in their order, which is that of ours."""

    variants = ("real-esrgan-compact",)
    summary = "a .param and .bin of ncnn with an SRVGGNetCompact: realesr-animevideov3-x4"

    def recognize(self, shapes: Shapes) -> Match | None:
        if any(name.split(".")[1:2] not in (["convolution"], ["prelu"]) for name in shapes):
            return None
        return match_of({renamed(name): shape for name, shape in shapes.items()})

    def convert(self, tensors: Mapping[str, Tensor], match: Match) -> dict[str, Tensor]:
        return {renamed(name): tensor for name, tensor in tensors.items()}


def renamed(name: str) -> str:
    """Returns our name of a tensor in a .param: "3.prelu.weight" is "body.3.weight"."""
    number, _, rest = name.partition(".")
    return f"body.{number}.{rest.rpartition('.')[2]}"


def match_of(shapes: Shapes) -> Match | None:
    """Returns the network with tensors of our names and these shapes; None unless it accounts for every one."""
    first = shapes.get("body.0.weight", ())
    convolutions = sum(len(shape) == 4 for shape in shapes.values())
    last = shapes.get(f"body.{2 * convolutions - 2}.weight", ())
    if convolutions < 2 or len(first) != 4 or len(last) != 4 or not 1 <= first[1] <= 4:
        return None
    width, channels = first[:2]
    scale = math.isqrt(last[0] // channels)
    widths = [channels, *[width] * (convolutions - 1), channels * scale**2]
    wanted: dict[str, tuple[int, ...]] = {}
    for number, (before, after) in enumerate(zip(widths, widths[1:], strict=False)):
        wanted |= {f"body.{2 * number}.weight": (after, before, 3, 3), f"body.{2 * number}.bias": (after,)}
        if number < convolutions - 1:
            wanted[f"body.{2 * number + 1}.weight"] = (after,)
    if wanted != shapes or not 1 <= scale <= 16:
        return None
    image = SampleSpec(Field((channels, scale * SOURCE, scale * SOURCE)), {"source": Field((channels, SOURCE, SOURCE))})
    return Match(Part("compact", {"width": width, "convolutions": convolutions - 2}), image)
