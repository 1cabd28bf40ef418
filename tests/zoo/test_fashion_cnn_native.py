"""The second embedded extractor: its file, its accuracy, and single pixels, which it does not average away."""

import hashlib

import pytest
import torch

from ganzoo import ImageSpec
from ganzoo.data import load_images
from ganzoo.errors import CheckpointError, UsageError
from ganzoo.metrics.features import as_images, extract_by_each, extract_features, load_extractor
from ganzoo.metrics.frechet import frechet_distance
from ganzoo.registry.registry import registry
from ganzoo_plugins.fashion_cnn.native import CLASSES, FILE, SHA256, NativeFashionCNN

COUNT = 3000


@pytest.fixture(scope="module")
def extractor():
    return load_extractor("fashion-cnn-native")


@pytest.fixture(scope="module", params=[28, pytest.param(32, marks=pytest.mark.slow)])
def unseen(request, tmp_path_factory):
    cache = tmp_path_factory.mktemp("cache")
    datasets = registry().table("datasets")
    return load_images("fashion-mnist-test", size=request.param, datasets=datasets, cache=cache)


def test_the_file_is_small_and_the_one_that_is_named(extractor):
    assert FILE.stat().st_size < 300_000
    assert hashlib.sha256(FILE.read_bytes()).hexdigest() == SHA256
    assert extractor.fingerprint != load_extractor("fashion-cnn").fingerprint
    assert not any(weight.requires_grad for weight in extractor.network.parameters())


def test_it_names_at_least_89_percent_of_the_test_images_rightly_at_both_sizes(extractor, unseen):
    with torch.inference_mode():
        right = extractor.network.logits(as_images(unseen.images[:COUNT])).argmax(1) == unseen.labels[:COUNT]
    assert right.double().mean() >= 0.89
    assert extractor.classes == unseen.classes == CLASSES


def test_damage_of_single_pixels_is_farther_from_real_images_than_the_first_extractor_says(extractor, unseen):
    """Noise and a checkerboard of 6 grey levels of 255, in units of the distance between two halves of real images."""
    size = unseen.images.shape[1]
    real, other = as_images(unseen.images[:COUNT]), as_images(unseen.images[COUNT : 2 * COUNT])
    noise = torch.randn(other.shape, generator=torch.Generator().manual_seed(0))
    board = (torch.arange(size)[:, None] + torch.arange(size)) % 2 * 2 - 1
    damaged = [(other + 0.05 * noise).clamp(-1, 1), (other + 0.05 * board).clamp(-1, 1)]
    relative = []
    for own in (extractor, load_extractor("fashion-cnn")):
        base, same, *worse = (extract_features(images.split(500), own, ()) for images in (real, other, *damaged))
        unit = frechet_distance(base.moments, same.moments)
        relative.append([frechet_distance(base.moments, found.moments) / unit for found in worse])
    native, first = relative
    assert all(ours > 2 * theirs for ours, theirs in zip(native, first, strict=True)), relative


@pytest.mark.parametrize("shape", [(28, 28), (32, 32), (40, 30)])
def test_features_are_of_any_size_and_do_not_depend_on_the_batch(extractor, shape):
    images = torch.rand(5, 1, *shape, generator=torch.Generator().manual_seed(0)) * 2 - 1
    whole = extractor.network(images)
    parts = torch.cat([extractor.network(images[:2]), extractor.network(images[2:])])
    assert whole.shape == (5, 128) and whole.dtype == torch.float32 and bool((whole >= 0).all())
    assert torch.allclose(whole, parts, rtol=1e-5, atol=1e-5)
    assert torch.allclose(extractor.network(images.expand(-1, 3, -1, -1)), whole, atol=1e-4)
    assert torch.equal(extractor.classify(whole), extractor.network.logits(images))


@pytest.mark.parametrize("shape", [(1, 28, 28), (1, 2, 28, 28), (1, 1, 7, 28)])
def test_other_shapes_are_refused(extractor, shape):
    with pytest.raises(UsageError, match="fashion-cnn-native takes images"):
        extractor.network(torch.zeros(shape))


def test_a_damaged_file_is_refused(tmp_path):
    data = bytearray(FILE.read_bytes())
    data[-1] ^= 1
    (tmp_path / "weights").write_bytes(data)
    with pytest.raises(CheckpointError, match="damaged"):
        NativeFashionCNN.pretrained(tmp_path / "weights")


@pytest.mark.parametrize(("size", "channels"), [(28, 1), (32, 1), (32, 3), (64, 1)])
def test_it_is_for_the_images_of_the_first(extractor, size, channels):
    first = load_extractor("fashion-cnn").network
    for classes in (CLASSES, (), ("Bag", "cat"), ("0", "1")):
        image = ImageSpec(size, channels)
        assert extractor.network.suits(image, classes) is first.suits(image, classes)
    assert extractor.purpose == first.purpose


def test_two_extractors_in_one_pass_find_what_each_finds_alone(extractor, unseen):
    both = [(load_extractor("fashion-cnn"), ("features", "logits")), (extractor, ())]
    images = as_images(unseen.images[:600]).split(250)
    together = extract_by_each(iter(images), both)
    for (own, needs), found in zip(both, together, strict=True):
        alone = extract_features(images, own, needs)
        assert torch.equal(found.moments.mean, alone.moments.mean)
        assert torch.equal(found.moments.covariance, alone.moments.covariance)
    assert torch.equal(together[0].logits, extract_features(images, *both[0]).logits)
    assert together[1].features is None and together[1].logits is None
