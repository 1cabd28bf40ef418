"""The generator of FastGAN: convolutions that double the size, noise, gated units and skip-layer excitation.

Followed: the port in autonomousvision/projected-gan (`pg_modules/blocks.py` and `networks_fastgan.py`, MIT) and the
paper. With heavy blocks and a width of 128 it has 105,684,175 parameters at 256 px, with light ones 79,354,307.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from ganzoo import SampleSpec
from ganzoo.networks import Generator, doublings

from .layers import DoublingConvolution, Excitation, GatedUnit, convolution, initialize, normalized, times

SHARES = {4: 16.0, 8: 8.0, 16: 4.0, 32: 2.0, 64: 2.0, 128: 1.0, 256: 0.5, 512: 0.25, 1024: 0.125}  # of the width
EPSILON = 1e-8
Noise = Callable[..., Tensor]  # of a shape without the batch: noise(1, 8, 8) -> (N, 1, 8, 8)


class Start(nn.Module):
    """Latents (N, inputs) to maps (N, channels, side, side): a transposed convolution of one pixel."""

    u: Tensor
    v: Tensor | None

    def __init__(self, inputs: int, channels: int, side: int, stored: bool = False):
        super().__init__()
        self.weight = nn.Parameter(0.02 * torch.randn(inputs, 2 * channels, side, side))
        self.register_buffer("u", functional.normalize(torch.randn(2 * channels), dim=0))
        self.register_buffer("v", functional.normalize(torch.randn(inputs * side * side), dim=0) if stored else None)
        self.norm = nn.BatchNorm2d(2 * channels)
        self.gate = GatedUnit()

    def forward(self, latent: Tensor) -> Tensor:
        weight = normalized(self.weight.transpose(0, 1), self.u, self.v, self.training)
        return self.gate(self.norm(torch.einsum("ni,oihw->nohw", latent, weight)))


class NoisyLayer(nn.Module):
    """A convolution to twice the channels, noise of a learned strength if `noisy`, batch norm and a gated unit."""

    noise: Tensor

    def __init__(self, inputs: int, outputs: int, size: int, *, doubles: bool, noisy: bool, stored: bool = False):
        super().__init__()
        self.convolution = (
            DoublingConvolution(inputs, 2 * outputs, stored)
            if doubles
            else convolution(inputs, 2 * outputs, 3, padding=1, stored=stored)
        )
        self.norm = nn.BatchNorm2d(2 * outputs)
        self.gate = GatedUnit()
        self.strength = nn.Parameter(torch.zeros(1)) if noisy else None
        if noisy:
            self.register_buffer("noise", torch.randn(size, size))

    def forward(self, x: Tensor, noise: Noise | None) -> Tensor:
        """Returns the features; `noise` None is new in training, stored in evaluation."""
        x = self.convolution(x)
        if self.strength is not None:
            size = self.noise.shape
            if noise is not None:
                drawn = noise(1, *size).to(x.dtype)
            elif self.training:
                drawn = torch.randn(x.shape[0], 1, *size, device=x.device, dtype=x.dtype)
            else:
                drawn = self.noise.to(x.dtype)
            x = x + self.strength.to(x.dtype) * drawn
        return self.gate(self.norm(x))


class FastGANGenerator(Generator):
    """Latents (N, latent_dim) to images (N, C, H, W): a start of 4×4 (7×7 for 28 px), and blocks that double it.

    Maps of 4, 8, 16, 32, 64, 128 ... pixels have 16, 8, 4, 2, 2, 1 ... times `width` channels. A light block has one
    convolution; a heavy one has two, each with noise. Maps from 64 to 512 pixels are excited by those of a sixteenth of
    their size; in images below 64 pixels, the last maps by the start. The noise of evaluation is stored. With
    `spherical`, images are linear as in the port of Projected GAN, and clamped to [-1, 1] in evaluation; without it
    tanh ends the network.

    Options:
        latent_dim: numbers in a latent.
        width: channels of the maps of 128 pixels; smaller maps have multiples of it.
        blocks: "heavy" or "light" ones only, or "alternating": in turn, the first heavy.
        spherical: whether latents are divided by their root mean square, and images are linear instead of tanh.
        stored_vectors: whether evaluation uses both stored vectors of the power method, as the port's weights need.
    """

    def __init__(
        self,
        image: SampleSpec,
        latent_dim: int = 256,
        width: int = 64,
        blocks: Literal["alternating", "heavy", "light"] = "alternating",
        spherical: bool = False,
        stored_vectors: bool = False,
    ):
        super().__init__()
        self.latent_dim, self.spherical = latent_dim, spherical
        side, count = doublings(image.size, 4, 7)
        nominal = [4 << step for step in range(count + 1)]  # of 7, 14, 28 pixels too
        widths = [times(width, SHARES[size]) for size in nominal]
        stored = stored_vectors
        self.start = Start(latent_dim, widths[0], side, stored)
        self.blocks = nn.ModuleList()
        for step in range(1, count + 1):
            heavy = blocks == "heavy" or (blocks == "alternating" and step % 2 == 1)
            before, after, size = widths[step - 1], widths[step], side << step
            layers = [NoisyLayer(before, after, size, doubles=True, noisy=heavy, stored=stored)]
            layers += [NoisyLayer(after, after, size, doubles=False, noisy=True, stored=stored)] if heavy else []
            self.blocks.append(nn.ModuleList(layers))
        # which maps excite those of a step: four doublings before, never of more than 32 pixels
        self.sources = {step: step - 4 for step in range(4, count + 1) if nominal[step] <= 512} or {count: 0}
        self.excitations = nn.ModuleDict(
            {str(step): Excitation(widths[source], widths[step], stored) for step, source in self.sources.items()}
        )
        self.output = convolution(widths[-1], image.channels, 3, padding=1, stored=stored)
        if spherical:
            self.output.bias = nn.Parameter(torch.zeros(image.channels))
        initialize(self)

    def forward(self, latent: Tensor, label: Tensor | None = None, *, noise: Noise | None = None) -> Tensor:
        """Returns the images of latents.

        `noise(1, H, W)` returns the noise (N, 1, H, W) of a layer; unless given, it is new in training and the stored
        one in evaluation.
        """
        if self.spherical:
            latent = latent * (latent.square().mean(1, keepdim=True) + EPSILON).rsqrt()
        maps = [self.start(latent)]
        for step, block in enumerate(self.blocks, 1):
            x = maps[-1]
            for layer in block.children():
                x = layer(x, noise)
            if step in self.sources:
                x = self.excitations[str(step)](maps[self.sources[step]], x)
            maps.append(x)
        images = self.output(maps[-1])
        if not self.spherical:
            return torch.tanh(images)
        return images if self.training else images.clamp(-1, 1)
