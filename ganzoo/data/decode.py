"""Decodes images to uint8 pixels of one size, without the silent losses of a plain `convert("RGB")`."""

from __future__ import annotations

import io

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


Size = int | tuple[int, int]  # of a square, or (height, width)


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


def is_transparent(data: bytes) -> bool:
    """True if the header says that pixels may be transparent; BadImage if it cannot be read."""
    try:
        image = open_header(data)
    except Exception as error:
        raise as_bad_image(error) from error
    return image.mode in ("LA", "La", "PA", "RGBA", "RGBa") or "transparency" in image.info


def rectangle(size: Size) -> tuple[int, int]:
    """The height and width of a size."""
    return (size, size) if isinstance(size, int) else size


def open_picture(data: bytes) -> Image.Image:
    """Opens an image with its EXIF rotation applied; the errors of Pillow's decoders are of nearly every type."""
    return ImageOps.exif_transpose(open_header(data))


def decode(data: bytes, size: Size, channels: int) -> numpy.ndarray:
    """Decodes an image to uint8 (H, W, channels), with its EXIF rotation applied; raises BadImage."""
    try:
        return fit(open_picture(data), size, channels)
    except Exception as error:
        raise as_bad_image(error) from error


def as_bad_image(error: Exception) -> BadImage:
    if isinstance(error, BadImage):
        return error
    if isinstance(error, UnidentifiedImageError):
        return BadImage(f"not a {', '.join(FORMATS[:-1])} or {FORMATS[-1]} image")
    return BadImage(reason(error))


def fit(image: Image.Image, size: Size, channels: int, exact: bool = False) -> numpy.ndarray:
    """Returns uint8 (H, W, channels): the largest part in the middle that has the proportions of `size`, resized.

    One and three channels are opaque, four keep the alpha. Shrinks with Lanczos, which keeps the most detail without
    aliasing; its `reducing_gap` first averages whole pixels of images more than 3 times too large, invisibly and
    several times faster. Enlarges with bicubic, since Lanczos rings around the hard edges of small drawings and digits.
    """
    if channels == 4:
        image, mode = with_alpha(image), "RGBA"
    else:
        image, mode = opaque(image), "L" if channels == 1 else "RGB"
    image = image if image.mode == mode else image.convert(mode)
    height, width = rectangle(size)
    middle = middle_part(image.size, height, width, exact)
    wide, tall = middle[2] - middle[0], middle[3] - middle[1]
    if tall > height or wide > width:
        image = image.resize((width, height), Image.Resampling.LANCZOS, box=middle, reducing_gap=3.0)
    elif (wide, tall) != (width, height) or middle != tuple(map(int, middle)):
        image = image.resize((width, height), Image.Resampling.BICUBIC, box=middle)
    elif image.size != (width, height):
        image = image.crop(middle)
    pixels = numpy.asarray(image, dtype=numpy.uint8).reshape(height, width, channels)
    # Colours that cannot be seen are whatever a program left there, or 0 after resizing: one value for all.
    return pixels * (pixels[..., 3:] > 0) if channels == 4 else pixels


def middle_part(
    size: tuple[int, int], height: int, width: int, exact: bool = False
) -> tuple[float, float, float, float]:
    """The largest box (left, top, right, bottom) in the middle of an image that has the proportions of a size.

    Squares begin at whole pixels. Others, and all that are `exact`, may not: they are exactly in the middle, so that
    the part of an image is that of a copy of another size.
    """
    if height == width and not exact:
        side = min(size)
        left, top = (size[0] - side) // 2, (size[1] - side) // 2
        return left, top, left + side, top + side
    wide, tall = min(size[0], size[1] * width / height), min(size[1], size[0] * height / width)
    return (size[0] - wide) / 2, (size[1] - tall) / 2, (size[0] + wide) / 2, (size[1] + tall) / 2


def with_alpha(image: Image.Image) -> Image.Image:
    """Returns the image as RGBA, with its transparency as alpha and its colours not multiplied by it."""
    if image.mode in DEEP_MODES:
        transparent = image.info.get("transparency")
        rgba = eight_bits(image).convert("RGBA")
        if isinstance(transparent, int):
            seen = numpy.asarray(image).astype(numpy.uint32) != transparent
            rgba.putalpha(Image.fromarray(seen.astype(numpy.uint8) * numpy.uint8(255)))
        return rgba
    if image.mode in ("La", "RGBa"):
        image = image.convert({"La": "LA", "RGBa": "RGBA"}[image.mode])
    if image.mode in ("LAB", "CMYK", "YCbCr", "RGBX"):
        image = image.convert("RGB")
    return image.convert("RGBA")


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
