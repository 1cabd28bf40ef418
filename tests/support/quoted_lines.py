"""Finds the lines of code that docs/variants quote; run as a script, writes their present numbers into the pages.

A row of a page quotes a line of code with its number: [`model.py:12`](path/to/model.py#L12) `code`. A quote may ignore
how the formatter wraps the statement. If it occurs on several lines, the one nearest to the old number is taken.
"""

import re
import sys
from functools import cache
from pathlib import Path

PAGES = sorted((Path(__file__).resolve().parents[2] / "docs" / "variants").glob("*.md"))
QUOTE = re.compile(
    r"\[`(?P<name>[\w.]+):(?P<shown>\d+)`\]\((?P<path>[^)#]+)#L(?P<line>\d+)\) `(?P<code>.+?)`(?= \||\))"
)


def tight(code: str) -> str:
    """Code without white space and trailing commas: one statement, however the formatter wraps it."""
    return re.sub(r",(?=[)\]}])", "", "".join(code.split()))


@cache
def _starts(path: Path) -> list[tuple[str, int]]:
    """For each line, its code with that of the nine lines after it, and how much of that is its own."""
    lines = path.read_text(encoding="utf-8").splitlines()
    return [(tight("\n".join(lines[at : at + 10])), len(tight(lines[at]))) for at in range(len(lines))]


def places(quote: str, path: Path) -> list[int]:
    """The lines of a file on which the quoted code begins."""
    wanted = tight(quote).rstrip(",")
    return [n for n, (text, own) in enumerate(_starts(path.resolve()), 1) if 0 <= text.find(wanted) < own]


def renumber(page: Path) -> list[str]:
    """Writes the present line numbers into `page`; returns the quotes that their files no longer contain."""
    gone = []

    def present(match: re.Match[str]) -> str:
        path = page.parent / match["path"]
        found = places(match["code"], path) if path.is_file() else []
        if not found:
            gone.append(f"{page.name}: {match['path']} has no line with `{match['code']}`")
            return match[0]
        line = min(found, key=lambda number: abs(number - int(match["line"])))
        return f"[`{match['name']}:{line}`]({match['path']}#L{line}) `{match['code']}`"

    page.write_text(QUOTE.sub(present, page.read_text(encoding="utf-8")), encoding="utf-8")
    return gone


if __name__ == "__main__":
    missing = [line for page in PAGES for line in renumber(page)]
    print("\n".join(missing) or "every quoted line has its number")
    sys.exit(1 if missing else 0)
