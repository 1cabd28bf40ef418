"""`ganzoo animate`: the saved samples of a run as an animation."""

from __future__ import annotations

from pathlib import Path

import click

from ganzoo.cli.types import FiniteRange
from ganzoo.errors import UsageError
from ganzoo.files.output_checks import check_new_file

KINDS = (".gif", ".webp")


@click.command()
@click.argument("run", type=click.Path(path_type=Path))
@click.option("--out", required=True, type=click.Path(path_type=Path), help="The new animation, .gif or .webp.")
@click.option("--seconds", type=FiniteRange(0.02, 10), default=0.2, show_default=True, help="Time of a frame.")
@click.option("--width", type=click.IntRange(16, 4096), help="Make wider pictures smaller. [default: as they are]")
@click.option("--force", is_flag=True, help="Overwrite --out.")
def animate(run: Path, out: Path, seconds: float, width: int | None, force: bool) -> None:
    """Show the samples of a run from its first picture to its last.

    RUN is the folder of a run; a picture is saved every --sample-every steps.

    \b
    ganzoo train points --data ring --sample-every 100 --out runs/ring
    ganzoo animate runs/ring --width 240 --out ring.gif
    """
    if out.suffix.lower() not in KINDS:
        raise UsageError(f"--out {out}: an animation is a {' or '.join(KINDS)}.")
    check_new_file(out, replace=force)
    from ganzoo.runs.animate import animate as write

    count = write(run, out, seconds=seconds, width=width)
    click.echo(f"{out} ({count} frames)", err=True)
