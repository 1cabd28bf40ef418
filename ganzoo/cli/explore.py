"""`ganzoo explore`: shows the effect of latent codes and directions."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ganzoo.errors import UsageError
from ganzoo.files.output_checks import check_new_file

if TYPE_CHECKING:
    from ganzoo.models.explore import Row
    from ganzoo.models.model import Model

PICTURES = (".png", ".jpg", ".jpeg")
ANIMATIONS = (".gif", ".webp")


@click.command()
@click.argument("source")
@click.option(
    "--out",
    required=True,
    type=click.Path(path_type=Path),
    help="The new file: a sheet (.png, .jpg) or an animation (.gif, .webp).",
)
@click.option(
    "--directions",
    type=click.IntRange(1),
    help="Number of directions, strongest first.  [default: the codes if there are any, else 8]",
)
@click.option(
    "--samples",
    type=click.IntRange(1),
    help="Latents that each row is applied to.  [default: 4 with codes, 2 with directions]",
)
@click.option(
    "--steps",
    type=click.IntRange(2),
    help="Images per row, from low to high.  [default: codes 10, directions 7, animations 25]",
)
@click.option(
    "--range",
    "reach",
    type=click.FloatRange(0, min_open=True),
    help="Range: multiples of a code's training range (default 2), or standard deviations of a direction (default 3).",
)
@click.option(
    "--seed", type=click.IntRange(0), default=0, show_default=True, help="The same seed gives the same images."
)
@click.option("--label", help="Only the class of this name, or '#3' for the fourth one. [default: all in turn]")
@click.option("--device", default="cpu", show_default=True, help="cpu, cuda, mps or auto.")
@click.option("--json", "as_json", is_flag=True, help="Print a JSON object that describes the rows.")
@click.option("--force", is_flag=True, help="Overwrite --out.")
def explore(
    source: str,
    out: Path,
    directions: int | None,
    samples: int | None,
    steps: int | None,
    reach: float | None,
    seed: int,
    label: str | None,
    device: str,
    as_json: bool,
    force: bool,
) -> None:
    """Show what the latents of a generator change.

    SOURCE is a run, checkpoint, model folder, tag, or owner/name on the Hub. For a generator with codes (InfoGAN) there
    is one row per code: all categories, or twice the training range of a continuous code. For others the rows are the
    directions with the largest effect on the first layer (SeFa), from -3 to 3 standard deviations. Nothing is trained.

    \b
    ganzoo explore ./runs/infogan --out codes.png
    ganzoo explore ./runs/first --directions 12 --samples 3 --out directions.png
    ganzoo explore ./runs/first --out directions.gif
    """
    moves = _check(out, force)
    from ganzoo.cli.common import loaded_registry, show_messages

    loaded_registry()
    show_messages()
    from ganzoo.engine.device import choose_device
    from ganzoo.files import pictures
    from ganzoo.models import explore
    from ganzoo.models.load import load

    model = load(source, device=choose_device(device))
    if model.image.output.kind != "image":
        raise UsageError(f"explore shows images, and the samples of '{model.variant}' are {model.image.output.kind}.")
    codes = bool(model.generator.codes) and directions is None
    samples, steps = samples or (4 if codes else 2), steps or (25 if moves else 10 if codes else 7)
    rows = explore.explore(model, directions=directions, samples=samples, steps=steps, reach=reach, seed=seed)
    images = explore.sample_rows(model, rows, label)
    if moves:
        pictures.save_animation(explore.animation(rows, images), out, seconds_per_frame=0.1)
    else:
        pictures.save_picture(explore.sheet(rows, images), out)
    if as_json:
        click.echo(json.dumps(_summary(model, rows, out, seed, label, samples), indent=2))
    click.echo(f"{out}", err=True)


def _check(out: Path, force: bool) -> bool:
    """Returns whether `out` is an animation; UsageError if it is of an unknown kind or cannot be written."""
    kind = out.suffix.lower()
    if kind not in (*PICTURES, *ANIMATIONS):
        raise UsageError(f"--out {out}: unknown kind '{kind}'; known: {', '.join((*PICTURES, *ANIMATIONS))}.")
    check_new_file(out, replace=force)
    return kind in ANIMATIONS


def _summary(model: Model, rows: list[Row], out: Path, seed: int, label: str | None, samples: int) -> dict[str, Any]:
    facts = {"variant": model.variant, "out": str(out), "seed": seed, "label": label, "samples": samples}
    keys = ("name", "kind", "values", "trained", "strength")
    return facts | {"rows": [{key: getattr(row, key) for key in keys if getattr(row, key) is not None} for row in rows]}
