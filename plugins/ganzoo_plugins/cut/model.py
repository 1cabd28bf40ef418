"""The networks and the loss of CUT and FastCUT: a translator whose patches keep what they show.

Followed: taesungp/contrastive-unpaired-translation `models/networks.py`, `models/cut_model.py` and
`models/patchnce.py`. Images of 3 channels: the translator has 11,378,179 parameters, the discriminator 2,764,737, the
projections 560,384. The official A is the source here and B the output.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from ganzoo import SampleSpec
from ganzoo.errors import UsageError
from ganzoo.losses import Loss, Phase, Turn
from ganzoo.networks import Generator, LeakyReLU, source_channels
from ganzoo.networks.normalization import InstanceNorm
from ganzoo.networks.residual import ReflectedBlock, instance_normalized

DIAGONAL = -10.0  # in place of a patch's similarity with itself among the negatives


def initialize(module: nn.Module) -> None:
    """Draws weights from Glorot's normal distribution times 0.02; biases are 0."""
    for layer in module.modules():
        if isinstance(layer, (nn.Conv2d, nn.Linear)):
            nn.init.xavier_normal_(layer.weight, gain=0.02)
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)


def binomial(channels: int, *taps: float) -> Tensor:
    """Returns the filter of these taps on both axes, with sum 1, for each channel: (channels, 1, k, k)."""
    line = torch.tensor(taps)
    return (torch.outer(line, line) / line.sum().square()).repeat(channels, 1, 1, 1)


class Halving(nn.Module):
    """Blurs by the filter [1, 2, 1] on both axes, edges reflected, and keeps every other pixel."""

    filt: Tensor

    def __init__(self, channels: int):
        super().__init__()
        self.register_buffer("filt", binomial(channels, 1, 2, 1))

    def forward(self, x: Tensor) -> Tensor:
        return functional.conv2d(functional.pad(x, (1, 1, 1, 1), "reflect"), self.filt, stride=2, groups=x.shape[1])


class Doubling(nn.Module):
    """Twice the size by the filter [1, 3, 3, 1] on both axes, edges repeated."""

    filt: Tensor

    def __init__(self, channels: int):
        super().__init__()
        self.register_buffer("filt", 4 * binomial(channels, 1, 3, 3, 1))

    def forward(self, x: Tensor) -> Tensor:
        padded = functional.pad(x, (1, 1, 1, 1), "replicate")
        return functional.conv_transpose2d(padded, self.filt, stride=2, padding=3, groups=x.shape[1])


