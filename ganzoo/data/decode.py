"""Decodes images to square uint8 pixels, without the silent losses of a plain `convert("RGB")`."""

from __future__ import annotations

import io
from collections.abc import Callable

import numpy
from PIL import Image, ImageOps, UnidentifiedImageError

from ganzoo.files.text import reason

# The formats that are always read: EPS would start Ghostscript, others run rarely tested decoders.
PLAIN_FORMATS = ("PNG", "JPEG", "WEBP", "BMP", "GIF", "TIFF", "PPM")
PLAIN_SUFFIXES = (
    *(".png", ".jpg", ".jpeg", ".jpe", ".jfif", ".webp", ".bmp", ".gif", ".tif", ".tiff"),
    *(".ppm", ".pgm", ".pbm", ".pnm"),
)
# Formats that are read where Pillow's own decoder or a plugin is there: their suffixes and what to install.
PLUGIN_FORMATS = {
    "AVIF": ((".avif",), "pillow 11.3 or newer"),
    "HEIF": ((".heic", ".heif"), "pillow-heif"),
    "JXL": ((".jxl",), "pillow-jxl-plugin"),
}
LARGEST_PIXELS = 64_000_000
# An uncompressed image of the largest size, 4 bytes per pixel, with its header.
LARGEST_BYTES = 4 * LARGEST_PIXELS + 2**20

DEEP_MODES = ("I;16", "I;16L", "I;16B", "I;16N")
GREY_MODES = ("1", "L", "LA", "La", *DEEP_MODES)
COLOUR_MODES = ("P", "PA", "RGB", "RGBA", "RGBa", "RGBX", "CMYK", "YCbCr", "LAB")


def _open_avif() -> bool:
    from PIL import AvifImagePlugin

    return bool(AvifImagePlugin.SUPPORTED)


def _open_heif() -> bool:
    import pillow_heif

    pillow_heif.register_heif_opener()
    return True


def _open_jxl() -> bool:
    import pillow_jxl  # noqa: F401  (registers itself with Pillow)

    return True


def _with_plugins() -> tuple[tuple[str, ...], tuple[str, ...], dict[str, str]]:
    """Returns (formats, suffixes, {suffix: package that would read it}) of what this Pillow can decode."""
    formats, suffixes, missing = [*PLAIN_FORMATS], [*PLAIN_SUFFIXES], {}
    for name, open_plugin in (("AVIF", _open_avif), ("HEIF", _open_heif), ("JXL", _open_jxl)):
        own, package = PLUGIN_FORMATS[name]
        try:
            able = open_plugin() and name in Image.OPEN
        except Exception:  # a broken plugin is as good as none
            able = False
        if able:
            formats.append(name)
            suffixes.extend(own)
        else:
            missing.update(dict.fromkeys(own, package))
    return tuple(formats), tuple(suffixes), missing


FORMATS, SUFFIXES, MISSING_PLUGINS = _with_plugins()


class BadImage(Exception):
    """One image cannot be used; the text is the reason."""


def open_header(data: bytes) -> Image.Image:
    """Reads only the header, and refuses images that are too large, or would lose too much, to decode."""
    image = Image.open(io.BytesIO(data), formats=FORMATS)
    width, height = image.size
    if width * height > LARGEST_PIXELS:
        raise BadImage(f"{width} x {height} pixels are more than the limit of 64 million")
    if image.mode not in GREY_MODES + COLOUR_MODES:
        raise BadImage(f"mode {image.mode} has no fixed range of values: save it with 8 or 16 bits per channel")
    return image


def is_grey(data: bytes) -> bool:
    """True if the header says grey; BadImage if it cannot be read."""
    try:
        return open_header(data).mode in GREY_MODES
    except Exception as error:
        raise as_bad_image(error) from error


def decode(data: bytes, size: int, channels: int, cropped: Callable[[], object] = bool) -> numpy.ndarray:
    """Decodes an image to uint8 (size, size, channels), with its EXIF rotation applied; raises BadImage."""
    try:
        image = open_header(data)
        if image.width != image.height:
            cropped()
        return fit(ImageOps.exif_transpose(image), size, channels)
    except Exception as error:  # Pillow's decoders raise nearly every type there is on damaged files
        raise as_bad_image(error) from error


def as_bad_image(error: Exception) -> BadImage:
    if isinstance(error, BadImage):
        return error
    if isinstance(error, UnidentifiedImageError):
        return BadImage(f"not a {', '.join(FORMATS[:-1])} or {FORMATS[-1]} image")
    return BadImage(reason(error))


def fit(image: Image.Image, size: int, channels: int) -> numpy.ndarray:
    """Returns uint8 (size, size, channels): opaque, grey or RGB, the centre square, resized.

    Shrinks with Lanczos, which keeps the most detail without aliasing; its `reducing_gap` first averages whole pixels
    of images more than 3 times too large, invisibly and several times faster. Enlarges with bicubic, since Lanczos
    rings around the hard edges of small drawings and digits.
    """
    image, mode = opaque(image), "L" if channels == 1 else "RGB"
    image = image if image.mode == mode else image.convert(mode)
    side = min(image.size)
    left, top = (image.width - side) // 2, (image.height - side) // 2
    square = (left, top, left + side, top + side)
    if side > size:
        image = image.resize((size, size), Image.Resampling.LANCZOS, box=square, reducing_gap=3.0)
    elif side < size:
        image = image.resize((size, size), Image.Resampling.BICUBIC, box=square)
    elif image.width != image.height:
        image = image.crop(square)
    return numpy.asarray(image, dtype=numpy.uint8).reshape(size, size, channels)


def opaque(image: Image.Image) -> Image.Image:
    """Puts transparent images on white, in a mode that converts to L and RGB without loss of range."""
    if image.mode == "LAB":  # Pillow converts it to RGB alone, by way of its colour profiles
        return image.convert("RGB")
    if image.mode in DEEP_MODES:
        return eight_bits(image)
    if image.mode in ("La", "RGBa"):
        image = image.convert({"La": "LA", "RGBa": "RGBA"}[image.mode])
    if image.mode in ("LA", "PA", "RGBA") or "transparency" in image.info:
        image = image.convert("RGBA")
        white = Image.new("RGBA", image.size, "white")
        white.alpha_composite(image)
        return white.convert("RGB")
    return image


def eight_bits(image: Image.Image) -> Image.Image:
    """Divides 16-bit grey by 257 and rounds; Pillow's own conversion clips everything above 255."""
    deep = numpy.asarray(image).astype(numpy.uint32)
    grey = ((deep + 128) // 257).astype(numpy.uint8)
    transparent = image.info.get("transparency")
    if isinstance(transparent, int):
        grey[deep == transparent] = 255
    return Image.fromarray(grey)
