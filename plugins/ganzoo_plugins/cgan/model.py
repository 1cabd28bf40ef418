"""The networks of CGAN; its loss is the first GAN's, with the label given to both.

Followed: the paper, section 4.1. It does not say how weights are drawn, nor whether pixels and latents are dropped too: here weights
are drawn as in the first GAN's code, on which the authors built, and hidden units alone are dropped.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from ganzoo import ImageSpec
from ganzoo.networks import Generator, Maxout, Reshape, logits_of_mean


def initialize(module: nn.Module, reach: float) -> None:
    """Weights uniform in [-reach, reach], biases 0: pylearn2's `irange`, with the first GAN's numbers."""
    for layer in module.modules():
        if isinstance(layer, nn.Linear):
            nn.init.uniform_(layer.weight, -reach, reach)
            nn.init.zeros_(layer.bias)


def check_labels(image: ImageSpec) -> None:
    """ValueError unless the images have labels."""
    if image.classes == 0:
        raise ValueError("CGAN needs labelled images")


def one_hot(label: Tensor, classes: int, like: Tensor) -> Tensor:
    """Labels (N,) as vectors (N, classes) of the type of `like`."""
    return functional.one_hot(label, classes).to(like.dtype)


class CGANGenerator(Generator):
    """Latents (N, latent_dim), uniform in [0, 1), and labels to images: each to a hidden layer of its own, then to a common one.

    Half of the hidden units are dropped while it learns. The last layer is a sigmoid, stretched from [0, 1] to [-1, 1].
    """

    def __init__(
        self,
        image: ImageSpec,
        latent_dim: int = 100,
        latent_width: int = 200,
        label_width: int = 1000,
        width: int = 1200,
        dropout: float = 0.5,
    ):
        super().__init__()
        check_labels(image)
        self.latent_dim, self.classes = latent_dim, image.classes
        self.from_latent, self.from_label = nn.Linear(latent_dim, latent_width), nn.Linear(image.classes, label_width)
        self.main = nn.Sequential(
            *[nn.ReLU(), nn.Dropout(dropout), nn.Linear(latent_width + label_width, width), nn.ReLU(), nn.Dropout(dropout)],
            *[nn.Linear(width, image.channels * image.size**2), nn.Sigmoid(), Reshape(image.channels, image.size, image.size)],
        )
        initialize(self, 0.05)

    def prepare(self, mean: Tensor) -> None:
        """The output bias starts at the logit of each pixel's mean, as in the first GAN's code; the paper does not say."""
        with torch.no_grad():
            self.main[-3].bias.copy_(logits_of_mean(mean))

    def latent(self, n: int, random: torch.Generator) -> Tensor:
        return torch.rand(n, self.latent_dim, generator=random, device=random.device)

    def truncate(self, latent: Tensor, truncation: float) -> Tensor:
        return 0.5 + (latent - 0.5) * min(2 * truncation, 1.0)  # at most `truncation` from the middle of the cube

    def between(self, start: Tensor, end: Tensor, share: float) -> Tensor:
        return torch.lerp(start, end, share)  # uniform numbers lie on no sphere

    def forward(self, latent: Tensor, label: Tensor | None = None) -> Tensor:
        seen = self.from_latent(latent), self.from_label(one_hot(label, self.classes, latent))
        return self.main(torch.cat(seen, 1)) * 2 - 1


class CGANDiscriminator(nn.Module):
    """Images and labels to logits (N,): a maxout layer for each, then a common one; it sees pixels in [0, 1].

    Half of the hidden units are dropped while either network learns.
    """

    def __init__(
        self,
        image: ImageSpec,
        units: int = 240,
        pieces: int = 5,
        label_units: int = 50,
        label_pieces: int = 5,
        joint_units: int = 240,
        joint_pieces: int = 4,
        dropout: float = 0.5,
    ):
        super().__init__()
        check_labels(image)
        self.classes = image.classes
        self.from_image = Maxout(image.channels * image.size**2, units, pieces)
        self.from_label = Maxout(image.classes, label_units, label_pieces)
        self.main = nn.Sequential(
            *[nn.Dropout(dropout), Maxout(units + label_units, joint_units, joint_pieces)],
            *[nn.Dropout(dropout), nn.Linear(joint_units, 1)],
        )
        initialize(self, 0.005)

    def forward(self, images: Tensor, label: Tensor | None = None) -> Tensor:
        pixels = (images.flatten(1) + 1) / 2
        seen = self.from_image(pixels), self.from_label(one_hot(label, self.classes, pixels))
        return self.main(torch.cat(seen, 1)).flatten()
