"""Cells in processes of their own, so that neither a crash nor a leak of one reaches another.

A child is forked from the process that has imported and loaded everything, and costs no start of Python; where that cannot be, as
with a GPU's driver, it is a fresh one.
"""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NoReturn, Protocol

import torch

from ganzoo.bench.plan import Cell
from ganzoo.errors import InterruptedRun

POLL_SECONDS = 0.02
TRIES = 2
SAME_SIGNAL_SECONDS = 2.0
MALLOC_OPTIONS = {
    -1: 2**30,
    -3: 2**25,
}  # M_TRIM_THRESHOLD and M_MMAP_THRESHOLD of malloc.h, in bytes; more than 32 MiB glibc refuses


class Child(Protocol):
    """A process that works on one cell."""

    def poll(self) -> int | None:
        """Its exit code, negative after a signal; None while it runs."""

    def send(self, number: int) -> None:
        """Sends it a signal."""


@dataclass
class Running:
    """A cell in a process."""

    cell: Cell
    child: Child
    began: float


def can_fork(device: str, threads: int) -> bool:
    """Whether a child can go on with what this process has loaded: a GPU's driver, macOS's libraries and threads cannot be forked."""
    return sys.platform.startswith("linux") and torch.device(device).type == "cpu" and threads == 1


def keep_freed_memory() -> None:
    """Lets glibc keep what this process frees, and its forks: activations of ten megabytes and more come and go with every batch, and for each
    the system would clear its pages again. Elsewhere nothing happens."""
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None) if sys.platform.startswith("linux") else None
    if mallopt is not None:
        for option, value in MALLOC_OPTIONS.items():
            mallopt(option, value)


class Forked:
    """A fork that calls `work` in a group of its own, so that Ctrl-C on a terminal reaches the parent alone, and ends with it."""

    _line: tuple[int, int, int] = (
        0,
        0,
        0,
    )  # whose it is, and both ends: while the owner holds the other one, a child that reads waits

    def __init__(self, work: Callable[[], None]):
        if Forked._line[0] != os.getpid():
            Forked._line = (os.getpid(), *os.pipe())
        sys.stdout.flush()
        sys.stderr.flush()
        self._code: int | None = None
        self._process = os.fork()
        if self._process == 0:
            self._be_child(work)

    def _be_child(self, work: Callable[[], None]) -> NoReturn:
        code = 1
        try:
            os.setpgid(0, 0)
            _, reading, writing = Forked._line
            os.close(writing)
            for number in (signal.SIGINT, signal.SIGTERM):
                signal.signal(number, signal.SIG_DFL)
            threading.Thread(target=end_with_parent, args=(lambda: os.read(reading, 1),), daemon=True).start()
            work()
            code = 0
        except InterruptedRun as stop:
            code = stop.exit_code
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(code)

    def poll(self) -> int | None:
        """As `Child.poll`."""
        if self._code is None:
            ended, status = os.waitpid(self._process, os.WNOHANG)
            self._code = os.waitstatus_to_exitcode(status) if ended else None
        return self._code

    def send(self, number: int) -> None:
        """As `Child.send`."""
        os.kill(self._process, number)


class Fresh:
    """`python -m ganzoo.bench.worker`, which reads what to do from its input and ends when that is closed."""

    def __init__(self, words: str):
        command = [sys.executable, "-m", "ganzoo.bench.worker"]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, text=True, start_new_session=True)
        try:
            self._process.stdin.write(words + "\n")
            self._process.stdin.flush()
        except BrokenPipeError:  # it died at once, as its exit code will tell
            pass

    def poll(self) -> int | None:
        """As `Child.poll`."""
        code = self._process.poll()
        if code is not None and not self._process.stdin.closed:
            self._process.stdin.close()
        return code

    def send(self, number: int) -> None:
        """As `Child.send`."""
        self._process.send_signal(number)


def end_with_parent(wait: Callable[[], object]) -> NoReturn:
    """Waits for what returns when the parent has died, and ends this process at once: somebody may soon begin the cell again."""
    wait()
    os._exit(1)


class Patience:
    """While it is entered, the first SIGINT or SIGTERM is noted in `number`; one that comes seconds later raises KeyboardInterrupt.

    Batch systems and shells send the same signal to a process and to its group: those are one.
    """

    def __init__(self) -> None:
        self.number, self._since = 0, 0.0
        self._before: dict[int, object] = {}

    def __enter__(self) -> Patience:
        if threading.current_thread() is threading.main_thread():
            self._before = {number: signal.signal(number, self._notice) for number in (signal.SIGINT, signal.SIGTERM)}
        return self

    def _notice(self, number: int, frame) -> None:
        if self.number and time.monotonic() - self._since > SAME_SIGNAL_SECONDS:
            raise KeyboardInterrupt
        if not self.number:
            self.number, self._since = number, time.monotonic()

    def __exit__(self, *error) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)


def run_all(
    cells: Sequence[Cell],
    jobs: int,
    start: Callable[[Cell], Child],
    *,
    finished: Callable[[Cell], None],
    lost: Callable[[Cell, str], None],
    look: Callable[[Sequence[Running], Sequence[Cell]], None],
) -> None:
    """Works through the cells in their order, at most `jobs` at a time, and tells of each when it has `finished`.

    A child that dies is started again once; then `lost` is told why. On SIGINT or SIGTERM the children are asked to save and
    end, and InterruptedRun is raised when they have.
    """
    waiting, running, tries = list(cells), [], dict.fromkeys(cells, 0)
    with Patience() as signals:
        try:
            while (waiting or running) and not signals.number:
                while waiting and len(running) < jobs:
                    cell = waiting.pop(0)
                    tries[cell] += 1
                    running.append(Running(cell, start(cell), time.monotonic()))
                look(running, waiting)
                time.sleep(POLL_SECONDS)
                for one, code in _ended(running):
                    if code == 0:
                        finished(one.cell)
                    elif tries[one.cell] < TRIES:
                        waiting.insert(0, one.cell)
                    else:
                        lost(one.cell, f"its process ended with {_words(code)}, {TRIES} times")
            _send(running, signal.SIGTERM)
            while running:
                time.sleep(POLL_SECONDS)
                for one, code in _ended(running):
                    if code == 0:
                        finished(one.cell)
        except BaseException:
            _send(running, signal.SIGKILL)
            raise
    if signals.number:
        name = signal.Signals(signals.number).name
        raise InterruptedRun(f"Stopped by {name}; what is done is saved, and the same command goes on.", signals.number)


def _ended(running: list[Running]) -> list[tuple[Running, int]]:
    """Takes those out that have ended."""
    ended = [(one, code) for one in running if (code := one.child.poll()) is not None]
    for one, _ in ended:
        running.remove(one)
    return ended


def _send(running: Sequence[Running], number: int) -> None:
    for one in running:
        if one.child.poll() is None:
            one.child.send(number)


def _words(code: int) -> str:
    return signal.Signals(-code).name if -code in set(signal.Signals) else f"exit code {code}"
