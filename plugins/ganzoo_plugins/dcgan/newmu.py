"""The generator of the DCGAN authors' own Theano code (github.com/Newmu/dcgan_code), which differs from `model`.

A linear layer makes the 4×4 start and is normalized feature by feature, kernels are 5×5, and the latents of the face
models are uniform in [-1, 1] (paper section 4; those of the house numbers are normal). The authors normalize by batch
statistics even when sampling, so that an image depends on the others of its batch; here running statistics are kept as
usual, with the authors' epsilon of 1e-8.
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn

from ganzoo import SampleSpec
from ganzoo.networks import Generator, Reshape, doublings

from .model import initialize

EPSILON = 1e-8


class NewmuGenerator(Generator):
    """Latents (N, latent_dim) to images: linear, then transposed 5×5 convolutions, batch norm, ReLU, tanh at the end.

    Options:
        latent_dim: numbers in a latent.
        width: channels before the last layer; each earlier stage has twice as many.
        prior: distribution of the latents: "uniform" in [-1, 1] or "normal".
    """

    def __init__(
        self,
        image: SampleSpec,
        latent_dim: int = 100,
        width: int = 128,
        prior: Literal["uniform", "normal"] = "uniform",
    ):
        super().__init__()
        if prior not in ("uniform", "normal"):
            raise ValueError(f"prior must be uniform or normal, not {prior!r}")
        self.latent_dim, self.prior = latent_dim, prior
        _, stages = doublings(image.size, 4, least=2)
        widths = [width * 2**i for i in reversed(range(stages))]
        features = widths[0] * 16
        start, norm = nn.Linear(latent_dim, features, bias=False), nn.BatchNorm1d(features, EPSILON)
        layers: list[nn.Module] = [start, norm, nn.ReLU(True), Reshape(widths[0], 4, 4)]
        for wide, narrow in zip(widths, widths[1:], strict=False):
            layers += [doubling(wide, narrow), nn.BatchNorm2d(narrow, EPSILON), nn.ReLU(True)]
        layers += [doubling(width, image.channels), nn.Tanh()]
        self.main = nn.Sequential(*layers)
        initialize(self)
        nn.init.normal_(start.weight, 0.0, 0.02)
        nn.init.normal_(norm.weight, 1.0, 0.02)

    def latent(self, n: int, random: torch.Generator) -> Tensor:
        if self.prior == "normal":
            return super().latent(n, random)
        return torch.rand(n, self.latent_dim, generator=random, device=random.device, dtype=torch.float32) * 2 - 1

    def interpolate(self, start: Tensor, end: Tensor, t: float) -> Tensor:
        return super().interpolate(start, end, t) if self.prior == "normal" else torch.lerp(start, end, t)

    def forward(self, latent: Tensor, label: Tensor | None = None) -> Tensor:
        return self.main(latent)


def doubling(wide: int, narrow: int) -> nn.ConvTranspose2d:
    """Returns the gradient of a 5×5 convolution of stride 2 and padding 2: twice the height and width."""
    return nn.ConvTranspose2d(wide, narrow, 5, 2, 2, output_padding=1, bias=False)


@torch.no_grad()
def keep_statistics(generator: NewmuGenerator, latents: int = 2_500, batch: int = 250, seed: int = 0) -> None:
    """Sets the running statistics of every batch norm to those over `latents` latents of a fixed seed, in float64.

    Each layer's input uses the statistics just set in the layers before it. The result equals the statistics of a batch
    of that size, so that images hardly change and no longer depend on each other. The generator must be in float64.
    """
    random = torch.Generator("cpu").manual_seed(seed)
    drawn = torch.cat([generator.latent(batch, random) for _ in range(latents // batch)]).double()
    generator.eval()
    for number, layer in enumerate(generator.main):
        if not isinstance(layer, (nn.BatchNorm1d, nn.BatchNorm2d)):
            continue
        before = generator.main[:number]
        total, squares, count = torch.zeros((), dtype=torch.float64), torch.zeros((), dtype=torch.float64), 0
        for part in drawn.split(batch):
            seen = before(part).transpose(0, 1).flatten(1)
            total, squares, count = total + seen.sum(1), squares + seen.square().sum(1), count + seen.shape[1]
        mean = total / count
        assert layer.running_mean is not None and layer.running_var is not None
        layer.running_mean.copy_(mean)
        layer.running_var.copy_(squares / count - mean.square())
