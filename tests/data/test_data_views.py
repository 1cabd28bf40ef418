"""Training sees crops and mirror images, one draw for all pictures of a row; evaluation sees each row whole."""

import numpy
import pytest
import torch
from PIL import Image
from translation import load, noise

from ganzoo.data import Batches, ImageData, load_images
from ganzoo.data.batches import mean_image
from ganzoo.data.sources import Data


def larger(count=12, size=12, view=8, channels=3, **fields) -> ImageData:
    """Images of `size` pixels, where pixel (y, x) of image k holds (k, y, x), and empty views."""
    images = torch.zeros(count, size, size, channels, dtype=torch.uint8)
    images[..., 0] = torch.arange(count).view(-1, 1, 1)
    images[..., 1] = torch.arange(size).view(1, -1, 1)
    images[..., 2] = torch.arange(size).view(1, 1, -1)
    views = {"images.view": torch.zeros(count, view, view, channels, dtype=torch.uint8), **fields}
    return ImageData(images, None, (), "set", "0" * 64, fields=views)


def as_bytes(images):
    return ((images + 1) * 127.5).round().int()


def test_crops_are_parts_of_the_larger_image_anywhere_in_it():
    batches = Batches(larger(), batch_size=12, seed=0)
    corners = set()
    for number in range(40):
        images = as_bytes(batches.sample(number)["output"])
        assert images.shape == (12, 3, 8, 8) and images[:, 0, 0, 0].tolist() == batches.indices(number).tolist()
        corner = images[:, 1:, :1, :1]
        steps = torch.stack(torch.meshgrid(torch.arange(8), torch.arange(8), indexing="ij"))
        assert (images[:, 1:] == corner + steps).all(), "rows and columns follow each other"
        corners |= {tuple(one) for one in corner.flatten(1).tolist()}
    assert corners == {(y, x) for y in range(5) for x in range(5)}, "every place, the last ones too"


def test_crops_depend_on_seed_and_number_alone_and_parts_are_those_of_the_whole():
    batches, again = (Batches(larger(), batch_size=6, seed=3, mirror=True) for _ in range(2))
    wanted = [batches.sample(number)["output"] for number in range(6)]
    for number in (5, 0, 3, 3):
        parts = [again.sample(number, part)["output"] for part in (slice(0, 2), slice(2, 6))]
        assert torch.cat(parts).equal(wanted[number])
    other = Batches(larger(), batch_size=6, seed=4, mirror=True)
    assert not other.sample(0)["output"].equal(wanted[0])


def test_the_output_stream_is_that_of_images_without_crops():
    """Order and mirroring stay, so that a run with crops sees the same images in the same order."""
    cropped, whole = Batches(larger(), batch_size=5, seed=1), Batches(larger(size=8), batch_size=5, seed=1)
    for number in range(5):
        assert cropped.indices(number).equal(whole.indices(number)) and cropped.flips(number).equal(whole.flips(number))


@pytest.mark.parametrize("mirror", [False, True])
@pytest.mark.parametrize("scale", [1, 2, 4])
def test_pairs_share_one_draw_and_corners_are_multiples_of_the_scale(mirror, scale):
    small = torch.randint(0, 256, (6, 6, 6, 3), generator=torch.Generator().manual_seed(0), dtype=torch.uint8)
    big = small.repeat_interleave(scale, 1).repeat_interleave(scale, 2)
    views = {"images.view": big[:, : 4 * scale, : 4 * scale].clone(), "source.view": small[:, :4, :4].clone()}
    data = Data(ImageData(big, None, (), "set", "0" * 64, fields={"source": small, **views}))
    batches = Batches(data, batch_size=6, seed=0, mirror=mirror)
    for number in range(8):
        sample = batches.sample(number)
        again = sample["source"].repeat_interleave(scale, 2).repeat_interleave(scale, 3)
        assert again.equal(sample["output"])


def test_fields_are_the_same_in_whatever_order_they_are_asked_for():
    small = larger(6).images
    data = Data(ImageData(small, None, (), "s", "0" * 64, fields={"source": small, **views(small)}))
    one, other = Batches(data, batch_size=4, seed=0).sample(2), Batches(data, batch_size=4, seed=0).sample(2)
    first = one["source"], one["output"]
    assert other["output"].equal(first[1]) and other["source"].equal(first[0])


