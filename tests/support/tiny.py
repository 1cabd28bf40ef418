"""What tests of latent tools share: models around generators made for one test, and the built-in ones at width 4."""

from __future__ import annotations

import torch
from torch import nn

from ganzoo import ImageSpec, Part, SampleSpec
from ganzoo.config.recipe import bind_part
from ganzoo.engine.build import build_part
from ganzoo.engine.randomness import seeded
from ganzoo.models.config import ModelConfig, Provider
from ganzoo.models.model import Model
from ganzoo.networks import Generator
from ganzoo.registry.registry import registry

GENERATORS = {
    "dcgan": (ImageSpec(32, 1), {"latent_dim": 6, "width": 4}),
    "infogan": (ImageSpec(28, 1), {"noise": 5, "categories": 3, "width": 2}),
    "lsgan": (ImageSpec(28, 1), {"latent_dim": 6, "width": 2}),
    "lsgan-conditional": (ImageSpec(28, 1, 3), {"latent_dim": 6, "width": 4, "label_size": 4}),
    "wgan-gp": (ImageSpec(28, 1), {"latent_dim": 6, "width": 4}),
    "wgan-gp-resnet": (ImageSpec(32, 3, 3), {"latent_dim": 6, "width": 4}),
}


def model_of(generator: Generator, image: SampleSpec, name: str = "tiny") -> Model:
    """A model around any generator."""
    config = ModelConfig(
        variant=name,
        generator=Part(name),
        image=image,
        latent_dim=generator.latent_dim,
        classes=tuple(f"class {number}" for number in range(image.classes)),
        provider=Provider(distribution="ganzoo", version="0.1.0"),
        license="MIT",
    )
    return Model(generator, config)


def built_in(name: str, scale: float = 8.0) -> Model:
    """A registered generator with larger weights, so that its images have contrast as after training."""
    image, options = GENERATORS[name]
    with seeded(0), torch.no_grad():
        generator = build_part(bind_part("generator", Part(name, options), registry()), image)
        for parameter in generator.parameters():
            if parameter.dim() >= 2:
                parameter.mul_(scale)
    return model_of(generator, image, name)


STYLES = {"latent_dim": 6, "style_dim": 5, "mapping_layers": 2, "channel_base": 64, "width": 8}


def styled(classes: int = 0, channels: int = 1) -> Model:
    """An untrained StyleGAN2 of 16 pixels with noise that can be seen, and contrast within [-1, 1]."""
    image = ImageSpec(16, channels, classes)
    with seeded(0), torch.no_grad():
        generator = build_part(bind_part("generator", Part("stylegan2", STYLES), registry()), image)
        for layer in generator.layers:
            layer.noise_strength.fill_(0.1)
        for layer in generator.to_images:
            layer.convolution.weight.mul_(0.3)
    return model_of(generator, image, "stylegan2")


class LinearGenerator(Generator):
    """tanh of a first layer whose weight a test knows, as 2×2 images."""

    def __init__(self, first: nn.Module, latent_dim: int):
        super().__init__()
        self.latent_dim, self.first = latent_dim, first

    def forward(self, latent, label=None):
        return self.first(latent).tanh().view(-1, 1, 2, 2)
