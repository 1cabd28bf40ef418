"""`ganzoo export`: writes a generator as a graph."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from ganzoo.files.output_checks import check_new_file


class BatchSize(click.ParamType):
    """A number of images, or "dynamic", which becomes None."""

    name = "N|dynamic"

    def convert(self, value: Any, param: click.Parameter | None, context: click.Context | None) -> int | None:
        if value == "dynamic":
            return None
        if isinstance(value, str) and value.isdecimal() and int(value) > 0:
            return int(value)
        self.fail(f"{value!r} is neither a number of images nor the word dynamic.", param, context)


@click.command()
@click.argument("source")
@click.option(
    "--format", type=click.Choice(["onnx", "torchscript", "torch-export"]), required=True, help="The file format."
)
@click.option("--out", required=True, type=click.Path(path_type=Path), help="The new file: *.onnx, *.pt or *.pt2.")
@click.option(
    "--batch-size",
    type=BatchSize(),
    default="dynamic",
    show_default=True,
    help="The batch size of the graph, or dynamic.",
)
@click.option("--force", is_flag=True, help="Overwrite --out.")
def export(source: str, format: str, out: Path, batch_size: int | None, force: bool) -> None:
    """Export a generator to ONNX, TorchScript or torch.export.

    SOURCE is a run, checkpoint, model folder, tag, or owner/name on the Hub. The graph takes latents (N, latent_dim)
    and, if it is conditional, labels (N,), and returns images (N, C, H, W) in [-1, 1]. The file is written only if its
    images agree with the generator's within 1e-4.

    \b
    ganzoo export ./runs/first --format onnx --out first.onnx
    ganzoo export ./runs/first --format torch-export --out first.pt2 --batch-size 16
    """
    check_new_file(out, replace=force)
    from ganzoo.models import export as exporting

    exporting.check_request(out, format, batch_size)
    from ganzoo.cli.common import loaded_registry, show_messages

    loaded_registry()
    show_messages()
    from ganzoo.models.load import load

    model = load(source)
    done = exporting.export(model, out, format, batch_size=batch_size)
    size = "any batch size" if done.batch_size is None else f"batches of {done.batch_size}"
    click.echo(f"{out}: {format}, {size}, images differ from the generator's by at most {done.difference:.1e}")
