"""The registry as commands load it: with one line on stderr for each plugin that is broken."""

from __future__ import annotations

import click

from ganzoo.registry.registry import Registry, registry

REPORTED: set[str] = set()  # warnings that this process has printed


def loaded_registry() -> Registry:
    """The registry, after one line on stderr for each plugin that is broken and each name that is claimed twice.

    Call it before anything imports torch, which a damaged distribution can keep from starting.
    """
    found = registry()
    tell_warnings(found)
    return found


def tell_warnings(found: Registry) -> None:
    """Prints the registry's warnings that were not printed yet: part hooks run late and may add some."""
    for line in [line for line in found.warnings if line not in REPORTED]:
        REPORTED.add(line)
        click.echo(f"{click.style('Warning:', fg='yellow')} {line}", err=True)
