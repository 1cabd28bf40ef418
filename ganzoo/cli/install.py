"""`ganzoo install` and `ganzoo uninstall`."""

from __future__ import annotations

import os
import sys

import click

from ganzoo import __version__
from ganzoo.cli.common import show_messages
from ganzoo.errors import PluginError, UsageError
from ganzoo.registry.hookspecs import API_VERSION


class WithRest(click.Command):
    """A command that keeps what stands after `--`, which click would take for arguments."""

    def parse_args(self, context, arguments):
        if "--" in arguments:
            place = arguments.index("--")
            context.obj = tuple(arguments[place + 1 :])
            arguments = arguments[:place]
        return super().parse_args(context, arguments)


@click.command(cls=WithRest, options_metavar="[OPTIONS]", epilog="What stands after -- goes to pip.")
@click.argument("packages", nargs=-1, metavar="PACKAGE... [-- PIP OPTIONS]")
@click.option(
    "-e",
    "--editable",
    multiple=True,
    metavar="FOLDER",
    help="A plugin's own folder: changes to its code count at once.",
)
@click.option("--dry-run", is_flag=True, help="Say what would be installed, from where, and stop.")
@click.pass_obj
def install(options, packages: tuple[str, ...], editable: tuple[str, ...], dry_run: bool) -> None:
    """Install plugins with pip into the environment of this ganzoo, and say what each adds or why it does not load.

    \b
    ganzoo install ganzoo-waves                     from the package index
    ganzoo install ./ganzoo-waves                   a folder, a wheel, or git+https://...
    ganzoo install -e .                             the plugin that you are writing
    ganzoo install ganzoo-waves -- --no-index --find-links wheels/

    A plugin is code that runs with your rights, and a name on a public index can be anybody's: what pip would install and from
    where is printed first (--dry-run stops there). ganzoo and torch stay as they are.
    """
    if not packages and not editable:
        raise UsageError("Say which PACKAGE to install, or -e FOLDER.")
    from ganzoo.registry.install import install as run

    show_messages()
    asked = run(packages, editable, options or (), dry_run)
    if not dry_run:
        _tell(asked)


def _tell(asked: list[str]) -> None:
    """What the distributions have added; exit code 1 if one of them is no plugin or does not work."""
    from ganzoo.registry.install import listing

    found = listing()
    wrong = []
    for name in asked:
        rows = [row for row in found["plugins"] if row["distribution"] == name]
        wrong += (
            [f"{name} has no plugin, no entry point of the group ganzoo (pip uninstall {name})"] if not rows else []
        )
        for row in rows:
            if row["error"]:
                wrong.append(f"{row['name']} {row['version']} does not load: {row['error']} (ganzoo uninstall {name})")
            else:
                click.echo(
                    f"{row['name']} {row['version']} works with ganzoo {__version__} (plugin API {API_VERSION}) and adds"
                )
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
    return "\n".join(f"  {kind}: {', '.join(names)}" for kind, names in registered.items() if names) or "  nothing"


@click.command()
@click.argument("packages", nargs=-1, required=True, metavar="PACKAGE...")
def uninstall(packages: tuple[str, ...]) -> None:
    """Remove plugins with pip, and say what goes away with them. What they needed stays, and so do runs and models.

    \b
    ganzoo uninstall ganzoo-waves
    """
    from ganzoo.registry.install import listing, removable
    from ganzoo.registry.install import uninstall as run

    plugins = removable(packages)
    try:
        rows = {row["name"]: row for row in listing()["plugins"]}
    except PluginError as error:  # a plugin that ends every listing must be removable all the same
        click.echo(f"Warning: {error}", err=True)
        rows = {}
    names = sorted({plugin.distribution for plugin in plugins})
    show_messages()
    run(names)
    for plugin in plugins:
        click.echo(f"{plugin.name} {plugin.version} is gone, and with it")
        click.echo(registered_lines(rows.get(plugin.name, {}).get("registered", {})))
    sys.stdout.flush()
