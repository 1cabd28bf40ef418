"""`ganzoo space`: a Space of the Hugging Face Hub."""

from __future__ import annotations

from pathlib import Path

import click


@click.command()
@click.argument("source", metavar="MODEL")
@click.option("--out", required=True, type=click.Path(path_type=Path), help="The new folder.")
@click.option("--title", help="The title of the Space. [default: variant and data]")
def space(source: str, out: Path, title: str | None) -> None:
    """Write a Space of a model: its studio, ready for the Hugging Face Hub.

    MODEL is a run, checkpoint, model folder, tag or owner/name on the Hub. The folder holds app.py, requirements.txt,
    README.md, the model and the code: `python app.py` runs it, `ganzoo push MODEL OWNER/NAME --space` uploads it.

    \b
    ganzoo space ./runs/first --out my-space
    """
    from ganzoo.cli.common import loaded_registry, show_messages

    loaded_registry()
    show_messages()
    from ganzoo.publish.space import write_space

    write_space(source, out, title)
    click.echo(str(out))
