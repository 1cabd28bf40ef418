"""`ganzoo pull`, `ganzoo push` and `ganzoo search`."""

from __future__ import annotations

import json
from pathlib import Path

import click

from ganzoo.cli.types import ImageSize
from ganzoo.errors import UsageError
from ganzoo.files.output_checks import check_new_folder
from ganzoo.files.text import printable

DTYPES = ("float32", "float16", "bfloat16")


@click.command()
@click.argument("source")
@click.option(
    "--out", type=click.Path(path_type=Path), help="Write a model folder here. [default: only download into the cache]"
)
@click.option(
    "--dtype", type=click.Choice(DTYPES), help="The dtype to store weights in, in --out. [default: unchanged]"
)
@click.option(
    "--average/--no-average",
    default=True,
    help="Use the EMA weights of a run (the default) or the weights being trained.",
)
def pull(source: str, out: Path | None, dtype: str | None, average: bool) -> None:
    """Download a model and verify it.

    SOURCE is owner/name or owner/name@revision on the Hub, a tag such as dcgan.fashion-mnist, or (with --out) a run or
    checkpoint. Prints the folder of the model. Only config.json and model.safetensors are downloaded; nothing in them
    is executed.

    \b
    ganzoo pull owner/name
    ganzoo pull owner/name@v1 --out models/name
    ganzoo pull ./runs/first --dtype float16 --out models/first
    """
    if dtype and out is None:
        raise UsageError("--dtype is the dtype of the weights in --out: give --out.")
    if out is not None:
        check_new_folder(out)
    from ganzoo.cli.common import loaded_registry, show_messages

    found = loaded_registry()
    show_messages()
    from ganzoo.models.source import Repository, Tag, parse_source

    named = parse_source(source, found)
    if out is None:
        if isinstance(named, Tag) and named.weights.repo is not None:
            click.echo(_fetched(named.weights.repo, named.weights.revision, named.weights.sha256))
        elif isinstance(named, Repository):
            click.echo(_fetched(named.repo, named.revision))
        elif isinstance(named, Path) and not named.exists():
            raise UsageError(f"There is no {source}.")
        else:
            raise UsageError(f"{source} is on this machine already: give --out to make a model folder of it.")
        return
    from ganzoo.models.load import load

    model = load(source, average=average)
    stored = model.config.weights.dtype if model.config.weights is not None else "float32"
    model.save(out, dtype=dtype or stored)
    click.echo(str(out))


def _fetched(repo: str, revision: str | None, sha256: str | None = None) -> str:
    from ganzoo.models.pull import pull

    pulled = pull(repo, revision, sha256=sha256)
    click.echo(f"{repo} at commit {pulled.commit}", err=True)
    return str(pulled.folder)


@click.command()
@click.argument("source")
@click.argument("repo", metavar="OWNER/NAME")
@click.option("--private", is_flag=True, help="Create the repository as private.")
@click.option("--license", help="The license of the weights: mit, cc-by-4.0, ... [default: that of the model]")
@click.option(
    "--dtype", type=click.Choice(DTYPES), default="float32", show_default=True, help="The dtype to store weights in."
)
@click.option("--discriminator", is_flag=True, help="Also publish the discriminator of a run.")
@click.option("--message", help="The commit message.")
@click.option("--tag", help="A git tag for the commit, such as v1.")
@click.option("--space", is_flag=True, help="Publish a Space, in which everybody can try the model in a browser.")
def push(
    source: str,
    repo: str,
    private: bool,
    license: str | None,
    dtype: str,
    discriminator: bool,
    message: str | None,
    tag: str | None,
    space: bool,
) -> None:
    """Publish a model on the Hugging Face Hub.

    SOURCE is a run, checkpoint, model folder or tag. Uploads config.json, model.safetensors, README.md (the model card)
    and samples.png in one commit to OWNER/NAME, loads it back and checks that it generates the same images. Log in
    first with `hf auth login`.

    \b
    ganzoo push ./runs/first me/my-dcgan --license mit
    ganzoo push ./runs/first me/my-dcgan --dtype float16 --private --tag v1
    ganzoo push ./runs/first me/try-it --space
    """
    if space and (license or discriminator or tag or dtype != "float32"):
        raise UsageError("--space takes no --license, --dtype, --discriminator and --tag: those are of the model.")
    from ganzoo.cli.common import loaded_registry, show_messages

    loaded_registry()
    show_messages()
    if space:
        from ganzoo.publish.space import push_space

        there = push_space(source, repo, private=private, message=message)
        click.echo(f"{there.repo}@{there.commit}")
        return
    from ganzoo.publish.push import push as publish

    pushed = publish(
        source,
        repo,
        private=private,
        license=license,
        dtype=dtype,
        discriminator=discriminator,
        message=message,
        tag=tag,
    )
    click.echo(f"{pushed.repo}@{pushed.commit}")


@click.command()
@click.argument("words", nargs=-1)
@click.option("--variant", help="Only models of this variant.")
@click.option("--image-size", "size", type=ImageSize(), help="Only models of this image size, as 64 or 48x64.")
@click.option("--limit", type=click.IntRange(1, 1000), default=20, show_default=True, help="Maximum number of models.")
@click.option("--json", "as_json", is_flag=True, help="Print a JSON array.")
def search(
    words: tuple[str, ...], variant: str | None, size: int | tuple[int, int] | None, limit: int, as_json: bool
) -> None:
    """Search the Hugging Face Hub for ganzoo models.

    Lists the most downloaded models first.

    \b
    ganzoo search
    ganzoo search fashion --variant dcgan --image-size 32
    """
    from dataclasses import asdict

    from ganzoo.publish.search import search as find

    found = find(" ".join(words), variant=variant, size=size, limit=limit)
    if as_json:
        click.echo(json.dumps([asdict(model) for model in found], indent=2))
        return
    rows = [(m.name, m.variant or "-", _pixels(m.size), str(m.downloads), m.modified or "-") for m in found]
    table = [("name", "variant", "pixels", "downloads", "modified"), *rows] if rows else []
    widths = [max(len(row[column]) for row in table) for column in range(5)] if rows else []
    for row in table:
        click.echo(printable("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()))
    if not rows:
        click.echo("No model on the Hub matches.", err=True)


def _pixels(size: int | tuple[int, int] | None) -> str:
    """Returns "64x64" for 64, "48x64" for a height of 48 and a width of 64, and "-" for None."""
    return "-" if size is None else "x".join(map(str, (size, size) if isinstance(size, int) else size))
