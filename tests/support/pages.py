"""Does what a page of the documentation says, block by block, in a new environment and an empty folder.

A block whose first line is `# path/file.py` (or .toml) is that file. Other Python blocks are run, and of console blocks
the lines that begin with `$`. Blocks of `text` are what programs answer.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

from environments import Environment
from paths import DOCS

BLOCK = re.compile(r"^```(\w*)\n(.*?)^```$", re.M | re.S)
FILE = re.compile(r"# (?P<path>[\w./-]+\.(?:py|toml))\n")
KNOWN = {"python", "toml", "console", "text"}


def blocks(page: str) -> list[tuple[str, str]]:
    """(language, text) of every block; one without a language that says what it is for fails."""
    found = BLOCK.findall((DOCS / page).read_text(encoding="utf-8"))
    assert {language for language, _ in found} <= KNOWN, page
    return found


def commands(block: str) -> list[str]:
    """The commands of a console block, those over several lines as one."""
    joined = block.replace("\\\n", " ").splitlines()
    assert all(line.startswith("$ ") for line in joined), (
        f"what a program answers belongs into a block of text: {block}"
    )
    return [" ".join(line[2:].split()) for line in joined]


class Reader:
    """Follows one page in `environment`; `changes` are texts that are replaced before a block is used."""

    def __init__(self, environment: Environment, changes: Mapping[str, str]):
        self.environment, self.changes, self.used = environment, dict(changes), set()
        self.cwd = environment.folder / "empty"
        self.cwd.mkdir()
        self.said: list[str] = []

    def follow(self, page: str) -> None:
        """Every block of the page in its order; what fails is an AssertionError with the program's own words."""
        for language, text in blocks(page):
            self.follow_block(language, text)

    def follow_block(self, language: str, text: str) -> None:
        if language == "text":
            return
        for old, new in self.changes.items():
            self.used |= {old} if old in text else set()
            text = text.replace(old, new)
        if found := FILE.match(text):
            file = self.cwd / found["path"]
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text, encoding="utf-8")
        elif language == "python":
            self._done("python", "-c", text)
        elif language == "console":
            for command in commands(text):
                self._shell(command)
        else:
            raise AssertionError(f"a block of {language} must name its file: {text}")

    def _shell(self, command: str) -> None:
        place = self.environment.folder / "place"
        self._done("bash", "-euo", "pipefail", "-c", f"{command}\npwd > {place}", shown=command)
        self.cwd = Path(place.read_text().strip())

    def _done(self, *words: str, shown: str = "") -> None:
        done = self.environment.run(*words, cwd=self.cwd)
        assert done.returncode == 0 and "Traceback" not in done.stderr, (
            f"{shown or words[-1]}\n{done.stdout}\n{done.stderr}"
        )
        self.said.append(done.stdout)
        self.learn(shown, done.stdout)

    def learn(self, command: str, output: str) -> None:
        """Numbers that a page can only show as an example.

        Where the command prints them, they are taken for the blocks that follow.
        """
        if command.startswith("ganzoo push"):
            self.changes["fedcba9876543210fedcba9876543210fedcba98"] = output.strip().rpartition("@")[2]
        if found := re.search(r"^sha256: ([0-9a-f]{64})$", output, re.M):
            self.changes["0123456789abcdef" * 4] = found[1]
