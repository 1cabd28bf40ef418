"""Cells in processes of their own: forked from one that has imported everything, so that a cell costs no start of Python."""

from __future__ import annotations

import os
import selectors
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NoReturn

import torch

from ..errors import InterruptedRun
from ..signals import Signals
from .plan import Cell

POLL_SECONDS = 0.05
TRIES = 2


@dataclass
class Running:
    """A cell in a process."""

    cell: Cell
    process: int
    began: float


def can_fork(device: str) -> bool:
    """Whether a child can go on with what this process has loaded; a GPU's driver, and macOS's libraries, cannot be forked."""
    return hasattr(os, "fork") and sys.platform.startswith("linux") and torch.device(device).type == "cpu"


class Pool:
    """Runs `work(cell)` in child processes, at most `jobs` at a time.

    `lost(cell, why)` is told of a child that died without having finished its work, for the second time. On SIGINT or SIGTERM the
    children are asked to save and end, and InterruptedRun is raised when they have. They end when this process dies, too.
    """

    def __init__(self, work: Callable[[Cell], None], jobs: int, finished: Callable[[Cell], None], lost: Callable[[Cell, str], None], look):
        self._work, self._jobs, self._finished, self._lost, self._look = work, jobs, finished, lost, look
        self._tries: dict[Cell, int] = {}
        self.running: list[Running] = []

    def run(self, cells: Sequence[Cell]) -> None:
        """Works through the cells, in their order."""
        waiting = list(cells)
        self._alive, keep = os.pipe()
        with Signals() as signals:
            try:
                while (waiting or self.running) and not signals.number:
                    while waiting and len(self.running) < self._jobs:
                        self.running.append(self._start(waiting.pop(0), keep))
                    self._look(self.running, waiting)
                    time.sleep(POLL_SECONDS)
                    waiting[:0] = self._collect()
            finally:
                self._stop()
                os.close(keep)
                os.close(self._alive)
        if signals.number:
            raise InterruptedRun(f"Stopped by {signals.name}. The same command goes on.", signals.number)

    def _start(self, cell: Cell, keep: int) -> Running:
        sys.stdout.flush()
        sys.stderr.flush()
        process = os.fork()
        if process == 0:
            self._be_child(cell, keep)
        return Running(cell, process, time.monotonic())

    def _be_child(self, cell: Cell, keep: int) -> NoReturn:
        """Works on a cell in a group of its own, so that Ctrl-C on a terminal reaches the parent alone; ends when the parent does."""
        code = 1
        try:
            os.setpgid(0, 0)
            os.close(keep)
            for number in (signal.SIGINT, signal.SIGTERM):
                signal.signal(number, signal.SIG_DFL)
            threading.Thread(target=_end_with_parent, args=(self._alive,), daemon=True).start()
            self._work(cell)
            code = 0
        except InterruptedRun as stop:
            code = stop.exit_code
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(code)

    def _collect(self) -> list[Cell]:
        """Takes notice of the children that have ended; returns the cells to try again."""
        again = []
        for one in list(self.running):
            ended, status = os.waitpid(one.process, os.WNOHANG)
            if not ended:
                continue
            self.running.remove(one)
            code = os.waitstatus_to_exitcode(status)
            if code == 0:
                self._finished(one.cell)
            elif self._tries.setdefault(one.cell, 1) < TRIES:
                self._tries[one.cell] += 1
                again.append(one.cell)
            else:
                self._lost(one.cell, f"its process ended with {_words(code)}, {TRIES} times")
        return again

    def _stop(self) -> None:
        """Asks what still runs to save and end, and waits for it."""
        for one in self.running:
            os.kill(one.process, signal.SIGTERM)
        for one in self.running:
            _, status = os.waitpid(one.process, 0)
            if os.waitstatus_to_exitcode(status) == 0:
                self._finished(one.cell)
        self.running.clear()


def _end_with_parent(alive: int) -> None:
    """Waits until nobody holds the other end of the pipe any more, which is when the parent has died."""
    os.read(alive, 1)
    os._exit(1)


def _words(code: int) -> str:
    return signal.Signals(-code).name if code < 0 and -code in set(signal.Signals) else f"exit code {code}"
