"""Files that are either whole or absent: atomic writes, new folders, a lock per run, and strict reading of JSON."""

import errno
import os
import secrets
import shutil
from contextlib import contextmanager
from pathlib import Path

from ganzoo.errors import CheckpointError, GanzooError


def write_atomically(path, data: bytes | str) -> None:
    """Writes one file (text as UTF-8) so that a reader, a crash or a power cut sees the old content or the new, nothing between."""
    path = Path(path)
    temporary = path.with_name(f".tmp-{os.getpid()}-{secrets.token_hex(4)}")
    with disk_errors(f"{path} cannot be written", GanzooError):
        try:
            write_file(temporary, data)
            os.replace(temporary, path)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise
        fsync_folder(path.parent)


def write_file(path, data: bytes | str) -> None:
    """Writes a file that does not exist yet, in the mode that the umask gives, and waits until the disk has it."""
    remaining = memoryview(data.encode("utf-8") if isinstance(data, str) else data)
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0), 0o666)
    try:
        while remaining:
            remaining = remaining[os.write(descriptor, remaining) :]
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def fsync_file(path) -> None:
    """Waits until the disk has what another writer put into this file."""
    descriptor = os.open(path, os.O_RDWR | getattr(os, "O_BINARY", 0))
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def fsync_folder(path) -> None:
    """Waits until the disk has the folder's names: without it a rename may be undone by a power cut."""
    if os.name == "nt":  # Windows opens no folders; NTFS journals the rename itself
        return
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    except OSError as problem:
        if problem.errno != errno.EINVAL:  # EINVAL: a network file system that cannot sync folders at all
            raise
    finally:
        os.close(descriptor)


@contextmanager
def new_folder(target):
    """Yields an empty folder beside `target` and renames it to `target` at the end; after any exception nothing of it is left.

    The files put into it must be synced by their writer. OSError if `target` exists and is not an empty folder.
    """
    target = Path(target)
    temporary = target.with_name(f".tmp-{os.getpid()}-{secrets.token_hex(4)}")
    try:
        os.mkdir(temporary)
        yield temporary
        fsync_folder(temporary)
        os.rename(temporary, target)
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)
        raise
    fsync_folder(target.parent)


def move_aside(path, prefix: str) -> Path:
    """Renames a file or folder to `.<prefix>-<name>-<random>` beside itself, so that nobody takes it for a good one; returns the new path."""
    path = Path(path)
    aside = path.with_name(f".{prefix}-{path.name}-{secrets.token_hex(4)}")
    os.rename(path, aside)
    fsync_folder(path.parent)
    return aside


def remove_leftovers(folder) -> None:
    """Deletes the `.tmp-*` and `.trash-*` of processes that died; call it only under the run's lock."""
    folder = Path(folder)
    with disk_errors(f"{folder} cannot be cleaned", CheckpointError):
        names = os.listdir(folder) if folder.is_dir() else []
        for name in names:
            if name.startswith((".tmp-", ".trash-")):
                remove(folder / name)


def remove(path: Path) -> None:
    """Deletes a file, a link or a folder with all that is in it."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


@contextmanager
def disk_errors(what: str, error: type[GanzooError]):
    """Turns an OSError into one line, `<what>: <reason>`."""
    try:
        yield
    except OSError as problem:
        raise error(f"{what}: {problem.strerror or problem}.") from problem
