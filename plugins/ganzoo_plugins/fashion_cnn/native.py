"""A second classifier of Fashion-MNIST, at the images' own size, and its packaged weights.

Made by `benchmarks/train_fashion_cnn.py --extractor fashion-cnn-native`.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

from torch import Tensor, nn

from ganzoo import SampleSpec
from ganzoo.networks.packaged import packaged
from ganzoo_plugins.fashion_cnn.model import CLASSES, GREY, SIZES, grey, made_for_garments

FILE = Path(__file__).parent / "files" / "fashion-cnn-native.safetensors"
SHA256 = "d8e45125ff48bb910fb87ececb5e7caaae33d3b33a786c747e7d541b39f7729c"
WIDTHS = (24, 48, 80, 128)
LEAST = 8  # pixels that three halvings leave one of
PREPROCESSING = f"RGB to grey by ITU-R BT.601 {GREY}; never resized; values in [-1, 1]"


def block(narrow: int, wide: int, stride: int) -> list[nn.Module]:
    return [nn.Conv2d(narrow, wide, 3, stride, padding=1, bias=False), nn.BatchNorm2d(wide), nn.ReLU()]


class NativeFashionCNN(nn.Module):
    """Images (N, 1 or 3, H, W) in [-1, 1] to 128 features, none negative; `classify` maps them to logits of `classes`.

    Nothing is resized, and convolutions with steps of two, which let high frequencies through, take the place of
    maxima: noise and grids of single pixels count. `fingerprint` is the sha256, in hex, of weights and preprocessing.
    Everything is computed in float32.
    """

    classes = CLASSES
    purpose = "grey images of garments, {} to {} pixels".format(*SIZES)
    channels = (1,)
    fingerprint = hashlib.sha256(f"fashion-cnn-native {SHA256} {PREPROCESSING}".encode()).hexdigest()

    def __init__(self) -> None:
        super().__init__()
        first, *others = zip((1, *WIDTHS), WIDTHS, strict=False)
        layers = [*block(*first, stride=1), *(layer for widths in others for layer in block(*widths, stride=2))]
        self.body = nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten())
        self.output = nn.Linear(WIDTHS[-1], len(CLASSES))

    @classmethod
    def pretrained(cls, file: Path = FILE, sha256: str = SHA256) -> NativeFashionCNN:
        """Returns the network with the packaged weights, frozen and in evaluation mode.

        Raises CheckpointError if the file has another sha256.
        """
        return packaged(cls(), file, sha256)

    def forward(self, images: Tensor) -> Tensor:
        """Returns features (N, 128)."""
        return self.body(grey(images, "fashion-cnn-native", LEAST))

    def suits(self, image: SampleSpec, classes: tuple[str, ...]) -> bool:
        """Returns True for grey images of 28 to 32 pixels, unless their classes have other names than garments."""
        return made_for_garments(image, classes)

    def classify(self, features: Tensor) -> Tensor:
        """Returns logits (N, 10) of `forward`'s features."""
        return self.output(features)

    def logits(self, images: Tensor) -> Tensor:
        """Returns logits (N, 10) of images."""
        return self.classify(self(images))
