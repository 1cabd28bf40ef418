"""The loss of ProGAN: WGAN-GP with a drift term, and the cross-entropies of AC-GAN where there are labels."""

from __future__ import annotations

from typing import Any, cast

from torch import Tensor
from torch.nn import functional

from ganzoo import SampleSpec
from ganzoo.losses import Loss, Phase, Turn, gradient_penalty


class WassersteinDrift(Loss):
    """Karras et al. 2018, appendix A.1: f̄ − r̄ + λ·mean((‖∇‖₂ − t)²)/t² + ε·mean(r²), and −f̄ for the generator.

    The discriminator steps first, once a step; the generator's fakes are new. With labelled images and a `class_weight`
    above 0, the discriminator must answer `classes=True` with a tuple (scores, class logits (N, classes)), and
    cross-entropies are added: of real images and fakes for the discriminator, of fakes for the generator. A
    discriminator with a method `faded` gives real images the resolution that it has grown to.

    Options:
        penalty: factor λ of the gradient penalty.
        target: norm t of the gradient at which there is no penalty.
        drift: factor ε of the squares of real scores.
        class_weight: factor of the cross-entropies of classes; 0: none.
    """

    needs_per_sample_gradients = True
    phases = (Phase("discriminator", ("discriminator",)), Phase("generator", ("generator",)))

    def __init__(
        self,
        image: SampleSpec,
        penalty: float = 10.0,
        target: float = 1.0,
        drift: float = 0.001,
        class_weight: float = 1.0,
    ):
        super().__init__()
        if not target > 0:
            raise ValueError(f"target must be above 0, not {target}")
        self.penalty, self.target, self.drift, self.class_weight = penalty, target, drift, class_weight
        self.classify = image.classes > 0 and class_weight > 0
        self.heads = ("classes",) if self.classify else ()

    def judged(self, turn: Turn, images: Tensor, **stands: Any) -> tuple[Tensor, dict[str, Tensor]]:
        """Returns the scores, and by name the weighted cross-entropy of the classes where there are any."""
        if not self.classify:
            return turn.logits(images, **stands), {}
        scores, classes = turn.logits(images, classes=True, **stands)
        return scores, {"class": self.class_weight * functional.cross_entropy(classes, cast(Tensor, turn.label))}

    def discriminator(self, turn: Turn) -> dict[str, Tensor]:
        faded = getattr(turn.discriminator, "faded", None)
        image = turn.real if faded is None else faded(turn.real)
        (real, real_class), (fake, fake_class) = (
            self.judged(turn, image, stands_for="real"),
            self.judged(turn, turn.fake),
        )
        slope = gradient_penalty(turn.logits, image, turn.fake, turn.uniform(1, 1, 1), self.target)
        terms = {
            "real": -real.mean(),
            "fake": fake.mean(),
            "penalty": self.penalty / self.target**2 * slope,
            "drift": self.drift * real.square().mean(),
        }
        classes = {f"real-{name}": term for name, term in real_class.items()}
        return {**terms, **classes, **{f"fake-{name}": term for name, term in fake_class.items()}}

    def generator(self, turn: Turn) -> dict[str, Tensor]:
        fake, fake_class = self.judged(turn, turn.fake)
        return {"fake": -fake.mean(), **{f"fake-{name}": term for name, term in fake_class.items()}}
