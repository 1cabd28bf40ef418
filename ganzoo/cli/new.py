"""`ganzoo new`: writes a plugin."""

from __future__ import annotations

import shlex
from pathlib import Path

import click

from ganzoo.errors import UsageError


@click.command()
@click.argument("name")
@click.option("--loss-only", is_flag=True, help="Write only a loss, on DCGAN's networks.")
@click.option("--full", is_flag=True, help="Also write a data set and a metric.")
@click.option(
    "--repository", is_flag=True, help="Also write what a repository has: workflows, a page, a changelog and a badge."
)
@click.option(
    "--license",
    "license_name",
    type=click.Choice(["MIT", "BSD-3-Clause"], case_sensitive=False),
    default="MIT",
    show_default=True,
    help="License of the plugin.",
)
@click.option("--out", type=click.Path(path_type=Path), help="The new folder.  [default: ./ganzoo-NAME]")
def new(name: str, loss_only: bool, full: bool, repository: bool, license_name: str, out: Path | None) -> None:
    """Write a new plugin, ready to install, train and test.

    It is a distribution ganzoo-NAME with the variant NAME, and has a generator, a discriminator and a loss for you to
    change. Nothing is installed, and no existing file is overwritten.

    \b
    ganzoo new waves                    generator, discriminator and loss
    ganzoo new waves --loss-only        a loss, with the networks of DCGAN
    ganzoo new waves --full             generator, discriminator, loss, data set and metric
    ganzoo new waves --repository       with workflows, to put on GitHub and list in docs/plugins.md
    """
    if loss_only and full:
        raise UsageError("Give --loss-only or --full, not both.")
    from ganzoo.cli.common import loaded_registry
    from ganzoo.registry.scaffold import checked_name, write_plugin

    name = checked_name(name)
    scope = "loss" if loss_only else "full" if full else "gan"
    folder, files = write_plugin(name, scope, out, loaded_registry(), license=license_name, repository=repository)
    for file in files:
        click.echo(f"  {folder / file}", err=True)
    data = f"{name}-shapes" if full else "fashion-mnist-test"
    click.echo(f"{folder} is a plugin with {len(files)} files. Next:", err=True)
    click.echo(f"cd {shlex.quote(str(folder))}")
    click.echo('pip install -e ".[test]"')
    click.echo(f"ganzoo list {name}")
    click.echo(f"ganzoo check {name}")
    click.echo(f"ganzoo train {name} --data {data} --image-size 32 --steps 500 --batch-size 32 --out runs/first")
