"""Perceptual distances: differences of features of a pretrained VGG-19 (Simonyan and Zisserman 2014).

Layers are numbered as torchvision's `vgg19().features`, whose published weights the tensors have. No weights come with
ganzoo: `ganzoo convert vgg19-dcbb9e9d.pth --asset vgg19` makes the file that an option names.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from ganzoo.errors import CheckpointError
from ganzoo.networks.frozen import FrozenNetwork
from ganzoo.variant import Asset, SampleSpec

BLOCKS = ((64, 2), (128, 2), (256, 4), (512, 4), (512, 4))  # channels and convolutions between poolings
MEAN, DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # of ImageNet's images in [0, 1]
SMALLEST = 16  # pixels, of which four poolings leave one


def layer_names() -> list[str]:
    """Returns a name for each layer of `features`: "conv1_1", "relu1_1", "conv1_2", "relu1_2", "pool1", ..."""
    names = []
    for block, (_, count) in enumerate(BLOCKS, 1):
        names += [f"{kind}{block}_{number}" for number in range(1, count + 1) for kind in ("conv", "relu")]
        names.append(f"pool{block}")
    return names


class VGG19(nn.Module):
    """Images and truths (N, 1 or 3, H, W) in [-1, 1] to the weighted sum of L1 distances of their features, a scalar.

    `layers` maps names of layers to weights: "conv5_4" is a convolution's output before its ReLU, "relu5_1" the output
    of a ReLU (`layer_names`). Layers behind the last of them are left out. `normalized` applies ImageNet's mean and
    deviation, as torchvision trained the network; without it the network gets [-1, 1]. Grey images become RGB of equal
    channels. Truths get no gradient. ValueError for an unknown layer.
    """

    mean: Tensor
    deviation: Tensor

    def __init__(self, layers: Mapping[str, float], normalized: bool = True) -> None:
        super().__init__()
        names = layer_names()
        if not layers or not layers.keys() <= set(names):
            wrong = ", ".join(sorted(layers.keys() - set(names))) or "none"
            raise ValueError(f"layers of VGG-19 are conv1_1, relu1_1, ... pool5, got {wrong}")
        self.layers, self.normalized = dict(layers), normalized
        self.names = names[: 1 + max(names.index(layer) for layer in layers)]
        built: list[nn.Module] = []
        channels = 3
        for name in self.names:
            if name.startswith("conv"):
                wide = BLOCKS[int(name[4]) - 1][0]
                built.append(nn.Conv2d(channels, wide, 3, padding=1))
                channels = wide
            else:
                built.append(nn.ReLU() if name.startswith("relu") else nn.MaxPool2d(2))
        self.features = nn.Sequential(*built)
        # On the CPU even where the network is laid out without memory, since files do not hold them.
        for name, values in (("mean", MEAN), ("deviation", DEVIATION)):
            self.register_buffer(name, torch.tensor(values, device="cpu").view(1, 3, 1, 1), persistent=False)

    def activations(self, images: Tensor) -> dict[str, Tensor]:
        """Returns the features (N, channels, h, w) of the chosen layers, by name."""
        hidden, found = images.expand(-1, 3, -1, -1), {}
        if self.normalized:
            hidden = ((hidden + 1) / 2 - self.mean) / self.deviation
        for name, layer in zip(self.names, self.features, strict=True):
            hidden = layer(hidden)
            if name in self.layers:
                found[name] = hidden
        return found

    def forward(self, images: Tensor, truth: Tensor) -> Tensor:
        with torch.no_grad():
            targets = self.activations(truth)
        ours = self.activations(images)
        distances = [weight * (ours[name] - targets[name]).abs().mean() for name, weight in self.layers.items()]
        return torch.stack(distances).sum()


def perceptual_assets(file: str, image: SampleSpec) -> dict[str, Asset | None]:
    """Returns the `assets` of a loss whose option `perceptual` names a file of VGG-19, "" for none.

    ValueError for images that VGG-19 cannot see.
    """
    if not file:
        return {"perceptual": None}
    if image.channels not in (1, 3) or min(image.height, image.width) < SMALLEST:
        raise ValueError(
            f"the perceptual term sees images of 1 or 3 channels and at least {SMALLEST} pixels, "
            f"not {image.channels} of {image.height} x {image.width}: leave out perceptual"
        )
    return {"perceptual": Asset(path=file)}


def frozen_vgg19(tensors: Mapping[str, Tensor], layers: Mapping[str, float], normalized: bool = True) -> FrozenNetwork:
    """Builds `VGG19` with tensors that have torchvision's names; others (the classifier's) are left out.

    CheckpointError for tensors that are missing or of another shape.
    """
    with torch.device("meta"):
        network = VGG19(layers, normalized)
    for name, empty in network.state_dict().items():
        if name not in tensors or tensors[name].shape != empty.shape:
            came = "is missing" if name not in tensors else f"has the shape {tuple(tensors[name].shape)}"
            raise CheckpointError(
                f"The file of the perceptual term does not hold VGG-19 as torchvision names it: {name} {came}. "
                "`ganzoo convert vgg19-dcbb9e9d.pth --asset vgg19 --out vgg19.safetensors` makes the file."
            )
    network.load_state_dict({name: tensors[name] for name in network.state_dict()}, assign=True)
    return FrozenNetwork(network.to(tensors["features.0.weight"].device, tensors["features.0.weight"].dtype))
