"""Layouts: how `ganzoo convert` recognizes and renames the tensors of other code. Torch-free."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from ganzoo.variant import Part, SampleSpec

if TYPE_CHECKING:
    from torch import Tensor

Shapes = Mapping[str, tuple[int, ...]]


@dataclass(frozen=True)
class Match:
    """The network that a file's tensors belong to, and its images, as their names and shapes determine them.

    `part` has every option that the shapes determine. `note` is one sentence on what the conversion does beyond
    renaming; it is printed and stored in config.json.
    """

    part: Part
    image: SampleSpec
    role: Literal["generator", "discriminator"] = "generator"
    note: str = ""


class Layout:
    """How other code names and arranges the tensors of a network; subclasses define both methods and `variants`.

    `variants` are the variants whose networks it fills. A layout must not keep state, because it may convert many
    files.
    """

    variants: tuple[str, ...] = ()
    summary: str = ""

    def recognize(self, shapes: Shapes) -> Match | None:
        """Returns the network with tensors of these names and shapes; None unless it accounts for every one.

        A prefix that all names share ("module.") is removed before. The file is not trusted. A layout that knows the
        file and has no network for it raises CheckpointError, whose text is shown if no other layout fits.
        """
        raise TypeError(f"{type(self).__name__} must define recognize(shapes)")

    def configured(self, match: Match, stated: Mapping[str, Any]) -> Match:
        """Returns the match with what a file states of its network besides the tensors; unless overridden, as it is.

        Pickles of NVIDIA's code state {"class": name, "options": what the network was made with}, as JSON has it, the
        file is not trusted. CheckpointError if the options contradict the shapes, or make it a network that none here
        is.
        """
        return match

    def convert(self, tensors: Mapping[str, Tensor], match: Match) -> dict[str, Tensor]:
        """Returns the complete `state_dict` of the part in `match`, made from the file's tensors."""
        raise TypeError(f"{type(self).__name__} must define convert(tensors, match)")
