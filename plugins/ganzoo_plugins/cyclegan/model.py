"""The networks and the loss of CycleGAN: two residual translators that undo each other, and a judge on each side.

Followed: junyanz/pytorch-CycleGAN-and-pix2pix `models/networks.py`, `models/cycle_gan_model.py` and
`util/image_pool.py`. For images of 3 channels a translator of 9 blocks has 11,378,179 parameters, one of 6 has
7,837,699, a judge 2,764,737. The official A is the source here and B the output.
"""

from __future__ import annotations

from typing import Literal, cast

import torch
from torch import Tensor, nn

from ganzoo import SampleSpec
from ganzoo.losses import Loss, Phase, Turn
from ganzoo.networks import Generator, LeakyReLU, source_channels
from ganzoo.networks.normalization import InstanceNorm
from ganzoo.networks.residual import ReflectedBlock, instance_normalized

Side = Literal["output", "source"]


def initialize(module: nn.Module) -> None:
    """Draws weights of convolutions from N(0, 0.02); biases are 0."""
    for layer in module.modules():
        if isinstance(layer, (nn.Conv2d, nn.ConvTranspose2d)):
            nn.init.normal_(layer.weight, 0.0, 0.02)
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)


class Translator(Generator):
    """Translates sources (N, C, H, W) to images of the same size, whose sides are multiples of 4.

    A 7 × 7 convolution, two that halve the size, residual blocks, two that double it, 7 × 7, tanh.

    Options:
        width: channels of the first convolution; smaller maps have 2 and 4 times as many.
        blocks: residual blocks; the paper has 9 at 256 px and 6 at 128.
    """

    latent_dim = 0

    def __init__(self, image: SampleSpec, width: int = 64, blocks: int = 9):
        super().__init__()
        inputs = source_channels(image, 4)
        layers = [nn.ReflectionPad2d(3), *instance_normalized(nn.Conv2d(inputs, width, 7))]
        for channels in (width, 2 * width):
            layers += instance_normalized(nn.Conv2d(channels, 2 * channels, 3, 2, 1))
        layers += [ReflectedBlock(4 * width) for _ in range(blocks)]
        for channels in (4 * width, 2 * width):
            layers += instance_normalized(nn.ConvTranspose2d(channels, channels // 2, 3, 2, 1, output_padding=1))
        self.model = nn.Sequential(*layers, nn.ReflectionPad2d(3), nn.Conv2d(width, image.channels, 7), nn.Tanh())
        initialize(self)

    def forward(self, latent: Tensor, label: Tensor | None = None, *, source: Tensor) -> Tensor:
        return self.model(source)


class Translators(Generator):
    """Two translators: `there` from source to output, and with `back` the one from output to source.

    Options:
        width: channels of the first layer.
        blocks: residual blocks of each translator.
    """

    latent_dim = 0

    def __init__(self, image: SampleSpec, width: int = 64, blocks: int = 9):
        super().__init__()
        self.there = Translator(image, width, blocks)
        self.back = Translator(image.turned("source"), width, blocks)

    def forward(self, latent: Tensor, label: Tensor | None = None, *, source: Tensor, back: bool = False) -> Tensor:
        return (self.back if back else self.there).model(source)


class Judge(nn.Module):
    """Images to a map of logits (N, 1, h, w), each of a patch of 70 × 70 pixels."""

    def __init__(self, channels: int, width: int):
        super().__init__()
        modules: list[nn.Module] = [nn.Conv2d(channels, width, 4, 2, 1), LeakyReLU(0.2)]
        for times, stride in ((2, 2), (4, 2), (8, 1)):
            convolution = nn.Conv2d(width * times // 2, width * times, 4, stride, 1)
            modules += [convolution, InstanceNorm(width * times), LeakyReLU(0.2)]
        self.model = nn.Sequential(*modules, nn.Conv2d(8 * width, 1, 4, 1, 1))
        initialize(self)

    def forward(self, images: Tensor) -> Tensor:
        return self.model(images)


class Judges(nn.Module):
    """A judge of outputs, and with `side` "source" one of sources.

    Options:
        width: channels of the first layer of each judge.
    """

    def __init__(self, image: SampleSpec, width: int = 64):
        super().__init__()
        self.output, self.source = Judge(image.channels, width), Judge(source_channels(image), width)

    def forward(self, images: Tensor, label: Tensor | None = None, side: Side = "output") -> Tensor:
        return (self.source if side == "source" else self.output)(images)


class Pool(nn.Module):
    """Keeps `size` earlier images of the shape (C, H, W); the first ones fill it.

    Then each new image comes back itself, or by half of the chances is exchanged for a random one of those kept.
    """

    images: Tensor
    count: Tensor

    def __init__(self, size: int, shape: tuple[int, ...]):
        super().__init__()
        self.register_buffer("images", torch.zeros(size, *shape))
        self.register_buffer("count", torch.zeros((), dtype=torch.int64))

    def exchange(self, images: Tensor, chances: Tensor) -> Tensor:
        """Returns images (N, C, H, W) of the pool or the given ones, by `chances` (N, 2), uniform in [0, 1)."""
        size, given = len(self.images), []
        for image, (chance, place) in zip(images, chances.tolist(), strict=True):
            if self.count < size:
                self.images[self.count] = image
                self.count += 1
            elif chance > 0.5:
                kept = int(place * size)
                old = self.images[kept].to(image.dtype, copy=True)
                self.images[kept], image = image, old
            given.append(image)
        return torch.stack(given)


def toward(logits: Tensor, target: float) -> Tensor:
    """Returns the mean square of the distances of logits from the target."""
    return (logits - target).square().mean()


class Cycle(Loss):
    """Zhu et al. 2017, equation 3: least squares on both sides, and the error of going there and back.

    The error of translating an image that is on the other side already is that of section 5.2. The generators step
    first. Each judge then sees one of the last images as often as a new one.

    Options:
        cycle: weight of the error of going there and back.
        identity: weight, times `cycle`, of the error of an image that is on the other side already; 0: none.
        pool: last images of which each judge sees some again; 0: none.
    """

    phases = (Phase("generator", ("generator",)), Phase("discriminator", ("discriminator",), fresh=False))
    boundary = 0.5

    def __init__(self, image: SampleSpec, cycle: float = 10.0, identity: float = 0.5, pool: int = 50):
        super().__init__()
        channels = {"output": image.channels, "source": source_channels(image)}
        if identity and channels["output"] != channels["source"]:
            raise ValueError(
                f"the identity term needs as many channels in sources as in outputs, not {channels['source']} and "
                f"{channels['output']}: set loss.identity=0"
            )
        shapes = {side: (count, image.height, image.width) for side, count in channels.items()}
        self.cycle, self.identity = cycle, identity
        self.pools = nn.ModuleDict({side: Pool(pool, shape) for side, shape in shapes.items() if pool})

    def generator(self, turn: Turn) -> dict[str, Tensor]:
        output, source = turn.real, turn["source"]
        fake, fake_source = turn.fake, turn.made("back", source=output, back=True)
        cycle_source = turn.made("cycle_source", source=fake, back=True)
        cycle_output = turn.made("cycle_output", source=fake_source)
        terms = {
            "fake": toward(turn.logits(fake), 1),
            "fake_source": toward(turn.logits(fake_source, side="source"), 1),
            "cycle_source": self.cycle * (cycle_source - source).abs().mean(),
            "cycle_output": self.cycle * (cycle_output - output).abs().mean(),
        }
        if self.identity:
            weight = self.cycle * self.identity
            same_output, same_source = turn.made("same_output", source=output), turn.made("same_source", back=True)
            terms["identity_output"] = weight * (same_output - output).abs().mean()
            terms["identity_source"] = weight * (same_source - source).abs().mean()
        return terms

    def discriminator(self, turn: Turn) -> dict[str, Tensor]:
        fake, fake_source = turn.fake, turn.made("back", source=turn.real, back=True)
        fake, fake_source = self.pooled("output", fake, turn), self.pooled("source", fake_source, turn)
        return {
            "real": toward(turn.logits(turn.real), 1) / 2,
            "fake": toward(turn.logits(fake, stands_for="fake"), 0) / 2,
            "real_source": toward(turn.logits(turn["source"], side="source"), 1) / 2,
            "fake_source": toward(turn.logits(fake_source, side="source"), 0) / 2,
        }

    def pooled(self, side: Side, images: Tensor, turn: Turn) -> Tensor:
        """Returns images from the pool of this side, which every process feeds with the images of all."""
        if side not in self.pools:
            return images
        own = turn.uniform(2)
        chances = turn.gather(own)
        pool = cast(Pool, self.pools[side])
        exchanged = pool.exchange(turn.gather(images), chances)
        start = int((chances == own[0]).all(1).nonzero()[0])  # this process's rows among those of all
        return exchanged[start : start + len(own)]
