"""The stages of Real-ESRGAN's degradation after its sharpening, of images (N, C, H, W) in [0, 1] on any device."""

from __future__ import annotations

import math
from functools import cache

import torch
from torch import Tensor
from torch.nn import functional

from ganzoo.networks import filtered

from .degrade_kernels import LARGEST
from .pixels import luma

MODES = ("area", "bilinear", "bicubic")

# The quantization tables of JPEG's annex K, where BasicSR has them: rows and columns are exchanged.
LUMINANCE = (
    (16, 12, 14, 14, 18, 24, 49, 72), (11, 12, 13, 17, 22, 35, 64, 92), (10, 14, 16, 22, 37, 55, 78, 95),
    (16, 19, 24, 29, 56, 64, 87, 98), (24, 26, 40, 51, 68, 81, 103, 112), (40, 58, 57, 87, 109, 104, 121, 100),
    (51, 60, 69, 80, 103, 113, 120, 103), (61, 55, 56, 62, 77, 92, 101, 99),
)  # fmt: skip
CHROMINANCE = ((17, 18, 24, 47), (18, 21, 26, 66), (24, 26, 56, 99), (47, 66, 99, 99))  # 99 elsewhere
Colours = tuple[tuple[float, float, float], ...]
TO_YCBCR: Colours = ((0.299, 0.587, 0.114), (-0.168736, -0.331264, 0.5), (0.5, -0.418688, -0.081312))
TO_RGB: Colours = ((1.0, 0.0, 1.402), (1.0, -0.344136, -0.714136), (1.0, 1.772, 0.0))


def blurred(image: Tensor, kernel: Tensor, size: float) -> Tensor:
    """Filters an image by the inner `size` pixels of a kernel (21, 21), which hold all that is not 0."""
    start = (LARGEST - int(size)) // 2
    return filtered(image, kernel[None, start : LARGEST - start, start : LARGEST - start]) if size > 1 else image


def resized(image: Tensor, mode: float, scale: float | None = None, size: tuple[int, int] | None = None) -> Tensor:
    """Resizes by a scale or to (height, width), without antialiasing; `mode` is a place in MODES."""
    if scale == 1 or size == tuple(image.shape[2:]):
        return image
    return functional.interpolate(image, size=size, scale_factor=scale, mode=MODES[int(mode)])


def noisy(image: Tensor, gaussian: float, level: float, grey: float, random: torch.Generator) -> Tensor:
    """Adds Gaussian noise, or that of photons, and clamps."""
    add = gaussian_noise if gaussian else poisson_noise
    return add(image, level, bool(grey), random)


def compressed(image: Tensor, quality: float) -> Tensor:
    """Compresses an image as JPEG of one quality."""
    return jpeg(image, image.new_full((1,), quality))


def gaussian_noise(images: Tensor, sigma: float | Tensor, grey: bool, random: torch.Generator) -> Tensor:
    """Adds normal noise of the deviation `sigma` in 255ths, the same in all channels if `grey`, and clamps."""
    shape = (len(images), 1, *images.shape[2:]) if grey else images.shape
    noise = torch.randn(shape, generator=random, device=images.device, dtype=images.dtype)
    return (images + noise * (sigma / 255)).clamp_(0, 1)


def poisson_noise(images: Tensor, scale: float | Tensor, grey: bool, random: torch.Generator) -> Tensor:
    """Adds `scale` times the noise of counting photons, that of the brightness in all channels if `grey`, and clamps.

    The most photons of a pixel are the least power of 2 from the number of an image's different levels on, of 256.
    """
    light = luma(images) if grey and images.shape[1] == 3 else images
    levels = (light * 255).round_().clamp_(0, 255)
    light, most = levels / 255, photons(levels)
    noise = torch.poisson(light * most, generator=random) / most - light
    return (images + scale * noise).clamp_(0, 1)


def photons(levels: Tensor) -> Tensor:
    """The least power of 2 from the number of different whole numbers 0 to 255 in each image on, (N, 1, 1, 1)."""
    seen = torch.zeros(len(levels), 256, device=levels.device)
    count = seen.scatter_(1, levels.flatten(1).long(), 1.0).sum(1, keepdim=True)
    powers = 2.0 ** torch.arange(8, device=levels.device)
    return (2.0 ** (count > powers).sum(1)).view(-1, 1, 1, 1)


def jpeg(images: Tensor, quality: Tensor) -> Tensor:
    """Compresses and decompresses grey or RGB images as JPEG of a `quality` (N,) from above 0 to 100, 4:2:0.

    As DiffJPEG in BasicSR's utils/diffjpeg.py with torch.round: colours are halved by means and doubled by repetition,
    tables are not rounded, and the right and lower border is filled up with black.
    """
    height, width = images.shape[2:]
    percent = torch.where(quality < 50, 5000 / quality, 200 - 2 * quality).clamp_min(1)  # of 100 it would be 0
    factor = percent[:, None, None, None] / 100
    padded = functional.pad(images, (0, -width % 16, 0, -height % 16)) * 255
    tables = _tables(images.device)
    if images.shape[1] == 1:
        found = _quantized(padded, tables[0] * factor)
    else:
        colours = _mixed(padded, TO_YCBCR)
        bright = _quantized(colours[:, :1], tables[0] * factor)
        halved = functional.avg_pool2d(colours[:, 1:], 2) + 128
        tinted = _quantized(halved, tables[1] * factor) - 128
        doubled = functional.interpolate(tinted, scale_factor=2.0, mode="nearest")
        found = _mixed(torch.cat([bright, doubled], 1), TO_RGB)
    return found[:, :, :height, :width].clamp(0, 255) / 255


def _mixed(images: Tensor, matrix: Colours) -> Tensor:
    """Images (N, 3, H, W) whose colours are those of `images` times a matrix."""
    return (_on(images.device, matrix) @ images.flatten(2)).view(images.shape)


def _quantized(planes: Tensor, table: Tensor) -> Tensor:
    """Planes (N, C, H, W) in 0 to 255 after each block of 8 x 8 was a whole multiple of `table` (N, 1, 1, 64)."""
    n, channels, height, width = planes.shape
    cosines = _cosines(planes.device)
    blocks = planes.view(n, channels, height // 8, 8, width // 8, 8).transpose(3, 4).reshape(n, channels, -1, 64)
    frequencies = ((blocks - 128) @ cosines.t() / table).round_() * table
    blocks = frequencies @ cosines + 128
    return blocks.view(n, channels, height // 8, width // 8, 8, 8).transpose(3, 4).reshape(planes.shape)


@cache
def _on(device: torch.device, matrix: Colours) -> Tensor:
    return torch.tensor(matrix, device=device, dtype=torch.float32)


@cache
def _cosines(device: torch.device) -> Tensor:
    """The cosine transform of a block (64,), an orthogonal matrix (64, 64)."""
    frequency, place = torch.arange(8.0, dtype=torch.float64)[:, None], torch.arange(8.0, dtype=torch.float64)
    line = torch.cos((2 * place + 1) * frequency * math.pi / 16) / 2
    line[0] /= math.sqrt(2)
    return torch.kron(line, line).float().to(device)


@cache
def _tables(device: torch.device) -> tuple[Tensor, Tensor]:
    """The tables of brightness and of colours, (64,) each."""
    colours = torch.full((8, 8), 99.0)
    colours[:4, :4] = torch.tensor(CHROMINANCE)
    return torch.tensor(LUMINANCE, dtype=torch.float32).view(64).to(device), colours.view(64).to(device)
