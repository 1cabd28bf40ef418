"""The request of `ganzoo train`, and how often a run makes samples and checkpoints."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

from ganzoo.config.options import TrainOptions
from ganzoo.config.schema import RunConfig, RunOptions
from ganzoo.engine.device import is_available
from ganzoo.errors import UsageError
from ganzoo.runs.budget import Budget
from ganzoo.runs.tracking import ALWAYS, Callback
from ganzoo.tracking import Tracker
from ganzoo.variant import Variant

INCOMPLETE = "Say what to train and on what: ganzoo train VARIANT --data DATA --out RUN."
TENSORBOARD = "tensorboard"  # a tracker that has an option of its own
INTERVALS = {"sample_every", "checkpoint_every", "keep", "on_collapse"}


@dataclass(frozen=True)
class Intervals:
    """The steps between sample grids and between checkpoints, and what happens to checkpoints and after a collapse.

    `keep` is how many of the newest checkpoints stay, `on_collapse` is "warn", "stop" or "rollback".
    """

    sample_every: int = 500
    checkpoint_every: int = 1000
    keep: int = 3
    on_collapse: Literal["warn", "stop", "rollback"] = "warn"
    budget: Budget = Budget()


@dataclass(frozen=True, kw_only=True)
class Request:
    """One training: a variant, its options, and the run folder to make or to resume.

    `variant` is the name of a registered variant, a changed card of one, or the resolved variant of the run to resume.
    None means the default of the variant, or on resuming that of the run. `unset` names the fields of `RunOptions` that
    were not requested: on resuming, those of the run count. `start_from` is a model or run whose weights a new run
    starts from, and `freeze` the number of first layers by role that keep them. `track` names registered trackers,
    `tensorboard` adds that of TensorBoard. `callbacks` are functions of (step, values) and trackers, which belong to
    this process alone.
    """

    out: Path
    variant: str | Variant | None = None
    options: TrainOptions = TrainOptions()
    batch_size: int | None = None
    seed: int | None = None
    on_bad_image: Literal["error", "skip"] = "error"
    intervals: Intervals = Intervals()
    resume: bool = False
    tensorboard: bool = False
    track: tuple[str, ...] = ()
    callbacks: Sequence[Callback | Tracker] = ()
    quiet: bool = False
    unset: frozenset[str] = frozenset()
    start_from: str | None = None
    freeze: Mapping[str, int] = field(default_factory=dict)

    @property
    def run_options(self) -> RunOptions:
        """The options to save in the run."""
        root = self.options.data_root
        return RunOptions(
            sample_every=self.intervals.sample_every,
            checkpoint_every=self.intervals.checkpoint_every,
            keep=self.intervals.keep,
            on_collapse=self.intervals.on_collapse,
            tensorboard=TENSORBOARD in self.trackers,
            track=tuple(name for name in self.trackers if name not in (TENSORBOARD, ALWAYS)),
            on_bad_image=self.on_bad_image,
            data_root=None if root is None else str(root.expanduser().absolute()),
        )

    @property
    def trackers(self) -> tuple[str, ...]:
        """The names of all registered trackers that were requested, each once."""
        return tuple(dict.fromkeys([*([TENSORBOARD] if self.tensorboard else []), *self.track]))

    @property
    def source(self) -> str:
        """The data source; UsageError if there is none."""
        if self.options.data is None:
            raise UsageError(INCOMPLETE)
        return self.options.data

    @property
    def settings(self) -> list[str]:
        """All settings: those of the options, then the batch size and the steps that have options of their own."""
        own = {"batch_size": self.batch_size, "steps": self.options.steps}
        return [*self.options.settings, *(f"training.{name}={n}" for name, n in own.items() if n is not None)]

    def completed_by(self, run: RunConfig) -> Request:
        """Takes from the run to resume what the request leaves open; UsageError if that is a run of another variant.

        "auto" becomes the device of the run if there is one here: on another its bits would differ.
        """
        if self.start_from is not None or self.freeze:
            raise UsageError(f"{self.out} goes on from its own weights: leave out --from and --freeze.")
        if self.variant not in (None, run.variant.name):
            raise UsageError(f"{self.out} is a run of '{run.variant.name}', not of '{self.variant}'.")
        options = self.options.completed_by(run)
        if options.device == "auto" and is_available(run.device):
            options = replace(options, device=run.device)
        seed = run.seed if self.seed is None else self.seed
        known = {name: getattr(run.options or RunOptions(), name) for name in self.unset}
        intervals = replace(self.intervals, **{name: known.pop(name) for name in INTERVALS & known.keys()})
        return replace(self, variant=run.variant, options=options, seed=seed, intervals=intervals, **known)
