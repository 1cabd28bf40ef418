"""The residual networks of WGAN-GP.

Followed: igul222/improved_wgan_training, `gan_cifar_resnet.py` (32 px) and `GoodGenerator`, `GoodDiscriminator` of
`gan_64x64.py`. A 1×1 convolution commutes with pooling and with doubling of pixels, so shortcuts apply it on the
smaller side: the same function, cheaper. Batch norm as in `model.py`. Other sizes are ganzoo's adaptation: a stage more
or less, which ends at 8×8 and 4×4 pixels as theirs do.
"""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn

from ganzoo import SampleSpec
from ganzoo.networks import Generator, LeakyReLU, Reshape, doublings
from ganzoo.networks.residual import doubled, halved

from .model import initialize_convolution, linear


def convolution(inputs: int, outputs: int, kernel: int, he: bool = True, bias: bool = True) -> nn.Conv2d:
    """Returns a convolution that keeps the size, initialized by `initialize_convolution`."""
    layer = nn.Conv2d(inputs, outputs, kernel, padding=kernel // 2, bias=bias)
    initialize_convolution(layer, he)
    return layer


def stages(image: SampleSpec) -> int:
    """Returns how often 4×4 pixels are doubled; ValueError for sizes that doubling misses."""
    return doublings(image.size, 4, least=2)[1]


def growing_widths(image: SampleSpec, width: int) -> list[int]:
    """Returns the channels at each size from the image's to 4 pixels: doubled at each halving, at most 8 times."""
    return [width * min(2**stage, 8) for stage in range(stages(image) + 1)]


def unchanged(x: Tensor) -> Tensor:
    """Returns the same pixels."""
    return x


class Normalization(nn.Module):
    """Batch norm, layer norm over C, H and W (scale and shift per channel) or none, as `kind` says; eps 1e-5.

    With `classes`, batch norm has a scale and shift for each class (`tflib/ops/cond_batchnorm.py`), which start at 1
    and 0.
    """

    def __init__(self, kind: str, channels: int, classes: int = 0):
        super().__init__()
        known = {
            "batch": lambda: nn.BatchNorm2d(channels, affine=classes == 0),
            "layer": lambda: nn.GroupNorm(1, channels),
            "none": nn.Identity,
        }
        self.normalize = known[kind]()
        self.scale: nn.Embedding | None = None
        self.shift: nn.Embedding | None = None
        if classes:
            self.scale, self.shift = nn.Embedding(classes, channels), nn.Embedding(classes, channels)
            nn.init.ones_(self.scale.weight)
            nn.init.zeros_(self.shift.weight)

    def forward(self, x: Tensor, label: Tensor | None = None) -> Tensor:
        x = self.normalize(x)
        if self.scale is None or self.shift is None:
            return x
        return x * self.scale(label)[:, :, None, None] + self.shift(label)[:, :, None, None]


class ResidualBlock(nn.Module):
    """Shortcut plus two times normalization, ReLU, 3×3 convolution; `resample` is "up", "down" or "none".

    Doubling comes before the first convolution, halving after the second, which is then the one that changes the width.
    `bias` is that of the first convolution: gan_64x64.py leaves it out.
    """

    def __init__(
        self, inputs: int, outputs: int, resample: str, normalization: str, classes: int = 0, bias: bool = True
    ):
        super().__init__()
        hidden = inputs if resample == "down" else outputs
        self.before = doubled if resample == "up" else unchanged
        self.after = halved if resample == "down" else unchanged
        self.shortcut = nn.Identity() if resample == "none" else convolution(inputs, outputs, 1, he=False)
        self.norm1 = Normalization(normalization, inputs, classes)
        self.convolution1 = convolution(inputs, hidden, 3, bias=bias)
        self.norm2 = Normalization(normalization, hidden, classes)
        self.convolution2 = convolution(hidden, outputs, 3)
        self.activation = LeakyReLU(0.0)

    def forward(self, x: Tensor, label: Tensor | None = None) -> Tensor:
        shortcut = self.before(self.shortcut(self.after(x)))
        x = self.activation(self.norm1(x, label))
        x = self.convolution1(self.before(x))
        x = self.activation(self.norm2(x, label))
        return shortcut + self.after(self.convolution2(x))


class FirstBlock(nn.Module):
    """The first block of the 32-pixel critic, without an activation before the pixels: `OptimizedResBlockDisc1`."""

    def __init__(self, inputs: int, outputs: int):
        super().__init__()
        self.shortcut = convolution(inputs, outputs, 1, he=False)
        self.convolution1 = convolution(inputs, outputs, 3)
        self.convolution2 = convolution(outputs, outputs, 3)
        self.activation = LeakyReLU(0.0)

    def forward(self, x: Tensor) -> Tensor:
        residual = self.convolution2(self.activation(self.convolution1(x)))
        return self.shortcut(halved(x)) + halved(residual)


class ResNetGenerator(Generator):
    """Latents (N, latent_dim) to images: a 4×4 start of `widths[0]` channels, a doubling block for each later width.

    With `image.classes` the norms inside the blocks have a scale and shift for each class; the last norm has none.
    """

    def __init__(
        self, image: SampleSpec, latent_dim: int, widths: Sequence[int], classes: int, bias: bool, he_output: bool
    ):
        super().__init__()
        self.latent_dim = latent_dim
        self.input = nn.Sequential(linear(latent_dim, widths[0] * 16), Reshape(widths[0], 4, 4))
        self.blocks = nn.ModuleList(
            ResidualBlock(wide, narrow, "up", "batch", classes, bias)
            for wide, narrow in zip(widths, widths[1:], strict=False)
        )
        last = convolution(widths[-1], image.channels, 3, he=he_output)
        self.output = nn.Sequential(nn.BatchNorm2d(widths[-1]), nn.ReLU(), last, nn.Tanh())

    def forward(self, latent: Tensor, label: Tensor | None = None) -> Tensor:
        x = self.input(latent)
        for block in self.blocks:
            x = block(x, label)
        return self.output(x)


def resnet_generator(image: SampleSpec, latent_dim: int = 128, width: int = 128) -> ResNetGenerator:
    """`Generator` of gan_cifar_resnet.py, a block for each doubling; conditional if `image` has classes.

    Options:
        latent_dim: numbers in a latent.
        width: channels of every block.
    """
    return ResNetGenerator(image, latent_dim, [width] * (stages(image) + 1), image.classes, bias=True, he_output=False)


def resnet_generator_64(image: SampleSpec, latent_dim: int = 128, width: int = 64) -> ResNetGenerator:
    """Returns `GoodGenerator` of gan_64x64.py (64 px).

    Options:
        latent_dim: numbers in a latent.
        width: channels of the last block.
    """
    widths = growing_widths(image, width)[::-1]
    return ResNetGenerator(image, latent_dim, widths, classes=0, bias=False, he_output=True)


class ResNetCritic(nn.Module):
    """Images to scores (N,), and with `classes=True` to (scores, class logits (N, image.classes)).

    `Discriminator` of gan_cifar_resnet.py: halved to 8×8 pixels, two more blocks, no normalization, the mean over all
    pixels, labels only as a target.

    Options:
        width: channels of every block.
    """

    def __init__(self, image: SampleSpec, width: int = 128):
        super().__init__()
        down = [ResidualBlock(width, width, "down", "none") for _ in range(stages(image) - 2)]
        plain = [ResidualBlock(width, width, "none", "none") for _ in range(2)]
        self.blocks = nn.Sequential(FirstBlock(image.channels, width), *down, *plain, LeakyReLU(0.0))
        self.output = linear(width, 1)
        self.classes = linear(width, image.classes) if image.classes else None

    def forward(
        self, images: Tensor, label: Tensor | None = None, classes: bool = False
    ) -> Tensor | tuple[Tensor, Tensor]:
        features = self.blocks(images).mean((2, 3))
        scores = self.output(features).flatten()
        if not classes:
            return scores
        assert self.classes is not None, "the class logits need images with classes"
        return scores, self.classes(features)


class ResNetCritic64(nn.Module):
    """Images to scores (N,): `GoodDiscriminator` of gan_64x64.py, halving blocks with layer norm, four at 64 px.

    Options:
        width: channels of the first layer; later ones have multiples of it.
    """

    def __init__(self, image: SampleSpec, width: int = 64):
        super().__init__()
        widths = growing_widths(image, width)
        blocks = [ResidualBlock(a, b, "down", "layer", bias=False) for a, b in zip(widths, widths[1:], strict=False)]
        first = convolution(image.channels, width, 3, he=False)
        self.main = nn.Sequential(first, *blocks, nn.Flatten(), linear(widths[-1] * 16, 1))

    def forward(self, images: Tensor, label: Tensor | None = None) -> Tensor:
        return self.main(images).flatten()
