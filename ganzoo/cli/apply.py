"""`ganzoo apply`: makes images of other images."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ganzoo.errors import UsageError
from ganzoo.files.output_checks import check_new_file, check_new_folder

if TYPE_CHECKING:
    from PIL.Image import Image

    from ganzoo.data.single_files import ImageFile

PICTURES = (".png", ".jpg", ".jpeg", ".webp")


@click.command()
@click.argument("source", metavar="MODEL")
@click.argument("images", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option(
    "--out",
    required=True,
    type=click.Path(path_type=Path),
    help="The new file (.png, .jpg, .webp) for one image, or the new folder for PNGs of the same names.",
)
@click.option(
    "--tile",
    type=click.IntRange(1),
    help="Work on squares of this many pixels and their surroundings: the same images, less memory.",
)
@click.option("--side-by-side", is_flag=True, help="Write the source beside the output.")
@click.option("--keep-alpha", is_flag=True, help="Give the transparency of a source to its output.")
@click.option("--label", help="The class of this name, or '#3' for the fourth one, of a conditional generator.")
@click.option("--seed", type=click.IntRange(0), default=0, show_default=True, help="Seed of latents, if there are any.")
@click.option(
    "--batch-size", type=click.IntRange(1), default=8, show_default=True, help="Images of one size in a batch."
)
@click.option(
    "--average/--no-average",
    default=True,
    help="Use the EMA weights of a run (the default) or the weights being trained.",
)
@click.option("--device", default="cpu", show_default=True, help="cpu, cuda, mps or auto.")
@click.option("--json", "as_json", is_flag=True, help="Print sources, outputs and sizes as a JSON array.")
@click.option("--force", is_flag=True, help="Overwrite files in --out.")
def apply(
    source: str,
    images: tuple[Path, ...],
    out: Path,
    side_by_side: bool,
    average: bool,
    device: str,
    as_json: bool,
    force: bool,
    **options: Any,
) -> None:
    """Make images of other images with a trained generator.

    MODEL is a run, checkpoint, model folder, tag or owner/name on the Hub whose variant makes its images of a source
    image; `ganzoo sample` is for the others. IMAGES are files and folders, of any sizes.

    \b
    ganzoo apply ./runs/edges photo.jpg --out drawn.png
    ganzoo apply ./runs/edges photos/ more/a.png --out drawn/
    ganzoo apply ./runs/colour scan.tif --tile 512 --side-by-side --out compared.png
    """
    from ganzoo.cli.common import loaded_registry, show_messages

    loaded_registry()
    show_messages()
    from ganzoo.data.single_files import checked_sizes, find_images, read_image

    files = find_images(images)
    names = _names(files, out, force)
    from ganzoo.engine.device import choose_device
    from ganzoo.models.apply import Application
    from ganzoo.models.load import load

    application = Application(load(source, device=choose_device(device), average=average), **options)
    outputs = application.each(checked_sizes(files), lambda number: read_image(files[number]))
    records: dict[int, dict[str, Any]] = {}
    root = out.parent if out.suffix else out
    with _folder(root, new=not out.suffix) as folder:
        for number, given, made in outputs:
            picture = _written(folder / names[number], given, made, side_by_side)
            places = {"source": str(files[number].path), "output": str(root / names[number])}
            records[number] = {**places, "width": picture.width, "height": picture.height}
    if as_json:
        click.echo(json.dumps([records[number] for number in range(len(files))], indent=1))
    click.echo(f"{out}", err=True)


def _written(path: Path, given: Image, made: Image, side_by_side: bool) -> Image:
    """Writes one output, or the picture of source and output, and returns it."""
    from ganzoo.files.pictures import beside, save_picture

    picture = beside(given, made) if side_by_side else made
    if path.suffix.lower() in (".jpg", ".jpeg") and picture.mode not in ("L", "RGB"):
        raise UsageError(f"{path.name}: JPEG has no transparency: write .png or .webp, or leave out --keep-alpha.")
    path.parent.mkdir(parents=True, exist_ok=True)
    save_picture(picture, path)
    return picture


def _names(files: Sequence[ImageFile], out: Path, force: bool) -> list[Path]:
    """Returns the names of the outputs in their folder; UsageError or DataError if they cannot be written."""
    from ganzoo.data.single_files import refuse_clashes

    if out.suffix:
        if out.suffix.lower() not in PICTURES:
            known = ", ".join(PICTURES)
            raise UsageError(f"--out {out}: unknown kind '{out.suffix}'; known: {known}, or a folder (no suffix).")
        if len(files) > 1:
            raise UsageError(f"--out {out}: {len(files)} images need a folder (a name without suffix).")
        check_new_file(out, replace=force)
        return [Path(out.name)]
    if not force or (out.exists() and not out.is_dir()):
        check_new_folder(out, "choose another --out or add --force")
    refuse_clashes(files, lambda file: file.stem, f"would have the same name in {out}")
    return [Path(f"{file.stem}.png") for file in files]


@contextmanager
def _folder(root: Path, *, new: bool) -> Iterator[Path]:
    """Yields the folder to write into: a new one appears whole or not at all, one with content is filled by files."""
    from ganzoo.errors import GanzooError
    from ganzoo.files.atomic import disk_errors, new_folder

    with disk_errors(f"{root} cannot be written", GanzooError):
        if not new or (root.is_dir() and any(root.iterdir())):
            yield root
            return
        root.absolute().parent.mkdir(parents=True, exist_ok=True)
        with new_folder(root.absolute()) as temporary:
            yield temporary
