"""Pre-activated residual blocks and self-attention, of which SNGAN, SAGAN and BigGAN are built.

What kind of convolution and norm they are made of is the caller's: `convolution(inputs, outputs, kernel)` and `norm(channels)`
return modules. A 1×1 convolution commutes with pooling and with doubling of pixels, so shortcuts do it on the smaller
side: the same function, cheaper.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor, nn
from torch.nn import functional

from ganzoo.networks import LeakyReLU

Convolution = Callable[[int, int, int], nn.Module]
Norm = Callable[[int], nn.Module]


def doubled(x: Tensor, mode: str = "nearest") -> Tensor:
    """Twice as many pixels each way: `mode` "nearest" repeats them, "bilinear" mixes neighbours (corners not aligned)."""
    return functional.interpolate(
        x, scale_factor=2, mode=mode, **({} if mode == "nearest" else {"align_corners": False})
    )


def halved(x: Tensor) -> Tensor:
    """The mean of each 2×2 pixels."""
    return functional.avg_pool2d(x, 2)


class GeneratorBlock(nn.Module):
    """Doubles the pixels: twice norm, ReLU, 3×3 convolution, beside a 1×1 convolution; norms are called with the condition.

    Miyato et al. 2018, figure 8. `upsampling` is a mode of `doubled`.
    """

    def __init__(self, inputs: int, outputs: int, convolution: Convolution, norm: Norm, upsampling: str = "nearest"):
        super().__init__()
        self.doubled = partial(doubled, mode=upsampling)
        self.norm1, self.norm2 = norm(inputs), norm(outputs)
        self.convolution1, self.convolution2 = convolution(inputs, outputs, 3), convolution(outputs, outputs, 3)
        self.shortcut = convolution(inputs, outputs, 1)
        self.activation = LeakyReLU(0.0)

    def forward(self, x: Tensor, condition: Tensor | None = None) -> Tensor:
        residual = self.convolution1(self.doubled(self.activation(self.norm1(x, condition))))
        residual = self.convolution2(self.activation(self.norm2(residual, condition)))
        return self.doubled(self.shortcut(x)) + residual


class DiscriminatorBlock(nn.Module):
    """Twice ReLU and 3×3 convolution beside a shortcut, halving the pixels if `down`; the `first` block has no ReLU before pixels.

    The shortcut is a 1×1 convolution where width or size change. Miyato et al. 2018, figure 8. `hidden` is the width between the convolutions.
    With `activated_shortcut` it starts after the first ReLU, which is what a ReLU in place makes of it in kwotsin/mimicry.
    """

    def __init__(
        self,
        inputs: int,
        outputs: int,
        hidden: int,
        convolution: Convolution,
        down: bool,
        first: bool = False,
        activated_shortcut: bool = False,
    ):
        super().__init__()
        self.down, self.first, self.activated_shortcut = down, first, activated_shortcut
        self.convolution1, self.convolution2 = convolution(inputs, hidden, 3), convolution(hidden, outputs, 3)
        self.shortcut = convolution(inputs, outputs, 1) if down or inputs != outputs else nn.Identity()
        self.activation = LeakyReLU(0.0)

    def forward(self, x: Tensor) -> Tensor:
        activated = x if self.first else self.activation(x)
        residual = self.convolution2(self.activation(self.convolution1(activated)))
        x = activated if self.activated_shortcut else x
        if not self.down:
            return self.shortcut(x) + residual
        return self.shortcut(halved(x)) + halved(residual)


class SelfAttention(nn.Module):
    """Every pixel takes a mixture of all 2×2 neighbourhoods, weighed by likeness and by a scale that starts at 0.

    Zhang et al. 2018 as their code has it: keys and values are max-pooled, values have half the channels (the paper's text says neither).
    """

    def __init__(self, channels: int, convolution: Convolution):
        super().__init__()
        narrow, half = max(channels // 8, 1), max(channels // 2, 1)
        self.query, self.key = convolution(channels, narrow, 1), convolution(channels, narrow, 1)
        self.value, self.output = convolution(channels, half, 1), convolution(half, channels, 1)
        self.scale = nn.Parameter(torch.zeros(()))

    def forward(self, x: Tensor, condition: Tensor | None = None) -> Tensor:
        query = self.query(x).flatten(2)
        key = functional.max_pool2d(self.key(x), 2).flatten(2)
        value = functional.max_pool2d(self.value(x), 2).flatten(2)
        share = (query.transpose(1, 2) @ key).softmax(-1)
        mixed = (value @ share.transpose(1, 2)).unflatten(2, x.shape[2:])
        return self.scale * self.output(mixed) + x
