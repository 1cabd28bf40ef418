"""Filters of image batches: a kernel for each image, and the sharpening of Real-ESRGAN's targets."""

from __future__ import annotations

from functools import lru_cache

import torch
from torch import Tensor
from torch.nn import functional


def filtered(images: Tensor, kernels: Tensor) -> Tensor:
    """Correlates images (N, C, H, W) with kernels (N or 1, K, K), K odd, as OpenCV's filter2D does; borders mirror.

    The border is BORDER_REFLECT_101, which does not repeat the outermost pixels, also where a kernel is larger than the
    image. Spectra are multiplied: for 7 to 21 pixels that takes a CPU 1 to 1/20 of a convolution's time.
    """
    height, width = images.shape[2:]
    reach = kernels.shape[-1] // 2
    padded = _mirrored(images, reach)
    size = [_fast(height + 2 * reach), _fast(width + 2 * reach)]
    spectrum = torch.fft.rfft2(padded, s=size) * torch.fft.rfft2(kernels[:, None].flip(2, 3), s=size)
    return torch.fft.irfft2(spectrum, s=size)[:, :, 2 * reach : 2 * reach + height, 2 * reach : 2 * reach + width]


def sharpened(images: Tensor, weight: float = 0.5, window: int = 51, threshold: float = 10.0) -> Tensor:
    """Sharpens images (N, C, H, W) in [-1, 1] beside their edges alone: the unsharp mask of Real-ESRGAN's targets.

    A Gaussian of `window` pixels and OpenCV's width for it, 8 pixels for 51, blurs the images. `weight` times what it
    takes away is added where that exceeds `threshold` 255ths of the range; the same Gaussian softens that mask. As
    USMSharp in BasicSR's utils/img_process_util.py.
    """
    details = images - _smoothed(images, window)
    beside = _smoothed((details.abs() * 127.5 > threshold).to(images.dtype), window)
    return beside * (images + weight * details).clamp(-1, 1) + (1 - beside) * images


def _smoothed(images: Tensor, window: int) -> Tensor:
    """Images after a Gaussian of `window` pixels, as two products with matrices, which take less time than spectra."""
    down, right = (_smoothing(size, window, images.device).to(images.dtype) for size in images.shape[2:])
    with torch.autocast(images.device.type, enabled=False):  # a loss sharpens its targets within a step in bfloat16
        return down @ images @ right.t()


@lru_cache(maxsize=8)
def _smoothing(size: int, window: int, device: torch.device) -> Tensor:
    """The matrix (size, size) that smooths a line of pixels, mirrored at its ends, as `filtered` mirrors images."""
    with torch.inference_mode(False):
        deviation = 0.3 * ((window - 1) / 2 - 1) + 0.8
        line = torch.exp(-0.5 * ((torch.arange(window, dtype=torch.float64) - (window - 1) / 2) / deviation) ** 2)
        places = _back_and_forth(size, window // 2).unfold(0, size, 1)  # of each weight for each pixel
        matrix = torch.zeros(size, size, dtype=torch.float64)
        matrix.scatter_add_(1, places.t(), (line / line.sum()).expand(size, window))
        return matrix.to(device, torch.float32)


def _mirrored(images: Tensor, reach: int) -> Tensor:
    """Images with `reach` more pixels on each side, which run back and forth between the outermost."""
    if reach < min(images.shape[2:]):
        return functional.pad(images, (reach, reach, reach, reach), mode="reflect")
    for axis in (2, 3):
        images = images.index_select(axis, _back_and_forth(images.shape[axis], reach).to(images.device))
    return images


def _back_and_forth(size: int, reach: int) -> Tensor:
    """The places of `size` pixels and of `reach` more on both sides, int64 (size + 2 reach,)."""
    places = torch.arange(-reach, size + reach).remainder(max(2 * (size - 1), 1))
    return torch.minimum(places, 2 * (size - 1) - places).clamp_min(0)


def _fast(size: int) -> int:
    """The least size from this one on that a fast Fourier transform likes: a product of 2, 3 and 5."""
    while True:
        rest = size
        for factor in (2, 3, 5):
            while rest % factor == 0:
                rest //= factor
        if rest == 1:
            return size
        size += 1
