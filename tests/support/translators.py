"""A plugin for tests whose generators make images of other images, and models around them."""

from __future__ import annotations

import sys
from contextlib import contextmanager

import pytest
import torch
from torch import nn

from ganzoo import Part, Sizes, Training, Variant, hookimpl
from ganzoo.engine.randomness import seeded
from ganzoo.losses import Loss, Phase
from ganzoo.models.config import ModelConfig, Provider
from ganzoo.models.model import Model
from ganzoo.networks import Generator
from ganzoo.registry.discovery import Plugin, installed
from ganzoo.registry.registry import registry
from ganzoo.variant import Field, SampleSpec

NAME = "tiny-translation"


class Attention(nn.Module):
    """Every pixel sees every other."""

    def forward(self, x):
        flat = x.flatten(2)
        return x + (flat @ (flat.transpose(1, 2) @ flat).softmax(1)).view_as(x)


class Excitation(nn.Module):
    """Every pixel is scaled by the mean of all."""

    def forward(self, x):
        return x * x.mean((2, 3), keepdim=True).sigmoid()


class OwnNorm(nn.Module):
    """Instance norm that is no torch module."""

    def forward(self, x):
        return nn.functional.instance_norm(x)


COUPLING = {
    "instance": lambda width: nn.InstanceNorm2d(width),
    "group": lambda width: nn.GroupNorm(1, width),
    "own": lambda width: OwnNorm(),
    "attention": lambda width: Attention(),
    "excitation": lambda width: Excitation(),
}


class TinyTranslator(Generator):
    """Sources to outputs of `scale` times their size, through convolutions that halve the size `halvings` times."""

    def __init__(self, image, width: int = 6, halvings: int = 1, coupling: str = "", latent_dim: int = 0):
        super().__init__()
        source = image.inputs["source"].shape
        self.latent_dim, doublings = latent_dim, (image.height // source[1]).bit_length() - 1
        layers = [nn.Conv2d(source[0], width, 3, padding=1, padding_mode="reflect"), nn.ReLU()]
        for _ in range(halvings):
            layers += [nn.Conv2d(width, width, 4, 2, 1), nn.BatchNorm2d(width), nn.ReLU()]
        layers += [COUPLING[coupling](width)] if coupling else []
        for _ in range(halvings + doublings):
            layers += [nn.ConvTranspose2d(width, width, 4, 2, 1), nn.ReLU()]
        self.layers = nn.Sequential(*layers)
        self.last = nn.Conv2d(width, image.channels, 3, padding=1)
        self.shift = nn.Linear(latent_dim, width) if latent_dim else None
        self.embedding = nn.Embedding(image.classes, width) if image.classes else None

    def forward(self, latent, label=None, *, source):
        hidden = self.layers(source)
        for shift in (self.shift and self.shift(latent), self.embedding and self.embedding(label)):
            hidden = hidden if shift is None else hidden + shift[:, :, None, None]
        return self.last(hidden)


class TinyJudge(nn.Module):
    """Outputs beside their sources to a map of logits."""

    def __init__(self, image):
        super().__init__()
        self.layer = nn.Conv2d(image.channels + image.inputs["source"].shape[0], 1, 4, 2, 1)

    def forward(self, images, label=None, *, source):
        return self.layer(torch.cat([images, source], 1))


class TinyTranslation(Loss):
    """Least squares and the mean absolute error."""

    phases = (Phase("discriminator", ("discriminator",)), Phase("generator", ("generator",), fresh=False))

    def __init__(self, image):
        super().__init__()

    def discriminator(self, turn):
        return {"all": (turn.logits(turn.real) - 1).square().mean() + turn.logits(turn.fake).square().mean()}

    def generator(self, turn):
        return {"l1": (turn.fake - turn.real).abs().mean(), "fake": (turn.logits(turn.fake) - 1).square().mean()}


@hookimpl
def register_variants(register):
    register(
        Variant(
            name=NAME,
            summary="Convolutions from one image to another.",
            paper="https://arxiv.org/abs/1611.07004",
            year=2017,
            generator=Part(NAME),
            discriminator=Part(NAME),
            loss=Part(NAME),
            sizes=Sizes(own=(16,), multiple=2),
            task="translation",
            inputs={"source": None},
            training=Training(),
        )
    )


@hookimpl
def register_generators(register):
    register(NAME, TinyTranslator)


@hookimpl
def register_discriminators(register):
    register(NAME, TinyJudge)


@hookimpl
def register_losses(register):
    register(NAME, TinyTranslation)


@contextmanager
def installed_plugin(*others: Plugin):
    """Adds this module, and other plugins, to those of the process."""
    plugins = [*installed(), Plugin("tiny", "tiny-plugin", "1.0", __name__), *others]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("ganzoo.registry.registry.installed", lambda: plugins)
        patch.setitem(sys.modules, __name__, sys.modules[__name__])
        registry.cache_clear()
        yield
    registry.cache_clear()


def spec(size: int = 16, source: int = 3, output: int = 3, scale: int = 1, classes: int = 0) -> SampleSpec:
    """Outputs of `scale` times the size of their sources."""
    inputs = {"source": Field((source, size, size))}
    labels = {"label": Field((), "class", classes)} if classes else {}
    return SampleSpec(Field((output, scale * size, scale * size)), {**inputs, **labels})


def translator(image: SampleSpec | None = None, *, seed: int = 0, **options) -> Model:
    """A model whose outputs have contrast and lie within [-1, 1] but for a few."""
    image = image or spec()
    with seeded(seed), torch.no_grad():
        generator = TinyTranslator(image, **options)
        for module in generator.modules():
            if isinstance(module, nn.Conv2d | nn.ConvTranspose2d):
                module.weight.mul_(3)
    config = ModelConfig(
        variant=NAME,
        generator=Part(NAME, options),
        image=image,
        latent_dim=generator.latent_dim,
        classes=tuple(f"class {number}" for number in range(image.classes)),
        provider=Provider(distribution="tiny-plugin", version="1.0"),
        license="MIT",
        task="translation",
        inputs={"source": None},
    )
    return Model(generator, config)


def sources(count: int, height: int, width: int, channels: int = 3, seed: int = 0) -> torch.Tensor:
    """Random sources (N, C, H, W) in [-1, 1]."""
    random = torch.Generator().manual_seed(seed)
    return torch.rand(count, channels, height, width, generator=random) * 2 - 1
