"""The networks of CGAN; its loss is the first GAN's, with the label given to both.

Followed: the paper, section 4.1. It does not say how weights start, nor whether pixels and latents are dropped too: here hidden units
alone are dropped, and weights start as was found to learn: from latents and class such that the game does not forget the latents.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

from ganzoo import ImageSpec
from ganzoo.networks import Maxout, Reshape, UniformGenerator, logits_of_mean


def initialize(layer: nn.Linear, reach: float, mean: float = 0.0) -> None:
    """Weights uniform in [-reach, reach]; biases such that inputs which are all `mean` give 0."""
    nn.init.uniform_(layer.weight, -reach, reach)
    with torch.no_grad():
        layer.bias.copy_(-mean * layer.weight.sum(1))


def check_labels(image: ImageSpec) -> None:
    """ValueError unless the images have labels."""
    if image.classes == 0:
        raise ValueError("CGAN needs labelled images")


def one_hot(label: Tensor, classes: int, like: Tensor) -> Tensor:
    """Labels (N,) as vectors (N, classes) of the type of `like`."""
    return functional.one_hot(label, classes).to(like.dtype)


class CGANGenerator(UniformGenerator):
    """Latents (N, latent_dim), uniform in [0, 1), and labels to images: each to a hidden layer of its own, then to a common one.

    Half of the hidden units are dropped while it learns. The last layer is a sigmoid, stretched from [0, 1] to [-1, 1]. Its weights see the
    latents with mean 0 and variance 1: the same functions as of the bare numbers, but the gradient of these weights is then about what
    tells latents apart, not about what they have in common, and drawings of a class stay different.
    """

    middle, edge = 0.5, 0.5

    def __init__(
        self,
        image: ImageSpec,
        latent_dim: int = 100,
        latent_width: int = 200,
        label_width: int = 1000,
        width: int = 1200,
        dropout: float = 0.5,
        label_reach: float | None = None,
    ):
        super().__init__()
        check_labels(image)
        self.latent_dim, self.classes = latent_dim, image.classes
        self.from_latent, self.from_label = nn.Linear(latent_dim, latent_width), nn.Linear(image.classes, label_width)
        self.main = nn.Sequential(
            *[
                nn.ReLU(),
                nn.Dropout(dropout),
                nn.Linear(latent_width + label_width, width),
                nn.ReLU(),
                nn.Dropout(dropout),
            ],
            *[
                nn.Linear(width, image.channels * image.size**2),
                nn.Sigmoid(),
                Reshape(image.channels, image.size, image.size),
            ],
        )
        self.initialize(math.sqrt(50 / label_width) if label_reach is None else label_reach)

    def initialize(self, label_reach: float) -> None:
        """Weights as He et al. 2015 draw them, so that latents reach the last layer undiminished; ±`label_reach` from the class.

        The class starts fainter than the latents: where it is as loud, what all drawings of a class share is learned so much faster than
        what tells them apart that nothing tells them apart any more. ±√(50/label_width), found by trying, keeps its hidden units together
        as loud at any width. Half of He's variance in the last layer leaves the sigmoid unsaturated.
        """
        common, last = self.main[2], self.main[5]
        initialize(self.from_latent, math.sqrt(6 / self.latent_dim))
        initialize(self.from_label, label_reach, mean=1 / self.classes)
        initialize(common, math.sqrt(6 / common.in_features))
        initialize(last, math.sqrt(3 / last.in_features))

    def init_from_data(self, mean: Tensor) -> None:
        """The output bias starts at the logit of each pixel's mean, as in the first GAN's code; the paper does not say."""
        with torch.no_grad():
            self.main[-3].bias.copy_(logits_of_mean(mean))

    def forward(self, latent: Tensor, label: Tensor | None = None) -> Tensor:
        standard = (latent - self.middle) * (math.sqrt(3) / self.edge)
        seen = self.from_latent(standard), self.from_label(one_hot(label, self.classes, latent))
        return self.main(torch.cat(seen, 1)) * 2 - 1


class CGANDiscriminator(nn.Module):
    """Images and labels to logits (N,): a maxout layer for each, then a common one; it sees pixels in [0, 1].

    Half of the hidden units are dropped while either network learns. Weights are uniform, ±0.005 as in the first GAN's code and
    ±`label_reach` from the class: a class is a single 1 beside hundreds of pixels.
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
        label_reach: float = 0.5,
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
        for layer in self.modules():
            if isinstance(layer, nn.Linear):
                initialize(layer, label_reach if layer is self.from_label.linear else 0.005)

    def forward(self, images: Tensor, label: Tensor | None = None) -> Tensor:
        pixels = (images.flatten(1) + 1) / 2
        seen = self.from_image(pixels), self.from_label(one_hot(label, self.classes, pixels))
        return self.main(torch.cat(seen, 1)).flatten()
