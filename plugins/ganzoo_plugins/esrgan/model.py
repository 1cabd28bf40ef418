"""The network of ESRGAN and Real-ESRGAN: residual in residual dense blocks (RRDB).

Followed: XPixelGroup/BasicSR `basicsr/archs/rrdbnet_arch.py`, whose names tensors have. With 3 channels there are
16,697,987 parameters for a scale of 4, 16,703,171 for 2. Networks of xinntao/ESRGAN and cszn/BSRGAN for a scale of 2
are those with `unshuffle=False`, those of ncarraz/ESRGANplus with `plus=True`.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from ganzoo import SampleSpec
from ganzoo.networks import Upscaler


class DenseBlock(nn.Module):
    """Five 3 × 3 convolutions, each of the input and all results before; a fifth of the last is added to the input."""

    def __init__(self, width: int, growth: int, plus: bool):
        super().__init__()
        for number in range(1, 6):
            convolution = nn.Conv2d(width + (number - 1) * growth, growth if number < 5 else width, 3, 1, 1)
            nn.init.kaiming_normal_(convolution.weight)
            with torch.no_grad():
                convolution.weight.mul_(0.1)
            nn.init.zeros_(convolution.bias)  # type: ignore[arg-type]
            self.add_module(f"conv{number}", convolution)
        self.conv1x1 = nn.Conv2d(width, growth, 1, bias=False) if plus else None

    def forward(self, x: Tensor) -> Tensor:
        found = [x]
        for number in range(1, 5):
            made = activated(self.get_submodule(f"conv{number}")(torch.cat(found, 1)))
            if self.conv1x1 is not None and number == 2:
                made = made + self.conv1x1(x)
            if self.conv1x1 is not None and number == 4:
                made = made + found[2]
            found.append(made)
        return self.get_submodule("conv5")(torch.cat(found, 1)) * 0.2 + x


class RRDB(nn.Module):
    """Three dense blocks; a fifth of their result is added to the input."""

    def __init__(self, width: int, growth: int, plus: bool):
        super().__init__()
        self.rdb1, self.rdb2, self.rdb3 = (DenseBlock(width, growth, plus) for _ in range(3))

    def forward(self, x: Tensor) -> Tensor:
        return self.rdb3(self.rdb2(self.rdb1(x))) * 0.2 + x


class RRDBNet(Upscaler):
    """Enlarges images 1, 2, 3, 4 or 8 times: RRDBs on the source's pixels, then nearest pixels and convolutions.

    A network for a scale of 1 or 2 folds 4 × 4 or 2 × 2 pixels of the source into channels and enlarges 4 times from
    there, unless `unshuffle` is False: then it enlarges as often as its scale needs. A scale of 3 is one enlargement by
    3, which the first ESRGAN code had and BasicSR has not.

    Options:
        width: channels between the blocks.
        blocks: residual-in-residual dense blocks (RRDBs).
        growth: channels of each convolution in a dense block; 0: half the width.
        unshuffle: whether a scale of 1 or 2 folds pixels of the source into channels first.
        plus: whether dense blocks have the shortcuts of ESRGAN+ (without its noise).
    """

    def __init__(
        self,
        image: SampleSpec,
        width: int = 64,
        blocks: int = 23,
        growth: int = 0,
        unshuffle: bool = True,
        plus: bool = False,
    ):
        super().__init__(image)
        if self.scale not in (1, 2, 3, 4, 8):
            raise ValueError(f"it enlarges 1, 2, 3, 4 or 8 times, not {self.scale} times (--set source.factor=4)")
        self.folded = 4 // self.scale if unshuffle and self.scale in (1, 2) else 1
        self.multiple = self.folded
        self.reach = self.folded * (15 * blocks + 4)  # 3 × 5 convolutions a block, and less than 4 pixels of the others
        if image.inputs["source"].shape[1] % self.folded or image.inputs["source"].shape[2] % self.folded:
            raise ValueError(f"with a scale of {self.scale}, the source's sides must be multiples of {self.folded}")
        self.steps = [3] if self.scale == 3 else [2] * ((self.scale * self.folded).bit_length() - 1)
        self.conv_first = nn.Conv2d(self.source_channels * self.folded**2, width, 3, 1, 1)
        self.body = nn.Sequential(*[RRDB(width, growth or width // 2, plus) for _ in range(blocks)])
        self.conv_body = nn.Conv2d(width, width, 3, 1, 1)
        for number in range(1, len(self.steps) + 1):
            self.add_module(f"conv_up{number}", nn.Conv2d(width, width, 3, 1, 1))
        self.conv_hr = nn.Conv2d(width, width, 3, 1, 1)
        self.conv_last = nn.Conv2d(width, self.channels, 3, 1, 1)

    def enlarge(self, source: Tensor) -> Tensor:
        x = self.conv_first(functional.pixel_unshuffle(source, self.folded))
        x = x + self.conv_body(self.body(x))
        for number, step in enumerate(self.steps, 1):
            x = functional.interpolate(x, scale_factor=step, mode="nearest")
            x = activated(self.get_submodule(f"conv_up{number}")(x))
        return self.conv_last(activated(self.conv_hr(x)))


def activated(x: Tensor) -> Tensor:
    """Returns the leaky ReLU with slope 0.2, in place."""
    return functional.leaky_relu(x, 0.2, inplace=True)
