"""`ganzoo convert`."""

from __future__ import annotations

from pathlib import Path

import click

from ganzoo.cli.types import VariantName


@click.command()
@click.argument("files", nargs=-1, required=True, metavar="FILE...", type=click.Path(path_type=Path))
@click.option("--variant", required=True, type=VariantName(), help="The variant whose generator the file holds.")
@click.option("--layout", default="auto", show_default=True, help="How the tensors are named: see docs/converting.md.")
@click.option("--out", required=True, type=click.Path(path_type=Path), help="The model folder to make.")
@click.option("--key", help="Which network, where a file holds several: netG, state_dict.generator, ...")
@click.option(
    "--discriminator",
    multiple=True,
    type=click.Path(path_type=Path),
    help="A file with its discriminator, kept beside it.",
)
@click.option("--discriminator-key", help="Which network in that file.")
@click.option(
    "--license",
    default="unknown",
    show_default=True,
    help="The license of the weights, for whoever gets them from you.",
)
@click.option(
    "--dtype",
    type=click.Choice(["float32", "float16", "bfloat16"]),
    default="float32",
    show_default=True,
    help="To store numbers in.",
)
@click.option("--image-size", type=click.IntRange(1, 4096), help="Pixels of a side, where the shapes do not say it.")
@click.option("--channels", type=click.Choice(["1", "3"]), help="1 grey, 3 colour, where the shapes do not say it.")
@click.option("--classes", type=click.IntRange(1, 1_000_000), help="How many classes the generator is conditional on.")
@click.option(
    "--set", "settings", multiple=True, metavar="PATH=VALUE", help="An option of the generator: generator.width=32."
)
def convert(files, variant: str, out: Path, channels, **rest) -> None:
    """Make a model folder of weights that other code trained: .pth, .pt, .ckpt, .th, .npz, .npy or .safetensors.

    \b
    ganzoo convert netG.pth --variant dcgan --out converted/netG
    ganzoo convert 200_gen_params.jl_*.npy --variant dcgan --layout newmu --license MIT --out converted/house-numbers
    ganzoo convert training.pt --key generator --variant wgan-gp --set generator.width=32 --out converted/mine

    Pickles are read in a process of their own, as tensors alone and under limits: no code in a file is ever run, and a file
    that needs it is refused. Several .npy files, or a folder of them, are the arrays of one network.
    """
    from ganzoo.cli.common import loaded_registry, show_messages

    registry = loaded_registry()
    show_messages()
    from ganzoo.convert.convert import Request
    from ganzoo.convert.convert import convert as run

    request = Request(files=files, variant=variant, out=out, channels=int(channels) if channels else None, **rest)
    model = run(request, registry)
    count = sum(parameter.numel() for parameter in model.generator.parameters())
    click.echo(f"{out}: {count:,} parameters, loaded back and verified. Draw from it with:", err=True)
    shown = out if out.is_absolute() else f".{'/' if not str(out).startswith('..') else './'}{out}"
    click.echo(f"ganzoo sample {shown} -n 64 --out {out.name}.png")
