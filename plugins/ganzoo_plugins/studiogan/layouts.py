"""The tensor names of POSTECH-CVLab/PyTorch-StudioGAN's backbones `big_resnet`, `resnet` and `deep_conv`."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import lru_cache

import torch
from torch import Tensor, nn

from ganzoo import ImageSpec, Part, SampleSpec
from ganzoo.layouts import Layout, Match, Shapes

from .convolutional import BLOCKS, ConvolutionalDiscriminator, ConvolutionalGenerator
from .residual import DISCRIMINATOR, GENERATOR, ResidualDiscriminator, ResidualGenerator

Shape = tuple[int, ...]
NETWORKS: dict[tuple[str, str], type[nn.Module]] = {
    ("studiogan-residual", "generator"): ResidualGenerator,
    ("studiogan-residual", "discriminator"): ResidualDiscriminator,
    ("studiogan-convolutional", "generator"): ConvolutionalGenerator,
    ("studiogan-convolutional", "discriminator"): ConvolutionalDiscriminator,
}
ENDINGS = {
    f"weight_{name}": f"parametrizations.weight.{ours}"
    for name, ours in (("orig", "original"), ("u", "0.u"), ("v", "0.v"))
}
CONDITIONAL = {
    "bn": "normalize",
    "bias": "shift",
}  # inside a batch norm; `bias` is a tensor of its own in one without condition
ATTENTION = {
    "conv1x1_theta": "query",
    "conv1x1_phi": "key",
    "conv1x1_g": "value",
    "conv1x1_attn": "output",
    "sigma": "scale",
}
NORMS = {"bn0": "shortcut_norm", "bn1": "norm1", "bn2": "norm2"}
RESIDUAL = {"conv2d0": "shortcut", "conv2d1": "convolution1", "conv2d2": "convolution2", **NORMS}
CONVOLUTIONAL = {"deconv0": "convolution", "conv0": "convolution1", "conv1": "convolution2", "bn1": "norm2"}
ENDS = {
    "generator": {"linear0": "input.0", "bn4": "output.0", "conv2d5": "output.2", "conv4": "output.0"},
    "discriminator": {"linear1": "output.linear", "embedding": "output.embedding", "conv1": "last.0", "bn1": "last.1"},
}


def shapes_of(match: Match) -> dict[str, Shape]:
    """Returns names and shapes of the state of a match's network, built on the meta device."""
    return _shapes(match.part.name, match.role, match.image, tuple(match.part.options.items()))


@lru_cache(maxsize=8)
def _shapes(part: str, role: str, image: SampleSpec, options: tuple) -> dict[str, Shape]:
    with torch.device("meta"):
        network = NETWORKS[part, role](image, **dict(options))
    return {name: tuple(value.shape) for name, value in network.state_dict().items()}


def our_name(name: str, role: str, layers: Mapping[str, str]) -> str:
    """Returns our name of an official tensor. `layers` are the names of a block's layers."""
    first, *rest = name.split(".")
    rest = [*rest[:-1], ENDINGS.get(rest[-1], rest[-1])] if rest else []
    if first != "blocks" or len(rest) < 3:
        return ".".join([ENDS[role].get(first, first), *rest])
    entry, _, layer, *ending = rest
    if len(ending) > 1:
        ending[0] = CONDITIONAL.get(ending[0], ending[0])
    ours = {**layers, **ATTENTION}.get(layer, layer)
    if layers is RESIDUAL and role == "discriminator" and (entry, layer) == ("0", "bn1"):
        ours = "norm2"  # the first block has no norm before its first convolution
    if layer == "bn0" and layers is CONVOLUTIONAL:
        ours = "norm" if role == "generator" else "norm1"
    return ".".join(["blocks", entry, ours, *ending])


def weight(shapes: Shapes, layer: str) -> Shape:
    """Returns the shape of a layer's weight, with or without spectral normalization; () if there is none."""
    return shapes.get(f"{layer}.weight_orig") or shapes.get(f"{layer}.weight") or ()


def counted(shapes: Shapes, layer: str) -> int:
    """Returns the number of blocks that hold the layer."""
    return sum(1 for name in shapes if re.fullmatch(rf"blocks\.\d+\.0\.{layer}\.weight(_orig)?", name))


def attention(shapes: Shapes) -> int:
    """Returns the number of the block that attention follows, from 1; 0 without attention.

    Attention is an entry of its own, after as many blocks.
    """
    return next((int(found[1]) for name in shapes if (found := re.fullmatch(r"blocks\.(\d{1,2})\.0\.sigma", name))), 0)


class StudioGAN(Layout):
    """Base of the backbones: recognizes a file if a network of ours has exactly its names and shapes."""

    layers: Mapping[str, str] = RESIDUAL

    def recognize(self, shapes: Shapes) -> Match | None:
        match = self._generator(shapes) or self._discriminator(shapes)
        if match is None:
            return None
        try:
            ours = shapes_of(match)
        except (ValueError, RuntimeError):
            return None
        found = {our_name(name, match.role, self.layers): self._shape(name, shape) for name, shape in shapes.items()}
        return match if ours == found else None

    def convert(self, tensors: Mapping[str, Tensor], match: Match) -> dict[str, Tensor]:
        made = {our_name(name, match.role, self.layers): tensor for name, tensor in tensors.items()}
        return {name: made[name].reshape(shape) for name, shape in shapes_of(match).items()}

    @staticmethod
    def _shape(name: str, shape: Shape) -> Shape:
        return () if name.endswith(".sigma") and tuple(shape) == (1,) else tuple(shape)

    def _generator(self, shapes: Shapes) -> Match | None:
        raise TypeError(f"{type(self).__name__} must define _generator(shapes)")

    def _discriminator(self, shapes: Shapes) -> Match | None:
        raise TypeError(f"{type(self).__name__} must define _discriminator(shapes)")


