"""The discriminator and the losses of relativistic GANs.

Followed: AlexiaJM/RelativisticGAN `GAN_losses_iter.py` with `--arch 1 --spectral True`, the settings of `stable.sh`.
Its generator is SNDCGAN's, which variants use by name.
"""

from __future__ import annotations

from typing import Literal

from torch import Tensor, nn
from torch.nn import functional

from ganzoo import SampleSpec
from ganzoo.losses import Loss, Phase, Turn
from ganzoo.networks import LeakyReLU
from ganzoo.networks.normalization import SpectralConv2d

# (kernel, times the first width) of the convolutions; those of kernel 4 halve the pixels.
CONVOLUTIONS = ((3, 1), (4, 1), (3, 2), (4, 2), (3, 4), (4, 4), (3, 8))


class RelativisticDiscriminator(nn.Module):
    """Images to logits (N,): 3×3 convolutions and halving 4×4 ones in turn, leaky ReLU 0.1, a linear layer.

    Spectral normalization leaves out the linear layer, unlike in SNDCGAN. Convolutions start from N(0, 0.02); biases
    and the linear layer keep torch's initialization.

    Options:
        width: channels of the first layer; later ones have multiples of it.
        normalization: "spectral" of the convolutions, "batch" after each convolution but the last, or "none".
    """

    def __init__(
        self, image: SampleSpec, width: int = 64, normalization: Literal["spectral", "batch", "none"] = "spectral"
    ):
        super().__init__()
        if any(side % 8 or side < 16 for side in (image.height, image.width)):
            raise ValueError(
                "this discriminator takes images whose height and width are each a multiple of 8 from 16 on, "
                f"not {image.extent}"
            )
        if normalization not in ("spectral", "batch", "none"):
            raise ValueError(f"normalization must be spectral, batch or none, not {normalization!r}")
        convolution = SpectralConv2d if normalization == "spectral" else nn.Conv2d
        layers: list[nn.Module] = []
        inputs = image.channels
        for number, (kernel, times) in enumerate(CONVOLUTIONS):
            layer = convolution(inputs, width * times, kernel, 2 if kernel == 4 else 1, 1)
            nn.init.normal_(layer.weight, 0.0, 0.02)
            layers.append(layer)
            inputs = width * times
            if normalization == "batch" and number + 1 < len(CONVOLUTIONS):
                norm = nn.BatchNorm2d(inputs)
                nn.init.normal_(norm.weight, 1.0, 0.02)
                layers.append(norm)
            layers.append(LeakyReLU(0.1))
        features = inputs * (image.height // 8) * (image.width // 8)
        self.main = nn.Sequential(*layers, nn.Flatten(), nn.Linear(features, 1))

    def forward(self, images: Tensor, label: Tensor | None = None) -> Tensor:
        return self.main(images).flatten()


class Relativistic(Loss):
    """Raises real logits above fake ones, or for the generator the reverse (paper, equations 5 to 12).

    A subclass defines `compare(upper, lower)`, the cost of logits (N,) that are not above others. The generator sees a
    fresh real batch; means over the batch carry gradient. `critic_steps` is the number of discriminator steps per
    generator step.
    """

    def __init__(self, image: SampleSpec, critic_steps: int = 1):
        super().__init__()
        self.phases = (
            Phase("discriminator", ("discriminator",), repeats=critic_steps),
            Phase("generator", ("generator",)),
        )

    def compare(self, upper: Tensor, lower: Tensor) -> dict[str, Tensor]:
        """Returns the terms, each a scalar."""
        raise TypeError(f"{type(self).__name__} must define compare(upper, lower)")

    def discriminator(self, turn: Turn) -> dict[str, Tensor]:
        real, fake = turn.logits(turn.real), turn.logits(turn.fake)
        return self.compare(real, fake)

    def generator(self, turn: Turn) -> dict[str, Tensor]:
        fake, real = turn.logits(turn.fake), turn.logits(turn.real)  # in this order the official power method moves on
        return self.compare(fake, real)


class RelativisticPairs(Relativistic):
    """RSGAN: softplus(−(r − f)) for pairs by index of two batches of equal size.

    Options:
        critic_steps: updates of the discriminator for each of the generator.
    """

    def compare(self, upper: Tensor, lower: Tensor) -> dict[str, Tensor]:
        return {"pairs": functional.softplus(lower - upper).mean()}


class RelativisticAverage(Relativistic):
    """RaSGAN: ½ softplus(−(r − mean f)) + ½ softplus(f − mean r).

    Options:
        critic_steps: updates of the discriminator for each of the generator.
    """

    def compare(self, upper: Tensor, lower: Tensor) -> dict[str, Tensor]:
        above, below = upper - lower.mean(), lower - upper.mean()
        return {"above": functional.softplus(-above).mean() / 2, "below": functional.softplus(below).mean() / 2}


class RelativisticAverageLeastSquares(Relativistic):
    """RaLSGAN: ½ (r − mean f − 1)² + ½ (f − mean r + 1)².

    Options:
        critic_steps: updates of the discriminator for each of the generator.
    """

    def compare(self, upper: Tensor, lower: Tensor) -> dict[str, Tensor]:
        above, below = upper - lower.mean(), lower - upper.mean()
        return {"above": (above - 1).square().mean() / 2, "below": (below + 1).square().mean() / 2}


class RelativisticAverageHinge(Relativistic):
    """RaHinge: ½ max(0, 1 − (r − mean f)) + ½ max(0, 1 + (f − mean r)).

    Options:
        critic_steps: updates of the discriminator for each of the generator.
    """

    def compare(self, upper: Tensor, lower: Tensor) -> dict[str, Tensor]:
        above, below = upper - lower.mean(), lower - upper.mean()
        return {"above": functional.relu(1 - above).mean() / 2, "below": functional.relu(1 + below).mean() / 2}
