"""Objects with transparency in front of backgrounds: the source of a generator that cuts them out."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor

from ganzoo import Field, LocalPath, SampleSpec
from ganzoo.data import Condition, load_images


class Composite(Condition):
    """The output becomes the alpha of images with transparency; the source is the object in front of a background.

    A gradient goes from one colour to another, in any direction. The source has 3 channels, the alpha is in [-1, 1].

    Options:
        background: "colour" (one colour), "gradient" or "pictures".
        pictures: folder of the backgrounds, or any other source of images.
    """

    stored_channels = 4

    def __init__(
        self,
        stored: SampleSpec,
        background: Literal["colour", "gradient", "pictures"] = "gradient",
        pictures: LocalPath | None = None,
    ) -> None:
        super().__init__(stored)
        if background not in ("colour", "gradient", "pictures"):
            raise ValueError(f"background must be colour, gradient or pictures, got {background}")
        if (pictures is not None) != (background == "pictures"):
            raise ValueError("background=pictures and pictures=FOLDER belong together")
        if stored.channels != 4:
            raise ValueError(f"images of {stored.channels} channels have no transparency; 4 are needed")
        self.background = background
        height, width = stored.height, stored.width
        self.backgrounds: Tensor | None = None
        if pictures is not None:
            data = load_images(str(Path(pictures).expanduser()), size=(height, width), channels=3)
            self.backgrounds, self.fingerprint = data.images, data.fingerprint
        self.fields = {"output": Field((1, height, width)), "source": Field((3, height, width))}

    def draw(self, n: int, random: torch.Generator) -> Mapping[str, Tensor]:
        return {"background": torch.rand(n, 7, generator=random, dtype=torch.float32)}

    def compute(self, stored: Mapping[str, Tensor], drawn: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
        colours, alpha = stored["output"][:, :3], stored["output"][:, 3:]
        share = (alpha + 1) / 2
        behind = self._behind(drawn["background"], colours.shape[2], colours.shape[3])
        return {"output": alpha, "source": colours * share + behind * (1 - share)}

    def _behind(self, drawn: Tensor, height: int, width: int) -> Tensor:
        """Backgrounds (n, 3, H, W), or (n, 3, 1, 1) of one colour, in [-1, 1]."""
        if self.backgrounds is not None:
            last = len(self.backgrounds) - 1
            rows = (drawn[:, 6] * len(self.backgrounds)).long().clamp_(max=last).to(self.backgrounds.device)
            return self.backgrounds[rows].permute(0, 3, 1, 2).to(drawn.device, drawn.dtype) / 127.5 - 1
        first, second = (2 * drawn[:, part].view(-1, 3, 1, 1) - 1 for part in (slice(0, 3), slice(3, 6)))
        if self.background == "colour":
            return first
        angle = (2 * math.pi * drawn[:, 6]).view(-1, 1, 1, 1)
        across = torch.linspace(-1, 1, width, device=drawn.device).view(1, 1, 1, -1)
        down = torch.linspace(-1, 1, height, device=drawn.device).view(1, 1, -1, 1)
        place = (across * angle.cos() + down * angle.sin()) / (angle.cos().abs() + angle.sin().abs())
        return first + (second - first) * (place + 1) / 2
