"""Metrics, data and samples under another default dtype of torch: not a bit changes."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch

import ganzoo
from ganzoo.data import Batches, ImageData
from ganzoo.metrics.features import load_extractor
from ganzoo.metrics.moments import Moments
from ganzoo.metrics.precision_recall import precision_recall
from ganzoo.registry.registry import registry


@pytest.fixture
def doubles():
    """Calls a function twice, the second time with torch.float64 as the default dtype of the program around ganzoo."""

    def call(function):
        plain = function()
        torch.set_default_dtype(torch.float64)
        try:
            found = function()
            assert torch.get_default_dtype() == torch.float64
        finally:
            torch.set_default_dtype(torch.float32)
        return plain, found

    return call


def features(seed, shift=0.0):
    random = torch.Generator().manual_seed(seed)
    found = torch.randn(120, 12, generator=random, dtype=torch.float32) + shift
    logits = torch.randn(120, 5, generator=random, dtype=torch.float32)
    moments = Moments(12)
    moments.update(found)
    return SimpleNamespace(features=found, logits=logits, moments=moments, codes=None, labels=None)


@pytest.mark.parametrize("name", registry().names("metrics"))
def test_a_metric_is_the_same_number(name, doubles):
    metric = registry().get("metrics", name)
    plain, found = doubles(lambda: metric(features(1), features(2, 0.3), torch.Generator().manual_seed(0)))
    assert plain == found


def test_precision_and_recall_called_directly_are_the_same(doubles):
    plain, found = doubles(lambda: precision_recall(features(1).features, features(2, 0.3).features))
    assert plain == found


def test_samples_of_a_seed_and_their_features_are_the_same(doubles):
    plain, found = doubles(lambda: ganzoo.load("dcgan.fashion-mnist").sample(3, seed=5))
    assert found.dtype == torch.float32 and torch.equal(plain, found)
    images = plain
    plain, found = doubles(lambda: load_extractor("fashion-cnn").network(images))
    assert torch.equal(plain, found)


def test_batches_are_mirrored_alike(doubles):
    pixels = torch.randint(256, (40, 4, 4, 1), generator=torch.Generator().manual_seed(0)).to(torch.uint8)
    data = ImageData(images=pixels, labels=None, classes=(), name="noise", fingerprint="0" * 64)
    plain, found = doubles(lambda: Batches(data, batch_size=16, seed=3, device="cpu", mirror=True).images(2))
    assert found.dtype == torch.float32 and torch.equal(plain, found)
