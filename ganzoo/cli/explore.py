"""`ganzoo explore`."""

from __future__ import annotations

import json
from pathlib import Path

import click

from ganzoo.errors import UsageError

PICTURES = (".png", ".jpg", ".jpeg")
ANIMATIONS = (".gif", ".webp")


@click.command()
@click.argument("source")
@click.option(
    "--out", required=True, type=click.Path(path_type=Path), help="A sheet (.png, .jpg) or an animation (.gif, .webp)."
)
@click.option(
    "--directions",
    type=click.IntRange(1),
    help="Rows: this many directions, strongest first.  [default: the codes, or else 8]",
)
@click.option(
    "--samples",
    type=click.IntRange(1),
    help="Latents that each row is shown on.  [default: 4 with codes, 2 with directions]",
)
@click.option(
    "--steps", type=click.IntRange(2), help="Images from low to high.  [default: codes 10, directions 7, animations 25]"
)
@click.option(
    "--range",
    "reach",
    type=click.FloatRange(0, min_open=True),
    help="How far: times a code's training range, or standard deviations along a direction.  [default: 2; 3]",
)
@click.option(
    "--seed", type=click.IntRange(0), default=0, show_default=True, help="The same seed gives the same images."
)
@click.option("--label", help="Only this class, by number or name. [default: one after the other]")
@click.option("--device", default="cpu", show_default=True, help="cpu, cuda, mps or auto.")
@click.option("--json", "as_json", is_flag=True, help="Say for programs what was drawn.")
@click.option("--force", is_flag=True, help="Replace what is at --out.")
def explore(
    source: str, out: Path, directions, samples, steps, reach, seed: int, label, device: str, as_json: bool, force: bool
) -> None:
    """Show what the latents of SOURCE mean: SOURCE is what `ganzoo sample` takes.

    A generator with codes (InfoGAN) has a row for each: all categories, and continuous codes over twice the range that they were
    trained on. Of any other the rows are the directions that move its first layer most (SeFa), from -3 to 3 standard
    deviations. Nothing is trained.

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
    codes = bool(model.generator.codes) and directions is None
    samples, steps = samples or (4 if codes else 2), steps or (25 if moves else 10 if codes else 7)
    rows = explore.explore(model, directions=directions, samples=samples, steps=steps, reach=reach, seed=seed)
    drawn = explore.sample_rows(model, rows, label)
    if moves:
        pictures.save_animation(explore.animation(rows, drawn), out, seconds_per_frame=0.1)
    else:
        pictures.save_picture(explore.sheet(rows, drawn), out)
    if as_json:
        click.echo(json.dumps(_summary(model, rows, out, seed, label, samples), indent=2))
    click.echo(f"{out}", err=True)


def _check(out: Path, force: bool) -> bool:
    """Whether an animation is asked for; UsageError if `out` cannot be what it is asked to be."""
    kind = out.suffix.lower()
    if kind not in (*PICTURES, *ANIMATIONS):
        raise UsageError(f"--out {out}: unknown kind '{kind}'; known: {', '.join((*PICTURES, *ANIMATIONS))}.")
    if not force and out.exists():
        raise UsageError(f"{out} is already there: choose another --out or add --force.")
    if not out.parent.is_dir():
        raise UsageError(f"There is no folder {out.parent} to write {out.name} into.")
    return kind in ANIMATIONS


def _summary(model, rows, out: Path, seed: int, label, samples: int) -> dict:
    facts = {"variant": model.variant, "out": str(out), "seed": seed, "label": label, "samples": samples}
    keys = ("name", "kind", "values", "trained", "strength")
    return facts | {"rows": [{key: getattr(row, key) for key in keys if getattr(row, key) is not None} for row in rows]}
