"""The frozen networks whose features Projected GAN's discriminators see, and where their weights are."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from ganzoo import Asset, SampleSpec
from ganzoo.errors import CheckpointError
from ganzoo.networks import FrozenNetwork
from ganzoo.networks.efficientnet import CHANNELS, EfficientNetLite0, frozen_efficientnet_lite0

EFFICIENTNET = "efficientnet-lite0"
SMALL = 64  # pixels, up to which a network that comes with ganzoo is chosen
EPSILON = 1e-5


class Classifier(nn.Module):
    """The first layers of an extractor that comes with ganzoo: images to the features of four sizes, a list.

    `layers` are channels and strides of convolutions with batch norm and ReLU, which its file has as `body.0` and
    `body.1`, `body.3` and `body.4` ...; features are the last of each size.
    """

    def __init__(self, channels: int, layers: tuple[tuple[int, int], ...]) -> None:
        super().__init__()
        widths = [channels, *(wide for wide, _ in layers)]
        self.strides = [stride for _, stride in layers]
        self.weights = [
            {"weight": torch.randn(wide, narrow, 3, 3) / (9 * narrow / 2) ** 0.5, "bias": torch.zeros(wide)}
            for narrow, wide in zip(widths, widths[1:], strict=False)
        ]

    def load(self, tensors: Mapping[str, Tensor]) -> None:
        """Takes the weights of a file, with each batch norm made part of its convolution."""
        for number, layer in enumerate(self.weights):
            weight, norm = tensors[f"body.{3 * number}.weight"], f"body.{3 * number + 1}"
            if weight.shape != layer["weight"].shape:
                raise CheckpointError(f"body.{3 * number}.weight of the features has the shape {tuple(weight.shape)}.")
            scale = tensors[f"{norm}.weight"] * (tensors[f"{norm}.running_var"] + EPSILON).rsqrt()
            layer["weight"] = weight * scale[:, None, None, None]
            layer["bias"] = tensors[f"{norm}.bias"] - tensors[f"{norm}.running_mean"] * scale

    def forward(self, images: Tensor) -> list[Tensor]:
        x, features = images, []
        for number, (layer, stride) in enumerate(zip(self.weights, self.strides, strict=True)):
            if stride == 2 and number:
                features.append(x)
            x = functional.relu(functional.conv2d(x, layer["weight"], layer["bias"], stride, padding=1))
        return [*features, x]


@dataclass(frozen=True)
class Source:
    """A frozen network: the channels and smallest side of images that it sees, and the channels of its features.

    `nominal` is the side for which the discriminators count their halvings, `reduction` the first features' share of
    it. `layers` are the channels and strides of a `Classifier`, whose weights are `asset`; without them the network is
    EfficientNet-Lite0, whose file the user names.
    """

    channels: tuple[int, ...]
    least: int
    nominal: int
    reduction: int
    widths: tuple[int, ...]
    layers: tuple[tuple[int, int], ...] = ()
    asset: Asset | None = None


def embedded(plugin: str, extractor: str, sha256: str) -> Asset:
    """Returns the file of an extractor that comes with ganzoo."""
    return Asset(package_file=f"ganzoo_plugins.{plugin}:files/{extractor}.safetensors", sha256=sha256, license="mit")


SOURCES = {
    EFFICIENTNET: Source((1, 3), 224, 256, 4, CHANNELS),
    "fashion-cnn-native": Source(
        *((1,), 32, 32, 1, (24, 48, 80, 128)),
        layers=((24, 1), (48, 2), (80, 2), (128, 2)),
        asset=embedded(
            "fashion_cnn", "fashion-cnn-native", "d8e45125ff48bb910fb87ececb5e7caaae33d3b33a786c747e7d541b39f7729c"
        ),
    ),
    "emoji-cnn": Source(
        *((3,), 64, 64, 2, (32, 48, 64, 96)),
        layers=((32, 2), (48, 2), (48, 1), (64, 2), (64, 1), (96, 2), (96, 1)),
        asset=embedded("emoji_cnn", "emoji-cnn", "949e5a883189459235fc48d18545c531391f63aee82a4d109d6bed947d71df5a"),
    ),
}


def chosen(name: str, file: str, image: SampleSpec) -> str:
    """Returns the name of the network: `name`, or for "auto" the one for these images.

    That is EfficientNet-Lite0 where a file is named; else for images up to 64 pixels the one that comes with ganzoo and
    sees as many channels. ValueError for a network that cannot see the images, or a file that has no use.
    """
    if name == "auto":
        small = [one for one, source in SOURCES.items() if source.asset and image.channels in source.channels]
        name = small[0] if small and not file and image.size <= SMALL else EFFICIENTNET
    source = SOURCES[name]
    if image.channels not in source.channels:
        kinds = " or ".join(map(str, source.channels))
        raise ValueError(f"the feature network {name} sees images of {kinds} channels, not {image.channels}")
    if file and source.asset is not None:
        raise ValueError(f"the feature network {name} comes with ganzoo: leave out features")
    return name


def asset_of(name: str, file: str) -> Asset:
    """Returns where the weights of a network are; CheckpointError if the user must name their file and has not."""
    source = SOURCES[name]
    if source.asset is not None:
        return source.asset
    if not file:
        raise CheckpointError(
            "Projected GAN needs the weights of EfficientNet-Lite0: get tf_efficientnet_lite0-0aa007d2.pth from "
            "github.com/huggingface/pytorch-image-models/releases/tag/v0.1-weights, run `ganzoo convert "
            "tf_efficientnet_lite0-0aa007d2.pth --asset efficientnet-lite0 --out lite0.safetensors`, and add "
            "--set discriminator.features=lite0.safetensors."
        )
    return Asset(path=file)


def empty_network(name: str) -> FrozenNetwork:
    """Returns the network with random weights, which stand in for those of its file until that is loaded."""
    source = SOURCES[name]
    if not source.layers:
        return FrozenNetwork(EfficientNetLite0())
    return FrozenNetwork(Classifier(source.channels[0], source.layers))


def loaded_network(name: str, tensors: Mapping[str, Tensor]) -> FrozenNetwork:
    """Returns the network with the tensors of its file."""
    source = SOURCES[name]
    if not source.layers:
        return frozen_efficientnet_lite0(tensors)
    with torch.device("meta"):
        network = Classifier(source.channels[0], source.layers)
    network.load(tensors)
    return FrozenNetwork(network)
