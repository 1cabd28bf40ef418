"""Names of files and classes as they may appear in messages, configurations and JSON: printable, bounded."""

import re

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
