"""Builds HTML in which all foreign text is escaped."""

from __future__ import annotations

import html
import unicodedata
from collections.abc import Iterable

BLANK = {"\n": " ", "\r": " ", "\t": " "}


class Markup(str):
    """Marks text that is HTML already; all other text is escaped."""


def clean(text: object) -> str:
    """Returns one line without control characters, unpaired surrogates and changes of writing direction."""
    return "".join(
        BLANK.get(c) or ("\ufffd" if unicodedata.category(c) in ("Cc", "Cf", "Cs") else c) for c in str(text)
    )


def escaped(text: object) -> Markup:
    return text if isinstance(text, Markup) else Markup(html.escape(clean(text)))


def tag(name: str, *content: object, **attributes: object) -> Markup:
    """Returns an element; `class_` becomes class, `stroke_width` stroke-width.

    True has no value, None and False are left out.
    """
    stated = "".join(
        f" {key.rstrip('_').replace('_', '-')}" + ("" if value is True else f'="{escaped(value)}"')
        for key, value in attributes.items()
        if value is not None and value is not False
    )
    return Markup(f"<{name}{stated}>{join(content)}</{name}>")


def join(parts: Iterable[object]) -> Markup:
    return Markup("".join(escaped(part) for part in parts if part is not None))
