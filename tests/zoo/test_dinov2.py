"""The extractors `dinov2-vit-s-14` and `dinov2-vit-l-14` with a stand-in for transformers: weights and errors.

Published weights are not tried. The network is in test_dinov2_official.py, what it is shown in test_dinov2_pixels.py.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
import subprocess
import sys
import types
from dataclasses import replace

import numpy
import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import nn

from ganzoo.errors import CheckpointError, GanzooError, PluginError, UsageError
from ganzoo.metrics.features import load_extractor
from ganzoo.registry.registry import registry
from ganzoo_plugins.dinov2 import model
from ganzoo_plugins.dinov2 import weights as published

TINY = replace(published.SMALL, width=4, depth=1, heads=2)


class StandIn(nn.Module):
    """transformers' interface: normalized images (N, 3, 224, 224) to hidden states (N, tokens, D); weights a dict."""

    largest, report = 0, {"missing_keys": set(), "unexpected_keys": set()}

    @classmethod
    def from_pretrained(cls, name, config, state_dict, **options):
        assert name is None and options["dtype"] == torch.float32
        network = cls()
        network.weight = nn.Parameter(state_dict["layernorm.weight"])
        network.positions = state_dict["embeddings.position_embeddings"]
        return network, cls.report

    def forward(self, pixel_values):
        assert pixel_values.shape[1:] == (3, 224, 224) and pixel_values.dtype == torch.float32
        StandIn.largest = max(StandIn.largest, len(pixel_values))
        token = pixel_values.mean((1, 2, 3))[:, None] * self.weight
        return types.SimpleNamespace(last_hidden_state=torch.stack([token, token + 1], 1))


@pytest.fixture
def library(monkeypatch):
    """A transformers of version 5.0.0 that is the stand-in."""
    calls = ("get_verbosity", "set_verbosity", "is_progress_bar_enabled", "disable_progress_bar")
    logging = types.SimpleNamespace(CRITICAL=50, **dict.fromkeys(calls, lambda *_: 0))
    found = types.SimpleNamespace(
        __version__="5.0.0", Dinov2Model=StandIn, Dinov2Config=dict, utils=types.SimpleNamespace(logging=logging)
    )
    monkeypatch.setitem(sys.modules, "transformers", found)
    others = importlib.metadata.version
    monkeypatch.setattr(importlib.metadata, "version", lambda name: "5.0.0" if name == "transformers" else others(name))


@pytest.fixture
def weights(monkeypatch, tmp_path):
    """A file of small weights at the variable, its sha256 as the published one."""
    file = tmp_path / "weights.safetensors"
    save_file({name: torch.full(shape, 0.5) for name, shape in published.shapes(TINY).items()}, file)
    monkeypatch.setenv("GANZOO_DINOV2_SMALL_WEIGHTS", str(file))
    monkeypatch.delenv("GANZOO_DINOV2_SMALL_SHA256", raising=False)
    expect(monkeypatch, file)
    return file


def expect(monkeypatch, file) -> None:
    monkeypatch.setattr(published, "SMALL", replace(TINY, sha256=sha256(file)))


def sha256(file) -> str:
    return hashlib.sha256(file.read_bytes()).hexdigest()


def build():
    return registry().get("extractors", "dinov2-vit-s-14")()


def test_it_is_an_extractor(library, weights):
    extractor = load_extractor("dinov2-vit-s-14")
    features = extractor.network(torch.rand(60, 1, 5, 7) * 2 - 1)
    assert features.shape == (60, 4) and not features.requires_grad and StandIn.largest == model.AT_ONCE
    assert extractor.classes == () and extractor.network.network.positions.shape == (1, 257, 4)
    white = extractor.network(torch.ones(1, 3, 4, 4))[0, 0] / 0.5
    assert white.item() == pytest.approx(
        sum((1 - m) / d for m, d in zip(model.MEAN, model.DEVIATION, strict=True)) / 3, rel=1e-6
    )


