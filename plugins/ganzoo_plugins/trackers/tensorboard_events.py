"""Curves and pictures for TensorBoard, in the folder `tensorboard/` of a run."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ganzoo.errors import UsageError
from ganzoo.tracking import Outcome, Tracker


class TensorBoard(Tracker):
    """Writes event files for TensorBoard into `tensorboard/` of the run: `tensorboard --logdir RUN`.

    Steps that are trained again replace what they had: TensorBoard drops everything from the step at which a file
    begins. UsageError without the package tensorboard.
    """

    def __init__(self, folder: Path):
        try:
            from torch.utils.tensorboard import SummaryWriter
        except ImportError:
            raise UsageError(
                "--track tensorboard needs the package tensorboard: pip install tensorboard, or leave it out "
                "(--no-tensorboard)."
            ) from None
        self.folder = Path(folder) / "tensorboard"
        self._open = SummaryWriter
        self._writer: Any = None

    def start(self, config: Mapping[str, Any]) -> None:
        self._writer = self._open(str(self.folder))

    def log(self, step: int, values: Mapping[str, float]) -> None:
        for name, value in values.items():
            self._writer.add_scalar(name, value, step)

    def image(self, step: int, name: str, picture: Any) -> None:
        import numpy

        self._writer.add_image(name, numpy.asarray(picture.convert("RGB")), step, dataformats="HWC")

    def forget_after(self, step: int) -> None:
        self._writer.close()
        self._writer = self._open(str(self.folder), purge_step=step + 1)

    def finish(self, outcome: Outcome) -> None:
        self._writer.close()
