"""How runs measure and show samples that are no images."""

from __future__ import annotations

import math

import pytest
import torch
from PIL import Image

from ganzoo.data.sources import Stream
from ganzoo.files import scatter
from ganzoo.runs.collapse import CollapseDetector, compare
from ganzoo.runs.modalities import modality_of, real_points
from ganzoo.variant import Field, ImageSpec, SampleSpec

ANGLES = torch.arange(8) * (math.pi / 4)
RING = torch.stack([ANGLES.cos(), ANGLES.sin()], 1)
PLANE = SampleSpec(Field((2,), "points"))


class Ring(Stream):
    centres, deviation = RING, 0.05

    def __init__(self):
        super().__init__("ring", PLANE, {})

    def draw(self, count, random):
        return RING[torch.randint(8, (count,), generator=random)] + 0.05 * torch.randn(count, 2, generator=random)


class Blob(Stream):
    def __init__(self):
        super().__init__("blob", PLANE, {})

    def draw(self, count, random):
        return torch.randn(count, 2, generator=random)


def of_modes(*numbers, count=2500):
    noise = torch.randn(count, 2, generator=torch.Generator().manual_seed(0))
    return RING[torch.tensor(numbers)[torch.arange(count) % len(numbers)]] + 0.05 * noise


def test_two_opposite_modes_of_eight_have_collapsed():
    """By the distances between samples they are 80 % diverse."""
    points, real = modality_of(PLANE), real_points(Ring())
    fake = of_modes(0, 4)
    assert compare(fake, real.points)["diversity"] > 0.75
    measured = points.compare(fake, real)
    assert measured["diversity"] == pytest.approx(0.25) and measured["modes"] == 2
    detector, least = CollapseDetector(), points.least_diversity(real)
    lines = [detector.check_samples(step, measured["diversity"], least) for step in (250, 500)]
    assert lines[0] == "" and "25 %" in lines[1] and not detector.is_healthy(measured["diversity"], least)


def test_all_modes_are_healthy_and_a_stream_without_modes_is_measured_by_distance():
    points, real = modality_of(PLANE), real_points(Ring())
    assert points.compare(of_modes(*range(8)), real)["diversity"] > 0.99 > points.least_diversity(real)
    blob = real_points(Blob())
    assert "modes" not in points.compare(blob.points, blob) and points.notes(blob.points, blob) == {}
    assert points.compare(blob.points / 10, blob)["diversity"] == pytest.approx(0.1)
    assert points.least_diversity(blob) == pytest.approx(0.15)


def test_the_final_churn_is_that_of_looks_at_the_fixed_interval():
    points, real = modality_of(PLANE), real_points(Ring())
    left, right = [1.0] + 7 * [0.0], 7 * [0.0] + [1.0]
    looks = [{"step": 250 * one, "shares": left if one % 2 else right} for one in range(1, 5)]
    looks += [{"step": 300, "shares": left}, {"step": 600}]
    assert points.final(lambda n: of_modes(0, count=n), real, looks)["churn"] == 1
    assert "churn" not in points.final(lambda n: of_modes(0, count=n), real, looks[:1])


def test_images_are_measured_as_ever_and_have_no_numbers_of_their_own():
    images = modality_of(ImageSpec(8, 1))
    assert images.look_every == 0 and images.notes(torch.zeros(1, 1, 8, 8), None) == {}
    assert images.final(lambda n: torch.zeros(n, 1, 8, 8), None, []) == {}
    assert images.measurable(torch.zeros(1, 1, 128, 32)).shape == (1, 1, 64, 32)


def pixel(picture, x, y):
    scale = scatter.SIDE / (2 * scatter.EXTENT)
    return picture.convert("RGB").getpixel((int((x + scatter.EXTENT) * scale), int((scatter.EXTENT - y) * scale)))


def test_the_picture_shows_real_points_samples_and_the_field_the_right_way_up():
    field = scatter.field_of(lambda points: points[:, 1] + 3, boundary=3.0)
    assert field.shape == (120, 120) and field[0].min() > 0.5 and field[-1].max() < -0.5  # real above, fake below
    picture = scatter.scatter(torch.tensor([[0.5, 0.5]]), real=torch.tensor([[-0.5, -0.5]]), field=field)
    assert picture.size == (480, 480)
    assert max(pixel(picture, 0.5, 0.5)) < 60 and min(pixel(picture, -0.5, -0.5)) > 230
    red, _, blue = pixel(picture, 0.0, 1.4)
    assert blue > red
    red, _, blue = pixel(picture, 0.0, -1.4)
    assert red > blue


def test_the_field_turns_for_losses_that_give_real_points_the_lower_logits():
    up, down = (scatter.field_of(lambda points: points[:, 0], 0.0, low=low) for low in (False, True))
    assert torch.equal(up, -down) and up.abs().max() <= 1


def test_samples_outside_of_the_window_are_counted_and_nan_draws_nothing():
    fake = torch.tensor([[9.0, 0.0], [math.nan, 0.0], [0.0, 0.0], [0.0, 0.1]])
    with_text, without = scatter.scatter(fake), scatter.scatter(fake[2:])
    assert isinstance(with_text, Image.Image) and with_text.tobytes() != without.tobytes()
