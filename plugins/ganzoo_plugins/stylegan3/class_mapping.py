"""The mapping of StyleGAN-XL: a label's numbers, which another network gave, beside the latent."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from ganzoo.networks import LeakyReLU
from ganzoo.networks.equalized import ScaledLinear, unit_length

GAIN = math.sqrt(2)


class ClassMapping(nn.Module):
    """Latents (N, latent_dim) and labels to vectors (N, outputs), by linear layers with leaky ReLU.

    A label has `features` numbers, in the official training the means of a classifier's features over a class of
    ImageNet. A layer makes `latent_dim` of them, which are normalized as the latent is and stand beside it (Sauer et
    al. 2022, 2202.00273, section 3.1).
    """

    def __init__(self, latent_dim: int, classes: int, features: int, outputs: int, layers: int):
        super().__init__()
        if layers < 1 or features < 1:
            raise ValueError(f"a mapping has at least one layer and one number for a label, not {layers}, {features}")
        self.embedding = nn.Embedding(classes, features)
        self.project = ScaledLinear(features, latent_dim)
        widths = [2 * latent_dim, *[outputs] * layers]
        self.layers = nn.ModuleList(
            ScaledLinear(before, after, multiplier=0.01) for before, after in zip(widths, widths[1:], strict=False)
        )
        self.activation = LeakyReLU(0.2)

    def forward(self, latent: Tensor, label: Tensor | None = None) -> Tensor:
        if label is None:
            raise ValueError("a conditional network needs labels")
        features = self.activation(self.project(self.embedding(label), GAIN))
        x = torch.cat([unit_length(latent), unit_length(features)], 1)
        for layer in self.layers:
            x = self.activation(layer(x, GAIN))
        return x
