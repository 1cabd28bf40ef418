"""The loss of super-resolution with a GAN: of SRGAN, and with other options of ESRGAN and Real-ESRGAN.

Followed: XPixelGroup/BasicSR `basicsr/models/srgan_model.py`, `esrgan_model.py` and `realesrgan_model.py`.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor
from torch.nn import functional

from ganzoo import LocalPath, SampleSpec
from ganzoo.losses import Loss, Phase, Turn
from ganzoo.networks import FrozenNetwork, sharpened
from ganzoo.networks.perceptual import frozen_vgg19, layer_names, perceptual_assets

LAYERS = {"conv5_4": 1.0}  # of VGG-19, before the ReLU


class SuperResolution(Loss):
    """Pixels like those of the target, and a discriminator that takes them for real; the generator steps first.

    With an `adversarial` weight of 0 the discriminator has no phase, which is the pre-training on pixels alone.
    Relativistic logits are those of Wang et al. 2018, section 3.2. A sharpened target is that of Wang et al. 2021,
    section 3.4; the discriminator sees the plain one. Errors are of pixels in [0, 1].

    Options:
        pixel: weight of the mean absolute error.
        adversarial: weight of the cross-entropy of logits; 0: pixels alone.
        relativistic: whether logits are differences from the mean of the other kind.
        sharpen: whether errors are those from a sharpened target.
        perceptual: file of VGG-19's weights, for the distance of its features; "": none.
        perceptual_weight: factor of the distance of VGG-19's features.
        layers: weight of each of VGG-19's layers in that distance, by its name.
    """

    phases: tuple[Phase, ...] = (
        Phase("generator", ("generator",)),
        Phase("discriminator", ("discriminator",), fresh=False),
    )

    def __init__(
        self,
        image: SampleSpec,
        pixel: float = 1e-2,
        adversarial: float = 5e-3,
        relativistic: bool = False,
        sharpen: bool = False,
        perceptual: LocalPath = "",
        perceptual_weight: float = 1.0,
        layers: dict[str, float] | None = None,
    ):
        super().__init__()
        weights = {"pixel": pixel, "adversarial": adversarial, "perceptual_weight": perceptual_weight}
        if wrong := [f"{name}={weight}" for name, weight in weights.items() if weight < 0]:
            raise ValueError(f"weights are 0 or more, got {', '.join(wrong)}")
        if pixel == adversarial == 0 and not perceptual:
            raise ValueError("pixel and adversarial are 0 and perceptual names no file, so there is nothing to learn")
        if unknown := sorted((layers or {}).keys() - set(layer_names())):
            raise ValueError(f"layers of VGG-19 are conv1_1, relu1_1, ... pool5, got {', '.join(unknown)}")
        self.pixel, self.adversarial = pixel, adversarial
        self.relativistic, self.sharpen = relativistic, sharpen
        self.perceptual_weight, self.layers = perceptual_weight, layers or LAYERS
        self.assets = perceptual_assets(perceptual, image)
        self.vgg: FrozenNetwork | None = None
        self.boundary = None if relativistic else 0.0
        if adversarial == 0:
            self.phases = self.phases[:1]

    def load_assets(self, tensors: Mapping[str, Mapping[str, Tensor]]) -> None:
        self.vgg = frozen_vgg19(tensors["perceptual"], self.layers)

    def generator(self, turn: Turn) -> dict[str, Tensor]:
        target, terms = self.target(turn), {}
        if self.pixel:
            terms["pixel"] = self.pixel * (turn.fake - target).abs().mean() / 2
        if self.vgg is not None:
            terms["perceptual"] = self.perceptual_weight * self.vgg(turn.fake, target)
        if self.adversarial and self.relativistic:
            with torch.no_grad():
                real = turn.logits(turn.real)
            logits = turn.logits(turn.fake)
            fooled = functional.softplus(real - logits.mean()).mean() + functional.softplus(real.mean() - logits).mean()
            terms["adversarial"] = self.adversarial * fooled / 2
        elif self.adversarial:
            terms["adversarial"] = self.adversarial * functional.softplus(-turn.logits(turn.fake)).mean()
        return terms

    def discriminator(self, turn: Turn) -> dict[str, Tensor]:
        real, fake = turn.logits(turn.real), turn.logits(turn.fake)
        if not self.relativistic:
            return {"real": functional.softplus(-real).mean(), "fake": functional.softplus(fake).mean()}
        over, under = real - fake.mean().detach(), fake - real.mean().detach()
        return {"real": functional.softplus(-over).mean() / 2, "fake": functional.softplus(under).mean() / 2}

    def target(self, turn: Turn) -> Tensor:
        """The real images (N, C, H, W) in [-1, 1], sharpened or not."""
        if not self.sharpen:
            return turn.real
        with torch.no_grad(), torch.autocast(turn.real.device.type, enabled=False):
            return sharpened(turn.real)
