"""`ganzoo mix`: interpolates the weights of two models."""

from __future__ import annotations

import json
import os
from pathlib import Path

import click

from ganzoo.files.output_checks import check_new_folder


@click.command()
@click.argument("first", metavar="A")
@click.argument("second", metavar="B")
@click.option("--alpha", type=float, required=True, help="The share of B, from 0 (all A) to 1 (all B).")
@click.option("--out", required=True, type=click.Path(path_type=Path), help="The new model folder.")
@click.option(
    "--dtype",
    type=click.Choice(["float32", "float16", "bfloat16"]),
    default="float32",
    show_default=True,
    help="The dtype to store weights in.",
)
@click.option("--json", "as_json", is_flag=True, help="Print the origins, the license and the hash as a JSON object.")
def mix(first: str, second: str, alpha: float, out: Path, dtype: str, as_json: bool) -> None:
    """Mix the weights of two generators of one architecture: (1 - alpha)·A + alpha·B.

    A and B are runs, checkpoints, model folders, tags or owner/name on the Hub. It is ESRGAN's network interpolation:
    between a network trained for PSNR and the GAN fine-tuned from it, alpha trades smoothness for texture. The new
    config.json names both origins and both licenses.

    \b
    ganzoo mix ./runs/psnr ./runs/esrgan --alpha 0.8 --out mixed
    ganzoo apply ./mixed photo.png --out big.png
    """
    from ganzoo.cli.common import loaded_registry, show_messages

    check_new_folder(out)
    loaded_registry()
    show_messages()
    from ganzoo.models.load import load
    from ganzoo.models.mix import mix as mixed

    model = mixed(load(first), load(second), alpha, (_shown(first), _shown(second)))
    model.save(out, dtype=dtype)
    config = model.config
    assert config.weights is not None  # as `save` has written them
    if as_json:
        facts = {"out": str(out), "variant": config.variant, "license": config.license}
        click.echo(json.dumps({**facts, "sha256": config.weights.sha256, **config.training["mixed"]}, indent=1))
    click.echo(f"{out}: {1 - alpha:g} of {first} and {alpha:g} of {second}, license: {config.license}", err=True)


def _shown(source: str) -> str:
    """Returns a tag or repository as it is, and of a folder its name: a path says more about a machine than a model."""
    return os.path.basename(os.path.abspath(source)) if os.path.exists(source) else source
