"""Puts names and error texts from outside into messages: each stays one short printable line.

`quoted` is for a name or value, `in_path` for a key in a dotted path, `reason` and `one_line` for exceptions.
"""

from __future__ import annotations

import os
import re
import shlex

LONGEST_NAME = 80
LONGEST_PATH = 200
LONGEST_LINE = 300
WORD = re.compile(r"[\w.-]{1,60}", re.ASCII)


def quoted(value: object) -> str:
    """Quotes a name or path, and writes any other value as Python does; the middle of a long one is cut out."""
    if isinstance(value, os.PathLike):
        return f"'{_shortened(printable(str(value)), LONGEST_PATH)}'"
    if isinstance(value, str):
        return f"'{_shortened(printable(value), LONGEST_NAME)}'"
    return _shortened(printable(repr(value)), LONGEST_NAME)


def _shortened(text: str, longest: int) -> str:
    return text if len(text) <= longest else f"{text[: longest - 33]}...{text[-30:]}"


def in_path(key: str) -> str:
    """Writes a key as part of a dotted path: bare if it is a plain word, else quoted."""
    return key if WORD.fullmatch(key) else quoted(key)


def printable(text: str) -> str:
    """Escapes characters that cannot be printed or encoded: line ends, terminal control, bytes that are not UTF-8."""
    return "".join(
        letter if letter.isprintable() else letter.encode("unicode_escape").decode("ascii") for letter in text
    )


def printable_lines(text: str) -> str:
    """As `printable`, but keeps the line ends."""
    return "\n".join(map(printable, text.split("\n")))


def one_line(error: BaseException | str) -> str:
    """Returns the text of an exception, or its type if it has none, as one line of at most 300 characters."""
    text = printable(" ".join(str(error).split()))
    if not text and isinstance(error, BaseException):
        return type(error).__name__
    return text if len(text) <= LONGEST_LINE else text[: LONGEST_LINE - 3] + "..."


def reason(error: BaseException) -> str:
    """Returns the cause that an exception states, as one line; for an OSError without its number and path."""
    return one_line(getattr(error, "strerror", None) or error)


def resume_command(folder: os.PathLike[str]) -> str:
    """Returns the command that goes on with the run in a folder, in backquotes, as messages write it."""
    return f"`ganzoo train --out {shlex.quote(os.fspath(folder))} --resume`"


def ordinal(number: int) -> str:
    """Writes the place of a number from 2 to 20: "second", "third", "fourth", "5th"."""
    return {2: "second", 3: "third", 4: "fourth"}.get(number, f"{number}th")
