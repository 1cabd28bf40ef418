"""DINOv2 through transformers, if installed: the official code's values, and transformers' own loading."""

from __future__ import annotations

import hashlib
from dataclasses import replace

import pytest
import torch
from golden.from_names import numbers
from golden_values import close, golden
from safetensors.torch import load_file

from ganzoo.errors import PluginError
from ganzoo.metrics.features import extract_features, load_extractor
from ganzoo_plugins.dinov2 import model
from ganzoo_plugins.dinov2 import weights as published

transformers = pytest.importorskip("transformers", "5.0")

TINY = replace(published.SMALL, width=16, depth=2, heads=2)
OFFICIAL = {
    "embeddings.cls_token": "cls_token",
    "embeddings.mask_token": "mask_token",
    "embeddings.position_embeddings": "pos_embed",
    "embeddings.patch_embeddings.projection": "patch_embed.proj",
    "encoder.layer": "blocks",
    "attention.output.dense": "attn.proj",
    "layer_scale1.lambda1": "ls1.gamma",
    "layer_scale2.lambda1": "ls2.gamma",
    "layernorm": "norm",
}
PARTS = ("query", "key", "value")


def official(name: str, shape: tuple[int, ...]) -> torch.Tensor:
    """Returns the official network's tensor for `name` of the published file; query, key and value are one matrix."""
    for ours, theirs in OFFICIAL.items():
        name = name.replace(ours, theirs)
    part = next((number for number, part in enumerate(PARTS) if f".attention.attention.{part}." in name), None)
    if part is None:
        return torch.from_numpy(numbers(name, shape, 1 if len(shape) == 3 else 0))
    name = name.replace(f"attention.attention.{PARTS[part]}", "attn.qkv")
    return torch.from_numpy(numbers(name, (3 * shape[0], *shape[1:]), 0)).chunk(3)[part].contiguous()


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Saves a network of these weights as transformers does: config.json and model.safetensors, 518 pixels."""
    config = transformers.Dinov2Config(
        hidden_size=16, num_hidden_layers=2, num_attention_heads=2, image_size=518, patch_size=14
    )
    network = transformers.Dinov2Model(config)
    found = tmp_path_factory.mktemp("dinov2")
    network.save_pretrained(found)
    return found


@pytest.fixture
def extractor(folder, monkeypatch):
    file = folder / "model.safetensors"
    monkeypatch.setenv("GANZOO_DINOV2_SMALL_WEIGHTS", str(file))
    monkeypatch.setattr(published, "SMALL", replace(TINY, sha256=hashlib.sha256(file.read_bytes()).hexdigest()))
    return load_extractor("dinov2-vit-s-14")


def test_the_network_is_the_official_one():
    """tests/golden/README.md: two small layers at 224 pixels."""
    recorded = golden("dinov2")
    tensors = {name: official(name, shape) for name, shape in published.shapes(TINY).items()}
    network = model.network_of(transformers, TINY, tensors)
    images = torch.from_numpy(numbers("images", (2, 3, 224, 224), 1)).mul(40)
    with torch.inference_mode():
        features = model.DINOv2(network, TINY, "").network(pixel_values=images).last_hidden_state[:, 0]
    assert close(model.interpolated(tensors["embeddings.position_embeddings"]), recorded["positions"])
    assert close(features, recorded["features"])


def test_what_transformers_saves_is_read_and_gives_its_class_token(folder, extractor):
    """Its own reading of the file, with the positions of the official code in place of its own."""
    theirs = transformers.Dinov2Model.from_pretrained(folder).eval()
    positions = theirs.embeddings.position_embeddings
    positions.data = model.interpolated(positions.data)
    images = torch.rand(3, 1, 20, 30, generator=torch.Generator().manual_seed(0)) * 2 - 1
    pixels = model.resized(model.as_bytes(images)).float() / 255
    normalized = (pixels - torch.tensor(model.MEAN)[:, None, None]) / torch.tensor(model.DEVIATION)[:, None, None]
    with torch.inference_mode():
        found = extractor.network(images)
        assert found.shape == (3, 16) and torch.equal(found, theirs(pixel_values=normalized).pooler_output)
        assert torch.equal(found, extractor.network(images.expand(-1, 3, -1, -1)))


def test_the_file_has_the_names_and_shapes_of_the_published_one(folder):
    found = load_file(folder / "model.safetensors")
    assert {name: tuple(tensor.shape) for name, tensor in found.items()} == published.shapes(TINY)


def test_loading_says_nothing_and_draws_nothing_at_random(extractor, capfd):
    state = torch.get_rng_state()
    load_extractor("dinov2-vit-s-14")
    assert capfd.readouterr() == ("", "") and torch.equal(state, torch.get_rng_state())


def test_tensors_that_it_does_not_take_are_said(folder):
    tensors = load_file(folder / "model.safetensors")
    del tensors["layernorm.weight"]
    with pytest.raises(PluginError, match="does not take the tensors.*layernorm.weight"):
        model.network_of(transformers, TINY, tensors)


def test_it_observes(extractor):
    images = [torch.rand(4, 3, 8, 8, generator=torch.Generator().manual_seed(number)) * 2 - 1 for number in range(2)]
    seen = extract_features(images, extractor, ("features",))
    assert seen.features.shape == (8, 16) and seen.features.isfinite().all() and seen.features.std(0).min() > 0
