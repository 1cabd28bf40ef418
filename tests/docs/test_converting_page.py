"""docs/converting.md against the registry: every layout, and the variants whose networks it fills."""

from __future__ import annotations

import re

import pytest
from paths import DOCS

from ganzoo.convert.search import OWN
from ganzoo.registry.registry import registry

PAGE = (DOCS / "converting.md").read_text(encoding="utf-8")
ROWS = dict(re.findall(r"^\| `([\w-]+)` \| (.*?) \|", PAGE[PAGE.index("## Layouts") :], re.MULTILINE))


def layouts() -> dict[str, tuple[str, ...]]:
    """The layouts of the package itself, not of other plugins that are installed."""
    found = {name: registry().claim("layouts", name) for name in registry().names("layouts")}
    return {name: claim.value().variants for name, claim in found.items() if claim.plugin.distribution == "ganzoo"}


def test_the_page_lists_every_layout_and_no_other():
    assert layouts() and set(ROWS) == {*layouts(), OWN}


@pytest.mark.parametrize("name", layouts())
def test_the_page_names_the_variants_of_a_layout(name):
    assert set(re.findall(r"`([\w-]+)`", ROWS[name])) == set(layouts()[name])
