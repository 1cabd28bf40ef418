"""Pictures of paths in the plane, one panel each."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import Tensor

SIDE, CAPTION = 320, 22  # pixels of a panel, and of the line above it
FINE = 3  # drawn so many times as large, and then made smaller: lines without steps
EARLY, LATE, AXES, INK = (170, 200, 235), (20, 50, 120), (200, 200, 200), (20, 20, 20)
MARGIN = 1.1


def paths(panels: Sequence[tuple[str, Tensor]]) -> Any:
    """Draws paths (T, 2) in panels of one scale with the origin in the middle, light at the start and dark at the end.

    A green dot is the start, a red one the end. Returns a Pillow picture.
    """
    from PIL import Image, ImageDraw, ImageFont

    reach = MARGIN * max(float(path[path.isfinite().all(1)].abs().max()) for _, path in panels)
    whole = Image.new("RGB", (SIDE * len(panels), SIDE + CAPTION), "white")
    for number, (caption, path) in enumerate(panels):
        whole.paste(_panel(path, max(reach, 1e-12)), (SIDE * number, CAPTION))
        place = (SIDE * number + SIDE / 2, CAPTION / 2)
        ImageDraw.Draw(whole).text(place, caption, INK, ImageFont.load_default(13), anchor="mm")
    return whole


def _panel(path: Tensor, reach: float) -> Any:
    from PIL import Image, ImageDraw

    side = SIDE * FINE
    picture = Image.new("RGB", (side, side), "white")
    draw = ImageDraw.Draw(picture)
    draw.line((side / 2, 0, side / 2, side), AXES, FINE)
    draw.line((0, side / 2, side, side / 2), AXES, FINE)
    found = path[path.isfinite().all(1)].double()
    places = [((1 + x / reach) * side / 2, (1 - y / reach) * side / 2) for x, y in found.tolist()]
    for step, ends in enumerate(zip(places, places[1:], strict=False)):
        share = step / len(places)
        colour = tuple(round(early + share * (late - early)) for early, late in zip(EARLY, LATE, strict=True))
        draw.line([*ends[0], *ends[1]], colour, FINE)
    for (x, y), end in ((places[0], "green"), (places[-1], "red")):
        draw.ellipse((x - 4 * FINE, y - 4 * FINE, x + 4 * FINE, y + 4 * FINE), fill=end)
    return picture.resize((SIDE, SIDE), Image.Resampling.LANCZOS)
