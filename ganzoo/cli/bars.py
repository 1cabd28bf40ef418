"""Shared by commands that work for minutes: a progress bar beside which lines can be printed, and CPU threads."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any


class Bar:
    """A bar on a terminal, and nothing elsewhere; use it with `with`."""

    def __init__(self) -> None:
        self._bar: Any = None

    def __enter__(self) -> Any:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def begin(self, form: str, total: int | None = None) -> None:
        """Draws a bar in the form that tqdm takes, in place of the one before."""
        from tqdm import tqdm

        self.close()
        self._bar = tqdm(total=total, bar_format=form, file=sys.stderr, disable=None, dynamic_ncols=True)

    def write(self, line: str) -> None:
        """Prints a line on stderr without tearing the bar."""
        from ganzoo.cli.common import echo_message

        if self._bar is None or self._bar.disable:
            echo_message(line)
        else:
            with self._bar.external_write_mode(file=sys.stderr):
                echo_message(line)

    def close(self) -> None:
        """Ends the bar."""
        if self._bar is not None:
            self._bar.close()
            self._bar = None


@contextmanager
def cpu_threads(count: int | None) -> Iterator[None]:
    """Lets torch use so many CPU threads, all if None."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(count or before)
    try:
        yield
    finally:
        torch.set_num_threads(before)
