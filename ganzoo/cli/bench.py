"""`ganzoo bench`: scores trained generators, or trains and scores variants alike."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ganzoo.cli.options import source_options, train_options, training_options
from ganzoo.cli.types import DataName, FiniteRange, VariantName
from ganzoo.errors import GanzooError

if TYPE_CHECKING:
    from ganzoo.bench.row import Row


class BenchCommand(click.Command):
    """Runs `ganzoo bench merge` where the first argument is `merge`; all other arguments are sources."""

    def make_context(
        self, info_name: str | None, args: list[str], parent: click.Context | None = None, **extra: Any
    ) -> click.Context:
        """Makes the context of `merge` if that is the first argument."""
        if args[:1] == ["merge"]:
            return merge.make_context(f"{info_name} merge", args[1:], parent, **extra)
        return super().make_context(info_name, args, parent, **extra)


@click.command(cls=BenchCommand)
@click.argument("sources", nargs=-1, type=VariantName())
@click.option("--train", is_flag=True, help="Train the named variants, all alike, and score them.")
@click.option("--all", "everything", is_flag=True, help="With --train: every variant that has the image size.")
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    default=Path("bench"),
    show_default=True,
    help="The folder to fill or to resume.",
)
@source_options
@training_options(device="cpu", threads=1)
@click.option(
    "--reference", type=DataName(), help="Real images to score against. [default: the data's test split, or the data]"
)
@click.option(
    "--reference-source",
    type=DataName(),
    help="The sources of --reference. [default: those of --source, in the split of --reference]",
)
@click.option("--seeds", help="Number of seeds (3 means 0, 1 and 2), or their list (0,5,7). [default: 1]")
@click.option("--minutes", type=FiniteRange(0, min_open=True), help="Budget: minutes of training alone.")
@click.option(
    "--generator", multiple=True, metavar="PART", help="Every variant with this generator; several: with each of them."
)
@click.option(
    "--discriminator", multiple=True, metavar="PART", help="Every variant with this discriminator; several: with each."
)
@click.option("--loss", multiple=True, metavar="PART", help="Every variant with this loss; several: with each of them.")
@click.option(
    "--points", type=click.IntRange(1, 100), help="Checkpoints to score, at equal parts of the budget. [default: 4]"
)
@click.option(
    "--eval-images",
    type=click.IntRange(10),
    help="Samples to score of the final and the best checkpoint. [default: 10000; fewer for a short training]",
)
@click.option(
    "--point-images",
    type=click.IntRange(10),
    help="Samples to score at each point. [default: a fifth of --eval-images]",
)
@click.option(
    "--extractor",
    help="Feature extractor by which images are compared. [default: fashion-cnn; random-cnn if images are in colour]",
)
@click.option(
    "--second-extractor",
    metavar="TEXT|none",
    help="Score by this extractor too, with the metric that ranks, to see how much the ranking depends on the first. "
    "[default: fashion-cnn-native for small grey images of garments, else none]",
)
@click.option(
    "--metric",
    "metrics",
    multiple=True,
    help="Only this metric; repeatable. fid is frechet of --extractor inception; pairs also have l1, psnr, ssim, "
    "ms-ssim and lpips. [default: all built in; of pairs also l1, psnr and ssim]",
)
@click.option("--jobs", type=click.IntRange(1), help="Cells at a time. [default: 1; without --train one for each core]")
@click.option(
    "--shard",
    metavar="I/N",
    help="Only every Nth cell, from the Ith, for batch systems; join them with `ganzoo bench merge`.",
)
@click.option("--ray", metavar="ADDRESS", help="Spread the cells over a Ray cluster.")
@click.option("--retry-failed", is_flag=True, help="Run failed cells again.")
@click.option("--json", "as_json", is_flag=True, help="Print the rows as a JSON array.")
@click.option("--quiet", is_flag=True, help="Print warnings only.")
def bench(as_json: bool, **asked: Any) -> None:
    """Score generators by one protocol and write a report.

    SOURCES are trained generators (tags, runs, folders, owner/name), by default all whose weights come with a variant,
    scored against fashion-mnist-test unless --reference is given; with --train they are variants, or patterns such as
    'wgan*'.

    \b
    ganzoo bench
    ganzoo bench dcgan.fashion-mnist ./runs/first --out runs/compared
    ganzoo bench dcgan 'wgan*' --train --data fashion-mnist --image-size 32 --images 1000000 --seeds 3 --out runs/bench
    ganzoo bench dcgan vae --train --data photos/ --minutes 60 --seeds 0,5,7 --set dcgan:generator.width=32
    ganzoo bench pix2pix cut --train --data colour/ --source line/ --image-size 128 --steps 20000 --out runs/coloured
    ganzoo bench ./runs/a ./runs/b --reference colour/:test --source line/:test --out runs/compared
    ganzoo bench merge runs/shard-1 runs/shard-2 --out runs/bench

    The folder holds report.html, report.md, results.jsonl (one row per cell), protocol.json (all that decides a number)
    and samples/. After an interruption the same command runs the missing cells.
    """
    from ganzoo.cli.common import loaded_registry, show_messages

    registry = loaded_registry()
    show_messages(asked["quiet"])
    from ganzoo.bench.request import Request
    from ganzoo.bench.run import bench as run

    request = Request(options=train_options(asked, registry.names("conditions")), **asked)
    rows = run(request, registry)
    _print(rows, request.out, as_json, request.metrics)
    made = [row for row in rows if row.cell.variant]  # without the copy of a source, which does not fail
    if made and all(row.status == "failed" for row in made):  # some failed cells are a result, nothing else is none
        raise GanzooError(f"All cells failed, '{made[0].cell.name}' with: {made[0].error}")


@click.command()
@click.argument("folders", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("--out", required=True, type=click.Path(path_type=Path), help="The folder to fill or to resume.")
@click.option("--json", "as_json", is_flag=True, help="Print the rows as a JSON array.")
def merge(folders: tuple[Path, ...], out: Path, as_json: bool) -> None:
    """Join the shards of a bench, all of one protocol, into one folder with one report."""
    from ganzoo.bench.merge import merge as join
    from ganzoo.cli.common import show_messages

    show_messages()
    _print(join(folders, out), out, as_json)


def _print(rows: list[Row], out: Path, as_json: bool, asked: tuple[str, ...] = ()) -> None:
    from ganzoo.bench.report.markup import clean
    from ganzoo.bench.report.terminal import dependence, table, without_number

    for line in without_number(rows):
        click.echo(f"Warning: {clean(line)}", err=True)
    if as_json:
        click.echo(json.dumps([row.to_json() for row in rows], indent=1))
        return
    if not rows:  # a shard without a cell, or shards without a row
        click.echo(f"{out} has no rows, and so no report.", err=True)
        return
    click.echo("\n".join([*table(rows, asked), *dependence(rows)]))
    click.echo(f"Report: {out / 'report.html'}", err=True)
