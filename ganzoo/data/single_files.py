"""Image files that a command is given by name: found, paired by their names, and decoded at their own size."""

from __future__ import annotations

import io
import logging
import os
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import numpy
from PIL import Image, ImageCms, ImageOps

from ganzoo.data.archives import list_files, read_file
from ganzoo.data.decode import DEEP_MODES, SUFFIXES, BadImage, as_bad_image, open_header
from ganzoo.errors import DataError, UsageError
from ganzoo.files import deep_png
from ganzoo.files.text import quoted

log = logging.getLogger(__name__)

NAMED = 8
ANIMATED = ("GIF", "WEBP", "PNG")  # formats whose further images are those of an animation
ORIENTATION = 0x0112
SIZES = (0x0100, 0x0101, 0xA002, 0xA003)  # EXIF tags of widths and heights, which outputs do not have
TURNS: dict[int, Callable[[numpy.ndarray], numpy.ndarray]] = {  # by EXIF orientation, to turn pixels upright
    2: numpy.fliplr,
    3: lambda pixels: numpy.rot90(pixels, 2),
    4: numpy.flipud,
    5: lambda pixels: pixels.transpose(1, 0, 2),
    6: lambda pixels: numpy.rot90(pixels, -1),
    7: lambda pixels: numpy.rot90(pixels, 2).transpose(1, 0, 2),
    8: lambda pixels: numpy.rot90(pixels, 1),
}


@dataclass(frozen=True)
class ImageFile:
    """One image file: where it is, and its name within the folder that was given, with "/" between folders."""

    path: Path
    name: str

    @property
    def stem(self) -> str:
        """The name without its suffix."""
        return str(PurePosixPath(self.name).with_suffix(""))


Pair = tuple[ImageFile, ImageFile]


@dataclass(frozen=True)
class Animation:
    """The frames of an animation, with the milliseconds of each; `loop` is the number of plays, 0 for no end."""

    image: Image.Image
    durations: tuple[int, ...]
    loop: int
    transparent: bool

    def frames(self) -> Iterator[Image.Image]:
        """Yields whole frames, RGBA if any pixel of the animation is transparent, else RGB; BadImage for damage."""
        for number in range(len(self.durations)):
            with _bad_images():
                self.image.seek(number)
                frame = self.image.convert("RGBA" if self.transparent else "RGB")
            yield frame


@dataclass(frozen=True)
class DecodedImage:
    """The upright pixels of a file, those of 16 bits as uint16 (H, W, C), and what its output keeps beside them.

    The pixels of an animation are its first frame. `exif` is without rotation and sizes.
    """

    pixels: Image.Image | numpy.ndarray
    icc_profile: bytes | None = None
    exif: bytes | None = None
    animation: Animation | None = None


def find_images(paths: Iterable[Path]) -> list[ImageFile]:
    """Returns the given files, and the images of the given folders and their sub-folders, in order.

    UsageError names every path that is not there; DataError a folder without images.
    """
    paths = [Path(path).expanduser() for path in paths]
    if missing := [path for path in paths if not os.path.exists(path)]:
        raise UsageError(f"There is no file or folder {listed(map(quoted, missing))}.")
    found = []
    for path in paths:
        if not path.is_dir():
            found.append(ImageFile(path, path.name))
            continue
        names = sorted(name for name in list_files(path) if name.lower().endswith(SUFFIXES))
        if not names:
            raise DataError(f"{quoted(path)} holds no images; known are {', '.join(SUFFIXES)}.")
        found += [ImageFile(path / name, name) for name in names]
    return found


def read_image(file: ImageFile) -> Image.Image:
    """Decodes one file, turned upright by its EXIF rotation; BadImage states the problem."""
    with _bad_images():
        image = open_header(read_file(file.path))
        image.load()
        return ImageOps.exif_transpose(image)


