"""The noise that layers of a generator add to their features, given to it instead of its own."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Sequence

import torch
from torch import Tensor
from torch.nn import functional

from ganzoo.models.model import Model
from ganzoo.networks import Generator
from ganzoo.networks.inputs import placement

SMALLEST = 8  # pixels of the coarsest map that is still looked at


def takes_noise(generator: Generator) -> bool:
    """Whether `synthesis(style, label, noise=...)` takes noise by name, as StyleGAN2's does."""
    return generator.has_mapping and "noise" in inspect.signature(generator.synthesis).parameters


def noise_shapes(model: Model) -> list[tuple[int, ...]]:
    """Returns the shapes (1, H, W) of the maps that the layers ask for, in their order; none if they take no noise."""
    if not takes_noise(model.generator):
        return []
    shapes: list[tuple[int, ...]] = []

    def recorded(*shape: int) -> Tensor:
        shapes.append(shape)
        return torch.zeros(1, *shape, device=style.device)

    labels = model.labels(1)
    style = model.style(model.latent(1), labels).to(placement(model.generator))
    with torch.no_grad():
        model.generator.synthesis(style, None if labels is None else labels.to(style.device), noise=recorded)
    return shapes


def played(maps: Sequence[Tensor]) -> Callable[..., Tensor]:
    """Returns the function that gives each layer its map (N, 1, H, W), one after the other."""
    left: Iterator[Tensor] = iter(maps)

    def noise(*shape: int) -> Tensor:
        found = next(left)
        assert tuple(found.shape[1:]) == shape, "layers take their noise in another order than before"
        return found

    return noise


def autocorrelation(maps: Sequence[Tensor]) -> Tensor:
    """Returns the sum (N,) of squared correlations of each map (N, 1, H, W) with itself, one pixel aside and above.

    Of every map also those of its averages over 2×2, 4×4, ... pixels, down to 8, scaled to the same variance. Noise has
    none; a picture would have (Karras et al. 2020, appendix D). Edges wrap around.
    """
    total = torch.zeros(len(maps[0]), device=maps[0].device)
    for found in maps:
        while True:
            for axis in (2, 3):
                total = total + (found * found.roll(1, axis)).mean((1, 2, 3)).square()
            if min(found.shape[2:]) < 2 * SMALLEST:
                break
            found = functional.avg_pool2d(found, 2) * 2
    return total


def normalized(maps: Sequence[Tensor]) -> list[Tensor]:
    """Returns maps (N, 1, H, W) with the mean 0 and the variance 1."""
    centred = [one - one.mean((2, 3), keepdim=True) for one in maps]
    return [one * (one.square().mean((2, 3), keepdim=True) + 1e-12).rsqrt() for one in centred]
