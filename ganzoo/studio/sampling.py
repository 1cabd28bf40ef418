"""Grids of samples with sliders, and the command that makes each of them again."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from ganzoo.errors import UsageError
from ganzoo.files import pictures, scatter
from ganzoo.files.text import quoted
from ganzoo.models.model import Model
from ganzoo.models.moves import Moves, Slider, sliders
from ganzoo.studio.commands import command

MOST = 64  # images of a grid
POINTS = 600
LARGEST_SEED = 2**31 - 1
EVERY_CLASS = "all classes in turn"


@dataclass(frozen=True)
class Request:
    """One grid: `count` images of a seed, all of a class or all classes in turn, truncated and moved by sliders."""

    seed: int = 0
    count: int = 16
    label: str | None = None
    truncation: float | None = None
    moves: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Controls:
    """What can be chosen of a model: names of classes, whether the prior can be cut off, and sliders."""

    classes: tuple[str, ...]
    truncates: bool
    sliders: tuple[Slider, ...]
    count: int


def controls_of(model: Model) -> Controls:
    """Asks a generator what can be chosen; a generator without a layer that takes latents has no sliders."""
    try:
        found = tuple(sliders(model))
    except UsageError:
        found = ()
    is_image = model.image.output.kind == "image"
    names = tuple(model.class_names)
    count = len(names) * (16 // len(names) + 1) if 2 <= len(names) <= 12 else 16
    return Controls(names, is_image and _truncates(model), found, count if is_image else POINTS)


def _truncates(model: Model) -> bool:
    try:
        latent = model.latent(1, 0, 1.0)
        model.style(latent, model.labels(1), 1.0)
    except UsageError:
        return False
    return True


def checked(model: Model, request: Request) -> Request:
    """Returns a request whose numbers are whole and in range; UsageError for one that is not."""
    most = MOST if model.image.output.kind == "image" else 10 * POINTS
    count, seed = whole(request.count, "Images", 1, most), whole(request.seed, "The seed", 0, LARGEST_SEED)
    coded = bool(model.generator.codes)
    moves = {name: float(value) for name, value in request.moves.items() if value or coded}
    return Request(seed, count, request.label, request.truncation, moves)


def whole(value: Any, what: str, least: int, most: int) -> int:
    """Returns a value as a whole number; UsageError unless it is one in a range."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not float(value).is_integer():
        raise UsageError(f"{what}: a whole number from {least} to {most}, not {quoted(str(value))}.")
    if not least <= value <= most:
        raise UsageError(f"{what}: a whole number from {least} to {most:,}, not {value:,.0f}.")
    return int(value)


def columns_of(model: Model, count: int) -> int:
    """Returns the columns of a grid: as many as classes if they are few, at most 8."""
    classes = model.image.classes
    if 2 <= classes <= 12 and count % classes == 0:
        return classes
    return next(side for side in range(1, 9) if side * side >= count or side == 8)


def grid(model: Model, request: Request) -> Any:
    """Samples and returns a Pillow picture: images in a grid, or points in the plane."""
    request = checked(model, request)
    sampled = model.sample(
        request.count,
        request.seed,
        label=request.label,
        truncation=request.truncation,
        moves=Moves(model, request.moves) if request.moves else None,
    )
    if model.image.output.kind != "image":
        return scatter.scatter(sampled)
    return pictures.enlarged(pictures.grid(sampled, columns_of(model, request.count)))


def grid_command(name: str, model: Model, request: Request, out: str = "grid.png") -> str:
    """Returns the command that writes the picture of `grid`, byte for byte."""
    request = checked(model, request)
    return command(
        "sample",
        name,
        n=request.count,
        seed=request.seed,
        label=request.label,
        truncation=request.truncation,
        move=dict(request.moves),
        columns=columns_of(model, request.count) if model.image.output.kind == "image" else None,
        out=out,
    )
