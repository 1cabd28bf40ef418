"""Animations of a run: the pictures of samples that it saved, one after the other."""

from __future__ import annotations

import io
import re
from pathlib import Path
from typing import Any

from ganzoo.errors import UsageError
from ganzoo.files.pictures import save_animation
from ganzoo.files.safe_open import open_regular
from ganzoo.files.text import one_line
from ganzoo.runs.folder import RunFolder

NAME = re.compile(r"step-(\d{9,})\.png")
FRAME_BYTES = 2**25
LARGEST_FRAMES = 1000
PIXELS = 2**28  # of all frames together


def animate(run: Path, out: Path, *, seconds: float = 0.2, width: int | None = None) -> int:
    """Writes the pictures in `samples/` of a run as a GIF or WebP animation; returns the number of frames.

    `seconds` is the time of a frame, the last one stays five times as long; frames wider than `width` pixels are made
    smaller. UsageError if the run has fewer than two pictures, or ones that cannot be read.
    """
    folder = RunFolder(run).samples
    found = sorted((int(match[1]), path) for path in _listed(folder) if (match := NAME.fullmatch(path.name)))
    if len(found) < 2:
        raise UsageError(
            f"{folder} holds {len(found)} pictures, and an animation takes two or more: train with --sample-every."
        )
    if len(found) > LARGEST_FRAMES:
        raise UsageError(f"{folder} holds {len(found):,} pictures; an animation takes at most {LARGEST_FRAMES:,}.")
    frames: list[Any] = []
    pixels = 0
    for _, path in found:
        frame = read_picture(path, width)
        pixels += frame.width * frame.height
        if pixels > PIXELS:
            raise UsageError(
                f"The pictures in {folder} have too many pixels for an animation: make them smaller (--width)."
            )
        if frames and frame.size != frames[0].size:
            raise UsageError(f"{path} has another size than the first picture of {folder}.")
        frames.append(frame)
    save_animation([*frames, *[frames[-1]] * 4], out, seconds)
    return len(frames)


def _listed(folder: Path) -> list[Path]:
    try:
        return list(folder.iterdir())
    except OSError:
        raise UsageError(f"{folder} does not exist: give the folder of a run.") from None


def read_picture(path: Path, width: int | None) -> Any:
    """Reads one picture, at most `width` pixels wide."""
    from PIL import Image

    with open_regular(path, follow=False) as file:
        data = file.read(FRAME_BYTES + 1)
    try:
        picture: Image.Image = Image.open(io.BytesIO(data), formats=["PNG"])
        picture.load()
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise UsageError(f"{path} is no picture that can be read: {one_line(error)}") from None
    if width is not None and picture.width > width:
        height = max(1, round(picture.height * width / picture.width))
        smaller = picture.convert("RGB").resize((width, height), Image.Resampling.LANCZOS)
        picture = smaller.quantize(palette=picture, dither=Image.Dither.NONE) if picture.mode == "P" else smaller
    return picture
