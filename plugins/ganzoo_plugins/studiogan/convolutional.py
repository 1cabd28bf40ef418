"""StudioGAN's plain convolutional networks for 32 pixels, its backbone `deep_conv`, after SNGAN's "standard CNN".

Followed: POSTECH-CVLab/PyTorch-StudioGAN, `src/models/deep_conv.py`. Their first and last layers differ from SNGAN's.
"""

from __future__ import annotations

from torch import Tensor, nn

from ganzoo import SampleSpec
from ganzoo.networks import Generator, LeakyReLU, Reshape
from ganzoo.networks.residual import SelfAttention

from .layers import Judgement, Layers, one_hot

BLOCKS = 3


def check(image: SampleSpec, attention: int) -> None:
    """Raises ValueError unless the images have 32 pixels and attention follows an existing block or none (0)."""
    if image.size != 32:
        raise ValueError(f"StudioGAN's convolutional networks are for 32 pixels, not {image.size}")
    if not 0 <= attention <= BLOCKS:
        raise ValueError(f"attention follows one of {BLOCKS} blocks, or none (0), not after {attention}")


class DoublingBlock(nn.Module):
    """A 4×4 transposed convolution of stride 2, conditional batch norm, ReLU."""

    def __init__(self, inputs: int, outputs: int, layers: Layers, condition: int):
        super().__init__()
        self.convolution, self.norm = layers.doubling(inputs, outputs), layers.norm(outputs, condition)
        self.activation = LeakyReLU(0.0)

    def forward(self, x: Tensor, condition: Tensor | None = None) -> Tensor:
        return self.activation(self.norm(self.convolution(x), condition))


class HalvingBlock(nn.Module):
    """A 3×3 convolution and a 4×4 one of stride 2, each with batch norm (none with spectral normalization) and ReLU."""

    def __init__(self, inputs: int, outputs: int, layers: Layers):
        super().__init__()
        self.convolution1, self.convolution2 = layers.convolution(inputs, outputs, 3), layers.halving(outputs, outputs)
        self.norm1, self.norm2 = layers.discriminator_norm(outputs), layers.discriminator_norm(outputs)
        self.activation = LeakyReLU(0.0)

    def forward(self, x: Tensor) -> Tensor:
        x = self.activation(self.norm1(self.convolution1(x)))
        return self.activation(self.norm2(self.convolution2(x)))


class ConvolutionalGenerator(Generator):
    """Latents (N, latent_dim) and labels to images of 32 pixels: a linear 4×4 start, doubling blocks, a convolution.

    There are three blocks, and the last convolution is 3×3.

    Options:
        latent_dim: numbers in a latent.
        width: channels of the last block, an eighth of the start's.
        spectral: whether every weight is divided by its largest singular value.
        attention: number of the block that attention follows, from 1; 0: none.
    """

    def __init__(
        self, image: SampleSpec, latent_dim: int = 128, width: int = 64, spectral: bool = False, attention: int = 0
    ):
        super().__init__()
        check(image, attention)
        self.latent_dim, self.classes, layers = latent_dim, image.classes, Layers(spectral)
        widths = [width * times for times in (8, 4, 2, 1)]
        self.input = nn.Sequential(layers.linear(latent_dim, widths[0] * 16), Reshape(widths[0], 4, 4))
        self.blocks = nn.ModuleList()
        for number, (wide, narrow) in enumerate(zip(widths, widths[1:], strict=False), 1):
            self.blocks.append(DoublingBlock(wide, narrow, layers, image.classes))
            if number == attention:
                self.blocks.append(SelfAttention(narrow, layers.attention))
        self.output = nn.Sequential(layers.convolution(width, image.channels, 3), nn.Tanh())

    def forward(self, latent: Tensor, label: Tensor | None = None) -> Tensor:
        condition = one_hot(label, self.classes, latent) if self.classes else None
        x = self.input(latent)
        for block in self.blocks:
            x = block(x, condition)
        return self.output(x)


class ConvolutionalDiscriminator(nn.Module):
    """Images of 32 pixels and labels to logits (N,): three halving blocks, a 3×3 convolution, a sum, a linear layer.

    The sum is over all pixels. Spectral weights replace batch norm.

    Options:
        width: channels of the first block, an eighth of the last convolution's.
        spectral: whether every weight is divided by its largest singular value, instead of batch norm.
        attention: number of the block that attention follows, from 1; 0: none.
    """

    def __init__(self, image: SampleSpec, width: int = 64, spectral: bool = False, attention: int = 0):
        super().__init__()
        check(image, attention)
        layers, inputs = Layers(spectral), image.channels
        self.blocks = nn.Sequential()
        for number in range(1, BLOCKS + 1):
            outputs = width * 2 ** (number - 1)
            self.blocks.append(HalvingBlock(inputs, outputs, layers))
            if number == attention:
                self.blocks.append(SelfAttention(outputs, layers.attention))
            inputs = outputs
        self.last = nn.Sequential(
            layers.convolution(inputs, 2 * inputs, 3), layers.discriminator_norm(2 * inputs), LeakyReLU(0.0)
        )
        self.output = Judgement(2 * inputs, image.classes, layers)

    def forward(self, images: Tensor, label: Tensor | None = None) -> Tensor:
        return self.output(self.last(self.blocks(images)).sum((2, 3)), label)
