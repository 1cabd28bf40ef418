"""Distances of images that an inversion makes small: pixels at several sizes, or features of a pretrained network."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Protocol, cast

import torch
from torch import Tensor
from torch.nn import functional

from ganzoo.engine.assets import read_asset
from ganzoo.errors import CheckpointError, UsageError
from ganzoo.networks.lpips import LPIPS
from ganzoo.networks.perceptual import SMALLEST, VGG19, frozen_vgg19
from ganzoo.variant import Asset, SampleSpec

COARSEST = 4  # pixels of the shorter side of the smallest average
LARGEST = 256  # pixels that a perceptual network sees, as in the projector of StyleGAN2
LEAST_LPIPS = 32  # pixels, of which AlexNet's poolings leave one
LAYERS = {"relu1_1": 1 / 32, "relu2_1": 1 / 16, "relu3_1": 1 / 8, "relu4_1": 1 / 4, "relu5_1": 1.0}  # of pix2pixHD


class Distance(Protocol):
    """A distance of samples: `features` of each side once, then `between` them, a number for each sample."""

    name: str

    def features(self, samples: Tensor) -> list[Tensor]:
        """Returns tensors (N, ...) of samples (N, ...)."""
        ...

    def between(self, ours: Sequence[Tensor], theirs: Sequence[Tensor]) -> Tensor:
        """Returns the distances (N,) of features, with gradients for ours."""
        ...


class Squares:
    """The mean square of the differences of samples of any shape."""

    name = "squares"

    def features(self, samples: Tensor) -> list[Tensor]:
        return [samples]

    def between(self, ours: Sequence[Tensor], theirs: Sequence[Tensor]) -> Tensor:
        pairs = zip(ours, theirs, strict=True)
        return torch.stack([(one - other).square().flatten(1).mean(1) for one, other in pairs]).sum(0)


class Pyramid(Squares):
    """The mean squares of pixels, and of averages over 2×2, 4×4, ... of them, down to about 4 pixels, added up.

    Where two shapes do not overlap yet, pixels alone do not say in which direction to move; averages do.
    """

    name = "pyramid"

    def features(self, samples: Tensor) -> list[Tensor]:
        found = [samples]
        while min(found[-1].shape[2:]) >= 2 * COARSEST:
            found.append(functional.avg_pool2d(found[-1], 2))
        return found


class Perceptual:
    """The mean square of pixels, and the distance of the features of VGG-19 or LPIPS, at up to 256 pixels.

    VGG-19: the L1 distance of its five blocks with the weights of pix2pixHD. LPIPS as `ganzoo score` computes it.
    """

    def __init__(self, tensors: dict[str, Tensor], device: torch.device) -> None:
        tensors = {key: tensor.to(device, torch.float32) for key, tensor in tensors.items()}
        self.lpips: LPIPS | None = None
        if "lin0.model.1.weight" in tensors:
            self.name = "lpips"
            self.lpips = _lpips(tensors).to(device)
        else:
            self.name = "vgg19"
            self.activations = cast(VGG19, frozen_vgg19(tensors, LAYERS).network).activations

    def features(self, samples: Tensor) -> list[Tensor]:
        seen = samples.float()
        if max(seen.shape[2:]) > LARGEST:
            factor = -(-max(seen.shape[2:]) // LARGEST)
            seen = functional.avg_pool2d(seen, factor)
        if self.lpips is not None:
            heads = [getattr(self.lpips, f"lin{number}").model[1].weight for number in range(5)]
            found = self.lpips.activations(seen)
            return [samples, *(one * head.clamp(min=0).sqrt() for one, head in zip(found, heads, strict=True))]
        return [samples, *self.activations(seen).values()]

    def between(self, ours: Sequence[Tensor], theirs: Sequence[Tensor]) -> Tensor:
        total = (ours[0] - theirs[0]).square().flatten(1).mean(1)
        for one, other, weight in zip(ours[1:], theirs[1:], LAYERS.values(), strict=True):
            if self.lpips is not None:
                total = total + (one - other).square().sum(1).flatten(1).mean(1)
            else:
                total = total + weight * (one - other).abs().flatten(1).mean(1)
        return total


def _lpips(tensors: dict[str, Tensor]) -> LPIPS:
    network = LPIPS()
    try:
        network.load_state_dict(tensors)
    except RuntimeError as error:
        line = " ".join(str(error).split())[:200]
        raise CheckpointError(f"The perceptual file does not hold the tensors of LPIPS on AlexNet: {line}") from None
    return network.eval().requires_grad_(False)


def distance_for(image: SampleSpec, perceptual: str | os.PathLike[str] | None, device: torch.device) -> Distance:
    """Returns the distance for the samples of a model; `perceptual` is a file of VGG-19 or LPIPS as safetensors.

    UsageError for samples that the network cannot see, CheckpointError for a file of something else.
    """
    if perceptual is None:
        return Pyramid() if image.output.kind == "image" else Squares()
    if image.output.kind != "image" or image.channels not in (1, 3):
        raise UsageError("A perceptual network sees grey or RGB images: leave out the perceptual file for this model.")
    distance = Perceptual(read_asset(Asset(path=str(perceptual)), "The perceptual file"), device)
    least, side = LEAST_LPIPS if distance.lpips is not None else SMALLEST, min(image.height, image.width)
    if side < least:
        raise UsageError(
            f"{distance.name} sees images of at least {least} pixels, and this model's have {side}: "
            "leave out the perceptual file."
        )
    return distance
