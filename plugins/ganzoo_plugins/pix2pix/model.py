"""The networks and the loss of pix2pix: a U-Net, and discriminators that see an image beside its source.

Followed: junyanz/pytorch-CycleGAN-and-pix2pix `models/networks.py` and `models/pix2pix_model.py`; tensors have the same
names. With 3 channels in source and output, the U-Net has 54,413,955 parameters at 256 px and 41,828,995 at 128 px, the
PatchGAN 2,768,705.
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from ganzoo import SampleSpec
from ganzoo.losses import Loss, Phase, Turn
from ganzoo.networks import Generator, LeakyReLU, doublings, enlarged, source_channels
from ganzoo.networks.normalization import InstanceNorm

Norm = Literal["batch", "instance"]


def initialize(module: nn.Module) -> None:
    """Draws weights of convolutions from N(0, 0.02) and scales of batch norm from N(1, 0.02); biases are 0."""
    for layer in module.modules():
        if isinstance(layer, (nn.Conv2d, nn.ConvTranspose2d)):
            nn.init.normal_(layer.weight, 0.0, 0.02)
        elif isinstance(layer, nn.BatchNorm2d):
            nn.init.normal_(layer.weight, 1.0, 0.02)
        else:
            continue
        if layer.bias is not None:
            nn.init.zeros_(layer.bias)


class TranslatorNorm(nn.BatchNorm2d):
    """Batch norm that in evaluation uses running statistics, or with `own` those of each image by itself."""

    def __init__(self, channels: int, own: bool):
        super().__init__(channels)
        self.own = own

    def forward(self, x: Tensor) -> Tensor:
        if self.training or not self.own:
            return super().forward(x)
        centred = x - x.detach().mean((2, 3), keepdim=True)  # as in InstanceNorm
        return functional.group_norm(centred, self.num_features, self.weight, self.bias, self.eps)


class TranslatorDropout(nn.Dropout):
    """Dropout that with `always` is active in evaluation too."""

    def __init__(self, p: float, always: bool):
        super().__init__(p)
        self.always = always

    def forward(self, x: Tensor) -> Tensor:
        return functional.dropout(x, self.p, self.training or self.always)


class Level(nn.Module):
    """One level of a U-Net, with the next one among its `layers`; with `skip`, its input precedes its result."""

    def __init__(self, layers: list[nn.Module], skip: bool = True):
        super().__init__()
        self.model, self.skip = nn.Sequential(*layers), skip

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([x, self.model(x)], 1) if self.skip else self.model(x)


class UNet(Generator):
    """Translates sources (N, C, H, H) to images of the same size, a power of two: as many halvings as reach 1 pixel.

    The levels of full width but the two outer and the innermost have dropout. In evaluation, batch norm uses running
    statistics and nothing is dropped. The official test script evaluates as it trained, with batches of one image: each
    is normalized by its own statistics. A source that is smaller by a whole factor is enlarged first, which is ganzoo's
    adaptation.

    Options:
        width: channels of the first level; the next ones have 2, 4, 8 and 8 times as many.
        norm: "batch" normalization as in the published models, or "instance".
        dropout: share of the features that is dropped in training.
        evaluate_as_trained: whether dropout and each image's own statistics stay in evaluation.
    """

    latent_dim = 0
    channels_last = False

    def __init__(
        self,
        image: SampleSpec,
        width: int = 64,
        norm: Norm = "batch",
        dropout: float = 0.5,
        evaluate_as_trained: bool = False,
    ):
        super().__init__()
        inputs, outputs = source_channels(image, enlarges=True), image.channels
        self.factor = image.height // image.inputs["source"].shape[1]
        _, halvings = doublings(image.size, 1, least=5)
        self.norm, self.own = norm, evaluate_as_trained
        widths = [width * min(2**number, 8) for number in range(halvings)]
        halving, _ = self.halving(widths[-2], widths[-1])  # one pixel has no spread to normalize by
        level = Level([*halving, *self.doubling(widths[-1], widths[-2])])
        for number in reversed(range(1, halvings - 1)):
            outer, inner = widths[number - 1], widths[number]
            halving, norm_of_half = self.halving(outer, inner)
            layers = [*halving, norm_of_half, level, *self.doubling(2 * inner, outer)]
            level = Level([*layers, TranslatorDropout(dropout, evaluate_as_trained)] if number > 3 else layers)
        first = nn.Conv2d(inputs, width, 4, 2, 1, bias=norm == "instance")
        last = nn.ConvTranspose2d(2 * width, outputs, 4, 2, 1)
        self.model = Level([first, level, nn.ReLU(inplace=True), last, nn.Tanh()], skip=False)
        initialize(self)

    def halving(self, inputs: int, outputs: int) -> tuple[list[nn.Module], nn.Module]:
        """Returns leaky ReLU with a convolution that halves the size, and the norm that may follow."""
        convolution = nn.Conv2d(inputs, outputs, 4, 2, 1, bias=self.norm == "instance")
        return [nn.LeakyReLU(0.2, inplace=True), convolution], self.normalization(outputs)

    def doubling(self, inputs: int, outputs: int) -> list[nn.Module]:
        """Returns ReLU, a transposed convolution that doubles the size, and a norm."""
        convolution = nn.ConvTranspose2d(inputs, outputs, 4, 2, 1, bias=self.norm == "instance")
        return [nn.ReLU(inplace=True), convolution, self.normalization(outputs)]

    def normalization(self, channels: int) -> nn.Module:
        """Returns the norm that the option chooses."""
        return TranslatorNorm(channels, self.own) if self.norm == "batch" else InstanceNorm(channels)

    def forward(self, latent: Tensor, label: Tensor | None = None, *, source: Tensor) -> Tensor:
        return self.model(enlarged(source, [side * self.factor for side in source.shape[2:]]))


class PatchGAN(nn.Module):
    """Images beside their sources to a map of logits (N, 1, h, w), each of one patch.

    Two convolutions that keep the size follow those that halve it.

    Options:
        width: channels of the first convolution.
        layers: convolutions that halve the size; with 3, patches have 70 × 70 pixels.
        norm: "batch" or "instance" normalization.
    """

    channels_last = False

    def __init__(self, image: SampleSpec, width: int = 64, layers: int = 3, norm: Norm = "batch"):
        super().__init__()
        inputs = source_channels(image, enlarges=True) + image.channels
        modules: list[nn.Module] = [nn.Conv2d(inputs, width, 4, 2, 1), LeakyReLU(0.2)]
        for number in range(1, layers + 1):
            before, after = (width * min(2**power, 8) for power in (number - 1, number))
            stride = 2 if number < layers else 1
            modules.append(nn.Conv2d(before, after, 4, stride, 1, bias=norm == "instance"))
            modules += [nn.BatchNorm2d(after) if norm == "batch" else InstanceNorm(after), LeakyReLU(0.2)]
        self.model = nn.Sequential(*modules, nn.Conv2d(width * min(2**layers, 8), 1, 4, 1, 1))
        initialize(self)

    def forward(self, images: Tensor, label: Tensor | None = None, *, source: Tensor) -> Tensor:
        return self.model(torch.cat([enlarged(source, images.shape[2:]), images], 1))


class PixelGAN(nn.Module):
    """Images beside their sources to a logit of each pixel (N, 1, H, W), which others influence by the norm alone.

    Options:
        width: channels of the first layer; the second has twice as many.
        norm: "batch" or "instance" normalization.
    """

    def __init__(self, image: SampleSpec, width: int = 64, norm: Norm = "batch"):
        super().__init__()
        inputs, bias = source_channels(image, enlarges=True) + image.channels, norm == "instance"
        self.net = nn.Sequential(
            *[nn.Conv2d(inputs, width, 1), LeakyReLU(0.2), nn.Conv2d(width, 2 * width, 1, bias=bias)],
            *[nn.BatchNorm2d(2 * width) if norm == "batch" else InstanceNorm(2 * width), LeakyReLU(0.2)],
            nn.Conv2d(2 * width, 1, 1, bias=bias),
        )
        initialize(self)

    def forward(self, images: Tensor, label: Tensor | None = None, *, source: Tensor) -> Tensor:
        return self.net(torch.cat([enlarged(source, images.shape[2:]), images], 1))


class Pix2Pix(Loss):
    """Isola et al. 2017, section 3.1: cross-entropy on every patch, and the mean absolute error.

    The discriminator steps first, on half of its loss; the generator goes on with the same images.

    Options:
        l1: factor of the mean absolute error.
    """

    phases = (Phase("discriminator", ("discriminator",)), Phase("generator", ("generator",), fresh=False))
    boundary = 0.0

    def __init__(self, image: SampleSpec, l1: float = 100.0):
        super().__init__()
        self.l1 = l1

    def discriminator(self, turn: Turn) -> dict[str, Tensor]:
        fake, real = turn.logits(turn.fake), turn.logits(turn.real)
        return {"fake": functional.softplus(fake).mean() / 2, "real": functional.softplus(-real).mean() / 2}

    def generator(self, turn: Turn) -> dict[str, Tensor]:
        fooled = functional.softplus(-turn.logits(turn.fake)).mean()
        return {"fake": fooled, "l1": self.l1 * (turn.fake - turn.real).abs().mean()}
