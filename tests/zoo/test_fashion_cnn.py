"""The embedded extractor: its file, its preprocessing and its accuracy."""

import hashlib
import subprocess
import sys

import numpy
import pytest
import torch

from ganzoo import ImageSpec
from ganzoo.data import load_images
from ganzoo.errors import CheckpointError, UsageError
from ganzoo.registry.registry import registry
from ganzoo_plugins.fashion_cnn.model import CLASSES, FILE, GREY, SHA256, FashionCNN, LargestOfFour, prepared


@pytest.fixture(scope="module")
def network():
    return registry().get("extractors", "fashion-cnn")()


@pytest.fixture(scope="module")
def unseen(tmp_path_factory):
    cache = tmp_path_factory.mktemp("cache")
    return load_images("fashion-mnist-test", size=28, datasets=registry().table("datasets"), cache=cache)


def test_the_file_is_small_and_the_one_that_is_named():
    assert FILE.stat().st_size < 2**19
    assert hashlib.sha256(FILE.read_bytes()).hexdigest() == SHA256


def test_it_names_at_least_92_percent_of_the_test_images_rightly(network, unseen):
    images = unseen.images[:4000].permute(0, 3, 1, 2) / 127.5 - 1
    with torch.inference_mode():
        right = network.logits(images).argmax(1) == unseen.labels[:4000]
    assert right.double().mean() >= 0.92
    assert network.classes == unseen.classes == CLASSES


def test_features_do_not_depend_on_the_batch(network):
    images = torch.rand(7, 1, 28, 28, generator=torch.Generator().manual_seed(0)) * 2 - 1
    whole = network(images)
    parts = torch.cat([network(images[:3]), network(images[3:])])
    assert whole.shape == (7, 128) and whole.dtype == torch.float32 and not whole.requires_grad
    assert torch.allclose(whole, parts, rtol=1e-5, atol=1e-5)
    assert torch.equal(network.classify(whole), network.logits(images))


@pytest.mark.parametrize("size", [(28, 28), (7, 7), (9, 4), (2, 3)])
def test_its_maxima_are_those_of_torch_to_the_last_bit(size):
    images = torch.randn(3, 5, *size, generator=torch.Generator().manual_seed(0))
    images[0, 0, 0, 0] = torch.nan
    expected = torch.nn.MaxPool2d(2)(images)
    assert torch.equal(LargestOfFour()(images).nan_to_num(99), expected.nan_to_num(99))
    assert expected[0, 0, 0, 0].isnan() and expected[1].isfinite().all()


@pytest.mark.parametrize("size", [8, 28, 32, 64, 100])
def test_any_size_and_channels(network, size):
    grey = torch.full((2, 1, size, size), 0.25)
    assert torch.allclose(prepared(grey), torch.full((2, 1, 28, 28), 0.25), atol=1e-6)
    assert torch.allclose(network(grey.expand(2, 3, size, size)), network(grey), atol=1e-4)
    assert network(grey).shape == (2, 128)


def test_images_of_its_own_size_are_not_touched():
    images = torch.rand(2, 1, 28, 28)
    assert torch.equal(prepared(images), images)


def test_making_smaller_averages_instead_of_skipping():
    board = (torch.arange(56)[:, None] + torch.arange(56)) % 2 * 2.0 - 1
    assert prepared(board[None, None]).abs().max() < 0.2


def test_grey_is_that_of_the_standard():
    colour = torch.tensor([1.0, -1.0, 0.5])[None, :, None, None].expand(1, 3, 28, 28)
    assert torch.allclose(prepared(colour), torch.tensor(numpy.dot(GREY, [1, -1, 0.5])).float(), atol=1e-6)


@pytest.mark.parametrize("shape", [(1, 28, 28), (1, 2, 28, 28)])
def test_other_shapes_are_refused(network, shape):
    with pytest.raises(UsageError, match="fashion-cnn takes images"):
        network(torch.zeros(shape))


def test_a_damaged_or_missing_file_is_refused(tmp_path):
    data = bytearray(FILE.read_bytes())
    data[-1] ^= 1
    (tmp_path / "weights").write_bytes(data)
    with pytest.raises(CheckpointError, match="damaged"):
        FashionCNN.pretrained(tmp_path / "weights")
    with pytest.raises(CheckpointError, match="cannot be read"):
        FashionCNN.pretrained(tmp_path / "missing")


def test_asking_for_the_hook_imports_no_torch():
    source = (
        "import sys; from ganzoo.registry.registry import registry; "
        "print(registry().names('extractors'), 'torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", source], capture_output=True, text=True, check=True)
    assert done.stdout.strip().endswith("False") and "fashion-cnn" in done.stdout


@pytest.mark.parametrize(
    ("image", "classes", "suited"),
    [
        (ImageSpec(28, 1, 10), CLASSES, True),
        (ImageSpec(32, 1), (), True),
        (ImageSpec(32, 1, 2), ("Bag", "Coat"), True),
        (ImageSpec(32, 1, 3), ("0", "1", "2"), True),
        (ImageSpec(32, 1, 2), ("Bag", "cat"), False),
        (ImageSpec(32, 3, 10), CLASSES, False),
        (ImageSpec(64, 1), (), False),
        (ImageSpec(16, 1), (), False),
    ],
)
def test_it_is_for_small_grey_garments(network, image, classes, suited):
    assert network.suits(image, classes) is suited and "28 to 32" in network.purpose
