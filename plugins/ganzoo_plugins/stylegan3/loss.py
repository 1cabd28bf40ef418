"""The loss of StyleGAN3: non-saturating terms and lazy R1 on images that are blurred at first (appendix G.2)."""

from __future__ import annotations

from torch import Tensor
from torch.nn.functional import softplus

from ganzoo import SampleSpec
from ganzoo.losses import Loss, Phase, Turn, zero_centred_penalty

from .filters import blurred


class BlurredLogistic(Loss):
    """softplus(−D(G(z))) against softplus(D(G(z))) + softplus(−D(x)), and R1 now and then, on blurred images.

    R1 is γ/2 ‖∇D(x)‖², times how rarely it runs. The official γ grows with the pixels: 2 at 256. Before D, and before
    augmentation, every image is blurred by a Gaussian, which a schedule lets fade: details come after shapes.

    Options:
        gamma: γ of R1; None: the official pixels² / 32768, 0: no R1.
        r1_every: steps between two evaluations of R1.
        blur: deviation in pixels of the blur of all images; 0: none.
    """

    boundary = 0.0
    needs_per_sample_gradients = True

    def __init__(self, image: SampleSpec, gamma: float | None = None, r1_every: int = 16, blur: float = 0.0):
        super().__init__()
        gamma = image.height * image.width / 32768 if gamma is None else gamma
        if r1_every < 1 or min(gamma, blur) < 0:
            raise ValueError(
                f"r1_every must be at least 1, gamma and blur at least 0, not {r1_every}, {gamma} and {blur}"
            )
        self.gamma, self.r1_every, self.blur = gamma, r1_every, float(blur)
        r1 = [Phase("r1", ("discriminator",), every=r1_every, fresh=False)] if gamma else []
        self.phases = (Phase("generator", ("generator",)), Phase("discriminator", ("discriminator",)), *r1)

    def generator(self, turn: Turn) -> dict[str, Tensor]:
        return {"fake": softplus(-self._logits(turn, "fake")).mean()}

    def discriminator(self, turn: Turn) -> dict[str, Tensor]:
        real, fake = self._logits(turn, "real"), self._logits(turn, "fake")
        return {"real": softplus(-real).mean(), "fake": softplus(fake).mean()}

    def r1(self, turn: Turn) -> dict[str, Tensor]:
        """R1 with respect to the images before the blur."""
        penalty = zero_centred_penalty(lambda images: turn.logits(blurred(images, self.blur)), turn.real)
        return {"penalty": self.r1_every * self.gamma * penalty}

    def _logits(self, turn: Turn, source: str) -> Tensor:
        if source == "real":
            return turn.logits(blurred(turn.real, self.blur), stands_for="real")
        return turn.logits(blurred(turn.fake, self.blur), stands_for="fake")
