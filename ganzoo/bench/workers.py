"""Runs cells in child processes, so that a crash or a leak of one does not reach another.

A child is forked from the process that has imported and loaded everything; where forking is unsafe, as with a GPU's
driver, a fresh Python is started.
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

from ganzoo.bench.cells import Cell
from ganzoo.errors import InterruptedRun
from ganzoo.files.streams import say
from ganzoo.runs.signals import GracefulShutdown, stopping_signals

POLL_SECONDS = 0.02
TRIES = 2
SAME_SIGNAL_SECONDS = 2.0
# M_TRIM_THRESHOLD and M_MMAP_THRESHOLD of malloc.h, in bytes; glibc refuses more than 32 MiB for the second.
MALLOC_OPTIONS = {-1: 2**30, -3: 2**25}


class Child(Protocol):
    """A process that works on one cell."""

    def poll(self) -> int | None:
        """Returns the exit code, negative after a signal; None while the process runs."""

    def send(self, number: int) -> None:
        """Sends a signal."""


@dataclass
class Running:
    """A cell in a process."""

    cell: Cell
    child: Child | None  # None on a cluster
    began: float


def can_fork(device: str, threads: int) -> bool:
    """Returns True if forking is safe: on Linux, on the CPU and with one thread."""
    return sys.platform.startswith("linux") and torch.device(device).type == "cpu" and threads == 1


def keep_freed_memory() -> None:
    """Lets glibc keep freed memory in this process and its forks; does nothing elsewhere.

    Activations of ten megabytes and more are freed with every batch, and the system would clear their pages again each
    time.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None) if sys.platform.startswith("linux") else None
    if mallopt is not None:
        for option, value in MALLOC_OPTIONS.items():
            mallopt(option, value)


class Forked:
    """Forks a child that calls `work` and ends with its parent; Ctrl-C does not reach it."""

    # The owner's pid and both ends of a pipe, on which a child's read returns when its owner has ended.
    _line: tuple[int, int, int] = (0, 0, 0)

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
            for number in stopping_signals():
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
    """Starts `python -m ganzoo.bench.worker`, which reads its task from its input and ends when the input is closed."""

    def __init__(self, task: str):
        command = [sys.executable, "-m", "ganzoo.bench.worker"]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, text=True, start_new_session=True)
        assert self._process.stdin is not None
        self._input = self._process.stdin
        try:
            self._input.write(task + "\n")
            self._input.flush()
        except BrokenPipeError:  # it died at once, and its exit code will say so
            pass

    def poll(self) -> int | None:
        """As `Child.poll`."""
        code = self._process.poll()
        if code is not None and not self._input.closed:
            self._input.close()
        return code

    def send(self, number: int) -> None:
        """As `Child.send`."""
        self._process.send_signal(number)


def end_with_parent(wait: Callable[[], object]) -> NoReturn:
    """Ends this process as soon as `wait` returns, since the parent has died and the cell may be started again."""
    wait()
    os._exit(1)


def run_all(
    cells: Sequence[Cell],
    jobs: int,
    start: Callable[[Cell], Child],
    *,
    finished: Callable[[Cell], None],
    lost: Callable[[Cell, str], None],
    update: Callable[[Sequence[Running], Sequence[Cell]], None],
) -> None:
    """Runs the cells in order, at most `jobs` at a time, and calls `finished` for each that has ended.

    A child that dies is started again once; if it dies again, `lost` is called with the reason. On SIGINT, SIGTERM or
    SIGHUP the children save their state, and InterruptedRun is raised when they have ended.
    """
    waiting, tries = list(cells), dict.fromkeys(cells, 0)
    running: list[Running] = []
    with GracefulShutdown(SAME_SIGNAL_SECONDS) as signals:
        try:
            while (waiting or running) and not signals.number:
                while waiting and len(running) < jobs:
                    cell = waiting.pop(0)
                    tries[cell] += 1
                    running.append(Running(cell, start(cell), time.monotonic()))
                update(running, waiting)
                time.sleep(POLL_SECONDS)
                for one, code in _ended(running):
                    if code == 0:
                        finished(one.cell)
                    elif tries[one.cell] < TRIES:
                        waiting.insert(0, one.cell)
                    else:
                        lost(one.cell, f"its process ended with {_exit_text(code)}, {TRIES} times")
            if signals.number and running:
                say(f"{signals.name}: {len(running)} running cell(s) save their state first.")
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
        raise InterruptedRun(f"Stopped by {name}; progress is saved, and the same command goes on.", signals.number)


def _ended(running: list[Running]) -> list[tuple[Running, int]]:
    """Removes those that have ended from the list, and returns them with their exit codes."""
    ended = [(one, code) for one in running if one.child and (code := one.child.poll()) is not None]
    for one, _ in ended:
        running.remove(one)
    return ended


def _send(running: Sequence[Running], number: int) -> None:
    for one in running:
        if one.child and one.child.poll() is None:
            one.child.send(number)


def _exit_text(code: int) -> str:
    return signal.Signals(-code).name if -code in set(signal.Signals) else f"exit code {code}"
