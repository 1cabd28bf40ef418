"""A small classifier of emoji in colour and its packaged weights, made by `benchmarks/train_emoji_cnn.py`."""

from __future__ import annotations

import hashlib
from pathlib import Path

from torch import Tensor, nn
from torch.nn import functional

from ganzoo import SampleSpec
from ganzoo.errors import UsageError
from ganzoo.networks.packaged import packaged

FILE = Path(__file__).parent / "files" / "emoji-cnn.safetensors"
SHA256 = "949e5a883189459235fc48d18545c531391f63aee82a4d109d6bed947d71df5a"
CLASSES = (
    "face",
    "person",
    "hand",
    "animal",
    "plant or fruit",
    "food or drink",
    "vehicle",
    "place",
    "object",
    "sign",
)
SIZE = 64
WIDTHS = (32, 48, 64, 96, 128)
FEATURES = 128
LEAST = 32  # pixels: a smaller picture holds too little of what the network learned to see at 64
PREPROCESSING = f"antialiased bilinear to {SIZE}x{SIZE} unless it is that; RGB in [-1, 1]"


def block(narrow: int, wide: int, stride: int) -> list[nn.Module]:
    return [nn.Conv2d(narrow, wide, 3, stride, padding=1, bias=False), nn.BatchNorm2d(wide), nn.ReLU()]


class EmojiCNN(nn.Module):
    """Images (N, 3, H, W) in [-1, 1] to 128 features, none negative; `classify` maps them to logits of `classes`.

    `fingerprint` is the sha256, in hex, of weights and preprocessing. Everything is computed in float32.
    """

    classes = CLASSES
    purpose = f"emoji in colour of ten kinds, at least {LEAST} pixels"
    channels = (3,)
    fingerprint = hashlib.sha256(f"emoji-cnn {SHA256} {PREPROCESSING}".encode()).hexdigest()

    def __init__(self) -> None:
        super().__init__()
        layers = block(3, WIDTHS[0], stride=2)
        for narrow, wide in zip(WIDTHS, WIDTHS[1:], strict=False):
            layers += [*block(narrow, wide, stride=2), *block(wide, wide, stride=1)]
        self.body = nn.Sequential(*layers)
        self.features = nn.Sequential(nn.Linear(WIDTHS[-1], FEATURES, bias=False), nn.BatchNorm1d(FEATURES), nn.ReLU())
        self.output = nn.Linear(FEATURES, len(CLASSES))

    @classmethod
    def pretrained(cls, file: Path = FILE, sha256: str = SHA256) -> EmojiCNN:
        """Returns the network with the packaged weights, frozen and in evaluation mode.

        Raises CheckpointError if the file has another sha256.
        """
        return packaged(cls(), file, sha256)

    def forward(self, images: Tensor) -> Tensor:
        """Returns features (N, 128)."""
        return self.features(self.body(prepared(images)).mean((2, 3)))

    def suits(self, image: SampleSpec, classes: tuple[str, ...]) -> bool:
        """Returns True for RGB images of at least 32 pixels whose classes have the names of its own.

        Those of other names have classes that it does not know, though its features compare them.
        """
        known = bool(classes) and set(classes) <= set(CLASSES)
        return known and image.channels == 3 and min(image.output.shape[-2:]) >= LEAST

    def classify(self, features: Tensor) -> Tensor:
        """Returns logits (N, 10) of `forward`'s features."""
        return self.output(features)

    def logits(self, images: Tensor) -> Tensor:
        """Returns logits (N, 10) of images."""
        return self.classify(self(images))


def prepared(images: Tensor) -> Tensor:
    """Converts RGB images (N, 3, H, W) to the network's input: float32, 64 × 64.

    Raises UsageError for other shapes.
    """
    if images.ndim != 4 or images.shape[1] != 3:
        raise UsageError(f"emoji-cnn takes images (N, 3, H, W), not {tuple(images.shape)}.")
    images = images.float()
    if images.shape[2:] != (SIZE, SIZE):
        images = functional.interpolate(images, (SIZE, SIZE), mode="bilinear", antialias=True, align_corners=False)
    return images
