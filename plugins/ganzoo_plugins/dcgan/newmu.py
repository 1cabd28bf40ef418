"""The generator of the DCGAN authors' own Theano code (github.com/Newmu/dcgan_code), which differs from the one in `model`.

A linear layer makes the 4×4 start and is normalized feature by feature, kernels are 5×5, and the faces' latents are uniform in
[-1, 1] (paper section 4; the house numbers' are normal). The authors normalize by the statistics of the batch even when they draw,
so that an image depends on its neighbours; here running statistics are kept as usual, with the authors' epsilon of 1e-8.
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn

from ganzoo import ImageSpec
from ganzoo.networks import Generator, Reshape

from .model import initialize, stages

EPSILON = 1e-8


class NewmuGenerator(Generator):
    """Latents (N, latent_dim) to images: linear, then transposed 5×5 convolutions, batch norm and ReLU, tanh at the end.

    `width` is the channels before the last layer; each stage towards the start has twice as many. `prior` is what latents are
    drawn from: "uniform" in [-1, 1] or "normal".
    """

    def __init__(
        self, image: ImageSpec, latent_dim: int = 100, width: int = 128, prior: Literal["uniform", "normal"] = "uniform"
    ):
        super().__init__()
        if prior not in ("uniform", "normal"):
            raise ValueError(f"prior must be uniform or normal, not {prior!r}")
        self.latent_dim, self.prior = latent_dim, prior
        widths = [width * 2**i for i in reversed(range(stages(image)))]
        features = widths[0] * 16
        layers: list[nn.Module] = [
            nn.Linear(latent_dim, features, bias=False),
            nn.BatchNorm1d(features, EPSILON),
            nn.ReLU(True),
        ]
        layers += [Reshape(widths[0], 4, 4)]
        for wide, narrow in zip(widths, widths[1:], strict=False):
            layers += [doubling(wide, narrow), nn.BatchNorm2d(narrow, EPSILON), nn.ReLU(True)]
        layers += [doubling(width, image.channels), nn.Tanh()]
        self.main = nn.Sequential(*layers)
        initialize(self)
        nn.init.normal_(layers[0].weight, 0.0, 0.02)
        nn.init.normal_(layers[1].weight, 1.0, 0.02)

    def latent(self, n: int, random: torch.Generator) -> Tensor:
        if self.prior == "normal":
            return super().latent(n, random)
        return torch.rand(n, self.latent_dim, generator=random, device=random.device) * 2 - 1

    def interpolate(self, start: Tensor, end: Tensor, t: float) -> Tensor:
        return super().interpolate(start, end, t) if self.prior == "normal" else torch.lerp(start, end, t)

    def forward(self, latent: Tensor, label: Tensor | None = None) -> Tensor:
        return self.main(latent)


def doubling(wide: int, narrow: int) -> nn.ConvTranspose2d:
    """Twice the height and width: the gradient of a 5×5 convolution of stride 2 and padding 2."""
    return nn.ConvTranspose2d(wide, narrow, 5, 2, 2, output_padding=1, bias=False)


@torch.no_grad()
def keep_statistics(generator: NewmuGenerator, latents: int = 2_500, batch: int = 250, seed: int = 0) -> None:
    """Sets the running statistics of every batch norm to those over `latents` latents of a fixed seed, in float64.

    One layer after the other, each seeing what the layers before it make of their statistics: what a batch of that size would
    have, so that images hardly change and no longer depend on their neighbours. The generator must be in float64.
    """
    random = torch.Generator("cpu").manual_seed(seed)
    drawn = torch.cat([generator.latent(batch, random) for _ in range(latents // batch)]).double()
    generator.eval()
    for number, layer in enumerate(generator.main):
        if not isinstance(layer, (nn.BatchNorm1d, nn.BatchNorm2d)):
            continue
        before = generator.main[:number]
        total, squares, count = 0.0, 0.0, 0
        for part in drawn.split(batch):
            seen = before(part).transpose(0, 1).flatten(1)
            total, squares, count = total + seen.sum(1), squares + seen.square().sum(1), count + seen.shape[1]
        mean = total / count
        layer.running_mean.copy_(mean)
        layer.running_var.copy_(squares / count - mean.square())
