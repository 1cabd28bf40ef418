"""`ganzoo convert`: reads weights of other code."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from ganzoo.cli.types import VariantName


@click.command()
@click.argument("files", nargs=-1, required=True, metavar="FILE...", type=click.Path(path_type=Path))
@click.option(
    "--variant", type=VariantName(), help="The variant whose generator is in the file; found if only one fits."
)
@click.option(
    "--asset",
    type=click.Choice(["vgg19", "lpips-alex", "efficientnet-lite0"]),
    help="Make the file of a pretrained network that a loss or metric asks for (docs/converting.md).",
)
@click.option(
    "--layout", default="auto", show_default=True, help="The naming scheme of the tensors (docs/converting.md)."
)
@click.option("--out", required=True, type=click.Path(path_type=Path), help="The new model folder.")
@click.option("--key", help="The key of the network in a file with several: netG, state_dict.generator, ...")
@click.option(
    "--discriminator",
    multiple=True,
    type=click.Path(path_type=Path),
    help="A file with the discriminator, to store too.",
)
@click.option("--discriminator-key", help="The key of the network in that file.")
@click.option(
    "--license",
    default="unknown",
    show_default=True,
    help="The license of the weights, as their authors state it; none is assumed.",
)
@click.option(
    "--dtype",
    type=click.Choice(["float32", "float16", "bfloat16"]),
    default="float32",
    show_default=True,
    help="The dtype to store weights in.",
)
@click.option(
    "--image-size", type=click.IntRange(1, 4096), help="Image size in pixels, if the tensors do not determine it."
)
@click.option(
    "--channels", type=click.Choice(["1", "3", "4"]), help="1 grey, 3 RGB, 4 RGBA, if the tensors do not determine it."
)
@click.option("--classes", type=click.IntRange(1, 1_000_000), help="Number of classes of a conditional generator.")
@click.option(
    "--set",
    "settings",
    multiple=True,
    metavar="PATH=VALUE",
    help="An option of the generator, such as generator.width=32.",
)
@click.pass_context
def convert(
    context: click.Context,
    files: tuple[Path, ...],
    asset: str | None,
    out: Path,
    channels: str | None,
    **rest: Any,
) -> None:
    """Convert weights of other code into a model folder.

    FILE is a checkpoint that torch.save wrote, a network.pkl of NVIDIA's StyleGAN code, a .npz, .npy or .safetensors
    file, or a .param of ncnn with its .bin beside it, whatever its name ends in. Several .npy files, or a folder of
    them, are the arrays of one network. Every layout of every variant is tried, unless --variant names one.

    \b
    ganzoo convert netG.pth --license MIT --out converted/netG
    ganzoo convert network.pkl --license NVIDIA-NC --out converted/faces
    ganzoo convert realesrgan-x4plus.param --license BSD-3-Clause --out converted/x4plus
    ganzoo convert 200_gen_params.jl_*.npy --variant dcgan --layout newmu --license MIT --out converted/house-numbers
    ganzoo convert vgg19-dcbb9e9d.pth --asset vgg19 --out vgg19.safetensors
    ganzoo convert training.pt --key generator --variant wgan-gp --set generator.width=32 --out converted/mine

    Pickles are read in a separate process with limits, and only tensors are accepted: no code in a file is ever run.
    """
    from ganzoo.cli.common import loaded_registry, show_messages

    if asset is not None:
        _convert_asset(context, files, asset, out)
        return
    registry = loaded_registry()
    show_messages()
    from ganzoo.convert.convert import convert as run
    from ganzoo.convert.request import Request

    request = Request(files=files, out=out, channels=int(channels) if channels else None, **rest)
    model = run(request, registry)
    count = sum(parameter.numel() for parameter in model.generator.parameters())
    sources = bool(model.config.image.sources)
    what = "Apply it to images with" if sources else "Sample from it with"
    click.echo(f"{out}: {count:,} parameters, loaded back and verified. {what}:", err=True)
    shown = out if out.is_absolute() else f".{'/' if not str(out).startswith('..') else './'}{out}"
    click.echo(
        f"ganzoo apply {shown} pictures/ --out results/"
        if sources
        else f"ganzoo sample {shown} -n 64 --out {out.name}.png"
    )


def _convert_asset(context: click.Context, files: tuple[Path, ...], asset: str, out: Path) -> None:
    """Makes the file of a pretrained network; click.UsageError for options of a generator."""
    given = [name for name in context.params if name not in ("files", "asset", "out")]
    given = [name for name in given if context.get_parameter_source(name) is click.core.ParameterSource.COMMANDLINE]
    if given:
        raise click.UsageError(f"--asset takes no --{given[0].replace('_', '-')}: leave it out.")
    from ganzoo.convert.assets import convert_asset

    made = convert_asset(files, asset, out)
    click.echo(f"{out}: {made.tensors} tensors, sha256 {made.sha256}. Use it with", err=True)
    click.echo(made.usage)
