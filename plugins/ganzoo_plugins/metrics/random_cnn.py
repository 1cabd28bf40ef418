"""A convolutional network with fixed random weights, whose features belong to no data set."""

from __future__ import annotations

import hashlib
from itertools import pairwise

import numpy
import torch
from torch import Tensor, nn
from torch.nn import functional

from ganzoo.errors import UsageError

CHANNELS = (3, 24, 40, 64, 32)
GRIDS = (1, 1, 1, 2)  # cells on a side of each level's means: the last level keeps the coarse layout of an image
FEATURES = sum(width * grid**2 for width, grid in zip(CHANNELS[1:], GRIDS, strict=True))
LEAST = 16  # pixels that three halvings leave more than one of
SEED = 0
PREPROCESSING = f"grey as three equal channels; bilinear to {LEAST} pixels a side where there are fewer; in [-1, 1]"


class RandomCNN(nn.Module):
    """Images (N, 1 or 3, H, W) in [-1, 1] to 256 features: means of the channels of four levels of convolutions.

    Images keep their size, so that single pixels count. The weights are He's normal ones of numpy's frozen stream of
    seed 0, and the network is never trained: embeddings by random networks served Naeem et al. 2020 for images far from
    those that a trained one knows. `fingerprint` is the sha256, in hex, of weights and preprocessing.
    """

    def __init__(self) -> None:
        super().__init__()
        random = numpy.random.RandomState(SEED)  # numpy promises the numbers of this class never to change
        self.convolutions = nn.ModuleList()
        hashed = hashlib.sha256(f"random-cnn {CHANNELS} {GRIDS} {PREPROCESSING}".encode())
        for narrow, wide in pairwise(CHANNELS):
            drawn = random.standard_normal((wide, narrow, 3, 3)) * (2 / (narrow * 9)) ** 0.5
            weight = drawn.astype("<f4")
            hashed.update(weight.tobytes())
            convolution = nn.Conv2d(narrow, wide, 3, bias=False, dtype=torch.float32)
            convolution.weight = nn.Parameter(torch.from_numpy(weight.astype(numpy.float32)), requires_grad=False)
            self.convolutions.append(convolution)
        self.fingerprint = hashed.hexdigest()
        self.eval()

    def forward(self, images: Tensor) -> Tensor:
        """Returns features (N, 256)."""
        if images.ndim != 4 or images.shape[1] not in (1, 3):
            raise UsageError(f"random-cnn takes images (N, 1 or 3, H, W), not {tuple(images.shape)}.")
        found = images.float().expand(-1, 3, -1, -1)
        if min(found.shape[2:]) < LEAST:
            size = [max(side, LEAST) for side in found.shape[2:]]
            found = functional.interpolate(found, size, mode="bilinear", align_corners=False)
        levels = []
        for level, (convolution, grid) in enumerate(zip(self.convolutions, GRIDS, strict=True)):
            if level:
                found = functional.avg_pool2d(found, 2)
            found = functional.relu(convolution(functional.pad(found, (1, 1, 1, 1), mode="reflect")))
            levels.append(functional.adaptive_avg_pool2d(found, grid).flatten(1))
        return torch.cat(levels, 1)
