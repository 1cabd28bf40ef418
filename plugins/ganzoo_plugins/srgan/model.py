"""The networks of SRGAN as BasicSR has them: SRResNet without batch norm, and a discriminator in the style of VGG.

Followed: XPixelGroup/BasicSR `basicsr/archs/srresnet_arch.py` and `discriminator_arch.py`; tensors have the same names.
With 3 channels, MSRResNet for a scale of 4 has 1,517,571 parameters; the discriminator 14,499,401 at 128 px and
21,055,049 at 256 px.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from ganzoo import SampleSpec
from ganzoo.networks import LeakyReLU, Upscaler


def initialize(*convolutions: nn.Conv2d) -> None:
    """Draws weights from a tenth of Kaiming's normal distribution; biases are 0."""
    for layer in convolutions:
        nn.init.kaiming_normal_(layer.weight)
        with torch.no_grad():
            layer.weight.mul_(0.1)
        if layer.bias is not None:
            nn.init.zeros_(layer.bias)


class ResidualBlock(nn.Module):
    """Adds to its input two 3 × 3 convolutions with a ReLU between them."""

    def __init__(self, width: int):
        super().__init__()
        self.conv1, self.conv2 = (nn.Conv2d(width, width, 3, 1, 1) for _ in range(2))
        initialize(self.conv1, self.conv2)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.conv2(functional.relu(self.conv1(x), inplace=True))


class SRResNet(Upscaler):
    """Enlarges images 2, 3 or 4 times: residual blocks, pixel shuffles, and the bilinearly enlarged source is added.

    It is BasicSR's MSRResNet, without the paper's batch norm.

    Options:
        width: channels of all features.
        blocks: residual blocks.
    """

    def __init__(self, image: SampleSpec, width: int = 64, blocks: int = 16):
        super().__init__(image)
        self.same_channels()
        if self.scale not in (2, 3, 4):
            raise ValueError(f"it enlarges 2, 3 or 4 times, not {self.scale} times (--set source.factor=4)")
        self.step = 2 if self.scale == 4 else self.scale
        self.conv_first = nn.Conv2d(self.source_channels, width, 3, 1, 1)
        self.body = nn.Sequential(*[ResidualBlock(width) for _ in range(blocks)])
        self.upconv1 = nn.Conv2d(width, width * self.step**2, 3, 1, 1)
        self.upconv2 = nn.Conv2d(width, width * 4, 3, 1, 1) if self.scale == 4 else None
        self.conv_hr = nn.Conv2d(width, width, 3, 1, 1)
        self.conv_last = nn.Conv2d(width, self.channels, 3, 1, 1)
        initialize(*[layer for layer in self.children() if isinstance(layer, nn.Conv2d)])

    def enlarge(self, source: Tensor) -> Tensor:
        x = self.body(activated(self.conv_first(source)))
        for convolution in (self.upconv1, self.upconv2):
            if convolution is not None:
                x = activated(functional.pixel_shuffle(convolution(x), self.step))
        base = functional.interpolate(source, scale_factor=self.scale, mode="bilinear", align_corners=False)
        return self.conv_last(activated(self.conv_hr(x))) + base


def activated(x: Tensor) -> Tensor:
    """Returns the leaky ReLU with slope 0.1, in place."""
    return functional.leaky_relu(x, 0.1, inplace=True)


class VGGStyleDiscriminator(nn.Module):
    """Images (N, C, H, W) to logits (N,): a stage is a 3 × 3 convolution and one that halves, with batch norm.

    There are as many stages as leave less than 8 pixels of the shorter side, 5 at 128 px and 6 at 256 px, the sizes of
    BasicSR.

    Options:
        width: channels of the first stage; the next ones have 2, 4 and 8 times as many.
    """

    def __init__(self, image: SampleSpec, width: int = 64):
        super().__init__()
        height, breadth = image.height, image.width
        self.stages, inputs = 0, image.channels
        while min(height, breadth) >= 8:
            outputs = width * min(2**self.stages, 8)
            first = self.stages == 0
            self.add_module(f"conv{self.stages}_0", nn.Conv2d(inputs, outputs, 3, 1, 1, bias=first))
            if not first:
                self.add_module(f"bn{self.stages}_0", nn.BatchNorm2d(outputs))
            self.add_module(f"conv{self.stages}_1", nn.Conv2d(outputs, outputs, 4, 2, 1, bias=False))
            self.add_module(f"bn{self.stages}_1", nn.BatchNorm2d(outputs))
            self.stages, inputs, height, breadth = self.stages + 1, outputs, height // 2, breadth // 2
        if self.stages < 2:
            raise ValueError(f"it halves images at least twice: 16 pixels or more each way, not {image.extent}")
        self.linear1, self.linear2 = nn.Linear(inputs * height * breadth, 100), nn.Linear(100, 1)
        self.activation = LeakyReLU(0.2)

    def forward(self, images: Tensor, label: Tensor | None = None) -> Tensor:
        x = (images + 1) / 2
        for name in [f"{stage}_{half}" for stage in range(self.stages) for half in (0, 1)]:
            x = self.get_submodule(f"conv{name}")(x)
            x = self.activation(x if name == "0_0" else self.get_submodule(f"bn{name}")(x))
        return self.linear2(self.activation(self.linear1(x.flatten(1)))).squeeze(1)
