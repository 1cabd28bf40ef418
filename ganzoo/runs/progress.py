"""Progress for people: a bar on a terminal, a plain line every so often elsewhere."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Mapping
from typing import Any

from ganzoo.files.streams import say

SECONDS_BETWEEN_LINES = 10.0


class Progress:
    """Shows steps, images per second, time left and the loss terms, on stderr.

    Nothing of it raises: a closed terminal or a full disk of the log ends no training.
    """

    def __init__(self, total: int, step: int, images: int, *, quiet: bool = False):
        self._total, self._done, self._quiet = total, step, quiet
        self._last_line = time.monotonic()
        self._start_from(step, images)
        self._bar = None
        if not quiet:
            self._bar = _bar(total, step)

    def _start_from(self, step: int, images: int) -> None:
        """The rate is measured from here."""
        self._began, self._first_step, self._first_images = time.monotonic(), step, images

    def show(self, step: int, images: int, terms: Mapping[str, float]) -> None:
        """Moves on to `step` of the run; or back, after a rollback."""
        if step < self._done:
            self._start_from(step, images)
        now = time.monotonic()
        seconds = max(now - self._began, 1e-9)
        text = "  ".join(f"{name} {value:.3f}" for name, value in terms.items())
        rate = (images - self._first_images) / seconds
        if self._bar is not None:
            try:
                self._bar.set_postfix_str(f"{rate:.0f} images/s  {text}", refresh=False)
                self._bar.update(step - self._done)
            except (OSError, ValueError):
                self._bar = None
        elif not self._quiet and (now - self._last_line >= SECONDS_BETWEEN_LINES or step == self._total):
            self._last_line = now
            left = seconds / max(step - self._first_step, 1) * (self._total - step)
            self.say(f"step {step}/{self._total}  {rate:.0f} images/s  {clock(left)} left  {text}")
        self._done = step

    def say(self, line: str) -> None:
        """Prints a line without tearing the bar."""
        if self._bar is not None:
            try:
                self._bar.write(line, file=sys.stderr)
            except (OSError, ValueError):
                self._bar = None
        else:
            say(line)

    def close(self) -> None:
        """Leaves the terminal tidy."""
        if self._bar is not None:
            try:
                self._bar.close()
            except (OSError, ValueError):
                self._bar = None


def _bar(total: int, step: int) -> Any:
    """A bar on stderr, None if that is no terminal.

    Some terminals say that they have no columns, where tqdm alone would show nothing.
    """
    try:
        if sys.stderr is None or not sys.stderr.isatty():
            return None
        known = os.get_terminal_size(sys.stderr.fileno()).columns > 0
    except (OSError, ValueError):
        return None
    from tqdm import tqdm

    form = "{percentage:3.0f}% |{bar:12}| {n_fmt}/{total_fmt}  {remaining} left{postfix}"
    return tqdm(
        total=total, initial=step, bar_format=form, ncols=None if known else 80, dynamic_ncols=known, file=sys.stderr
    )


def clock(seconds: float) -> str:
    """Seconds as people read them: 1:05, 2:00:07."""
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{seconds:02}" if hours else f"{minutes}:{seconds:02}"
