"""`ganzoo train`."""

from __future__ import annotations

import os
from pathlib import Path

import click

from ganzoo.cli.types import DataName, MixinName, VariantName


@click.command()
@click.argument("variant", required=False, type=VariantName())
@click.option(
    "--data",
    type=DataName(),
    help="A registered data set, a folder, zip, .npz, idx or Parquet file, or hf://datasets/owner/name.",
)
@click.option(
    "--out",
    required=True,
    type=click.Path(path_type=Path),
    help="The run folder to make (or, with --resume, to go on with).",
)
@click.option("--image-size", type=click.IntRange(1), help="Pixels of a side. [default: the variant's own]")
@click.option("--channels", type=click.Choice(["1", "3"]), help="1 grey, 3 colour. [default: as the images are]")
@click.option(
    "--conditional/--unconditional",
    default=None,
    help="Learn one class each, or all alike. [default: as the variant needs]",
)
@click.option("--steps", type=click.IntRange(1), help="Training steps. [default: the paper's]")
@click.option(
    "--images", type=click.IntRange(1, 10**9), help="Instead of --steps: how many real images the discriminator sees."
)
@click.option(
    "--batch-size", type=click.IntRange(1), help="Images in a batch, over all processes. [default: the paper's]"
)
@click.option("--seed", type=click.IntRange(0, 2**63 - 1), help="Decides every random number. [default: 0]")
@click.option(
    "--with",
    "mixins",
    multiple=True,
    type=MixinName(),
    metavar="NAME",
    help="Mix in a regularizer or an augmentation; may be repeated.",
)
@click.option(
    "--set",
    "settings",
    multiple=True,
    metavar="PATH=VALUE",
    help="Any option that `ganzoo show` lists; may be repeated.",
)
@click.option(
    "--precision",
    type=click.Choice(["fp32", "bf16"]),
    help="bf16 runs networks in half precision; penalties stay float32. [default: fp32]",
)
@click.option(
    "--device",
    default="auto",
    show_default=True,
    help="cpu, cuda, cuda:N, mps or auto (of a run that goes on: its own).",
)
@click.option(
    "--threads",
    type=click.IntRange(1),
    help="Processor threads. Results repeat bit for bit for the same number. [default: all]",
)
@click.option(
    "--data-root", type=click.Path(path_type=Path), help="Where the published files of registered data sets lie."
)
@click.option(
    "--on-bad-image",
    type=click.Choice(["error", "skip"]),
    default="error",
    show_default=True,
    help="What an unreadable image leads to.",
)
@click.option(
    "--sample-every", type=click.IntRange(1), default=500, show_default=True, help="Steps between sample grids."
)
@click.option(
    "--checkpoint-every", type=click.IntRange(1), default=1000, show_default=True, help="Steps between checkpoints."
)
@click.option(
    "--keep", type=click.IntRange(2), default=3, show_default=True, help="Newest checkpoints kept, besides the best."
)
@click.option(
    "--on-collapse",
    type=click.Choice(["warn", "stop", "rollback"]),
    default="warn",
    show_default=True,
    help="When samples are all alike or the discriminator has won.",
)
@click.option("--resume", is_flag=True, help="Go on with the run in --out, bit for bit as if it had never stopped.")
@click.option("--tensorboard", is_flag=True, help="Also write curves for TensorBoard.")
@click.option("--quiet", is_flag=True, help="No progress.")
def train(
    variant,
    data,
    out,
    image_size,
    channels,
    conditional,
    settings,
    data_root,
    sample_every,
    checkpoint_every,
    keep,
    on_collapse,
    **rest,
):
    """Train VARIANT on images and leave a run folder.

    \b
    ganzoo train dcgan --data fashion-mnist-test --image-size 32 --steps 500 --out runs/first
    ganzoo train wgan-gp --data photos/ --image-size 64 --set loss.penalty=5 --out runs/photos
    ganzoo train dcgan --with diffaugment --with lecam --set regularizers.lecam.strength=0.1 --data photos/ --out runs/few
    ganzoo train --out runs/photos --resume
    torchrun --nproc-per-node 2 -m ganzoo train dcgan --data photos/ --out runs/two

    The run folder holds config.json (what was resolved), metrics.jsonl, samples/, samples.png and checkpoints/, all of it
    readable without ganzoo. The images are decoded once and kept in $GANZOO_CACHE (~/.cache/ganzoo).
    """
    from ganzoo.cli.common import loaded_registry, show_messages

    registry = loaded_registry()
    show_messages(rest["quiet"])
    from ganzoo.runs.loop import Cadence
    from ganzoo.runs.train import Request
    from ganzoo.runs.train import train as run

    request = Request(
        variant=variant,
        data=data,
        out=out,
        image_size=image_size,
        channels=int(channels) if channels else None,
        conditional=conditional,
        settings=settings,
        data_root=data_root,
        cadence=Cadence(sample_every, checkpoint_every, keep, on_collapse),
        **rest,
    )
    quiet = rest["quiet"]
    folder = run(request, registry)
    if not quiet and os.environ.get("RANK", "0") == "0":
        click.echo(f"Samples: {folder.path / 'samples.png'}", err=True)