def test_the_fingerprint_follows_the_weights_that_were_loaded(library, weights, monkeypatch):
    first = load_extractor("dinov2-vit-s-14").fingerprint
    assert load_extractor("dinov2-vit-s-14").fingerprint == first
    save_file({name: tensor + 1 for name, tensor in load_file(weights).items()}, weights)
    monkeypatch.setenv("GANZOO_DINOV2_SMALL_SHA256", sha256(weights).upper())
    assert load_extractor("dinov2-vit-s-14").fingerprint != first


# -- weights -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("which", "size"), [(published.SMALL, 88_249_960), (published.LARGE, 1_217_522_888)])
def test_the_tensors_are_those_of_the_published_files(which, size):
    """Names and shapes alone give the size of a safetensors file, to the byte: float32 behind a header padded to 8."""
    header, end = {"__metadata__": {"format": "pt"}}, 0
    for name, shape in sorted(published.shapes(which).items()):
        start, end = end, end + 4 * int(numpy.prod(shape))
        header[name] = {"dtype": "F32", "shape": list(shape), "data_offsets": [start, end]}
    written = len(json.dumps(header, separators=(",", ":")))
    assert 8 + written + -written % 8 + end == size
    assert len(which.commit) == 40 and len(which.sha256) == 64 and which.commit in which.url


def test_other_weights_are_read_only_if_their_sha256_is_stated(library, weights, monkeypatch):
    save_file({name: tensor + 1 for name, tensor in load_file(weights).items()}, weights)
    message = f"it has {sha256(weights)}. If these weights are meant, set GANZOO_DINOV2_SMALL_SHA256 to that"
    with pytest.raises(CheckpointError, match=message) as caught:
        build()
    assert "\n" not in str(caught.value)
    monkeypatch.setenv("GANZOO_DINOV2_SMALL_SHA256", sha256(weights))
    assert build().network.weight.eq(1.5).all()


def test_half_precision_is_widened(library, weights, monkeypatch):
    save_file({name: tensor.half() for name, tensor in load_file(weights).items()}, weights)
    expect(monkeypatch, weights)
    assert build().network.weight.dtype == torch.float32


@pytest.mark.parametrize(("stated", "message"), [("abc", "64 hex digits, not 'abc'"), (None, "names no file")])
def test_a_sha256_that_is_none_or_for_no_file_is_said(library, weights, monkeypatch, stated, message):
    monkeypatch.setenv("GANZOO_DINOV2_SMALL_SHA256", stated or "a" * 64)
    if stated is None:
        monkeypatch.delenv("GANZOO_DINOV2_SMALL_WEIGHTS")
    with pytest.raises(UsageError, match=message):
        build()


def without(tensors):
    return {name: tensor for name, tensor in tensors.items() if name != "layernorm.bias"}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (without, "holds no DINOv2 network of 1 layers of width 4: it has no 'layernorm.bias'"),
        (lambda found: found | {"layernorm.bias": torch.zeros(6)}, r"its 'layernorm.bias' is \(6,\), not \(4,\)"),
        (lambda found: found | {"layernorm.bias": torch.full((4,), torch.nan)}, "not all finite"),
        (lambda found: found | {"layernorm.bias": torch.zeros(4, dtype=torch.int64)}, "not all finite"),
        (lambda found: found | {"classifier.weight": torch.zeros(1), "b": torch.zeros(1)}, "2 more tensors, 'b'"),
    ],
)
def test_a_file_of_another_network_is_said(library, weights, monkeypatch, change, message):
    save_file(change(load_file(weights)), weights)
    expect(monkeypatch, weights)
    with pytest.raises(CheckpointError, match=message):
        build()


def test_a_file_that_is_no_safetensors_is_said_and_never_unpickled(library, weights, monkeypatch):
    torch.save({"layernorm.bias": torch.zeros(4)}, weights)
    expect(monkeypatch, weights)
    with pytest.raises(CheckpointError, match="is not valid safetensors"):
        build()


