"""Runs of Weights & Biases, online or offline."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ganzoo.errors import UsageError
from ganzoo.tracking import Outcome, Tracker

from .run_names import keep_name, known_name


class WeightsAndBiases(Tracker):
    """Logs to the wandb project WANDB_PROJECT, "ganzoo" if it is not set; WANDB_MODE=offline keeps all in `wandb/`.

    Every number has its step as the x axis, so that a resumed run, which goes on in the same run of the project, may
    repeat steps. Standard output, code and git state are not sent. UsageError without the package wandb.
    """

    def __init__(self, folder: Path):
        try:
            import wandb
        except ImportError:
            raise UsageError("--track wandb needs the package wandb: pip install wandb.") from None
        self.folder, self._wandb = Path(folder), wandb
        self._run: Any = None

    def start(self, config: Mapping[str, Any]) -> None:
        known = known_name(self.folder, "wandb")
        self._run = self._wandb.init(
            project=os.environ.get("WANDB_PROJECT", "ganzoo"),
            name=self.folder.name,
            dir=str(self.folder),
            id=known or keep_name(self.folder, "wandb"),
            resume="allow" if known else None,
            config=dict(config),
            save_code=False,
            settings=self._wandb.Settings(console="off", disable_git=True, disable_code=True, silent=True),
        )
        self._run.define_metric("step")
        self._run.define_metric("*", step_metric="step")

    def log(self, step: int, values: Mapping[str, float]) -> None:
        self._run.log({"step": step, **values})

    def image(self, step: int, name: str, picture: Any) -> None:
        self._run.log({"step": step, name: self._wandb.Image(picture.convert("RGB"))})

    def finish(self, outcome: Outcome) -> None:
        self._run.summary["outcome"] = outcome
        self._run.finish(exit_code=0 if outcome == "finished" else 1)
