"""The options that training requests and bench requests share."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from ganzoo.config.schema import RunConfig


@dataclass(frozen=True, kw_only=True)
class TrainOptions:
    """The images, length, changes and device of a training. None means the default.

    `image_size` is in pixels, of squares or (height, width). `source` is the other side of the data or the name of a
    condition, and the fields after it are those of `ganzoo.data.request.DataRequest`. `steps` or `images`, the real
    images that the discriminator sees, is the budget. `settings` are "path=value" as `ganzoo.config.settings.resolve`
    takes them, `mixins` the names of regularizers and augmentations to add.
    """

    data: str | None = None
    data_root: Path | None = None
    image_size: int | tuple[int, int] | None = None
    channels: int | None = None
    source: str | None = None
    side_by_side: bool | None = None
    direction: Literal["AtoB", "BtoA"] | None = None
    unpaired: bool | None = None
    source_size: int | tuple[int, int] | None = None
    source_channels: int | None = None
    conditional: bool | None = None
    steps: int | None = None
    images: int | None = None
    settings: tuple[str, ...] = ()
    mixins: tuple[str, ...] = ()
    precision: Literal["fp32", "bf16"] | None = None
    device: str = "auto"
    threads: int | None = None

    def completed_by(self, run: RunConfig) -> TrainOptions:
        """Takes from an earlier run what these options leave open; length, settings and mix-ins stay as requested."""
        known: dict[str, Any] = {
            "data": run.data.source,
            **_pictures_of(run),
            "conditional": run.image.classes > 0,
            "precision": run.precision,
            "threads": run.threads,
        }
        if self.data is None and run.options is not None and run.options.data_root is not None:
            known["data_root"] = Path(run.options.data_root)
        return replace(self, **{name: value for name, value in known.items() if getattr(self, name) is None})


def _pictures_of(run: RunConfig) -> dict[str, Any]:
    """The sizes and channels of a run's pictures, and how its sources belong to them."""
    if run.image.output.kind != "image":
        return {}
    height, width = run.image.height, run.image.width
    known: dict[str, Any] = {"image_size": height if height == width else (height, width)}
    sources = run.data.sources
    if sources is None:
        return {**known, "channels": run.image.channels}
    known |= {"channels": sources.channels, "source": sources.source, "side_by_side": sources.side_by_side or None}
    if sources.size is None:  # conditions compute all inputs
        return known
    known |= {"source_channels": sources.source_channels, "unpaired": sources.unpaired}
    if sources.source is None:
        known["direction"] = sources.direction
    if not sources.side_by_side:
        known["source_size"] = sources.size
    return known
