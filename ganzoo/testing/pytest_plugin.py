"""`pytest --ganzoo NAME` and `--ganzoo-dist DISTRIBUTION`: one test for each check of each variant.

Imports nothing heavy, because every pytest run loads this.
"""

from __future__ import annotations

from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from ganzoo.testing.subject import Subject


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("ganzoo", "conformance checks of ganzoo variants")
    group.addoption(
        "--ganzoo",
        action="append",
        default=[],
        metavar="NAME",
        help="Check this variant, as `ganzoo check NAME` does; may be repeated.",
    )
    group.addoption(
        "--ganzoo-dist",
        action="append",
        default=[],
        metavar="DISTRIBUTION",
        help="Check all variants of this installed distribution; may be repeated.",
    )
    group.addoption(
        "--ganzoo-only", action="append", default=[], metavar="CHECK", help="Only this check; may be repeated."
    )


def pytest_configure(config: pytest.Config) -> None:
    if config.getoption("--ganzoo") or config.getoption("--ganzoo-dist"):
        config.pluginmanager.register(Checks(config), "ganzoo-checks")


class Checks:
    """Adds the checks of the chosen variants to a session; registered only with one of the options."""

    def __init__(self, config: pytest.Config) -> None:
        self.names, self.only = [*config.getoption("--ganzoo")], config.getoption("--ganzoo-only")
        self.distributions = config.getoption("--ganzoo-dist")
        self.open: dict[str, tuple[AbstractContextManager[Subject], Subject]] = {}

    def pytest_collection(self, session: pytest.Session) -> None:
        from ganzoo.errors import GanzooError
        from ganzoo.registry.registry import registry
        from ganzoo.testing import CHECKS, check_names
        from ganzoo.testing.runner import variants_of

        try:
            self.names += [name for one in self.distributions for name in variants_of(one, registry())]
            for name in self.names:
                registry().claim("variants", name)
            self.checks = check_names(self.only or CHECKS)
        except GanzooError as error:
            raise pytest.UsageError(str(error)) from None

    @pytest.hookimpl(tryfirst=True)
    def pytest_collection_modifyitems(self, session: pytest.Session, items: list[pytest.Item]) -> None:
        """Adds one item per check, before all others and variant by variant, so that checks share a subject."""
        mine: list[pytest.Item] = []
        for name in dict.fromkeys(self.names):
            group = Variant.from_parent(session, name=name, nodeid=f"ganzoo::{name}")
            mine += [CheckItem.from_parent(group, name=check, checks=self, variant=name) for check in self.checks]
        items[:0] = mine
        session.testscollected = len(items)

    def subject(self, name: str) -> Subject:
        """Returns the subject of a variant, opened at its first check, and closes the previous one."""
        if name not in self.open:
            self.close()
            from ganzoo.testing.subject import Subject

            context = Subject.open(name)
            self.open[name] = (context, context.__enter__())
        return self.open[name][1]

    def close(self) -> None:
        while self.open:
            self.open.popitem()[1][0].__exit__(None, None, None)

    def pytest_sessionfinish(self) -> None:
        self.close()


class Variant(pytest.Collector):
    """All checks of one variant."""

    def collect(self) -> list[pytest.Item]:
        return []


class CheckItem(pytest.Item):
    """One check of one variant."""

    def __init__(self, *, checks: Checks, variant: str, **options: Any) -> None:
        super().__init__(**options)
        self.checks, self.variant = checks, variant

    def runtest(self) -> None:
        from ganzoo.testing import CheckFailed
        from ganzoo.testing.runner import run_check

        found = run_check(self.checks.subject(self.variant), self.name)
        if found.state == "skipped":
            pytest.skip(found.text)
        if found.state == "failed":
            raise CheckFailed(found.text)

    def repr_failure(self, excinfo: pytest.ExceptionInfo[BaseException], style: Any = None) -> Any:
        """Shows the message of a failed check; its traceback would only show this plugin."""
        from ganzoo.testing import CheckFailed

        return str(excinfo.value) if isinstance(excinfo.value, CheckFailed) else super().repr_failure(excinfo, style)

    def reportinfo(self) -> tuple[Path, int | None, str]:
        return self.path, None, f"ganzoo {self.variant}: {self.name}"
