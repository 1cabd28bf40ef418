"""Low-pass filters and changes of the sampling rate, without aliasing (Karras et al. 2021, section 2, appendix C)."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional

MATRIX_SIDE = 256  # pixels up to which a product of matrices is as fast on a CPU as a convolution of each channel


def low_pass(taps: int, cutoff: float, half_width: float, rate: float, *, radial: bool = False) -> Tensor:
    """Returns a low-pass filter of sum 1 for signals of `rate` samples: (taps,), or (taps, taps) if it is `radial`.

    It is a sinc under Kaiser's window, whose shape follows from the transition band of `half_width` on either side of
    the cutoff (equation 5 and appendix C.2). The radial filter is a jinc under the product of two such windows: the
    same in every direction. All frequencies are cycles per unit of length.
    """
    half = rate / 2
    attenuation = 2.285 * (taps - 1) * math.pi * 2 * half_width / half + 7.95  # Kaiser's estimate, in decibels
    window = torch.kaiser_window(taps, False, beta(attenuation), dtype=torch.float64, device="cpu")
    place = (torch.arange(taps, dtype=torch.float64, device="cpu") - (taps - 1) / 2) / rate
    if radial:
        distance = torch.hypot(place[:, None], place)
        found = torch.special.bessel_j1(2 * math.pi * cutoff * distance) / distance * torch.outer(window, window)
    else:
        found = torch.special.sinc(2 * cutoff * place) * window
    return (found / found.sum()).float().to(torch.get_default_device())


def beta(attenuation: float) -> float:
    """Returns the shape of Kaiser's window that attenuates by so many decibels."""
    if attenuation > 50:
        return 0.1102 * (attenuation - 8.7)
    return 0.5842 * (attenuation - 21) ** 0.4 + 0.07886 * (attenuation - 21) if attenuation > 21 else 0.0


def raised(x: Tensor, taps: Tensor, factor: int, before: int, size: int) -> Tensor:
    """Returns `factor` times the sampling rate on both axes: `size` pixels a side of x (N, C, H, H).

    The numbers stand among zeros, `before` further zeros come first (or are left out), and the filter follows, times
    `factor` so that a constant stays one.
    """
    start = len(taps) - 1 - before
    taps = (taps * factor).to(x.dtype)
    if x.shape[-1] <= MATRIX_SIDE:
        rows = functional.conv_transpose1d(_pixels(x), taps.view(1, 1, -1), stride=factor)
        return _on_both_axes(x, rows[:, 0, start : start + size])
    channels, many = x.shape[1], taps.expand(x.shape[1], 1, -1)
    x = functional.conv_transpose2d(x, many[:, :, None], stride=(1, factor), groups=channels)
    x = functional.conv_transpose2d(x[..., start : start + size], many[..., None], stride=(factor, 1), groups=channels)
    return x[:, :, start : start + size]


def lowered(x: Tensor, taps: Tensor, factor: int) -> Tensor:
    """Returns every `factor`-th pixel of both axes after the filter, without pixels that need others outside x."""
    taps, channels = taps.to(x.dtype), x.shape[1]
    if taps.ndim == 2:
        return functional.conv2d(x, taps.expand(channels, 1, -1, -1), stride=factor, groups=channels)
    if x.shape[-1] <= 2 * MATRIX_SIDE:
        return _on_both_axes(x, functional.conv1d(_pixels(x), taps.view(1, 1, -1), stride=factor)[:, 0])
    many = taps.expand(channels, 1, -1)
    x = functional.conv2d(x, many[:, :, None], stride=(1, factor), groups=channels)
    return functional.conv2d(x, many[..., None], stride=(factor, 1), groups=channels)


def _pixels(x: Tensor) -> Tensor:
    """Returns a signal (H, 1, H) for each pixel of a side of x, which is 1 there and 0 elsewhere."""
    return torch.eye(x.shape[-1], dtype=x.dtype, device=x.device)[:, None]


def _on_both_axes(x: Tensor, rows: Tensor) -> Tensor:
    """Applies to each axis the matrix whose row (H, size) is what becomes of one pixel."""
    return rows.t() @ (x @ rows)


def blurred(images: Tensor, sigma: float) -> Tensor:
    """Blurs images (N, C, H, W) by a Gaussian whose weight halves at `sigma` pixels; outside are zeros.

    It ends at 3 sigma, and below a third of a pixel there is none: the images themselves are returned.
    """
    reach = math.floor(3 * sigma)
    if reach < 1:
        return images
    place = torch.arange(-reach, reach + 1, dtype=images.dtype, device=images.device)
    weights = torch.exp2(-(place / sigma).square())
    weights, channels = weights / weights.sum(), images.shape[1]
    many = weights.expand(channels, 1, -1)
    images = functional.conv2d(images, many[:, :, None], padding=(0, reach), groups=channels)
    return functional.conv2d(images, many[..., None], padding=(reach, 0), groups=channels)
