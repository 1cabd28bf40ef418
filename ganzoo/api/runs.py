"""`Run`: the folder of a training, to read, to go on with and to sample from."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, overload

from ganzoo.api.inputs import callbacks_of, data_name, names_of, options_of
from ganzoo.api.public import public
from ganzoo.checkpoints.checkpoint import list_checkpoints
from ganzoo.config.schema import RunConfig, RunOptions
from ganzoo.engine.distributed import leave
from ganzoo.errors import CheckpointError, UsageError
from ganzoo.files.output_checks import path_of
from ganzoo.registry.registry import registry
from ganzoo.runs.folder import RunFolder
from ganzoo.runs.request import Request
from ganzoo.runs.train import train

if TYPE_CHECKING:
    import pandas
    from PIL.Image import Image

    from ganzoo.api.inputs import Images
    from ganzoo.models.model import Model
    from ganzoo.runs.tracking import Callback
    from ganzoo.tracking import Tracker


class Run:
    """The folder of a training run: its configuration, numbers, samples and checkpoints.

    Attributes:
        folder: where it is. `ganzoo.load` and `ganzoo.push` take a run as they take its folder.
    """

    def __init__(self, folder: str | os.PathLike[str]) -> None:
        self.folder = path_of("folder", folder)
        self._files = RunFolder(self.folder)
        if not self._files.config.is_file():
            raise UsageError(f"{self.folder} is no run: it holds no config.json.")
        self._files.read_config()

    def __fspath__(self) -> str:
        return str(self.folder.absolute())

    def __repr__(self) -> str:
        config = self.config
        data = f"{config.data.name}, {config.image.extent}"
        return f"<Run {self.folder}: {config.variant.name} on {data}, step {self.step} of {self.steps}>"

    def _repr_png_(self) -> bytes | None:
        picture = self.folder / "samples.png"
        return picture.read_bytes() if picture.is_file() else None

    @property
    def config(self) -> RunConfig:
        """The content of config.json: the resolved variant, the data, the seed and the versions."""
        return self._files.read_config()

    @property
    def step(self) -> int:
        """The step of the newest checkpoint; 0 before the first."""
        return max((step for step, _ in list_checkpoints(self._files.checkpoints)), default=0)

    @property
    def steps(self) -> int:
        """The steps that the run was asked for."""
        return self.config.variant.training.steps

    @public
    def resume(
        self,
        steps: int | None = None,
        *,
        data: Images | None = None,
        overrides: Mapping[str, Any] = {},
        callbacks: Callback | Sequence[Callback | Tracker] = (),
        track: str | Sequence[str] | None = None,
        device: str = "auto",
        threads: int | None = None,
        progress: bool = False,
    ) -> Run:
        """Trains on, as `ganzoo train --resume` does: the result is that of a run that never stopped.

        Args:
            steps: the steps of the whole run; None for those that it was asked for.
            data: the same images, if the run had them in memory and this is another process.
            overrides: as for `ganzoo.train`; only settings that may differ.
            track: names of trackers; None for those of the run.
            callbacks, device, threads, progress: as for `ganzoo.train`.

        Raises:
            UsageError: if the run cannot go on here, before anything is changed.
        """
        options = options_of(
            data=None if data is None else data_name(data),
            steps=steps,
            overrides=overrides,
            device=device,
            threads=threads,
        )
        unset = {field.name for field in fields(RunOptions)} - {"data_root"}
        if track is not None:
            unset -= {"tensorboard", "track"}
        train_request(
            Request(
                out=self.folder,
                options=options,
                resume=True,
                quiet=not progress,
                unset=frozenset(unset),
                track=names_of("track", track or ()),
                callbacks=callbacks_of(callbacks),
            )
        )
        return self

    def records(self) -> list[dict[str, Any]]:
        """Returns the records of metrics.jsonl as they are: terms, samples and events.

        A warning says how many lines are damaged and left out.
        """
        return self._files.sound_records()

    @overload
    def metrics(self, frame: Literal[False] = False) -> list[dict[str, float]]: ...
    @overload
    def metrics(self, frame: Literal[True]) -> pandas.DataFrame: ...
    @public
    def metrics(self, frame: bool = False) -> Any:
        """Returns the numbers of the run, one row a step: "step", "images", "seconds", terms as "discriminator.loss",
        and measurements of samples as "samples.diversity".

        Args:
            frame: returns a pandas data frame, indexed by step, instead of a list of dictionaries.

        Raises:
            UsageError: for a frame where pandas is not installed.
        """
        rows: dict[int, dict[str, Any]] = {}
        for record in self.records():
            numbers: dict[str, Any] = {name: record[name] for name in ("images", "seconds") if name in record}
            numbers |= record.get("terms", {})
            for kind in ("samples", "final"):
                numbers |= {f"{kind}.{name}": value for name, value in record.get(kind, {}).items()}
            if record.keys() & {"terms", "samples", "final"}:
                rows.setdefault(record["step"], {"step": record["step"]}).update(numbers)
        found = [{name: _number(value) for name, value in row.items()} for row in rows.values()]
        if not frame:
            return found
        return data_frame(found).set_index("step") if found else data_frame(found)

    def grids(self) -> dict[int, Path]:
        """Returns the pictures of samples by step, the oldest first."""
        found = {path: path.stem.removeprefix("step-") for path in sorted(self._files.samples.glob("step-*.png"))}
        return {int(step): path for path, step in found.items() if step.isdigit()}

    def samples(self, step: int | None = None) -> Image:
        """Opens the picture of samples of a step; None for the last one.

        Raises:
            CheckpointError: if there is no picture yet.
            UsageError: if there is none of that step, with the steps that have one.
        """
        from PIL import Image

        grids = self.grids()
        if step is not None and step not in grids:
            raise UsageError(f"{self.folder} has no picture of step {step}; there are {', '.join(map(str, grids))}.")
        path = grids[step] if step is not None else self.folder / "samples.png"
        if not path.is_file():
            raise CheckpointError(f"{self.folder} has no picture of samples yet.")
        with Image.open(path) as picture:
            picture.load()
            return picture

    @public
    def model(self, **options: Any) -> Model:
        """Loads the generator of the newest checkpoint; `options` are those of `ganzoo.load`."""
        from ganzoo.models.load import load

        return load(self, **options)


def _number(value: Any) -> Any:
    """A number of metrics.jsonl, where "nan" and "inf" are texts."""
    return float(value) if isinstance(value, str) else value


@public
def open_run(folder: str | os.PathLike[str]) -> Run:
    """Opens the folder of a run that `ganzoo train` or `ganzoo.train` made.

    Raises:
        UsageError: if it is no run.
        CheckpointError: if its config.json is damaged.
    """
    return Run(folder)


def train_request(request: Request) -> Run:
    """Runs a training to its end."""
    folder = train(request, registry())
    leave()
    return Run(folder.path)


def data_frame(rows: list[dict[str, Any]]) -> pandas.DataFrame:
    """Returns rows as a pandas data frame; UsageError without pandas."""
    try:
        import pandas
    except ImportError:
        raise UsageError("A data frame needs pandas: pip install pandas, or take the list.") from None
    return pandas.DataFrame(rows)
