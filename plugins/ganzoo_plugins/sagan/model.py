"""The networks of SAGAN; its loss is the hinge loss of `sngan`.

Followed: brain-research/self-attention-gan, `generator_test` and `discriminator_test`, which are for 128 pixels. Other
sizes are ganzoo's adaptation: the widest stages are left out, and attention moves to half the image's size below 64
pixels; 256 pixels have the widest stage twice.
"""

from __future__ import annotations

from torch import Tensor, nn

from ganzoo import SampleSpec
from ganzoo.networks import Generator, LeakyReLU, Reshape, doublings
from ganzoo.networks.normalization import (
    BatchNorm,
    ConditionalBatchNorm,
    SpectralConv2d,
    SpectralEmbedding,
    SpectralLinear,
)
from ganzoo.networks.residual import DiscriminatorBlock, GeneratorBlock, SelfAttention

WIDEST = 16  # times the width: the official networks' first block, which larger images have twice


def attention_size(image: SampleSpec, attention: int | None) -> int:
    """Returns the image size at which attention is, in pixels; 0 for none.

    Unless given, it is 32, or half the image if that is less.
    """
    return min(32, image.size // 2) if attention is None else attention


def convolution(inputs: int, outputs: int, kernel: int) -> SpectralConv2d:
    """Returns a spectrally normalized convolution that keeps the size."""
    return SpectralConv2d(inputs, outputs, kernel, padding=kernel // 2)


def attention_convolution(inputs: int, outputs: int, kernel: int) -> SpectralConv2d:
    """Returns the same without bias."""
    return SpectralConv2d(inputs, outputs, kernel, padding=kernel // 2, bias=False)


def initialize(module: nn.Module) -> None:
    """Initializes weights with Glorot's uniform distribution and biases with 0."""
    for layer in module.modules():
        if isinstance(layer, (nn.Conv2d, nn.Linear, SpectralEmbedding)):
            nn.init.xavier_uniform_(layer.weight)
        bias = getattr(layer, "bias", None)
        if isinstance(bias, nn.Parameter):
            nn.init.zeros_(bias)


class SAGANGenerator(Generator):
    """Latents (N, latent_dim) to images: a linear 4×4 start, doubling blocks and attention, a 3×3 convolution.

    All layers are spectrally normalized. With `image.classes` each class has a scale and a shift in every block's
    norms.

    Options:
        latent_dim: numbers in a latent.
        width: channels of the last block.
        attention: image size in pixels after which attention follows; 0: none, None: 32, or half a smaller image.
    """

    def __init__(self, image: SampleSpec, latent_dim: int = 128, width: int = 64, attention: int | None = None):
        super().__init__()
        self.latent_dim = latent_dim
        _, stages = doublings(image.size, 4, least=2)
        widths = [width * min(2**number, WIDEST) for number in reversed(range(stages))]
        widths = [widths[0], *widths]

        def norm(channels: int) -> nn.Module:
            if not image.classes:
                return BatchNorm(channels)
            gain, shift = nn.Embedding(image.classes, channels), nn.Embedding(image.classes, channels)
            for table in (gain, shift):
                nn.init.zeros_(table.weight)
            return ConditionalBatchNorm(channels, gain, shift)

        self.input = nn.Sequential(SpectralLinear(latent_dim, widths[0] * 16), Reshape(widths[0], 4, 4))
        self.blocks, size, at = nn.ModuleList(), 4, attention_size(image, attention)
        for wide, narrow in zip(widths, widths[1:], strict=False):
            self.blocks.append(GeneratorBlock(wide, narrow, convolution, norm))
            size *= 2
            if size == at:
                self.blocks.append(SelfAttention(narrow, attention_convolution))
        last = convolution(width, image.channels, 3)
        self.output = nn.Sequential(BatchNorm(width), LeakyReLU(0.0), last, nn.Tanh())
        initialize(self)

    def forward(self, latent: Tensor, label: Tensor | None = None) -> Tensor:
        x = self.input(latent)
        for block in self.blocks:
            x = block(x, label)
        return self.output(x)


class SAGANDiscriminator(nn.Module):
    """Images to logits (N,): halving blocks and attention, one more block, the sum over all pixels, a linear layer.

    With `image.classes` the projection on the class is added. All layers are spectrally normalized.

    Options:
        width: channels of the first block.
        attention: image size in pixels after which attention follows; 0: none, None: as the generator's.
    """

    def __init__(self, image: SampleSpec, width: int = 64, attention: int | None = None):
        super().__init__()
        _, stages = doublings(image.size, 4, least=2)
        widths = [image.channels, *(width * min(2**number, WIDEST) for number in range(stages))]
        layers: list[nn.Module] = []
        size, at = image.size, attention_size(image, attention)
        for number, (narrow, wide) in enumerate(zip(widths, widths[1:], strict=False)):
            layers.append(DiscriminatorBlock(narrow, wide, wide, convolution, down=True, first=number == 0))
            size //= 2
            if size == at:
                layers.append(SelfAttention(wide, attention_convolution))
        layers.append(DiscriminatorBlock(widths[-1], widths[-1], widths[-1], convolution, down=False))
        self.blocks = nn.Sequential(*layers, LeakyReLU(0.0))
        self.output = SpectralLinear(widths[-1], 1)
        self.embedding = SpectralEmbedding(image.classes, widths[-1]) if image.classes else None
        initialize(self)

    def forward(self, images: Tensor, label: Tensor | None = None) -> Tensor:
        features = self.blocks(images).sum((2, 3))
        logits = self.output(features).flatten()
        return logits if self.embedding is None else logits + (self.embedding(label) * features).sum(1)
