"""Writes the command line that makes a picture of the studio again."""

from __future__ import annotations

import shlex
from collections.abc import Mapping


def command(name: str, *arguments: str, **options: object) -> str:
    """Returns `ganzoo NAME ARGUMENTS --option value ...`, quoted for a shell.

    An option that is None or False is left out, True is a flag, a mapping repeats `--option key=value`; options of one
    letter have one dash.
    """
    words = ["ganzoo", name, *arguments]
    for option, value in options.items():
        flag = f"-{option}" if len(option) == 1 else f"--{option.replace('_', '-')}"
        if isinstance(value, Mapping):
            words += [word for key, one in value.items() for word in (flag, f"{key}={_text(one)}")]
        elif value is True:
            words.append(flag)
        elif value is not None and value is not False:
            words += [flag, _text(value)]
    return shlex.join(words)


def _text(value: object) -> str:
    """Writes a number with as few digits as read back to it."""
    short = f"{value:g}" if isinstance(value, float) else str(value)
    return short if not isinstance(value, float) or float(short) == value else repr(value)
