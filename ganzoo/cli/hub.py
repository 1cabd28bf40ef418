"""`ganzoo pull`, `ganzoo push` and `ganzoo search`."""

from __future__ import annotations

import json
from pathlib import Path

import click

from ganzoo.errors import UsageError

DTYPES = ("float32", "float16", "bfloat16")


@click.command()
@click.argument("source")
@click.option(
    "--out", type=click.Path(path_type=Path), help="Write a model folder here. [default: only fetch into the cache]"
)
@click.option("--dtype", type=click.Choice(DTYPES), help="How numbers are stored in --out. [default: as they are]")
@click.option(
    "--average/--no-average", default=True, help="Of a run: its moving average (the default), or its weights."
)
def pull(source: str, out: Path | None, dtype: str | None, average: bool) -> None:
    """Fetch the model SOURCE, check every byte of it and print where it lies.

    SOURCE is owner/name or owner/name@revision on the Hub, a tag, or (with --out) a run or checkpoint, which becomes a model
    folder. Only config.json and model.safetensors are downloaded; nothing in them is executed.

    \b
    ganzoo pull owner/name
    ganzoo pull owner/name@v1 --out models/name
    ganzoo pull ./runs/first --dtype float16 --out models/first
    """
    if dtype and out is None:
        raise UsageError("--dtype says how --out stores numbers: give --out.")
    if out is not None and out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise UsageError(f"{out} is in the way: give a new or empty folder.")
    from ganzoo.cli.common import loaded_registry, show_messages

    found = loaded_registry()
    show_messages()
    from ganzoo.models.source import Repository, Tag, parse_source

    named = parse_source(source, found)
    if out is None:
        if isinstance(named, Tag) and named.weights.package_file is None:
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
@click.option("--private", is_flag=True, help="Make the repository private, if it is made now.")
@click.option(
    "--license", help="What others may do with the weights: mit, cc-by-4.0, ... [default: what the model says]"
)
@click.option(
    "--dtype", type=click.Choice(DTYPES), default="float32", show_default=True, help="How numbers are stored."
)
@click.option("--discriminator", is_flag=True, help="Publish the discriminator too.")
@click.option("--message", help="The commit's message.")
@click.option("--tag", help="Also name the commit, as v1.")
def push(source: str, repo: str, private: bool, license, dtype: str, discriminator: bool, message, tag) -> None:
    """Publish the model SOURCE on the Hugging Face Hub as OWNER/NAME, with a model card and samples.

    SOURCE is whatever `ganzoo sample` takes. One commit holds config.json, model.safetensors, README.md and samples.png; nothing
    else is uploaded. Then the commit is loaded back and must draw the same images. Log in first: hf auth login.

    \b
    ganzoo push ./runs/first me/my-dcgan --license mit
    ganzoo push ./runs/first me/my-dcgan --dtype float16 --private --tag v1
    """
    from ganzoo.cli.common import loaded_registry, show_messages

    loaded_registry()
    show_messages()
    from ganzoo.publish.push import push as publish

    options = {
        "private": private,
        "license": license,
        "dtype": dtype,
        "discriminator": discriminator,
        "message": message,
        "tag": tag,
    }
    pushed = publish(source, repo, **options)
    click.echo(f"{pushed.repo}@{pushed.commit}")


@click.command()
@click.argument("words", nargs=-1)
@click.option("--variant", help="Only this variant.")
@click.option("--image-size", "size", type=click.IntRange(1), help="Only this resolution, in pixels.")
@click.option("--limit", type=click.IntRange(1, 1000), default=20, show_default=True, help="At most so many.")
@click.option("--json", "as_json", is_flag=True, help="Print a JSON array for programs.")
def search(words: tuple[str, ...], variant, size, limit: int, as_json: bool) -> None:
    """List models of ganzoo on the Hugging Face Hub, the most downloaded first.

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
    rows = [
        (m.name, m.variant or "-", f"{m.size}x{m.size}" if m.size else "-", str(m.downloads), m.modified or "-")
        for m in found
    ]
    table = [("name", "variant", "pixels", "downloads", "modified"), *rows] if rows else []
    widths = [max(len(row[column]) for row in table) for column in range(5)] if rows else []
    for row in table:
        click.echo("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())
    if not rows:
        click.echo("No model of ganzoo on the Hub matches.", err=True)
