"""The networks and the loss of DCGAN.

Followed: pytorch/examples `dcgan/main.py`, which at 64 px and 3 channels has 3,576,704 and 2,765,568 parameters. Other
sizes (multiples of 16, height and width apart) are ganzoo's adaptation: one stage fewer or more, so 32 px leaves out
the widest stage, and a start that is not 4×4 where doubling does not lead back to 4 pixels.
"""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional

from ganzoo import SampleSpec
from ganzoo.losses import Loss, Phase, Turn
from ganzoo.networks import Generator, rectangle_doublings


def initialize(module: nn.Module) -> None:
    """Initializes convolutions from N(0, 0.02), batch-norm scales from N(1, 0.02), shifts with 0 (paper section 4).

    This is `weights_init` in main.py.
    """
    for layer in module.modules():
        if isinstance(layer, (nn.Conv2d, nn.ConvTranspose2d)):
            nn.init.normal_(layer.weight, 0.0, 0.02)
        elif isinstance(layer, nn.BatchNorm2d):
            nn.init.normal_(layer.weight, 1.0, 0.02)
            nn.init.zeros_(layer.bias)


class DCGANGenerator(Generator):
    """Latents (N, latent_dim) to images: transposed 4×4 convolutions, batch norm and ReLU, tanh at the end.

    `main.<i>` has the same indices as the reference, so its checkpoints load.

    Options:
        latent_dim: numbers in a latent.
        width: channels of the last hidden layer; earlier ones have multiples of it.
    """

    def __init__(self, image: SampleSpec, latent_dim: int = 100, width: int = 64):
        super().__init__()
        self.latent_dim = latent_dim
        start, stages = rectangle_doublings(image.height, image.width)
        widths = [width * 2**i for i in reversed(range(stages))]
        layers: list[nn.Module] = [nn.ConvTranspose2d(latent_dim, widths[0], start, 1, 0, bias=False)]
        for wide, narrow in zip(widths, widths[1:], strict=False):
            layers += [nn.BatchNorm2d(wide), nn.ReLU(True), nn.ConvTranspose2d(wide, narrow, 4, 2, 1, bias=False)]
        layers += [
            nn.BatchNorm2d(width),
            nn.ReLU(True),
            nn.ConvTranspose2d(width, image.channels, 4, 2, 1, bias=False),
            nn.Tanh(),
        ]
        self.main = nn.Sequential(*layers)
        initialize(self)

    def forward(self, latent: Tensor, label: Tensor | None = None) -> Tensor:
        return self.main(latent[:, :, None, None])


class DCGANDiscriminator(nn.Module):
    """Images to logits (N,): strided 4×4 convolutions, batch norm from the second on, leaky ReLU 0.2.

    The reference ends in a sigmoid; here the loss takes logits, which is the same function without overflow.

    Options:
        width: channels of the first layer; later ones have multiples of it.
    """

    def __init__(self, image: SampleSpec, width: int = 64):
        super().__init__()
        end, stages = rectangle_doublings(image.height, image.width)
        widths = [width * 2**i for i in range(stages)]
        layers: list[nn.Module] = [nn.Conv2d(image.channels, width, 4, 2, 1, bias=False), nn.LeakyReLU(0.2, True)]
        for narrow, wide in zip(widths, widths[1:], strict=False):
            layers += [nn.Conv2d(narrow, wide, 4, 2, 1, bias=False), nn.BatchNorm2d(wide), nn.LeakyReLU(0.2, True)]
        layers += [nn.Conv2d(widths[-1], 1, end, 1, 0, bias=False)]
        self.main = nn.Sequential(*layers)
        initialize(self)

    def forward(self, images: Tensor, label: Tensor | None = None) -> Tensor:
        return self.main(images).flatten()


class NonSaturating(Loss):
    """Goodfellow et al. 2014, section 3, with the generator maximizing log D(G(z)).

    As in main.py the two discriminator terms are summed, not halved; real images and fakes pass separately (batch norm
    normalizes each alone); and the generator is scored by the updated discriminator on the same fakes. `fresh=True`
    samples new ones.

    Options:
        fresh: whether the generator learns from new fakes, not from those of the discriminator's step.
    """

    boundary = 0.0

    def __init__(self, image: SampleSpec, fresh: bool = False):
        super().__init__()
        self.phases = (
            Phase("discriminator", ("discriminator",)),
            Phase("generator", ("generator",), fresh=fresh),
        )

    def discriminator(self, turn: Turn) -> dict[str, Tensor]:
        real, fake = turn.logits(turn.real), turn.logits(turn.fake)
        return {"real": functional.softplus(-real).mean(), "fake": functional.softplus(fake).mean()}

    def generator(self, turn: Turn) -> dict[str, Tensor]:
        return {"fake": functional.softplus(-turn.logits(turn.fake)).mean()}
