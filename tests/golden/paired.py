"""Records PSNR, SSIM and MS-SSIM of torchmetrics, and SSIM of scikit-image, for a few images.

    pip install torchmetrics scikit-image && python tests/golden/paired.py

torchmetrics averages SSIM over all windows of the reflected image; `ssim` here is the mean over those within the image,
from its full map. The last scale of `ms_ssim` is likewise put together from its parts.
"""

from pathlib import Path

import numpy
import torch
from safetensors.torch import save_file
from skimage.metrics import structural_similarity
from torch.nn import functional
from torchmetrics.functional.image import peak_signal_noise_ratio
from torchmetrics.functional.image import structural_similarity_index_measure as similarity

BETAS = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)


def pairs(size: int, channels: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Smooth truths in [0, 1], and images that are shifted, blurred or noisy."""
    random = torch.Generator().manual_seed(size + channels)
    coarse = torch.rand(4, channels, size // 8, size // 8, generator=random, dtype=torch.float64)
    truth = functional.interpolate(coarse, size=(size, size), mode="bicubic").clamp(0, 1)
    noise = torch.randn(truth.shape, generator=random, dtype=torch.float64)
    images = torch.stack(
        [
            (truth[0] + 0.1 * noise[0]).clamp(0, 1),
            truth[1].roll(2, 2),
            functional.avg_pool2d(truth[2:3], 5, 1, 2)[0],
            1 - truth[3],
        ]
    )
    return images, truth


def valid(images: torch.Tensor, truth: torch.Tensor) -> torch.Tensor:
    """SSIM over the windows within each image."""
    _, full = similarity(images, truth, data_range=1.0, reduction="none", return_full_image=True)
    return full[:, :, 5:-5, 5:-5].flatten(1).mean(1)


def multiscale(images: torch.Tensor, truth: torch.Tensor) -> torch.Tensor:
    parts = []
    for _ in BETAS:
        _, contrast = similarity(images, truth, data_range=1.0, reduction="none", return_contrast_sensitivity=True)
        parts.append(contrast)
        last = valid(images, truth)
        images, truth = functional.avg_pool2d(images, 2), functional.avg_pool2d(truth, 2)
    parts[-1] = last
    powers = torch.tensor(BETAS, dtype=torch.float64).view(-1, 1)
    return (torch.stack(parts).relu() ** powers).prod(0)


def skimage(images: torch.Tensor, truth: torch.Tensor) -> torch.Tensor:
    options = dict(gaussian_weights=True, sigma=1.5, use_sample_covariance=False, data_range=1.0, channel_axis=0)
    found = [
        structural_similarity(one.numpy(), other.numpy(), **options) for one, other in zip(images, truth, strict=True)
    ]
    return torch.from_numpy(numpy.array(found))


recorded = {}
for size, channels in ((40, 1), (48, 3), (176, 1)):
    name = f"{size}-{channels}"
    stored = [(one[: 2 if size == 176 else 4] * 255).round().to(torch.uint8) for one in pairs(size, channels)]
    recorded[f"{name}.images"], recorded[f"{name}.truth"] = stored
    images, truth = (one.double() / 255 for one in stored)
    noise = peak_signal_noise_ratio(images, truth, data_range=1.0, reduction="none", dim=(1, 2, 3))
    recorded[f"{name}.psnr"] = noise.flatten()
    recorded[f"{name}.ssim"] = valid(images, truth)
    recorded[f"{name}.skimage"] = skimage(images, truth)
    if size >= 176:
        recorded[f"{name}.ms-ssim"] = multiscale(images, truth)
save_file({name: one.contiguous() for name, one in recorded.items()}, Path(__file__).with_suffix(".safetensors"))
for name, one in recorded.items():
    if one.dim() == 1:
        print(name, one.tolist())
