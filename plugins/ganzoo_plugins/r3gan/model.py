"""The networks and the loss of R3GAN.

Followed: brownvc/R3GAN `R3GAN/Networks.py`, `R3GAN/Trainer.py` and `train.py`. On 32×32 RGB images the networks have
20,732,160 and 20,683,776 parameters, with ten classes 20,781,952 and 21,280,512. 28 px is ganzoo's adaptation: a 7×7
start and one stage fewer.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from typing import TypeVar

import torch
from torch import Tensor, nn
from torch.nn import functional

from ganzoo import SampleSpec
from ganzoo.losses import Loss, Turn, squared_gradient_norm
from ganzoo.networks import Generator, LeakyReLU, doublings

GAIN = math.sqrt(2 / (1 + 0.2**2))
EXPANSION = 2
Layer = TypeVar("Layer", nn.Conv2d, nn.Linear)


def stage_widths(count: int, width: int, full_width_stages: int) -> list[int]:
    """Returns the channels of each stage, the smallest first.

    These are `width`, and half as many with each stage after the first `full_width_stages`.
    """
    widths = [width // 2 ** max(0, stage + 1 - full_width_stages) for stage in range(count)]
    if widths[-1] < 1:
        raise ValueError(f"a width of {width} cannot be halved for {count} stages of which {full_width_stages} keep it")
    return widths


def initialized(layer: Layer, gain: float = 1.0) -> Layer:
    """Initializes the layer's weights from N(0, gain/√fan_in) and returns it: `MSRInitializer`."""
    nn.init.normal_(layer.weight, 0.0, gain / math.sqrt(layer.weight[0].numel()))
    return layer


