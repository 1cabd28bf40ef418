"""Ends a run after the current step on SIGINT, SIGTERM or SIGHUP, and says meanwhile what a long step hides."""

from __future__ import annotations

import select
import signal
import socket
import threading
import time
from collections.abc import Callable
from types import FrameType
from typing import Any

STOPPING = tuple(getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name))
SLOW_SECONDS = 5.0
POLL_SECONDS = 1.0


def stopping_signals() -> tuple[signal.Signals, ...]:
    """The signals that ask for an orderly end; without SIGHUP under `nohup`, which ignores it on purpose."""
    return tuple(number for number in STOPPING if number == signal.SIGINT or signal.getsignal(number) != signal.SIG_IGN)


class GracefulShutdown:
    """While it is entered, the first signal is only noted in `number`; the second raises KeyboardInterrupt.

    A signal that comes again within `same_seconds` is the same one: batch systems and shells send it to a process and
    to its group. A SIGHUP is never the second: the terminal is gone, and the shell sends one more. Outside the main
    thread, where Python handles no signals, `number` stays 0.
    """

    def __init__(self, same_seconds: float = 0.0) -> None:
        self.number = 0
        self._same_seconds, self._since = same_seconds, 0.0
        self._handlers: dict[int, Any] = {}

    def __enter__(self) -> GracefulShutdown:
        if threading.current_thread() is threading.main_thread():
            self._handlers = {number: signal.signal(number, self._note) for number in stopping_signals()}
        return self

    def _note(self, number: int, frame: FrameType | None) -> None:
        if not self.number:
            self.number, self._since = number, time.monotonic()
        elif number != getattr(signal, "SIGHUP", None) and time.monotonic() - self._since >= self._same_seconds:
            raise KeyboardInterrupt

    def __exit__(self, *error: object) -> None:
        for number, handler in self._handlers.items():
            signal.signal(number, handler)

    @property
    def name(self) -> str:
        """The name of the signal; SIGTERM if another process got it."""
        return signal.Signals(self.number or signal.SIGTERM).name


class StepWatch:
    """Says from its own thread that a signal has arrived, at once, and that a step takes more than a few seconds.

    Python runs a signal's handler only between two of its own instructions, and one operation of torch can take long.
    `step` returns the number of the step being made. Outside the main thread it says nothing.
    """

    def __init__(self, step: Callable[[], int], say: Callable[[str], None]) -> None:
        self._step, self._say = step, say
        self._thread: threading.Thread | None = None
        self._before = -1
        self._at = (0, time.monotonic())
        self._stopping: str = ""
        self._told_slow = False

    def __enter__(self) -> StepWatch:
        if threading.current_thread() is threading.main_thread():
            self._reading, self._writing = socket.socketpair()
            self._writing.setblocking(False)
            self._before = signal.set_wakeup_fd(self._writing.fileno(), warn_on_full_buffer=False)
            self._thread = threading.Thread(target=self._watch, name="ganzoo-step-watch", daemon=True)
            self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        if self._thread is not None:
            signal.set_wakeup_fd(self._before)
            self._writing.close()
            self._thread.join(POLL_SECONDS)
            self._reading.close()

    def _watch(self) -> None:
        while True:
            try:
                arrived = select.select([self._reading], [], [], POLL_SECONDS)[0]
                numbers = self._reading.recv(64) if arrived else None
            except (OSError, ValueError):  # closed meanwhile
                return
            if numbers == b"":
                return
            self.look(numbers or b"", time.monotonic())

    def look(self, numbers: bytes, now: float) -> None:
        """Says what is new at `now`, after signals of these numbers."""
        step = self._step()
        if step != self._at[0]:
            self._at = (step, now)
        came = [signal.Signals(number).name for number in numbers if number in stopping_signals()]
        if came and not self._stopping:
            self._stopping, self._at, self._told_slow = came[0], (step, now), False
            second = {"SIGINT": "a second Ctrl-C", "SIGTERM": "a second SIGTERM"}
            at_once = second.get(came[0], "SIGTERM")  # a second SIGHUP ends nothing
            self._say(
                f"{came[0]}: the run is saved and ends after the step in progress; {at_once} stops at once, unsaved."
            )
        elif not self._told_slow and now - self._at[1] > SLOW_SECONDS:
            self._told_slow = True
            if self._stopping:
                after = f"more than {SLOW_SECONDS:.0f} seconds since {self._stopping}"
                self._say(f"The step in progress, and saving it, take {after}; the state is saved when they end.")
            else:
                self._say(f"Step {step} has taken more than {SLOW_SECONDS:.0f} seconds.")
