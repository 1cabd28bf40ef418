"""The residual networks of SNGAN and the projection discriminator, and their loss.

Followed: pfnet-research/sngan_projection, `updater.py`, `resnet_32.py`, `resnet_64.py`, `resnet.py` (128 px) and
`resnet_dog_and_cat_256.py` of `gen_models`, `snresnet_32.py` to `snresnet_256.py` of `dis_models`. With
`image.classes` the generator's norms and the discriminator's last layer are conditional: Miyato and Koyama 2018.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from ganzoo import SampleSpec
from ganzoo.losses import Loss, Phase, Turn
from ganzoo.networks import Generator, LeakyReLU, Reshape, dequantized
from ganzoo.networks.normalization import (
    BatchNorm,
    ConditionalBatchNorm,
    SpectralConv2d,
    SpectralEmbedding,
    SpectralLinear,
)
from ganzoo.networks.residual import DiscriminatorBlock, GeneratorBlock

# Times the width: channels before and after each block. 16 px are ganzoo's: those of 32 px with one stage less.
GENERATOR = {
    16: (4, 4, 4),
    32: (4, 4, 4, 4),
    64: (16, 8, 4, 2, 1),
    128: (16, 16, 8, 4, 2, 1),
    256: (16, 16, 8, 8, 4, 2, 1),
}
DISCRIMINATOR = {
    16: (2, 2, 2),
    32: (2, 2, 2, 2),
    64: (1, 2, 4, 8, 16),
    128: (1, 2, 4, 8, 16, 16),
    256: (1, 2, 4, 8, 8, 16, 16),
}
HALVINGS = {16: 1, 32: 2, 64: 5, 128: 5, 256: 6}


def widths_of(image: SampleSpec, table: dict[int, tuple[int, ...]], width: int) -> list[int]:
    """Returns the channels of each stage at the image's size; ValueError for sizes that the table lacks."""
    if image.size not in table:
        raise ValueError(f"SNGAN's residual networks are for {', '.join(map(str, table))} pixels, not {image.size}")
    return [width * times for times in table[image.size]]


def initialize(module: nn.Module) -> None:
    """Initializes weights with Glorot's uniform distribution, √2 times as wide in 3×3 convolutions of blocks.

    Biases are 0.
    """
    in_blocks = {
        layer
        for block in module.modules()
        for layer in (getattr(block, "convolution1", 0), getattr(block, "convolution2", 0))
    }
    for layer in module.modules():
        if isinstance(layer, (nn.Conv2d, nn.Linear, SpectralEmbedding)):
            nn.init.xavier_uniform_(layer.weight, math.sqrt(2) if layer in in_blocks else 1.0)
        bias = getattr(layer, "bias", None)
        if isinstance(bias, nn.Parameter):
            nn.init.zeros_(bias)