def views(images) -> dict:
    return {name: images[:, :8, :8].clone() for name in ("images.view", "source.view")}


def test_independent_sides_are_cropped_and_mirrored_by_streams_of_their_own():
    data = Data(larger(), larger())
    batches = Batches(data, batch_size=12, seed=0, mirror=True)
    output, source = (as_bytes(batches.sample(0)[name]) for name in ("output", "source"))
    assert not output[:, 1:, 0, 0].equal(source[:, 1:, 0, 0]) and not output[:, 0].equal(source[:, 0])
    turned = [(images[:, 2, 0, 1] < images[:, 2, 0, 0]) for images in (output, source)]
    assert not turned[0].equal(turned[1]) and turned[0].equal(batches.flips(0))
    assert output.equal(as_bytes(Batches(larger(), batch_size=12, seed=0, mirror=True).images(0)))


def test_evaluation_sees_each_row_whole_and_never_changes(tmp_path):
    for number in range(6):
        noise(tmp_path / "output" / f"{number}.png", number, (30, 30))
        noise(tmp_path / "source" / f"{number}.png", 10 + number, (30, 30), 1)
    paired = {"source": str(tmp_path / "source"), "size": 16}
    data, plain = load(tmp_path, **paired, load_ratio=286 / 256), load(tmp_path, **paired)
    assert data.output.images.shape == (6, 18, 18, 3) and data.output.fields["source"].shape == (6, 18, 18, 1)
    assert data.spec == plain.spec and data.spec.output.shape == (3, 16, 16)
    view = Batches(data, batch_size=6, seed=0, mirror=True).evaluation(6)
    whole = Batches(plain, batch_size=2, seed=9).evaluation(6)
    assert view["output"].equal(whole["output"]) and view["source"].equal(whole["source"])
    assert mean_image(data).equal(mean_image(plain)) and mean_image(plain).equal(mean_image(plain.output))
    assert len({data.output.fingerprint, plain.output.fingerprint}) == 2


def test_larger_images_without_sources_are_kept_beside_their_view(tmp_path):
    for number in range(3):
        noise(tmp_path / "output" / f"{number}.png", number, (40, 60))
    data = load(tmp_path, inputs={}, size=(16, 24), load_ratio=1.25)
    assert data.output.images.shape == (3, 20, 30, 3) and data.output.view.shape == (3, 16, 24, 3)
    plain = load_images(str(tmp_path / "output"), size=(16, 24), cache=tmp_path / "cache")
    assert data.output.view.equal(plain.images) and not plain.fields
    again = load(tmp_path, inputs={}, size=(16, 24), load_ratio=1.25)
    assert again.output.fingerprint == data.output.fingerprint != plain.fingerprint
    assert Batches(data, batch_size=3, seed=0).sample(0)["output"].shape == (3, 3, 16, 24)


def test_a_smaller_source_is_kept_larger_by_whole_multiples(tmp_path):
    for number in range(3):
        small = noise(tmp_path / "source" / f"{number}.png", number, (9, 9))
        (tmp_path / "output").mkdir(exist_ok=True)
        Image.open(small).resize((18, 18), Image.Resampling.NEAREST).save(tmp_path / "output" / f"{number}.png")
    data = load(tmp_path, source=str(tmp_path / "source"), size=16, source_size=8, load_ratio=9 / 8)
    assert data.output.images.shape[1:3] == (18, 18) and data.output.fields["source"].shape[1:3] == (9, 9)
    sample = Batches(data, batch_size=3, seed=0).sample(0)
    assert sample["source"].repeat_interleave(2, 2).repeat_interleave(2, 3).equal(sample["output"])


def test_transparency_is_a_fourth_channel_from_minus_one_to_one(tmp_path):
    pixels = numpy.zeros((8, 8, 4), numpy.uint8)
    pixels[:4] = (255, 0, 0, 255)
    (tmp_path / "output").mkdir()
    Image.fromarray(pixels).save(tmp_path / "output" / "a.png")
    image = Batches(load(tmp_path, inputs={}, channels=4), batch_size=1, seed=0).sample(0)["output"][0]
    assert image[:, 0, 0].tolist() == [1, -1, -1, 1] and image[:, 7, 7].tolist() == [-1, -1, -1, -1]
