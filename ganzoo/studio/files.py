"""Pictures that the studio writes for a browser, each in a folder of its own under a name that says something."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

from ganzoo.files import pictures


def new_file(folder: Path, name: str) -> Path:
    """Returns the path of a new file `name` in a new folder below `folder`."""
    return Path(tempfile.mkdtemp(dir=folder, prefix="made-")) / name


def save(folder: Path, picture: Any, name: str) -> str:
    """Writes a Pillow picture as `ganzoo sample` does and returns its path."""
    path = new_file(folder, name)
    pictures.save_picture(picture, path)
    return str(path)
