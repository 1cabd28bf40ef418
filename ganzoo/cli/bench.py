"""`ganzoo bench`: scores what is trained already, or trains and scores variants alike."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click

from ganzoo.cli.options import taken_by, training_options
from ganzoo.cli.types import DataName, VariantName
from ganzoo.errors import GanzooError


class BenchCommand(click.Command):
    """`ganzoo bench`, which `ganzoo bench merge` has beneath it though its own arguments are names."""

    def make_context(self, info_name, args, parent=None, **extra):
        """The context of `merge` where that is the first word."""
        if args[:1] == ["merge"]:
            return merge.make_context(f"{info_name} merge", args[1:], parent, **extra)
        return super().make_context(info_name, args, parent, **extra)


@click.command(cls=BenchCommand)
@click.argument("sources", nargs=-1, type=VariantName())
@click.option("--train", is_flag=True, help="Train the variants named, all alike, and score them.")
@click.option("--all", "everything", is_flag=True, help="With --train: every variant that draws the size.")
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    default=Path("bench"),
    show_default=True,
    help="The folder to fill, or go on with.",
)
@training_options(device="cpu", threads=1)
@click.option(
    "--reference", type=DataName(), help="Real images to score against. [default: the data's test split, or the data]"
)
@click.option("--seeds", help="How many (3 means 0, 1 and 2), or which (0,5,7). [default: 1]")
@click.option("--minutes", type=click.FloatRange(0, min_open=True), help="Budget: minutes of training alone.")
@click.option(
    "--generator", multiple=True, metavar="PART", help="Every variant with this generator; several: with each of them."
)
@click.option(
    "--discriminator", multiple=True, metavar="PART", help="Every variant with this discriminator; several: with each."
)
@click.option("--loss", multiple=True, metavar="PART", help="Every variant with this loss; several: with each of them.")
@click.option("--points", type=click.IntRange(1, 100), help="States scored, at equal parts of the budget. [default: 4]")
@click.option(
    "--eval-images",
    type=click.IntRange(10),
    default=10_000,
    show_default=True,
    help="Drawings scored of the end and the best.",
)
@click.option(
    "--point-images", type=click.IntRange(10), help="Drawings scored at each point. [default: a fifth of --eval-images]"
)
@click.option("--extractor", default="fashion-cnn", show_default=True, help="The feature extractor of the metrics.")
@click.option(
    "--metric",
    "metrics",
    multiple=True,
    help="Only these metrics. [default: all that are built in and that the extractor can serve]",
)
@click.option(
    "--jobs", type=click.IntRange(1), help="Cells at a time. [default: 1; without --train as many as there are cores]"
)
@click.option(
    "--shard", metavar="I/N", help="Only every Nth cell, from the Ith: for batch systems; `ganzoo bench merge` joins."
)
@click.option("--ray", metavar="ADDRESS", help="Spread the cells over a Ray cluster.")
@click.option("--retry-failed", is_flag=True, help="Do cells again whose row says failed.")
@click.option("--json", "as_json", is_flag=True, help="Print the rows as a JSON array for programs.")
@click.option("--quiet", is_flag=True, help="No progress.")
def bench(as_json: bool, **asked: Any) -> None:
    """Compare generators by the same protocol, and write a report.

    SOURCES are trained generators (tags, runs, folders, owner/name), by default all whose weights come with a variant, scored
    against fashion-mnist-test unless --reference says otherwise; with --train they are variants, or patterns such as 'wgan*'.

    \b
    ganzoo bench
    ganzoo bench dcgan.fashion-mnist ./runs/first --out runs/compared
    ganzoo bench dcgan lsgan 'wgan*' --train --data fashion-mnist --image-size 32 --images 1000000 --seeds 3 --jobs 2 --out runs/bench
    ganzoo bench dcgan vae --train --data photos/ --minutes 60 --seeds 0,5,7 --set dcgan:generator.width=32 --out runs/hour
    ganzoo bench merge runs/shard-1 runs/shard-2 --out runs/bench

    The folder holds report.html, report.md, results.jsonl (one row a cell), protocol.json (how was measured) and samples/. Killed
    at any moment, the same command goes on with what is missing.
    """
    from ganzoo.cli.common import loaded_registry, show_messages

    registry = loaded_registry()
    show_messages(asked["quiet"])
    from ganzoo.bench.request import Request
    from ganzoo.bench.run import bench as run
    from ganzoo.config.options import TrainOptions

    request = Request(options=TrainOptions(**taken_by(TrainOptions, asked)), **asked)
    rows = run(request, registry)
    _print(rows, request.out, as_json)
    if rows and all(row["status"] == "failed" for row in rows):  # some that failed are a result, all are none
        raise GanzooError(f"All cells failed, '{rows[0]['cell']['name']}' with: {rows[0]['error']}")


@click.command()
@click.argument("folders", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("--out", required=True, type=click.Path(path_type=Path), help="The folder to fill, or to go on with.")
@click.option("--json", "as_json", is_flag=True, help="Print the rows as a JSON array for programs.")
def merge(folders: tuple[Path, ...], out: Path, as_json: bool) -> None:
    """Join the shards of a bench, all of one protocol, into one folder with one report."""
    from ganzoo.bench.merge import merge as join
    from ganzoo.cli.common import show_messages

    show_messages()
    _print(join(folders, out), out, as_json)


def _print(rows: list[dict], out: Path, as_json: bool) -> None:
    if as_json:
        click.echo(json.dumps(rows, indent=1))
        return
    if not rows:  # of a shard without a cell, or of shards without a row
        click.echo(f"{out} has no rows, and so no report.", err=True)
        return
    from ganzoo.bench.report.terminal import table

    click.echo("\n".join(table(rows)))
    click.echo(f"Report: {out / 'report.html'}", err=True)
