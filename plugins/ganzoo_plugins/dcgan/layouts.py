"""The tensor names of other DCGANs: pytorch/examples and its many descendants, and the authors' own Theano code."""

from __future__ import annotations

import re
from collections.abc import Mapping

import torch
from torch import Tensor, nn

from ganzoo import ImageSpec, Part
from ganzoo.layouts import Layout, Match, Shapes

from .model import DCGANDiscriminator, DCGANGenerator
from .newmu import NewmuGenerator, keep_statistics

NUMBER = re.compile(r"(arr_)?\d{1,4}")
COUNTER = "num_batches_tracked"
LARGEST = 1024


class PytorchExamples(Layout):
    """`main.<i>` of pytorch/examples `dcgan/main.py`; files from before torch 0.4.1 lack batch norm's counters."""

    variants = ("dcgan",)
    summary = "pytorch/examples dcgan/main.py (netG and netD)"

    def recognize(self, shapes: Shapes) -> Match | None:
        kernels = [shape for name, shape in shapes.items() if len(shape) == 4]
        size = 4 * 2 ** (len(kernels) - 1)
        first = shapes.get("main.0.weight", ())
        if not 3 <= len(kernels) or size > LARGEST or len(first) != 4:
            return None
        last = shapes.get(f"main.{3 * len(kernels) - 3}.weight", ())
        if len(last) == 4 and last[1] in (1, 3):
            match = Match(Part("dcgan", {"latent_dim": first[0], "width": last[0]}), ImageSpec(size, last[1]))
        elif first[1] in (1, 3):
            match = Match(Part("dcgan", {"width": first[0]}), ImageSpec(size, first[1]), role="discriminator")
        else:
            return None
        ours = {name: shape for name, shape in shapes_of(network(match)).items() if not name.endswith(COUNTER)}
        return match if ours == {name: shape for name, shape in shapes.items() if not name.endswith(COUNTER)} else None

    def convert(self, tensors: Mapping[str, Tensor], match: Match) -> dict[str, Tensor]:
        return {name: tensors.get(name, torch.tensor(0)) for name in shapes_of(network(match))}


class Newmu(Layout):
    """The arrays that the DCGAN authors' code dumps, in order: per stage weights, then scale and shift of batch norm.

    Theano's convolutions flip their kernels, so kernels are flipped here. The original samples with batch statistics,
    which fixed ones replace (`keep_statistics`). Latents are taken as normal, as those of the house numbers are.
    """

    variants = ("dcgan",)
    summary = "the authors' own Theano code (github.com/Newmu/dcgan_code), generators with 5×5 kernels"
    note = (
        "Kernels were flipped. The original normalizes by the statistics of each batch; these running statistics are "
        "those of 2,500 latents of seed 0 in float64, so that no image depends on its neighbours. Latents are normal."
    )

    def recognize(self, shapes: Shapes) -> Match | None:
        ordered = list(shapes.values())
        stages, rest = divmod(len(ordered) - 1, 3)
        if rest or stages < 2 or 4 * 2**stages > LARGEST or not all(NUMBER.fullmatch(name) for name in shapes):
            return None
        if [len(shape) for shape in ordered] != [2, 1, 1] + [4, 1, 1] * (stages - 1) + [4]:
            return None
        (latent_dim, _), (width, channels, *_) = ordered[0], ordered[-1]
        if channels not in (1, 3):
            return None
        options = {"latent_dim": latent_dim, "width": width, "prior": "normal"}
        match = Match(Part("dcgan-newmu", options), ImageSpec(4 * 2**stages, channels), note=self.note)
        ours = [shape for name, shape in shapes_of(network(match)).items() if name.endswith(("weight", "bias"))]
        return match if [ours[0][::-1], *ours[1:]] == ordered else None

    def convert(self, tensors: Mapping[str, Tensor], match: Match) -> dict[str, Tensor]:
        generator = network(match).double().to_empty(device="cpu")
        assert isinstance(generator, NewmuGenerator)
        for layer in generator.modules():
            if isinstance(layer, (nn.BatchNorm1d, nn.BatchNorm2d)):
                layer.reset_running_stats()
        with torch.no_grad():
            for parameter, theirs in zip(generator.parameters(), tensors.values(), strict=True):
                parameter.copy_(theirs.flip(2, 3) if theirs.dim() == 4 else theirs.T if theirs.dim() == 2 else theirs)
        keep_statistics(generator)
        return {
            name: value.float() if value.is_floating_point() else value
            for name, value in generator.state_dict().items()
        }


def network(match: Match) -> nn.Module:
    """Builds the network of a match on the meta device."""
    classes = {("generator", "dcgan"): DCGANGenerator, ("discriminator", "dcgan"): DCGANDiscriminator}
    with torch.device("meta"):
        return classes.get((match.role, match.part.name), NewmuGenerator)(match.image, **match.part.options)


def shapes_of(module: nn.Module) -> dict[str, tuple[int, ...]]:
    """Returns names and shapes of a network's state."""
    return {name: tuple(value.shape) for name, value in module.state_dict().items()}
