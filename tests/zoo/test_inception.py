"""The extractors `inception` and `clip-vit-b-32`, with a stand-in for torch-fidelity's network and weights."""

from __future__ import annotations

import hashlib
import importlib.metadata
import sys
import types
from dataclasses import replace

import pytest
import torch
from torch import nn

from ganzoo.errors import CheckpointError, GanzooError, PluginError, UsageError
from ganzoo.metrics.features import load_extractor
from ganzoo.registry.registry import registry
from ganzoo_plugins.inception import model


class StandIn(nn.Module):
    """torch-fidelity's interface: uint8 images (N, 3, H, W) to a tuple of features; weights from a path or file."""

    largest = 0

    def __init__(self, name, features_list, feature_extractor_weights_path=None):
        super().__init__()
        self.name, self.features_list = name, features_list
        self.fc = nn.Linear(6, 1008)
        self.dropout = nn.Dropout(0.5)
        self.register_buffer("scale", torch.tensor(float(feature_extractor_weights_path.read())))

    def forward(self, images):
        assert images.dtype == torch.uint8 and images.shape[1] == 3
        StandIn.largest = max(StandIn.largest, len(images))
        pixels = images.float() * self.scale
        return (self.dropout(torch.cat([pixels.mean((2, 3)), pixels.std((2, 3))], 1)),)


@pytest.fixture
def library(monkeypatch):
    """A torch-fidelity of version 0.4.0 that is the stand-in."""
    found = types.SimpleNamespace(FeatureExtractorInceptionV3=StandIn, FeatureExtractorCLIP=StandIn)
    monkeypatch.setitem(sys.modules, "torch_fidelity", found)
    monkeypatch.setattr(importlib.metadata, "version", lambda name: {"torch-fidelity": "0.4.0"}[name])


@pytest.fixture
def weights(monkeypatch, tmp_path):
    """The stand-in's weights at the variable, and what is expected of them."""
    file = tmp_path / "weights.pth"
    file.write_bytes(b"2.0")
    monkeypatch.setenv("GANZOO_INCEPTION_WEIGHTS", str(file))
    expected = replace(model.INCEPTION, sha256=hashlib.sha256(b"2.0").hexdigest())
    monkeypatch.setattr(model, "INCEPTION", expected)
    return file


def test_it_is_an_extractor_with_classes(library, weights):
    extractor = load_extractor("inception")
    features = extractor.network(torch.rand(120, 1, 5, 5) * 2 - 1)
    assert features.shape == (120, 6) and not features.requires_grad and StandIn.largest == model.AT_ONCE
    assert extractor.network.classify(features).shape == (120, len(extractor.classes)) == (120, 1008)
    assert torch.equal(
        extractor.network(torch.zeros(1, 3, 4, 4)), extractor.network(torch.zeros(1, 1, 4, 4))
    )  # grey is the same grey thrice


def test_logits_have_no_bias(library, weights):
    """As the inception score is taken: torch-fidelity calls them `logits_unbiased`."""
    assert load_extractor("inception").network.classify(torch.zeros(1, 6)).abs().max() == 0


def test_images_are_rounded_to_bytes():
    images = torch.tensor([-1.0, -0.999, 0.0, 1.0, 1.5]).reshape(1, 1, 1, 5)
    assert model.as_bytes(images)[0, 2, 0].tolist() == [0, 0, 128, 255, 255]
    with pytest.raises(UsageError, match="not \\(1, 2, 4, 4\\)"):
        model.as_bytes(torch.zeros(1, 2, 4, 4))


def test_the_fingerprint_tells_weights_apart(library, weights, monkeypatch):
    first = load_extractor("inception").fingerprint
    weights.write_bytes(b"3.0")
    monkeypatch.setattr(model, "INCEPTION", replace(model.INCEPTION, sha256=hashlib.sha256(b"3.0").hexdigest()))
    assert len(first) == 64 and load_extractor("inception").fingerprint != first


def test_other_weights_are_never_read(library, weights):
    weights.write_bytes(b"4.0")
    with pytest.raises(CheckpointError, match="its sha256 is not"):
        registry().get("extractors", "inception")()


def test_an_absent_file_is_said(library, weights):
    weights.unlink()
    with pytest.raises(CheckpointError, match="cannot be read"):
        registry().get("extractors", "inception")()


def test_weights_are_fetched_into_torchs_folder_once(library, monkeypatch, tmp_path):
    asked = []

    def download(url, destination, hash_prefix, progress):
        asked.append((url, hash_prefix))
        with open(destination, "wb") as file:
            file.write(b"2.0")

    expected = replace(model.INCEPTION, sha256=hashlib.sha256(b"2.0").hexdigest())
    monkeypatch.delenv("GANZOO_INCEPTION_WEIGHTS", raising=False)
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    monkeypatch.setattr(torch.hub, "download_url_to_file", download)
    assert model.checked(expected) == model.checked(expected) == b"2.0"
    assert asked == [(expected.url, expected.sha256)]


def test_a_fetch_that_fails_says_how_to_give_the_file(library, monkeypatch, tmp_path):
    def download(*_, **__):
        raise OSError("no\nnetwork")

    monkeypatch.delenv("GANZOO_CLIP_WEIGHTS", raising=False)
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    monkeypatch.setattr(torch.hub, "download_url_to_file", download)
    with pytest.raises(GanzooError, match="no network.*set GANZOO_CLIP_WEIGHTS to the file") as caught:
        registry().get("extractors", "clip-vit-b-32")()
    assert "\n" not in str(caught.value)


def test_a_missing_library_is_said(monkeypatch):
    def version(name):
        raise importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(importlib.metadata, "version", version)
    with pytest.raises(PluginError, match="extra 'inception'"):
        registry().get("extractors", "inception")()


def test_an_old_library_is_said(monkeypatch):
    monkeypatch.setattr(importlib.metadata, "version", lambda name: "0.3.0")
    with pytest.raises(PluginError, match="0.3.0 is too old"):
        registry().get("extractors", "inception")()


def test_a_broken_torchvision_is_said_in_one_line(monkeypatch, tmp_path):
    (tmp_path / "torch_fidelity.py").write_text("raise RuntimeError('operator torchvision::nms\\n does not exist')")
    monkeypatch.delitem(sys.modules, "torch_fidelity", raising=False)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(importlib.metadata, "version", lambda name: "0.4.0")
    with pytest.raises(PluginError, match="RuntimeError: operator torchvision::nms does not exist") as caught:
        registry().get("extractors", "inception")()
    assert "\n" not in str(caught.value)


def test_published_hashes_are_those_of_their_addresses():
    assert "6726825d" in model.INCEPTION.url and model.INCEPTION.sha256.startswith("6726825d")
    assert model.CLIP.sha256 in model.CLIP.url
