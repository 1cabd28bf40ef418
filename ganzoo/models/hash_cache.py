"""Remembers which weights were hashed: hashing 400 MB takes longer than the rest of loading.

As in git's index, a file counts as unchanged while its device, inode, size and both times are those of the check. No
program can set the time of a change (ctime). A file that changed less than two seconds before its check is not
remembered: a second change could fall on the same tick of the file system's clock.
"""

from __future__ import annotations

import contextlib
import json
import os
import time
from pathlib import Path

from ganzoo.errors import GanzooError
from ganzoo.files.atomic import write_atomically
from ganzoo.files.strict_json import read_json

KEPT = 1000
FILE_BYTES = 2**20
RACY_SECONDS = 2


def file_state(status: os.stat_result) -> list[int]:
    """Returns values that change with the file: size and both times in nanoseconds."""
    return [status.st_size, status.st_mtime_ns, status.st_ctime_ns]


def is_verified(status: os.stat_result, sha256: str) -> bool:
    """True if this very file had that sha256 and finite values, and has not changed since."""
    return os.name == "posix" and _read().get(_key(status)) == [*file_state(status), sha256]


def mark_verified(status: os.stat_result, sha256: str, now: float) -> None:
    """Records a check that began at `now`; if it cannot be recorded, the file is checked again next time."""
    if os.name != "posix" or now - status.st_ctime < RACY_SECONDS:  # elsewhere ctime is the time of creation
        return
    stamps = _read()
    stamps.pop(_key(status), None)
    stamps[_key(status)] = [*file_state(status), sha256]
    kept = dict(list(stamps.items())[-KEPT:])
    with contextlib.suppress(OSError, GanzooError):
        _file().parent.mkdir(parents=True, exist_ok=True)
        write_atomically(_file(), json.dumps({"format": 1, "checked": kept}, indent=0))


def clock() -> float:
    """Returns the time, in seconds, by which files are dated."""
    return time.time()


def _key(status: os.stat_result) -> str:
    return f"{status.st_dev}:{status.st_ino}"


def _file() -> Path:
    return Path(os.path.expanduser(os.environ.get("GANZOO_CACHE") or "~/.cache/ganzoo")).absolute() / "checked.json"


def _read() -> dict[str, list]:
    """Reads all records; none if they cannot be read: files are then checked again."""
    try:
        found = read_json(_file(), FILE_BYTES, depth=4)
    except GanzooError:
        return {}
    if not isinstance(found, dict) or found.get("format") != 1 or not isinstance(found.get("checked"), dict):
        return {}
    return found["checked"]
