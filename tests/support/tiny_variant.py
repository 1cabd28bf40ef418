"""A whole variant that trains in milliseconds, and registries in which one thing of it is broken."""

from __future__ import annotations

import sys
from types import ModuleType

from torch import nn
from torch.nn.functional import softplus

from ganzoo import Part, Training, Variant, hookimpl
from ganzoo.losses import Loss
from ganzoo.networks import Generator
from ganzoo.registry.discovery import Plugin
from ganzoo.registry.registry import Registry

NAME = "tiny-gan"
CARD = {
    "summary": "Two linear maps against each other.",
    "paper": "https://arxiv.org/abs/1406.2661",
    "year": 2014,
    "sizes": (8, 16),
    "labels": "optional",
    "tags": ("unconditional", "conditional"),
    "training": Training(optimizer_options={"betas": (0.5, 0.999)}, generator_lr=2e-3, discriminator_lr=2e-3),
}


class TinyGenerator(Generator):
    """Latents and labels to images through two layers."""

    def __init__(self, image, latent_dim: int = 6, width: int = 12):
        super().__init__()
        self.latent_dim, self.image = latent_dim, image
        self.embedding = nn.Embedding(image.classes, latent_dim) if image.classes else None
        self.first = nn.Linear(latent_dim, width)
        self.last = nn.Linear(width, image.channels * image.size**2)

    def forward(self, latent, label=None):
        start = latent if label is None else latent + self.embedding(label)
        return (
            self.last(self.first(start).relu()).tanh().view(-1, self.image.channels, self.image.size, self.image.size)
        )


class TinyDiscriminator(nn.Module):
    """Images and labels to logits."""

    def __init__(self, image, width: int = 12):
        super().__init__()
        self.embedding = nn.Embedding(image.classes, width) if image.classes else None
        self.first = nn.Linear(image.channels * image.size**2, width)
        self.last = nn.Linear(width, 1)

    def forward(self, images, label=None):
        features = self.first(images.flatten(1))
        return self.last((features if label is None else features + self.embedding(label)).relu()).flatten()


class TinyLoss(Loss):
    """The non-saturating loss."""

    def __init__(self, image):
        super().__init__()

    def discriminator(self, turn):
        return {"real": softplus(-turn.logits(turn.real)).mean(), "fake": softplus(turn.logits(turn.fake)).mean()}

    def generator(self, turn):
        return {"fake": softplus(-turn.logits(turn.fake)).mean()}


def tiny(
    monkeypatch, *, generator=TinyGenerator, discriminator=TinyDiscriminator, loss=TinyLoss, parts=None, **card
) -> Registry:
    """A registry of the tiny variant alone, with other factories, `parts` of the card, or fields."""
    module = ModuleType("tiny_plugin")
    fields = (
        {"generator": Part("tiny"), "discriminator": Part("tiny"), "loss": Part("tiny")} | (parts or {}) | CARD | card
    )

    def register_variants(register):
        register(Variant(name=NAME, **fields))

    def register_generators(register):
        register("tiny", generator)

    def register_discriminators(register):
        register("tiny", discriminator)

    def register_losses(register):
        register("tiny", loss)

    for hook in (register_variants, register_generators, register_discriminators, register_losses):
        setattr(module, hook.__name__, hookimpl(hook))
    monkeypatch.setitem(sys.modules, module.__name__, module)
    return Registry([Plugin("tiny", "tiny", "1.0", module.__name__)])
