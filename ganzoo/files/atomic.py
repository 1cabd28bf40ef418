"""Writes files and folders atomically: after a crash or a power cut they are whole or absent."""

import errno
import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ganzoo.errors import CheckpointError, GanzooError
from ganzoo.files.text import reason

FilePath = str | os.PathLike[str]


def write_atomically(path: FilePath, data: bytes | str) -> None:
    """Writes one file (text as UTF-8): readers, also after a crash, see the old content or the new, never a mix."""
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


def write_file(path: FilePath, data: bytes | str) -> None:
    """Writes a new file with the permissions of the umask, and syncs it to disk."""
    remaining = memoryview(data.encode("utf-8") if isinstance(data, str) else data)
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0), 0o666)
    try:
        while remaining:
            remaining = remaining[os.write(descriptor, remaining) :]
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def fsync_file(path: FilePath) -> None:
    """Syncs a file that another writer wrote to disk."""
    descriptor = os.open(path, os.O_RDWR | getattr(os, "O_BINARY", 0))
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def fsync_folder(path: FilePath) -> None:
    """Syncs the names in a folder to disk; without it a power cut may undo a rename."""
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
def new_folder(target: FilePath) -> Iterator[Path]:
    """Yields an empty folder beside `target` and renames it to `target` at the end; an exception removes it.

    Writers must sync the files that they put into it. OSError if `target` exists and is not an empty folder.
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


def move_aside(path: FilePath, prefix: str) -> Path:
    """Renames a damaged file or folder to `.<prefix>-<name>-<random>` beside itself and returns the new path."""
    path = Path(path)
    aside = path.with_name(f".{prefix}-{path.name}-{secrets.token_hex(4)}")
    os.rename(path, aside)
    fsync_folder(path.parent)
    return aside


def remove_leftovers(folder: FilePath) -> None:
    """Deletes the `.tmp-*` and `.trash-*` of killed processes; call it only while holding the lock of the run."""
    folder = Path(folder)
    with disk_errors(f"{folder} cannot be cleaned", CheckpointError):
        names = os.listdir(folder) if folder.is_dir() else []
        for name in names:
            if name.startswith((".tmp-", ".trash-")):
                remove(folder / name)


def remove(path: Path) -> None:
    """Deletes a file, a link, or a folder with its content."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


@contextmanager
def disk_errors(what: str, error: type[GanzooError]) -> Iterator[None]:
    """Raises an OSError of its block as `error` with the line `<what>: <reason>`."""
    try:
        yield
    except OSError as problem:
        raise error(f"{what}: {reason(problem)}.") from problem
