"""Every registered variant passes the conformance suite: the cheap checks always, all of them with --slow."""

from __future__ import annotations

import pytest

import ganzoo
from ganzoo.testing import CHECKS, QUICK
from ganzoo.testing.runner import run_check
from ganzoo.testing.subject import Subject

LARGE = 512  # pixels, from which on building the networks takes seconds


def pairs():
    """Yields every variant and check; `slow` ones are those that train, and the shapes of networks for large images."""
    for variant in ganzoo.variants():
        for check in CHECKS:
            slow = check not in QUICK or (check == "shapes" and min(variant.sizes, default=0) >= LARGE)
            yield pytest.param(variant.name, check, marks=[pytest.mark.slow] if slow else [])


@pytest.fixture(scope="module")
def subject(request):
    """The subject of one variant, which its checks share."""
    with Subject.open(request.param) as found:
        yield found


@pytest.mark.parametrize(("subject", "check"), list(pairs()), indirect=["subject"], scope="module")
def test_variant(subject, check):
    found = run_check(subject, check)
    if found.state == "skipped":
        pytest.skip(found.text)
    assert found.state == "ok", found.text
