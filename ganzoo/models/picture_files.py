"""Writes outputs as image files: with colour profile and EXIF, 16 bits a channel as PNG, animations frame by frame."""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy
from PIL import Image

from ganzoo.errors import UsageError
from ganzoo.files import deep_png
from ganzoo.files.atomic import write_atomically
from ganzoo.files.pictures import PNG_LEVEL
from ganzoo.files.text import one_line
from ganzoo.models.rasters import Raster, as_picture, is_grey

FORMATS = {".png": "PNG", ".jpg": "JPEG", ".jpeg": "JPEG", ".webp": "WEBP", ".gif": "GIF"}
INVISIBLE = 255  # the palette entry of transparent pixels in a GIF
OPTIONS: dict[str, dict[str, Any]] = {
    "PNG": {"compress_level": PNG_LEVEL},
    "JPEG": {"quality": 95, "subsampling": 0},
    "WEBP": {"quality": 95},
    "GIF": {},
}


def save_raster(raster: Raster, path: Path, *, icc_profile: bytes | None = None, exif: bytes | None = None) -> None:
    """Writes one output atomically in the format of the suffix; UsageError if that format cannot hold it.

    A profile of other colours than the output has, such as RGB beside a grey output, is left out.
    """
    kind = FORMATS[path.suffix.lower()]
    kept: dict[str, Any] = {"icc_profile": _fitting(icc_profile, raster), "exif": exif}
    if kind == "PNG" and isinstance(raster, numpy.ndarray):
        write_atomically(path, deep_png.encode(raster, **kept))
        return
    _save(as_picture(raster), path, {name: value for name, value in kept.items() if value})


def save_frames(
    frames: Iterator[Image.Image],
    path: Path,
    durations: Sequence[int],
    loop: int,
    *,
    transparent: bool = False,
    icc_profile: bytes | None = None,
) -> Image.Image:
    """Writes whole frames atomically as an animated GIF, WebP or PNG, and returns the first.

    `durations` are milliseconds, `loop` the number of plays, 0 for no end. A GIF has 255 colours a frame, and its
    pixels are opaque or not at all: alpha is cut at one half, and every frame is cleared before the next.
    """
    kind = FORMATS[path.suffix.lower()]
    if kind == "GIF":
        frames = map(_with_palette, frames)
    first, *others = frames  # Pillow goes through them several times
    options: dict[str, Any] = {"save_all": True, "append_images": others, "duration": list(durations), "loop": loop}
    if kind == "GIF" and loop == 1:  # files that are played once do not say so
        del options["loop"]
    if kind == "GIF" and transparent:
        options["disposal"] = 2
    if profile := _fitting(icc_profile, first):
        options["icc_profile"] = profile
    _save(first, path, options)
    return first


def _save(picture: Image.Image, path: Path, options: dict[str, Any]) -> None:
    kind = FORMATS[path.suffix.lower()]
    buffer = io.BytesIO()
    try:
        picture.save(buffer, format=kind, **OPTIONS[kind], **options)
    except (OSError, ValueError) as error:  # sizes beyond the format's limit among them
        raise UsageError(f"{picture.width} x {picture.height} pixels cannot be a {kind}: {one_line(error)}.") from None
    write_atomically(path, buffer.getvalue())


def _with_palette(frame: Image.Image) -> Image.Image:
    """Reduces a frame to the best 255 colours, dithered, and one for pixels that are less than half opaque."""
    colours = frame.convert("RGB")
    best = colours.quantize(INVISIBLE, Image.Quantize.MEDIANCUT)
    reduced = colours.quantize(INVISIBLE, palette=best, dither=Image.Dither.FLOYDSTEINBERG)
    if frame.mode in ("LA", "RGBA"):
        hidden = frame.getchannel("A").point(lambda level: 255 * (level < 128))
        reduced.paste(INVISIBLE, mask=hidden)
        reduced.info["transparency"] = INVISIBLE
    return reduced


def _fitting(icc_profile: bytes | None, raster: Raster) -> bytes | None:
    """Returns a colour profile if its colours are those of the raster."""
    return icc_profile if icc_profile and icc_profile[16:20] == (b"GRAY" if is_grey(raster) else b"RGB ") else None
