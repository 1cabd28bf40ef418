"""The training loop: steps, and around them metrics, pictures, checkpoints, signals and the collapse watch."""

from __future__ import annotations

import time
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor

from ganzoo.checkpoints.checkpoint import (
    list_checkpoints,
    load_checkpoint,
    newest_checkpoint,
    retain,
    save_checkpoint,
    set_newer_aside,
)
from ganzoo.engine.trainer import Trainer
from ganzoo.errors import CheckpointError, DivergedError, InterruptedRun
from ganzoo.runs import collapse as watch
from ganzoo.runs.budget import EVENT, Clock, Milestones
from ganzoo.runs.folder import RunFolder
from ganzoo.runs.progress import Progress
from ganzoo.runs.sample_monitor import Looks, Real
from ganzoo.runs.signals import Signals

CHECK_EVERY = 25
CHECK_SECONDS = 1.0
LOG_EVERY = 50
ROLLBACKS = 3


@dataclass(frozen=True)
class Cadence:
    """How often, in steps, pictures and checkpoints are made; how many checkpoints are kept; what a collapse leads to; where the run ends."""

    sample_every: int = 500
    checkpoint_every: int = 1000
    keep: int = 3
    on_collapse: str = "warn"
    milestones: Milestones = Milestones()


class TrainingLoop:
    """Trains until `trainer.training.steps`, leaving a run folder that can be resumed, sampled from and read."""

    def __init__(
        self, trainer: Trainer, folder: RunFolder, cadence: Cadence, real: Real, *, quiet: bool = False, board=None
    ):
        self.trainer, self.folder, self.cadence, self.board, self.quiet = trainer, folder, cadence, board, quiet
        self.main = trainer.processes.rank == 0
        self.looks = Looks(trainer, real)
        self.watch = watch.CollapseWatch()
        self.signals = Signals()
        self._teaching = {
            phase.name
            for phase in trainer.phases
            if "discriminator" in phase.updates and "generator" not in phase.updates
        }
        self._pending: list[tuple[int, dict[str, Tensor]]] = []
        self._window: list[dict[str, float]] = []
        self._measured: dict[str, Any] = {}
        self._fetched = 0.0
        self._tell_once = self.main
        self.clock = Clock(cadence.milestones)

    # -- the loop ----------------------------------------------------------------------------------------------------

    def run(self) -> None:
        """Trains to the end, or raises DivergedError or InterruptedRun after the state is safe."""
        trainer = self.trainer
        self.progress = Progress(
            trainer.training.steps, trainer.step_number, trainer.images_seen, quiet=self.quiet or not self.main
        )
        try:
            with self.signals:
                over = self._ended()
                while not over:
                    over = self._advance()
            if self.main:
                self.looks.save_grid(self.folder.path / "samples.png")
        except KeyboardInterrupt:
            if not self.signals.number:
                raise
            raise InterruptedRun(
                f"Stopped at once by a second signal. {self._last_good()}", self.signals.number
            ) from None
        finally:
            self.progress.close()

    def _advance(self) -> bool:
        """One step, and what is due after it; whether it was the last."""
        trainer, cadence = self.trainer, self.cadence
        with self.clock.running():
            terms = trainer.step()
        step = trainer.step_number
        self._tell_unobserved()
        self._pending.append((step, terms))
        milestone = self.clock.reaches(step)
        last = self._ended()
        stopping = trainer.processes.any(bool(self.signals.number))
        saving = step % cadence.checkpoint_every == 0 or last or milestone
        sampling = step % cadence.sample_every == 0 or last
        if saving or sampling or stopping or self._curious(step):
            self._fetch()
        if (saving or sampling or stopping) and self._window:  # a resumed run starts with an empty one
            self._log()
        if saving or sampling:  # never because of a signal: a stopped run must see what one sees that was not stopped
            self._look(draw=sampling)
            self._act_on_collapse()
        if milestone and trainer.step_number == step:
            self._record({"event": EVENT, "text": f"step-{step:09d}", "seconds": self._seconds()})
        if (saving or stopping) and trainer.step_number == step:  # not rolled back
            self._save()
        if stopping:
            self._record_event("interrupted", self.signals.name)
            hint = f"Go on with --out {self.folder.path} --resume."
            raise InterruptedRun(
                f"Stopped by {self.signals.name} after step {trainer.step_number}; the state is saved. {hint}",
                self.signals.number or 15,
            )
        return last and trainer.step_number == step

    def _ended(self) -> bool:
        return self.trainer.step_number >= self.trainer.training.steps or self.clock.is_over

    def _tell_unobserved(self) -> None:
        """Says once that an adaptive augmentation cannot adapt, because the loss scores changed copies of the real images."""
        unobserved = self.trainer.unobserved
        if unobserved and self._tell_once:
            phases = " and ".join(sorted(unobserved))
            loss = type(self.trainer.loss).__name__
            line = f"the augmentation is told no logits of real images in phase {phases}: {loss} scores a changed copy of them"
            self.progress.say(f'Warning: {line}. It must say so: turn.logits(images, stands_for="real").')
            self._tell_once = False

    def _curious(self, step: int) -> bool:
        """Whether to look at the terms now: every 25 steps, and every second where no other process must look too."""
        late = self.trainer.processes.size == 1 and time.monotonic() - self._fetched > CHECK_SECONDS
        return late or step % CHECK_EVERY == 0

    def _fetch(self) -> None:
        """Brings the terms of the last steps from the device, in one transfer, and looks at each of them."""
        self._fetched = time.monotonic()
        with self.clock.running():  # a device that works behind our back is waited for here
            flat = torch.stack([value.float() for _, terms in self._pending for value in terms.values()])
            values = iter(self.trainer.processes.average(flat).tolist())
        for step, terms in self._pending:
            numbers = {name: next(values) for name in terms}
            self._stop_if_diverged(watch.check_finite, step, numbers, at=step)
            self._window.append(numbers)
            self._tell(step, self.watch.see_terms(numbers, self._teaching))
            if step % LOG_EVERY == 0 or step == self.trainer.training.steps:
                self._log()
        self._pending.clear()
        self.progress.show(self.trainer.step_number, self.trainer.images_seen, numbers)

    def _stop_if_diverged(self, action, *arguments, at: int | None = None, **options):
        """Runs what may find values that are not finite, and adds to its error what a person can do."""
        try:
            return action(*arguments, **options)
        except DivergedError as error:
            step = (
                self.trainer.step_number if at is None else at
            )  # steps may have been made since that nobody had looked at
            self._record({"step": step, "event": "diverged", "text": str(error)})
            raise DivergedError(
                f"{error} {self._last_good()} Try a smaller learning rate (--set training.generator_lr=...)."
            ) from None

    # -- what metrics.jsonl says -----------------------------------------------------------------------------------------

    def _log(self) -> None:
        """One record: the mean of each term since the last one."""
        terms = {}
        for name in {name: None for numbers in self._window for name in numbers}:
            values = [numbers[name] for numbers in self._window if name in numbers]
            terms[name] = sum(values) / len(values)
        self._window.clear()
        self._record({"images": self.trainer.images_seen, "seconds": self._seconds(), "terms": terms})
        self._draw_curves({name.replace(".", "/"): value for name, value in terms.items()})

    def _draw_curves(self, values: dict[str, float]) -> None:
        if self.board is not None:
            for name, value in values.items():
                self.board.add_scalar(name, value, self.trainer.step_number)

    def _record_event(self, kind: str, text: str) -> None:
        self._record({"event": kind, "text": text})

    def _record(self, record: dict[str, Any]) -> None:
        if self.main:
            self.folder.log({"step": self.trainer.step_number, **record})

    def _seconds(self) -> float:
        return self.clock.seconds

    # -- samples and the collapse watch --------------------------------------------------------------------------------

    def _look(self, draw: bool) -> None:
        """Measures samples of fixed latents and notices a collapse; also draws them if `draw`."""
        if not self.main:
            return
        step = self.trainer.step_number
        seen = self._stop_if_diverged(self.looks.measure)
        self._record({"images": self.trainer.images_seen, "seconds": self._seconds(), "samples": seen})
        self._draw_curves({f"samples/{name}": value for name, value in seen.items()})
        if draw:
            self.folder.samples.mkdir(exist_ok=True)
            self.looks.save_grid(self.folder.samples / f"step-{step:09d}.png")
        self._tell(step, self.watch.see_samples(step, seen["diversity"]))
        self._measured = {"step": step, **seen, "healthy": self.watch.healthy(seen["diversity"])}

    def _tell(self, step: int, line: str) -> None:
        """Tells of a collapse, as a line and as a record."""
        if line and self.main:
            self._record({"step": step, "event": "collapse", "text": line})
            self.progress.say(f"Warning: step {step}: {line} (--on-collapse {self.cadence.on_collapse})")

    def _act_on_collapse(self) -> None:
        """Warns, stops or goes back, if one of the processes saw a collapse since the last time."""
        trainer, trouble = self.trainer, self.watch.trouble
        self.watch.trouble = ""
        if not trainer.processes.any(bool(trouble)) or self.cadence.on_collapse == "warn":
            return
        healthy = self._healthy()
        if self.cadence.on_collapse == "stop" or trainer.attempt >= ROLLBACKS or healthy is None:
            self._save()
            tried = f" for the {_ordinal(trainer.attempt + 1)} time" if trainer.attempt else ""
            good = (
                f"The newest healthy checkpoint is {healthy}."
                if healthy
                else "There is no healthy checkpoint to go back to."
            )
            raise DivergedError(f"Training collapsed{tried} by step {trainer.step_number}. {good}")
        self._roll_back(healthy, trouble)

    def _roll_back(self, healthy, trouble: str) -> None:
        """Goes on from a healthy checkpoint with other random numbers."""
        trainer = self.trainer
        attempt, collapsed = trainer.attempt + 1, trainer.step_number
        step, trees, _ = load_checkpoint(healthy)
        self._take(trees, healthy)
        trainer.attempt = attempt
        self._window.clear()
        self.watch = watch.CollapseWatch()
        trainer.processes.barrier()
        if self.main:
            set_newer_aside(self.folder.checkpoints, step)
            self.folder.forget_after(step)
            self.clock.forget_after(step)
            self.progress.say(
                f"Rolled back to step {step}; going on with other random numbers (rollback {attempt} of {ROLLBACKS})."
            )
        self._record_event("rollback", f"from step {collapsed}, rollback {attempt} of {ROLLBACKS}: {trouble}")

    # -- checkpoints -------------------------------------------------------------------------------------------------

    def _save(self) -> None:
        trees = {**self.trainer.state(), "watch": asdict(self.watch)}
        if self.main:
            step = self.trainer.step_number
            summary = self._measured if self._measured.get("step") == step else {}
            self._stop_if_diverged(save_checkpoint, self.folder.checkpoints, step, trees, summary=summary)
            self._record_event("checkpoint", f"step-{step:09d}")
            retain(self.folder.checkpoints, self.cadence.keep, self._worth_keeping())
        self.trainer.processes.barrier()

    def _worth_keeping(self) -> list[int]:
        """The step whose samples were closest to real images, and the one that a collapse would lead back to."""
        summaries = {step: _summary(path) for step, path in list_checkpoints(self.folder.checkpoints)}
        distances = {
            step: summary["energy_distance"] for step, summary in summaries.items() if "energy_distance" in summary
        }
        steps = [min(distances, key=distances.__getitem__)] if distances else []
        if self.cadence.on_collapse != "warn":
            steps += [step for step, summary in summaries.items() if summary.get("healthy")][:1]
        return steps + self.clock.kept()

    def resume(self) -> int:
        """Takes the newest checkpoint that verifies and returns its step; 0 if the run was killed before its first."""
        found = newest_checkpoint(self.folder.checkpoints)
        step = 0
        if found is not None:
            step, trees, _ = found
            self._take(trees, f"the checkpoint of step {step} in {self.folder.path}")
        if self.main:
            set_newer_aside(self.folder.checkpoints, step)
            self.folder.forget_after(step)
            self.clock = Clock(self.cadence.milestones, self.folder.records(), self.folder.seconds())
            told = any(
                record.get("event") == "checkpoint" and record.get("step") == step for record in self.folder.records()
            )
            if step and not told:  # killed between the checkpoint and its record
                self._record_event("checkpoint", f"step-{step:09d}")
            retain(
                self.folder.checkpoints, self.cadence.keep, self._worth_keeping()
            )  # or between the checkpoint and this
        self.trainer.processes.barrier()
        return step

    def _take(self, trees: dict[str, Any], source) -> None:
        try:
            self.trainer.load_state(trees)
            self.watch = watch.CollapseWatch(**trees["watch"])
        except (KeyError, TypeError, ValueError, AttributeError, RuntimeError) as error:
            text = " ".join(str(error).split())[:300]
            raise CheckpointError(
                f"{source} does not fit the networks of this run: {type(error).__name__}: {text}"
            ) from None

    def _healthy(self):
        """The newest checkpoint that was healthy when it was made, or None."""
        return next(
            (path for _, path in list_checkpoints(self.folder.checkpoints) if _summary(path).get("healthy")), None
        )

    def _last_good(self) -> str:
        checkpoints = list_checkpoints(self.folder.checkpoints)
        return f"The last good checkpoint is {checkpoints[0][1]}." if checkpoints else "There was no checkpoint yet."


def _summary(path) -> dict[str, Any]:
    try:
        return load_checkpoint(path, [])[2]
    except CheckpointError:
        return {}


def _ordinal(number: int) -> str:
    return {2: "second", 3: "third", 4: "fourth"}.get(number, f"{number}th")
