"""`ganzoo sample`."""

from __future__ import annotations

from pathlib import Path

import click

from ganzoo.errors import UsageError

PICTURES = (".png", ".jpg", ".jpeg", ".webp")
ANIMATIONS = (".gif", ".webp")
WALKS, COLUMNS = 8, 8


@click.command()
@click.argument("source")
@click.option(
    "-n",
    "count",
    type=click.IntRange(1),
    help="How many images, stops, or walks.  [default: 64; with --interpolate or --classes 8]",
)
@click.option(
    "--seed", type=click.IntRange(0), default=0, show_default=True, help="The same seed gives the same images."
)
@click.option("--label", help="Only this class, by number or name. [default: all in turn]")
@click.option("--classes", is_flag=True, help="A sheet with a row for each class: the same -n latents in every row.")
@click.option(
    "--truncation",
    type=click.FloatRange(0, min_open=True),
    help="Cut the prior of the latents off at that distance from 0: less variety.",
)
@click.option("--interpolate", is_flag=True, help="Walk: a sheet whose rows go from latent to latent, or an animation.")
@click.option(
    "--out",
    required=True,
    type=click.Path(path_type=Path),
    help="A grid .png, a folder/ of PNGs, an .npz, or an interpolation .gif.",
)
@click.option(
    "--batch-size",
    type=click.IntRange(1),
    default=64,
    show_default=True,
    help="Images drawn at once; changes no image.",
)
@click.option(
    "--columns",
    type=click.IntRange(1),
    help="Columns of a grid, or images of a walk.  [default: as square as it gets; 8]",
)
@click.option(
    "--average/--no-average", default=True, help="Of a run: its moving average (the default), or its weights."
)
@click.option("--device", default="cpu", show_default=True, help="cpu, cuda, mps or auto.")
@click.option("--force", is_flag=True, help="Replace what is at --out.")
def sample(
    source: str,
    out: Path,
    count: int | None,
    interpolate: bool,
    classes: bool,
    columns,
    average: bool,
    device: str,
    force: bool,
    **drawn,
) -> None:
    """Draw images from SOURCE: a run, a checkpoint, a model folder, a tag, or owner/name on the Hub.

    A folder is written with "./" or in full, so that it is never taken for a name on the Hub.

    \b
    ganzoo sample ./runs/first -n 64 --seed 0 --out grid.png
    ganzoo sample ./runs/first -n 1000 --out drawn/
    ganzoo sample ./runs/first -n 8 --out walk.gif
    ganzoo sample ./runs/first -n 4 --interpolate --truncation 0.7 --out walks.png
    ganzoo sample ./runs/labelled -n 8 --classes --out classes.png
    """
    kind = out.suffix.lower()
    if kind and kind not in (*PICTURES, ".npz", ".gif"):
        raise UsageError(
            f"--out {out}: unknown kind '{kind}'; known: {', '.join(PICTURES)}, .npz, .gif, or a folder (no suffix)."
        )
    if interpolate and kind not in (*PICTURES, ".gif"):
        raise UsageError(f"--out {out}: --interpolate writes a sheet (.png, .jpg) or an animation (.gif, .webp).")
    if classes and (kind not in PICTURES or interpolate or columns or drawn["label"] is not None):
        raise UsageError(
            "--classes writes a sheet (.png, .jpg) of all classes in -n columns: leave out --label, --interpolate and --columns."
        )
    if not force and out.exists() and (kind or any(out.iterdir() if out.is_dir() else [out])):
        raise UsageError(f"{out} is already there: choose another --out or add --force.")
    if kind and not out.parent.is_dir():
        raise UsageError(f"There is no folder {out.parent} to write {out.name} into.")
    from ganzoo.cli.common import loaded_registry, show_messages

    loaded_registry()
    show_messages()
    from ganzoo.engine.device import choose_device
    from ganzoo.models.load import load

    model = load(source, device=choose_device(device), average=average)
    count = count or (WALKS if interpolate or classes else 64)
    if classes:
        _write_classes(model, out, count, **drawn)
    elif kind == ".gif" or (interpolate and kind in ANIMATIONS):
        _write_walk(model, out, count, **drawn)
    elif interpolate:
        _write_walks(model, out, count, columns or COLUMNS, **drawn)
    elif kind == ".npz":
        _write_arrays(model, out, count, **drawn)
    elif kind:
        _write_grid(model, out, count, columns, **drawn)
    else:
        _write_folder(model, out, count, **drawn)
    click.echo(f"{out}", err=True)


def _write_grid(model, out: Path, count: int, columns, *, label, **drawn) -> None:
    from ganzoo.files import pictures

    images = model.sample(count, label=label, **drawn)
    if columns is None and 2 <= model.image.classes <= 12 and label is None:
        columns = model.image.classes
    pictures.save_picture(pictures.enlarged(pictures.grid(images, columns)), out)


def _write_classes(model, out: Path, count: int, *, label, **drawn) -> None:
    from ganzoo.files import pictures

    names = model.classes or [str(number) for number in range(model.image.classes)]
    sheet = pictures.enlarged(pictures.grid(model.each_class(count, **drawn), count))
    pictures.save_picture(pictures.with_rows_named(sheet, names), out)


def _write_arrays(model, out: Path, count: int, *, label, **drawn) -> None:
    import io

    import numpy

    from ganzoo.files import pictures
    from ganzoo.files.atomic import write_atomically

    arrays = {"images": pictures.to_uint8(model.sample(count, label=label, **drawn)).numpy()}
    labels = model.labels(count, label)
    if labels is not None:
        arrays["labels"] = labels.numpy()
    buffer = io.BytesIO()
    numpy.savez_compressed(buffer, **arrays)
    write_atomically(out, buffer.getvalue())


def _write_folder(model, out: Path, count: int, **drawn) -> None:
    from ganzoo.files import pictures

    out.mkdir(parents=True, exist_ok=True)
    number = 0
    for images in model.stream(count, **drawn):
        for image in pictures.to_uint8(images):
            pictures.save_picture(pictures.to_pillow(image), out / f"{number:06d}.png")
            number += 1


def _write_walk(model, out: Path, count: int, *, seed: int, label, truncation, batch_size: int) -> None:
    """One walk through `count` latents as an animation; a frame at a time, so `batch_size` decides nothing."""
    from ganzoo.files import pictures

    if count < 2:
        raise UsageError("An interpolation walks between latents: ask for at least two with -n.")
    walk = model.interpolate(count, 12, seed, label, truncation=truncation)
    pictures.save_animation([pictures.enlarged(pictures.grid(image, padding=0), 256) for image in walk], out)


def _write_walks(model, out: Path, count: int, columns: int, *, seed: int, label, truncation, batch_size: int) -> None:
    """A sheet of `count` rows, each a walk between two latents of its own; a conditional generator's classes take turns."""
    import torch

    from ganzoo.files import pictures

    if columns < 2:
        raise UsageError("A walk is from one latent to another: give it at least two --columns.")
    pairs = model.latent(2 * count, seed, truncation).split(2)
    labels = model.labels(count, label)
    walks = [
        list(model.interpolate(pair, columns - 1, label=None if labels is None else int(labels[row]), closed=False))
        for row, pair in enumerate(pairs)
    ]
    sheet = torch.cat([image for walk in walks for image in walk])
    pictures.save_picture(pictures.enlarged(pictures.grid(sheet, columns)), out)
