"""SIGINT and SIGTERM as a polite request: the step in hand is finished first."""

from __future__ import annotations

import signal
import threading


class Signals:
    """While it is entered, the first SIGINT or SIGTERM is only noted in `number`; the second raises KeyboardInterrupt.

    Outside the main thread, where Python handles no signals, `number` stays 0.
    """

    def __init__(self) -> None:
        self.number = 0
        self._before: dict[int, object] = {}

    def __enter__(self) -> Signals:
        if threading.current_thread() is threading.main_thread():
            self._before = {number: signal.signal(number, self._notice) for number in (signal.SIGINT, signal.SIGTERM)}
        return self

    def _notice(self, number: int, frame) -> None:
        if self.number:
            raise KeyboardInterrupt
        self.number = number

    def __exit__(self, *error) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    @property
    def name(self) -> str:
        """The noted signal's name, for people; SIGTERM where another process got it."""
        return signal.Signals(self.number or signal.SIGTERM).name
