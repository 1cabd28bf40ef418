"""EfficientNet-Lite0 (Tan and Le 2019; Lite of 2020) up to its last stage, as a frozen network of features.

Tensors have the names of timm's `tf_efficientnet_lite0`, whose weights came from TensorFlow: convolutions pad as SAME
does there. No weights come with ganzoo: `ganzoo convert tf_efficientnet_lite0-0aa007d2.pth --asset efficientnet-lite0`
makes the file that an option names; `model.safetensors` of timm/tf_efficientnet_lite0.in1k on the Hub is one too.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.nn import functional

from ganzoo.errors import CheckpointError
from ganzoo.networks.frozen import FrozenNetwork

STEM = 32
BLOCKS = (  # outputs, kernel, stride, expansion, how many in a row
    (16, 3, 1, 1, 1),
    (24, 3, 2, 6, 2),
    (40, 5, 2, 6, 2),
    (80, 3, 2, 6, 3),
    (112, 5, 1, 6, 3),
    (192, 5, 2, 6, 4),
    (320, 3, 1, 6, 1),
)
STAGES = (2, 3, 5, 7)  # how many of these groups have run where features are taken
CHANNELS = tuple(BLOCKS[end - 1][0] for end in STAGES)
EPSILON = 1e-3


class SameConvolution(nn.Conv2d):
    """A convolution without bias that pads as TensorFlow's SAME: to ⌈n / stride⌉ pixels, the odd one at the end."""

    def __init__(self, inputs: int, outputs: int, kernel: int, stride: int = 1, groups: int = 1) -> None:
        super().__init__(inputs, outputs, kernel, stride, groups=groups, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        (kernel, _), (stride, _) = self.kernel_size, self.stride
        height, width = (max((-(-side // stride) - 1) * stride + kernel - side, 0) for side in x.shape[2:])
        padded = functional.pad(x, (width // 2, width - width // 2, height // 2, height - height // 2))
        return super().forward(padded)


class RunningNorm(nn.Module):
    """Batch norm with its running statistics, which never move."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        for name, start in (("weight", 1.0), ("bias", 0.0), ("running_mean", 0.0), ("running_var", 1.0)):
            self.register_buffer(name, torch.full((channels,), start))

    def forward(self, x: Tensor) -> Tensor:
        mean, variance, weight, bias = (
            self.get_buffer(name) for name in ("running_mean", "running_var", "weight", "bias")
        )
        return functional.batch_norm(x, mean, variance, weight, bias, eps=EPSILON)


class Separable(nn.Module):
    """The first block: a convolution of each channel, then one across channels."""

    def __init__(self, inputs: int, outputs: int, kernel: int, stride: int) -> None:
        super().__init__()
        self.conv_dw, self.bn1 = SameConvolution(inputs, inputs, kernel, stride, inputs), RunningNorm(inputs)
        self.conv_pw, self.bn2 = SameConvolution(inputs, outputs, 1), RunningNorm(outputs)

    def forward(self, x: Tensor) -> Tensor:
        return self.bn2(self.conv_pw(functional.relu6(self.bn1(self.conv_dw(x)))))


class InvertedResidual(nn.Module):
    """More channels, a convolution of each, fewer again; x is added where size and channels stay."""

    def __init__(self, inputs: int, outputs: int, kernel: int, stride: int, expansion: int) -> None:
        super().__init__()
        wide = inputs * expansion
        self.adds = stride == 1 and inputs == outputs
        self.conv_pw, self.bn1 = SameConvolution(inputs, wide, 1), RunningNorm(wide)
        self.conv_dw, self.bn2 = SameConvolution(wide, wide, kernel, stride, wide), RunningNorm(wide)
        self.conv_pwl, self.bn3 = SameConvolution(wide, outputs, 1), RunningNorm(outputs)

    def forward(self, x: Tensor) -> Tensor:
        y = functional.relu6(self.bn1(self.conv_pw(x)))
        y = self.bn3(self.conv_pwl(functional.relu6(self.bn2(self.conv_dw(y)))))
        return x + y if self.adds else y


class EfficientNetLite0(nn.Module):
    """Images (N, 1 or 3, H, W) in [-1, 1] to features of a fourth, eighth, 16th and 32nd of the size, a list.

    They have 24, 40, 112 and 320 channels. Grey images become RGB of equal channels.
    """

    def __init__(self) -> None:
        super().__init__()
        self.conv_stem, self.bn1 = SameConvolution(3, STEM, 3, 2), RunningNorm(STEM)
        groups, inputs = [], STEM
        for outputs, kernel, stride, expansion, count in BLOCKS:
            group: list[nn.Module] = []
            for number in range(count):
                step = stride if number == 0 else 1
                group.append(
                    Separable(inputs, outputs, kernel, step)
                    if expansion == 1
                    else InvertedResidual(inputs, outputs, kernel, step, expansion)
                )
                inputs = outputs
            groups.append(nn.Sequential(*group))
        self.blocks = nn.ModuleList(groups)

    def forward(self, images: Tensor) -> list[Tensor]:
        x = functional.relu6(self.bn1(self.conv_stem(images.expand(-1, 3, -1, -1))))
        features = []
        for number, block in enumerate(self.blocks, 1):
            x = block(x)
            if number in STAGES:
                features.append(x)
        return features


def frozen_efficientnet_lite0(tensors: Mapping[str, Tensor]) -> FrozenNetwork:
    """Builds `EfficientNetLite0` with tensors that have timm's names; others (the classifier's) are left out.

    CheckpointError for tensors that are missing or of another shape.
    """
    with torch.device("meta"):
        network = EfficientNetLite0()
    for name, empty in network.state_dict().items():
        if name not in tensors or tensors[name].shape != empty.shape:
            came = "is missing" if name not in tensors else f"has the shape {tuple(tensors[name].shape)}"
            raise CheckpointError(
                f"The file of features does not hold EfficientNet-Lite0 as timm names it: {name} {came}. "
                "`ganzoo convert tf_efficientnet_lite0-0aa007d2.pth --asset efficientnet-lite0 --out FILE` makes it."
            )
    network.load_state_dict({name: tensors[name] for name in network.state_dict()}, assign=True)
    return FrozenNetwork(network)
