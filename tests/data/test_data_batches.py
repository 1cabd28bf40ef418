"""Minibatches depend on seed and number alone, and treat every image alike."""

import subprocess
import sys

import pytest
import torch

from ganzoo.data import Batches, ImageData
from ganzoo.errors import UsageError


def make(count=10, size=4, channels=3, labelled=True) -> ImageData:
    """Image k holds k in its first byte and noise elsewhere; its label is k modulo 4."""
    images = torch.randint(0, 256, (count, size, size, channels), generator=torch.Generator().manual_seed(0))
    images[:, 0, 0, 0] = torch.arange(count)
    labels = torch.arange(count) % 4 if labelled else None
    return ImageData(images.to(torch.uint8), labels, tuple("abcd"), "set", "0" * 64)


def test_a_batch_is_the_same_whatever_was_asked_before():
    forward = Batches(make(), batch_size=4, seed=3, mirror=True)
    wanted = {number: forward.images(number).clone() for number in range(12)}
    backward = Batches(make(), batch_size=4, seed=3, mirror=True)
    for number in (11, 0, 7, 7, 3, 10, 1, 5):
        assert torch.equal(backward.images(number), wanted[number])
        assert torch.equal(backward.indices(number), forward.indices(number))


def test_neither_global_random_numbers_nor_changes_to_a_result_matter():
    batches = Batches(make(), batch_size=4, seed=3, mirror=True)
    wanted, state = batches.images(1).clone(), torch.get_rng_state()
    torch.manual_seed(99)
    batches.indices(1).zero_()
    batches.images(1).zero_()
    assert torch.equal(batches.images(1), wanted)
    torch.manual_seed(99)
    expected = torch.get_rng_state()
    batches.images(2)
    assert torch.equal(torch.get_rng_state(), expected)
    torch.set_rng_state(state)


@pytest.mark.parametrize("batch_size", [1, 3, 4, 10])
def test_every_image_once_per_epoch_even_across_batches(batch_size):
    batches = Batches(make(), batch_size=batch_size, seed=0)
    stream = torch.cat([batches.indices(number) for number in range(30)])[:30]
    epochs = stream[: len(stream) // 10 * 10].view(-1, 10)
    assert (epochs.sort(1).values == torch.arange(10)).all()
    assert len({tuple(epoch.tolist()) for epoch in epochs}) == len(epochs)


def test_seeds_differ():
    assert not torch.equal(
        Batches(make(), batch_size=10, seed=0).indices(0), Batches(make(), batch_size=10, seed=1).indices(0)
    )


def test_labels_follow_their_images():
    batches = Batches(make(), batch_size=4, seed=0)
    for number in range(8):
        greys = ((batches.images(number)[:, 0, 0, 0] + 1) * 127.5).round().long()
        assert torch.equal(greys, batches.indices(number))
        assert torch.equal(batches.labels(number), greys % 4) and batches.labels(number).dtype == torch.int64
    assert Batches(make(labelled=False), batch_size=4, seed=0).labels(0) is None


@pytest.mark.parametrize("mirror", [False, True])
def test_parts_put_together_are_the_whole(mirror):
    batches = Batches(make(), batch_size=7, seed=0, mirror=mirror)
    parts = [slice(0, 3), slice(3, 6), slice(6, None)]
    for number in range(5):
        assert torch.equal(torch.cat([batches.images(number, part) for part in parts]), batches.images(number))
        assert torch.equal(torch.cat([batches.labels(number, part) for part in parts]), batches.labels(number))
    strided = torch.stack([batches.images(0, slice(0, 6, 2)), batches.images(0, slice(1, 6, 2))], 1).flatten(0, 1)
    assert torch.equal(strided, batches.images(0, slice(0, 6)))


@pytest.mark.parametrize("channels", [1, 3])
def test_pixels_are_exact_and_channels_last(channels):
    data = make(channels=channels)
    batches = Batches(data, batch_size=5, seed=0)
    images = batches.images(0)
    expected = data.images[batches.indices(0)].permute(0, 3, 1, 2).float() / 127.5 - 1
    assert torch.equal(images, expected) and images.dtype == torch.float32
    assert images.shape == (5, channels, 4, 4) and images.is_contiguous(memory_format=torch.channels_last)
    assert images.min() >= -1 and images.max() <= 1


def test_mirroring_turns_about_half_of_the_images_and_nothing_else():
    data = make(100)
    plain, mirrored = (Batches(data, batch_size=100, seed=0, mirror=mirror) for mirror in (False, True))
    turned = 0
    for number in range(5):
        for before, after in zip(plain.images(number), mirrored.images(number), strict=True):
            assert torch.equal(after, before) or torch.equal(after, before.flip(2))
            turned += not torch.equal(after, before)
    assert 200 < turned < 300
    assert torch.equal(data.images, make(100).images)


def test_more_than_the_data_set_in_a_batch_is_refused():
    for batch_size in (11, 0):
        with pytest.raises(UsageError, match="10 images of 'set'"):
            Batches(make(), batch_size=batch_size, seed=0)


def test_pixels_that_stay_behind_are_moved_batch_by_batch():
    """The device without memory stands in for one that is too small; shapes and types are all it can show."""
    batches = Batches(make(), batch_size=4, seed=0, device="meta")
    assert batches.rows.device.type == "cpu"
    assert batches.images(0).device.type == batches.labels(0).device.type == "meta"
    assert batches.images(0).shape == (4, 3, 4, 4)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device, and --cuda")
@pytest.mark.parametrize("room", [True, False])
def test_cuda_gives_the_same_bytes(monkeypatch, room):
    from ganzoo.data import batches as module

    if not room:
        monkeypatch.setattr(module, "fits", lambda rows, device: False)
    here, there = (Batches(make(), batch_size=4, seed=0, device=device, mirror=True) for device in ("cpu", "cuda"))
    assert there.rows.is_cuda == room
    for number in range(6):
        assert torch.equal(there.images(number).cpu(), here.images(number))
        assert torch.equal(there.labels(number).cpu(), here.labels(number))


def test_the_package_imports_nothing_heavy():
    code = (
        "import sys, ganzoo.data; print([n for n in ('torch', 'numpy', 'PIL', 'huggingface_hub') if n in sys.modules])"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert found.strip() == "[]"
