"""Walks through the latents of a generator as an animation, and the command that makes each of them again."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from ganzoo.errors import UsageError
from ganzoo.files import pictures
from ganzoo.models.model import Model
from ganzoo.studio.commands import command
from ganzoo.studio.sampling import LARGEST_SEED, whole

FRAMES = 12  # from each stop to the next
MOST = 16  # stops
WIDTH = 256  # pixels, at least
SUFFIXES = (".webp", ".gif")


@dataclass(frozen=True)
class Request:
    """A closed walk through `stops` latents of a seed, in one class."""

    seed: int = 0
    stops: int = 4
    label: str | None = None
    truncation: float | None = None


def write_walk(
    model: Model, request: Request, path: Path, on_frame: Callable[[int, int], None] = lambda number, count: None
) -> None:
    """Writes the animation as WebP or GIF; `on_frame` is called with the number of each frame and that of all.

    UsageError for a number out of range.
    """
    request = checked(request, path.suffix)
    walk = model.interpolate(request.stops, FRAMES, request.seed, request.label, truncation=request.truncation)
    frames, count = [], request.stops * FRAMES
    for number, image in enumerate(walk, 1):
        frames.append(pictures.enlarged(pictures.grid(image, padding=0), WIDTH))
        on_frame(number, count)
    pictures.save_animation(frames, path)


def walk_command(name: str, request: Request, suffix: str) -> str:
    """Returns the command that writes the animation, byte for byte."""
    request = checked(request, suffix)
    return command(
        "sample",
        name,
        n=request.stops,
        seed=request.seed,
        label=request.label,
        truncation=request.truncation,
        interpolate=True,
        out=f"walk{suffix}",
    )


def checked(request: Request, suffix: str) -> Request:
    """Returns a request whose numbers are whole and in range; UsageError for one that is not."""
    if suffix not in SUFFIXES:
        raise UsageError(f"A walk is written as {' or '.join(SUFFIXES)}.")
    stops, seed = whole(request.stops, "Stops", 2, MOST), whole(request.seed, "The seed", 0, LARGEST_SEED)
    return Request(seed, stops, request.label, request.truncation)
