"""DiffAugment (Zhao et al. 2020): colour, translation and cutout of real images and fakes, for both networks.

Followed: mit-han-lab/data-efficient-gans, `DiffAugment_pytorch.py`. Images are in [-1, 1] and may leave it.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from ganzoo import SampleSpec
from ganzoo.losses import Augmentation
from ganzoo.networks import shifted

STEPS = {"color": ("brightness", "saturation", "contrast"), "translation": ("translation",), "cutout": ("cutout",)}
SHIFT, HOLE = 0.125, 0.5


def brightness(images: Tensor, share: Tensor) -> Tensor:
    """x + u − ½, with `share` u (N, 1, 1, 1)."""
    return images + (share - 0.5)


def saturation(images: Tensor, share: Tensor) -> Tensor:
    """2u·(x − m) + m, where m is each pixel's mean over the channels; a grey image stays as it is."""
    mean = images.mean(1, keepdim=True)
    return (images - mean) * (2 * share) + mean


def contrast(images: Tensor, share: Tensor) -> Tensor:
    """(u + ½)·(x − m) + m, where m is each image's mean."""
    mean = images.mean((1, 2, 3), keepdim=True)
    return (images - mean) * (share + 0.5) + mean


def of_colours(change: Callable[[Tensor, Tensor], Tensor], images: Tensor, share: Tensor) -> Tensor:
    """Applies a change of colours to images (N, C, H, W); of four channels the last, alpha, stays."""
    if images.shape[1] != 4:
        return change(images, share)
    return torch.cat([change(images[:, :3], share), images[:, 3:]], 1)


def cut_out(images: Tensor, row: Tensor, column: Tensor, size: tuple[int, int]) -> Tensor:
    """Cuts a hole of zeros, `size` (height, width) in pixels, with its middle at (row, column), each (N,)."""
    rows = torch.arange(images.shape[2], device=images.device) - row[:, None] + size[0] // 2
    columns = torch.arange(images.shape[3], device=images.device) - column[:, None] + size[1] // 2
    hole = ((rows >= 0) & (rows < size[0]))[:, None, :, None] & ((columns >= 0) & (columns < size[1]))[:, None, None, :]
    return images * ~hole


def whole_numbers(share: Tensor, count: int) -> Tensor:
    """Converts uniform numbers in [0, 1) to uniform integers from 0 to `count` − 1."""
    return (share * count).long().clamp(max=count - 1)


class DiffAugment(Augmentation):
    """Applies its steps in order, to each image with its own random numbers.

    "color" adds U(−½, ½), stretches the colours by U(0, 2) and the contrast by U(½, 1½); "translation" moves by up to
    an eighth of the image; "cutout" makes a hole half as wide and high as the image, which may cross the border. Alpha,
    the last of four channels, moves and is cut with the colours but is not recoloured.

    Options:
        policy: steps with commas between them: "color", "translation", "cutout".
    """

    def __init__(self, image: SampleSpec, policy: str = "color,translation,cutout"):
        super().__init__()
        self.steps = [step.strip() for step in policy.split(",") if step.strip()]
        unknown = [step for step in self.steps if step not in STEPS]
        if unknown or not self.steps:
            raise ValueError(f"policy must list some of {', '.join(STEPS)} with commas between them, got '{policy}'")

    def forward(self, images: Tensor) -> Tensor:
        with torch.autocast(images.device.type, enabled=False):
            for step in self.steps:
                for name in STEPS[step]:
                    images = getattr(self, f"_{name}")(images)
            return images

    def _brightness(self, images: Tensor) -> Tensor:
        return of_colours(brightness, images, self.uniform(images, 1, 1, 1))

    def _saturation(self, images: Tensor) -> Tensor:
        return of_colours(saturation, images, self.uniform(images, 1, 1, 1))

    def _contrast(self, images: Tensor) -> Tensor:
        return of_colours(contrast, images, self.uniform(images, 1, 1, 1))

    def _translation(self, images: Tensor) -> Tensor:
        chance = self.uniform(images, 2)
        reach = [int(size * SHIFT + 0.5) for size in images.shape[2:]]
        down, right = (whole_numbers(chance[:, axis], 2 * reach[axis] + 1) - reach[axis] for axis in (0, 1))
        return shifted(images, down, right)

    def _cutout(self, images: Tensor) -> Tensor:
        chance = self.uniform(images, 2)
        size = [int(side * HOLE + 0.5) for side in images.shape[2:]]
        row, column = (whole_numbers(chance[:, axis], images.shape[2 + axis] + 1 - size[axis] % 2) for axis in (0, 1))
        return cut_out(images, row, column, (size[0], size[1]))
