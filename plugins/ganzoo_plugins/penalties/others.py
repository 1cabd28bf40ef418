"""Regularizers without a gradient of the discriminator: LeCam, consistency, orthogonal weights, and top-k."""

from __future__ import annotations

import itertools
import math
from typing import Literal, cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from ganzoo import SampleSpec
from ganzoo.errors import UsageError
from ganzoo.losses import Regularizer, Turn
from ganzoo.networks import shifted


class LeCam(Regularizer):
    """λ · (mean relu(D(x) − a_F)² + mean relu(a_R − D(G(z)))²) with moving averages a (Tseng et al. 2021).

    a_R and a_F are moving averages of the mean logits. As in google/lecam-gan, they are updated first, with the loss's
    logits; at first they are the newest means and the term is zero. Both differences change sign for a loss that gives
    real images the lower logits.

    Options:
        strength: factor λ of the term.
        decay: share of the moving averages that a step keeps.
        start: step until which the averages are the newest means, and the term is zero.
    """

    real: Tensor
    fake: Tensor

    def __init__(self, image: SampleSpec, strength: float = 0.3, decay: float = 0.9, start: int = 1000):
        super().__init__()
        self.strength, self.decay, self.start = strength, decay, start
        self.register_buffer("real", torch.zeros(()))
        self.register_buffer("fake", torch.zeros(()))

    def first_step(self, batch: int, epoch: float) -> float:
        return max(self.start, 0)

    def forward(self, turn: Turn) -> dict[str, Tensor]:
        real, fake = turn.real_logits, turn.fake_logits
        number = turn.step + 1  # the official code counts from 1
        decay = self.decay if number >= self.start else 0.0
        with torch.no_grad():  # replaced, not changed in place: an earlier term may still need the old ones
            self.real = decay * self.real + (1 - decay) * real.mean().to(self.real.dtype)
            self.fake = decay * self.fake + (1 - decay) * fake.mean().to(self.fake.dtype)
        if number <= self.start:
            return {"distance": real.new_zeros(())}
        above, below = real - self.fake, self.real - fake
        above, below = (-above, -below) if turn.real_is_low else (above, below)
        distance = functional.relu(above).square().mean() + functional.relu(below).square().mean()
        return {"distance": self.strength * distance}


class Consistency(Regularizer):
    """λ · mean (D(T(x)) − D(x))² of real images x (Zhang et al. 2019).

    T mirrors half of them and moves all; zeros fill the uncovered part. As in mit-han-lab/data-efficient-gans
    (`CR_augment=flip,translation`); there T is applied after DiffAugment, here before, with an independent sample of
    it. D(x) is what the loss already computed. Maps of logits, which move with the image, and images with a source,
    which would have to move too, are refused.

    Options:
        strength: factor λ of the term.
        shift: largest move of an image, as a share of its side.
    """

    kinds = ("image",)

    def __init__(self, image: SampleSpec, strength: float = 10.0, shift: float = 0.125):
        super().__init__()
        if not 0 <= shift < 1:
            raise ValueError(f"shift is a share of the image, at least 0 and below 1, not {shift}")
        if image.sources:
            raise ValueError(f"it moves images, and not the {' and '.join(image.sources)} that belongs to them")
        self.strength, self.shift = strength, shift

    def forward(self, turn: Turn) -> dict[str, Tensor]:
        before = turn.real_logits
        if before.ndim > 1:
            raise UsageError(
                f"consistency compares logits, not maps of {tuple(before.shape[1:])} of them: leave it out."
            )
        chance = turn.uniform(3)
        reach = int(self.shift * turn.real.shape[-1] + 0.5)
        down, right = ((chance[:, 1:] * (2 * reach + 1)).long().clamp(max=2 * reach) - reach).unbind(1)
        after = turn.logits(shifted(turn.real, down, right, flip=chance[:, 0] < 0.5))
        after = after[0] if isinstance(after, tuple) else after
        return {"difference": self.strength * (after - before).square().mean()}


class Orthogonal(Regularizer):
    """β/2 · Σ ‖W Wᵀ ⊙ (1 − I)‖² over the weights W of a network (Brock et al. 2018, equation 3).

    It makes rows orthogonal and leaves their norms free. The gradient is that of `ortho` in ajbrock/BigGAN-PyTorch,
    β·2(W Wᵀ ⊙ (1 − I))W, so a β of 1e-4 is the same. W is a parameter of two or more dimensions with all but its first
    flattened; embeddings are left out.

    Options:
        network: "generator" or "discriminator".
        strength: factor β of the term.
    """

    def __init__(
        self, image: SampleSpec, network: Literal["generator", "discriminator"] = "generator", strength: float = 1e-4
    ):
        super().__init__()
        if network not in ("generator", "discriminator"):
            raise ValueError(f"network must be generator or discriminator, not {network}")
        self.network, self.strength, self.phase = network, strength, network

    def forward(self, turn: Turn) -> dict[str, Tensor]:
        network = getattr(turn, self.network)
        embeddings = {
            id(p) for module in network.modules() if isinstance(module, nn.Embedding) for p in module.parameters()
        }
        weights = [
            p.flatten(1) for p in network.parameters() if p.ndim >= 2 and p.requires_grad and id(p) not in embeddings
        ]
        return {"rows": self.strength / 2 * cast(Tensor, sum(_overlap(weight) for weight in weights))}


def _overlap(weight: Tensor) -> Tensor:
    with torch.autocast(weight.device.type, enabled=False):
        products = weight @ weight.T
        return (products - torch.diag(products.diagonal())).square().sum()


class TopK(Regularizer):
    """Trains the generator on the k fakes with the highest logits (Sinha et al. 2020), or energies: the lowest.

    k shrinks from the whole batch to a share of it. The other fakes' logits are detached and the selected ones'
    gradients scaled by N/k, so that the gradient of a mean over the batch is that of a mean over the k; the logged
    value is of all N. Each micro-batch and process selects among its own. Maps of logits are ranked by each fake's
    mean.

    Options:
        decay: factor of k with every epoch.
        least: smallest k, as a share of the batch.
    """

    phase = "generator"

    def __init__(self, image: SampleSpec, decay: float = 0.99, least: float = 0.5):
        super().__init__()
        if not (0 < decay <= 1 and 0 < least <= 1):
            raise ValueError(f"decay and least must be above 0 and at most 1, not {decay} and {least}")
        self.decay, self.least = decay, least

    def first_step(self, batch: int, epoch: float) -> float:
        if self.kept(batch, 10**6) == batch:
            return math.inf
        return epoch * next(number for number in itertools.count() if self.kept(batch, number) < batch)

    def kept(self, count: int, epoch: int) -> int:
        """Returns k of `count` fakes in this epoch."""
        return max(int(count * max(self.decay**epoch, self.least)), 1)

    def select(self, turn: Turn, logits: Tensor) -> Tensor:
        k = self.kept(len(logits), turn.epoch)
        if k == len(logits):
            return logits
        ranks = logits if logits.ndim == 1 else logits.flatten(1).mean(1)
        chosen = torch.zeros_like(logits).index_fill_(
            0, ranks.topk(k, dim=0, largest=not turn.real_is_low).indices.flatten(), len(logits) / k
        )
        still = logits.detach()
        return still + chosen * (logits - still)
