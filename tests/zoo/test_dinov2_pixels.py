"""DINOv2's preprocessing: Pillow's resizing of pixels and the official interpolation of positions, against numpy."""

from __future__ import annotations

import numpy
import pytest
import torch
from torch import nn

from ganzoo.errors import UsageError
from ganzoo_plugins.dinov2 import model


def cubic(x: numpy.ndarray, a: float) -> numpy.ndarray:
    """Keys' cubic convolution kernel."""
    x = numpy.abs(x)
    near, far = (a + 2) * x**3 - (a + 3) * x**2 + 1, a * (x**3 - 5 * x**2 + 8 * x - 4)
    return numpy.where(x < 1, near, numpy.where(x < 2, far, 0))


def weights_of_pillow(size: int, to: int) -> numpy.ndarray:
    """Integers (to, size) in units of 2^-22: a cubic of -0.5, as wide as the step between output pixels if above 1."""
    step = size / to
    width = max(step, 1.0)
    centre = (numpy.arange(to) + 0.5) * step
    first, last = (centre - 2 * width + 0.5).astype(int).clip(0), (centre + 2 * width + 0.5).astype(int).clip(max=size)
    pixel = numpy.arange(size)[None]
    found = cubic((pixel + 0.5 - centre[:, None]) / width, -0.5) * ((pixel >= first[:, None]) & (pixel < last[:, None]))
    found /= found.sum(1, keepdims=True)
    return (numpy.sign(found) * numpy.floor(numpy.abs(found) * 2**22 + 0.5)).astype(numpy.int64)


def by_sums(pixels: torch.Tensor) -> numpy.ndarray:
    """(N, C, 224, 224) as Pillow has it: rows first, rounded to bytes, then columns."""
    values = pixels.numpy().astype(numpy.int64)
    for axis in (3, 2):
        if values.shape[axis] != 224:
            scale = weights_of_pillow(values.shape[axis], 224)
            values = numpy.moveaxis(((numpy.moveaxis(values, axis, -1) @ scale.T + 2**21) >> 22).clip(0, 255), -1, axis)
    return values


@pytest.mark.parametrize("shape", [(3, 28, 28), (1, 32, 17), (3, 500, 301), (3, 224, 100), (1, 224, 224), (3, 1, 1)])
def test_pixels_are_those_of_a_cubic_in_whole_numbers(shape):
    pixels = torch.randint(0, 256, (2, *shape), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    found = model.resized(pixels)
    assert found.dtype == torch.uint8 and found.shape == (2, 3, 224, 224)
    assert numpy.array_equal(found.numpy(), numpy.broadcast_to(by_sums(pixels), found.shape))


def test_torchs_antialiased_bicubic_is_the_same_cubic_with_other_roundings():
    """Of bytes it is at most one grey level off; of floats more, where it overshoots between the two directions."""
    pixels = torch.randint(0, 256, (4, 3, 300, 260), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    theirs = nn.functional.interpolate(pixels, (224, 224), mode="bicubic", antialias=True)
    off = (model.resized(pixels).int() - theirs.int()).abs()
    assert off.max() == 1 and off.float().mean() < 0.1
    floats = nn.functional.interpolate(pixels.float(), (224, 224), mode="bicubic", antialias=True).round().clamp(0, 255)
    assert (model.resized(pixels) - floats).abs().max() > 5


def test_grey_is_the_same_grey_thrice_and_rounded_to_bytes():
    images = torch.rand(2, 1, 30, 20, generator=torch.Generator().manual_seed(0)) * 2 - 1
    grey, colour = model.as_bytes(images), model.as_bytes(images.expand(-1, 3, -1, -1))
    assert torch.equal(model.resized(grey), model.resized(colour))
    assert model.as_bytes(torch.tensor([-1.0, -0.999, 0.0, 1.0, 1.5]).reshape(1, 1, 1, 5)).flatten().tolist() == [
        0,
        0,
        128,
        255,
        255,
    ]
    with pytest.raises(UsageError, match="not \\(1, 2, 4, 4\\)"):
        model.as_bytes(torch.zeros(1, 2, 4, 4))


def test_positions_are_those_of_the_official_scale():
    """16.1 / 37 rather than 16 / 37: against a cubic of -0.75 in float64 whose borders repeat."""
    positions = torch.randn(1, 37**2 + 1, 5, generator=torch.Generator().manual_seed(0))
    step = 37 / 16.1
    place = (numpy.arange(16) + 0.5) * step - 0.5
    scale = numpy.zeros((16, 37))
    for tap in range(-1, 3):
        source = numpy.floor(place).astype(int) + tap
        numpy.add.at(scale, (numpy.arange(16), source.clip(0, 36)), cubic(place - source, -0.75))
    plane = positions[0, 1:].double().numpy().reshape(37, 37, 5)
    expected = numpy.einsum("ir,js,rsd->ijd", scale, scale, plane).reshape(256, 5)
    found = model.interpolated(positions)
    assert found.shape == (1, 257, 5) and torch.equal(found[:, 0], positions[:, 0])
    assert numpy.abs(found[0, 1:].numpy() - expected).max() < 2e-5
    to_size = nn.functional.interpolate(
        positions[:, 1:].reshape(1, 37, 37, 5).permute(0, 3, 1, 2), (16, 16), mode="bicubic"
    )
    assert (found[0, 1:] - to_size[0].flatten(1).T).abs().max() > 0.1
