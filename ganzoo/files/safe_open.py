"""Opens regular files of folders that others may have filled; links only where the caller follows them.

Folders that this process writes into are no links.
"""

from __future__ import annotations

import os
import stat
from io import FileIO

from ganzoo.errors import CheckpointError, GanzooError
from ganzoo.files.atomic import FilePath, disk_errors

NO_FOLLOW = getattr(os, "O_NOFOLLOW", 0)
NO_WAIT = getattr(os, "O_NONBLOCK", 0)  # a FIFO would wait for its other end
BINARY = getattr(os, "O_BINARY", 0)


def open_regular(path: FilePath, *, follow: bool = True) -> FileIO:
    """Opens a regular file to read, unbuffered; CheckpointError for anything else, and for a link unless `follow`."""
    with disk_errors(f"{path} cannot be read", CheckpointError):
        found = os.stat(path) if follow else os.lstat(path)  # opening a device can have effects
        _check(found, path, CheckpointError)
        descriptor = os.open(path, os.O_RDONLY | NO_WAIT | BINARY | (0 if follow else NO_FOLLOW))
        try:
            _check(os.fstat(descriptor), path, CheckpointError)
            return FileIO(descriptor, "rb")
        except BaseException:
            os.close(descriptor)
            raise


def open_own(path: FilePath, flags: int) -> int:
    """Opens a file that this process writes, with the flags of `os.open`, and makes it if it is missing.

    GanzooError for a link of either kind, and for anything but a regular file: what is written would end elsewhere.
    OSError as `os.open`.
    """
    if os.path.lexists(path):
        _check(os.lstat(path), path, GanzooError)
    descriptor = os.open(path, flags | os.O_CREAT | NO_WAIT | NO_FOLLOW | BINARY, 0o666)
    try:
        found = os.fstat(descriptor)
        _check(found, path, GanzooError)
        if found.st_nlink > 1:
            raise GanzooError(f"{path} is a hard link: what is written to it would end in another file too.")
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor


def check_own_folders(*paths: FilePath, error: type[GanzooError] = GanzooError) -> None:
    """Raises `error` for a link, or anything but a folder, in the place of a folder that this process writes into.

    It would write, and delete its leftovers, somewhere else. Missing folders are no error.
    """
    for path in paths:
        if os.path.islink(path):
            raise error(f"{path} is a link, where a folder is expected: what is written to it would end elsewhere.")
        if os.path.lexists(path) and not os.path.isdir(path):
            raise error(f"{path} is not a folder.")


def _check(found: os.stat_result, path: FilePath, error: type[GanzooError]) -> None:
    if stat.S_ISLNK(found.st_mode):
        raise error(f"{path} is a link, where a file is expected.")
    if not stat.S_ISREG(found.st_mode):
        raise error(f"{path} is not a regular file.")
