"""Names of runs in the stores of trackers, which a resumed run finds again."""

from __future__ import annotations

import re
from pathlib import Path
from uuid import uuid4

IDENTITY = re.compile(r"[0-9a-z]{8,64}")


def known_name(folder: Path, tracker: str) -> str | None:
    """Returns the name of the run in a tracker's store, None if it has none yet."""
    try:
        found = _file(folder, tracker).read_text().strip()
    except (OSError, ValueError):
        return None
    return found if IDENTITY.fullmatch(found) else None


def keep_name(folder: Path, tracker: str, name: str | None = None) -> str:
    """Writes the name of the run in a tracker's store beside the run, a random one if it is None, and returns it."""
    name = name or uuid4().hex[:12]
    file = _file(folder, tracker)
    file.parent.mkdir(exist_ok=True)
    file.write_text(f"{name}\n")
    return name


def _file(folder: Path, tracker: str) -> Path:
    return folder / "trackers" / f"{tracker}-run"
