"""The loss of FastGAN: hinges of random margins, and real images that the discriminator must redraw (section 3.2)."""

from __future__ import annotations

import inspect
from collections.abc import Mapping

import torch
from torch import Tensor

from ganzoo import LocalPath, SampleSpec
from ganzoo.losses import Loss, Phase, Turn
from ganzoo.networks import FrozenNetwork
from ganzoo.networks.perceptual import frozen_vgg19, perceptual_assets

LAYERS = {"relu1_2": 1 / 5, "relu2_2": 1 / 5, "relu3_4": 1 / 5, "relu4_4": 1 / 5, "relu5_4": 1 / 5}
LEAST = 32  # pixels, of which decoders draw 16


class FastGAN(Loss):
    """mean relu(m − r) + mean relu(m + f) against −mean f, with every margin m uniform in [0.8, 1).

    The discriminator also redraws the real images that it saw, after augmentation: the sum of three mean distances is
    added. The distance is that of pixels, |a − b|, or that of features of VGG-19. The generator's step reuses the fakes
    of the discriminator's.

    Options:
        reconstruction: factor of the distances of what the discriminator redraws.
        perceptual: file of VGG-19's weights, whose features then measure them; "": pixels do.
    """

    heads = ("part",)
    boundary = 0.0
    phases = (Phase("discriminator", ("discriminator",)), Phase("generator", ("generator",), fresh=False))

    def __init__(self, image: SampleSpec, reconstruction: float = 1.0, perceptual: LocalPath = ""):
        super().__init__()
        if perceptual and image.size < LEAST:
            raise ValueError(f"VGG-19 cannot see what is redrawn of {image.size} pixels: leave out perceptual")
        self.reconstruction = reconstruction
        self.assets = perceptual_assets(perceptual, image)
        self.vgg: FrozenNetwork | None = None

    def load_assets(self, tensors: Mapping[str, Mapping[str, Tensor]]) -> None:
        self.vgg = frozen_vgg19(tensors["perceptual"], LAYERS)

    def discriminator(self, turn: Turn) -> dict[str, Tensor]:
        quarter = (turn.uniform() * 4).long().clamp(max=3)
        real, redrawn = turn.logits(turn.real, part=quarter)
        fake = turn.logits(self._generated(turn))
        terms = {
            name: torch.relu(0.8 + 0.2 * turn.uniform(*logits.shape[1:]) + sign * logits).mean()
            for name, sign, logits in (("real", -1, real), ("fake", 1, fake))
        }
        distances = [self._distance(ours, truth) for ours, truth in redrawn]
        return {**terms, "reconstruction": self.reconstruction * torch.stack(distances).sum()}

    def generator(self, turn: Turn) -> dict[str, Tensor]:
        return {"fake": -turn.logits(self._generated(turn)).mean()}

    def _distance(self, ours: Tensor, truth: Tensor) -> Tensor:
        return (ours - truth).abs().mean() if self.vgg is None else self.vgg(ours, truth)

    def _generated(self, turn: Turn) -> Tensor:
        """Makes `turn.fake`, with noise that does not depend on how the batch is split."""
        takes_noise = "noise" in inspect.signature(turn.generator.forward).parameters
        return turn.made("fake", noise=turn.normal) if takes_noise else turn.fake
