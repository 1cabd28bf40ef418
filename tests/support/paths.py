"""Folders of the checkout that tests read from."""

from pathlib import Path

TESTS = Path(__file__).parents[1]
ROOT = TESTS.parent
DOCS = ROOT / "docs"
GOLDEN = TESTS / "golden"
