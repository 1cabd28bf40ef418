"""The networks and the loss of the small StyleGAN2."""

import math

import torch
from torch import Tensor, nn
from torch.nn.functional import conv2d, interpolate, leaky_relu, softplus

from ganzoo import SampleSpec
from ganzoo.losses import Loss, Phase, Turn, zero_centred_penalty
from ganzoo.networks import Generator

LAYERS = 3


class Modulated(nn.Module):
    """A convolution whose input channels a style scales and whose output is normalized (Karras et al. 2020, eq. 3)."""

    def __init__(self, styles: int, before: int, after: int, size: int, demodulate: bool):
        super().__init__()
        self.affine = nn.Linear(styles, before)
        nn.init.ones_(self.affine.bias)
        self.weight = nn.Parameter(torch.randn(after, before, size, size) / math.sqrt(before * size**2))
        self.bias = nn.Parameter(torch.zeros(after))
        self.demodulate = demodulate

    def forward(self, x: Tensor, style: Tensor) -> Tensor:
        scale = self.affine(style)
        x = conv2d(x * scale[:, :, None, None], self.weight, padding=self.weight.shape[2] // 2)
        if self.demodulate:
            square = (self.weight[None] * scale[:, None, :, None, None]).square().sum((2, 3, 4))
            x = x * (square + 1e-8).rsqrt()[:, :, None, None]
        return x + self.bias[None, :, None, None]


class StyleGenerator(Generator):
    """Latents to styles (N, LAYERS, styles) to pictures; in training, two latents may share a picture."""

    def __init__(self, image: SampleSpec, latent_dim: int = 4, styles: int = 4, width: int = 4, mixing: float = 0.9):
        super().__init__()
        self.latent_dim, self.mixing = latent_dim, mixing
        self.map = nn.Sequential(nn.Linear(latent_dim, styles), nn.LeakyReLU(0.2), nn.Linear(styles, styles))
        self.start = nn.Parameter(torch.randn(1, width, 4, 4))
        self.first = Modulated(styles, width, width, 3, True)
        self.second = Modulated(styles, width, width, 3, True)
        self.noise_strength = nn.Parameter(torch.zeros(()))
        self.to_rgb = Modulated(styles, width, image.channels, 1, False)
        self.register_buffer("mean_style", torch.zeros(styles))
        self.register_buffer("noise", torch.randn(1, 1, 8, 8))

    def mapping(self, latent: Tensor, label: Tensor | None = None) -> Tensor:
        style = self.map(latent * (latent.square().mean(1, keepdim=True) + 1e-8).rsqrt())
        if self.training:
            with torch.no_grad():
                self.mean_style.lerp_(style.float().mean(0).to(self.mean_style.dtype), 0.005)
        return style[:, None].expand(-1, LAYERS, -1)

    def synthesis(self, styles: Tensor, label: Tensor | None = None) -> Tensor:
        x = self.start.expand(len(styles), -1, -1, -1)
        x = leaky_relu(self.first(x, styles[:, 0]), 0.2)
        x = interpolate(x, scale_factor=2, mode="nearest")
        x = self.second(x, styles[:, 1])
        noise = torch.randn_like(x[:, :1]) if self.training else self.noise
        x = leaky_relu(x + self.noise_strength * noise, 0.2)
        image = self.to_rgb(x, styles[:, 2])
        return image if self.training else image.clamp(-1, 1)

    def truncate(self, styles: Tensor, truncation: float) -> Tensor:
        """Moves styles towards their mean (Karras et al. 2019, appendix B)."""
        return torch.lerp(self.mean_style.expand_as(styles), styles, truncation)

    def forward(self, latent: Tensor, label: Tensor | None = None) -> Tensor:
        styles = self.mapping(latent)
        if self.training and torch.rand(()) < self.mixing:
            cutoff = int(torch.randint(1, LAYERS, ()))
            styles = torch.cat([styles[:, :cutoff], self.mapping(torch.randn_like(latent))[:, cutoff:]], 1)
        return self.synthesis(styles)


class Lazy(Loss):
    """Non-saturating terms; R1 and path length run now and then, scaled by how rarely."""

    def __init__(
        self, image: SampleSpec, gamma: float = 2.0, r1_every: int = 2, path_every: int = 2, path_weight: float = 2.0
    ):
        super().__init__()
        self.gamma, self.r1_every, self.path_every, self.path_weight = gamma, r1_every, path_every, path_weight
        self.register_buffer("mean_length", torch.zeros(()))
        self.phases = (
            Phase("generator", ("generator",)),
            Phase("path_length", ("generator",), every=path_every),
            Phase("discriminator", ("discriminator",)),
            Phase("r1", ("discriminator",), every=r1_every),
        )

    def generator(self, turn: Turn) -> dict[str, Tensor]:
        return {"fake": softplus(-turn.logits(turn.fake)).mean()}

    def discriminator(self, turn: Turn) -> dict[str, Tensor]:
        return {"real": softplus(-turn.logits(turn.real)).mean(), "fake": softplus(turn.logits(turn.fake)).mean()}

    def r1(self, turn: Turn) -> dict[str, Tensor]:
        return {"penalty": self.r1_every * self.gamma * zero_centred_penalty(turn.logits, turn.real)}

    def path_length(self, turn: Turn) -> dict[str, Tensor]:
        """Equation 4 of the paper, on half of the batch, in float32."""
        half = turn.latent[: max(1, len(turn.latent) // 2)]
        with torch.autocast(half.device.type, enabled=False):
            styles = turn.generator.mapping(half)
            images = turn.generator.synthesis(styles)
            noise = turn.normal(*images.shape[1:])[: len(images)] / math.sqrt(images.shape[2] * images.shape[3])
            (gradient,) = torch.autograd.grad((images * noise).sum(), styles, create_graph=True)
            lengths = gradient.square().sum(2).mean(1).sqrt()
            self.mean_length.lerp_(lengths.detach().mean(), 0.01)
            penalty = (lengths - self.mean_length.clone()).square().mean()
        return {"penalty": self.path_every * self.path_weight * penalty}
