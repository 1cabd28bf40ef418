"""The perceptual term: VGG-19 as torchvision lays it out, its layers by name, and files that do not hold it."""

import pytest
import torch
from pretrained import vgg19_features, vgg19_tensors
from translations import pairs

from ganzoo.errors import CheckpointError
from ganzoo.networks.perceptual import VGG19, frozen_vgg19, layer_names, perceptual_assets

MEAN, DEVIATION = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])


def images(seed: int, channels: int = 3) -> torch.Tensor:
    return torch.rand(2, channels, 33, 40, generator=torch.Generator().manual_seed(seed)) * 2 - 1


def normalized(shown: torch.Tensor) -> torch.Tensor:
    return ((shown + 1) / 2 - MEAN.view(3, 1, 1)) / DEVIATION.view(3, 1, 1)


def test_layers_have_the_numbers_of_torchvision():
    places = {name: layer_names().index(name) for name in layer_names()}
    # The slices of NVIDIA/pix2pixHD's Vgg19 end before 2, 7, 12, 21 and 30; conv5_4 is ESRGAN's `features[:35]`.
    assert [places[f"relu{block}_1"] for block in range(1, 6)] == [1, 6, 11, 20, 29]
    assert places["conv5_4"] == 34 and len(places) == 37
    with torch.device("meta"):
        network = VGG19({"pool5": 1.0})
    assert {name: value.shape for name, value in network.state_dict().items()} == {
        name: value.shape for name, value in vgg19_tensors().items()
    }
    assert sum(value.numel() for value in network.parameters()) == 20_024_384  # of torchvision's features


@torch.no_grad()
def test_features_and_distances_are_those_of_a_plain_network():
    tensors, weights = vgg19_tensors(), {"conv1_2": 0.1, "relu3_1": 0.5, "pool4": 2.0, "conv5_4": 1.0, "relu5_4": 1.0}
    network = frozen_vgg19(tensors, weights)
    ours, theirs = images(0), images(1)
    expected, others = (vgg19_features(tensors, normalized(one)) for one in (ours, theirs))
    found = network.network.activations(ours)
    assert list(found) == list(weights)
    distance = 0.0
    for name, features in found.items():
        place = layer_names().index(name)
        assert torch.allclose(features, expected[place], rtol=0, atol=1e-6 * float(expected[place].abs().max()))
        distance += weights[name] * (expected[place] - others[place]).abs().mean()
    assert torch.allclose(network(ours, theirs), distance, rtol=1e-6)
    assert (found["conv5_4"] < 0).any() and not (found["relu5_4"] < 0).any()  # before and after the ReLU
    assert torch.equal(network(ours, ours), torch.zeros(()))


@torch.no_grad()
def test_without_normalization_images_are_seen_as_they_are_and_grey_ones_as_rgb():
    tensors = vgg19_tensors()
    network = frozen_vgg19(tensors, {"relu2_1": 1.0}, normalized=False)
    found = network.network.activations(images(0))["relu2_1"]
    assert torch.allclose(found, vgg19_features(tensors, images(0))[6], rtol=0, atol=1e-5)
    grey, other = images(2, 1), images(3, 1)
    assert torch.equal(network(grey, other), network(grey.expand(-1, 3, -1, -1), other.expand(-1, 3, -1, -1)))
    assert len(network.network.features) == 7  # layers behind the last one are left out


def test_the_images_get_a_gradient_and_neither_the_truth_nor_the_network():
    network = frozen_vgg19(vgg19_tensors(), {"relu2_1": 1.0})
    shown, truth = images(0).requires_grad_(), images(1).requires_grad_()
    network(shown, truth).backward()
    assert shown.grad.abs().sum() > 0 and truth.grad is None
    assert not any(value.requires_grad or value.grad is not None for value in network.network.parameters())


def test_wrong_layers_files_and_images_are_named():
    with pytest.raises(ValueError, match="conv6_1"):
        VGG19({"conv6_1": 1.0})
    tensors = vgg19_tensors()
    for wrong, words in (
        (
            {name: value for name, value in tensors.items() if name != "features.28.weight"},
            "features.28.weight is miss",
        ),
        (tensors | {"features.0.bias": torch.zeros(3)}, r"features.0.bias has the shape \(3,\)"),
    ):
        with pytest.raises(CheckpointError, match=words):
            frozen_vgg19(wrong, {"relu5_1": 1.0})
    classifier = {"classifier.0.weight": torch.zeros(1)}
    assert frozen_vgg19(tensors | classifier, {"relu1_1": 1.0}).network.layers == {"relu1_1": 1.0}
    assert perceptual_assets("", pairs(8, output=4)) == {"perceptual": None}
    assert perceptual_assets("vgg19.safetensors", pairs(32))["perceptual"].path == "vgg19.safetensors"
    for spec, words in ((pairs(32, output=4), "1 or 3 channels"), (pairs(8), "16 pixels")):
        with pytest.raises(ValueError, match=words):
            perceptual_assets("vgg19.safetensors", spec)