def test_an_absent_file_is_said(library, weights):
    weights.unlink()
    with pytest.raises(CheckpointError, match="cannot be read: No such file"):
        build()


@pytest.fixture
def hub(weights, monkeypatch):
    """A Hub client for the stand-in's weights that records requests and has a folder."""
    found = types.SimpleNamespace(asked=[], kept=None, metadata=lambda url: found.asked.append(url))
    monkeypatch.delenv("GANZOO_DINOV2_SMALL_WEIGHTS")
    monkeypatch.setattr("huggingface_hub.try_to_load_from_cache", lambda *names, revision: found.kept)
    monkeypatch.setattr("huggingface_hub.get_hf_file_metadata", lambda url: found.metadata(url))
    monkeypatch.setattr(
        "huggingface_hub.hf_hub_download",
        lambda *names, revision: found.asked.append((*names, revision)) or str(weights),
    )
    return found


def test_the_file_is_fetched_at_its_commit(library, weights, hub):
    build()
    assert hub.asked[1:] == [("facebook/dinov2-small", "model.safetensors", "ed25f3a31f01632728cabb09d1542f84ab7b0056")]
    assert hub.asked[0].endswith(
        "/facebook/dinov2-small/resolve/ed25f3a31f01632728cabb09d1542f84ab7b0056/model.safetensors"
    )


def test_a_file_that_was_fetched_before_is_not_asked_for_but_checked(library, weights, hub):
    hub.kept = str(weights)
    build()
    weights.write_bytes(weights.read_bytes()[:-1])
    with pytest.raises(CheckpointError, match="Delete it, and it is fetched again"):
        build()
    assert not hub.asked


def test_a_fetch_that_fails_says_how_to_give_the_file(library, hub):
    def metadata(url):
        raise OSError("no\nnetwork")

    hub.metadata = metadata
    with pytest.raises(GanzooError, match="OSError: no network.*GANZOO_DINOV2_SMALL_WEIGHTS") as caught:
        build()
    assert "\n" not in str(caught.value) and not hub.asked


# -- the library -------------------------------------------------------------------------------------------------------


def test_a_missing_library_is_said(monkeypatch):
    def version(name):
        raise importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(importlib.metadata, "version", version)
    with pytest.raises(PluginError, match="'dinov2-vit-l-14' needs transformers: .*extra 'dinov2'"):
        registry().get("extractors", "dinov2-vit-l-14")()


def test_an_old_library_is_said(monkeypatch):
    monkeypatch.setattr(importlib.metadata, "version", lambda name: "4.57.6")
    with pytest.raises(PluginError, match="4.57.6 is too old"):
        build()


def test_a_broken_library_is_said_in_one_line(monkeypatch, tmp_path):
    (tmp_path / "transformers.py").write_text("raise ImportError('tokenizers\\n is needed')")
    monkeypatch.delitem(sys.modules, "transformers", raising=False)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(importlib.metadata, "version", lambda name: "5.0.0")
    with pytest.raises(PluginError, match="ImportError: tokenizers is needed") as caught:
        build()
    assert "\n" not in str(caught.value)


def test_a_library_that_leaves_tensors_out_is_said(library, weights, monkeypatch):
    monkeypatch.setattr(StandIn, "report", {"missing_keys": {"layernorm.weight"}})
    with pytest.raises(PluginError, match="does not take the tensors.*layernorm.weight"):
        build()


def test_registering_imports_no_library():
    source = """
import sys
from ganzoo.registry.registry import registry
print("dinov2-vit-l-14" in registry().names("extractors"), {"torch", "transformers"} & set(sys.modules))
"""
    done = subprocess.run([sys.executable, "-c", source], capture_output=True, text=True)
    assert done.stdout.split() == ["True", "set()"], done.stderr
