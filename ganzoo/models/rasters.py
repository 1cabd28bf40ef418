"""Images as files hold them: Pillow images with 8 bits a channel, or uint16 arrays (H, W, C) with 16."""

from __future__ import annotations

from typing import Any, cast

import numpy
import torch
from PIL import Image
from torch import Tensor
from torch.nn import functional

from ganzoo.data.decode import GREY_MODES, as_bad_image, fit
from ganzoo.data.decode import with_alpha as as_rgba
from ganzoo.errors import UsageError
from ganzoo.files.pictures import to_uint8
from ganzoo.files.text import quoted

Raster = Image.Image | numpy.ndarray

LUMA = (0.299, 0.587, 0.114)  # ITU-R 601, as Pillow converts RGB to L


def size_of(raster: Raster) -> tuple[int, int]:
    """The (height, width) of a raster."""
    if isinstance(raster, numpy.ndarray):
        return raster.shape[0], raster.shape[1]
    return raster.height, raster.width


def is_grey(raster: Raster) -> bool:
    """True for grey, with alpha or without."""
    return raster.shape[2] < 3 if isinstance(raster, numpy.ndarray) else raster.mode in GREY_MODES


def has_alpha(raster: Raster) -> bool:
    """True if a pixel may be transparent."""
    if isinstance(raster, numpy.ndarray):
        return raster.shape[2] in (2, 4)
    return raster.mode in ("LA", "La", "PA", "RGBA", "RGBa") or "transparency" in raster.info


def alpha_of(raster: Raster) -> numpy.ndarray:
    """The alpha (H, W) of a raster that has it, uint8 or uint16 as the raster."""
    if isinstance(raster, numpy.ndarray):
        return raster[:, :, -1]
    return numpy.array(as_rgba(raster).getchannel("A"))


def as_raster(pixels: numpy.ndarray, alpha: numpy.ndarray | None = None) -> Raster:
    """Joins pixels (H, W, C) and an alpha (H, W), both uint8 or uint16; those of 8 bits become a Pillow image."""
    if pixels.dtype == numpy.uint16:
        return pixels if alpha is None else numpy.concatenate([pixels, alpha[:, :, None]], 2)
    picture = Image.fromarray(pixels[:, :, 0] if pixels.shape[2] == 1 else pixels)
    if alpha is not None:
        picture.putalpha(Image.fromarray(alpha))
    return picture


