"""StudioGAN's residual networks: its backbones `resnet` and `big_resnet`, which differ in the condition of the norms.

Followed: POSTECH-CVLab/PyTorch-StudioGAN, `src/models/resnet.py` and `src/models/big_resnet.py`.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ganzoo import SampleSpec
from ganzoo.networks import Generator, LeakyReLU, Reshape
from ganzoo.networks.normalization import BatchNorm
from ganzoo.networks.residual import GeneratorBlock, SelfAttention, halved

from .layers import EPSILON, Judgement, Layers, one_hot

GENERATOR = {  # times the width: channels before the first block and after each
    32: (4, 4, 4, 4),
    64: (16, 8, 4, 2, 1),
    128: (16, 16, 8, 4, 2, 1),
    256: (16, 16, 8, 8, 4, 2, 1),
    512: (16, 16, 8, 8, 4, 2, 1, 1),
}
DISCRIMINATOR = {  # times the width: channels after each block
    32: (2, 2, 2, 2),
    64: (1, 2, 4, 8, 16),
    128: (1, 2, 4, 8, 16, 16),
    256: (1, 2, 4, 8, 8, 16, 16),
    512: (1, 1, 2, 4, 8, 8, 16, 16),
}


def halvings(size: int) -> int:
    """Returns how many discriminator blocks halve the image: two at 32 pixels, all but the last from 64 on."""
    return 2 if size == 32 else len(DISCRIMINATOR[size]) - 1


def check(image: SampleSpec, attention: int, blocks: dict[int, tuple[int, ...]]) -> tuple[int, ...]:
    """Returns the multiples of the width at the image's size.

    Raises ValueError for other sizes, and for attention after a block that does not exist.
    """
    if image.size not in blocks:
        raise ValueError(
            f"StudioGAN's residual networks are for {', '.join(map(str, blocks))} pixels, not {image.size}"
        )
    times = blocks[image.size]
    count = len(times) - (1 if blocks is GENERATOR else 0)
    if not 0 <= attention <= count:
        raise ValueError(f"attention follows one of {count} blocks, or none (0), not after {attention}")
    return times


class ResidualGenerator(Generator):
    """Latents (N, latent_dim) and labels to images: a linear 4×4 start, doubling blocks, batch norm, a 3×3 convolution.

    With chunks (`big_resnet`) the norms of a block see one of them beside a shared class embedding. Without (`resnet`)
    they are conditional on the class alone, or unconditional.

    Options:
        latent_dim: numbers in a latent.
        width: channels; every block has a multiple of it.
        chunked: whether the latent is split into equal chunks: one for the start, one for each block's norms.
        shared_dim: numbers in the class embedding that the blocks share, with chunks.
        spectral: whether every weight is divided by its largest singular value.
        attention: number of the block that attention follows, from 1; 0: none.
    """

    def __init__(
        self,
        image: SampleSpec,
        latent_dim: int = 128,
        width: int = 64,
        chunked: bool = False,
        shared_dim: int = 128,
        spectral: bool = False,
        attention: int = 0,
    ):
        super().__init__()
        times = check(image, attention, GENERATOR)
        if chunked and latent_dim % len(times):
            raise ValueError(
                f"latent_dim must be a multiple of {len(times)}, a chunk for the start and for each block, "
                f"not {latent_dim}"
            )
        self.latent_dim, self.classes, layers = latent_dim, image.classes, Layers(spectral)
        self.chunk = latent_dim // len(times) if chunked else 0
        known = shared_dim if chunked else image.classes
        condition = self.chunk + (known if image.classes else 0)
        widths = [width * number for number in times]
        self.shared = Layers().table(image.classes, shared_dim) if chunked and image.classes else None
        self.input = nn.Sequential(layers.linear(self.chunk or latent_dim, widths[0] * 16), Reshape(widths[0], 4, 4))
        self.blocks = nn.ModuleList()
        for number, (wide, narrow) in enumerate(zip(widths, widths[1:], strict=False), 1):
            self.blocks.append(
                GeneratorBlock(wide, narrow, layers.convolution, lambda channels: layers.norm(channels, condition))
            )
            if number == attention:
                self.blocks.append(SelfAttention(narrow, layers.attention))
        last = layers.convolution(widths[-1], image.channels, 3)
        self.output = nn.Sequential(BatchNorm(widths[-1], eps=EPSILON), LeakyReLU(0.0), last, nn.Tanh())

    def forward(self, latent: Tensor, label: Tensor | None = None) -> Tensor:
        first, *chunks = latent.split(self.chunk or self.latent_dim, 1)
        known = self._class(latent, label)
        x = self.input(first)
        for block in self.blocks:
            condition = known
            if chunks and isinstance(block, GeneratorBlock):
                chunk = chunks.pop(0)
                condition = chunk if known is None else torch.cat([known, chunk], 1)
            x = block(x, condition)
        return self.output(x)

    def _class(self, latent: Tensor, label: Tensor | None) -> Tensor | None:
        if not self.classes:
            return None
        return one_hot(label, self.classes, latent) if self.shared is None else self.shared(label)


class DiscriminatorBlock(nn.Module):
    """Twice norm, ReLU and 3×3 convolution beside a shortcut; `down` halves, the `first` starts with a convolution.

    With spectral normalization there are no norms, and the official in-place ReLU makes the shortcut start after it;
    with batch norm the shortcut has its own. The 1×1 convolution exists where width or size change.
    """

    def __init__(self, inputs: int, outputs: int, layers: Layers, down: bool, first: bool):
        super().__init__()
        self.down, self.first, self.activated_shortcut = down, first, layers.spectral and not first
        self.norm1 = nn.Identity() if first else layers.discriminator_norm(inputs)
        self.norm2 = layers.discriminator_norm(outputs)
        self.convolution1, self.convolution2 = (
            layers.convolution(inputs, outputs, 3),
            layers.convolution(outputs, outputs, 3),
        )
        changes = down or inputs != outputs
        self.shortcut = layers.convolution(inputs, outputs, 1) if changes else nn.Identity()
        self.shortcut_norm = layers.discriminator_norm(inputs) if changes else nn.Identity()
        self.activation = LeakyReLU(0.0)

    def forward(self, x: Tensor) -> Tensor:
        activated = x if self.first else self.activation(self.norm1(x))
        residual = self.convolution2(self.activation(self.norm2(self.convolution1(activated))))
        x = activated if self.activated_shortcut else x
        if self.down:
            residual = halved(residual)
            x = self.shortcut_norm(halved(x)) if self.first else halved(self.shortcut_norm(x))
        else:
            x = self.shortcut_norm(x)
        return self.shortcut(x) + residual


class ResidualDiscriminator(nn.Module):
    """Images and labels to logits (N,): residual blocks, a sum over pixels, a linear layer plus the class projection.

    Options:
        width: channels; every block has a multiple of it.
        spectral: whether every weight is divided by its largest singular value, instead of batch norm.
        attention: number of the block that attention follows, from 1; 0: none.
    """

    def __init__(self, image: SampleSpec, width: int = 64, spectral: bool = True, attention: int = 0):
        super().__init__()
        times, layers = check(image, attention, DISCRIMINATOR), Layers(spectral)
        widths = [image.channels, *(width * number for number in times)]
        self.blocks = nn.Sequential()
        for number, (inputs, outputs) in enumerate(zip(widths, widths[1:], strict=False), 1):
            self.blocks.append(DiscriminatorBlock(inputs, outputs, layers, number <= halvings(image.size), number == 1))
            if number == attention:
                self.blocks.append(SelfAttention(outputs, layers.attention))
        self.activation = LeakyReLU(0.0)
        self.output = Judgement(widths[-1], image.classes, layers)

    def forward(self, images: Tensor, label: Tensor | None = None) -> Tensor:
        return self.output(self.activation(self.blocks(images)).sum((2, 3)), label)