@contextmanager
def _bad_images() -> Iterator[None]:
    """Raises any error of its block as a BadImage, and hides the warnings of decoders."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Pillow warns of large images below the limit here, and of metadata
            yield
    except Exception as error:  # Pillow's decoders raise nearly every type there is on damaged files
        raise as_bad_image(error) from error


def is_animated(file: ImageFile) -> bool:
    """True if a file has frames, as far as its header tells."""
    try:
        with _bad_images():
            image = open_header(read_file(file.path))
            return image.format in ANIMATED and bool(getattr(image, "is_animated", False))
    except BadImage:
        return False


def decode_image(file: ImageFile) -> DecodedImage:
    """Decodes one file with all its bits, frames, colour profile and EXIF; BadImage states the problem.

    CMYK with a profile becomes sRGB by it. Of a TIFF with pages the first is taken, and a message says so.
    """
    with _bad_images():
        data = read_file(file.path)
        image = open_header(data)
        profile, count = image.info.get("icc_profile"), getattr(image, "n_frames", 1)
        if count > 1 and image.format in ANIMATED:
            animation = _animation(image, count)
            return DecodedImage(next(animation.frames()), profile, animation=animation)
        if count > 1 and image.format == "TIFF":
            log.warning(f"{quoted(file.path)} has {count} pages: the first is taken")
        image.load()
        turn, upright = image.getexif().get(ORIENTATION, 1), ImageOps.exif_transpose(image)
        kept = _kept_exif(image.getexif()) if image.format != "TIFF" else None  # whose tags are those of the pixels
        deep = deep_png.decode(data) if deep_png.is_deep(data) else None
        if image.mode in DEEP_MODES and deep is None:
            deep = numpy.asarray(image).astype(numpy.uint16)[:, :, None]
        if deep is not None:
            return DecodedImage(numpy.ascontiguousarray(TURNS[turn](deep) if turn in TURNS else deep), profile, kept)
        if image.mode == "CMYK":
            return DecodedImage(_from_cmyk(upright, profile), None, kept)
        return DecodedImage(upright, profile, kept)


def _animation(image: Image.Image, count: int) -> Animation:
    """Reads the times of all frames, and whether any is transparent."""
    durations, transparent = [], False
    loop = int(image.info.get("loop", 1 if image.format == "GIF" else 0))
    for number in range(count):
        image.seek(number)
        image.load()
        durations.append(int(image.info.get("duration", 0)))
        if not transparent and (image.mode in ("LA", "PA", "RGBA") or "transparency" in image.info):
            transparent = image.convert("RGBA").getchannel("A").getextrema() != (255, 255)
    return Animation(image, tuple(durations), loop, transparent)


def _kept_exif(exif: Image.Exif) -> bytes | None:
    """Returns EXIF without rotation and sizes, None if nothing is left."""
    for tag in (ORIENTATION, *SIZES):
        exif.pop(tag, None)
        exif.get_ifd(0x8769).pop(tag, None)
    return exif.tobytes() if len(exif) else None


def _from_cmyk(image: Image.Image, profile: bytes | None) -> Image.Image:
    """Converts CMYK to RGB, by its colour profile if it has one that can be used."""
    if profile:
        try:
            inner, srgb = ImageCms.ImageCmsProfile(io.BytesIO(profile)), ImageCms.createProfile("sRGB")
            converted = ImageCms.profileToProfile(image, inner, srgb, outputMode="RGB")
            assert converted is not None
            return converted
        except (ImageCms.PyCMSError, OSError):
            log.warning("a CMYK image has a profile that cannot be used: its colours are approximate")
    return image.convert("RGB")


def checked_sizes(files: Sequence[ImageFile]) -> list[tuple[int, int]]:
    """Decodes every file once and returns the (height, width) of each; DataError names all that cannot be used."""
    sizes, bad = [], []
    for file in files:
        try:
            image = read_image(file)
            sizes.append((image.height, image.width))
        except BadImage as error:
            bad.append(f"{quoted(file.path)} ({error})")
    if bad:
        raise DataError(f"{len(bad)} of {len(files)} images cannot be used: {listed(bad)}. Mend or leave them out.")
    return sizes


def paired(first: Sequence[ImageFile], second: Sequence[ImageFile], where: tuple[str, str]) -> list[Pair]:
    """Returns the pairs of files of one name, whatever their suffixes; `where` names the two sides in messages.

    DataError names every file without a partner, and names that one side has twice.
    """
    left, right = _by_stem(first, where[0]), _by_stem(second, where[1])
    alone = [f"{quoted(file.name)} is only in {where[0]}" for stem, file in left.items() if stem not in right]
    alone += [f"{quoted(file.name)} is only in {where[1]}" for stem, file in right.items() if stem not in left]
    if alone:
        raise DataError(f"{len(alone)} images have no partner of their name: {listed(alone, '; ')}.")
    return [(file, right[stem]) for stem, file in left.items()]


def _by_stem(files: Sequence[ImageFile], where: str) -> dict[str, ImageFile]:
    refuse_clashes(files, lambda file: file.stem, f"in {where} differ in their suffixes alone")
    return {file.stem: file for file in files}


def refuse_clashes(
    files: Sequence[ImageFile], key: Callable[[ImageFile], str], problem: str, remedy: str = "Rename or leave out one"
) -> None:
    """DataError that names all files that share a key."""
    groups: dict[str, list[ImageFile]] = {}
    for file in files:
        groups.setdefault(key(file), []).append(file)
    clashes = [" and ".join(quoted(file.path) for file in group) for group in groups.values() if len(group) > 1]
    if clashes:
        raise DataError(f"Files {problem}: {listed(clashes, '; ')}. {remedy}.")


def listed(texts: Iterable[str], separator: str = ", ") -> str:
    """Joins the first texts and the number of the others."""
    found = list(texts)
    return separator.join(found[:NAMED]) + (f" and {len(found) - NAMED} more" if len(found) > NAMED else "")
