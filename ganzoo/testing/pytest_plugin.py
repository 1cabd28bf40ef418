"""`pytest --ganzoo NAME`: one test for each check of a variant. pytest loads this everywhere, so it imports nothing heavy."""

from __future__ import annotations

import pytest


def pytest_addoption(parser):
    group = parser.getgroup("ganzoo", "checks that any ganzoo variant must pass")
    group.addoption(
        "--ganzoo",
        action="append",
        default=[],
        metavar="NAME",
        help="Check this variant, as `ganzoo check NAME` does; may be repeated.",
    )
    group.addoption(
        "--ganzoo-only", action="append", default=[], metavar="CHECK", help="Only this check; may be repeated."
    )


def pytest_configure(config):
    if config.getoption("--ganzoo"):
        config.pluginmanager.register(Checks(config), "ganzoo-checks")


class Checks:
    """Adds the checks of the chosen variants to a session's items; it exists only where `--ganzoo` was given."""

    def __init__(self, config):
        self.names, self.only = config.getoption("--ganzoo"), config.getoption("--ganzoo-only")
        self.open = {}

    def pytest_collection(self, session):
        from ganzoo.errors import GanzooError
        from ganzoo.registry.registry import registry
        from ganzoo.testing import CHECKS, check_names

        try:
            for name in self.names:
                registry().claim("variants", name)
            self.checks = check_names(self.only or CHECKS)
        except GanzooError as error:
            raise pytest.UsageError(str(error)) from None

    @pytest.hookimpl(tryfirst=True)
    def pytest_collection_modifyitems(self, session, items):
        """The items of the checks come first, variant by variant, so that what a variant's checks share is built once."""
        mine = []
        for name in dict.fromkeys(self.names):
            group = Variant.from_parent(session, name=name, nodeid=f"ganzoo::{name}")
            mine += [CheckItem.from_parent(group, name=check, checks=self) for check in self.checks]
        items[:0] = mine
        session.testscollected = len(items)

    def subject(self, name: str):
        """The subject of a variant, opened at its first check; the one before is closed."""
        if name not in self.open:
            self.close()
            from ganzoo.testing.subject import Subject

            context = Subject.open(name)
            self.open[name] = (context, context.__enter__())
        return self.open[name][1]

    def close(self) -> None:
        while self.open:
            self.open.popitem()[1][0].__exit__(None, None, None)

    def pytest_sessionfinish(self):
        self.close()


class Variant(pytest.Collector):
    """All checks of one variant."""

    def collect(self):
        return []


class CheckItem(pytest.Item):
    """One check of one variant."""

    def __init__(self, *, checks: Checks, **options):
        super().__init__(**options)
        self.checks = checks

    def runtest(self):
        from ganzoo.testing import CheckFailed
        from ganzoo.testing.runner import run_check

        found = run_check(self.checks.subject(self.parent.name), self.name)
        if found.state == "skipped":
            pytest.skip(found.text)
        if found.state == "failed":
            raise CheckFailed(found.text)

    def repr_failure(self, excinfo):
        """A failed check is its sentence; a traceback would show nothing but this plugin."""
        from ganzoo.testing import CheckFailed

        return str(excinfo.value) if isinstance(excinfo.value, CheckFailed) else super().repr_failure(excinfo)

    def reportinfo(self):
        return self.path, None, f"ganzoo {self.parent.name}: {self.name}"
