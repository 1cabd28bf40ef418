"""The discriminator of Projected GAN: random mixers of frozen features, and small discriminators on what they give.

Written from the paper; channels, kernels and the order of layers are facts of autonomousvision/projected-gan
(`pg_modules/projector.py`, `blocks.py`, `discriminator.py`). Mixers are part of the discriminator and never learn.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from ganzoo import Asset, LocalPath, SampleSpec
from ganzoo.networks.normalization import SpectralConv2d

from .features import SOURCES, asset_of, chosen, empty_network, loaded_network

CHANNELS = {8: 512, 16: 256, 32: 128, 64: 64, 128: 64, 256: 32, 512: 16}  # of maps of so many pixels, at width 64
END = 8  # pixels at which the last convolution scores
LABEL_SIZE = 128


class Mixers(nn.Module):
    """Mixes the channels of four features, then their scales from the smallest up, by random weights that stay.

    The first are convolutions of one pixel to 1, 2, 4 and 8 times `width` channels; then each is added to the mixed and
    doubled one below it, and mixed again, to 1, 1, 2 and 4 times `width` channels of twice the size (paper, section
    3.2).
    """

    def __init__(self, features: tuple[int, ...], width: int) -> None:
        super().__init__()
        mixed = [width * 2**number for number in range(len(features))]
        self.outputs = [width, *mixed[:-1]]
        self.channels = nn.ModuleList(nn.Conv2d(one, wide, 1) for one, wide in zip(features, mixed, strict=True))
        self.scales = nn.ModuleList(nn.Conv2d(wide, one, 1) for wide, one in zip(mixed, self.outputs, strict=True))
        self.requires_grad_(False)

    def forward(self, features: list[Tensor]) -> list[Tensor]:
        mixed = [mix(one) for mix, one in zip(self.channels, features, strict=True)]
        x, found = None, []
        for one, mix in zip(reversed(mixed), reversed(self.scales), strict=True):
            x = one if x is None else x + one
            x = mix(functional.interpolate(x, scale_factor=2, mode="bilinear", align_corners=True))
            found.append(x)
        return found[::-1]


class Halving(nn.Module):
    """Half the size by a spectrally normalized 4×4 convolution, or a separable 3×3 one and an average."""

    def __init__(self, inputs: int, outputs: int, separable: bool) -> None:
        super().__init__()
        self.pool = separable
        if separable:
            depthwise = SpectralConv2d(inputs, inputs, 3, padding=1, groups=inputs, bias=False)
            self.convolution: nn.Module = nn.Sequential(depthwise, SpectralConv2d(inputs, outputs, 1, bias=False))
        else:
            self.convolution = SpectralConv2d(inputs, outputs, 4, stride=2, padding=1)
        self.norm = nn.BatchNorm2d(outputs)

    def forward(self, x: Tensor) -> Tensor:
        x = functional.leaky_relu(self.norm(self.convolution(x)), 0.2)
        return functional.avg_pool2d(x, 2) if self.pool else x


class SmallDiscriminator(nn.Module):
    """Features (N, inputs, h, w) to logits (N, places): halvings down to 8 pixels, and a 4×4 convolution.

    `size` is the nominal side of the features. With classes, the last convolution gives `width` numbers for a place,
    whose inner product with a projection of the label's embedding, over their root, is the logit.
    """

    def __init__(self, inputs: int, size: int, width: int, classes: int, separable: bool) -> None:
        super().__init__()
        sizes = [size >> step for step in range((size // END).bit_length())]
        widths = [inputs, *(max(1, CHANNELS[one] * width // 64) for one in sizes[1:])]
        self.halvings = nn.Sequential(
            *(Halving(before, after, separable) for before, after in zip(widths, widths[1:], strict=False))
        )
        self.score = SpectralConv2d(widths[-1], width if classes else 1, 4, bias=False)
        self.label = nn.Embedding(classes, LABEL_SIZE) if classes else None
        self.project = nn.Linear(LABEL_SIZE, width) if classes else None

    def forward(self, features: Tensor, label: Tensor | None) -> Tensor:
        score = self.score(self.halvings(features)).flatten(2)
        if self.label is None or self.project is None:
            return score[:, 0]
        projection = functional.leaky_relu(self.project(self.label(label)), 0.2)
        return (score * projection[:, :, None]).sum(1) / math.sqrt(score.shape[1])


class ProjectedDiscriminator(nn.Module):
    """Images to logits (N, places) of four small discriminators, which see the mixed features of a frozen network.

    "efficientnet-lite0" is the official network, whose weights are a file: timm's `tf_efficientnet_lite0`; it sees
    images of at least 224 pixels, to which smaller ones are enlarged. "fashion-cnn-native" for grey images and
    "emoji-cnn" for RGB come with ganzoo; they see at least 32 and 64 pixels. "auto" takes the first where `features`
    names a file, else for images up to 64 pixels one that comes with ganzoo.

    Options:
        network: frozen network whose features are seen; "auto" chooses it by the images.
        features: file of the weights of "efficientnet-lite0".
        width: channels of the mixers (official: 64); those of the discriminators follow.
        separable: whether convolutions are separable, as beside a StyleGAN2.
    """

    def __init__(
        self,
        image: SampleSpec,
        network: Literal["auto", "efficientnet-lite0", "fashion-cnn-native", "emoji-cnn"] = "auto",
        features: LocalPath = "",
        width: int = 64,
        separable: bool = False,
    ):
        super().__init__()
        if width < 1:
            raise ValueError(f"width must be at least 1, not {width}")
        self.network, self.file = chosen(network, features, image), features
        source = SOURCES[self.network]
        self.least = source.least
        self.features = empty_network(self.network)
        self.mixers = Mixers(source.widths, width)
        sizes = [2 * source.nominal // (source.reduction << number) for number in range(len(source.widths))]
        self.discriminators = nn.ModuleList(
            SmallDiscriminator(inputs, size, width, image.classes, separable)
            for inputs, size in zip(self.mixers.outputs, sizes, strict=True)
        )

    @property
    def assets(self) -> dict[str, Asset]:
        """The file of the frozen network; CheckpointError if it is not known."""
        return {"features": asset_of(self.network, self.file)}

    def load_assets(self, tensors: Mapping[str, Mapping[str, Tensor]]) -> None:
        self.features = loaded_network(self.network, tensors["features"])

    def forward(self, images: Tensor, label: Tensor | None = None) -> Tensor:
        if images.shape[-1] < self.least:
            images = functional.interpolate(images, (self.least, self.least), mode="bilinear", align_corners=False)
        mixed = self.mixers(self.features(images))
        return torch.cat([judge(one, label) for judge, one in zip(self.discriminators, mixed, strict=True)], 1)
