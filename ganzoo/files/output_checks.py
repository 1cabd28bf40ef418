"""Checks where a command may write, before it computes anything."""

from __future__ import annotations

import os
from pathlib import Path

from ganzoo.errors import UsageError


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


def refusal(folder: Path) -> str:
    """Says why nothing can be written into a folder."""
    read_only = hasattr(os, "statvfs") and os.statvfs(folder).f_flag & os.ST_RDONLY
    return "its file system is mounted read-only" if read_only else "permission denied"


def in_the_way(path: Path, remedy: str) -> UsageError:
    """The error of a command that would have to write over `path`."""
    return UsageError(f"{path} is in the way: {remedy}.")
