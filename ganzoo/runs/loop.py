"""The training loop: steps, and between them metrics, samples, checkpoints, signals and the detection of collapse."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any, TypeVar

import torch
from torch import Tensor

from ganzoo.checkpoints.checkpoint import (
    list_checkpoints,
    load_checkpoint,
    newest_checkpoint,
    retain,
    save_checkpoint,
    set_newer_aside,
    summary_of,
)
from ganzoo.data import ImageData, Stream
from ganzoo.engine.trainer import Trainer
from ganzoo.errors import SEE_OTHER, CheckpointError, DivergedError, GanzooError, InterruptedRun, advice
from ganzoo.files.text import one_line, ordinal, resume_command
from ganzoo.runs.budget import EVENT, TrainingClock
from ganzoo.runs.collapse import LARGEST_WEIGHT, CollapseDetector, advice_on, check_finite, check_magnitudes
from ganzoo.runs.folder import RunFolder
from ganzoo.runs.modalities import RealImages, RealPoints
from ganzoo.runs.progress import Progress
from ganzoo.runs.request import Intervals
from ganzoo.runs.sample_monitor import SampleMonitor, evaluating
from ganzoo.runs.signals import GracefulShutdown, StepWatch
from ganzoo.runs.tracking import Tracking

CHECK_EVERY = 25
CHECK_SECONDS = 1.0
LOG_EVERY = 50
ROLLBACKS = 3

Result = TypeVar("Result")


class TrainingLoop:
    """Trains until `trainer.training.steps`, and writes a run folder that can be resumed, sampled from and read.

    Samples are compared with `real` ones, of `paired` data also with the truth. `tracking` gets the numbers and grids.
    `shown` are the data of the grid of real ones.
    """

    def __init__(
        self,
        trainer: Trainer,
        folder: RunFolder,
        intervals: Intervals,
        real: RealImages | RealPoints,
        *,
        paired: bool = False,
        quiet: bool = False,
        tracking: Tracking | None = None,
        shown: ImageData | Stream | None = None,
    ):
        self.trainer, self.folder, self.intervals, self.quiet = trainer, folder, intervals, quiet
        self.tracking, self.shown = tracking or Tracking(), shown
        self.main = trainer.processes.rank == 0
        self.monitor = SampleMonitor(trainer, real, paired=paired)
        self.detector = CollapseDetector()
        self.shutdown = GracefulShutdown()
        self._teaching = {
            phase.name
            for phase in trainer.phases
            if "discriminator" in phase.updates and "generator" not in phase.updates
        }
        self._pending: list[tuple[int, dict[str, Tensor]]] = []
        self._window: list[dict[str, float]] = []
        self._measured: dict[str, Any] = {}
        self._fetched = 0.0
        self._may_warn = self.main
        self.clock = TrainingClock(intervals.budget)

    # -- the loop ----------------------------------------------------------------------------------------------------

    def run(self) -> None:
        """Trains to the end, or raises DivergedError or InterruptedRun after the state is safe."""
        trainer = self.trainer
        self.progress = Progress(
            trainer.training.steps, trainer.step_number, trainer.images_seen, quiet=self.quiet or not self.main
        )
        self.tracking.say = lambda line: self.progress.say(f"Warning: {line} ({SEE_OTHER})")
        try:
            with self.shutdown, self._step_watch():
                over = self._ended()
                if self.main and not over:
                    self._save_first_grids()
                while not over:
                    over = self._advance()
            if self.main:
                self._save_grid(self.folder.path / "samples.png")
                self._record_final()
        except KeyboardInterrupt:
            if not self.shutdown.number:
                raise
            raise InterruptedRun(
                f"Stopped at once by a second signal. {self._last_good()}", self.shutdown.number
            ) from None
        finally:
            self.progress.close()

    def _step_watch(self) -> StepWatch | nullcontext[None]:
        """Says what a long step hides, in one process and unless `quiet`."""
        if self.quiet or not self.main:
            return nullcontext()
        return StepWatch(lambda: self.trainer.step_number + 1, self.progress.say)

    def _advance(self) -> bool:
        """Makes one step and the work that is due after it; returns True after the last step."""
        trainer, intervals = self.trainer, self.intervals
        with self.clock.running():
            terms = trainer.step()
        step = trainer.step_number
        self._warn_of_unobserved()
        self._pending.append((step, terms))
        is_point = self.clock.reaches(step)
        last = self._ended()
        stopping = trainer.processes.any(bool(self.shutdown.number))
        saving = step % intervals.checkpoint_every == 0 or last or is_point
        sampling = step % intervals.sample_every == 0 or last
        looking = saving or sampling or self._is_look_due(step)
        if looking or stopping or self._is_fetch_due(step):
            self._fetch()
        if step % CHECK_EVERY == 0 or last:  # at the same steps in every run
            self._stop_if_diverged(check_magnitudes, step, trainer.magnitudes())
        if looking and self._window:  # never because of a signal: a checkpoint keeps the window
            self._log()
        if looking:  # never because of a signal: a stopped run must measure at the same steps as any other
            self._measure(save_grid=sampling)
            self._act_on_collapse()
        if is_point and trainer.step_number == step:
            self._record({"event": EVENT, "text": f"step-{step:09d}", "seconds": self._seconds()})
        if (saving or stopping) and trainer.step_number == step:  # not rolled back
            self._save()
        if stopping:
            self._record_event("interrupted", self.shutdown.name)
            hint = f"Go on with {resume_command(self.folder.path)}."
            raise InterruptedRun(
                f"Stopped by {self.shutdown.name} after step {trainer.step_number}; the state is saved. {hint}",
                self.shutdown.number or 15,
            )
        return last and trainer.step_number == step

    def _is_look_due(self, step: int) -> bool:
        every = self.monitor.modality.look_every
        return every > 0 and step % every == 0

    def _ended(self) -> bool:
        return self.trainer.step_number >= self.trainer.training.steps or self.clock.is_over

    def _warn_of_unobserved(self) -> None:
        """Warns once if a mix-in cannot act, because the loss scores changed copies without saying so."""
        missing = (
            (self.trainer.unobserved, "the augmentation observes", "real images", "real"),
            (self.trainer.unselected, "a regularizer that selects among fakes gets", "fakes", "fake"),
        )
        for found, who, images, source in missing:
            if found and self._may_warn:
                phases = " and ".join(sorted(found))
                line = f"{who} no logits of {images} in phase {phases}"
                line += f": {type(self.trainer.loss).__name__} scores a changed copy of them"
                must = f'It must say so: turn.logits(images, stands_for="{source}")'
                self.progress.say(f"Warning: {line}. {must} ({SEE_OTHER}).")
                self._may_warn = False

    def _is_fetch_due(self, step: int) -> bool:
        """True every 25 steps, and once a second in a run of one process."""
        late = self.trainer.processes.size == 1 and time.monotonic() - self._fetched > CHECK_SECONDS
        return late or step % CHECK_EVERY == 0

    def _fetch(self) -> None:
        """Copies the terms of the last steps from the device, in one transfer, and checks each of them."""
        self._fetched = time.monotonic()
        with self.clock.running():  # this waits for a device that works asynchronously
            found = [value.float() for _, terms in self._pending for value in terms.values()]
            flat = torch.stack(found) if found else torch.empty(0, device=self.trainer.device)
            values = iter(self.trainer.processes.average(flat).tolist())
        for step, terms in self._pending:
            numbers = {name: next(values) for name in terms}
            self._stop_if_diverged(check_finite, step, numbers, at=step, suspects=self._suspects(step, numbers))
            self._window.append(numbers)
            self._report_problem(step, self.detector.check_terms(numbers, self._teaching))
            if step % LOG_EVERY == 0 or step == self.trainer.training.steps:
                self._log()
        self._pending.clear()
        self.progress.show(self.trainer.step_number, self.trainer.images_seen, numbers)

    def _stop_if_diverged(
        self,
        action: Callable[..., Result],
        *arguments: Any,
        at: int | None = None,
        suspects: tuple[str, ...] = ("generator",),
        **options: Any,
    ) -> Result:
        """Calls an action that may raise DivergedError; records the error at step `at` and adds a remedy to it."""
        try:
            return action(*arguments, **options)
        except DivergedError as error:
            step = self.trainer.step_number if at is None else at  # later steps may have been made, but not checked
            self._record({"step": step, "event": "diverged", "text": str(error)})
            raise DivergedError(f"{error} {self._last_good()} {self._remedy(suspects)}") from None

    def _suspects(self, step: int, numbers: dict[str, float]) -> tuple[str, ...]:
        """Returns the roles whose update made the first term of a step not finite: those of the phase before it.

        A phase that repeats itself may also have broken its own terms.
        """
        bad = next((name.partition(".")[0] for name, value in numbers.items() if not math.isfinite(value)), None)
        phases = [phase for phase in self.trainer.phases if phase.repeats_at(step - 1)]
        place = next((index for index, phase in enumerate(phases) if phase.name == bad), None)
        if place is None:
            return ("generator",)
        repeated = phases[place].repeats_at(step - 1) > 1
        return phases[place if repeated else place - 1].updates

    def _remedy(self, suspects: tuple[str, ...]) -> str:
        """Returns advice that names the learning rate of the roles that diverged, with its value."""
        magnitudes = self.trainer.magnitudes()
        broken = [role for role, value in magnitudes.items() if not value <= LARGEST_WEIGHT]
        roles = broken if len(broken) == 1 else [role for role in suspects if role in magnitudes] or list(magnitudes)
        rates = {role: self.trainer.optimizers[role].param_groups[0]["lr"] for role in roles}
        options = " or ".join(f"--set training.{role}_lr=..., now {rate:.3g}" for role, rate in rates.items())
        return f"Try a smaller learning rate of the {' or '.join(rates)} ({options}). See {advice('Numbers explode')}."

    # -- metrics.jsonl -----------------------------------------------------------------------------------------------

    def _log(self) -> None:
        """Records the mean of each term since the last record."""
        terms = {}
        for name in {name: None for numbers in self._window for name in numbers}:
            values = [numbers[name] for numbers in self._window if name in numbers]
            terms[name] = sum(values) / len(values)
        self._window.clear()
        self._record({"images": self.trainer.images_seen, "seconds": self._seconds(), "terms": terms})
        self.tracking.log(self.trainer.step_number, terms)

    def _record_event(self, kind: str, text: str) -> None:
        self._record({"event": kind, "text": text})

    def _record(self, record: dict[str, Any]) -> None:
        if self.main:
            with self._writing():
                self.folder.log({"step": self.trainer.step_number, **record})

    @contextmanager
    def _writing(self) -> Iterator[None]:
        """Adds the way out to the error of a disk that is full or fails; the run ends, its checkpoints are whole."""
        try:
            yield
        except GanzooError as error:
            if isinstance(error, DivergedError):
                raise
            hint = f"Go on with {resume_command(self.folder.path)}."
            raise type(error)(f"{error} {self._last_good()} {hint}") from error

    def _seconds(self) -> float:
        return self.clock.seconds

    # -- samples and collapse ----------------------------------------------------------------------------------------

    def _measure(self, save_grid: bool) -> None:
        """Measures samples of fixed latents and detects a collapse; also saves a grid of them if `save_grid`."""
        if not self.main:
            return
        step, least = self.trainer.step_number, self.monitor.least_diversity
        measured = self._stop_if_diverged(self.monitor.measure)
        notes = self.monitor.notes
        self._record({"images": self.trainer.images_seen, "seconds": self._seconds(), "samples": measured, **notes})
        self.tracking.log(step, {f"samples/{name}": value for name, value in measured.items()})
        if save_grid:
            self._save_grids()
        self._report_problem(step, self.detector.check_samples(step, measured["diversity"], least))
        self._measured = {"step": step, **measured, "healthy": self.detector.is_healthy(measured["diversity"], least)}

    def _record_final(self) -> None:
        """Records and prints the numbers of a finished run, where its modality has some."""
        records, step = self.folder.records(), self.trainer.step_number
        numbers = self._stop_if_diverged(self.monitor.final, records)
        if not numbers:
            return
        if not any("final" in record and record["step"] == step for record in records):
            self._record({"final": numbers})
        self.tracking.log(step, {f"final/{name}": value for name, value in numbers.items()})
        if not self.quiet:
            self.progress.say(f"step {step}: " + "  ".join(f"{name} {value:.3g}" for name, value in numbers.items()))

    def _save_first_grids(self) -> None:
        """Saves grids of real images and of the untrained generator, those of them that are missing."""
        path = self.folder.samples / "real.png"
        if self.shown is not None and not path.exists():
            shown = self.shown
            self._save_picture(path, lambda: self.monitor.save_real(shown, path))
            self._track("real", path)
        if self.trainer.step_number == 0:
            judge = self.trainer.discriminator  # its field is part of some pictures: nothing may move before step 1
            with nullcontext() if judge is None else evaluating(judge):
                self._save_grids()

    def _save_grids(self) -> None:
        """Saves a grid of samples as samples.png, which is the last one at any moment, and under its step."""
        self._save_grid(self.folder.path / "samples.png")
        path = self.folder.samples / f"step-{self.trainer.step_number:09d}.png"
        self._save_grid(path)
        self._track("samples", path)

    def _save_grid(self, path: Path) -> None:
        self._save_picture(path, lambda: self.monitor.save_grid(path))

    def _save_picture(self, path: Path, save: Callable[[], None]) -> None:
        """Calls `save`; a picture that cannot be written is a warning, because the training goes on."""
        try:
            path.parent.mkdir(exist_ok=True)
            save()
        except (OSError, GanzooError) as error:
            if not isinstance(error, OSError) and not isinstance(error.__cause__, OSError):
                raise
            step = self.trainer.step_number
            self.progress.say(f"Warning: no picture of step {step}: {one_line(error)} ({SEE_OTHER})")

    def _track(self, name: str, path: Path) -> None:
        if path.exists():
            self.tracking.image(self.trainer.step_number, name, path)

    def _report_problem(self, step: int, line: str) -> None:
        """Reports a collapse or saturation, as a warning and as a record; an empty line is none."""
        if line and self.main:
            self._record({"step": step, "event": "collapse", "text": line})
            self.progress.say(
                f"Warning: step {step}: {line} (--on-collapse {self.intervals.on_collapse}; see {advice_on(line)})"
            )

    def _act_on_collapse(self) -> None:
        """Stops or rolls back, if requested and if a process has reported a problem since the last time."""
        trainer, problem = self.trainer, self.detector.problem
        self.detector.problem = ""
        if not trainer.processes.any(bool(problem)) or self.intervals.on_collapse == "warn":
            return
        healthy = self._healthy()
        if self.intervals.on_collapse == "stop" or trainer.attempt >= ROLLBACKS or healthy is None:
            self._save()
            tried = f" for the {ordinal(trainer.attempt + 1)} time" if trainer.attempt else ""
            none = "There is no healthy checkpoint to go back to."
            good = f"The newest healthy checkpoint is {healthy}." if healthy else none
            where = f"by step {trainer.step_number}"
            raise DivergedError(f"Training collapsed{tried} {where}. {good} See {advice_on(problem)}.")
        self._roll_back(healthy, problem)

    def _roll_back(self, healthy: Path, problem: str) -> None:
        """Continues from a healthy checkpoint with other random numbers."""
        trainer = self.trainer
        attempt, collapsed = trainer.attempt + 1, trainer.step_number
        step, trees, _ = load_checkpoint(healthy)
        self._take(trees, healthy)
        trainer.attempt = attempt
        self._window.clear()
        self.detector = CollapseDetector()
        trainer.processes.barrier()
        if self.main:
            set_newer_aside(self.folder.checkpoints, step)
            self.folder.forget_after(step)
            self.clock.forget_after(step)
            self.tracking.forget_after(step)
            self.progress.say(
                f"Rolled back to step {step}; going on with other random numbers (rollback {attempt} of {ROLLBACKS})."
            )
        self._record_event("rollback", f"from step {collapsed}, rollback {attempt} of {ROLLBACKS}: {problem}")

    # -- checkpoints -------------------------------------------------------------------------------------------------

    def _save(self) -> None:
        trees = {**self.trainer.state(), "watch": self.detector.state()}
        if self._window:  # the run was stopped between two records
            trees["window"] = {"terms": list(self._window)}
        if self.main:
            step = self.trainer.step_number
            summary = self._measured if self._measured.get("step") == step else {}
            with self._writing():
                self._stop_if_diverged(save_checkpoint, self.folder.checkpoints, step, trees, summary=summary)
            self._record_event("checkpoint", f"step-{step:09d}")
            retain(self.folder.checkpoints, self.intervals.keep, self._worth_keeping())
        self.trainer.processes.barrier()

    def _worth_keeping(self) -> list[int]:
        """The step whose samples were closest to the data, that of a rollback, and the points of the budget.

        Paired data measure the distance to the truth ("l1"), others that between distributions.
        """
        summaries = {step: summary_of(path) for step, path in list_checkpoints(self.folder.checkpoints)}
        distances = {
            step: summary.get("l1", summary["energy_distance"])
            for step, summary in summaries.items()
            if "energy_distance" in summary
        }
        steps = [min(distances, key=distances.__getitem__)] if distances else []
        if self.intervals.on_collapse != "warn":
            steps += [step for step, summary in summaries.items() if summary.get("healthy")][:1]
        return steps + self.clock.kept()

    def resume(self) -> int:
        """Loads the newest checkpoint that verifies and returns its step; 0 if the run was killed before its first."""
        found = newest_checkpoint(self.folder.checkpoints)
        step = 0
        if found is not None:
            step, trees, _ = found
            self._take(trees, f"the checkpoint of step {step} in {self.folder.path}")
        if self.main:
            set_newer_aside(self.folder.checkpoints, step)
            self.folder.forget_after(step)
            self.clock = TrainingClock(self.intervals.budget, self.folder.records(), self.folder.seconds())
            recorded = any(
                record.get("event") == "checkpoint" and record.get("step") == step for record in self.folder.records()
            )
            if step and not recorded:  # killed between the checkpoint and its record
                self._record_event("checkpoint", f"step-{step:09d}")
            # It may also have been killed between the checkpoint and this.
            retain(self.folder.checkpoints, self.intervals.keep, self._worth_keeping())
        self.trainer.processes.barrier()
        return step

    def _take(self, trees: dict[str, Any], source: Path | str) -> None:
        """Loads the state of a checkpoint; CheckpointError that names `source` if it does not fit."""
        try:
            self.trainer.load_state(trees)
            self.detector = CollapseDetector.from_state(trees["watch"])
            self._window = [dict(numbers) for numbers in trees.get("window", {"terms": []})["terms"]]
        except (KeyError, TypeError, ValueError, AttributeError, RuntimeError) as error:
            text = " ".join(str(error).split())[:300]
            raise CheckpointError(
                f"{source} does not fit the networks of this run: {type(error).__name__}: {text}"
            ) from None

    def _healthy(self) -> Path | None:
        """The newest checkpoint that was healthy when it was made, or None."""
        return next(
            (path for _, path in list_checkpoints(self.folder.checkpoints) if summary_of(path).get("healthy")), None
        )

    def _last_good(self) -> str:
        checkpoints = list_checkpoints(self.folder.checkpoints)
        return f"The last good checkpoint is {checkpoints[0][1]}." if checkpoints else "There was no checkpoint yet."
