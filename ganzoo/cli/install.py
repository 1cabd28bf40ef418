"""`ganzoo install` and `ganzoo uninstall`."""

from __future__ import annotations

import os
import sys

import click

from ganzoo import __version__
from ganzoo.cli.common import show_messages
from ganzoo.errors import PluginError, UsageError
from ganzoo.registry.hookspecs import API_VERSION


class PipCommand(click.Command):
    """A command that passes everything after `--` as `context.obj`, instead of as arguments."""

    def parse_args(self, context: click.Context, arguments: list[str]) -> list[str]:
        if "--" in arguments:
            place = arguments.index("--")
            context.obj = tuple(arguments[place + 1 :])
            arguments = arguments[:place]
        return super().parse_args(context, arguments)


@click.command(cls=PipCommand, options_metavar="[OPTIONS]", epilog="Everything after -- is passed to pip.")
@click.argument("packages", nargs=-1, metavar="PACKAGE... [-- PIP OPTIONS]")
@click.option(
    "-e",
    "--editable",
    multiple=True,
    metavar="FOLDER",
    help="A folder with a plugin to install in editable mode.",
)
@click.option("--dry-run", is_flag=True, help="Print what would be installed and from where, and exit.")
@click.pass_obj
def install(
    options: tuple[str, ...] | None, packages: tuple[str, ...], editable: tuple[str, ...], dry_run: bool
) -> None:
    """Install plugins with pip, into the environment of ganzoo.

    Prints what each plugin registers, or why it does not load.

    \b
    ganzoo install ganzoo-waves                     from the package index
    ganzoo install ./ganzoo-waves                   a folder, a wheel, or git+https://...
    ganzoo install -e .                             your own plugin, in editable mode
    ganzoo install ganzoo-waves -- --no-index --find-links wheels/

    A plugin is code that runs with your rights, and anyone can take a name on a public index. So ganzoo first prints
    which packages pip would install, and from where (--dry-run stops there, and takes wheels alone: pip runs the code
    of sources to plan). ganzoo and what it needs (torch, numpy, click ...) are never replaced, nor are files of another
    distribution.
    """
    if not packages and not editable:
        raise UsageError("Give a PACKAGE to install, or -e FOLDER.")
    from ganzoo.registry.install import install as run

    show_messages()
    asked = run(packages, editable, options or (), dry_run)
    if not dry_run:
        _report(asked)


def _report(asked: list[str]) -> None:
    """Prints the names that the distributions register; PluginError if one has no plugin or does not load."""
    from ganzoo.registry.install import listing

    found = listing()
    wrong = []
    for name in asked:
        rows = [row for row in found["plugins"] if row["distribution"] == name]
        wrong += (
            [f"{name} has no plugin (no entry point of the group ganzoo; pip uninstall {name})"] if not rows else []
        )
        for row in rows:
            if row["error"]:
                wrong.append(f"{row['name']} {row['version']} does not load: {row['error']} (ganzoo uninstall {name})")
            else:
                api = f"ganzoo {__version__} (plugin API {API_VERSION})"
                state = "clashes with another plugin" if row["clashes"] else f"works with {api}"
                click.echo(f"{row['name']} {row['version']} {state} and registers")
                click.echo(registered_lines(row["registered"]))
            if row["note"]:
                click.echo(f"Note: {row['name']} {row['note']}", err=True)
    for line in found["warnings"]:
        if not any(f"Plugin {name}:" in line for name in asked):
            click.echo(f"Warning: {line}", err=True)
    if "GANZOO_LOAD_PLUGINS" in os.environ:
        names = os.environ["GANZOO_LOAD_PLUGINS"]
        click.echo(f"Note: GANZOO_LOAD_PLUGINS={names} decides which plugins other commands load.", err=True)
    if wrong:
        raise PluginError(f"Installed, but {'; '.join(wrong)}.")


def registered_lines(registered: dict[str, list[str]]) -> str:
    """Formats registered names, one line for each kind."""
    return "\n".join(f"  {kind}: {', '.join(names)}" for kind, names in registered.items() if names) or "  nothing"


@click.command()
@click.argument("packages", nargs=-1, required=True, metavar="PACKAGE...")
def uninstall(packages: tuple[str, ...]) -> None:
    """Remove plugins with pip.

    Prints the names that are no longer registered. Dependencies, runs and models stay.

    \b
    ganzoo uninstall ganzoo-waves
    """
    from ganzoo.registry.install import listing, removable
    from ganzoo.registry.install import uninstall as run

    plugins = removable(packages)
    try:
        rows = {row["name"]: row for row in listing()["plugins"]}
    except PluginError as error:  # a plugin that crashes every listing must still be removable
        click.echo(f"Warning: {error}", err=True)
        rows = {}
    names = sorted({plugin.distribution for plugin in plugins})
    show_messages()
    run(names)
    for plugin in plugins:
        click.echo(f"{plugin.name} {plugin.version} is removed, and with it")
        click.echo(registered_lines(rows.get(plugin.name, {}).get("registered", {})))
    sys.stdout.flush()
