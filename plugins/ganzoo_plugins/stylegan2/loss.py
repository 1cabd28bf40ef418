"""The loss of StyleGAN2: non-saturating terms, and R1 and path length now and then (Karras et al. 2020, section 3)."""

from __future__ import annotations

import inspect
import math
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import softplus

from ganzoo import SampleSpec
from ganzoo.errors import UsageError
from ganzoo.losses import Loss, Phase, Turn, zero_centred_penalty
from ganzoo.networks import second_order

PATH_DECAY = 0.01


class LazyLogistic(Loss):
    """softplus(−D(G(z))) against softplus(D(G(z))) + softplus(−D(x)), with two lazy penalties of steps of their own.

    R1 is γ/2 ‖∇D(x)‖², on the real images of the step before augmentation. Path length regularization (equation 4) is
    (length − its running mean)², on every second latent. Both are multiplied by how rarely they run. The official γ for
    a batch of 32 is 0.0002 · pixels² / 32. Mixed styles change at a layer that is drawn for each image.

    Options:
        gamma: γ of R1; None: the official one by the pixels, 0: no R1.
        r1_every: steps between two evaluations of R1.
        path_weight: factor of path length regularization; 0: none.
        path_every: steps between two evaluations of path lengths.
        mixing: probability that later layers get the style of a second latent.
    """

    boundary = 0.0
    needs_per_sample_gradients = True
    mean_length: Tensor

    def __init__(
        self,
        image: SampleSpec,
        gamma: float | None = None,
        r1_every: int = 16,
        path_weight: float = 2.0,
        path_every: int = 4,
        mixing: float = 0.9,
    ):
        super().__init__()
        gamma = 0.0002 * image.height * image.width / 32 if gamma is None else gamma
        if min(r1_every, path_every) < 1 or min(gamma, path_weight) < 0 or not 0 <= mixing <= 1:
            raise ValueError(
                f"r1_every and path_every must be at least 1, gamma and path_weight at least 0, mixing from 0 to 1, "
                f"not {r1_every}, {path_every}, {gamma}, {path_weight} and {mixing}"
            )
        self.gamma, self.r1_every, self.path_weight, self.path_every = gamma, r1_every, path_weight, path_every
        self.mixing = mixing
        self.register_buffer("mean_length", torch.zeros(()))
        path = [Phase("path_length", ("generator",), every=path_every)] if path_weight else []
        r1 = [Phase("r1", ("discriminator",), every=r1_every, fresh=False)] if gamma else []
        self.phases = (
            Phase("generator", ("generator",)),
            *path,
            Phase("discriminator", ("discriminator",)),
            *r1,
        )

    def generator(self, turn: Turn) -> dict[str, Tensor]:
        self._generate(turn)
        return {"fake": softplus(-turn.logits(turn.fake)).mean()}

    def discriminator(self, turn: Turn) -> dict[str, Tensor]:
        self._generate(turn)
        real, fake = turn.logits(turn.real), turn.logits(turn.fake)
        return {"real": softplus(-real).mean(), "fake": softplus(fake).mean()}

    def r1(self, turn: Turn) -> dict[str, Tensor]:
        return {"penalty": self.r1_every * self.gamma * zero_centred_penalty(turn.logits, turn.real)}

    def path_length(self, turn: Turn) -> dict[str, Tensor]:
        """The gradient's length for each image, of its product with noise with respect to the styles, in float32."""
        generator, few = turn.generator, slice(None, None, 2)
        if not generator.has_mapping:
            raise UsageError(
                f"Path length regularization needs a generator with styles, which {type(generator).__name__} is not: "
                "--set loss.path_weight=0 leaves it out."
            )
        extra = self._extra(turn, few)
        label = None if turn.label is None else turn.label[few]
        with torch.autocast(turn.latent.device.type, enabled=False), second_order():
            styles = generator.mapping(turn.latent[few], label)
            if "mixing" in extra:
                styles = generator.mixed(styles, *extra.pop("mixing"), label)
            images = generator.synthesis(styles, label, **extra)
            noise = turn.normal(*images.shape[1:])[few] / math.sqrt(images.shape[2] * images.shape[3])
            (slope,) = torch.autograd.grad((images * noise).sum(), styles, create_graph=True)
            lengths = slope.reshape(len(slope), -1, slope.shape[-1]).square().sum(2).mean(1).sqrt()
            length = turn.gather(lengths).mean()
            mean = torch.lerp(self.mean_length.to(length.dtype), length, PATH_DECAY)
            self.mean_length.copy_(mean)
            # The running mean has a gradient too, of value 0 here so that each process adds its own share of it.
            own = lengths.mean()
            through_mean = 2 * PATH_DECAY * (mean - length) * (own - own.detach())
            penalty = (lengths - mean).square().mean() + through_mean
        return {"penalty": self.path_every * self.path_weight * penalty}

    def _generate(self, turn: Turn) -> None:
        """Makes `turn.fake`, with mixed styles and with noise that does not depend on how the batch is split."""
        turn.made("fake", **self._extra(turn))

    def _extra(self, turn: Turn, rows: slice = slice(None)) -> dict[str, Any]:
        """The noise and the second styles of these rows, as far as the generator takes them."""
        known = inspect.signature(turn.generator.forward).parameters
        extra: dict[str, Any] = {}
        if "noise" in known:
            extra["noise"] = lambda *shape: turn.normal(*shape)[rows]
        if "mixing" in known and self.mixing:
            layers = turn.generator.styles
            cut = 1 + (turn.uniform() * (layers - 1)).floor()
            cut = torch.where(turn.uniform() < self.mixing, cut, float(layers))
            extra["mixing"] = turn.normal(turn.generator.latent_dim)[rows], cut[rows]
        return extra
