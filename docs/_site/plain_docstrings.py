"""Sphinx extension: docstrings are plain text with code between backticks; reStructuredText marks are escaped."""

from __future__ import annotations

import re

CODE = re.compile(r"(`+[^`]+`+)")


def escape(line: str) -> str:
    """Outside of code, stars, bars, at signs and underscores that end a word mean themselves."""
    return "".join(
        part if number % 2 else re.sub(r"([*|@]|(?<=\w)_(?!\w))", r"\\\1", part)
        for number, part in enumerate(CODE.split(line))
    )


def plain(app, what, name, subject, options, lines: list[str]) -> None:
    """Escapes the text, and makes an indented block that follows a blank line a block of code."""
    found: list[str] = []
    in_code, last = False, ""
    for line in lines:
        indented = line.startswith("    ")
        if indented and not in_code and found and not found[-1].strip() and last and not last.startswith(" "):
            found += ["::", ""]
            in_code = True
        elif line.strip() and not indented:
            in_code = False
        found.append(line if in_code else escape(line))
        last = line if line.strip() else last
    lines[:] = found


def readable_signature(app, what, name, subject, options, signature: str | None, returned: str | None):
    """A default that a dataclass makes anew is no expression, and keeps Sphinx from reading the types beside it."""
    return (signature.replace("<factory>", "..."), returned) if signature else None


def setup(app):
    app.connect("autodoc-process-signature", readable_signature)
    app.connect("autodoc-process-docstring", plain, priority=400)  # before napoleon makes its fields
    return {"parallel_read_safe": True, "parallel_write_safe": True}