class AntialiasedTranslator(Generator):
    """Translates sources (N, C, H, W) to images of the same size, whose sides are multiples of 4.

    CycleGAN's translator with blurs where that has strides.

    Options:
        width: channels of the first convolution; smaller maps have 2 and 4 times as many.
        blocks: residual blocks.
    """

    latent_dim = 0

    def __init__(self, image: SampleSpec, width: int = 64, blocks: int = 9):
        super().__init__()
        inputs = source_channels(image, 4)
        layers = [nn.ReflectionPad2d(3), *instance_normalized(nn.Conv2d(inputs, width, 7))]
        for channels in (width, 2 * width):
            layers += [*instance_normalized(nn.Conv2d(channels, 2 * channels, 3, padding=1)), Halving(2 * channels)]
        layers += [ReflectedBlock(4 * width) for _ in range(blocks)]
        for channels in (4 * width, 2 * width):
            layers += [Doubling(channels), *instance_normalized(nn.Conv2d(channels, channels // 2, 3, padding=1))]
        self.model = nn.Sequential(*layers, nn.ReflectionPad2d(3), nn.Conv2d(width, image.channels, 7), nn.Tanh())
        self.blocks = blocks
        initialize(self)

    def forward(self, latent: Tensor, label: Tensor | None = None, *, source: Tensor) -> Tensor:
        return self.model(source)

    def features(self, images: Tensor) -> list[Tensor]:
        """Returns five layers' features (N, channels, h, w) of images.

        The layers are the padded pixels, both convolutions that precede a halving, the first block and the fifth (or
        the last, if there are fewer): 0, 4, 8, 12 and 16 of the official code.
        """
        places = (0, 4, 8, 12, 11 + min(5, self.blocks))
        found = []
        for number, layer in enumerate(list(self.model)[: places[-1] + 1]):
            images = layer(images)
            found += [images] * places.count(number)
        return found


class PatchGAN(nn.Module):
    """Images to a map of logits (N, 1, h, w), each of one patch, with blurs where CycleGAN's judge has strides.

    Options:
        width: channels of the first layer; later ones have multiples of it.
    """

    def __init__(self, image: SampleSpec, width: int = 64):
        super().__init__()
        modules: list[nn.Module] = [nn.Conv2d(image.channels, width, 4, padding=1), LeakyReLU(0.2), Halving(width)]
        for times in (2, 4, 8):
            convolution = nn.Conv2d(width * times // 2, width * times, 4, padding=1)
            modules += [convolution, InstanceNorm(width * times), LeakyReLU(0.2)]
            modules += [Halving(width * times)] if times < 8 else []
        self.model = nn.Sequential(*modules, nn.Conv2d(8 * width, 1, 4, padding=1))
        initialize(self)

    def forward(self, images: Tensor, label: Tensor | None = None) -> Tensor:
        return self.model(images)


def unit(vectors: Tensor) -> Tensor:
    """Returns vectors (N, P, D) divided by their length."""
    return vectors / (vectors.norm(dim=-1, keepdim=True) + 1e-7)


class Projections(nn.Module):
    """Features at some places to unit vectors of 256 numbers, by a perceptron for each of the five layers."""

    def __init__(self, channels: int, width: int):
        super().__init__()
        self.widths = (channels, 2 * width, 4 * width, 4 * width, 4 * width)
        self.layers = nn.ModuleList(
            nn.Sequential(nn.Linear(inputs, 256), nn.ReLU(), nn.Linear(256, 256)) for inputs in self.widths
        )
        initialize(self)

    def forward(self, features: list[Tensor], places: list[Tensor]) -> list[Tensor]:
        """Returns vectors (N, P, 256) of each layer at its places (N, P), numbered row by row."""
        widths = tuple(feature.shape[1] for feature in features)
        if widths != self.widths:
            raise UsageError(
                f"The generator's features have {widths} channels, and the loss expects {self.widths}: "
                "set loss.width to the width of the generator."
            )
        found = []
        for layer, feature, place in zip(self.layers, features, places, strict=True):
            feature = feature.flatten(2).transpose(1, 2)
            found.append(unit(layer(feature.gather(1, place[:, :, None].expand(-1, -1, feature.shape[2])))))
        return found


def contrast(queries: Tensor, keys: Tensor, temperature: float) -> Tensor:
    """Returns the mean cross-entropy of finding each query's key (N, P, D) among those of its image."""
    own = (queries * keys).sum(2, keepdim=True)
    others = queries @ keys.transpose(1, 2)
    others = others.masked_fill(torch.eye(queries.shape[1], dtype=torch.bool, device=keys.device), DIAGONAL)
    logits = torch.cat([own, others], 2).flatten(0, 1) / temperature
    return functional.cross_entropy(logits, logits.new_zeros(len(logits), dtype=torch.int64))


class CUT(Loss):
    """Park et al. 2020, equations 3 to 5: least squares, and the contrast of patches.

    A patch of the translation shall be closer to the patch of the source at the same place than to its others, in the
    features of the generator's first half. Places of each of five layers are compared, by perceptrons that step with
    the generator. Where outputs are translated too, the terms of both count half.

    Options:
        nce: factor of the contrast of patches.
        identity: whether outputs are translated too, and must stay as they are.
        flip: whether half of the steps translate mirrored sources (FastCUT).
        patches: places of each layer that are compared.
        temperature: τ by which similarities are divided before the softmax.
        width: channels of the generator.
    """

    phases = (Phase("discriminator", ("discriminator",)), Phase("generator", ("generator", "loss"), fresh=False))
    boundary = 0.5

    def __init__(
        self,
        image: SampleSpec,
        nce: float = 1.0,
        identity: bool = True,
        flip: bool = False,
        patches: int = 256,
        temperature: float = 0.07,
        width: int = 64,
    ):
        super().__init__()
        channels = source_channels(image)
        if identity and channels != image.channels:
            raise ValueError(
                f"translating outputs too needs as many channels in them as in sources, not {image.channels} and "
                f"{channels}: set loss.identity=false"
            )
        self.nce, self.identity, self.flip = nce, identity, flip
        self.patches, self.temperature = patches, temperature
        self.projections = Projections(channels, width)

    def mirrors(self, turn: Turn) -> bool:
        """Whether this step translates mirrored sources: as by a coin, but the same in all phases and processes."""
        coin = torch.rand((), generator=torch.Generator().manual_seed(turn.step))
        return self.flip and bool(coin < 0.5)

    def translated(self, turn: Turn) -> Tensor:
        """Returns translations of this turn's sources, mirrored in the steps that do so."""
        return turn.made("mirrored", source=turn["source"].flip(3)) if self.mirrors(turn) else turn.fake

    def discriminator(self, turn: Turn) -> dict[str, Tensor]:
        fake, real = turn.logits(self.translated(turn), stands_for="fake"), turn.logits(turn.real)
        return {"fake": fake.square().mean() / 2, "real": (real - 1).square().mean() / 2}

    def generator(self, turn: Turn) -> dict[str, Tensor]:
        fake = self.translated(turn)
        share = self.nce / 2 if self.identity else self.nce
        terms = {
            "fake": (turn.logits(fake, stands_for="fake") - 1).square().mean(),
            "nce": share * self.contrast(turn["source"], fake, turn),
        }
        if self.identity:
            output = turn.real.flip(3) if self.mirrors(turn) else turn.real
            terms["nce_identity"] = share * self.contrast(turn.real, turn.made("identity", source=output), turn)
        return terms

    def contrast(self, source: Tensor, translated: Tensor, turn: Turn) -> Tensor:
        """Returns the contrast of a translation's patches with those of its source, the mean over the layers."""
        features = turn.generator.features(translated)
        if self.mirrors(turn):
            features = [feature.flip(3) for feature in features]
        with torch.no_grad():
            sources = turn.generator.features(source)
            places = [self.places(feature, turn) for feature in sources]
            keys = self.projections(sources, places)
        queries = self.projections(features, places)
        found = [contrast(query, key, self.temperature) for query, key in zip(queries, keys, strict=True)]
        return torch.stack(found).mean()

    def places(self, feature: Tensor, turn: Turn) -> Tensor:
        """Returns different random places (N, P) of features (N, channels, h, w), numbered row by row."""
        pixels = feature.shape[2] * feature.shape[3]
        return turn.uniform(pixels).topk(min(self.patches, pixels), dim=1).indices
