"""What a plugin brings so that `ganzoo convert` reads weights that other code trained. Torch-free."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from ganzoo.variant import ImageSpec, Part

if TYPE_CHECKING:
    from torch import Tensor

Shapes = Mapping[str, tuple[int, ...]]


@dataclass(frozen=True)
class Match:
    """What the names and shapes of a file's tensors say: the network that holds them and the images it was made for.

    `part` has every option that the shapes decide. `note` is one sentence on what the conversion does beyond renaming: people
    see it, and it is kept in config.json.
    """

    part: Part
    image: ImageSpec
    role: Literal["generator", "discriminator"] = "generator"
    note: str = ""


class Layout:
    """How other code names and arranges the tensors of a network; a subclass says both and `variants`, whose networks it fills.

    It must not keep state: one layout may see many files.
    """

    variants: tuple[str, ...] = ()
    summary: str = ""

    def recognize(self, shapes: Shapes) -> Match | None:
        """What tensors of these names and shapes are, or None unless every one of them is accounted for.

        Prefixes that all names share ("module.") have been taken off. The numbers come from a file that nobody has vouched for.
        """
        raise TypeError(f"{type(self).__name__} must define recognize(shapes)")

    def convert(self, tensors: Mapping[str, Tensor], match: Match) -> dict[str, Tensor]:
        """The `state_dict` of the part that `match` names, made from the file's tensors: every name and shape of it, no other."""
        raise TypeError(f"{type(self).__name__} must define convert(tensors, match)")
