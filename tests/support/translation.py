"""What tests of data with two sides share: pictures whose content is known, and a variant that learns from sources."""

from __future__ import annotations

from pathlib import Path

import numpy
from PIL import Image

from ganzoo import Asset, LocalPath, Part, Sizes, Training, Variant, hookimpl
from ganzoo.data.request import ConditionPart, DataRequest, load_data
from ganzoo.registry.discovery import Plugin
from ganzoo.registry.registry import Registry, registry


def picture(path: Path, grey: int, size: tuple[int, int] = (8, 8)) -> Path:
    """A grey picture of (height, width), of one value."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(numpy.full(size, grey, numpy.uint8)).save(path)
    return path


def noise(path: Path, seed: int, size: tuple[int, int] = (8, 8), channels: int = 3) -> Path:
    """A picture of random pixels."""
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = numpy.random.default_rng(seed).integers(0, 256, (*size, channels), dtype=numpy.uint8)
    Image.fromarray(pixels if channels > 1 else pixels[..., 0]).save(path)
    return path


def sides(folder: Path, count: int = 6) -> Path:
    """Folders `output` and `source`: picture k is k grey in one, 100 + k in the other."""
    for number in range(count):
        picture(folder / "output" / f"{number}.png", number)
        picture(folder / "source" / f"{number}.png", 100 + number)
    return folder


def load(folder: Path, **request):
    """The data of a request, with a source that comes with the data unless `inputs` say otherwise."""
    facts = {"size": 8, "inputs": {"source": None}, "output": str(folder / "output"), **request}
    return load_data(DataRequest(**facts), cache=folder / "cache")


def condition(name: str, **options) -> ConditionPart:
    """A registered condition with options."""
    return ConditionPart(name, registry().get("conditions", name), options)


def greys(images) -> list[int]:
    """The first byte of images in [-1, 1]."""
    return ((images[:, 0, 0, 0] + 1) * 127.5).round().int().tolist()


def translators() -> Registry:
    """A registry of the built-in conditions and this module's variants."""
    return Registry(
        [
            Plugin("conditions", "ganzoo", "0.1.0", "ganzoo_plugins.conditions"),
            Plugin("translation", "ganzoo-translation", "1.0", __name__),
        ]
    )


def card(name: str, sizes=(8, 16), **fields) -> Variant:
    return Variant(
        name=name,
        summary="Makes an output of a source.",
        paper="https://arxiv.org/abs/1611.07004",
        year=2016,
        generator=Part("translator"),
        discriminator=Part("judge"),
        loss=Part("pairs"),
        sizes=sizes,
        tags=("translation",),
        task="translation",
        training=Training(batch_size=2, steps=4),
        **fields,
    )


@hookimpl
def register_variants(register):
    register(card("translator", inputs={"source": None}))
    register(card("unpaired", inputs={"source": None}, pairing="independent"))
    register(card("wide", Sizes((8,), multiple=4, least=4, square=False), inputs={"source": None}))
    register(card("enlarger", inputs={"source": Part("downscale", {"factor": 2})}))


@hookimpl
def register_generators(register):
    from torch import nn
    from torch.nn import functional

    from ganzoo.networks import Generator

    class Translator(Generator):
        """One convolution of the source, enlarged to the output."""

        latent_dim = 0

        def __init__(self, sample):
            super().__init__()
            self.size = sample.output.shape[1:]
            self.layer = nn.Conv2d(sample.inputs["source"].shape[0], sample.channels, 3, 1, 1)

        def forward(self, latent, label=None, *, source):
            return functional.interpolate(self.layer(source), self.size).tanh()

    register("translator", Translator)


@hookimpl
def register_discriminators(register):
    from torch import nn

    class Judge(nn.Module):
        """One linear map."""

        def __init__(self, sample):
            super().__init__()
            self.layer = nn.Conv2d(sample.channels, 1, sample.output.shape[1:])

        def forward(self, images, label=None):
            return self.layer(images).flatten()

    register("judge", Judge)


@hookimpl
def register_losses(register):
    from torch.nn import functional
    from torch.nn.functional import softplus

    from ganzoo.losses import Loss

    class Pairs(Loss):
        """The non-saturating loss and the distance from the truth, seen through a kernel that a file may hold."""

        kernel = None

        def __init__(self, sample, perceptual: LocalPath = ""):
            super().__init__()
            self.assets = {"perceptual": Asset(path=perceptual) if perceptual else None}

        def load_assets(self, tensors):
            self.kernel = tensors["perceptual"]["kernel"]

        def discriminator(self, turn):
            return {"real": softplus(-turn.logits(turn.real)).mean(), "fake": softplus(turn.logits(turn.fake)).mean()}

        def generator(self, turn):
            distance = turn.fake - turn.real
            if self.kernel is not None:
                distance = functional.conv2d(distance, self.kernel)
            return {"fake": softplus(-turn.logits(turn.fake)).mean(), "l1": distance.abs().mean()}

    register("pairs", Pairs)
