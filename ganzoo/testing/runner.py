"""Runs checks on a variant and reports their outcomes. Imports no torch until a check runs."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Literal

from ganzoo.errors import GanzooError, PluginError, UsageError
from ganzoo.files.text import one_line, quoted
from ganzoo.registry.discovery import normalize
from ganzoo.testing.checks import CHECKS, FUNCTIONS, PATIENCE, CheckFailed, CheckSkipped, Outcome, check_names

if TYPE_CHECKING:
    from ganzoo.registry.registry import Registry
    from ganzoo.testing.subject import Subject


def variants_of(distribution: str, registry: Registry) -> list[str]:
    """Returns the variants that an installed distribution registers, sorted.

    UsageError if there are none, PluginError if the distribution is broken or another one has one of its names.
    """
    wanted = normalize(distribution)
    registry.names("variants")  # runs the hooks, which may break a plugin
    mine = [plugin for plugin in registry.plugins if plugin.distribution == wanted]
    for plugin in mine:
        if plugin.error:
            raise PluginError(f"Plugin {plugin.name} is broken: {plugin.error}")
        if clashes := registry.clashes(plugin):
            raise PluginError(clashes[0])
    names = sorted({name for plugin in mine for name in plugin.registered.get("variants", ())})
    if not names:
        known = sorted({plugin.distribution for plugin in registry.plugins})
        raise UsageError(
            f"No installed distribution {quoted(distribution)} registers a variant; distributions with plugins: "
            f"{', '.join(known)}."
        )
    return names


def run_checks(
    name: str,
    checks: Iterable[str] = tuple(CHECKS),
    *,
    size: int | None = None,
    patience: float = PATIENCE,
    registry: Registry | None = None,
) -> Iterator[Outcome]:
    """Runs checks on a registered variant and yields the `Outcome` of each as soon as it is known.

    `size` is the image size to build networks at (None: the smallest of the card), `patience` the CPU seconds after
    which `learns` is skipped. UsageError for an unknown check, variant or size.
    """
    checks = check_names(checks)
    from ganzoo.testing.subject import Subject

    with Subject.open(name, size=size, patience=patience, registry=registry) as subject:
        for check in checks:
            yield run_check(subject, check)


def check_variant(
    name: str,
    checks: Iterable[str] = tuple(CHECKS),
    *,
    size: int | None = None,
    patience: float = PATIENCE,
    registry: Registry | None = None,
) -> list[Outcome]:
    """Runs checks as `run_checks` does and returns their outcomes; CheckFailed with one line for each that failed."""
    outcomes = list(run_checks(name, checks, size=size, patience=patience, registry=registry))
    if failed := [one for one in outcomes if one.state == "failed"]:
        raise CheckFailed("\n".join(f"{one.variant}: {one.check}: {one.text}" for one in failed))
    return outcomes


def run_check(subject: Subject, check: str) -> Outcome:
    """Runs one check; an unexpected exception is a failure that names the plugin's line."""
    from ganzoo.testing import card_checks, sampling_checks, training_checks  # noqa: F401  (they register their checks)
    from ganzoo.testing.frames import place_of

    state: Literal["ok", "failed", "skipped"]
    began = time.perf_counter()
    try:
        state, text = "ok", FUNCTIONS[check](subject) or ""
    except CheckSkipped as reason:
        state, text = "skipped", str(reason)
    except CheckFailed as failure:
        state, text = "failed", str(failure)
    except GanzooError as error:
        state, text = "failed", one_line(error)
    except Exception as error:
        state, text = "failed", f"{place_of(error)} raised {type(error).__name__}: {one_line(error)}"
    return Outcome(subject.variant.name, check, state, text, round(time.perf_counter() - began, 2))
