"""The layers of StudioGAN's backbones: orthogonal weights, optional spectral normalization, conditional batch norm.

Followed: POSTECH-CVLab/PyTorch-StudioGAN, `src/utils/ops.py` and `define_modules` of `src/config.py`, with torch's
older `spectral_norm`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils.parametrize import register_parametrization

from ganzoo.networks.normalization import BatchNorm, ConditionalBatchNorm

EPSILON = 1e-4
SPECTRAL_EPSILON = 1e-6


class Spectral(nn.Module):
    """Divides a weight by its largest singular value uᵀWv; each pass in training advances both vectors by one step.

    Evaluation uses the stored vectors, where `ganzoo.networks.normalization` takes one more step; samples of a
    checkpoint of averaged weights depend on that. Miyato et al. 2018, algorithm 1. `outputs` is the dimension of the
    weight that counts the layer's outputs.
    """

    u: Tensor
    v: Tensor

    def __init__(self, weight: Tensor, outputs: int):
        super().__init__()
        self.outputs = outputs
        self.register_buffer("u", torch.randn(weight.shape[outputs]))
        self.register_buffer("v", torch.zeros(weight.numel() // weight.shape[outputs]))
        if not weight.is_meta:
            with torch.no_grad():
                self(weight)

    def forward(self, weight: Tensor) -> Tensor:
        with torch.autocast(weight.device.type, enabled=False):
            matrix, u, v = weight.transpose(0, self.outputs).flatten(1), self.u, self.v
            if self.training:
                v = functional.normalize(matrix.detach().t().mv(u), dim=0, eps=SPECTRAL_EPSILON)
                u = functional.normalize(matrix.detach().mv(v), dim=0, eps=SPECTRAL_EPSILON)
                with torch.no_grad():
                    self.u.copy_(u)
                    self.v.copy_(v)
            return weight / u.dot(matrix.mv(v))


@dataclass(frozen=True)
class Layers:
    """Makes the layers of one network: weights orthogonal, biases 0, spectrally normalized if `spectral`."""

    spectral: bool = False

    def made(self, layer: nn.Module) -> nn.Module:
        """Initializes and returns the layer."""
        weight, bias = cast(Tensor, layer.weight), getattr(layer, "bias", None)
        if not weight.is_meta:  # recognizing a file builds networks of shapes alone, where this would be slow
            nn.init.orthogonal_(weight)
            if bias is not None:
                nn.init.zeros_(bias)
        if self.spectral:
            spectral = Spectral(weight, 1 if isinstance(layer, nn.ConvTranspose2d) else 0)
            register_parametrization(layer, "weight", spectral, unsafe=True)
        return layer

    def convolution(self, inputs: int, outputs: int, kernel: int) -> nn.Module:
        """Returns a convolution that keeps the size."""
        return self.made(nn.Conv2d(inputs, outputs, kernel, padding=kernel // 2))

    def halving(self, inputs: int, outputs: int) -> nn.Module:
        """Returns a 4×4 convolution of stride 2."""
        return self.made(nn.Conv2d(inputs, outputs, 4, 2, 1))

    def doubling(self, inputs: int, outputs: int) -> nn.Module:
        """Returns a 4×4 transposed convolution of stride 2."""
        return self.made(nn.ConvTranspose2d(inputs, outputs, 4, 2, 1))

    def attention(self, inputs: int, outputs: int, kernel: int) -> nn.Module:
        """Returns a convolution for self-attention, without bias."""
        return self.made(nn.Conv2d(inputs, outputs, kernel, bias=False))

    def linear(self, inputs: int, outputs: int, bias: bool = True) -> nn.Module:
        return self.made(nn.Linear(inputs, outputs, bias=bias))

    def table(self, classes: int, width: int) -> nn.Module:
        """Returns an embedding of the classes."""
        return self.made(nn.Embedding(classes, width))

    def norm(self, channels: int, condition: int) -> nn.Module:
        """Returns batch norm with scale and shift linear in a condition of so many numbers; unconditional for 0."""
        if not condition:
            return BatchNorm(channels, eps=EPSILON)
        gain, shift = (self.linear(condition, channels, bias=False) for _ in range(2))
        return ConditionalBatchNorm(channels, gain, shift, eps=EPSILON)

    def discriminator_norm(self, channels: int) -> nn.Module:
        """Returns batch norm, or the identity in a spectrally normalized discriminator."""
        return nn.Identity() if self.spectral else nn.BatchNorm2d(channels, eps=EPSILON)


class Judgement(nn.Module):
    """The end of a discriminator: features (N, width) and labels to logits (N,), with the class projection.

    Without classes there is no projection.
    """

    def __init__(self, width: int, classes: int, layers: Layers):
        super().__init__()
        self.linear = layers.linear(width, 1)
        self.embedding = layers.table(classes, width) if classes else None

    def forward(self, features: Tensor, label: Tensor | None = None) -> Tensor:
        logits = self.linear(features).flatten()
        return logits if self.embedding is None else logits + (self.embedding(label) * features).sum(1)


def one_hot(label: Tensor | None, classes: int, like: Tensor) -> Tensor:
    """Converts labels (N,) to vectors (N, classes) of the dtype of `like`."""
    assert label is not None, "a conditional network needs labels"
    return functional.one_hot(label, classes).to(like.dtype)
