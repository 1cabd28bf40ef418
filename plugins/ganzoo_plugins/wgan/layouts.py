"""The tensor names of martinarjovsky/WassersteinGAN."""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch
from torch import Tensor

from ganzoo import ImageSpec, Part, SampleSpec
from ganzoo.layouts import Layout, Match, Shapes

NORM = ("weight", "bias", "running_mean", "running_var")
COUNTER = "num_batches_tracked"
LARGEST = 1024
SIGN = (
    "The official critic gives low scores to real images; the last layer's sign was turned, "
    "so that ours gives high ones."
)


def generator_names(latent_dim: int, width: int, image: SampleSpec) -> dict[str, str]:
    """Maps the modules of `DCGAN_G` in order, theirs to ours; a name contains the input and output channels."""
    wide = [width * 2**i for i in reversed(range(stages(image.size)))]
    theirs = [f"initial:{latent_dim}-{wide[0]}:convt", f"initial:{wide[0]}:batchnorm"]
    for outer, inner in zip(wide, wide[1:], strict=False):
        theirs += [f"pyramid:{outer}-{inner}:convt", f"pyramid:{inner}:batchnorm"]
    theirs += [f"final:{width}-{image.channels}:convt"]
    return {f"main.{name}": f"main.{number + number // 2}" for number, name in enumerate(theirs)}


def critic_names(width: int, image: SampleSpec) -> dict[str, str]:
    """Maps the modules of `DCGAN_D` in order, theirs to ours; the first convolution is not normalized."""
    wide = [width * 2**i for i in range(stages(image.size))]
    names = {f"main.initial:{image.channels}-{width}:conv": "main.0"}
    for number, (inner, outer) in enumerate(zip(wide, wide[1:], strict=False)):
        names |= {
            f"main.pyramid:{inner}-{outer}:conv": f"main.{2 + 3 * number}",
            f"main.pyramid:{outer}:batchnorm": f"main.{3 + 3 * number}",
        }
    return names | {f"main.final:{wide[-1]}-1:conv": f"main.{3 * len(wide) - 1}"}


def stages(size: int) -> int:
    """Returns how many times 4 pixels are doubled to `size`."""
    return int(math.log2(size // 4))


def tensors_of(names: dict[str, str], counters: bool = True) -> dict[str, str]:
    """Maps tensor names, theirs to ours, from module names."""
    norm = [*NORM, COUNTER] if counters else NORM
    return {
        f"{theirs}.{kind}": f"{ours}.{kind}"
        for theirs, ours in names.items()
        for kind in (norm if "batchnorm" in theirs else ["weight"])
    }


def network(match: Match) -> tuple[dict[str, str], dict[str, tuple[int, ...]]]:
    """Returns module names, theirs to ours, and the shapes of the convolutions by their names."""
    width, image = match.part.options["width"], match.image
    if match.role == "generator":
        latent_dim = match.part.options["latent_dim"]
        names = generator_names(latent_dim, width, image)
        wide = [latent_dim, *(width * 2**i for i in reversed(range(stages(image.size)))), image.channels]
        kernels = [(a, b, 4, 4) for a, b in zip(wide, wide[1:], strict=False)]
    else:
        names = critic_names(width, image)
        wide = [image.channels, *(width * 2**i for i in range(stages(image.size))), 1]
        kernels = [(b, a, 4, 4) for a, b in zip(wide, wide[1:], strict=False)]
    convolutions = [name for name in names if "conv" in name]
    return names, dict(zip(convolutions, kernels, strict=True))


def expected(match: Match) -> dict[str, tuple[int, ...]]:
    """Returns names and shapes of all tensors but the counters of batch norm."""
    names, kernels = network(match)
    features = {name: int(name.split(":")[1]) for name in names if name not in kernels}
    shapes = {f"{name}.weight": shape for name, shape in kernels.items()}
    return shapes | {f"{name}.{kind}": (width,) for name, width in features.items() for kind in NORM}


class WassersteinGAN(Layout):
    """`main.initial:100-512:convt` and so on of `models/dcgan.py`, with batch norm and without extra layers."""

    variants = ("wgan",)
    summary = "martinarjovsky/WassersteinGAN models/dcgan.py (netG and netD)"

    def recognize(self, shapes: Shapes) -> Match | None:
        kernels = [name for name, shape in shapes.items() if len(shape) == 4]
        ends = {start: name for name in kernels for start in ("initial", "final") if name.startswith(f"main.{start}:")}
        size = 4 * 2 ** (len(kernels) - 1)
        if len(kernels) < 3 or size > LARGEST or len(ends) != 2:
            return None
        first, last = shapes[ends["initial"]], shapes[ends["final"]]
        if ends["initial"].endswith(":convt.weight"):
            match = Match(Part("dcgan", {"latent_dim": first[0], "width": last[0]}), ImageSpec(size, last[1]))
        else:
            match = Match(
                Part("dcgan", {"width": first[0]}), ImageSpec(size, first[1]), role="discriminator", note=SIGN
            )
        given = {name: tuple(shape) for name, shape in shapes.items() if not name.endswith(COUNTER)}
        return match if match.image.channels in (1, 3) and given == expected(match) else None

    def convert(self, tensors: Mapping[str, Tensor], match: Match) -> dict[str, Tensor]:
        names = tensors_of(network(match)[0])
        made = {ours: tensors.get(theirs, torch.tensor(0)) for theirs, ours in names.items()}
        return turned(made, f"main.{3 * stages(match.image.size) - 1}.") if match.role == "discriminator" else made


class WassersteinGANPerceptron(Layout):
    """`main.0`, `main.2`, `main.4`, `main.6` of `models/mlp.py`, which are ganzoo's own names."""

    variants = ("wgan-mlp",)
    summary = "martinarjovsky/WassersteinGAN models/mlp.py (netG and netD)"

    def recognize(self, shapes: Shapes) -> Match | None:
        first, last = shapes.get("main.0.weight", ()), shapes.get("main.6.weight", ())
        if len(first) != 2 or len(last) != 2:
            return None
        width, inputs = first
        sizes = {0: (width, inputs), 2: (width, width), 4: (width, width), 6: (last[0], width)}
        ours = {
            f"main.{number}.{kind}": shape if kind == "weight" else shape[:1]
            for number, shape in sizes.items()
            for kind in ("weight", "bias")
        }
        if dict(shapes) != ours:
            return None
        judges = last[0] == 1
        image = next(
            (
                ImageSpec(side, channels)
                for channels in (1, 3)
                if (side := whole_root(inputs if judges else last[0], channels))
            ),
            None,
        )
        if image is None:
            return None
        options = {"width": width} if judges else {"latent_dim": inputs, "width": width}
        return Match(Part("wgan-mlp", options), image, *(("discriminator", SIGN) if judges else ()))

    def convert(self, tensors: Mapping[str, Tensor], match: Match) -> dict[str, Tensor]:
        return turned(tensors, "main.6.") if match.role == "discriminator" else dict(tensors)


def turned(tensors: Mapping[str, Tensor], layer: str) -> dict[str, Tensor]:
    """Negates one layer of the tensors."""
    return {name: -value if name.startswith(layer) else value for name, value in tensors.items()}


def whole_root(pixels: int, channels: int) -> int:
    """Returns the side of a square of `pixels` numbers in `channels`, 0 if there is none."""
    side = math.isqrt(pixels // channels)
    return side if channels * side * side == pixels else 0
