"""What commands share: the registry, with its warnings on stderr, and the log messages of everything that they run."""

from __future__ import annotations

import os

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


def show_messages(quiet: bool = False) -> None:
    """Prints ganzoo's log messages to stderr until the command ends; only warnings if `quiet`, none on other ranks than 0."""
    import logging

    class Printed(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            prefix = "Warning: " if record.levelno >= logging.WARNING else ""
            click.echo(f"{prefix}{record.getMessage()}", err=True)

    logger = logging.getLogger("ganzoo")
    level = logger.level
    handler = Printed() if os.environ.get("RANK", "0") == "0" else logging.NullHandler()
    logger.addHandler(handler)
    logger.setLevel(logging.WARNING if quiet else logging.INFO)

    def hide() -> None:
        logger.removeHandler(handler)
        logger.setLevel(level)

    click.get_current_context().call_on_close(hide)
