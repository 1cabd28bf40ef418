"""Finds the plugin's own line in a traceback or a call stack, for messages."""

from __future__ import annotations

import sys
import traceback
from pathlib import Path

import torch

CORE = str(Path(__file__).parents[1])
TORCH = str(Path(torch.__file__).parent)
LIBRARY = str(Path(traceback.__file__).parent)


def place_of(error: BaseException) -> str:
    """The innermost frame of an exception that is a plugin's: "forward (dcgan/model.py, line 12)"."""
    frames = traceback.extract_tb(error.__traceback__)
    own = [frame for frame in frames if not frame.filename.startswith((CORE, TORCH, "<"))]
    return _described(own[-1] if own else frames[-1])


def caller() -> str:
    """The innermost frame of the call stack that is a plugin's, outside ganzoo, torch and Python's library."""
    for frame in reversed(traceback.extract_stack(sys._getframe(1))):
        of_python = frame.filename.startswith(LIBRARY) and "site-packages" not in frame.filename
        if not of_python and not frame.filename.startswith((CORE, TORCH, "<")):
            return _described(frame)
    return "unknown code"


def _described(frame: traceback.FrameSummary) -> str:
    path = Path(frame.filename)
    return f"{frame.name} ({path.parent.name}/{path.name}, line {frame.lineno})"
