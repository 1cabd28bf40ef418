"""Standard output and error of a process, whose reader or disk may go away: a lost line never ends the work."""

from __future__ import annotations

import errno
import io
import os
import select
import sys
from typing import Any

WAIT_SECONDS = 5.0  # for an output that does not block and is full


class Forgiving(io.RawIOBase):
    """A raw output stream whose writes never fail: it drops what cannot be written and keeps the first `problem`."""

    def __init__(self, raw: io.FileIO, owner: io.TextIOBase | None = None) -> None:
        super().__init__()
        self._raw, self._owner = raw, owner  # an owner that nothing refers to would close `raw`
        self.problem: OSError | None = None

    def write(self, data: Any) -> int:
        """Writes what can be written, and says that it was all."""
        rest = memoryview(data).cast("B")
        whole = len(rest)
        try:
            while rest:
                written = self._raw.write(rest)
                if written is None and not select.select([], [self._raw], [], WAIT_SECONDS)[1]:
                    raise BlockingIOError(errno.EAGAIN, os.strerror(errno.EAGAIN))
                rest = rest[written or 0 :]
        except (OSError, ValueError) as error:  # ValueError: closed by other code
            if self.problem is None:
                self.problem = error if isinstance(error, OSError) else OSError(str(error))
        return whole

    def writable(self) -> bool:
        """True: an output."""
        return True

    def fileno(self) -> int:
        """The file descriptor."""
        return self._raw.fileno()

    def isatty(self) -> bool:
        """True on a terminal; False if the descriptor was closed."""
        try:
            return self._raw.isatty()
        except (OSError, ValueError):
            return False


def make_outputs_safe() -> None:
    """Lets prints of this process fail in silence, and writes "?" for characters that an output cannot encode.

    A closed descriptor 0, 1 or 2 is opened on the null device: the next file that is opened would get its number, and
    prints would end in that file. `output_problem` tells later whether standard output lost something.
    """
    for descriptor in range(3):
        try:
            os.fstat(descriptor)
        except OSError:
            os.open(os.devnull, os.O_RDWR)
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is None:
            setattr(sys, name, open(os.devnull, "w", encoding="utf-8"))
            continue
        buffer = getattr(stream, "buffer", None)
        raw = getattr(buffer, "raw", buffer)  # unbuffered ones have none below
        if isinstance(stream, io.TextIOWrapper) and isinstance(raw, io.FileIO):
            setattr(sys, name, _forgiving(stream, raw))
        elif hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="replace")


def _forgiving(stream: io.TextIOWrapper, raw: io.FileIO) -> io.TextIOWrapper:
    """The same output, whose writes never fail."""
    direct = isinstance(stream.buffer, io.FileIO)
    # A file object of its own: other code may close `stream`, and its descriptor is restored then.
    forgiving = Forgiving(io.FileIO(raw.fileno(), "w", closefd=False), stream)
    below: Any = forgiving if direct else io.BufferedWriter(forgiving)
    return io.TextIOWrapper(
        below,
        encoding=stream.encoding,
        errors="replace",
        line_buffering=stream.line_buffering or stream is sys.stderr,
        write_through=direct,
    )


def keep_descriptors(*outputs: Any) -> list[tuple[int, int]]:
    """Lets file descriptor 1 lead to standard error for a while, and returns what `restore_descriptors` needs."""
    flush(*outputs)
    kept = []
    for descriptor in (1, 2):
        try:
            kept.append((descriptor, os.dup(descriptor)))
        except OSError:  # closed
            continue
    if len(kept) == 2:
        os.dup2(2, 1)
    return kept


def restore_descriptors(kept: list[tuple[int, int]], *outputs: Any) -> None:
    """Lets the descriptors lead where they led, and opens `sys.stdout` and `sys.stderr` again if they were closed."""
    flush(*outputs)  # what was written meanwhile goes to standard error
    for descriptor, copy in kept:
        os.dup2(copy, descriptor)
        os.close(copy)
    for descriptor, _ in kept:
        for name in (("stdout", "__stdout__"), ("stderr", "__stderr__"))[descriptor - 1]:
            if _is_closed(getattr(sys, name)):
                buffer: Any = io.BufferedWriter(Forgiving(io.FileIO(descriptor, "w", closefd=False)))
                setattr(sys, name, io.TextIOWrapper(buffer, "utf-8", "replace", line_buffering=descriptor == 2))


def _is_closed(stream: Any) -> bool:
    try:
        return bool(getattr(stream, "closed", False))
    except ValueError:  # detached
        return True


def flush(*outputs: Any) -> None:
    """Flushes those of the outputs that can be."""
    for output in outputs:
        try:
            output.flush()
        except (OSError, ValueError, AttributeError):
            continue


def output_problem() -> OSError | None:
    """The error by which standard output first lost something; None if everything was written."""
    buffer = getattr(sys.stdout, "buffer", None)
    return getattr(getattr(buffer, "raw", buffer), "problem", None)


def say(line: str, end: str = "\n") -> None:
    """Prints a line on standard error, if there is one that can be written."""
    try:
        print(line, end=end, file=sys.stderr, flush=True)
    except (OSError, ValueError):
        pass
