"""`ganzoo export`."""

from __future__ import annotations

from pathlib import Path

import click

from ganzoo.errors import UsageError


class BatchSize(click.ParamType):
    """A number of images, or "dynamic", which becomes None."""

    name = "N|dynamic"

    def convert(self, value, param, context) -> int | None:
        if value == "dynamic":
            return None
        if isinstance(value, str) and value.isdecimal() and int(value) > 0:
            return int(value)
        self.fail(f"{value!r} is neither a number of images nor the word dynamic.", param, context)


@click.command()
@click.argument("source")
@click.option(
    "--format", type=click.Choice(["onnx", "torchscript", "torch-export"]), required=True, help="What reads the file."
)
@click.option("--out", required=True, type=click.Path(path_type=Path), help="The file: *.onnx, *.pt or *.pt2.")
@click.option(
    "--batch-size", type=BatchSize(), default="dynamic", show_default=True, help="Images that the graph draws at once."
)
@click.option("--force", is_flag=True, help="Replace what is at --out.")
def export(source: str, format: str, out: Path, batch_size: int | None, force: bool) -> None:
    """Write the generator of SOURCE as a graph for other programs: SOURCE is what `ganzoo sample` takes.

    The graph takes latents (N, latent_dim) and, of a conditional generator, labels (N,), and returns images (N, C, H, W) in
    [-1, 1]. The file is written only if it draws what the generator draws, to 1e-4.

    \b
    ganzoo export ./runs/first --format onnx --out first.onnx
    ganzoo export ./runs/first --format torch-export --out first.pt2 --batch-size 16
    """
    if not force and out.exists():
        raise UsageError(f"{out} is already there: choose another --out or add --force.")
    if not out.parent.is_dir():
        raise UsageError(f"There is no folder {out.parent} to write {out.name} into.")
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
