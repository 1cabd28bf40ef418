"""A small classifier of Fashion-MNIST and its packaged weights, made by `benchmarks/train_fashion_cnn.py`."""

from __future__ import annotations

import hashlib
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional

from ganzoo import SampleSpec
from ganzoo.errors import UsageError
from ganzoo.networks.packaged import packaged

FILE = Path(__file__).parent / "files" / "fashion-cnn.safetensors"
SHA256 = "ea71344103e988f25fa9a873c80f4962937cdef398c1852cd1cd197ccbfa5d31"
CLASSES = (
    "T-shirt/top",
    "Trouser",
    "Pullover",
    "Dress",
    "Coat",
    "Sandal",
    "Shirt",
    "Sneaker",
    "Bag",
    "Ankle boot",
)
SIZE, FEATURES = 28, 128
SIZES = (28, 32)  # pixels at which resizing to SIZE leaves a garment as it was in training
GREY = (0.299, 0.587, 0.114)
PREPROCESSING = (
    f"RGB to grey by ITU-R BT.601 {GREY}; antialiased bilinear to {SIZE}x{SIZE} unless it is that; values in [-1, 1]"
)


class LargestOfFour(nn.Module):
    """Equals `nn.MaxPool2d(2)` bit for bit, in an eighth of its time on a CPU.

    `nn.MaxPool2d` searches for each maximum separately.
    """

    def forward(self, images: Tensor) -> Tensor:
        """(N, C, H, W) to (N, C, H // 2, W // 2)."""
        even = images[..., : images.shape[2] // 2 * 2, : images.shape[3] // 2 * 2]
        rows = torch.maximum(even[..., 0::2, :], even[..., 1::2, :])
        return torch.maximum(rows[..., 0::2], rows[..., 1::2])


def block(narrow: int, wide: int) -> list[nn.Module]:
    return [nn.Conv2d(narrow, wide, 3, padding=1, bias=False), LargestOfFour(), nn.BatchNorm2d(wide), nn.ReLU()]


class FashionCNN(nn.Module):
    """Images (N, 1 or 3, H, W) in [-1, 1] to 128 features, none negative; `classify` maps them to logits of `classes`.

    `fingerprint` is the sha256, in hex, of weights and preprocessing. Everything is computed in float32.
    """

    classes = CLASSES
    purpose = "grey images of garments, {} to {} pixels".format(*SIZES)
    channels = (1,)
    fingerprint = hashlib.sha256(f"fashion-cnn {SHA256} {PREPROCESSING}".encode()).hexdigest()

    def __init__(self) -> None:
        super().__init__()
        layers = [*block(1, 24), *block(24, 64), *block(64, 96), nn.Flatten()]
        self.body = nn.Sequential(
            *layers, nn.Linear(96 * 3 * 3, FEATURES, bias=False), nn.BatchNorm1d(FEATURES), nn.ReLU()
        )
        self.output = nn.Linear(FEATURES, len(CLASSES))

    @classmethod
    def pretrained(cls, file: Path = FILE, sha256: str = SHA256) -> FashionCNN:
        """Returns the network with the packaged weights, frozen and in evaluation mode.

        Raises CheckpointError if the file has another sha256.
        """
        return packaged(cls(), file, sha256)

    def forward(self, images: Tensor) -> Tensor:
        """Returns features (N, 128)."""
        return self.body(prepared(images))

    def suits(self, image: SampleSpec, classes: tuple[str, ...]) -> bool:
        """Returns True for grey images of 28 to 32 pixels, unless their classes have other names than garments.

        Classes that are named by numbers count as unnamed.
        """
        return made_for_garments(image, classes)

    def classify(self, features: Tensor) -> Tensor:
        """Returns logits (N, 10) of `forward`'s features."""
        return self.output(features)

    def logits(self, images: Tensor) -> Tensor:
        """Returns logits (N, 10) of images."""
        return self.classify(self(images))


def prepared(images: Tensor) -> Tensor:
    """Converts images (N, 1 or 3, H, W) to the network's input: grey, float32, 28 × 28."""
    images = grey(images, "fashion-cnn")
    if images.shape[2:] != (SIZE, SIZE):
        images = functional.interpolate(images, (SIZE, SIZE), mode="bilinear", antialias=True, align_corners=False)
    return images


def grey(images: Tensor, extractor: str, least: int = 1) -> Tensor:
    """Converts images (N, 1 or 3, H, W) to grey ones (N, 1, H, W) in float32.

    Raises UsageError for other shapes, and for sides of fewer than `least` pixels.
    """
    if images.ndim != 4 or images.shape[1] not in (1, 3):
        raise UsageError(f"{extractor} takes images (N, 1 or 3, H, W), not {tuple(images.shape)}.")
    if min(images.shape[2:]) < least:
        raise UsageError(f"{extractor} takes images of at least {least} pixels, not {tuple(images.shape[2:])}.")
    images = images.float()
    if images.shape[1] == 3:
        images = (images * images.new_tensor(GREY)[:, None, None]).sum(1, keepdim=True)
    return images


def made_for_garments(image: SampleSpec, classes: tuple[str, ...]) -> bool:
    """Returns True for grey images of 28 to 32 pixels whose classes are garments, or are named by numbers."""
    named = {name for name in classes if not name.isdecimal()}
    return image.channels == 1 and SIZES[0] <= image.size <= SIZES[1] and named <= set(CLASSES)
