"""The base class of conditions, which compute the inputs of a generator from stored pictures. Torch-free."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, ClassVar

from ganzoo.variant import Field, SampleSpec

if TYPE_CHECKING:
    import torch
    from torch import Tensor


class Condition:
    """Computes fields of a sample from its stored ones: a source from the output, as a small copy of it.

    A condition is built with the specification of the stored fields and its options, and raises ValueError for images
    that it cannot use. It works on each image alone, without a gradient, and its random numbers are those of `draw`.

    Attributes:
        stored_channels: the channels that the stored output must have, or None for any.
        fields: the fields that `compute` returns. "source" is the input that the condition was chosen for, whatever
            its name on the card; "output" replaces the stored output. The last of 2 or 4 channels of a source is a
            mask: 1 where a pixel is seen, -1 where it is hidden, and then its colours are 0.
        fingerprint: changes with files that the condition reads; "" for none.
    """

    stored_channels: ClassVar[int | None] = None
    fields: Mapping[str, Field]
    fingerprint: str = ""

    def __init__(self, stored: SampleSpec) -> None:
        self.stored = stored

    def draw(self, n: int, random: torch.Generator) -> Mapping[str, Tensor]:
        """Draws the random numbers of `n` images on the CPU, each with a first axis of `n`; none unless overridden."""
        return {}

    def compute(self, stored: Mapping[str, Tensor], drawn: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
        """Returns the fields of images (n, C, H, W) in [-1, 1], of which `drawn` holds the random numbers."""
        raise TypeError(f"{type(self).__name__} must define compute(stored, drawn)")
