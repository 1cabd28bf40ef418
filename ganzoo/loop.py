"""The training loop: steps, and around them metrics, pictures, checkpoints, signals and the collapse watch."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from . import pictures, watch
from .build import seeded
from .checkpoint import list_checkpoints, load_checkpoint, newest_checkpoint, retain, save_checkpoint, set_newer_aside
from .errors import CheckpointError, DivergedError, InterruptedRun
from .model import draw_latent
from .progress import Progress
from .run import RunFolder
from .trainer import Trainer

CHECK_EVERY = 25
LOG_EVERY = 50
LOOKED_AT = 256
ROLLBACKS = 3


@dataclass(frozen=True)
class Cadence:
    """How often, in steps, pictures and checkpoints are made; how many checkpoints are kept; what a collapse leads to."""

    sample_every: int = 500
    checkpoint_every: int = 1000
    keep: int = 3
    on_collapse: str = "warn"


class TrainingLoop:
    """Trains until `trainer.training.steps`, leaving a run folder that can be resumed, sampled from and read."""

    def __init__(self, trainer: Trainer, folder: RunFolder, cadence: Cadence, real: Tensor, *, quiet: bool = False, board=None):
        self.trainer, self.folder, self.cadence, self.board = trainer, folder, cadence, board
        self.main = trainer.processes.rank == 0
        self.watch = watch.CollapseWatch()
        self.real = real
        self.quiet = quiet
        self.signal_number = 0
        self._pending: list[tuple[int, dict[str, Tensor]]] = []
        self._window: list[dict[str, float]] = []
        self._looked: tuple[int, dict[str, Any]] | None = None
        self._troubled = False
        self._seconds_before = 0.0

    # -- the loop ----------------------------------------------------------------------------------------------------

    def run(self) -> None:
        """Trains to the end, or raises DivergedError or InterruptedRun after the state is safe."""
        trainer, cadence = self.trainer, self.cadence
        total = trainer.training.steps
        self._seconds_before = max((record.get("seconds", 0.0) for record in self.folder.records()), default=0.0)
        self._began = time.monotonic()
        self.progress = Progress(total, trainer.step_number, quiet=self.quiet or not self.main)
        try:
            with self._signals():
                while trainer.step_number < total:
                    self._pending.append((trainer.step_number, trainer.step()))
                    step = trainer.step_number
                    stopping = trainer.processes.any(bool(self.signal_number))
                    saving = step % cadence.checkpoint_every == 0 or step == total or stopping
                    sampling = step % cadence.sample_every == 0 or step == total
                    if saving or sampling or step % CHECK_EVERY == 0:
                        self._fetch()
                    if sampling or saving:
                        self._look(draw=sampling)
                    if saving and trainer.step_number == step:  # not rolled back
                        self._save()
                    if stopping:
                        self._interrupted()
            self._finish()
        finally:
            self.progress.close()

    def _fetch(self) -> None:
        """Brings the terms of the last steps from the device, in one transfer, and looks at each of them."""
        if not self._pending:
            return
        flat = torch.stack([value.float() for _, terms in self._pending for value in terms.values()])
        values = iter(self.trainer.processes.average(flat).tolist())
        teaching = {phase.name for phase in self.trainer.phases if phase.updates == ("discriminator",)}
        for step, terms in self._pending:
            numbers = {name: next(values) for name in terms}
            try:
                watch.check_finite(step, numbers, self._last_good())
            except DivergedError as error:
                self._event("diverged", str(error))
                raise
            self._window.append(numbers)
            if line := self.watch.see_terms(numbers, teaching):
                self._trouble(line)
            if (step + 1) % LOG_EVERY == 0 or step + 1 == self.trainer.training.steps:
                self._log(step + 1)
        self._pending.clear()
        self.progress.show(self.trainer.step_number, self.trainer.images_seen, self._window[-1] if self._window else numbers)

    def _log(self, step: int) -> None:
        """One record: the mean of each term since the last one."""
        names = {name: None for numbers in self._window for name in numbers}
        terms = {}
        for name in names:
            values = [numbers[name] for numbers in self._window if name in numbers]
            terms[name] = sum(values) / len(values)
        self._record({"step": step, "images": self.trainer.images_seen, "seconds": self._elapsed(), "terms": terms})
        if self.board is not None and self.main:
            for name, value in terms.items():
                self.board.add_scalar(name.replace(".", "/"), value, step)
        self._window.clear()

    # -- samples and the collapse watch --------------------------------------------------------------------------------

    def _look(self, draw: bool) -> None:
        """Draws from fixed latents, measures how varied and how close to real they are, and acts on a collapse."""
        step = self.trainer.step_number
        rolling = False
        if self.main:
            fake, labels = self._samples(LOOKED_AT)
            seen = {"diversity": watch.diversity(fake, self.real), "energy_distance": watch.energy_distance(fake, self.real)}
            line = self.watch.see_samples(seen["diversity"])
            self._looked = (step, {**seen, "healthy": seen["diversity"] >= watch.LEAST_DIVERSITY and not self.watch.told_saturated})
            self._record({"step": step, "images": self.trainer.images_seen, "seconds": self._elapsed(), "samples": seen})
            if self.board is not None:
                for name, value in seen.items():
                    self.board.add_scalar(f"samples/{name}", value, step)
            if draw:
                self.folder.samples.mkdir(exist_ok=True)
                self._save_grid(self.folder.samples / f"step-{step:09d}.png")
            if line:
                self._trouble(line)
        rolling, self._troubled = self.trainer.processes.any(self._troubled), False
        if rolling and self.cadence.on_collapse != "warn":
            self._act_on_collapse()

    def _samples(self, n: int) -> tuple[Tensor, Tensor | None]:
        """Images of the first `n` latents of the run's seed, as the saved generator would draw them."""
        trainer = self.trainer
        classes = trainer.image.classes
        labels = torch.arange(n) % classes if classes else None
        with _evaluating(trainer.sampler), seeded(0), torch.no_grad():
            latent = draw_latent(trainer.sampler, n, trainer.seed).to(trainer.device, trainer.dtype)
            images = trainer.sampler(latent, None if labels is None else labels.to(trainer.device))
        return images.float().cpu(), labels

    def _save_grid(self, path) -> None:
        classes = self.trainer.image.classes
        columns = classes if 2 <= classes <= 12 else 8
        images, _ = self._samples(8 * columns)
        pictures.save_picture(pictures.enlarged(pictures.grid(images, columns)), path)

    def _trouble(self, line: str) -> None:
        """Tells of a collapse once, as a line and as a record."""
        self._troubled = True
        self._event("collapse", line)
        if self.main:
            self.progress.say(f"Warning: step {self.trainer.step_number}: {line} (--on-collapse {self.cadence.on_collapse})")

    def _act_on_collapse(self) -> None:
        trainer = self.trainer
        if self.cadence.on_collapse == "stop" or trainer.attempt >= ROLLBACKS:
            self._save()
            tried = f" after {ROLLBACKS} rollbacks" if self.cadence.on_collapse == "rollback" else ""
            raise DivergedError(f"Training collapsed by step {trainer.step_number}{tried}; the state is kept. {self._last_good()}")
        healthy = next((path for _, path in list_checkpoints(self.folder.checkpoints) if _summary(path).get("healthy")), None)
        if healthy is None:
            raise DivergedError(f"Training collapsed by step {trainer.step_number} and there is no healthy checkpoint to go back to.")
        attempt = trainer.attempt + 1
        step, trees, _ = load_checkpoint(healthy)
        trainer.load_state(trees)
        trainer.attempt = attempt
        self._window.clear()
        self.watch = watch.CollapseWatch()
        trainer.processes.barrier()
        if self.main:
            set_newer_aside(self.folder.checkpoints, step)
            self.folder.forget_after(step)
            self.progress.say(f"Rolled back to step {step}; going on with other random numbers (attempt {attempt + 1}).")
        self._event("rollback", f"to step {step}, attempt {attempt + 1}")

    # -- checkpoints -------------------------------------------------------------------------------------------------

    def _save(self) -> None:
        trees = self.trainer.state()
        if self.main:
            step = self.trainer.step_number
            measured = self._looked[1] if self._looked and self._looked[0] == step else {}
            save_checkpoint(self.folder.checkpoints, step, trees, summary=measured)
            self._event("checkpoint", f"step-{step:09d}")
            retain(self.folder.checkpoints, self.cadence.keep, self._best())
        self.trainer.processes.barrier()

    def _best(self) -> list[int]:
        """The step of the checkpoint whose samples were closest to real images."""
        measured = {step: _summary(path).get("energy_distance") for step, path in list_checkpoints(self.folder.checkpoints)}
        measured = {step: value for step, value in measured.items() if isinstance(value, float)}
        return [min(measured, key=measured.__getitem__)] if measured else []

    def resume(self) -> int:
        """Takes the newest checkpoint that verifies and returns its step; 0 if the run was killed before its first."""
        found = newest_checkpoint(self.folder.checkpoints, lambda line: self.main and print_line(line))
        if found is None:
            step = 0
        else:
            step, trees, _ = found
            self.trainer.load_state(trees)
        if self.main:
            set_newer_aside(self.folder.checkpoints, step)
            self.folder.forget_after(step)
        self.trainer.processes.barrier()
        return step

    def _last_good(self) -> str:
        checkpoints = list_checkpoints(self.folder.checkpoints)
        return f"The last good checkpoint is {checkpoints[0][1]}." if checkpoints else "There was no checkpoint yet."

    # -- endings -----------------------------------------------------------------------------------------------------

    def _finish(self) -> None:
        if self.main:
            self._save_grid(self.folder.path / "samples.png")

    def _interrupted(self) -> None:
        number = self.signal_number or signal.SIGTERM
        step = self.trainer.step_number
        self._event("interrupted", signal.Signals(number).name)
        raise InterruptedRun(
            f"Stopped by {signal.Signals(number).name} after step {step}; the state is saved. Go on with --out {self.folder.path} --resume.",
            number,
        )

    @contextmanager
    def _signals(self) -> Iterator[None]:
        """The first SIGINT or SIGTERM lets the step finish and saves; the second ends the process at once."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return

        def notice(number: int, frame) -> None:
            if self.signal_number:
                raise KeyboardInterrupt
            self.signal_number = number

        before = {number: signal.signal(number, notice) for number in (signal.SIGINT, signal.SIGTERM)}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def _event(self, kind: str, text: str) -> None:
        self._record({"step": self.trainer.step_number, "event": kind, "text": text})

    def _record(self, record: dict[str, Any]) -> None:
        if self.main:
            self.folder.log(record)

    def _elapsed(self) -> float:
        return round(self._seconds_before + time.monotonic() - self._began, 3)


def print_line(line: str) -> None:
    """One line on stderr."""
    import sys

    print(line, file=sys.stderr, flush=True)


def _summary(path) -> dict[str, Any]:
    try:
        return load_checkpoint(path, [])[2]
    except CheckpointError:
        return {}


@contextmanager
def _evaluating(generator: nn.Module) -> Iterator[None]:
    training = generator.training
    generator.eval()
    try:
        yield
    finally:
        generator.train(training)
