"""HTML in which nothing that comes from outside can be anything but text."""

from __future__ import annotations

import html
import unicodedata

BLANK = {"\n": " ", "\r": " ", "\t": " "}


class Markup(str):
    """Text that is HTML already; everything else is escaped on its way in."""


def clean(text: object) -> str:
    """One line in which no control character, unpaired surrogate or change of writing direction is left."""
    return "".join(
        BLANK.get(c) or ("\ufffd" if unicodedata.category(c) in ("Cc", "Cf", "Cs") else c) for c in str(text)
    )


def escaped(text: object) -> Markup:
    return text if isinstance(text, Markup) else Markup(html.escape(clean(text)))


def tag(name: str, *content: object, **attributes: object) -> Markup:
    """An element; `class_` and `stroke_width` are written class and stroke-width, True is an attribute without a value, None is none."""
    stated = "".join(
        f" {key.rstrip('_').replace('_', '-')}" + ("" if value is True else f'="{escaped(value)}"')
        for key, value in attributes.items()
        if value is not None and value is not False
    )
    return Markup(f"<{name}{stated}>{join(content)}</{name}>")


def join(parts) -> Markup:
    return Markup("".join(escaped(part) for part in parts if part is not None))
