"""Checks where a command may write, before it computes anything."""

from __future__ import annotations

import os
from pathlib import Path

from ganzoo.errors import GanzooError, UsageError
from ganzoo.files.text import quoted


def check_new_folder(folder: Path, remedy: str = "give a new or empty folder", *, leftovers: bool = False) -> None:
    """UsageError if `folder` is a file or a folder with content; `leftovers` of killed processes may be in it."""
    if not os.path.lexists(folder):
        return
    try:
        names = os.listdir(folder)
    except OSError:  # a file, a broken link, or a folder that may not be read
        raise in_the_way(folder, remedy) from None
    if any(not leftovers or (name != ".lock" and not name.startswith(".tmp-")) for name in names):
        raise in_the_way(folder, remedy)


def check_new_file(path: Path, *, replace: bool) -> None:
    """UsageError if `path` exists (unless `replace`), is a folder, or lies in no folder."""
    if path.is_dir() or (os.path.lexists(path) and not replace):
        raise in_the_way(path, "choose another --out" + ("" if path.is_dir() else " or add --force"))
    if not path.parent.is_dir():
        raise UsageError(f"There is no folder {path.parent} to write {path.name} into.")


def check_writable(folder: Path) -> None:
    """GanzooError if a folder, or the one that it would be made in, cannot be written to: before hours of work."""
    nearest = next(one for one in (folder.absolute(), *folder.absolute().parents) if os.path.lexists(one))
    if not nearest.is_dir():
        raise in_the_way(nearest, "choose another --out")
    if not os.access(nearest, os.W_OK | os.X_OK):
        read_only = hasattr(os, "statvfs") and os.statvfs(nearest).f_flag & os.ST_RDONLY
        reason = "its file system is mounted read-only" if read_only else "permission denied"
        raise GanzooError(f"{nearest} cannot be written to: {reason}. Choose another --out.")


def in_the_way(path: Path, remedy: str) -> UsageError:
    """The error of a command that would have to write over `path`."""
    return UsageError(f"{path} is in the way: {remedy}.")


def path_of(argument: str, value: str | os.PathLike[str]) -> Path:
    """Returns the path that an argument gives; UsageError for an empty text, and for anything that is no path."""
    if not isinstance(value, str | os.PathLike) or not os.fspath(value):
        raise UsageError(f"{argument} is a path, as text or pathlib.Path, not {quoted(value)}.")
    return Path(value)
