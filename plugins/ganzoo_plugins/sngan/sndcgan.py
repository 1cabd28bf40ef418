"""The plain convolutional networks of SNGAN: Miyato et al. 2018, table 3 ("standard CNN").

pfnet-research/chainer-gan-lib differs from them in places.
"""

from __future__ import annotations

import math
from typing import Literal

from torch import Tensor, nn

from ganzoo import SampleSpec
from ganzoo.networks import Generator, LeakyReLU, Reshape
from ganzoo.networks.normalization import SpectralConv2d, SpectralLinear

# (kernel, times the first width) of the discriminator's convolutions; those of kernel 4 halve the pixels.
STAGES = {
    "paper": ((3, 1), (4, 1), (3, 2), (4, 2), (3, 4), (4, 4), (3, 8)),
    "compare-gan": ((3, 1), (4, 2), (3, 2), (4, 4), (3, 4), (4, 8), (3, 8)),
}


def start_size(image: SampleSpec) -> tuple[int, int]:
    """Returns height and width before the three doublings; ValueError if the image cannot be halved three times."""
    if any(side % 8 or side < 16 for side in (image.height, image.width)):
        raise ValueError(
            "SNDCGAN generates images whose height and width are each a multiple of 8 from 16 pixels on, "
            f"not {image.extent}"
        )
    return image.height // 8, image.width // 8


def initialize(module: nn.Module) -> None:
    """Initializes weights from N(0, 0.02) and biases with 0."""
    for layer in module.modules():
        if isinstance(layer, (nn.Conv2d, nn.ConvTranspose2d, nn.Linear)):
            nn.init.normal_(layer.weight, 0.0, 0.02)
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)


class SNDCGANGenerator(Generator):
    """Latents (N, latent_dim) to images: a linear start, three 4×4 transposed convolutions, one of 3×3.

    Options:
        latent_dim: numbers in a latent.
        width: channels of the last hidden layer, an eighth of the first one's.
        normalize_start: whether batch norm and ReLU follow the linear layer, as in google/compare_gan.
    """

    def __init__(self, image: SampleSpec, latent_dim: int = 128, width: int = 64, normalize_start: bool = False):
        super().__init__()
        self.latent_dim = latent_dim
        widths = [width * times for times in (8, 4, 2, 1)]
        start = widths[0], *start_size(image)
        layers: list[nn.Module] = [nn.Linear(latent_dim, math.prod(start)), Reshape(*start)]
        layers += [nn.BatchNorm2d(widths[0]), nn.ReLU()] if normalize_start else []
        for wide, narrow in zip(widths, widths[1:], strict=False):
            layers += [nn.ConvTranspose2d(wide, narrow, 4, 2, 1), nn.BatchNorm2d(narrow), nn.ReLU()]
        self.main = nn.Sequential(*layers, nn.Conv2d(width, image.channels, 3, padding=1), nn.Tanh())
        initialize(self)

    def forward(self, latent: Tensor, label: Tensor | None = None) -> Tensor:
        return self.main(latent)


class SNDCGANDiscriminator(nn.Module):
    """Images to logits (N,): 3×3 convolutions and halving 4×4 ones in turn, leaky ReLU 0.1, a linear layer.

    All layers are spectrally normalized. The channels of the "paper": 64, 64, 128, 128, 256, 256, 512; of
    "compare-gan": 64, 128, 128, 256, 256, 512, 512.

    Options:
        width: channels of the first layer; later ones have multiples of it.
        order: where the channels double: as in the "paper" or in "compare-gan".
    """

    def __init__(self, image: SampleSpec, width: int = 64, order: Literal["paper", "compare-gan"] = "paper"):
        super().__init__()
        inputs = image.channels
        layers: list[nn.Module] = []
        for kernel, times in STAGES[order]:
            layers += [SpectralConv2d(inputs, width * times, kernel, 2 if kernel == 4 else 1, 1), LeakyReLU(0.1)]
            inputs = width * times
        self.main = nn.Sequential(*layers, nn.Flatten(), SpectralLinear(math.prod((inputs, *start_size(image))), 1))
        initialize(self)

    def forward(self, images: Tensor, label: Tensor | None = None) -> Tensor:
        return self.main(images).flatten()