def as_picture(raster: Raster) -> Image.Image:
    """Converts a raster to a Pillow image of 8 bits a channel."""
    if not isinstance(raster, numpy.ndarray):
        return raster
    return cast(Image.Image, as_raster(((raster.astype(numpy.uint32) + 128) // 257).astype(numpy.uint8)))


def resized(raster: Raster, size: tuple[int, int]) -> Raster:
    """Returns a raster of another (height, width), by Lanczos."""
    if size_of(raster) == size:
        return raster
    if isinstance(raster, numpy.ndarray):
        return numpy.stack([resized_levels(raster[:, :, number], size) for number in range(raster.shape[2])], 2)
    return raster.resize(size[::-1], Image.Resampling.LANCZOS)


def resized_levels(plane: numpy.ndarray, size: tuple[int, int]) -> numpy.ndarray:
    """Returns one channel (H, W), uint8 or uint16, of another (height, width), by Lanczos."""
    if plane.shape == size:
        return plane
    return resized_plane(plane, size).round().clip(0, numpy.iinfo(plane.dtype).max).astype(plane.dtype)


def resized_plane(plane: numpy.ndarray, size: tuple[int, int]) -> numpy.ndarray:
    """Returns one channel (H, W) of another (height, width) as float32, by Lanczos."""
    picture = Image.fromarray(plane.astype(numpy.float32))
    return numpy.asarray(picture.resize(size[::-1], Image.Resampling.LANCZOS))


def resized_tensor(images: Tensor, size: tuple[int, int]) -> Tensor:
    """Returns images (N, C, H, W) in [-1, 1] of another (height, width), by Lanczos."""
    if tuple(images.shape[2:]) == size:
        return images
    planes = [torch.from_numpy(resized_plane(plane.numpy(), size).copy()) for plane in images.flatten(0, 1)]
    return torch.stack(planes).view(*images.shape[:2], *size).clamp(-1, 1)


def as_tensor(raster: Raster, channels: int) -> Tensor:
    """Converts a raster to (1, channels, H, W) in [-1, 1] as the images of a training are converted.

    Transparency is put on white unless there is a channel for it.
    """
    if isinstance(raster, numpy.ndarray):
        deep = torch.from_numpy(raster.astype(numpy.float32)).permute(2, 0, 1)[None].div_(32767.5).sub_(1)
        return with_channels(deep, channels)
    try:
        if channels == 2:
            pixels = numpy.asarray(as_rgba(raster).convert("LA"), dtype=numpy.uint8)
        else:
            pixels = fit(raster, size_of(raster), channels)
    except Exception as error:  # Pillow's decoders raise nearly every type there is on damaged files
        raise UsageError(f"An image of mode {quoted(raster.mode)} cannot be used: {as_bad_image(error)}.") from None
    return torch.tensor(pixels).permute(2, 0, 1)[None].float().div_(127.5).sub_(1)


def with_channels(images: Tensor, channels: int) -> Tensor:
    """Converts images (N, C, H, W) in [-1, 1] to 1 (grey), 2 (grey, alpha), 3 (RGB) or 4 (RGBA) channels.

    Images with alpha are put on white where the result has none.
    """
    if images.shape[1] == channels:
        return images
    alpha = images[:, -1:] if images.shape[1] in (2, 4) else None
    colours = images if alpha is None else images[:, :-1]
    if channels in (1, 3) and alpha is not None:
        colours = torch.lerp(torch.ones_like(colours), colours, alpha / 2 + 0.5)
    if colours.shape[1] == 3 and channels <= 2:
        weights = torch.tensor(LUMA, dtype=images.dtype, device=images.device)
        colours = (colours * weights.view(1, 3, 1, 1)).sum(1, keepdim=True)
    elif colours.shape[1] == 1 and channels >= 3:
        colours = colours.expand(-1, 3, -1, -1)
    if channels in (1, 3):
        return colours
    return torch.cat([colours, torch.ones_like(colours[:, :1]) if alpha is None else alpha], 1)


def extended(colours: Tensor, alpha: Tensor) -> Tensor:
    """Gives invisible pixels of (N, C, H, W) the colours of those around them, so that no edge of them is enlarged.

    `alpha` (N, 1, H, W) is in [-1, 1]. Means of the visible pixels in blocks of 2, 4, 8 ... fill what is left; images
    without any visible pixel become white.
    """
    weight = (alpha + 1) / 2
    if not bool(weight.any()):
        return torch.ones_like(colours)
    levels = [(colours, weight)]
    while not bool((levels[-1][1] > 0).all()):
        colours, weight = levels[-1]
        total = functional.avg_pool2d(weight, 2, ceil_mode=True)
        mean = functional.avg_pool2d(colours * weight, 2, ceil_mode=True) / total.clamp(min=1e-12)
        levels.append((mean, total))
    filled = levels.pop()[0]
    for colours, weight in reversed(levels):
        larger = functional.interpolate(filled, scale_factor=2, mode="bilinear", align_corners=False)
        filled = torch.where(weight > 0, colours, larger[:, :, : colours.shape[2], : colours.shape[3]])
    return filled


class Levels:
    """Collects the outputs of tiles as the pixels of rasters, so that a large output is never held in float32."""

    def __init__(self, size: tuple[int, int], deep: list[bool], grey: list[bool]):
        self.size, self._deep, self._grey = size, deep, grey
        self.pixels: list[numpy.ndarray] = []

    def put(self, top: int, left: int, part: Tensor) -> None:
        """Writes a part (N, C, h, w) in [-1, 1]; what lies outside the image is cut off."""
        part = part[:, :, : self.size[0] - top, : self.size[1] - left]
        for number, image in enumerate(part.split(1)):
            image = with_channels(image, 1) if self._grey[number] and image.shape[1] == 3 else image
            levels = _to_uint16(image) if self._deep[number] else to_uint8(image)[0].numpy()
            if len(self.pixels) == number:
                self.pixels.append(numpy.empty((*self.size, levels.shape[2]), levels.dtype))
            self.pixels[number][top : top + levels.shape[0], left : left + levels.shape[1]] = levels


class Floats:
    """Collects the outputs of tiles as a tensor `images` (N, C, H, W)."""

    def __init__(self, size: tuple[int, int]):
        self.size = size
        self.images: Any = None

    def put(self, top: int, left: int, part: Tensor) -> None:
        """Writes a part (N, C, h, w); what lies outside the image is cut off."""
        part = part[:, :, : self.size[0] - top, : self.size[1] - left]
        if self.images is None:
            self.images = torch.empty(*part.shape[:2], *self.size)
        self.images[:, :, top : top + part.shape[2], left : left + part.shape[3]] = part


def _to_uint16(image: Tensor) -> numpy.ndarray:
    """Converts one image (1, C, H, W) in [-1, 1] to uint16 (H, W, C)."""
    levels = image[0].add(1).mul_(32767.5).round_().clamp_(0, 65535).to(torch.int32)
    return levels.permute(1, 2, 0).numpy().astype(numpy.uint16)
