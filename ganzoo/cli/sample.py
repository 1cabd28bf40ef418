"""`ganzoo sample`."""

from __future__ import annotations

from pathlib import Path

import click

from ..errors import UsageError

PICTURES = (".png", ".jpg", ".jpeg", ".webp")


@click.command()
@click.argument("source")
@click.option("-n", "count", type=click.IntRange(1), default=64, show_default=True, help="How many images (for .gif: latents to walk through).")
@click.option("--seed", type=click.IntRange(0), default=0, show_default=True, help="The same seed gives the same images.")
@click.option("--label", help="Only this class, by number or name. [default: all in turn]")
@click.option("--out", required=True, type=click.Path(path_type=Path), help="A grid .png, a folder/ of PNGs, an .npz, or an interpolation .gif.")
@click.option("--batch-size", type=click.IntRange(1), default=64, show_default=True, help="Images drawn at once; changes no image.")
@click.option("--columns", type=click.IntRange(1), help="Columns of a grid. [default: as square as it gets]")
@click.option("--device", default="cpu", show_default=True, help="cpu, cuda, mps or auto.")
@click.option("--force", is_flag=True, help="Replace what is at --out.")
def sample(source: str, count: int, seed: int, label, out: Path, batch_size: int, columns, device: str, force: bool) -> None:
    """Draw images from SOURCE: a run, a checkpoint, a model folder, a tag, or owner/name on the Hub.

    A folder is written with "./" or in full, so that it is never taken for a name on the Hub.

    \b
    ganzoo sample ./runs/first -n 64 --seed 0 --out grid.png
    ganzoo sample ./runs/first -n 1000 --out drawn/
    ganzoo sample ./runs/first -n 8 --out walk.gif
    """
    kind = out.suffix.lower()
    if kind and kind not in (*PICTURES, ".npz", ".gif"):
        raise UsageError(f"--out {out}: unknown kind '{kind}'; known: {', '.join(PICTURES)}, .npz, .gif, or a folder (no suffix).")
    if not force and out.exists() and (kind or any(out.iterdir() if out.is_dir() else [out])):
        raise UsageError(f"{out} is already there: choose another --out or add --force.")
    if kind and not out.parent.is_dir():
        raise UsageError(f"There is no folder {out.parent} to write {out.name} into.")
    from .listing import loaded_registry

    loaded_registry()
    from ..pretrained.load import load
    from ..run import default_device

    model = load(source, device=default_device(device), report=lambda line: click.echo(line, err=True))
    if kind == ".gif":
        _write_walk(model, out, count, seed, label)
    elif kind == ".npz":
        _write_arrays(model, out, count, seed, label, batch_size)
    elif kind:
        _write_grid(model, out, count, seed, label, batch_size, columns)
    else:
        _write_folder(model, out, count, seed, label, batch_size)
    click.echo(f"{out}", err=True)


def _write_grid(model, out: Path, count: int, seed: int, label, batch_size: int, columns) -> None:
    from .. import pictures

    images = model.sample(count, seed, label=label, batch_size=batch_size)
    if columns is None and 2 <= model.image.classes <= 12 and label is None:
        columns = model.image.classes
    pictures.save_picture(pictures.enlarged(pictures.grid(images, columns)), out)


def _write_arrays(model, out: Path, count: int, seed: int, label, batch_size: int) -> None:
    import io

    import numpy

    from .. import pictures
    from ..files import write_atomically

    arrays = {"images": pictures.to_uint8(model.sample(count, seed, label=label, batch_size=batch_size)).numpy()}
    labels = model.labels(count, label)
    if labels is not None:
        arrays["labels"] = labels.numpy()
    buffer = io.BytesIO()
    numpy.savez_compressed(buffer, **arrays)
    write_atomically(out, buffer.getvalue())


def _write_folder(model, out: Path, count: int, seed: int, label, batch_size: int) -> None:
    from .. import pictures

    out.mkdir(parents=True, exist_ok=True)
    number = 0
    for images in model.stream(count, seed, label=label, batch_size=batch_size):
        for image in pictures.to_uint8(images):
            pictures.save_picture(pictures.to_pillow(image), out / f"{number:06d}.png")
            number += 1


def _write_walk(model, out: Path, count: int, seed: int, label) -> None:
    from .. import pictures

    if count < 2:
        raise UsageError("An interpolation walks between latents: ask for at least two with -n.")
    frames = [pictures.enlarged(pictures.grid(image, padding=0), 256) for image in model.interpolate(count, 12, seed, label)]
    pictures.save_animation(frames, out)
