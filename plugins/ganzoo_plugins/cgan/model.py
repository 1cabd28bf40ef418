"""The networks of CGAN; its loss is the first GAN's, with the label given to both.

Followed: the paper, section 4.1. It does not give the initialization, nor whether dropout applies to pixels and latents
too. Here it applies to hidden units alone, and the initialization, found by experiment, keeps the generator from
ignoring its latents.
"""

from __future__ import annotations

import math
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from ganzoo import SampleSpec
from ganzoo.networks import Maxout, Reshape, UniformGenerator, logits_of_mean


def initialize(layer: nn.Linear, reach: float, mean: float = 0.0) -> None:
    """Initializes weights uniformly in [-reach, reach], and biases such that inputs equal to `mean` give 0."""
    nn.init.uniform_(layer.weight, -reach, reach)
    with torch.no_grad():
        layer.bias.copy_(-mean * layer.weight.sum(1))


def check_labels(image: SampleSpec) -> None:
    """Raises ValueError unless the images have labels."""
    if image.classes == 0:
        raise ValueError("CGAN needs labelled images")


def one_hot(label: Tensor | None, classes: int, like: Tensor) -> Tensor:
    """Converts labels (N,) to vectors (N, classes) of the dtype of `like`."""
    assert label is not None, "CGAN needs labels"
    return functional.one_hot(label, classes).to(like.dtype)


class CGANGenerator(UniformGenerator):
    """Latents (N, latent_dim), uniform in [0, 1), and labels to images: one hidden layer each, then a common one.

    Dropout drops half of the hidden units in training. The last layer is a sigmoid, rescaled from [0, 1] to [-1, 1].
    The first layer receives standardized latents (mean 0, variance 1): it computes the same functions as of raw
    latents, but its gradient then depends on the differences between latents instead of their common mean, and samples
    of a class stay different.

    Options:
        latent_dim: numbers in a latent.
        latent_width: hidden units of the latent.
        label_width: hidden units of the class.
        width: hidden units of the common layer.
        dropout: share of the hidden units that is dropped in training.
        label_reach: largest initial weight from the class; None is √(50/label_width).
    """

    middle, edge = 0.5, 0.5

    def __init__(
        self,
        image: SampleSpec,
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
                nn.Linear(width, image.channels * image.height * image.width),
                nn.Sigmoid(),
                Reshape(image.channels, image.height, image.width),
            ],
        )
        self.initialize(math.sqrt(50 / label_width) if label_reach is None else label_reach)

    def initialize(self, label_reach: float) -> None:
        """Initializes weights after He et al. 2015, preserving the latents' variance; ±`label_reach` from the class.

        The class starts with less weight than the latents: with equal weight the generator learns the common part of a
        class so much faster than its variation that the variation vanishes. ±√(50/label_width), found by experiment,
        gives the hidden units of the class together the same weight at any width. Half of He's variance in the last
        layer leaves the sigmoid unsaturated.
        """
        common, last = cast(nn.Linear, self.main[2]), cast(nn.Linear, self.main[5])
        initialize(self.from_latent, math.sqrt(6 / self.latent_dim))
        initialize(self.from_label, label_reach, mean=1 / self.classes)
        initialize(common, math.sqrt(6 / common.in_features))
        initialize(last, math.sqrt(3 / last.in_features))

    def init_from_data(self, mean: Tensor) -> None:
        """Starts the output bias at the logit of each pixel's mean, as in the first GAN's code."""
        with torch.no_grad():
            cast(nn.Linear, self.main[-3]).bias.copy_(logits_of_mean(mean))

    def forward(self, latent: Tensor, label: Tensor | None = None) -> Tensor:
        standard = (latent - self.middle) * (math.sqrt(3) / self.edge)
        seen = self.from_latent(standard), self.from_label(one_hot(label, self.classes, latent))
        return self.main(torch.cat(seen, 1)) * 2 - 1


class CGANDiscriminator(nn.Module):
    """Images and labels to logits (N,): a maxout layer for each, then a common one; pixels are rescaled to [0, 1].

    Dropout drops half of the hidden units while either network is trained. Weights are uniform, ±0.005 as in the first
    GAN's code, but more from the class: that is a single 1 beside hundreds of pixels.

    Options:
        units: maxout units of the image.
        pieces: linear pieces of each unit of the image.
        label_units: maxout units of the class.
        label_pieces: linear pieces of each unit of the class.
        joint_units: maxout units of the common layer.
        joint_pieces: linear pieces of each unit of the common layer.
        dropout: share of the hidden units that is dropped in training.
        label_reach: largest initial weight from the class.
    """

    def __init__(
        self,
        image: SampleSpec,
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
        self.from_image = Maxout(image.channels * image.height * image.width, units, pieces)
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
