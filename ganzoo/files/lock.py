"""Locks a folder for one process; the system releases the lock when the process ends."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from ganzoo.errors import GanzooError
from ganzoo.files.atomic import FilePath, disk_errors
from ganzoo.files.safe_open import open_own

fcntl: Any
try:
    import fcntl
except ImportError:  # Windows has none
    fcntl = None

LARGEST = 20  # bytes: a pid
_held: set[int] = set()


def _close_in_child() -> None:
    """Closes the locks in a forked data worker, which may outlive a killed trainer."""
    while _held:
        os.close(_held.pop())


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_close_in_child)


class FolderLock:
    """Holds an exclusive lock on a folder inside `with`; the system frees it however the process ends.

    Entering raises GanzooError with the pid of the process that holds the lock, or the reason why none can be taken.
    """

    def __init__(self, folder: FilePath):
        self.folder = Path(folder)
        self._descriptor: int | None = None

    def __enter__(self) -> FolderLock:
        with disk_errors(f"{self.folder} cannot be locked", GanzooError):
            descriptor = open_own(self.folder / ".lock", os.O_RDWR)
            try:
                if os.fstat(descriptor).st_size > LARGEST:
                    raise GanzooError(f"{self.folder / '.lock'} is not a lock of ganzoo: it holds more than a number.")
                self._claim(descriptor)
            except BaseException:
                os.close(descriptor)
                raise
        self._descriptor = descriptor
        _held.add(descriptor)
        return self

    def _claim(self, descriptor: int) -> None:
        if not _try_lock(descriptor):
            owner = os.read(descriptor, 20).decode("ascii", "replace").strip() or "unknown"
            raise GanzooError(
                f"another process (pid {owner}) is training in {self.folder}. "
                "Wait for it, end it, or use another run folder."
            )
        os.ftruncate(descriptor, 0)
        os.write(descriptor, f"{os.getpid()}\n".encode())

    def __exit__(self, *error: object) -> None:
        descriptor, self._descriptor = self._descriptor, None
        if descriptor is not None and descriptor in _held:  # not in a forked child, which has closed it already
            _held.discard(descriptor)
            os.ftruncate(descriptor, 0)
            os.close(descriptor)


def _try_lock(descriptor: int) -> bool:
    if fcntl is None:
        return _try_lock_windows(descriptor)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _try_lock_windows(descriptor: int) -> bool:
    import msvcrt

    system: Any = msvcrt  # its functions are declared on Windows alone
    os.lseek(descriptor, 2**20, os.SEEK_SET)  # locked bytes cannot be read there: leave the pid's free
    try:
        system.locking(descriptor, system.LK_NBLCK, 1)
    except OSError:
        return False
    finally:
        os.lseek(descriptor, 0, os.SEEK_SET)
    return True
