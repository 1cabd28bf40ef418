"""Compares images with the images that they should be, one by one: PSNR, SSIM, MS-SSIM, mean absolute error, LPIPS.

Each function takes float images and truths (N, C, H, W) in [low, high], by default [-1, 1], and returns one number an
image (N,), float64. Computed in float64. The attribute `lower_is_better` gives the direction, `least` the shortest side
that an image may have.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from ganzoo.errors import UsageError
from ganzoo.metrics import directions
from ganzoo.metrics.lpips import default_network

WINDOW, SIGMA, K1, K2 = 11, 1.5, 0.01, 0.03  # Wang et al. 2004, section III-B
SCALES = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)  # Wang et al. 2003, section III
LUMA = (65.481, 128.553, 24.966, 16.0)  # ITU-R BT.601, studio range: of red, green, blue in [0, 1], and black; of 255
Paired = Callable[..., Tensor]
PAIRED: dict[str, Any] = {}  # by name, in the order of this module


def known_as(name: str, *, least: int = 1) -> Callable[[Paired], Any]:
    """Puts a metric into the table, with its direction and the shortest side of its images."""

    def state(metric: Any) -> Any:
        metric.lower_is_better, metric.least = directions.PAIRED[name], least
        PAIRED[name] = metric
        return metric

    return state


@dataclass(frozen=True)
class ComparedPart:
    """The part of images that is compared: without `border` pixels at each edge, and with `luma` their Y channel alone.

    Papers of super-resolution crop as many pixels as their scale and compare Y of BT.601 in [16, 235]; images of one
    channel are compared as they are, as BasicSR does.
    """

    luma: bool = False
    border: int = 0

    def __call__(self, images: Tensor, *, low: float = -1.0, high: float = 1.0) -> Tensor:
        """Returns the part of images (N, C, H, W) in [low, high]: (N, 1 or C, h, w) in the same range, float64 if luma.

        UsageError if nothing is left, or for Y of images with alpha.
        """
        if self.border:
            if min(images.shape[2:]) <= 2 * self.border:
                sides = " x ".join(map(str, images.shape[2:]))
                raise UsageError(f"Nothing of {sides} pixels is left without a border of {self.border}.")
            images = images[:, :, self.border : -self.border, self.border : -self.border]
        if not self.luma or images.shape[1] == 1:
            return images
        if images.shape[1] != 3:
            raise UsageError(f"Y is computed of red, green and blue, and the images have {images.shape[1]} channels.")
        weights = torch.tensor(LUMA[:3], dtype=torch.float64, device=images.device).view(1, 3, 1, 1)
        unit = (images.double() - low) / (high - low)
        return ((unit * weights).sum(1, keepdim=True) + LUMA[3]) / 255 * (high - low) + low


WHOLE = ComparedPart()


@known_as("psnr")
def psnr(images: Tensor, truth: Tensor, *, low: float = -1.0, high: float = 1.0) -> Tensor:
    """Returns the peak signal-to-noise ratio of each image in dB, the peak being high − low; infinity for equal images.

    The mean square is over all channels and pixels of the image.
    """
    images, truth = _in_unit_range(images, truth, low, high)
    return -10 * torch.log10((images - truth).square().flatten(1).mean(1))


@known_as("l1")
def l1(images: Tensor, truth: Tensor, *, low: float = -1.0, high: float = 1.0) -> Tensor:
    """Returns the mean absolute difference of each image from its truth, as a share of high − low."""
    images, truth = _in_unit_range(images, truth, low, high)
    return (images - truth).abs().flatten(1).mean(1)


@known_as("ssim", least=WINDOW)
def ssim(images: Tensor, truth: Tensor, *, low: float = -1.0, high: float = 1.0) -> Tensor:
    """Returns the structural similarity of each image, at most 1 (Wang et al. 2004).

    A Gaussian window of 11 × 11 pixels with deviation 1.5, K1 = 0.01, K2 = 0.03, on every channel by itself, then the
    mean. Windows that lie within the image count, as in the paper's `ssim_index.m` and in scikit-image with
    `gaussian_weights=True, sigma=1.5, use_sample_covariance=False`. torchmetrics also counts windows over the edges of
    the image, which it reflects.
    """
    similarity, _ = _similarity(*_in_unit_range(images, truth, low, high))
    return similarity


@known_as("ms-ssim", least=WINDOW * 2 ** (len(SCALES) - 1))
def ms_ssim(images: Tensor, truth: Tensor, *, low: float = -1.0, high: float = 1.0) -> Tensor:
    """Returns the structural similarity of each image over five scales, from 0 to 1 (Wang et al. 2003).

    Contrast and structure count at each scale, luminance at the coarsest. Images are halved by means of 2 × 2 pixels;
    negative similarities count as 0, as in torchmetrics. Windows as in `ssim`.
    """
    images, truth = _in_unit_range(images, truth, low, high)
    product = torch.ones(len(images), dtype=torch.float64)
    for number, weight in enumerate(SCALES):
        if number:
            images, truth = functional.avg_pool2d(images, 2), functional.avg_pool2d(truth, 2)
        whole, contrast = _similarity(images, truth)
        product = product * (whole if number == len(SCALES) - 1 else contrast).clamp(min=0) ** weight
    return product


@known_as("lpips", least=32)
def lpips(images: Tensor, truth: Tensor, *, low: float = -1.0, high: float = 1.0) -> Tensor:
    """Returns the distance of the deep features of each image from those of its truth (Zhang et al. 2018), 0 if equal.

    AlexNet and the heads of version 0.1. The weights are read as `ganzoo.metrics.lpips.default_network` says.
    """
    images, truth = _in_unit_range(images, truth, low, high)
    return default_network()((images * 2 - 1).float(), (truth * 2 - 1).float()).double()


def _in_unit_range(images: Tensor, truth: Tensor, low: float, high: float) -> tuple[Tensor, Tensor]:
    """Converts both to float64 in [0, 1]; UsageError for images that cannot be compared."""
    if images.shape != truth.shape or images.dim() != 4:
        raise UsageError(
            f"Images of shape {tuple(images.shape)} cannot be compared with those of shape {tuple(truth.shape)}."
        )
    if not high > low:
        raise UsageError(f"The range of images goes from low to high, not from {low} to {high}.")
    converted = [(one.detach().cpu().double() - low) / (high - low) for one in (images, truth)]
    if not all(bool(((one >= -1e-3) & (one <= 1 + 1e-3)).all()) for one in converted):  # NaN is in no range
        raise UsageError(f"Images must lie within [{low:g}, {high:g}], as they were said to.")
    return converted[0], converted[1]


def _similarity(images: Tensor, truth: Tensor) -> tuple[Tensor, Tensor]:
    """Returns (similarity, its part of contrast and structure) of images in [0, 1], each (N,)."""
    if min(images.shape[2:]) < WINDOW:
        sides = " x ".join(map(str, images.shape[2:]))
        raise UsageError(f"Structural similarity needs {WINDOW} x {WINDOW} pixels, at each scale; here are {sides}.")
    channels = images.shape[1]
    place = torch.arange(WINDOW, dtype=torch.float64) - WINDOW // 2
    weights = torch.exp(-place.square() / (2 * SIGMA**2))
    weights = (weights / weights.sum()).expand(channels, 1, -1)

    def blurred(values: Tensor) -> Tensor:
        rows = functional.conv2d(values, weights[:, :, :, None], groups=channels)
        return functional.conv2d(rows, weights[:, :, None, :], groups=channels)

    mean, true_mean = blurred(images), blurred(truth)
    variance = (blurred(images.square()) - mean.square()).clamp(min=0)
    true_variance = (blurred(truth.square()) - true_mean.square()).clamp(min=0)
    covariance = blurred(images * truth) - mean * true_mean
    contrast = (2 * covariance + K2**2) / (variance + true_variance + K2**2)
    luminance = (2 * mean * true_mean + K1**2) / (mean.square() + true_mean.square() + K1**2)
    return (luminance * contrast).flatten(1).mean(1), contrast.flatten(1).mean(1)
