"""The networks and the loss of lightweight-gan, after FastGAN: global context, pixel shuffle, linear attention.

Followed: lucidrains/lightweight-gan 1.2.1 (MIT); tensors have the same names. Its images are in [0, 1], ours in
[-1, 1]: the generator's last layer and the discriminator's first convert, and gradients are those of [0, 1].
"""

from __future__ import annotations

import inspect
from functools import partial
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from ganzoo import SampleSpec
from ganzoo.losses import Loss, Turn, squared_gradient_norm
from ganzoo.networks import Generator, LeakyReLU, doublings

from .discriminator import quarter_of
from .lightweight_layers import (
    SLOPE,
    Branches,
    GlobalContext,
    Noise,
    NormalizedAttention,
    Residual,
    ShuffleUp,
    StoredNoise,
    blurred,
    initialize,
)

LEAST = 5  # halvings of the smallest images: 32 pixels
SHARPEST = 8  # maps of more than 2 to this power pixels have 3 channels


def sizes_of(image: SampleSpec) -> int:
    """Returns log2 of the image size; ValueError unless it is a power of two from 32."""
    return doublings(image.size, 1, least=LEAST)[1]


def features_at(power: int, finest: int, width: int) -> int:
    """Returns the channels of features of 2^power pixels: `finest` at 256, doubled at each half, up to `width`."""
    return min(max(1, finest << 8 >> power), width)


def grouped(*layers: nn.Module | None) -> nn.ModuleList:
    """Returns a list of layers in which None keeps its place, as in the names of the official tensors."""
    return nn.ModuleList(cast(list[nn.Module], layers))


class LightweightGenerator(Generator):
    """Latents (N, latent_dim) to images (N, C, H, W), without tanh, clamped to [-1, 1] in evaluation.

    From a normalized start of 4 × 4, every layer doubles the size by pixel shuffle, with a 4 × 4 convolution, noise,
    batch norm and a gated unit. The layer that starts at n pixels makes min(256 · finest / n, width) channels, 3 from
    n = 256 on. Maps of 2³ to 2⁶ pixels scale those of sixteen times their size. Layers that start at the sizes of
    `attention` begin with attention, of `hidden` features. `antialias` blurs what was doubled. The noise of evaluation
    is stored.

    Options:
        latent_dim: numbers in a latent.
        width: most channels of a layer.
        finest: channels of a layer that starts at 256 pixels; smaller maps have more.
        attention: sizes in pixels at which layers with attention start.
        hidden: features of attention, 64 for each head, or fewer for one head.
        antialias: whether maps are blurred after they are doubled.
    """

    def __init__(
        self,
        image: SampleSpec,
        latent_dim: int = 256,
        width: int = 512,
        finest: int = 16,
        attention: tuple[int, ...] = (32,),
        hidden: int = 512,
        antialias: bool = False,
    ):
        super().__init__()
        self.latent_dim = latent_dim
        self.powers = range(2, sizes_of(image))
        widths = [latent_dim, *(3 if power >= SHARPEST else features_at(power, finest, width) for power in self.powers)]
        start = nn.ConvTranspose2d(latent_dim, 2 * latent_dim, 4)
        self.initial_conv = nn.Sequential(start, nn.BatchNorm2d(2 * latent_dim), nn.GLU(1))
        # by the power of two at which they are made, those at which they are used
        self.targets = {power: power + 4 for power in range(3, 7) if power + 3 in self.powers}
        self.layers = nn.ModuleList()
        for power, before, after in zip(self.powers, widths, widths[1:], strict=False):
            layers = [ShuffleUp(before), blurred(antialias), self._padded(before, 2 * after)]
            layers += [StoredNoise(2 << power), nn.BatchNorm2d(2 * after), nn.GLU(1)]
            context = None
            if power in self.targets:
                context = GlobalContext(after, widths[self.targets[power] - 2])
            attends = NormalizedAttention(before, hidden) if 1 << power in attention else None
            self.layers.append(grouped(nn.Sequential(*layers), context, attends))
        self.out_conv = nn.Conv2d(widths[-1], image.channels, 3, padding=1)
        initialize(self)

    @staticmethod
    def _padded(inputs: int, outputs: int) -> nn.Sequential:
        return nn.Sequential(nn.ZeroPad2d((2, 1, 2, 1)), nn.Conv2d(inputs, outputs, 4))

    def forward(self, latent: Tensor, label: Tensor | None = None, *, noise: Noise | None = None) -> Tensor:
        """Returns the images of latents; `noise(1, H, W)` returns the noise (N, 1, H, W) of a layer."""
        x = functional.normalize(self.initial_conv(latent[:, :, None, None]), dim=1)
        waiting: dict[int, Tensor] = {}
        for power, group in zip(self.powers, self.layers, strict=True):
            up, context, attends = cast(Any, group)
            if attends is not None:
                x = attends(x) + x
            for layer in up:
                x = layer(x, noise) if isinstance(layer, StoredNoise) else layer(x)
            if context is not None:
                waiting[self.targets[power]] = context(x)
            if power + 1 in waiting:
                x = x * waiting[power + 1]
        images = 2 * self.out_conv(x) - 1
        return images if self.training else images.clamp(-1, 1)


