"""Passes the numbers and pictures of a run to trackers and callbacks, whose failures cost a line each."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from queue import Full, Queue
from typing import Any

from ganzoo.errors import SEE_OTHER, DivergedError, GanzooError, InterruptedRun, UsageError
from ganzoo.files.text import one_line, quoted
from ganzoo.registry.registry import Registry
from ganzoo.tracking import Outcome, Tracker

log = logging.getLogger(__name__)

ALWAYS = "jsonl"  # metrics.jsonl, which every run has
MOST_WAITING = 1000  # calls of a tracker that is slower than the training
FINISH_SECONDS = 60.0  # for all trackers together, at the end of a run

Callback = Callable[[int, Mapping[str, float]], None]


class FunctionTracker(Tracker):
    """Calls a function of step and values with the numbers of a run."""

    def __init__(self, function: Callback):
        self.function = function

    def log(self, step: int, values: Mapping[str, float]) -> None:
        self.function(step, dict(values))


class _Direct:
    """Calls a tracker in the thread of the training, until it fails."""

    def __init__(self, name: str, tracker: Tracker):
        self.name, self.tracker = name, tracker
        self.problem = ""  # of a tracker that is called no more

    def call(self, method: str, *arguments: Any) -> None:
        """Calls a method of the tracker; an exception becomes the `problem`."""
        if self.problem:
            return
        try:
            getattr(self.tracker, method)(*arguments)
        except (Exception, SystemExit) as error:  # a package of its own may raise anything
            text = one_line(error)
            kind = type(error).__name__
            self.problem = f"failed and is left out: {text if text == kind else f'{kind}: {text}'}"

    def wait(self, seconds: float) -> None:
        """Waits until all calls have been made."""


class _Queued(_Direct):
    """Calls a tracker in a thread of its own, so that one that is slow or hangs delays no step."""

    def __init__(self, name: str, tracker: Tracker):
        super().__init__(name, tracker)
        self._calls: Queue[tuple[Any, ...]] = Queue(MOST_WAITING)
        self._thread = threading.Thread(target=self._work, name=f"tracker {name}", daemon=True)
        self._thread.start()

    def _work(self) -> None:
        while not self.problem:
            method, *arguments = self._calls.get()
            super().call(method, *arguments)
            if method == "finish":
                return

    def call(self, method: str, *arguments: Any) -> None:
        """Lets the thread call a method of the tracker later."""
        try:
            if not self.problem:
                self._calls.put_nowait((method, *arguments))
        except Full:
            self.problem = f"is {MOST_WAITING} calls behind and is left out"

    def wait(self, seconds: float) -> None:
        """Waits for the thread; one that does not end becomes the `problem`, and ends with the process."""
        self._thread.join(max(seconds, 0.0))
        if self._thread.is_alive() and not self.problem:
            self.problem = f"has not finished after {FINISH_SECONDS:.0f} seconds and is left behind"


class Tracking:
    """The trackers and callbacks of a run, by name.

    Those in `queued` are called in a thread each, `direct` ones at once, in the thread of the training. `say` prints
    the line of one that failed.
    """

    def __init__(self, queued: Mapping[str, Tracker] | None = None, direct: Mapping[str, Tracker] | None = None):
        self._given = {**(queued or {}), **(direct or {})}
        self._queued = set(queued or ())
        self._running: list[_Direct] = []
        self._reported: set[str] = set()
        self.say: Callable[[str], None] = log.warning

    @property
    def wants_images(self) -> bool:
        """Whether a tracker that works looks at pictures."""
        return any(not one.problem and type(one.tracker).image is not Tracker.image for one in self._running)

    @contextmanager
    def running(self, config: Mapping[str, Any], step: int) -> Iterator[None]:
        """Starts the trackers at a step of the run, and finishes them with the outcome of the block."""
        self._running = [
            (_Queued if name in self._queued else _Direct)(name, tracker) for name, tracker in self._given.items()
        ]
        self._call("start", config)
        if step:
            self.forget_after(step)
        outcome: Outcome = "failed"
        try:
            yield
            outcome = "finished"
        except DivergedError:
            outcome = "diverged"
            raise
        except (InterruptedRun, KeyboardInterrupt):
            outcome = "interrupted"
            raise
        finally:
            self._finish(outcome)

    def log(self, step: int, values: Mapping[str, float]) -> None:
        """Passes numbers on; the point between phase and term becomes a slash."""
        if self._running:
            self._call("log", step, {name.replace(".", "/", 1): value for name, value in values.items()})

    def image(self, step: int, name: str, path: Path) -> None:
        """Passes the picture in a file on."""
        if not self.wants_images:
            return
        from PIL import Image

        with Image.open(path) as picture:
            picture.load()
        self._call("image", step, name, picture)

    def forget_after(self, step: int) -> None:
        """Lets trackers drop what came after a step."""
        self._call("forget_after", step)

    def _call(self, method: str, *arguments: Any) -> None:
        for one in self._running:
            one.call(method, *arguments)
        self._report()

    def _finish(self, outcome: Outcome) -> None:
        self._call("finish", outcome)
        deadline = time.monotonic() + FINISH_SECONDS
        for one in self._running:
            one.wait(deadline - time.monotonic())
        self._report()
        self._running = []

    def _report(self) -> None:
        for one in self._running:
            if one.problem and one.name not in self._reported:
                self._reported.add(one.name)
                kind = "Tracker" if one.name in self._queued else "Callback"
                self.say(f"{kind} {one.name} {one.problem}")


def load_trackers(names: Sequence[str], folder: Path, registry: Registry) -> dict[str, Tracker]:
    """Makes registered trackers for the run in `folder`, before anything of it is written.

    UsageError for an unknown name and for a package that is missing; a tracker that fails is a warning.
    """
    found: dict[str, Tracker] = {}
    for name in dict.fromkeys(names):
        if name == ALWAYS:
            log.info(f"--track {ALWAYS} adds nothing: every run writes metrics.jsonl.")
            continue
        if name not in registry.names("trackers"):
            _refuse(name, registry)
        claim = registry.claim("trackers", name)
        try:
            tracker = claim.value(folder)
            if not isinstance(tracker, Tracker):
                raise TypeError(f"its factory returned {quoted(tracker)}, not a ganzoo.tracking.Tracker")
            found[name] = tracker
        except GanzooError:
            raise
        except ImportError as error:
            package = error.name or one_line(error)
            raise UsageError(
                f"--track {name} needs the package {package}: pip install {package}, or leave it out."
            ) from None
        except Exception as error:
            log.warning(
                f"Tracker {name} of {claim.plugin.name} failed and is left out: {one_line(error)} ({SEE_OTHER})"
            )
    return found


def _refuse(name: str, registry: Registry) -> None:
    known = ", ".join([ALWAYS, *registry.names("trackers")])
    try:
        registry.claim("trackers", name)
    except UsageError as error:
        listed = "" if "Known: " in str(error) else f" Known trackers: {known}."
        raise UsageError(f"{error}{listed}") from None


def callback_trackers(callbacks: Sequence[Callback | Tracker]) -> dict[str, Tracker]:
    """Names the trackers and functions that were given from Python; UsageError for anything else."""
    found: dict[str, Tracker] = {}
    for number, given in enumerate(callbacks, 1):
        if not isinstance(given, Tracker) and not callable(given):
            raise UsageError(f"callbacks takes functions of (step, values) and Trackers, not {quoted(given)}.")
        name = getattr(given, "__name__", type(given).__name__)
        found[f"{number} ({name})"] = given if isinstance(given, Tracker) else FunctionTracker(given)
    return found
