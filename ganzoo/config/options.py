"""The options that training requests and bench requests share."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from ganzoo.config.schema import RunConfig


@dataclass(frozen=True, kw_only=True)
class TrainOptions:
    """The images, length, changes and device of a training. None means the default.

    `image_size` is in pixels. `steps` or `images`, the real images that the discriminator sees, is the budget.
    `settings` are "path=value" as `ganzoo.config.settings.resolve` takes them, `mixins` the names of regularizers and
    augmentations to add.
    """

    data: str | None = None
    data_root: Path | None = None
    image_size: int | None = None
    channels: int | None = None
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
            **({"image_size": run.image.size, "channels": run.image.channels} if run.variant.kind == "image" else {}),
            "conditional": run.image.classes > 0,
            "precision": run.precision,
            "threads": run.threads,
        }
        if self.data is None and run.options is not None and run.options.data_root is not None:
            known["data_root"] = Path(run.options.data_root)
        return replace(self, **{name: value for name, value in known.items() if getattr(self, name) is None})
