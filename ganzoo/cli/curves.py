"""`ganzoo curves`."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

import click

from ganzoo.errors import UsageError
from ganzoo.files.output_checks import check_new_file

KINDS = (".png", ".html")
WIDEST = 150  # characters: 300 dots of braille


@click.command()
@click.argument("runs", nargs=-1, required=True, metavar="RUN...", type=click.Path(path_type=Path))
@click.option(
    "--out",
    "outputs",
    multiple=True,
    type=click.Path(path_type=Path),
    help="The new picture (.png) or page (.html); repeatable. [default: draw in the terminal]",
)
@click.option("--force", is_flag=True, help="Overwrite --out.")
def curves(runs: tuple[Path, ...], outputs: tuple[Path, ...], force: bool) -> None:
    """Show the terms, measurements and samples of runs through time.

    Several runs share each panel. A page holds everything in one file and loads nothing. A run that still trains can be
    shown too.

    \b
    ganzoo curves runs/first
    ganzoo curves runs/first --out curves.png --out curves.html
    ganzoo curves runs/gan runs/wgan-gp runs/r3gan --out three.html
    """
    for out in outputs:
        if out.suffix.lower() not in KINDS:
            raise UsageError(f"--out {out}: curves are a {' or '.join(KINDS)} file.")
        check_new_file(out, replace=force)
    from ganzoo.curves.series import panels, read_runs
    from ganzoo.files.atomic import write_atomically

    found = read_runs(runs)
    for out in outputs:
        if out.suffix.lower() == ".html":
            from ganzoo.curves.page import render

            write_atomically(out, render(found))
        else:
            from ganzoo.curves.picture import draw
            from ganzoo.files.pictures import save_picture

            save_picture(draw(found), out)
        click.echo(str(out), err=True)
    if not outputs:
        from ganzoo.curves.terminal import drawn

        colour = sys.stdout.isatty()
        columns = min(shutil.get_terminal_size().columns, WIDEST)
        for panel in panels(found):
            for line in drawn(panel, columns, colour=colour):
                click.echo(line)
