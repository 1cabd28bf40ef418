"""The base class of generators that enlarge images, with the range of pixels that published networks have."""

from __future__ import annotations

from torch import Tensor

from ganzoo.networks.generator import Generator
from ganzoo.variant import SampleSpec


def enlargement(image: SampleSpec) -> int:
    """Returns how many times the output is as large as its source image each way, a whole number.

    ValueError unless the data has a source, and both sides are the same whole number of times as large.
    """
    source = image.inputs.get("source")
    if source is None or source.kind != "image":
        raise ValueError("it enlarges a source image, and the data has none (--source downscale makes one)")
    height, width = source.shape[1:]
    factor = image.height // height
    if factor < 1 or (factor * height, factor * width) != (image.height, image.width):
        raise ValueError(
            f"it enlarges by a whole number, and sources of {height} x {width} pixels do not become outputs of "
            f"{image.height} x {image.width} so"
        )
    return factor


class Upscaler(Generator):
    """Makes images (N, C, s·h, s·w) of source images (N, c, h, w), s times as large; the base class of such networks.

    A network defines `enlarge`, which maps pixels in [0, 1] to pixels of about that range, as published networks for
    super-resolution do; sources and outputs are in [-1, 1]. In evaluation, outputs are clamped. `scale` is s, that of
    the specification.
    """

    latent_dim = 0
    multiple = 1

    def __init__(self, image: SampleSpec):
        super().__init__()
        self.scale = enlargement(image)
        self.source_channels, self.channels = image.inputs["source"].shape[0], image.channels

    def enlarge(self, source: Tensor) -> Tensor:
        """Returns the enlarged images; of pixels in [0, 1]."""
        raise TypeError(f"{type(self).__name__} must define enlarge(source)")

    def forward(self, latent: Tensor, label: Tensor | None = None, *, source: Tensor) -> Tensor:
        output = 2 * self.enlarge((source + 1) / 2).to(source.dtype) - 1
        return output if self.training else output.clamp(-1, 1)

    def same_channels(self) -> None:
        """ValueError unless outputs have the channels of sources: networks that add to the enlarged source call it."""
        if self.source_channels != self.channels:
            raise ValueError(
                f"it adds to the enlarged source, and sources of {self.source_channels} channels are none of "
                f"{self.channels}"
            )
