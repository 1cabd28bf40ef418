"""The embedded extractor of images in colour: its file, its accuracy on unseen motifs, and what it refuses."""

import hashlib

import pytest
import torch

from ganzoo import ImageSpec
from ganzoo.errors import CheckpointError, UsageError
from ganzoo.metrics.features import extract_features, load_extractor
from ganzoo.metrics.frechet import frechet_distance
from ganzoo_plugins.emoji_cnn.model import CLASSES, FILE, SHA256, EmojiCNN


@pytest.fixture(scope="module")
def extractor():
    return load_extractor("emoji-cnn")


def test_the_file_is_small_and_the_one_that_is_named(extractor):
    assert FILE.stat().st_size < 1_100_000
    assert hashlib.sha256(FILE.read_bytes()).hexdigest() == SHA256
    assert extractor.classes == CLASSES and extractor.channels == (3,)
    assert not any(weight.requires_grad for weight in extractor.network.parameters())


@pytest.mark.parametrize("shape", [(32, 32), (64, 64), (96, 70)])
def test_features_are_of_any_size_and_do_not_depend_on_the_batch(extractor, shape):
    images = torch.rand(5, 3, *shape, generator=torch.Generator().manual_seed(0)) * 2 - 1
    whole = extractor.network(images)
    parts = torch.cat([extractor.network(images[:2]), extractor.network(images[2:])])
    assert whole.shape == (5, 128) and whole.dtype == torch.float32 and bool((whole >= 0).all())
    assert torch.allclose(whole, parts, rtol=1e-5, atol=1e-5)
    assert torch.equal(extractor.classify(whole), extractor.network.logits(images))


@pytest.mark.parametrize("shape", [(3, 64, 64), (1, 1, 64, 64), (1, 4, 64, 64)])
def test_other_shapes_are_refused(extractor, shape):
    with pytest.raises(UsageError, match="emoji-cnn takes images"):
        extractor.network(torch.zeros(shape))


def test_a_damaged_file_is_refused(tmp_path):
    data = bytearray(FILE.read_bytes())
    data[-1] ^= 1
    (tmp_path / "weights").write_bytes(data)
    with pytest.raises(CheckpointError, match="damaged"):
        EmojiCNN.pretrained(tmp_path / "weights")


@pytest.mark.parametrize(("size", "channels", "suits"), [(64, 3, True), (32, 3, True), (28, 3, False), (64, 1, False)])
def test_it_is_for_images_in_colour_of_32_pixels_and_more(extractor, size, channels, suits):
    assert extractor.suits_shape(ImageSpec(size, channels), ("face", "animal")) is suits
    assert not extractor.suits_shape(ImageSpec(size, channels), ("cat", "dog"))
    assert not extractor.suits_shape(ImageSpec(size, channels))


def test_colour_counts_where_random_features_see_little_of_it(extractor):
    """Red discs on white are farther from yellow ones than other yellow ones are."""

    def discs(seed, colour):
        random = torch.Generator().manual_seed(seed)
        centre = torch.rand(2, 400, 1, 1, generator=random) * 24 + 20
        radius = torch.rand(400, 1, 1, generator=random) * 8 + 8
        rows, columns = torch.arange(64.0)[:, None], torch.arange(64.0)
        inside = (rows - centre[0]) ** 2 + (columns - centre[1]) ** 2 < radius**2
        return torch.where(inside[:, None], torch.tensor(colour).view(1, 3, 1, 1), torch.ones(1))

    yellow, same, red = ((0, (0.9, 0.6, -0.8)), (1, (0.9, 0.6, -0.8)), (1, (0.8, -0.8, -0.8)))
    moments = [extract_features([discs(*one)], extractor, ()).moments for one in (yellow, same, red)]
    assert frechet_distance(moments[0], moments[2]) > 5 * frechet_distance(moments[0], moments[1])
