"""Stand-ins for published pretrained networks: random numbers under their names, and the reference of VGG-19."""

from functools import cache

import torch
from torch.nn import functional

# Configuration E of VGG as torchvision lays it out: each entry is a convolution with its ReLU, or a pooling.
WIDTHS = [64, 64, "M", 128, 128, "M", 256, 256, 256, 256, "M", 512, 512, 512, 512, "M", 512, 512, 512, 512, "M"]


@cache
def vgg19_tensors() -> dict[str, torch.Tensor]:
    """`features.*` of torchvision's VGG-19 with random numbers that keep features about as large as images."""
    random, found, place, channels = torch.Generator().manual_seed(0), {}, 0, 3
    for width in WIDTHS:
        if width != "M":
            drawn = torch.randn(width, channels, 3, 3, generator=random) * (2 / (9 * channels)) ** 0.5
            found[f"features.{place}.weight"] = drawn
            found[f"features.{place}.bias"] = torch.randn(width, generator=random) * 0.1
            channels = width
        place += 1 if width == "M" else 2
    return found


def vgg19_features(tensors, images: torch.Tensor) -> list[torch.Tensor]:
    """The outputs of all layers of torchvision's `vgg19().features`, by their number."""
    found, hidden = [], images
    for width in WIDTHS:
        if width == "M":
            hidden = functional.max_pool2d(hidden, kernel_size=2, stride=2)
            found.append(hidden)
            continue
        name = f"features.{len(found)}"
        hidden = functional.conv2d(hidden, tensors[f"{name}.weight"], tensors[f"{name}.bias"], padding=1)
        found += [hidden, hidden.clamp_min(0)]
        hidden = found[-1]
    return found
