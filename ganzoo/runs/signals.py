"""Ends a run after the current step on SIGINT or SIGTERM."""

from __future__ import annotations

import signal
import threading
from types import FrameType
from typing import Any


class GracefulShutdown:
    """While it is entered, the first SIGINT or SIGTERM is only noted in `number`; the second raises KeyboardInterrupt.

    Outside the main thread, where Python handles no signals, `number` stays 0.
    """

    def __init__(self) -> None:
        self.number = 0
        self._handlers: dict[int, Any] = {}

    def __enter__(self) -> GracefulShutdown:
        if threading.current_thread() is threading.main_thread():
            self._handlers = {number: signal.signal(number, self._note) for number in (signal.SIGINT, signal.SIGTERM)}
        return self

    def _note(self, number: int, frame: FrameType | None) -> None:
        if self.number:
            raise KeyboardInterrupt
        self.number = number

    def __exit__(self, *error: object) -> None:
        for number, handler in self._handlers.items():
            signal.signal(number, handler)

    @property
    def name(self) -> str:
        """The name of the signal; SIGTERM if another process got it."""
        return signal.Signals(self.number or signal.SIGTERM).name
