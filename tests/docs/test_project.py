"""pyproject.toml against the files that repeat parts of it."""

import re
import tomllib

from paths import ROOT

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
TOOLS = ("dev", "docs")  # extras of maintainers; constraints.txt pins them
LOWER = re.compile(r"([\w-]+)>=([\d.]+)")


def pins(name: str) -> dict[str, str]:
    lines = (ROOT / name).read_text(encoding="utf-8").splitlines()
    return dict(line.split("==") for line in lines if line and not line.startswith("#"))


def numbers(version: str) -> list[int]:
    """A version without the zeros at its end: 11 and 11.0.0 are one."""
    parts = [int(part) for part in version.split(".")]
    while parts and parts[-1] == 0:
        parts.pop()
    return parts


def bounds(requirements: list[str]) -> dict[str, str]:
    return dict(LOWER.match(requirement).groups() for requirement in requirements)


def test_the_lowest_versions_are_those_that_are_admitted():
    extras = PROJECT["optional-dependencies"]
    admitted = bounds(PROJECT["dependencies"])
    for name, requirements in extras.items():
        if name not in TOOLS:
            admitted |= bounds(requirements)
    lowest = pins("constraints-lowest.txt")
    assert lowest.keys() == admitted.keys()
    for name in admitted.keys() - {"torch"}:
        assert numbers(lowest[name]) == numbers(admitted[name]), name
    status = (ROOT / "docs" / "status.md").read_text(encoding="utf-8")
    assert f"admits {admitted['torch']}" in status and lowest["torch"] in status


def test_tools_are_pinned_at_versions_that_are_admitted():
    pinned = pins("constraints.txt")
    for name in TOOLS:
        for tool, least in bounds(PROJECT["optional-dependencies"][name]).items():
            assert numbers(pinned[tool]) >= numbers(least), tool


def test_one_version():
    citation = (ROOT / "CITATION.cff").read_text(encoding="utf-8")
    package = (ROOT / "ganzoo" / "__init__.py").read_text(encoding="utf-8")
    assert f"\nversion: {PROJECT['version']}\n" in citation
    assert f'__version__ = "{PROJECT["version"]}"' in package


def test_the_install_page_says_what_every_extra_is_for():
    page = (ROOT / "docs" / "get-started.md").read_text(encoding="utf-8")
    named = {name for row in re.findall(r"^\| (`[^|]+) \|", page, re.M) for name in re.findall(r"`(\w+)`", row)}
    assert named == PROJECT["optional-dependencies"].keys()


def test_no_page_promises_bitwise_training_on_cuda_while_a_test_there_is_not_named():
    status = (ROOT / "docs" / "status.md").read_text(encoding="utf-8")
    assert "One of the 149 failed and is not yet named" in status
    for name in ("README.md", "docs/index.md"):
        text = " ".join((ROOT / name).read_text(encoding="utf-8").split())
        assert text.count("resumes bit for bit") == text.count("resumes bit for bit on a CPU") == 1
