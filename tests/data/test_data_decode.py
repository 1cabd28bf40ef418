"""Every mode and trap of image files, made here and decoded."""

import io
import struct
import zlib

import numpy
import pytest
from PIL import Image

from ganzoo.data.decode import BadImage, decode, is_grey


def encoded(image: Image.Image, kind: str = "PNG", **options) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def flat(mode: str, colour, size=(8, 8)) -> Image.Image:
    return Image.new(mode, size, colour)


@pytest.mark.parametrize(
    ("mode", "kind", "colour", "red_green_blue"),
    [
        ("1", "PNG", 1, (255, 255, 255)),
        ("L", "PNG", 90, (90, 90, 90)),
        ("LA", "PNG", (90, 255), (90, 90, 90)),
        ("RGB", "PNG", (10, 20, 30), (10, 20, 30)),
        ("RGB", "BMP", (10, 20, 30), (10, 20, 30)),
        ("RGB", "TIFF", (10, 20, 30), (10, 20, 30)),
        ("RGBA", "PNG", (10, 20, 30, 255), (10, 20, 30)),
        ("RGBA", "PNG", (10, 20, 30, 0), (255, 255, 255)),
        ("LA", "PNG", (0, 0), (255, 255, 255)),
        ("CMYK", "TIFF", (255, 0, 0, 0), (0, 255, 255)),
        ("I;16", "PNG", 257 * 90, (90, 90, 90)),
        ("I;16", "TIFF", 257 * 90, (90, 90, 90)),
    ],
)
def test_a_flat_colour_survives_every_mode(mode, kind, colour, red_green_blue):
    pixels = decode(encoded(flat(mode, colour), kind), 8, 3)
    assert pixels.shape == (8, 8, 3) and pixels.dtype == numpy.uint8
    assert (pixels == red_green_blue).all()


@pytest.mark.parametrize("kind", ["JPEG", "WEBP"])
def test_lossy_formats_decode(kind):
    pixels = decode(encoded(flat("RGB", (200, 100, 50)), kind), 8, 3).astype(int)
    assert abs(pixels - (200, 100, 50)).max() < 12


def test_half_transparency_is_mixed_with_white():
    assert (decode(encoded(flat("RGBA", (0, 0, 0, 51))), 8, 1) == 204).all()


def test_palette_with_and_without_a_transparent_colour():
    image = flat("RGB", (255, 0, 0)).convert("P", palette=Image.Palette.ADAPTIVE)
    assert (decode(encoded(image), 8, 3) == (255, 0, 0)).all()
    index = image.getpixel((0, 0))
    assert (decode(encoded(image, transparency=index), 8, 3) == 255).all()
    assert (decode(encoded(image, "GIF", transparency=index), 8, 3) == 255).all()


def test_transparent_colour_of_opaque_modes_becomes_white():
    assert (decode(encoded(flat("RGB", (1, 2, 3)), transparency=(1, 2, 3)), 8, 3) == 255).all()
    assert (decode(encoded(flat("L", 7), transparency=7), 8, 3) == 255).all()
    assert (decode(encoded(flat("I;16", 700), transparency=700), 8, 3) == 255).all()


def test_sixteen_bits_keep_their_range():
    ramp = numpy.linspace(0, 65535, 64 * 64).astype(numpy.uint16).reshape(64, 64)
    pixels = decode(encoded(Image.fromarray(ramp)), 64, 1)[..., 0]
    assert len(numpy.unique(pixels)) == 256
    assert numpy.array_equal(pixels, numpy.rint(ramp / 257).astype(numpy.uint8))


def test_exif_rotation_is_applied():
    image = flat("RGB", "black")
    image.paste((255, 255, 255), (0, 0, 8, 4))
    exif = Image.Exif()
    exif[0x0112] = 6
    turned = decode(encoded(image, exif=exif), 8, 1)[..., 0]
    assert (turned[:, 4:] == 255).all() and (turned[:, :4] == 0).all()


@pytest.mark.parametrize("shape", [(8, 40), (40, 8)])
def test_the_centre_square_is_kept(shape):
    array = numpy.zeros((*shape, 3), dtype=numpy.uint8)
    top, left = (shape[0] - 8) // 2, (shape[1] - 8) // 2
    array[top : top + 8, left : left + 8] = 255
    assert (decode(encoded(Image.fromarray(array)), 8, 3) == 255).all()


def test_making_smaller_averages_and_making_larger_adds_no_ringing():
    checks = (numpy.indices((64, 64)).sum(0) % 2 * 255).astype(numpy.uint8)
    small = decode(encoded(Image.fromarray(checks)), 8, 1)
    assert abs(small.astype(int) - 127).max() <= 2
    assert (decode(encoded(flat("L", 33)), 31, 1) == 33).all()


