"""The networks of BigGAN.

Followed: ajbrock/BigGAN-PyTorch, `BigGAN.py`, `layers.py`, from 32 to 256 pixels. The loss is the hinge loss of
`sngan`; `utils.ortho` is the regularizer `orthogonal`.
"""

from __future__ import annotations

from typing import Literal, cast

import torch
from torch import Tensor, nn

from ganzoo import SampleSpec
from ganzoo.networks import Generator, LeakyReLU, Reshape
from ganzoo.networks.normalization import (
    BatchNorm,
    ConditionalBatchNorm,
    SpectralConv2d,
    SpectralEmbedding,
    SpectralLinear,
)
from ganzoo.networks.residual import DiscriminatorBlock, GeneratorBlock, SelfAttention

# Times the width: `G_arch` and `D_arch`, with the number of halvings. 16 px are ganzoo's: 32 px with one stage less.
GENERATOR = {
    16: (4, 4, 4),
    32: (4, 4, 4, 4),
    64: (16, 16, 8, 4, 2),
    128: (16, 16, 8, 4, 2, 1),
    256: (16, 16, 8, 8, 4, 2, 1),
}
DISCRIMINATOR = {
    16: ((4, 4, 4), 1),
    32: ((4, 4, 4, 4), 2),
    64: ((1, 2, 4, 8, 16), 4),
    128: ((1, 2, 4, 8, 16, 16), 5),
    256: ((1, 2, 4, 8, 8, 16, 16), 6),
}
EPSILON = 1e-5


