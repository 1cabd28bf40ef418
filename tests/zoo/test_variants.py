"""Every registered variant passes the conformance suite: the cheap checks always, all of them with --slow."""

from __future__ import annotations

import pytest

import ganzoo
from ganzoo.testing import CHECKS, QUICK
from ganzoo.testing.runner import run_check
from ganzoo.testing.subject import Subject

NAMES = [variant.name for variant in ganzoo.variants()]


@pytest.fixture(scope="module")
def subject(request):
    """The subject of one variant, which its checks share."""
    with Subject.open(request.param) as found:
        yield found


@pytest.mark.parametrize(
    "check", [check if check in QUICK else pytest.param(check, marks=pytest.mark.slow) for check in CHECKS]
)
@pytest.mark.parametrize("subject", NAMES, indirect=True, scope="module")
def test_variant(subject, check):
    found = run_check(subject, check)
    if found.state == "skipped":
        pytest.skip(found.text)
    assert found.state == "ok", found.text
