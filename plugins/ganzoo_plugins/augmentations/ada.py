"""Adaptive discriminator augmentation (Karras et al. 2020b): pixel blitting, geometry and colour with probability p.

Followed: NVlabs/stylegan2-ada-pytorch, `training/augment.py` with the preset "bgc" of `train.py`, and
`training/training_loop.py`.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from ganzoo import SampleSpec
from ganzoo.losses import Augmentation

from .matrices import hue_rotation, luma_flip, recoloured, resampled, rotation, saturation, scaling, shift

HOLE = 0.5
GROUPS = {"blit": "b", "geometry": "g", "colour": "c"}


class Adaptive(Augmentation):
    """Applies each transformation of "bgc" with probability p, which adapts to the signs of the real logits.

    p rises if the mean sign of the discriminator's logits of real images, measured from the loss's boundary, was above
    a target, and falls if it was below; it stays in [0, 1]. The transformations are b (mirror, quarter turns, whole
    shifts), g (scale, rotation, aspect, shift) and c (brightness, contrast, luma flip, hue, saturation; the last two
    not for grey images, none for alpha). A hole is half as wide and high as the image. R3GAN has a `colour` of 0.5 and
    a `cutout` of 1. p and the observed signs are buffers.

    Options:
        pipeline: some of the letters b, g and c.
        target: mean sign of the real logits that p aims at; None: p stays fixed.
        interval: steps between two changes of p.
        images: real images in which p moves from 0 to 1.
        start: p at first, or for good without a target; may be scheduled.
        colour: factor of the probability of each transformation of c.
        cutout: factor of the probability of a square hole; 0: none.
    """

    p: Tensor
    signs: Tensor
    seen: Tensor
    steps: Tensor

    def __init__(
        self,
        image: SampleSpec,
        pipeline: str = "bgc",
        target: float | None = 0.6,
        interval: int = 4,
        images: int = 500_000,
        start: float = 0.0,
        colour: float = 1.0,
        cutout: float = 0.0,
    ):
        super().__init__()
        if not pipeline or set(pipeline) - set(GROUPS.values()):
            raise ValueError(f"pipeline must be made of the letters b, g and c, got '{pipeline}'")
        if interval < 1 or images < 1:
            raise ValueError(f"interval and images must be at least 1, not {interval} and {images}")
        shares = {"start": start, "colour": colour, "cutout": cutout}
        wrong = [f"{name}={share}" for name, share in shares.items() if not 0 <= share <= 1]
        if wrong:
            raise ValueError(f"start, colour and cutout must be from 0 to 1, got {' and '.join(wrong)}")
        self.colour, self.cutout, self.needs_boundary = float(colour), float(cutout), target is not None
        self.pipeline, self.target, self.interval, self.images = pipeline, target, interval, images
        self.start = float(start)
        self.register_buffer("p", torch.tensor(float(start)))
        self.register_buffer("signs", torch.zeros(()))
        self.register_buffer("seen", torch.zeros(()))
        self.register_buffer("steps", torch.zeros((), dtype=torch.int64))

    def observe(self, real_logits: Tensor) -> None:
        """Adds the signs of real logits to the statistics that adapt p: of a map, each image's mean sign."""
        signs = real_logits.sign()
        self.signs += (signs if signs.ndim == 1 else signs.flatten(1).mean(1)).sum()
        self.seen += len(real_logits)

    def first_step(self, batch: int, epoch: float) -> float:
        return 0 if self.start or self.target is None else self.interval

    def adapt(self, processes: int) -> None:
        """Updates p += sign(mean sign − target) · (images seen) / `images`, every `interval` steps, in [0, 1]."""
        self.steps += 1
        if self.target is None:
            self.p.fill_(self.start)  # which a schedule may have changed
        if self.target is None or self.steps % self.interval:
            return
        direction = (self.signs / self.seen.clamp(min=1) - self.target).sign()
        self.p.add_(direction * self.seen * processes / self.images).clamp_(0, 1)
        self.signs.zero_()
        self.seen.zero_()

    def forward(self, images: Tensor) -> Tensor:
        if not self.p:
            return images
        with torch.autocast(images.device.type, enabled=False):
            images = images if images.dtype == torch.float64 else images.float()
            if set(self.pipeline) & {"b", "g"}:
                images = resampled(images, self.placement(images))
            images = recoloured(images, self.colouring(images)) if "c" in self.pipeline else images
            return self._with_hole(images) if self.cutout else images

    def _with_hole(self, images: Tensor) -> Tensor:
        """Cuts a hole of half the image each way, whose middle may be anywhere in the image."""
        size = self._chosen(images, torch.full_like(images[:, 0, 0, 0], HOLE), 0.0, self.cutout * self.p)
        middle = self.uniform(images, 2)
        height, width = images.shape[2:]
        rows = (torch.arange(height, device=images.device, dtype=images.dtype) + 0.5) / height
        columns = (torch.arange(width, device=images.device, dtype=images.dtype) + 0.5) / width
        above = (rows - middle[:, :1]).abs() < size[:, None] / 2
        beside = (columns - middle[:, 1:]).abs() < size[:, None] / 2
        return images * ~(above[:, None, :, None] & beside[:, None, None, :])

    def _chosen(self, images: Tensor, value: Tensor, neutral: float, probability: Tensor | None = None) -> Tensor:
        """Returns `value` (N,) or (N, k) with this probability per image (p unless given), else `neutral`."""
        chance = self.uniform(images, *[1] * (value.ndim - 1))
        return torch.where(chance < (self.p if probability is None else probability), value, neutral)

    def placement(self, images: Tensor) -> Tensor:
        """Returns matrices (N, 3, 3) from output to input coordinates, in pixels from the centre."""
        inverse = torch.eye(3, device=images.device, dtype=images.dtype).expand(len(images), 3, 3)
        if "b" in self.pipeline:
            inverse = self._blitted(images, inverse)
        return self._bent(images, inverse) if "g" in self.pipeline else inverse

    def _blitted(self, images: Tensor, inverse: Tensor) -> Tensor:
        """Adds mirroring, quarter turns and shifts by whole pixels, none of which blurs."""
        mirrored = self._chosen(images, (self.uniform(images) * 2).floor(), 0.0)
        turns = self._chosen(images, (self.uniform(images) * 4).floor(), 0.0)
        moves = self._chosen(images, self.uniform(images, 2) * 0.25 - 0.125, 0.0)
        right, down = (moves[:, 0] * images.shape[3]).round(), (moves[:, 1] * images.shape[2]).round()
        return (
            inverse
            @ scaling(1 - 2 * mirrored, torch.ones_like(mirrored))
            @ rotation(math.pi / 2 * turns)
            @ shift(-right, -down)
        )

    def _bent(self, images: Tensor, inverse: Tensor) -> Tensor:
        """Adds scale, rotation before and after a change of aspect, and a shift; some rotation has probability p."""
        size = self._chosen(images, torch.exp2(0.2 * self.normal(images)), 1.0)
        turning = 1 - (1 - self.p).clamp(0, 1).sqrt()
        before = self._chosen(images, (self.uniform(images) * 2 - 1) * math.pi, 0.0, turning)
        aspect = self._chosen(images, torch.exp2(0.2 * self.normal(images)), 1.0)
        after = self._chosen(images, (self.uniform(images) * 2 - 1) * math.pi, 0.0, turning)
        moves = self._chosen(images, 0.125 * self.normal(images, 2), 0.0)
        inverse = (
            inverse @ scaling(1 / size, 1 / size) @ rotation(before) @ scaling(1 / aspect, aspect) @ rotation(after)
        )
        return inverse @ shift(-moves[:, 0] * images.shape[3], -moves[:, 1] * images.shape[2])

    def colouring(self, images: Tensor) -> Tensor:
        """Returns matrices (N, 4, 4) from colours (red, green, blue, 1) to colours."""
        p = self.colour * self.p
        brighter = self._chosen(images, 0.2 * self.normal(images), 0.0, p)
        stronger = self._chosen(images, torch.exp2(0.5 * self.normal(images)), 1.0, p)
        flipped = self._chosen(images, (self.uniform(images) * 2).floor(), 0.0, p)
        colour = torch.eye(4, device=images.device, dtype=images.dtype).repeat(len(images), 1, 1)
        colour[:, :3, 3] = brighter[:, None]
        colour = torch.cat([colour[:, :3] * stronger[:, None, None], colour[:, 3:]], 1)
        colour = luma_flip(flipped) @ colour
        if images.shape[1] == 1:
            return colour
        angle = self._chosen(images, (self.uniform(images) * 2 - 1) * math.pi, 0.0, p)
        vivid = self._chosen(images, torch.exp2(self.normal(images)), 1.0, p)
        return saturation(vivid) @ hue_rotation(angle) @ colour