def convolution(inputs: int, outputs: int, kernel: int) -> SpectralConv2d:
    """Returns a spectrally normalized convolution that keeps the size."""
    return SpectralConv2d(inputs, outputs, kernel, padding=kernel // 2)


def attention_convolution(inputs: int, outputs: int, kernel: int) -> SpectralConv2d:
    """Returns the same without bias."""
    return SpectralConv2d(inputs, outputs, kernel, padding=kernel // 2, bias=False)


def initialize(module: nn.Module, kind: str) -> None:
    """Initializes weights and tables as orthogonal or from N(0, 0.02); biases keep torch's initialization.

    Tables of scales are included: scales start at 1 + noise.
    """
    for layer in module.modules():
        if isinstance(layer, (nn.Conv2d, nn.Linear, nn.Embedding)):
            if kind == "orthogonal":
                nn.init.orthogonal_(layer.weight)
            else:
                nn.init.normal_(layer.weight, 0.0, 0.02)


def check(image: SampleSpec) -> None:
    """Raises ValueError unless the images have labels and a size of the tables."""
    if image.size not in GENERATOR:
        raise ValueError(f"BigGAN's networks here are for {', '.join(map(str, GENERATOR))} pixels, not {image.size}")
    if not image.classes:
        raise ValueError("BigGAN is class-conditional and needs labelled images, not 0 classes")


def attention_size(image: SampleSpec, attention: int | None) -> int:
    """Returns the image size at which attention is, in pixels; 0 for none.

    Unless given, it is 64, or 32 in images of 64 pixels, and 0 in smaller ones.
    """
    return (min(64, image.size // 2) if image.size >= 64 else 0) if attention is None else attention


class BigGANGenerator(Generator):
    """Latents (N, latent_dim) and labels to images: a linear 4×4 start, conditional doubling blocks, a 3×3 convolution.

    Without a shared class embedding each norm has a table of its own per class, and receives no chunk of the latent.

    Options:
        latent_dim: numbers in a latent; chunks drop the remainder, as in the official code.
        width: channels; every block has a multiple of it.
        hierarchical: whether the latent is split into equal chunks: one for the start, one for each block.
        shared_dim: numbers in the class embedding that all blocks share; 0: none.
        attention: image size in pixels after which attention follows; 0: none, None: 64, at 64 px 32, below none.
        initialization: of all weights: "orthogonal" in the paper.
    """

    def __init__(
        self,
        image: SampleSpec,
        latent_dim: int = 120,
        width: int = 96,
        hierarchical: bool = True,
        shared_dim: int = 128,
        attention: int | None = None,
        initialization: Literal["orthogonal", "normal"] = "orthogonal",
    ):
        super().__init__()
        check(image)
        if hierarchical and not shared_dim:
            raise ValueError("a hierarchical latent needs a shared class vector beside it: set shared_dim above 0")
        widths = [width * times for times in GENERATOR[image.size]]
        self.slots = len(widths) if hierarchical else 1
        chunk = latent_dim // self.slots
        self.latent_dim = chunk * self.slots
        condition = shared_dim + (chunk if hierarchical else 0)

        def norm(channels: int) -> ConditionalBatchNorm:
            gain, shift = (
                SpectralLinear(condition, channels, bias=False) if shared_dim else nn.Embedding(image.classes, channels)
                for _ in range(2)
            )
            return ConditionalBatchNorm(channels, gain, shift, eps=EPSILON)

        self.shared = nn.Embedding(image.classes, shared_dim) if shared_dim else None
        self.input = nn.Sequential(SpectralLinear(chunk, widths[0] * 16), Reshape(widths[0], 4, 4))
        self.blocks, at = nn.ModuleList(), attention_size(image, attention)
        for number, (wide, narrow) in enumerate(zip(widths, widths[1:], strict=False)):
            block: list[nn.Module] = [GeneratorBlock(wide, narrow, convolution, norm)]
            block += [SelfAttention(narrow, attention_convolution)] if 8 * 2**number == at else []
            self.blocks.append(nn.ModuleList(block))
        last = convolution(widths[-1], image.channels, 3)
        self.output = nn.Sequential(BatchNorm(widths[-1], eps=EPSILON), LeakyReLU(0.0), last, nn.Tanh())
        initialize(self, initialization)

    def forward(self, latent: Tensor, label: Tensor | None = None) -> Tensor:
        assert label is not None, "BigGAN needs labels"
        condition = label if self.shared is None else self.shared(label)
        first, *chunks = latent.chunk(self.slots, 1)
        x = self.input(first)
        for number, block in enumerate(self.blocks):
            joint = torch.cat([condition, chunks[number]], 1) if chunks else condition
            for layer in cast(nn.ModuleList, block):
                x = layer(x, joint)
        return self.output(x)


class BigGANDiscriminator(nn.Module):
    """Images and labels to logits (N,): wide residual blocks, a sum over pixels, a linear layer plus the projection.

    All layers are spectrally normalized.

    Options:
        width: channels; every block has a multiple of it.
        attention: image size in pixels after which attention follows; 0: none, None: as the generator's.
        initialization: of all weights: "orthogonal" in the paper.
    """

    def __init__(
        self,
        image: SampleSpec,
        width: int = 96,
        attention: int | None = None,
        initialization: Literal["orthogonal", "normal"] = "orthogonal",
    ):
        super().__init__()
        check(image)
        times, halvings = DISCRIMINATOR[image.size]
        widths = [image.channels, *(width * number for number in times)]
        self.blocks, size, at = nn.Sequential(), image.size, attention_size(image, attention)
        for number, (narrow, wide) in enumerate(zip(widths, widths[1:], strict=False)):
            block: list[nn.Module] = [
                DiscriminatorBlock(narrow, wide, wide, convolution, number < halvings, first=number == 0)
            ]
            size //= 2 if number < halvings else 1
            if size == at and number < halvings:
                block += [SelfAttention(wide, attention_convolution)]
            self.blocks.append(nn.Sequential(*block))
        self.activation = LeakyReLU(0.0)
        self.output = SpectralLinear(widths[-1], 1)
        self.embedding = SpectralEmbedding(image.classes, widths[-1])
        initialize(self, initialization)

    def forward(self, images: Tensor, label: Tensor | None = None) -> Tensor:
        features = self.activation(self.blocks(images)).sum((2, 3))
        return self.output(features).flatten() + (self.embedding(label) * features).sum(1)
