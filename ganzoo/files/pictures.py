"""Turns tensors of images into pictures: grids, captioned sheets, animations, image files."""

from __future__ import annotations

import io
import math
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ganzoo.errors import UsageError
from ganzoo.files.atomic import write_atomically
from ganzoo.variant import ImageSize, size_text

LARGEST_SHEET = 178_956_970  # pixels: Pillow's MAX_IMAGE_PIXELS
CHECKER = 8  # pixels of a square of the board behind images with alpha
PNG_LEVEL = 1  # a quarter of the time of Pillow's 6, and files a tenth to a sixth larger


def to_uint8(images: Tensor) -> Tensor:
    """Converts images (N, C, H, W) in [-1, 1] to uint8 (N, H, W, C) on the CPU: rounded, values outside clipped."""
    scaled = images.detach().float().add(1).mul_(127.5).round_().clamp_(0, 255)  # one copy, not four
    return scaled.to(torch.uint8).permute(0, 2, 3, 1).contiguous().cpu()


def to_pillow(image: Tensor) -> Any:
    """Converts one uint8 image (H, W, C) with 1 to 4 channels to a Pillow image of mode "L", "LA", "RGB" or "RGBA"."""
    from PIL import Image

    array = image.numpy()
    return Image.fromarray(array[:, :, 0] if array.shape[2] == 1 else array)


def opaque(images: Tensor) -> Tensor:
    """Puts images (N, C, H, W) with alpha, of 2 or 4 channels, over a checkerboard: (N, C - 1, H, W), all in [-1, 1].

    Images of 1 or 3 channels stay as they are.
    """
    channels, height, width = images.shape[1:]
    if channels in (1, 3):
        return images
    row, column = torch.arange(height) // CHECKER, torch.arange(width) // CHECKER
    board = ((row[:, None] + column) % 2).to(images) * 0.4 + 0.2
    alpha = images[:, -1:].clamp(-1, 1) / 2 + 0.5
    return torch.lerp(board.expand_as(images[:, :-1]), images[:, :-1], alpha)


def rows_of(rows: list[Tensor], padding: int = 2) -> Any:
    """Arranges several sets of images (N, C, H, W) as the rows of one Pillow image, enlarged to a common size."""
    from torch.nn.functional import interpolate

    shown = [opaque(images.float()) for images in rows]
    size = max(images.shape[2] for images in shown), max(images.shape[3] for images in shown)
    channels = max(images.shape[1] for images in shown)
    equal = [images if images.shape[2:] == size else interpolate(images, size=size, mode="nearest") for images in shown]
    whole = torch.cat([images.expand(-1, channels, -1, -1) for images in equal])
    return grid(whole, len(rows[0]), padding)


