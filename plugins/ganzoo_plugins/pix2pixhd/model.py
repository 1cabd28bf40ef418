"""The networks and the loss of pix2pixHD: a residual translator, discriminators of several scales, feature matching.

Followed: NVIDIA/pix2pixHD `models/networks.py`, `models/pix2pixHD_model.py` and `train.py`; tensors have the same
names. With 3 channels in source and output, the global generator has 182,443,267 parameters, the one with a local
enhancer 182,701,827, and two discriminators 5,535,618.
Without a file of VGG-19 the perceptual term is left out, as with the official --no_vgg_loss. The official code feeds
VGG-19 with images in [-1, 1] as they are, without ImageNet's mean and deviation, and so does this.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from ganzoo import LocalPath, SampleSpec
from ganzoo.losses import Loss, Phase, Turn
from ganzoo.networks import FrozenNetwork, Generator, LeakyReLU, source_channels
from ganzoo.networks.normalization import InstanceNorm
from ganzoo.networks.perceptual import frozen_vgg19, perceptual_assets
from ganzoo.networks.residual import ReflectedBlock, instance_normalized

PERCEPTUAL_LAYERS = {"relu1_1": 1 / 32, "relu2_1": 1 / 16, "relu3_1": 1 / 8, "relu4_1": 1 / 4, "relu5_1": 1.0}


def halved(images: Tensor) -> Tensor:
    """Halves the pixels each way: means of 3 × 3, of those within the image."""
    return functional.avg_pool2d(images, 3, 2, 1, count_include_pad=False)


def initialize(module: nn.Module) -> None:
    """Draws weights of convolutions from N(0, 0.02); biases stay as PyTorch draws them."""
    for layer in module.modules():
        if isinstance(layer, (nn.Conv2d, nn.ConvTranspose2d)):
            nn.init.normal_(layer.weight, 0.0, 0.02)


class GlobalGenerator(Generator):
    """Translates sources (N, C, H, W) to images of the same size, whose sides are multiples of 2^halvings.

    A 7 × 7 convolution, halvings, residual blocks, doublings, 7 × 7, tanh.

    Options:
        width: channels of the first convolution; they double with each halving.
        blocks: residual blocks at the smallest size.
        halvings: halvings of the size.
    """

    latent_dim = 0

    def __init__(self, image: SampleSpec, width: int = 64, blocks: int = 9, halvings: int = 4):
        super().__init__()
        inputs = source_channels(image, 2**halvings)
        layers = [nn.ReflectionPad2d(3), *instance_normalized(nn.Conv2d(inputs, width, 7))]
        widths = [width * 2**number for number in range(halvings + 1)]
        for narrow, wide in zip(widths, widths[1:], strict=False):
            layers += instance_normalized(nn.Conv2d(narrow, wide, 3, 2, 1))
        layers += [ReflectedBlock(widths[-1]) for _ in range(blocks)]
        for wide, narrow in zip(widths[::-1], widths[-2::-1], strict=False):
            layers += instance_normalized(nn.ConvTranspose2d(wide, narrow, 3, 2, 1, output_padding=1))
        self.model = nn.Sequential(*layers, nn.ReflectionPad2d(3), nn.Conv2d(width, image.channels, 7), nn.Tanh())
        initialize(self)

    def forward(self, latent: Tensor, label: Tensor | None = None, *, source: Tensor) -> Tensor:
        return self.model(source)


class LocalEnhancer(Generator):
    """Translates sources (N, C, H, W) to images of the same size; sides are multiples of 2^(halvings + enhancers).

    A `GlobalGenerator` without its last convolution works on the source at half the size, halved once more for each
    further enhancer. An enhancer halves the features of the source at its own size, adds what came from below, and
    after residual blocks of its own doubles the sum.

    Options:
        width: channels at the full size.
        blocks: residual blocks of the global generator.
        halvings: halvings of the global generator.
        enhancers: enhancers, of which each doubles the size.
        local_blocks: residual blocks of each enhancer.
    """

    latent_dim = 0

    def __init__(
        self,
        image: SampleSpec,
        width: int = 32,
        blocks: int = 9,
        halvings: int = 4,
        enhancers: int = 1,
        local_blocks: int = 3,
    ):
        super().__init__()
        self.enhancers = enhancers
        inputs = source_channels(image, 2 ** (halvings + enhancers))
        self.model = GlobalGenerator(image, width * 2**enhancers, blocks, halvings).model[:-3]
        for number in range(1, enhancers + 1):
            narrow = width * 2 ** (enhancers - number)
            down = [nn.ReflectionPad2d(3), *instance_normalized(nn.Conv2d(inputs, narrow, 7))]
            down += instance_normalized(nn.Conv2d(narrow, 2 * narrow, 3, 2, 1))
            up: list[nn.Module] = [ReflectedBlock(2 * narrow) for _ in range(local_blocks)]
            up += instance_normalized(nn.ConvTranspose2d(2 * narrow, narrow, 3, 2, 1, output_padding=1))
            if number == enhancers:
                up += [nn.ReflectionPad2d(3), nn.Conv2d(width, image.channels, 7), nn.Tanh()]
            self.add_module(f"model{number}_1", nn.Sequential(*down))
            self.add_module(f"model{number}_2", nn.Sequential(*up))
        initialize(self)

    def forward(self, latent: Tensor, label: Tensor | None = None, *, source: Tensor) -> Tensor:
        sizes = [source]
        for _ in range(self.enhancers):
            sizes.append(halved(sizes[-1]))
        hidden = self.model(sizes.pop())
        for number in range(1, self.enhancers + 1):
            features = self.get_submodule(f"model{number}_1")(sizes.pop())
            hidden = self.get_submodule(f"model{number}_2")(features + hidden)
        return hidden


class MultiscaleDiscriminator(nn.Module):
    """Images beside their sources to logits (N, P): of the patches of networks at several scales.

    `features=True` also returns, for each network from the full size down, the features of all its layers (N, channels,
    h, w), of which the last is its map of logits.

    Options:
        width: channels of the first layer; later ones have multiples of it.
        layers: convolutions that halve the size; two more keep it.
        scales: networks, each of which sees half the size of the one before.
    """

    def __init__(self, image: SampleSpec, width: int = 64, layers: int = 3, scales: int = 2):
        super().__init__()
        self.scales, self.layers = scales, layers
        inputs = source_channels(image) + image.channels
        widths = [width * min(2**number, 8) for number in range(layers + 1)]
        for scale in range(scales):
            stages = [[nn.Conv2d(inputs, width, 4, 2, 2), LeakyReLU(0.2)]]
            for number, (before, after) in enumerate(zip(widths, widths[1:], strict=False), 1):
                convolution = nn.Conv2d(before, after, 4, 2 if number < layers else 1, 2)
                stages.append([convolution, InstanceNorm(after), LeakyReLU(0.2)])
            stages.append([nn.Conv2d(widths[-1], 1, 4, 1, 2)])
            for number, stage in enumerate(stages):
                self.add_module(f"scale{scale}_layer{number}", nn.Sequential(*stage))
        initialize(self)

    def forward(
        self, images: Tensor, label: Tensor | None = None, *, source: Tensor, features: bool = False
    ) -> Tensor | tuple[Tensor, list[list[Tensor]]]:
        x, found = torch.cat([source, images], 1), []
        for scale in reversed(range(self.scales)):
            hidden, outputs = x, []
            for number in range(self.layers + 2):
                hidden = self.get_submodule(f"scale{scale}_layer{number}")(hidden)
                outputs.append(hidden)
            found.append(outputs)
            if scale:
                x = halved(x)
        logits = torch.cat([outputs[-1].flatten(1) for outputs in found], 1)
        return (logits, found) if features else logits


class Pix2PixHD(Loss):
    """Wang et al. 2018, section 3.2: least squares at every scale, and the distance of features.

    The features are those of the discriminators' layers, for images and for translations. The generator steps first.
    That of VGG-19's features can be added.

    Options:
        matching: factor of the distance of the discriminators' features.
        perceptual: file of VGG-19's weights, for the distance of its features; "": none.
        perceptual_weight: factor of the distance of VGG-19's features.
    """

    heads = ("features",)
    phases = (Phase("generator", ("generator",)), Phase("discriminator", ("discriminator",), fresh=False))
    boundary = 0.5

    def __init__(
        self, image: SampleSpec, matching: float = 10.0, perceptual: LocalPath = "", perceptual_weight: float = 10.0
    ):
        super().__init__()
        self.matching, self.perceptual_weight = matching, perceptual_weight
        self.assets = perceptual_assets(perceptual, image)
        self.vgg: FrozenNetwork | None = None

    def load_assets(self, tensors: Mapping[str, Mapping[str, Tensor]]) -> None:
        self.vgg = frozen_vgg19(tensors["perceptual"], PERCEPTUAL_LAYERS, normalized=False)

    def generator(self, turn: Turn) -> dict[str, Tensor]:
        logits, fake = turn.logits(turn.fake, features=True)
        with torch.no_grad():
            _, real = turn.logits(turn.real, features=True)
        distances = [
            (ours - theirs).abs().mean() * 4 / len(outputs[1:])
            for outputs, targets in zip(fake, real, strict=True)
            for ours, theirs in zip(outputs[:-1], targets[:-1], strict=True)
        ]
        matching = self.matching * torch.stack(distances).sum() / len(fake)
        terms = {"fake": toward(logits, fake, 1), "features": matching}
        if self.vgg is not None:
            terms["perceptual"] = self.perceptual_weight * self.vgg(turn.fake, turn.real)
        return terms

    def discriminator(self, turn: Turn) -> dict[str, Tensor]:
        terms = {}
        for name, images, target in (("fake", turn.fake, 0), ("real", turn.real, 1)):
            logits, found = turn.logits(images, features=True)
            terms[name] = toward(logits, found, target) / 2
        return terms


def toward(logits: Tensor, features: list[list[Tensor]], target: float) -> Tensor:
    """Returns the mean square of the distances from the target, summed over the scales."""
    maps: Any = logits.split([outputs[-1][0].numel() for outputs in features], 1)
    return torch.stack([(one - target).square().mean() for one in maps]).sum()
