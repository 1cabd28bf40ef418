"""Image files that a command is given by name: found, paired by their names, and decoded at their own size."""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from PIL import Image, ImageOps

from ganzoo.data.archives import list_files, read_file
from ganzoo.data.decode import SUFFIXES, BadImage, as_bad_image, open_header
from ganzoo.errors import DataError, UsageError
from ganzoo.files.text import quoted

NAMED = 8


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
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Pillow warns of large images below the limit here, and of metadata
            image = open_header(read_file(file.path))
            image.load()
            return ImageOps.exif_transpose(image)
    except Exception as error:  # Pillow's decoders raise nearly every type there is on damaged files
        raise as_bad_image(error) from error


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


def refuse_clashes(files: Sequence[ImageFile], key: Callable[[ImageFile], str], problem: str) -> None:
    """DataError that names all files that share a key."""
    groups: dict[str, list[ImageFile]] = {}
    for file in files:
        groups.setdefault(key(file), []).append(file)
    clashes = [" and ".join(quoted(file.path) for file in group) for group in groups.values() if len(group) > 1]
    if clashes:
        raise DataError(f"Files {problem}: {listed(clashes, '; ')}.")


def listed(texts: Iterable[str], separator: str = ", ") -> str:
    """Joins the first texts and the number of the others."""
    found = list(texts)
    return separator.join(found[:NAMED]) + (f" and {len(found) - NAMED} more" if len(found) > NAMED else "")
