"""Applies a model to one uploaded picture, and shows both on one scale."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ganzoo.data.archives import read_file
from ganzoo.data.decode import BadImage, as_bad_image, open_header
from ganzoo.data.single_files import DecodedImage, ImageFile, decode_image
from ganzoo.errors import DataError, UsageError
from ganzoo.files import pictures
from ganzoo.models.apply import Application
from ganzoo.models.model import Model
from ganzoo.models.picture_files import save_raster
from ganzoo.models.rasters import as_picture, size_of
from ganzoo.studio.commands import command
from ganzoo.studio.files import new_file
from ganzoo.studio.sampling import LARGEST_SEED, whole

if TYPE_CHECKING:
    from torch import nn

UPLOAD_BYTES = 20 * 2**20
PIXELS = 4_000_000  # of an upload; larger pictures take minutes, which is the command line's
OUTPUT_PIXELS = 64_000_000
SHOWN = 1600  # pixels of the longer side in the page
LARGEST_SCALE = 8.0


@dataclass(frozen=True)
class Request:
    """One picture to apply a model to; `scale` None is the network's."""

    path: str
    scale: float | None = None
    label: str | None = None
    seed: int = 0


@dataclass(frozen=True)
class Applied:
    """The paths of the output as `ganzoo apply` writes it and of two pictures of one size to compare, and a line."""

    output: str
    before: str
    after: str
    line: str


def apply(
    model: Model,
    request: Request,
    folder: Path,
    on_tile: Callable[[int, int], None] = lambda number, count: None,
    check: Callable[[], None] = lambda: None,
) -> Applied:
    """Applies a model to an uploaded file and writes the output and the comparison below `folder`.

    `on_tile` is called with the number of each tile and that of all tiles, `check` before each layer of the network: an
    error that it raises ends the work, and no file stays. UsageError for a picture or an option out of
    bounds, DataError for a file that cannot be decoded; sizes are checked before pixels are decoded.
    """
    seed = whole(request.seed, "The seed", 0, LARGEST_SEED)
    scale = request.scale
    if scale is not None and not 0 < scale <= LARGEST_SCALE:
        raise UsageError(f"The scale is a number above 0, at most {LARGEST_SCALE:g}, not {scale:g}.")
    application = Application(model, seed=seed, label=request.label, scale=scale, on_tile=on_tile)
    given = decoded(request.path)
    height, width = application.final_size(size_of(given.pixels))
    if height * width > OUTPUT_PIXELS:
        raise UsageError(
            f"The output would have {width} x {height} pixels, and the studio makes at most "
            f"{OUTPUT_PIXELS / 1e6:.0f} million: choose a smaller scale, or use `ganzoo apply`."
        )
    with _layers(model.generator, check):
        made = application.outputs([given.pixels], model.latent(1, seed))[0]
    output = new_file(folder, "out.png")
    save_raster(made, output, icc_profile=given.icc_profile, exif=given.exif)
    before, after = _compared(as_picture(given.pixels), as_picture(made), folder)
    size = size_of(given.pixels)
    return Applied(str(output), before, after, f"{size[1]} x {size[0]} pixels became {width} x {height}.")


@contextmanager
def _layers(network: nn.Module, check: Callable[[], None]) -> Iterator[None]:
    """Calls `check` before each layer: a tile of a large picture takes a minute on a CPU, a layer of it seconds."""
    handles = [layer.register_forward_pre_hook(lambda *_: check()) for layer in network.modules()]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def about(model: Model) -> str:
    """Says in a line what a model does to a picture, and at which size it learned to."""
    height, width = model.geometry.source.shape[1:]
    size = f"{width} x {height} pixels"
    if model.config.task == "super-resolution":
        return f"Enlarges pictures of any size; it learned on pieces of {size}."
    return f"Learned to translate pictures of {size}. It takes other sizes too: far from its own the result is worse."


def apply_command(name: str, request: Request, file: str = "picture.png") -> str:
    """Returns the command that writes the output of a file of that name, byte for byte."""
    seed = request.seed or None
    return command("apply", name, file, scale=request.scale, label=request.label, seed=seed, out="out.png")


def decoded(path: str) -> DecodedImage:
    """Decodes an uploaded still within bounds; UsageError if it is too large or moves, DataError if it is damaged."""
    size = os.path.getsize(path)
    if size > UPLOAD_BYTES:
        raise UsageError(f"The file has {size:,} bytes, and the studio takes at most {UPLOAD_BYTES:,}.")
    file = ImageFile(Path(path), Path(path).name)
    try:
        header = _header(file)
        width, height = header.size
        if width * height > PIXELS:
            raise UsageError(
                f"The picture has {width} x {height} pixels, and the studio takes {PIXELS / 1e6:g} million: "
                "make it smaller, or use `ganzoo apply`."
            )
        if getattr(header, "n_frames", 1) > 1 and header.format in ("GIF", "WEBP", "PNG"):
            raise UsageError("The file is an animation, and the studio takes stills: use `ganzoo apply`.")
        return decode_image(file)
    except BadImage as error:
        raise DataError(f"The file is not usable as an image: {error}.") from None


def _header(file: ImageFile) -> Any:
    """Reads the header alone; BadImage for damage, as decoders raise errors of nearly every type."""
    try:
        header = open_header(read_file(file.path))
        getattr(header, "n_frames", 1)  # reads the headers of frames
        return header
    except Exception as error:
        raise as_bad_image(error) from error


def _compared(before: Any, after: Any, folder: Path) -> tuple[str, str]:
    """Writes both pictures at one size, that of the output or what a page can show; alpha is over a checkerboard."""
    from PIL import Image

    shrunk = min(1.0, SHOWN / max(after.size))
    size = max(1, round(after.width * shrunk)), max(1, round(after.height * shrunk))
    written = []
    for picture, name in ((before, "before.png"), (after, "after.png")):
        shown = pictures.over_board(picture)
        if shown.size != size:
            enlarged = shown.width < size[0]
            shown = shown.resize(size, Image.Resampling.BICUBIC if enlarged else Image.Resampling.LANCZOS)
        path = new_file(folder, name)
        pictures.save_picture(shown, path)
        written.append(str(path))
    return written[0], written[1]
