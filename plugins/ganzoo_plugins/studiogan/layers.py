"""The layers of StudioGAN's backbones: orthogonal weights, spectral normalization if asked for, batch norm that knows a condition.

Followed: POSTECH-CVLab/PyTorch-StudioGAN, `src/utils/ops.py` and `define_modules` of `src/config.py`, with torch's older `spectral_norm`.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils.parametrize import register_parametrization

from ganzoo.networks.normalization import BatchNorm, ConditionalBatchNorm

EPSILON = 1e-4
SPECTRAL_EPSILON = 1e-6


class Spectral(nn.Module):
    """Divides a weight by its largest singular value uᵀWv; both vectors are kept, and advance by one step in each pass of training.

    Evaluation takes them as they are, where `ganzoo.networks.normalization` takes one more step: what a checkpoint of averaged weights draws
    depends on it. Miyato et al. 2018, algorithm 1. `outputs` is the dimension of the weight that counts the layer's outputs.
    """

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
    """Makes the layers of one network: weights orthogonal, biases 0, divided by their largest singular value if `spectral`."""

    spectral: bool = False

    def made(self, layer: nn.Module) -> nn.Module:
        """The layer with its first weights."""
        if (
            not layer.weight.is_meta
        ):  # a network of shapes alone is made for every file that is looked at, and there this is slow
            nn.init.orthogonal_(layer.weight)
            if getattr(layer, "bias", None) is not None:
                nn.init.zeros_(layer.bias)
        if self.spectral:
            spectral = Spectral(layer.weight, 1 if isinstance(layer, nn.ConvTranspose2d) else 0)
            register_parametrization(layer, "weight", spectral, unsafe=True)
        return layer

    def convolution(self, inputs: int, outputs: int, kernel: int) -> nn.Module:
        """A convolution that keeps the size."""
        return self.made(nn.Conv2d(inputs, outputs, kernel, padding=kernel // 2))

    def halving(self, inputs: int, outputs: int) -> nn.Module:
        """A 4×4 convolution of stride 2."""
        return self.made(nn.Conv2d(inputs, outputs, 4, 2, 1))

    def doubling(self, inputs: int, outputs: int) -> nn.Module:
        """A 4×4 transposed convolution of stride 2."""
        return self.made(nn.ConvTranspose2d(inputs, outputs, 4, 2, 1))

    def attention(self, inputs: int, outputs: int, kernel: int) -> nn.Module:
        """A convolution of self-attention: without bias."""
        return self.made(nn.Conv2d(inputs, outputs, kernel, bias=False))

    def linear(self, inputs: int, outputs: int, bias: bool = True) -> nn.Module:
        return self.made(nn.Linear(inputs, outputs, bias=bias))

    def table(self, classes: int, width: int) -> nn.Module:
        """A vector of each class."""
        return self.made(nn.Embedding(classes, width))

    def norm(self, channels: int, condition: int) -> nn.Module:
        """Batch norm whose scale and shift are linear in a condition of so many numbers; its own where that is 0."""
        if not condition:
            return BatchNorm(channels, eps=EPSILON)
        return ConditionalBatchNorm(
            channels, *(self.linear(condition, channels, bias=False) for _ in range(2)), eps=EPSILON
        )

    def discriminator_norm(self, channels: int) -> nn.Module:
        """Batch norm where the discriminator has no spectral normalization, nothing where it has."""
        return nn.Identity() if self.spectral else nn.BatchNorm2d(channels, eps=EPSILON)


class Judgement(nn.Module):
    """The end of a discriminator: features (N, width) and labels to logits (N,), with the projection on the class if there are any."""

    def __init__(self, width: int, classes: int, layers: Layers):
        super().__init__()
        self.linear = layers.linear(width, 1)
        self.embedding = layers.table(classes, width) if classes else None

    def forward(self, features: Tensor, label: Tensor | None = None) -> Tensor:
        logits = self.linear(features).flatten()
        return logits if self.embedding is None else logits + (self.embedding(label) * features).sum(1)


def one_hot(label: Tensor, classes: int, like: Tensor) -> Tensor:
    """Labels (N,) as vectors (N, classes) of the type of `like`."""
    return functional.one_hot(label, classes).to(like.dtype)