class SimpleDecoder(nn.Module):
    """Features to images of 16 times their size, by four gated layers."""

    def __init__(self, inputs: int, channels: int):
        super().__init__()
        self.layers = nn.ModuleList()
        for step in range(4):
            outputs = 2 * max(1, inputs // 2) if step < 3 else 2 * channels
            layers = [ShuffleUp(inputs), nn.Conv2d(inputs, outputs, 3, padding=1), nn.GLU(1)]
            self.layers.append(nn.Sequential(*layers))
            inputs = outputs // 2

    def forward(self, x: Tensor) -> Tensor:
        for layer in self.layers:
            x = layer(x)
        return x


class LightweightDiscriminator(nn.Module):
    """Images to logits (N, P), **low for real images**: of 8 × 8 features, then one of a copy of 32 × 32 pixels.

    Features of n pixels have min(256 · finest / n, width) channels. With `part` (N,), numbers of quarters, also returns
    pairs of images in [0, 1] and what they should be: decoded from the last features and, from 512 pixels on, from a
    quarter of the features of 16 × 16.

    Options:
        width: most channels of a layer.
        finest: channels of features of 256 pixels; smaller ones have more.
        attention: sizes in pixels of the features whose layers have attention.
        hidden: features of attention, 64 for each head, or fewer for one head.
        antialias: whether features are blurred before they are halved.
        patches: whether the last features give 5 × 5 logits; False: one.
    """

    def __init__(
        self,
        image: SampleSpec,
        width: int = 512,
        finest: int = 16,
        attention: tuple[int, ...] = (32,),
        hidden: int = 512,
        antialias: bool = False,
        patches: bool = False,
    ):
        super().__init__()
        power, channels = sizes_of(image), image.channels
        powers = range(min(8, power), 2, -1)
        widths = [features_at(one, finest, width) for one in powers]
        self.non_residual_layers = nn.ModuleList()
        for step in range(power - 8):
            outputs = widths[0] if step == power - 9 else channels
            halving = nn.Conv2d(channels, outputs, 4, 2, 1)
            self.non_residual_layers.append(nn.Sequential(blurred(antialias), halving, LeakyReLU(SLOPE)))
        if power <= 8:
            widths[0] = channels
        self.residual_layers = nn.ModuleList()
        for one, before, after in zip(powers, widths, widths[1:], strict=False):
            # of one channel, normalized over channels, nothing would be left
            attends = NormalizedAttention(before, hidden) if 1 << one in attention and before > 1 else None
            self.residual_layers.append(grouped(Branches(before, after, antialias), attends))
        last = widths[-1]
        if patches:
            layers: list[nn.Module] = [nn.Conv2d(last, last, 1)]
        else:
            layers = [blurred(antialias), nn.Conv2d(last, last, 3, 2, 1)]
        self.to_logits = nn.Sequential(*layers, LeakyReLU(SLOPE), nn.Conv2d(last, 1, 4))
        self.to_shape_disc_out = nn.Sequential(
            nn.Conv2d(channels, 64, 3, padding=1),
            Residual(64, hidden),
            Branches(64, 32, antialias),
            Residual(32, hidden),
            nn.AdaptiveAvgPool2d(4),
            nn.Conv2d(32, 1, 4),
        )
        self.decoder1 = SimpleDecoder(last, channels)
        self.decoder2 = SimpleDecoder(widths[-2], channels) if power >= 9 else None
        initialize(self)

    def forward(
        self, images: Tensor, label: Tensor | None = None, *, part: Tensor | None = None
    ) -> Tensor | tuple[Tensor, list[tuple[Tensor, Tensor]]]:
        x = images = (images + 1) / 2
        for layer in self.non_residual_layers:
            x = layer(x)
        maps = [x]
        for group in self.residual_layers:
            net, attends = cast(Any, group)
            maps.append(net(maps[-1] if attends is None else attends(maps[-1]) + maps[-1]))
        small = self.to_shape_disc_out(functional.interpolate(images, (32, 32)))
        logits = torch.cat([self.to_logits(maps[-1]).flatten(1), small.flatten(1)], 1)
        if part is None:
            return logits
        redrawn = [(self.decoder1(maps[-1]), images)]
        if self.decoder2 is not None:
            redrawn.append((self.decoder2(quarter_of(maps[-2], part)), quarter_of(images, part)))
        return logits, [(ours, functional.interpolate(truth.detach(), ours.shape[2:])) for ours, truth in redrawn]


class Lightweight(Loss):
    """The hinge loss with low logits for real images: mean relu(1 + r) + mean relu(1 − f) against mean f.

    The means are of the features' logits and of the small copy's, added up. The penalty is the mean of ‖∇D‖² at real
    images and fakes in [0, 1], D the sum of all logits. The mean squares of what the discriminator redraws are added.

    Options:
        penalty: factor of the gradient penalty.
        penalty_every: steps between two evaluations of the penalty.
        reconstruction: factor of the errors of what the discriminator redraws.
    """

    heads = ("part",)
    real_is_low = True
    boundary = 0.0
    needs_per_sample_gradients = True

    def __init__(self, image: SampleSpec, penalty: float = 10.0, penalty_every: int = 4, reconstruction: float = 1.0):
        super().__init__()
        if penalty_every < 1:
            raise ValueError(f"penalty_every must be at least 1, not {penalty_every}")
        self.penalty, self.penalty_every, self.reconstruction = penalty, penalty_every, reconstruction

    def discriminator(self, turn: Turn) -> dict[str, Tensor]:
        quarter = (turn.uniform() * 4).long().clamp(max=3)
        real, redrawn = turn.logits(turn.real, part=quarter)
        fake = turn.logits(self._generated(turn))
        errors = [functional.mse_loss(ours, truth) for ours, truth in redrawn]
        terms = {"real": both(torch.relu(1 + real)), "fake": both(torch.relu(1 - fake))}
        terms["reconstruction"] = self.reconstruction * torch.stack(errors).sum()
        if self.penalty and turn.step % self.penalty_every == 0:
            real_slopes = squared_gradient_norm(partial(turn.logits, stands_for="real"), turn.real)
            fake_slopes = squared_gradient_norm(partial(turn.logits, stands_for="fake"), turn.fake)
            # 4, for gradients of images in [0, 1], not [-1, 1]
            terms["penalty"] = self.penalty * 4 * torch.cat([real_slopes, fake_slopes]).mean()
        return terms

    def generator(self, turn: Turn) -> dict[str, Tensor]:
        return {"fake": both(turn.logits(self._generated(turn)))}

    def _generated(self, turn: Turn) -> Tensor:
        """Makes `turn.fake`, with noise that does not depend on how the batch is split."""
        takes_noise = "noise" in inspect.signature(turn.generator.forward).parameters
        return turn.made("fake", noise=turn.normal) if takes_noise else turn.fake


def both(values: Tensor) -> Tensor:
    """Returns the mean over the features' logits plus that over the small copy's, which is the last column."""
    return values[:, :-1].mean() + values[:, -1].mean()
