"""`ganzoo sample`: generates images."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ganzoo.cli.types import TruncationAmount
from ganzoo.errors import UsageError
from ganzoo.files.output_checks import check_new_file, check_new_folder

if TYPE_CHECKING:
    from torch import Tensor

    from ganzoo.models.model import Model
    from ganzoo.models.truncation import Truncation

PICTURES = (".png", ".jpg", ".jpeg", ".webp")
ANIMATIONS = (".gif", ".webp")
ROWS, COLUMNS = 8, 8
POINTS = 600


def as_moves(context: click.Context, parameter: click.Parameter, values: tuple[str, ...]) -> dict[str, float] | None:
    """Turns NAME=VALUE into numbers by name."""
    found = {}
    for value in values:
        name, equals, number = value.rpartition("=")
        if name in found:
            raise click.BadParameter(f"{name!r} is moved twice: give each NAME once.", context, parameter)
        try:
            found[name] = float(number)
        except ValueError:
            equals = ""
        if not (name and equals):
            raise click.BadParameter(f"{value!r} is no move: write NAME=VALUE, as 1=2.5.", context, parameter)
    return found or None


@click.command()
@click.argument("source")
@click.option(
    "-n",
    "count",
    type=click.IntRange(1),
    help="Number of images: rows with --interpolate, columns with --classes, latents of a .gif.  [default: 64 or 8]",
)
@click.option(
    "--seed", type=click.IntRange(0), default=0, show_default=True, help="The same seed gives the same images."
)
@click.option(
    "--latents",
    "file",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Draw the images of these latents, a file of `ganzoo invert`, or with --interpolate or as .gif between them.",
)
@click.option("--label", help="Only the class of this name, or '#3' for the fourth one. [default: all in turn]")
@click.option("--classes", is_flag=True, help="Write a sheet with one row per class and the same latents in every row.")
@click.option(
    "--truncation",
    type=TruncationAmount(),
    help="Truncate the prior of the latents at this distance from 0 (less diversity). Of generators with styles: the "
    "share of the distance from their mean, or 0.7:8 for the first 8 layers alone.",
)
@click.option(
    "--move",
    "moves",
    multiple=True,
    metavar="NAME=VALUE",
    callback=as_moves,
    help="Move every sample along a code, or along direction 1 to 8 of `ganzoo explore` by standard deviations; "
    "repeatable.",
)
@click.option(
    "--interpolate", is_flag=True, help="Write a sheet whose rows interpolate between two latents, or an animation."
)
@click.option(
    "--out",
    required=True,
    type=click.Path(path_type=Path),
    help="The new file or folder: a grid .png, a folder/ of PNGs, an .npz, or an interpolation .gif.",
)
@click.option(
    "--batch-size",
    type=click.IntRange(1),
    default=64,
    show_default=True,
    help="Images per batch, fewer above 256 pixels; does not change the images.",
)
@click.option(
    "--columns",
    type=click.IntRange(1),
    help="Columns of a grid.  [default: square; with --interpolate 8]",
)
@click.option(
    "--average/--no-average",
    default=True,
    help="Use the EMA weights of a run (the default) or the weights being trained.",
)
@click.option("--device", default="cpu", show_default=True, help="cpu, cuda, mps or auto.")
@click.option("--force", is_flag=True, help="Overwrite --out.")
def sample(
    source: str,
    out: Path,
    count: int | None,
    interpolate: bool,
    classes: bool,
    columns: int | None,
    file: Path | None,
    average: bool,
    device: str,
    force: bool,
    **sampling: Any,
) -> None:
    """Sample images from a trained generator.

    SOURCE is a run, checkpoint, model folder, tag such as dcgan.fashion-mnist, or owner/name on the Hub. Write a folder
    as ./folder or as an absolute path, to distinguish it from a name on the Hub.

    \b
    ganzoo sample ./runs/first -n 64 --seed 0 --out grid.png
    ganzoo sample ./runs/first -n 1000 --out samples/
    ganzoo sample ./runs/first -n 8 --out walk.gif
    ganzoo sample ./runs/first -n 4 --interpolate --truncation 0.7 --out walks.png
    ganzoo sample ./runs/labelled -n 8 --classes --out classes.png
    ganzoo sample ./runs/faces --latents found/latents.safetensors --interpolate --out between.png
    ganzoo sample ./runs/ring -n 1000 --out points.npz
    ganzoo sample ./runs/first -n 16 --move 1=2 --move 3=-1.5 --out moved.png
    """
    kind = out.suffix.lower()
    _refuse_contradictions(out, kind, file, count, interpolate, classes, columns, sampling)
    if kind:
        check_new_file(out, replace=force)
    elif not force:
        check_new_folder(out, "choose another --out or add --force")
    from ganzoo.cli.common import loaded_registry, show_messages

    loaded_registry()
    show_messages()
    from ganzoo.engine.device import choose_device
    from ganzoo.models.load import load

    model = load(source, device=choose_device(device), average=average)
    if sampling["moves"]:
        from ganzoo.models.moves import Moves

        model.refuse_sources()
        sampling["moves"] = Moves(model, sampling["moves"])
    if model.image.output.kind != "image":
        given = {"--interpolate": interpolate, "--classes": classes, "--columns": columns}
        used = [option for option, value in given.items() if value]
        _write_numbers(model, out, count or POINTS, used, **sampling)
        click.echo(f"{out}", err=True)
        return
    if file is not None:
        _write_latents(model, file, out, interpolate, columns, sampling["batch_size"])
        click.echo(f"{out}", err=True)
        return
    count = count or (ROWS if interpolate or classes else 64)
    if interpolate or classes or kind == ".gif":
        del sampling["moves"]
    if classes:
        _write_classes(model, out, count, **sampling)
    elif kind == ".gif" or (interpolate and kind in ANIMATIONS):
        _write_animation(model, out, count, **sampling)
    elif interpolate:
        _write_interpolations(model, out, count, columns or COLUMNS, **sampling)
    elif kind == ".npz":
        _write_arrays(model, out, count, **sampling)
    elif kind:
        _write_grid(model, out, count, columns, **sampling)
    else:
        _write_folder(model, out, count, **sampling)
    click.echo(f"{out}", err=True)


def _refuse_contradictions(
    out: Path,
    kind: str,
    file: Path | None,
    count: int | None,
    interpolate: bool,
    classes: bool,
    columns: int | None,
    sampling: dict[str, Any],
) -> None:
    """UsageError for a kind of file that is unknown, or options that do not go together."""
    if kind and kind not in (*PICTURES, ".npz", ".gif"):
        raise UsageError(
            f"--out {out}: unknown kind '{kind}'; known: {', '.join(PICTURES)}, .npz, .gif, or a folder (no suffix)."
        )
    if interpolate and kind not in (*PICTURES, ".gif"):
        raise UsageError(f"--out {out}: --interpolate writes a sheet (.png, .jpg) or an animation (.gif, .webp).")
    if classes and (kind not in PICTURES or interpolate or columns or sampling["label"] is not None):
        raise UsageError(
            "--classes writes a sheet (.png, .jpg) of all classes in -n columns: "
            "leave out --label, --interpolate and --columns."
        )
    if file is not None and (
        count or classes or any(sampling[name] for name in ("seed", "label", "truncation", "moves"))
    ):
        raise UsageError(
            "--latents says what is drawn: leave out -n, --seed, --label, --classes, --truncation and --move."
        )
    if sampling["moves"] and (interpolate or classes or kind == ".gif"):
        raise UsageError("--move is for samples: leave out --interpolate and --classes, and write no .gif.")


def _write_latents(
    model: Model, file: Path, out: Path, interpolate: bool, columns: int | None, batch_size: int
) -> None:
    """Writes the images of a file of latents, or walks between one and the next: rows of a sheet, or an animation."""
    import torch

    from ganzoo.files import pictures
    from ganzoo.models.latents import images_of, read_latents, walk

    latents, kind = read_latents(file, model), out.suffix.lower()
    if kind == ".gif" or (interpolate and kind in ANIMATIONS):
        frames = [pictures.enlarged(pictures.grid(image, padding=0), 256) for image in walk(model, latents)]
        pictures.save_animation(frames, out)
        return
    if interpolate:
        columns = columns or COLUMNS
        if columns < 2:
            raise UsageError("Interpolation needs at least two --columns, a start and an end.")
        pairs = [latents[number : number + 2] for number in range(max(1, len(latents) - 1))]
        images = torch.cat([image for pair in pairs for image in walk(model, pair, columns - 1, closed=False)])
    else:
        images = images_of(model, latents, batch_size)
    if kind == ".npz":
        _save_arrays(out, {"images": pictures.to_uint8(images).numpy()})
    elif kind:
        pictures.check_sheet(len(images), columns or 1, model.image.image_size)
        pictures.save_picture(pictures.enlarged(pictures.grid(images, columns)), out)
    else:
        _save_folder(out, [images])


def _write_numbers(model: Model, out: Path, count: int, used: list[str], *, label: str | None, **sampling: Any) -> None:
    """Writes samples that are no images: the numbers themselves, or a picture of points in the plane."""
    kind, shape = model.image.output.kind, model.image.output.shape
    if used:
        raise UsageError(f"The samples of '{model.variant}' are {kind}: leave out {', '.join(used)}.")
    if out.suffix.lower() == ".npz":
        _save_arrays(out, {kind: model.sample(count, label=label, **sampling).numpy()})
    elif out.suffix.lower() in PICTURES and shape == (2,):
        from ganzoo.files import pictures, scatter

        pictures.save_picture(scatter.scatter(model.sample(count, label=label, **sampling)), out)
    else:
        known = f".npz, {', '.join(PICTURES)}" if shape == (2,) else ".npz"
        raise UsageError(f"The samples of '{model.variant}' are {kind}, so --out is a file of one kind: {known}.")


def _write_grid(
    model: Model, out: Path, count: int, columns: int | None, *, label: str | None, **sampling: Any
) -> None:
    from ganzoo.files import pictures

    pictures.check_sheet(count, 1, model.image.image_size)
    images = model.sample(count, label=label, **sampling)
    if columns is None and 2 <= model.image.classes <= 12 and label is None:
        columns = model.image.classes
    pictures.save_picture(pictures.enlarged(pictures.grid(images, columns)), out)


def _write_classes(model: Model, out: Path, count: int, *, label: None, **sampling: Any) -> None:
    from ganzoo.files import pictures

    pictures.check_sheet(count * model.image.classes, count, model.image.image_size)
    sheet = pictures.enlarged(pictures.grid(model.each_class(count, **sampling), count))
    pictures.save_picture(pictures.with_rows_named(sheet, model.class_names), out)


def _write_arrays(model: Model, out: Path, count: int, *, label: str | None, **sampling: Any) -> None:
    import numpy
    import torch

    from ganzoo.files import pictures

    parts = model.stream(count, label=label, **sampling)
    arrays: dict[str, Any] = {"images": torch.cat([pictures.to_uint8(part) for part in parts]).numpy()}
    labels = model.labels(count, label)
    if labels is not None:
        arrays["labels"] = labels.numpy()
        arrays["classes"] = numpy.array(model.class_names)
    _save_arrays(out, arrays)


def _save_arrays(out: Path, arrays: dict[str, Any]) -> None:
    import io

    import numpy

    from ganzoo.files.atomic import write_atomically

    buffer = io.BytesIO()
    numpy.savez_compressed(buffer, **arrays)
    write_atomically(out, buffer.getvalue())


def _write_folder(model: Model, out: Path, count: int, **sampling: Any) -> None:
    _save_folder(out, model.stream(count, **sampling))


def _save_folder(out: Path, batches: Iterable[Tensor]) -> None:
    from ganzoo.files import pictures

    out.mkdir(parents=True, exist_ok=True)
    number = 0
    for images in batches:
        for image in pictures.to_uint8(images):
            pictures.save_picture(pictures.to_pillow(image), out / f"{number:06d}.png")
            number += 1


def _write_animation(
    model: Model,
    out: Path,
    count: int,
    *,
    seed: int,
    label: str | None,
    truncation: Truncation | None,
    batch_size: int,
) -> None:
    """Writes an animation through `count` latents, one frame at a time; `batch_size` is not used."""
    from ganzoo.files import pictures

    if count < 2:
        raise UsageError("An animation interpolates between at least two latents: give -n 2 or more.")
    walk = model.interpolate(count, 12, seed, label, truncation=truncation)
    pictures.save_animation([pictures.enlarged(pictures.grid(image, padding=0), 256) for image in walk], out)


def _write_interpolations(
    model: Model,
    out: Path,
    count: int,
    columns: int,
    *,
    seed: int,
    label: str | None,
    truncation: Truncation | None,
    batch_size: int,
) -> None:
    """Writes `count` rows, each between two latents of its own; the classes of a conditional generator alternate."""
    import torch

    from ganzoo.files import pictures

    if columns < 2:
        raise UsageError("Interpolation needs at least two --columns, a start and an end.")
    pictures.check_sheet(count * columns, columns, model.image.image_size)
    pairs = model.latent(2 * count, seed, truncation).split(2)
    labels = model.labels(count, label)
    rows = [
        list(
            model.interpolate(
                pair,
                columns - 1,
                label=None if labels is None else int(labels[row]),
                truncation=truncation,  # of styles; latents are truncated already
                closed=False,
            )
        )
        for row, pair in enumerate(pairs)
    ]
    sheet = torch.cat([image for images in rows for image in images])
    pictures.save_picture(pictures.enlarged(pictures.grid(sheet, columns)), out)
