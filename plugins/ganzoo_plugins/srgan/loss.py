"""The loss of super-resolution with a GAN: of SRGAN, and with other options of ESRGAN and Real-ESRGAN.

Followed: XPixelGroup/BasicSR `basicsr/models/srgan_model.py`, `esrgan_model.py` and `realesrgan_model.py`.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from ganzoo import SampleSpec
from ganzoo.losses import Loss, Phase, Turn
from ganzoo.networks import sharpened


class SuperResolution(Loss):
    """Pixels like those of the target, and a discriminator that takes them for real; the generator steps first.

    `pixel` is the weight of the mean absolute error, `adversarial` that of the cross-entropy of logits; with 0 for the
    latter the discriminator has no phase, which is the pre-training on pixels alone. With `relativistic`, logits are
    differences from the mean of the other kind (Wang et al. 2018, section 3.2). With `sharpen`, the error of pixels
    is that from a sharpened target (Wang et al. 2021, section 3.4); the discriminator sees the plain one. Errors are of
    pixels in [0, 1].
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
    ):
        super().__init__()
        if pixel < 0 or adversarial < 0:
            raise ValueError(f"weights are 0 or more, got pixel={pixel} and adversarial={adversarial}")
        if pixel == adversarial == 0:
            raise ValueError("pixel and adversarial are both 0, so there is nothing to learn")
        self.pixel, self.adversarial = pixel, adversarial
        self.relativistic, self.sharpen = relativistic, sharpen
        self.boundary = None if relativistic else 0.0
        if adversarial == 0:
            self.phases = self.phases[:1]

    def generator(self, turn: Turn) -> dict[str, Tensor]:
        fake, terms = (turn.fake + 1) / 2, {}
        if self.pixel:
            terms["pixel"] = self.pixel * (fake - self.target(turn)).abs().mean()
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
        """The real images in [0, 1] (N, C, H, W), sharpened or not."""
        with torch.no_grad(), torch.autocast(turn.real.device.type, enabled=False):
            return ((sharpened(turn.real) if self.sharpen else turn.real) + 1) / 2
