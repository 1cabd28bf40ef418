"""Shared by the commands: the registry with its warnings, and log messages, both on stderr."""

from __future__ import annotations

import os
from collections.abc import Callable

import click

from ganzoo.files.text import printable_lines
from ganzoo.registry.registry import Registry, registry

REPORTED: set[str] = set()  # warnings that this process has printed already


def loaded_registry() -> Registry:
    """Loads the registry and prints one line on stderr for each broken plugin and each name that is registered twice.

    Call it before importing torch, because a damaged distribution can break torch's import (the registry prevents it).
    """
    found = registry()
    report_warnings(found)
    return found


def report_warnings(found: Registry) -> None:
    """Prints the warnings that were not printed yet; hooks of parts run late and may add some."""
    for line in [line for line in found.warnings if line not in REPORTED]:
        REPORTED.add(line)
        _echo(f"{click.style('Warning:', fg='yellow')} ", line)


def _echo(prefix: str, text: str) -> None:
    """Prints a message on stderr, without control characters: it may quote others' names.

    A message that gets lost fails no command.
    """
    try:
        click.echo(f"{prefix}{printable_lines(text)}", err=True)
    except (OSError, ValueError):
        pass


def echo_message(text: str) -> None:
    """Prints a message on stderr, with its first word in red if it is an error."""
    head, colon, rest = text.partition(":")
    error = head == "Error"
    _echo(click.style(head + colon, fg="red") if error else "", rest if error else text)


def show_messages(quiet: bool = False, write: Callable[[str], None] | None = None) -> None:
    """Prints log messages to stderr until the command ends: only warnings if `quiet`, nothing on ranks other than 0.

    `write` prints a line in place of stderr, beside a progress bar.
    """
    import logging

    class Printed(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            prefix = "Warning: " if record.levelno >= logging.WARNING else ""
            if write is None:
                _echo(prefix, record.getMessage())
            else:
                write(f"{prefix}{record.getMessage()}")

    logger = logging.getLogger("ganzoo")
    level = logger.level
    handler = Printed() if os.environ.get("RANK", "0") == "0" else logging.NullHandler()
    logger.addHandler(handler)
    logger.setLevel(logging.WARNING if quiet else logging.INFO)

    def hide() -> None:
        logger.removeHandler(handler)
        logger.setLevel(level)

    click.get_current_context().call_on_close(hide)
