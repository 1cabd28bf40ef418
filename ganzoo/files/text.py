"""Quotes names and error texts from outside, so that a message stays one short printable line."""

import re


def shorten(name) -> str:
    """Quotes a name from outside so that no length and no control character of it can spoil a message."""
    text = repr(name)
    return text if len(text) <= 62 else f"{text[:60]}...{text[0]}"


def in_path(name: str) -> str:
    """A key from outside as part of a dotted path: bare where it is short and printable, else quoted as by `shorten`."""
    return name if name.isprintable() and len(name) <= 60 else shorten(name)


def one_line(error: BaseException) -> str:
    """An exception's text as one line of at most 300 letters."""
    text = " ".join(str(error).split())
    return text if len(text) <= 300 else text[:297] + "..."


LONGEST = 200


def natural_text(name: str) -> str:
    """Escapes what cannot be printed or encoded (new lines, bytes that are not UTF-8) and keeps the rest."""
    return "".join(
        letter if letter.isprintable() else letter.encode("unicode_escape").decode("ascii") for letter in name
    )


def quoted(name: object) -> str:
    """The name in quotes, at most 200 characters: safe in a message of one line."""
    text = natural_text(str(name))
    return f"'{text}'" if len(text) <= LONGEST else f"'{text[:LONGEST]}...'"


def reason(error: BaseException) -> str:
    """The error's own words on one line, or its type where it has none."""
    words = re.sub(r"\s+", " ", getattr(error, "strerror", None) or str(error)).strip()
    return natural_text(words)[:160] or type(error).__name__
