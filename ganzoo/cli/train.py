"""`ganzoo train`."""

from __future__ import annotations

import os
import re
from dataclasses import fields
from pathlib import Path
from typing import Any

import click

from ganzoo.cli.options import source_options, taken_by, train_options, training_options
from ganzoo.cli.types import TrackerName, VariantName
from ganzoo.errors import UsageError


def frozen_layers(texts: tuple[str, ...]) -> dict[str, int]:
    """Returns the numbers of layers by role of the values of --freeze, as "discriminator:3"."""
    found = {}
    for text in texts:
        role, _, count = text.partition(":")
        if role not in ("generator", "discriminator") or not re.fullmatch(r"[1-9][0-9]{0,5}", count):
            raise UsageError(f"--freeze {text}: write discriminator:N or generator:N, with N layers from 1.")
        found[role] = int(count)
    return found


@click.command()
@click.argument("variant", required=False, type=VariantName())
@click.option(
    "--out",
    required=True,
    type=click.Path(path_type=Path),
    help="The new run folder, or with --resume the one to continue.",
)
@source_options
@training_options(device="auto", threads=None)
@click.option(
    "--batch-size", type=click.IntRange(1), help="Images in a batch, over all processes. [default: the paper's]"
)
@click.option("--seed", type=click.IntRange(0, 2**63 - 1), help="Seed of every random number. [default: 0]")
@click.option(
    "--on-bad-image",
    type=click.Choice(["error", "skip"]),
    help="Stop at an unreadable image, or skip it. [default: error]",
)
@click.option("--sample-every", type=click.IntRange(1), help="Steps between sample grids. [default: 500]")
@click.option("--checkpoint-every", type=click.IntRange(1), help="Steps between checkpoints. [default: 1000]")
@click.option("--keep", type=click.IntRange(2), help="Newest checkpoints to keep, besides the best. [default: 3]")
@click.option(
    "--on-collapse",
    type=click.Choice(["warn", "stop", "rollback"]),
    help="What to do if all samples are alike or the discriminator is saturated. [default: warn]",
)
@click.option(
    "--from",
    "start_from",
    metavar="MODEL",
    help="Start from the weights of a run, model folder, tag or owner/name on the Hub, not from random ones.",
)
@click.option(
    "--freeze",
    multiple=True,
    metavar="ROLE:N",
    callback=lambda context, parameter, values: frozen_layers(values),
    help="With --from: keep the first N layers of a network as they are, as discriminator:3; repeatable.",
)
@click.option(
    "--resume", is_flag=True, help="Continue the run in --out with its options, bit-identical to an uninterrupted one."
)
@click.option(
    "--track",
    multiple=True,
    type=TrackerName(),
    metavar="NAME",
    callback=lambda context, parameter, names: names or None,
    help="Also send numbers and pictures to a tracker (`ganzoo list --parts trackers`), as wandb; repeatable.",
)
@click.option("--no-track", is_flag=True, help="With --resume: leave out the trackers that the run had.")
@click.option("--tensorboard/--no-tensorboard", default=None, help="The same as --track tensorboard.")
@click.option("--quiet", is_flag=True, help="Print warnings only.")
def train(**asked: Any) -> None:
    """Train a variant on images.

    \b
    ganzoo train dcgan --data fashion-mnist-test --image-size 32 --steps 500 --out runs/first
    ganzoo train wgan-gp --data photos/ --image-size 64 --set loss.penalty=5 --out runs/photos
    ganzoo train dcgan --with diffaugment --with lecam --set regularizers.lecam.strength=0.1 --data few/ --out runs/few
    ganzoo train dcgan --from ./runs/photos --freeze discriminator:2 --data few/ --out runs/finetuned
    ganzoo train --out runs/photos --resume
    torchrun --nproc-per-node 2 -m ganzoo train dcgan --data photos/ --out runs/two

    The run folder --out contains config.json (the resolved configuration), metrics.jsonl, samples/, samples.png and
    checkpoints/, all readable without ganzoo. Decoded images are cached in $GANZOO_CACHE (~/.cache/ganzoo).
    """
    from ganzoo.cli.common import loaded_registry, show_messages

    registry = loaded_registry()
    show_messages(asked["quiet"])
    from ganzoo.config.schema import RunOptions
    from ganzoo.engine.distributed import leave
    from ganzoo.runs.request import Intervals, Request
    from ganzoo.runs.train import train as run

    if asked.pop("no_track"):
        if asked["track"] or asked["tensorboard"]:
            raise UsageError("--no-track leaves out all trackers: leave out --track and --tensorboard.")
        asked |= {"track": (), "tensorboard": False}
    names = [field.name for field in fields(RunOptions) if field.name in asked]
    unset = frozenset(name for name in names if asked[name] is None and name != "data_root")
    asked = {name: value for name, value in asked.items() if name not in unset}
    options = train_options(asked, registry.names("conditions"))
    intervals = Intervals(**taken_by(Intervals, asked))
    request = Request(options=options, intervals=intervals, unset=unset, **asked)
    folder = run(request, registry)
    leave()
    if not request.quiet and os.environ.get("RANK", "0") == "0":
        click.echo(f"Samples: {folder.path / 'samples.png'}", err=True)
