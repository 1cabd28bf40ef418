"""Reads and writes PNG files of 16 bits a channel, of which Pillow gives 8 unless they are grey."""

from __future__ import annotations

import io
import struct
import zlib

import numpy
from PIL import Image

SIGNATURE = b"\x89PNG\r\n\x1a\n"
COLOUR_TYPES = {1: 0, 2: 4, 3: 2, 4: 6}  # by channels: grey, grey with alpha, RGB, RGBA
ROWS = 256  # compressed at once
LEVEL = 3  # of zlib


def is_deep(data: bytes) -> bool:
    """True for the bytes of a PNG with 16 bits a channel."""
    return data[:8] == SIGNATURE and data[12:16] == b"IHDR" and len(data) > 25 and data[24] == 16


def decode(data: bytes) -> numpy.ndarray:
    """Returns the pixels of a PNG with 16 bits a channel as uint16 (H, W, C), C being 1, 2, 3 or 4.

    Pillow unpacks the high bytes of a colour, or, if the file is said to be little-endian, the low ones. A transparent
    colour (tRNS) becomes alpha. Raises the errors of Pillow's decoders.
    """
    kind = data[25]
    if kind == 0:
        with Image.open(io.BytesIO(data), formats=("PNG",)) as image:
            deep = numpy.asarray(image).astype(numpy.uint16)[:, :, None]
            transparent = image.info.get("transparency")
    elif kind == 4:  # four bytes a pixel, as RGBA of 8 bits has
        halves, transparent = _unpacked(data, "RGBA")
        deep = halves[:, :, ::2] * 256 + halves[:, :, 1::2]
    else:
        mode = "RGB" if kind == 2 else "RGBA"
        high, transparent = _unpacked(data, f"{mode};16B")
        deep = high * 256 + _unpacked(data, f"{mode};16L")[0]
    if transparent is None or kind in (4, 6):
        return deep
    seen = (deep != numpy.array(transparent, numpy.uint16)).any(2, keepdims=True)
    return numpy.concatenate([deep, seen.astype(numpy.uint16) * numpy.uint16(65535)], 2)


def _unpacked(data: bytes, layout: str) -> tuple[numpy.ndarray, object]:
    """Returns the bytes that Pillow reads in this raw mode, as uint16 (H, W, C), and the transparent colour."""
    with Image.open(io.BytesIO(data), formats=("PNG",)) as image:
        image.tile = [tile._replace(args=layout) for tile in image.tile]
        return numpy.asarray(image).astype(numpy.uint16), image.info.get("transparency")


def encode(pixels: numpy.ndarray, *, icc_profile: bytes | None = None, exif: bytes | None = None) -> bytes:
    """Returns the bytes of a PNG of uint16 pixels (H, W, C), each row as differences from the pixel to the left."""
    height, width, channels = pixels.shape
    header = struct.pack(">IIBBBBB", width, height, 16, COLOUR_TYPES[channels], 0, 0, 0)
    parts = [SIGNATURE, _chunk(b"IHDR", header)]
    if icc_profile:
        parts.append(_chunk(b"iCCP", b"ICC profile\0\0" + zlib.compress(icc_profile)))
    if exif:
        parts.append(_chunk(b"eXIf", exif.removeprefix(b"Exif\0\0")))
    packer = zlib.compressobj(LEVEL)
    for start in range(0, height, ROWS):
        rows = pixels[start : start + ROWS].astype(">u2").view(numpy.uint8).reshape(-1, 2 * channels * width)
        filtered = numpy.empty((len(rows), rows.shape[1] + 1), numpy.uint8)
        filtered[:, 0] = 1  # the filter "Sub"
        filtered[:, 1:] = rows
        filtered[:, 1 + 2 * channels :] -= rows[:, : -2 * channels]
        parts.append(_chunk(b"IDAT", packer.compress(filtered.tobytes())))
    parts += [_chunk(b"IDAT", packer.flush()), _chunk(b"IEND", b"")]
    return b"".join(parts)


def _chunk(name: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))