def convolution(inputs: int, outputs: int, kernel: int = 1, groups: int = 1, gain: float = 1.0) -> nn.Conv2d:
    """Returns a convolution that keeps the size, without bias, which belongs to the activation here."""
    return initialized(nn.Conv2d(inputs, outputs, kernel, padding=kernel // 2, groups=groups, bias=False), gain)


class BiasedActivation(nn.Module):
    """Adds a bias for each channel, then leaky ReLU 0.2 without a gain."""

    def __init__(self, channels: int):
        super().__init__()
        self.bias = nn.Parameter(torch.zeros(channels))
        self.activation = LeakyReLU(0.2)

    def forward(self, x: Tensor) -> Tensor:
        return self.activation(x + self.bias.view(1, -1, 1, 1))


class ResidualBlock(nn.Module):
    """x plus 1×1 to twice the channels, grouped 3×3, 1×1 back; starts as the identity, since the last weights are zero.

    Groups have `group_width` of the expanded channels each. `depth` is the number of blocks in the network: the first
    two convolutions have the gain √(2/1.04)·depth^(−1/4) (paper section 3.2, after Fixup).
    """

    def __init__(self, channels: int, group_width: int, depth: int):
        super().__init__()
        expanded = channels * EXPANSION
        groups = max(1, expanded // group_width)
        if expanded > group_width and expanded % group_width:
            raise ValueError(f"{expanded} expanded channels cannot be split into groups of {group_width}")
        gain = GAIN * depth**-0.25
        self.expand = convolution(channels, expanded, gain=gain)
        self.activation1 = BiasedActivation(expanded)
        self.mix = convolution(expanded, expanded, 3, groups, gain)
        self.activation2 = BiasedActivation(expanded)
        self.contract = convolution(expanded, channels, gain=0.0)

    def forward(self, x: Tensor) -> Tensor:
        y = self.mix(self.activation1(self.expand(x)))
        return x + self.contract(self.activation2(y))


class Resampling(nn.Module):
    """Twice ("up") or half ("down") the size by the filter [1, 3, 3, 1] on both axes, and 1×1 if the width changes.

    The 1×1 convolution is on the smaller side. The image is padded with zeros.
    """

    kernel: Tensor

    def __init__(self, direction: str, inputs: int, outputs: int):
        super().__init__()
        self.up = direction == "up"
        taps = torch.tensor([1.0, 3.0, 3.0, 1.0])
        self.register_buffer("kernel", torch.outer(taps, taps) / taps.sum().square())
        self.project = convolution(inputs, outputs) if inputs != outputs else None

    def forward(self, x: Tensor) -> Tensor:
        if self.up:
            return self.resample(x if self.project is None else self.project(x))
        x = self.resample(x)
        return x if self.project is None else self.project(x)

    def resample(self, x: Tensor) -> Tensor:
        """Applies the filter alone, channel by channel, as a matrix product for each axis.

        GPUs have no fast kernels for so few taps per channel.
        """
        matrix = self.matrix(x)
        count, channels, height, width = x.shape
        rows = matrix @ x.permute(0, 2, 3, 1).reshape(count, height, width * channels)
        both = matrix @ rows.reshape(-1, width, channels)
        return both.view(count, len(matrix), len(matrix), channels).permute(0, 3, 1, 2)

    def matrix(self, x: Tensor) -> Tensor:
        """Returns the filter's matrix (outputs, inputs) for one axis of square images."""
        taps = self.kernel.sum(0).to(x.dtype).view(1, 1, -1)
        points = torch.eye(x.shape[-1], dtype=x.dtype, device=x.device)[:, None]
        if self.up:  # every other input of a doubled line is zero, hence the factor
            return functional.conv_transpose1d(points, 2 * taps, stride=2, padding=1)[:, 0].T
        return functional.conv1d(points, taps, stride=2, padding=1)[:, 0].T


class Basis(nn.Module):
    """Latents (N, inputs) to the smallest feature maps: a learned map for each channel, scaled by a linear layer."""

    def __init__(self, inputs: int, channels: int, side: int):
        super().__init__()
        self.maps = nn.Parameter(torch.randn(channels, side, side))
        self.scale = initialized(nn.Linear(inputs, channels, bias=False))

    def forward(self, latent: Tensor) -> Tensor:
        return self.maps * self.scale(latent)[:, :, None, None]


class R3GANGenerator(Generator):
    """Latents (N, latent_dim) to images: a learned start, residual blocks, no norm, no tanh.

    The presets: CIFAR-10 and FFHQ have a width of 768 in groups of 16, ImageNet 1536 and 32 (at 64 px with five stages
    of full width). With classes, their embedding is concatenated to the latents. As there is no tanh, images are
    clamped to [-1, 1] in evaluation, not in training.

    Options:
        latent_dim: numbers in a latent.
        width: channels of the first stages, those of full width.
        group_width: channels in a group of a convolution.
        blocks: residual blocks per stage.
        full_width_stages: stages of full width; each later one has half the channels.
        label_size: numbers in the embedding of a class.
    """

    def __init__(
        self,
        image: SampleSpec,
        latent_dim: int = 64,
        width: int = 768,
        group_width: int = 16,
        blocks: int = 2,
        full_width_stages: int = 4,
        label_size: int = 64,
    ):
        super().__init__()
        self.latent_dim, self.blocks = latent_dim, blocks
        side, steps = doublings(image.size, 7, 4)
        count = steps + 1
        widths = stage_widths(count, width, full_width_stages)
        self.label = nn.Embedding(image.classes, label_size) if image.classes else None
        if self.label is not None:
            nn.init.normal_(self.label.weight, 0.0, 1 / math.sqrt(image.classes))
        layers: list[nn.Module] = [Basis(latent_dim + (label_size if image.classes else 0), width, side)]
        for stage, channels in enumerate(widths):
            layers += [Resampling("up", widths[stage - 1], channels)] if stage else []
            layers += [ResidualBlock(channels, group_width, count * blocks) for _ in range(blocks)]
        self.main = nn.Sequential(*layers, convolution(widths[-1], image.channels))

    def forward(self, latent: Tensor, label: Tensor | None = None) -> Tensor:
        if self.label is not None:
            latent = torch.cat([latent, self.label(label)], 1)
        images = self.main(latent)
        return images if self.training else images.clamp(-1, 1)


class R3GANDiscriminator(nn.Module):
    """Images to logits (N,): the generator's stages in reverse, then a depthwise convolution and a linear layer.

    With classes the linear layer gives features, whose inner product with the label's embedding is the logit.

    Options:
        width: channels of the last stages, those of full width.
        group_width: channels in a group of a convolution.
        blocks: residual blocks per stage.
        full_width_stages: stages of full width; each later one has half the channels.
    """

    def __init__(
        self, image: SampleSpec, width: int = 768, group_width: int = 16, blocks: int = 2, full_width_stages: int = 4
    ):
        super().__init__()
        self.blocks = blocks
        side, steps = doublings(image.size, 7, 4)
        count = steps + 1
        widths = stage_widths(count, width, full_width_stages)[::-1]
        layers: list[nn.Module] = [convolution(image.channels, widths[0])]
        for stage, channels in enumerate(widths):
            layers += [ResidualBlock(channels, group_width, count * blocks) for _ in range(blocks)]
            layers += [Resampling("down", channels, widths[stage + 1])] if stage + 1 < count else []
        self.main = nn.Sequential(*layers)
        self.basis = initialized(nn.Conv2d(width, width, side, groups=width, bias=False))
        self.output = initialized(nn.Linear(width, width if image.classes else 1, bias=False))
        self.label = nn.Embedding(image.classes, width) if image.classes else None
        if self.label is not None:
            nn.init.normal_(self.label.weight, 0.0, 1 / math.sqrt(image.classes * width))

    def forward(self, images: Tensor, label: Tensor | None = None) -> Tensor:
        # the depthwise convolution of all there is, as a product: convolutions of as many groups as channels are slow
        features = self.output((self.main(images) * self.basis.weight[:, 0]).sum((2, 3)))
        return features.flatten() if self.label is None else (features * self.label(label)).sum(1)


def logits_and_penalty(critic: Callable[[Tensor], Tensor], images: Tensor) -> tuple[Tensor, Tensor]:
    """Returns critic(images) (N,) and ½·mean ‖∇ critic‖² of one pass, as the official trainer does; in float32."""
    kept: list[Tensor] = []

    def watched(points: Tensor) -> Tensor:
        kept.append(critic(points))
        return kept[-1]

    penalty = squared_gradient_norm(watched, images).mean() / 2
    return kept[0], penalty


class RelativisticR1R2(Loss):
    """Huang et al. 2024, equation 2: f(D(G(z)) − D(x)) in pairs, plus γ/2 (R1 + R2), f(t) = log(1 + eᵗ).

    Both penalties are taken at every step, with respect to images before their augmentation. The generator is compared
    with a fresh batch of real images. `share` multiplies gamma; the official schedules decay it from 1 to 0.1, whatever
    gamma is.

    Options:
        gamma: factor γ; half of it multiplies each penalty.
    """

    needs_per_sample_gradients = True

    def __init__(self, image: SampleSpec, gamma: float = 0.05):
        super().__init__()
        self.gamma, self.share = gamma, 1.0

    def discriminator(self, turn: Turn) -> dict[str, Tensor]:
        real, real_penalty = logits_and_penalty(partial(turn.logits, stands_for="real"), turn.real)
        fake, fake_penalty = logits_and_penalty(partial(turn.logits, stands_for="fake"), turn.fake)
        gamma = self.gamma * self.share
        return {"pair": functional.softplus(fake - real).mean(), "r1": gamma * real_penalty, "r2": gamma * fake_penalty}

    def generator(self, turn: Turn) -> dict[str, Tensor]:
        return {"pair": functional.softplus(turn.logits(turn.real) - turn.logits(turn.fake)).mean()}
