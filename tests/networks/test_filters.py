"""Filters: a kernel for each image, and the sharpening of Real-ESRGAN's targets, against OpenCV's definition."""

import pytest
import torch
from golden_values import close, golden
from torch.nn import functional

from ganzoo.networks import filtered, sharpened

NUMBERS = golden("degrade")
PICTURE = (NUMBERS["picture"] / 255)[None]


def test_each_image_has_its_kernel_as_in_the_official_code():
    both = torch.cat([PICTURE, 1 - PICTURE])
    assert close(filtered(both, NUMBERS["lopsided"])[:, :, ::3, ::3], NUMBERS["filtered"])
    assert filtered(both, NUMBERS["lopsided"])[1:].equal(filtered(both[1:], NUMBERS["lopsided"][1:]))


@pytest.mark.parametrize(("height", "width"), [(24, 31), (23, 7), (8, 12)])
def test_it_is_a_correlation_of_the_mirrored_image(height, width):
    random = torch.Generator().manual_seed(0)
    images, kernel = torch.rand(2, 3, height, width, generator=random), torch.randn(1, 13, 13, generator=random)
    turned = filtered(images.flip(2, 3).transpose(2, 3), kernel.flip(1, 2).transpose(1, 2)).transpose(2, 3).flip(2, 3)
    assert close(turned, filtered(images, kernel))
    if min(height, width) > 6:  # torch's padding goes no further
        padded = functional.pad(images, (6, 6, 6, 6), mode="reflect").flatten(0, 1)[:, None]
        wanted = functional.conv2d(padded, kernel[None]).view_as(images)
        assert close(filtered(images, kernel), wanted)


@pytest.mark.parametrize("size", [1, 2, 3, 6])
def test_images_smaller_than_the_kernel_are_mirrored_again_and_again(size):
    line = torch.rand(1, 1, 1, size, generator=torch.Generator().manual_seed(size))
    kernel = torch.zeros(1, 21, 21)
    kernel[0, 10, 20] = 1  # moves the image ten pixels to the left
    places = [place % (2 * size - 2 or 1) for place in range(10, 10 + size)]
    wanted = line[..., [min(place, 2 * size - 2 - place) if size > 1 else 0 for place in places]]
    assert close(filtered(line, kernel), wanted)


def test_targets_are_sharpened_as_in_the_official_code():
    found = (sharpened(2 * PICTURE - 1)[0] + 1) / 2
    assert close(found, NUMBERS["sharpened"]) and (found - PICTURE[0]).abs().mean() > 0.02


def test_only_edges_are_sharpened():
    step = torch.full((1, 1, 48, 160), -0.5)
    step[..., 80:] = 0.5
    found = sharpened(step)
    assert found[..., :40].allclose(step[..., :40], atol=1e-5) and found[0, 0, 0, 80] > 0.6 and found.abs().max() <= 1
    assert sharpened(step, weight=0.0).allclose(step, atol=1e-5)
    faint = step / 20  # differs from its blur by less than the threshold
    assert sharpened(faint).allclose(faint, atol=1e-5) and not sharpened(faint, threshold=1).allclose(faint, atol=1e-3)
    narrow = (sharpened(step, window=5) - step)[0, 0, 0].abs()
    assert (narrow[:74] < 1e-5).all() and narrow[80] > 0.05


def test_a_step_in_bfloat16_sharpens_in_float32():
    with torch.autocast("cpu", torch.bfloat16):
        within = sharpened(2 * PICTURE - 1)
    assert within.equal(sharpened(2 * PICTURE - 1))


@pytest.mark.parametrize("size", [5, 30])
def test_images_smaller_than_the_window_are_sharpened_too(size):
    image = torch.rand(1, 1, size, size + 2, generator=torch.Generator().manual_seed(0)) * 2 - 1
    line = torch.exp(-0.5 * ((torch.arange(51.0) - 25) / 8) ** 2)
    kernel = (line[:, None] * line / line.sum() ** 2)[None]
    details = image - filtered(image, kernel)
    beside = filtered((details.abs() * 127.5 > 10).float(), kernel)
    assert close(sharpened(image), beside * (image + details / 2).clamp(-1, 1) + (1 - beside) * image)