def grid(images: Tensor, columns: int | None = None, padding: int = 2) -> Any:
    """Arranges images (N, C, H, W) in [-1, 1] in one Pillow image, as square as possible if `columns` is None.

    Alpha is shown over a checkerboard.
    """
    images = opaque(images)
    count, channels, height, width = images.shape
    columns = min(count, columns or math.ceil(math.sqrt(count)))
    rows = math.ceil(count / columns)
    sheet = torch.full(
        (rows * (height + padding) + padding, columns * (width + padding) + padding, channels), 255, dtype=torch.uint8
    )
    for number, image in enumerate(pixels for part in images.split(64) for pixels in to_uint8(part)):
        top = padding + (number // columns) * (height + padding)
        left = padding + (number % columns) * (width + padding)
        sheet[top : top + height, left : left + width] = image
    return to_pillow(sheet)


def beside(left: Any, right: Any) -> Any:
    """Puts two Pillow images side by side, the smaller one enlarged to the height of the other.

    Alpha is shown over a checkerboard.
    """
    from PIL import Image

    height = max(left.height, right.height)
    shown = []
    for picture in (left, right):
        width = round(picture.width * height / picture.height)
        picture = picture if picture.height == height else picture.resize((width, height), Image.Resampling.NEAREST)
        shown.append(over_board(picture))
    whole = Image.new("RGB", (sum(picture.width for picture in shown), height))
    whole.paste(shown[0], (0, 0))
    whole.paste(shown[1], (shown[0].width, 0))
    return whole


def over_board(picture: Any) -> Any:
    """Converts a Pillow image to RGB; transparent parts show a checkerboard."""
    if picture.mode not in ("LA", "RGBA"):
        return picture.convert("RGB")
    pixels = torch.tensor(bytearray(picture.convert("RGBA").tobytes()), dtype=torch.uint8)
    image = pixels.view(picture.height, picture.width, 4).permute(2, 0, 1)[None].float() / 127.5 - 1
    return to_pillow(to_uint8(opaque(image))[0])


def check_sheet(images: int, columns: int, size: ImageSize) -> None:
    """UsageError if a sheet of so many images has more pixels than Pillow opens without a warning."""
    height, width = (size, size) if isinstance(size, int) else size
    pixels = math.ceil(images / columns) * columns * height * width
    if pixels > LARGEST_SHEET:
        raise UsageError(
            f"A sheet of {images:,} images of {size_text(size)} pixels has {pixels / 1e6:,.0f} megapixels, at most "
            f"{LARGEST_SHEET / 1e6:,.0f}: ask for fewer (-n), or write a folder."
        )


def enlarged(picture: Any, least: int = 640) -> Any:
    """Enlarges a picture narrower than `least` pixels by the largest whole factor that fits; pixels stay sharp."""
    from PIL import Image

    factor = max(1, least // max(picture.width, 1))
    return picture.resize((picture.width * factor, picture.height * factor), Image.Resampling.NEAREST)


def save_picture(picture: Any, path: Path) -> Path:
    """Writes a Pillow image atomically, as PNG unless the suffix is .jpg or .webp."""
    buffer = io.BytesIO()
    kind = {".jpg": "JPEG", ".jpeg": "JPEG", ".webp": "WEBP"}.get(path.suffix.lower(), "PNG")
    picture.save(buffer, format=kind, **({"compress_level": PNG_LEVEL} if kind == "PNG" else {}))
    write_atomically(path, buffer.getvalue())
    return path


def save_animation(frames: list[Any], path: Path, seconds_per_frame: float = 0.05) -> Path:
    """Writes Pillow images as a GIF or WebP animation that repeats."""
    buffer = io.BytesIO()
    kind = "WEBP" if path.suffix.lower() == ".webp" else "GIF"
    frames[0].save(
        buffer, format=kind, save_all=True, append_images=frames[1:], duration=round(1000 * seconds_per_frame), loop=0
    )
    write_atomically(path, buffer.getvalue())
    return path


def captioned(parts: list[tuple[str, Any]], least: int = 640) -> Any:
    """Stacks (caption, Pillow picture) pairs, enlarged by one factor until the widest has about `least` pixels."""
    from PIL import Image, ImageDraw, ImageFont

    factor = max(1, least // max(picture.width for _, picture in parts))
    font, line = ImageFont.load_default(13), 20
    colours = [picture.convert("RGB") for _, picture in parts]
    large = [
        picture.resize((picture.width * factor, picture.height * factor), Image.Resampling.NEAREST)
        for picture in colours
    ]
    width = max([picture.width for picture in large] + [math.ceil(font.getlength(text)) + 8 for text, _ in parts])
    whole = Image.new("RGB", (width, sum(picture.height + line for picture in large)), "white")
    top = 0
    for (text, _), picture in zip(parts, large, strict=True):
        ImageDraw.Draw(whole).text((4, top + line / 2), text, "black", font, anchor="lm")
        whole.paste(picture, (0, top + line))
        top += line + picture.height
    return whole


def with_rows_named(sheet: Any, names: list[str]) -> Any:
    """Writes each of `names` beside its row of a Pillow sheet, whose rows have equal height."""
    from PIL import Image, ImageDraw, ImageFont

    font = ImageFont.load_default(13)
    left = math.ceil(max(font.getlength(name) for name in names)) + 8
    whole = Image.new("RGB", (left + sheet.width, sheet.height), "white")
    whole.paste(sheet.convert("RGB"), (left, 0))
    for row, name in enumerate(names):
        ImageDraw.Draw(whole).text(
            (left - 4, sheet.height * (row + 0.5) / len(names)), name, "black", font, anchor="rm"
        )
    return whole
