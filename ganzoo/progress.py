"""Progress for people: a bar on a terminal, a plain line every so often elsewhere."""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping

SECONDS_BETWEEN_LINES = 10.0


class Progress:
    """Shows steps, images per second, time left and the loss terms, on stderr."""

    def __init__(self, total: int, done: int, *, quiet: bool = False):
        self._total, self._done, self._started_at_step = total, done, done
        self._began = self._last_line = time.monotonic()
        self._images_before: int | None = None
        self._bar = None
        self._quiet = quiet
        if not quiet and sys.stderr.isatty():
            from tqdm import tqdm

            self._bar = tqdm(total=total, initial=done, unit="step", dynamic_ncols=True, file=sys.stderr)

    def show(self, step: int, images: int, terms: Mapping[str, float]) -> None:
        """Moves on to `step` of the run."""
        if self._images_before is None:
            self._images_before = images
        now = time.monotonic()
        text = "  ".join(f"{name} {value:.3f}" for name, value in terms.items())
        rate = (images - self._images_before) / max(now - self._began, 1e-9)
        if self._bar is not None:
            self._bar.update(step - self._done)
            self._bar.set_postfix_str(f"{rate:.0f} images/s  {text}", refresh=False)
        elif not self._quiet and (now - self._last_line >= SECONDS_BETWEEN_LINES or step == self._total):
            self._last_line = now
            left = (now - self._began) / max(step - self._started_at_step, 1) * (self._total - step)
            self.say(f"step {step}/{self._total}  {rate:.0f} images/s  {_clock(left)} left  {text}")
        self._done = step

    def say(self, line: str) -> None:
        """Prints a line without tearing the bar."""
        if self._bar is not None:
            self._bar.write(line, file=sys.stderr)
        else:
            print(line, file=sys.stderr, flush=True)

    def close(self) -> None:
        """Leaves the terminal tidy."""
        if self._bar is not None:
            self._bar.close()


def _clock(seconds: float) -> str:
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{seconds:02}" if hours else f"{minutes}:{seconds:02}"
