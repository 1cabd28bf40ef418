"""Pictures of points in the plane: samples over real points and the field of a discriminator."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

EXTENT = 1.6  # the window of every picture, from the origin
CELLS = 120  # of the field on a side
SIDE = 480  # pixels
COLOURS = 61  # of the field: it has thousands, and the file would be eight times as large
SHOWN = 600
PALE = 0.75  # dots must stand out from the strongest colour
QUANTILE = 0.9
REAL, FAKE, NEUTRAL = (59, 108, 178), (196, 60, 57), (247, 247, 247)
INK, GHOST, RING = (20, 20, 20), (255, 255, 255), (150, 150, 150)


def window() -> Tensor:
    """Returns the centres of the field's cells, row by row from the top left: (CELLS², 2)."""
    line = (torch.arange(CELLS, dtype=torch.float32) + 0.5) * (2 * EXTENT / CELLS) - EXTENT
    down, right = torch.meshgrid(-line, line, indexing="ij")
    return torch.stack([right, down], 2).view(-1, 2)


def field_of(judge: Callable[[Tensor], Tensor], boundary: float, low: bool = False) -> Tensor:
    """Returns the decisions of a discriminator over the window: (CELLS, CELLS) in [-1, 1], above 0 for real.

    Logits are measured from the boundary and divided by the 90 % quantile of their magnitudes, so that critics and
    classifiers share a scale. `low` states that real points have the lower logits.
    """
    logits = judge(window()).float().cpu() - boundary
    scale = logits.abs().quantile(QUANTILE).clamp_min(1e-12)
    return torch.tanh((-logits if low else logits) / scale).view(CELLS, CELLS)


def scatter(
    fake: Tensor,
    *,
    real: Tensor | None = None,
    field: Tensor | None = None,
    centres: Tensor | None = None,
    radius: float = 0.0,
) -> Any:
    """Draws points (N, 2) in black over white real ones, the modes' circles and a field of blue (real) and red (fake).

    The Pillow picture has 480 pixels a side and shows the square of ±1.6; a line counts the samples outside of it.
    """
    from PIL import Image, ImageDraw, ImageFont

    picture = Image.new("RGB", (SIDE, SIDE), "white") if field is None else _coloured(field)
    draw = ImageDraw.Draw(picture)
    for x, y in () if centres is None else centres.tolist():
        _circle(draw, x, y, radius, outline=RING)
    for points, colour, size in ((real, GHOST if field is not None else RING, 1.5), (fake, INK, 1.5)):
        if points is None:
            continue
        for x, y in points[:SHOWN].tolist():
            _dot(draw, x, y, size, colour)
    outside = float((fake.abs() > EXTENT).any(1).double().mean())
    if outside > 0:
        draw.text((6, SIDE - 18), f"{100 * outside:.3g} % of the samples are outside", INK, ImageFont.load_default(12))
    return picture.quantize(palette=_palette(), dither=Image.Dither.NONE)


def _colours(field: Tensor) -> Tensor:
    """The colours (..., 3), uint8, of numbers in [-1, 1]: red below 0, blue above."""
    ends = torch.tensor([FAKE, NEUTRAL, REAL], dtype=torch.float32)
    above, below = field.clamp(0, 1)[..., None], (-field).clamp(0, 1)[..., None]
    mixed = ends[1] + PALE * (above * (ends[2] - ends[1]) + below * (ends[0] - ends[1]))
    return mixed.round().to(torch.uint8)


def _coloured(field: Tensor) -> Any:
    """A picture of a field in [-1, 1], enlarged smoothly."""
    from PIL import Image

    small = Image.fromarray(_colours(field).numpy())
    return small.resize((SIDE, SIDE), Image.Resampling.BILINEAR)


def _palette() -> Any:
    """An image with the palette of every picture: the same colours in each frame of an animation."""
    from PIL import Image

    ramp = _colours(torch.linspace(-1, 1, COLOURS)).flatten().tolist()
    holder = Image.new("P", (1, 1))
    holder.putpalette([*ramp, *INK, *GHOST, *RING])
    return holder


def _place(x: float, y: float) -> tuple[float, float]:
    scale = SIDE / (2 * EXTENT)
    return (x + EXTENT) * scale, (EXTENT - y) * scale


def _dot(draw: Any, x: float, y: float, size: float, colour: Any) -> None:
    if max(abs(x), abs(y)) <= EXTENT:  # false for nan too
        across, down = _place(x, y)
        draw.ellipse((across - size, down - size, across + size, down + size), fill=colour)


def _circle(draw: Any, x: float, y: float, radius: float, outline: Any) -> None:
    left, top = _place(x - radius, y + radius)
    right, bottom = _place(x + radius, y - radius)
    draw.ellipse((left, top, right, bottom), outline=outline)
