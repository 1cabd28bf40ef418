"""The network of the perceptual distance LPIPS: features of AlexNet, weighted by learned heads (Zhang et al. 2018).

Followed: richzhang/PerceptualSimilarity, version 0.1 of the heads, on AlexNet.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

SHIFT, SCALE = (-0.030, -0.088, -0.188), (0.458, 0.448, 0.450)  # of the official `ScalingLayer`
EPSILON, TINY = 1e-10, 1e-30  # the second: the slope of √0 is no number
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
        pairs = zip(self.activations(images), self.activations(truth), strict=True)
        total = torch.zeros(len(images), device=images.device)
        for number, (one, other) in enumerate(pairs):
            head = self.get_submodule(f"lin{number}.model.1")
            total = total + head((one - other).square()).mean((1, 2, 3))
        return total

    def activations(self, images: Tensor) -> list[Tensor]:
        """Returns what each ReLU gives, with the channels of each pixel scaled to length 1."""
        hidden, found = (images.expand(-1, 3, -1, -1) - self.shift) / self.scale, []
        for layer in self.features:
            hidden = layer(hidden)
            if isinstance(layer, nn.ReLU):
                squares = hidden.square().sum(1, keepdim=True).clamp(min=TINY)
                found.append(hidden / (squares.sqrt() + EPSILON))
        return found
