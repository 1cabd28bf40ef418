"""Runs in trackio's local store, or in the Space that its environment variables name."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ganzoo.errors import UsageError
from ganzoo.tracking import Outcome, Tracker

from .run_names import keep_name, known_name


class Trackio(Tracker):
    """Logs to the trackio project TRACKIO_PROJECT, "ganzoo" if it is not set: `trackio show`.

    A resumed run goes on in the same run of the project. UsageError without the package trackio.
    """

    def __init__(self, folder: Path):
        try:
            import trackio
        except ImportError:
            raise UsageError("--track trackio needs the package trackio: pip install trackio.") from None
        self.folder, self._trackio = Path(folder), trackio
        self._run: Any = None

    def start(self, config: Mapping[str, Any]) -> None:
        name = known_name(self.folder, "trackio") or keep_name(self.folder, "trackio")
        self._run = self._trackio.init(
            project=os.environ.get("TRACKIO_PROJECT", "ganzoo"),
            name=f"{self.folder.name}-{name}",
            config=dict(config),
            resume="allow",
            embed=False,
        )

    def log(self, step: int, values: Mapping[str, float]) -> None:
        self._run.log(dict(values), step=step)

    def image(self, step: int, name: str, picture: Any) -> None:
        self._run.log({name: self._trackio.Image(picture.convert("RGB"))}, step=step)

    def finish(self, outcome: Outcome) -> None:
        self._run.finish()
