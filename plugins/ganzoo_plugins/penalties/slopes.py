"""Penalties on the slope of the discriminator, for discriminators without batch norm.

Each needs the gradient of every sample alone.
"""

from __future__ import annotations

from torch import Tensor

from ganzoo import SampleSpec
from ganzoo.losses import Regularizer, Turn, gradient_penalty, zero_centred_penalty


class Slope(Regularizer):
    """Base of the penalties: with `every`, a penalty runs only in every so-many-th step, `every` times as strong.

    Karras et al. 2020a, section 3.1 (lazy regularization); the gain is `gain=self.r1_interval` in
    stylegan2-ada-pytorch.
    """

    needs_per_sample_gradients = True

    def __init__(self, every: int):
        super().__init__()
        if every < 1:
            raise ValueError(f"every must be at least 1, not {every}")
        self.every = every


class R1(Slope):
    """γ/2 · mean ‖∇D(x)‖² at real images x before their augmentation (Mescheder et al. 2018, equation 9).

    The convention of StyleGAN2 and R3GAN: γ/2 times the mean over the batch of each sample's sum of squares.
    Mescheder's own code omits the ½: its `reg_param` 10 is `gamma` 20 here. The default 10 is StyleGAN2's.

    Options:
        gamma: factor γ of the penalty, twice that of a convention without the ½.
        every: steps between two evaluations; the term is multiplied by it (lazy regularization).
    """

    def __init__(self, image: SampleSpec, gamma: float = 10.0, every: int = 1):
        super().__init__(every)
        self.gamma = gamma

    def forward(self, turn: Turn) -> dict[str, Tensor]:
        return {"penalty": self.every * self.gamma * zero_centred_penalty(turn.logits, turn.real)}


class R2(Slope):
    """γ/2 · mean ‖∇D(x)‖² at detached fakes x (Mescheder et al. 2018, equation 10; R3GAN uses it with R1).

    Options:
        gamma: factor γ; half of it multiplies the squared gradient norm at fakes.
        every: steps between two evaluations; the term is multiplied by it (lazy regularization).
    """

    def __init__(self, image: SampleSpec, gamma: float = 10.0, every: int = 1):
        super().__init__(every)
        self.gamma = gamma

    def forward(self, turn: Turn) -> dict[str, Tensor]:
        fake, label = turn.scored_fake  # the loss may have sampled labels of their own for them
        penalty = zero_centred_penalty(lambda images: turn.logits(images, label), fake)
        return {"penalty": self.every * self.gamma * penalty}


class GradientPenalty(Slope):
    """λ · mean (‖∇D(x̂)‖₂ − 1)² at x̂ uniformly between a real image and a fake (Gulrajani et al. 2017, equation 3).

    One-sided penalties are those of section 4 of the paper, and of Petzka et al. 2018.

    Options:
        penalty: factor λ of the penalty.
        target: norm of the gradient at which there is no penalty.
        one_sided: whether norms below the target are free.
        every: steps between two evaluations; the term is multiplied by it (lazy regularization).
    """

    def __init__(
        self, image: SampleSpec, penalty: float = 10.0, target: float = 1.0, one_sided: bool = False, every: int = 1
    ):
        super().__init__(every)
        self.penalty, self.target, self.one_sided = penalty, target, one_sided

    def forward(self, turn: Turn) -> dict[str, Tensor]:
        slope = gradient_penalty(turn.logits, turn.real, turn.fake, turn.uniform(1, 1, 1), self.target, self.one_sided)
        return {"penalty": self.every * self.penalty * slope}


class DraganPenalty(Slope):
    """λ · mean (‖∇D(x̂)‖₂ − 1)² at x̂ = x + α·c·std(x)·u, around real images (Kodali et al. 2017).

    As in the authors' notebook: u is uniform in [0, 1) for each pixel, so the noise is never negative; std is one
    number, that of the whole minibatch; α is uniform in [0, 1), one for each image.

    Options:
        penalty: factor λ of the penalty.
        spread: size c of the noise, in standard deviations of the minibatch.
        every: steps between two evaluations; the term is multiplied by it (lazy regularization).
    """

    def __init__(self, image: SampleSpec, penalty: float = 10.0, spread: float = 0.5, every: int = 1):
        super().__init__(every)
        self.penalty, self.spread = penalty, spread

    def forward(self, turn: Turn) -> dict[str, Tensor]:
        real = turn.real
        noisy = real + self.spread * real.std(correction=0) * turn.uniform(*real.shape[1:])
        return {
            "penalty": self.every * self.penalty * gradient_penalty(turn.logits, real, noisy, turn.uniform(1, 1, 1))
        }