@pytest.mark.parametrize("channels", [1, 3])
def test_the_same_size_changes_no_pixel(channels):
    array = numpy.random.default_rng(0).integers(0, 256, (9, 9, 3), dtype=numpy.uint8)
    array = array[..., 0] if channels == 1 else array
    pixels = decode(encoded(Image.fromarray(array)), 9, channels)
    assert numpy.array_equal(pixels.squeeze(), array)


def huge_png() -> bytes:
    """A PNG of 10,000 x 10,000 grey pixels that takes 100 kB, as a decompression bomb does."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", 10_000, 10_000, 8, 0, 0, 0, 0)
    data = zlib.compress(bytes(10_001 * 10_000), 9)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", data) + chunk(b"IEND", b"")


def postscript() -> bytes:
    return encoded(flat("RGB", "red"), "EPS")


REFUSED = {
    "too many pixels": (huge_png, "limit of 64 million"),
    "32-bit floats": (lambda: encoded(flat("F", 0.5), "TIFF"), "mode F"),
    "32-bit numbers": (lambda: encoded(flat("I", 70_000), "TIFF"), "mode I"),
    "postscript": (postscript, "not a PNG"),
    "text": (lambda: b"<html>not found</html>", "not a PNG"),
    "nothing": (lambda: b"", "not a PNG"),
    "truncated": (lambda: encoded(Image.effect_noise((64, 64), 50))[:1500], "truncated"),
}


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", REFUSED)
def test_refused_with_a_reason(name):
    make, words = REFUSED[name]
    with pytest.raises(BadImage, match=words) as caught:
        decode(make(), 8, 3)
    assert "\n" not in str(caught.value)


def test_grey_is_told_by_the_header():
    assert all(is_grey(encoded(flat(mode, 0))) for mode in ("1", "L", "I;16"))
    assert is_grey(encoded(flat("LA", (0, 0))))
    assert not is_grey(encoded(flat("RGB", 0))) and not is_grey(encoded(flat("P", 0)))


@pytest.mark.parametrize(("given", "wanted"), [((40, 20), (10, 20)), ((12, 30), (4, 10)), ((7, 7), (3, 9))])
def test_a_rectangle_is_the_largest_part_in_the_middle(given, wanted):
    """A vertical ramp of greys stays centred, whatever is cut off above and below."""
    ramp = numpy.repeat(numpy.linspace(0, 255, given[0]).astype(numpy.uint8)[:, None], given[1], 1)
    pixels = decode(encoded(Image.fromarray(ramp)), wanted, 1)[..., 0].astype(int)
    assert pixels.shape == wanted
    assert abs(pixels + pixels[::-1] - 255).max() <= 2, "the middle stays in the middle"
    share = min(1, given[1] * wanted[0] / wanted[1] / given[0])
    assert abs((pixels.max() - pixels.min()) / 255 - share) < 0.2


@pytest.mark.parametrize(
    ("image", "options", "pixel"),
    [
        (flat("RGBA", (200, 100, 50, 77)), {}, (200, 100, 50, 77)),
        (flat("RGBA", (200, 100, 50, 0)), {}, (0, 0, 0, 0)),
        (flat("LA", (9, 70)), {}, (9, 9, 9, 70)),
        (flat("RGB", (1, 2, 3)), {}, (1, 2, 3, 255)),
        (flat("RGB", (1, 2, 3)), {"transparency": (1, 2, 3)}, (0, 0, 0, 0)),
        (flat("L", 7), {}, (7, 7, 7, 255)),
        (flat("I;16", 257 * 9), {}, (9, 9, 9, 255)),
        (flat("I;16", 700), {"transparency": 700}, (0, 0, 0, 0)),
    ],
)
def test_four_channels_keep_the_transparency(image, options, pixel):
    assert (decode(encoded(image, **options), 8, 4) == pixel).all()


def test_colours_are_not_darkened_where_an_edge_of_transparency_is_resized():
    array = numpy.zeros((16, 16, 4), numpy.uint8)
    array[:, 8:] = (250, 10, 10, 255)
    pixels = decode(encoded(Image.fromarray(array)), 5, 4)
    seen = pixels[..., 3] > 8
    assert 0 < (pixels[..., 3] % 255 > 0).sum() and abs(pixels[seen][:, :3].astype(int) - (250, 10, 10)).max() <= 16
    assert (pixels[pixels[..., 3] == 0] == 0).all()