class Resnet(StudioGAN):
    """The backbone `resnet`: SNGAN, the projection discriminator, SAGAN, WGAN-GP and others."""

    variants: tuple[str, ...] = (
        "sngan",
        "cgan-pd",
        "sagan",
        "wgan-gp",
        "wgan-gp-resnet",
        "wgan-gp-resnet-64",
        "dragan",
        "acgan",
    )
    summary = "PyTorch-StudioGAN, backbone resnet, 32 to 512 px (G, G_ema; D without classes or with projection)"

    def _generator(self, shapes: Shapes) -> Match | None:
        size = {len(times) - 1: size for size, times in GENERATOR.items()}.get(counted(shapes, "conv2d1"))
        first, last = weight(shapes, "linear0"), weight(shapes, "conv2d5")
        if size is None or len(first) != 2 or len(last) != 4 or last[0] not in (1, 3) or last[1] < GENERATOR[size][-1]:
            return None
        options = {
            "width": last[1] // GENERATOR[size][-1],
            "spectral": "linear0.weight_orig" in shapes,
            "attention": attention(shapes),
        }
        return self._conditioned(shapes, options, ImageSpec(size, last[0]), first[1], len(GENERATOR[size]))

    def _conditioned(
        self, shapes: Shapes, options: dict, image: SampleSpec, latent_dim: int, slots: int
    ) -> Match | None:
        """Returns the match, with the class options that the norms of the first block show."""
        gain = weight(shapes, "blocks.0.0.bn1.gain")
        if gain and len(gain) != 2:
            return None
        image = ImageSpec(image.size, image.channels, gain[1] if gain else 0)
        return Match(Part("studiogan-residual", {"latent_dim": latent_dim, **options}), image)

    def _discriminator(self, shapes: Shapes) -> Match | None:
        size = {len(times): size for size, times in DISCRIMINATOR.items()}.get(counted(shapes, "conv2d1"))
        first, table = weight(shapes, "blocks.0.0.conv2d1"), weight(shapes, "embedding")
        if (
            size is None
            or len(first) != 4
            or first[1] not in (1, 3)
            or first[0] < DISCRIMINATOR[size][0]
            or len(table) not in (0, 2)
        ):
            return None
        options = {
            "width": first[0] // DISCRIMINATOR[size][0],
            "spectral": "linear1.weight_orig" in shapes,
            "attention": attention(shapes),
        }
        image = ImageSpec(size, first[1], table[0] if table else 0)
        return Match(Part("studiogan-residual", options), image, role="discriminator")


class BigResnet(Resnet):
    """The backbone `big_resnet`: BigGAN, and the generators of ContraGAN and ReACGAN."""

    variants = ("biggan", "biggan-cifar")
    summary = "PyTorch-StudioGAN, backbone big_resnet, 32 to 512 px (G, G_ema; D without classes or with projection)"

    def _conditioned(
        self, shapes: Shapes, options: dict, image: SampleSpec, latent_dim: int, slots: int
    ) -> Match | None:
        """Multiplies `latent_dim`, the size of the first chunk, by the number of equal chunks."""
        shared = shapes.get("shared.weight", ())
        if len(shared) not in (0, 2):
            return None
        options = {**options, "chunked": True, **({"shared_dim": shared[1]} if shared else {})}
        image = ImageSpec(image.size, image.channels, shared[0] if shared else 0)
        return Match(Part("studiogan-residual", {"latent_dim": latent_dim * slots, **options}), image)


class DeepConv(StudioGAN):
    """The backbone `deep_conv`: DCGAN, LSGAN, Geometric GAN and others at 32 pixels."""

    variants = ("dcgan", "lsgan", "geometric-gan", "sndcgan")
    summary = "PyTorch-StudioGAN, backbone deep_conv, 32 px (G, G_ema; D without classes or with projection)"
    layers = CONVOLUTIONAL

    def _generator(self, shapes: Shapes) -> Match | None:
        first, last, gain = weight(shapes, "linear0"), weight(shapes, "conv4"), weight(shapes, "blocks.0.0.bn0.gain")
        if (
            counted(shapes, "deconv0") != BLOCKS
            or len(first) != 2
            or len(last) != 4
            or last[0] not in (1, 3)
            or not last[1]
        ):
            return None
        if len(gain) not in (0, 2):
            return None
        options = {
            "latent_dim": first[1],
            "width": last[1],
            "spectral": "linear0.weight_orig" in shapes,
            "attention": attention(shapes),
        }
        return Match(Part("studiogan-convolutional", options), ImageSpec(32, last[0], gain[1] if gain else 0))

    def _discriminator(self, shapes: Shapes) -> Match | None:
        first, table = weight(shapes, "blocks.0.0.conv0"), weight(shapes, "embedding")
        if (
            counted(shapes, "conv0") != BLOCKS
            or len(first) != 4
            or first[1] not in (1, 3)
            or not first[0]
            or len(table) not in (0, 2)
        ):
            return None
        options = {"width": first[0], "spectral": "linear1.weight_orig" in shapes, "attention": attention(shapes)}
        image = ImageSpec(32, first[1], table[0] if table else 0)
        return Match(Part("studiogan-convolutional", options), image, role="discriminator")
