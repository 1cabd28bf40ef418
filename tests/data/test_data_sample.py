"""A minibatch has fields by name, made only when they are asked for; the evaluation view has nothing random."""

import pytest
import torch

from ganzoo.data import Batches, ImageData
from ganzoo.data.sample import LazyFields
from ganzoo.variant import Field, ImageSpec, SampleSpec


def make(count=10, shape=(4, 4, 3), labelled=True) -> ImageData:
    """Image k holds k in its first byte and noise elsewhere; its label is k modulo 4."""
    images = torch.randint(0, 256, (count, *shape), generator=torch.Generator().manual_seed(0), dtype=torch.uint8)
    images[:, 0, 0, 0] = torch.arange(count)
    return ImageData(images, torch.arange(count) % 4 if labelled else None, tuple("abcd"), "set", "0" * 64)


def firsts(images) -> list[int]:
    return ((images[:, 0, 0, 0] + 1) * 127.5).round().int().tolist()


def test_a_field_is_made_once_and_only_when_it_is_asked_for():
    made = []
    fields = LazyFields({name: lambda name=name: made.append(name) or torch.zeros(1) for name in ("output", "source")})
    assert list(fields) == ["output", "source"] and len(fields) == 2 and "source" in fields and "label" not in fields
    assert made == []
    assert fields["source"] is fields["source"] and made == ["source"]
    assert fields.get("mask") is None
    with pytest.raises(KeyError):
        fields["mask"]


@pytest.mark.parametrize("mirror", [False, True])
def test_a_sample_has_the_bits_of_images_and_labels(mirror):
    batches = Batches(make(), batch_size=4, seed=3, mirror=mirror)
    for number in range(6):
        for part in (slice(None), slice(1, 3)):
            sample = batches.sample(number, part)
            assert list(sample) == ["output", "label"]
            assert torch.equal(sample["output"], batches.images(number, part))
            assert torch.equal(sample["label"], batches.labels(number, part))


def test_the_specification_is_that_of_the_data_or_of_the_run():
    assert Batches(make(), batch_size=4, seed=0).spec == ImageSpec(4, 3, 4)
    assert Batches(make(labelled=False), batch_size=4, seed=0).spec == ImageSpec(4, 3)
    unconditional = Batches(make(), batch_size=4, seed=0, spec=ImageSpec(4, 3))
    assert list(unconditional.sample(0)) == list(unconditional.evaluation(2)) == ["output"]


def test_evaluation_takes_rows_from_all_over_the_data_and_nothing_random():
    data = make(100)
    batches = Batches(data, batch_size=100, seed=0, mirror=True)
    rows = batches.evaluation(12)
    assert firsts(rows["output"]) == [0, 9, 18, 27, 36, 45, 54, 63, 72, 81, 90, 99]
    assert rows["label"].tolist() == [row % 4 for row in firsts(rows["output"])]
    expected = data.images[firsts(rows["output"])].permute(0, 3, 1, 2).float() / 127.5 - 1
    assert torch.equal(rows["output"], expected)
    assert torch.equal(Batches(data, batch_size=5, seed=9).evaluation(12)["output"], expected)
    assert torch.equal(batches.evaluation(12, slice(3, 5))["output"], expected[3:5])
    assert firsts(batches.evaluation(1000)["output"]) == list(range(100)), "all rows, if there are fewer"


@pytest.mark.parametrize("shape", [(6, 4, 3), (2, 8, 1), (5, 5, 4)])
def test_images_need_not_be_square_or_opaque(shape):
    height, width, channels = shape
    batches = Batches(make(shape=shape, labelled=False), batch_size=4, seed=0, mirror=True)
    assert batches.spec == SampleSpec(Field((channels, height, width)))
    for images in (batches.sample(0)["output"], batches.evaluation(4)["output"]):
        assert images.shape == (4, channels, height, width)
        assert images.is_contiguous(memory_format=torch.channels_last)


def test_images_that_are_not_square_have_no_single_size():
    data = make(shape=(6, 4, 3))
    assert (data.height, data.width) == (6, 4) and make().size == 4
    with pytest.raises(ValueError, match="6 x 4"):
        _ = data.size