def convolution(inputs: int, outputs: int, kernel: int) -> nn.Conv2d:
    """Returns a convolution that keeps the size."""
    return nn.Conv2d(inputs, outputs, kernel, padding=kernel // 2)


def spectral_convolution(inputs: int, outputs: int, kernel: int) -> nn.Conv2d:
    """Returns a spectrally normalized convolution that keeps the size."""
    return SpectralConv2d(inputs, outputs, kernel, padding=kernel // 2)


class SNGANGenerator(Generator):
    """Latents (N, latent_dim) to images: a linear 4×4 start, doubling blocks, batch norm, a 3×3 convolution.

    Below 64 px all blocks have four times `width` channels (official: 64, so 256).

    Options:
        latent_dim: numbers in a latent.
        width: channels of the last block from 64 px on; below, a quarter of every block's.
        upsampling: "nearest", or "bilinear" as in kwotsin/mimicry.
        epsilon: added to the variance in batch norm; kwotsin/mimicry has 1e-5.
    """

    def __init__(
        self,
        image: SampleSpec,
        latent_dim: int = 128,
        width: int = 64,
        upsampling: Literal["nearest", "bilinear"] = "nearest",
        epsilon: float = 2e-5,
    ):
        super().__init__()
        self.latent_dim = latent_dim
        widths = widths_of(image, GENERATOR, width)
        norm = self.norm_of(image.classes, epsilon)
        self.input = nn.Sequential(nn.Linear(latent_dim, widths[0] * 16), Reshape(widths[0], 4, 4))
        self.blocks = nn.ModuleList(
            GeneratorBlock(wide, narrow, convolution, norm, upsampling)
            for wide, narrow in zip(widths, widths[1:], strict=False)
        )
        last = convolution(widths[-1], image.channels, 3)
        self.output = nn.Sequential(BatchNorm(widths[-1], eps=epsilon), LeakyReLU(0.0), last, nn.Tanh())
        initialize(self)

    @staticmethod
    def norm_of(classes: int, epsilon: float) -> Callable[[int], nn.Module]:
        """Returns the constructor of the blocks' batch norm: with classes, scale and shift per class, from 1 and 0."""

        def conditional(channels: int) -> ConditionalBatchNorm:
            gain, shift = nn.Embedding(classes, channels), nn.Embedding(classes, channels)
            for table in (gain, shift):
                nn.init.zeros_(table.weight)
            return ConditionalBatchNorm(channels, gain, shift, eps=epsilon)

        return conditional if classes else lambda channels: BatchNorm(channels, eps=epsilon)

    def forward(self, latent: Tensor, label: Tensor | None = None) -> Tensor:
        x = self.input(latent)
        for block in self.blocks:
            x = block(x, label)
        return self.output(x)


class SNGANDiscriminator(nn.Module):
    """Images to logits (N,): residual blocks, the sum over all pixels, a linear layer, all spectrally normalized.

    With `image.classes` the inner product of the features and the label's embedding is added: Miyato and Koyama 2018,
    equation 3.

    Options:
        width: channels of the first block from 64 px on; below, half of every block's.
        bias: whether the last layer has one; None: from 64 px on, as in the official code.
        activated_shortcut: whether shortcuts start after the ReLU, as in kwotsin/mimicry.
    """

    def __init__(self, image: SampleSpec, width: int = 64, bias: bool | None = None, activated_shortcut: bool = False):
        super().__init__()
        widths = [image.channels, *widths_of(image, DISCRIMINATOR, width)]
        halvings = HALVINGS[image.size]
        blocks = [
            DiscriminatorBlock(
                narrow,
                wide,
                narrow if number else wide,
                spectral_convolution,
                number < halvings,
                number == 0,
                activated_shortcut,
            )
            for number, (narrow, wide) in enumerate(zip(widths, widths[1:], strict=False))
        ]
        self.blocks = nn.Sequential(*blocks, LeakyReLU(0.0))
        self.output = SpectralLinear(widths[-1], 1, bias=image.size > 32 if bias is None else bias)
        self.embedding = SpectralEmbedding(image.classes, widths[-1]) if image.classes else None
        initialize(self)

    def forward(self, images: Tensor, label: Tensor | None = None) -> Tensor:
        features = self.blocks(images).sum((2, 3))
        logits = self.output(features).flatten()
        return logits if self.embedding is None else logits + (self.embedding(label) * features).sum(1)


class SNGAN(Loss):
    """Hinge loss (Miyato et al. 2018, equations 16 and 17) or cross-entropy; labels of fakes are sampled uniformly.

    Each step of the discriminator sees fresh images. Only images, which have 8 bits, can get noise.

    Options:
        objective: "hinge" or "non-saturating".
        critic_steps: steps of the discriminator for each of the generator.
        generator_first: whether the generator steps before the discriminator.
        generator_batch: the generator's batch, in batches of the discriminator.
        dequantize: whether real images get noise of less than a grey level.
    """

    boundary = 0.0

    def __init__(
        self,
        image: SampleSpec,
        objective: Literal["hinge", "non-saturating"] = "hinge",
        critic_steps: int = 5,
        generator_first: bool = True,
        generator_batch: int = 2,
        dequantize: bool = True,
    ):
        super().__init__()
        self.hinge, self.dequantize = objective == "hinge", dequantize and image.output.kind == "image"
        phases = [
            Phase("generator", ("generator",), batch=generator_batch),
            Phase("discriminator", ("discriminator",), repeats=critic_steps),
        ]
        self.phases = tuple(phases if generator_first else reversed(phases))

    def judge_fakes(self, turn: Turn) -> Tensor:
        """Returns logits of fakes whose labels are uniform, not the real ones (`sample_categorical` in updater.py)."""
        label = turn.random_label()
        fake = turn.fake if label is None else turn.generator(turn.latent, label)
        return turn.logits(fake, label, stands_for="fake")

    def generator(self, turn: Turn) -> dict[str, Tensor]:
        fake = self.judge_fakes(turn)
        return {"fake": -fake.mean() if self.hinge else functional.softplus(-fake).mean()}

    def discriminator(self, turn: Turn) -> dict[str, Tensor]:
        real = dequantized(turn.real, turn.uniform(*turn.real.shape[1:])) if self.dequantize else turn.real
        real = turn.logits(real, stands_for="real")
        fake = self.judge_fakes(turn)
        if self.hinge:
            return {"real": torch.relu(1 - real).mean(), "fake": torch.relu(1 + fake).mean()}
        return {"real": functional.softplus(-real).mean(), "fake": functional.softplus(fake).mean()}
