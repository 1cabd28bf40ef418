"""The perceptual distance LPIPS: differences of deep features, weighted by learned heads (Zhang et al. 2018).

Followed: richzhang/PerceptualSimilarity, version 0.1 of the heads, on AlexNet. No weights come with ganzoo: a file is
named, and read only if it has the stated sha256.
"""

from __future__ import annotations

import os
import re
from functools import cache
from pathlib import Path

import torch
from torch import Tensor, nn

from ganzoo.engine.assets import read_asset
from ganzoo.errors import CheckpointError, UsageError
from ganzoo.variant import Asset

FILE, DIGEST = "GANZOO_LPIPS_WEIGHTS", "GANZOO_LPIPS_SHA256"
SHIFT, SCALE = (-0.030, -0.088, -0.188), (0.458, 0.448, 0.450)  # of the official `ScalingLayer`
EPSILON = 1e-10
CONVOLUTIONS = ((3, 64, 11, 4, 2), (64, 192, 5, 1, 2), (192, 384, 3, 1, 1), (384, 256, 3, 1, 1), (256, 256, 3, 1, 1))


class LPIPS(nn.Module):
    """Images and truths (N, 3 or 1, H, W) in [-1, 1] to distances (N,).

    `features` has the names of torchvision's AlexNet, `lin0` to `lin4` those of the official heads.
    """

    shift: Tensor
    scale: Tensor

    def __init__(self) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for number, (inputs, outputs, size, stride, padding) in enumerate(CONVOLUTIONS):
            layers += [nn.MaxPool2d(3, 2)] if number in (1, 2) else []
            layers += [nn.Conv2d(inputs, outputs, size, stride, padding), nn.ReLU()]
        self.features = nn.Sequential(*layers)
        for number, (_, outputs, *_) in enumerate(CONVOLUTIONS):
            head = nn.Sequential(nn.Dropout(), nn.Conv2d(outputs, 1, 1, bias=False))
            self.add_module(f"lin{number}", nn.ModuleDict({"model": head}))
        self.register_buffer("shift", torch.tensor(SHIFT).view(1, 3, 1, 1), persistent=False)
        self.register_buffer("scale", torch.tensor(SCALE).view(1, 3, 1, 1), persistent=False)

    def forward(self, images: Tensor, truth: Tensor) -> Tensor:
        pairs = zip(self._activations(images), self._activations(truth), strict=True)
        total = torch.zeros(len(images), device=images.device)
        for number, (one, other) in enumerate(pairs):
            head = self.get_submodule(f"lin{number}.model.1")
            total = total + head((one - other).square()).mean((1, 2, 3))
        return total

    def _activations(self, images: Tensor) -> list[Tensor]:
        """Returns what each ReLU gives, with the channels of each pixel scaled to length 1."""
        hidden, found = (images.expand(-1, 3, -1, -1) - self.shift) / self.scale, []
        for layer in self.features:
            hidden = layer(hidden)
            if isinstance(layer, nn.ReLU):
                found.append(hidden / (hidden.square().sum(1, keepdim=True).sqrt() + EPSILON))
        return found


def load_network(path: Path, sha256: str) -> LPIPS:
    """Reads the weights from a safetensors file; CheckpointError unless it has this hash and the tensors of `LPIPS`."""
    tensors = read_asset(Asset(path=str(path), sha256=sha256), "The network of LPIPS")
    network = LPIPS()
    try:
        network.load_state_dict(tensors)
    except RuntimeError as error:
        line = " ".join(str(error).split())[:200]
        raise CheckpointError(f"{path} does not hold the tensors of LPIPS on AlexNet: {line}") from None
    return network.eval().requires_grad_(False)


def default_network() -> LPIPS:
    """Loads the network of the environment: `GANZOO_LPIPS_WEIGHTS` names the file, `GANZOO_LPIPS_SHA256` its hash.

    UsageError if one of the two is missing.
    """
    path, digest = os.environ.get(FILE, ""), os.environ.get(DIGEST, "").lower()
    if not path or not re.fullmatch(r"[0-9a-f]{64}", digest):
        raise UsageError(
            f"lpips needs weights that do not come with ganzoo: set {FILE} to a safetensors file (docs/metrics.md says "
            f"how to make it) and {DIGEST} to its sha256."
        )
    return _loaded(Path(path), digest)


_loaded = cache(load_network)
