"""`ganzoo explore`: shows the effect of latent codes and directions."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ganzoo.cli.types import FiniteRange
from ganzoo.errors import UsageError
from ganzoo.files.output_checks import check_new_file

if TYPE_CHECKING:
    from ganzoo.models.explore import Row
    from ganzoo.models.latents import Latents
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
    "--method",
    type=click.Choice(["sefa", "pca"]),
    help="Of generators with styles: directions from the layers' weights, or of the styles.  [default: sefa]",
)
@click.option("--layers", help="Of generators with styles: move only coarse, middle or fine layers, or numbers as 0-6.")
@click.option("--mix", metavar="LAYERS", help="Instead of directions: a sheet of mixtures, with these layers' styles.")
@click.option(
    "--samples",
    type=click.IntRange(1),
    help="Latents that each row is applied to, or rows with --mix.  [default: 4, with directions 2]",
)
@click.option(
    "--steps",
    type=click.IntRange(2),
    help="Images per row, from low to high.  [default: codes 10, directions 7, animations 25, --mix 6]",
)
@click.option(
    "--range",
    "reach",
    type=FiniteRange(0, 1000, min_open=True),
    help="Range: multiples of a code's training range (default 2), or standard deviations of a direction (default 3).",
)
@click.option(
    "--seed", type=click.IntRange(0), default=0, show_default=True, help="The same seed gives the same images."
)
@click.option(
    "--latents",
    "file",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Move these latents, a file of `ganzoo invert`, along directions, instead of --samples of --seed.",
)
@click.option("--label", help="Only the class of this name, or '#3' for the fourth one. [default: all in turn]")
@click.option("--device", default="cpu", show_default=True, help="cpu, cuda, mps or auto.")
@click.option("--json", "as_json", is_flag=True, help="Print a JSON object that describes the rows.")
@click.option("--force", is_flag=True, help="Overwrite --out.")
def explore(
    source: str,
    out: Path,
    directions: int | None,
    method: str | None,
    layers: str | None,
    mix: str | None,
    samples: int | None,
    steps: int | None,
    reach: float | None,
    seed: int,
    file: Path | None,
    label: str | None,
    device: str,
    as_json: bool,
    force: bool,
) -> None:
    """Show what the latents of a generator change.

    SOURCE is a run, checkpoint, model folder, tag, or owner/name on the Hub. For a generator with codes (InfoGAN) there
    is one row per code: all categories, or twice the training range of a continuous code. For others the rows are the
    directions with the largest effect on the first layer (SeFa), or on all layers that take a style (StyleGAN2), from
    -3 to 3 standard deviations. With --mix each image has the style of its row, and in LAYERS that of its column.
    Nothing is trained.

    \b
    ganzoo explore ./runs/infogan --out codes.png
    ganzoo explore ./runs/first --directions 12 --samples 3 --out directions.png
    ganzoo explore ./runs/first --out directions.gif
    ganzoo explore ./runs/faces --mix coarse --out mixed.png
    ganzoo explore ./runs/faces --latents found/latents.safetensors --out edits.png
    """
    if file is not None and (samples or seed or mix is not None):
        raise UsageError("--latents names what is moved: leave out --samples, --seed and --mix.")
    moves = _check(out, force)
    from ganzoo.cli.common import loaded_registry, show_messages

    loaded_registry()
    show_messages()
    from ganzoo.engine.device import choose_device
    from ganzoo.files import pictures
    from ganzoo.models import explore
    from ganzoo.models.load import load

    model = load(source, device=choose_device(device))
    model.refuse_numbers("explore shows images")
    if mix is not None:
        if moves or directions or method or layers or reach:
            raise UsageError(
                "--mix writes a sheet (.png, .jpg): leave out --directions, --method, --layers and --range."
            )
        picture = _mixtures(model, mix, samples or 4, steps or 6, seed, label)
        pictures.save_picture(picture, out)
        if as_json:
            click.echo(json.dumps(_summary(model, [], out, seed, label, samples or 4) | {"mix": mix}, indent=2))
        click.echo(f"{out}", err=True)
        return
    latents = None if file is None else _latents(file, model)
    codes = bool(model.generator.codes) and directions is None and latents is None
    samples, steps = samples or (4 if codes else 2), steps or (25 if moves else 10 if codes else 7)
    rows = explore.explore(
        model,
        directions=directions,
        samples=samples,
        steps=steps,
        reach=reach,
        seed=seed,
        method=method,
        layers=layers,
        latents=latents,
    )
    samples = samples if latents is None else len(latents)
    images = explore.sample_rows(model, rows, label)
    if moves:
        pictures.save_animation(explore.animation(rows, images), out, seconds_per_frame=0.1)
    else:
        pictures.save_picture(explore.sheet(rows, images), out)
    if as_json:
        click.echo(json.dumps(_summary(model, rows, out, seed, label, samples), indent=2))
    click.echo(f"{out}", err=True)


def _latents(file: Path, model: Model) -> Latents:
    from ganzoo.models.latents import read_latents

    return read_latents(file, model)


def _mixtures(model: Model, mix: str, rows: int, columns: int, seed: int, label: str | None) -> Any:
    """Returns a picture of mixtures: each row's style, and in the layers `mix` that of each column."""
    from ganzoo.files import pictures
    from ganzoo.models import styles

    model.refuse_sources()
    layers = styles.chosen_layers(mix, styles.styled_layers(model))
    pictures.check_sheet((rows + 1) * (columns + 1), columns + 1, model.image.image_size)
    images = styles.mixed(model, layers, rows=rows, columns=columns, seed=seed, label=label)
    return pictures.enlarged(pictures.grid(images.flatten(0, 1), columns + 1))


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
