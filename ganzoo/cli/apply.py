"""`ganzoo apply`: makes images of other images."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ganzoo.cli.bars import Bar, cpu_threads
from ganzoo.cli.types import FiniteRange
from ganzoo.errors import DataError, GanzooError, UsageError
from ganzoo.files.output_checks import check_new_file, check_new_folder, check_writable

if TYPE_CHECKING:
    from PIL.Image import Image

    from ganzoo.data.single_files import DecodedImage, ImageFile
    from ganzoo.models.apply import Application
    from ganzoo.models.model import Model

PICTURES = (".png", ".jpg", ".jpeg", ".webp", ".gif")
ANIMATIONS = (".gif", ".webp", ".png")
LARGEST_SIDES = {".jpg": 65_500, ".jpeg": 65_500, ".webp": 16_383, ".gif": 65_535}  # pixels that formats hold
WINDOW = 2**26  # pixels of outputs that are held at once, but for one image that has more


@click.command()
@click.argument("source", metavar="MODEL")
@click.argument("images", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option(
    "--out",
    required=True,
    type=click.Path(path_type=Path),
    help="The new file (.png, .jpg, .webp; .gif for animations) for one image, or the new folder for files of the same "
    "names: PNG, and animations in their own format.",
)
@click.option(
    "--scale",
    type=FiniteRange(0, min_open=True),
    help="Size of outputs in sizes of their sources: resized by Lanczos after the network. [default: the network's]",
)
@click.option("--with", "other", metavar="MODEL", help="A second model of the same architecture, for --denoise.")
@click.option(
    "--denoise",
    type=FiniteRange(0, 1),
    metavar="X",
    help="Mix the weights of two models: X of MODEL, which removes noise, and 1 - X of --with, which keeps it.",
)
@click.option(
    "--tile",
    type=click.IntRange(1),
    help="Work on squares of this many pixels and their surroundings: the same images, less memory. "
    "[default: chosen for large images]",
)
@click.option(
    "--overlap",
    type=click.IntRange(0),
    help="Pixels around a tile that the network sees too. [default: as many as matter, found by trying]",
)
@click.option("--side-by-side", is_flag=True, help="Write the source beside the output, both with 8 bits.")
@click.option(
    "--keep-alpha", is_flag=True, help="Give the transparency of a source to its output. [default: by super-resolution]"
)
@click.option("--no-alpha", is_flag=True, help="Put transparent sources on white.")
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
@click.option(
    "--precision",
    type=click.Choice(["fp32", "bf16"]),
    default="fp32",
    show_default=True,
    help="bf16 runs the network under bfloat16 autocast: faster where the processor has it, a few grey levels off.",
)
@click.option("--threads", type=click.IntRange(1), help="CPU threads. [default: all]")
@click.option("--json", "as_json", is_flag=True, help="Print sources, outputs, sizes and failures as a JSON array.")
@click.option("--force", is_flag=True, help="Overwrite files in --out.")
@click.option(
    "--skip-existing", is_flag=True, help="Leave out images whose output is there: goes on after an interruption."
)
def apply(
    source: str,
    images: tuple[Path, ...],
    out: Path,
    other: str | None,
    denoise: float | None,
    average: bool,
    device: str,
    threads: int | None,
    as_json: bool,
    force: bool,
    skip_existing: bool,
    side_by_side: bool,
    keep_alpha: bool,
    no_alpha: bool,
    **options: Any,
) -> None:
    """Make images of other images with a trained generator, such as larger ones.

    MODEL is a run, checkpoint, model folder, tag or owner/name on the Hub whose variant makes its images of a source
    image; `ganzoo sample` is for the others. IMAGES are files and folders, of any sizes. Every finished file stays if
    the command is stopped; files that cannot be used are a line each, and the exit code is 1 then.

    \b
    ganzoo apply ./runs/edges photo.jpg --out drawn.png
    ganzoo apply ./runs/edges photos/ more/a.png --out drawn/
    ganzoo apply ./runs/upscale scan.tif --scale 3 --out large.png
    ganzoo apply ./runs/upscale frames/ --out large/ --skip-existing
    """
    if keep_alpha and no_alpha:
        raise UsageError("--keep-alpha and --no-alpha exclude each other: leave one out.")
    options["keep_alpha"] = True if keep_alpha else False if no_alpha else None
    from ganzoo.cli.common import loaded_registry, show_messages

    loaded_registry()
    with _Bar() as bar:
        show_messages(write=bar.write)
        from ganzoo.data.single_files import find_images

        files = find_images(images)
        names = _names(images, files, out, force, skip_existing)
        root = out.parent if out.suffix else out
        if (other is None) != (denoise is None):
            raise UsageError("--denoise mixes two models: give both --denoise and --with.")
        if denoise is not None and not 0 <= denoise <= 1:
            raise UsageError(f"--denoise is a share from 0 to 1, not {denoise}.")
        from ganzoo.models.apply import Application

        with cpu_threads(threads):
            model = _model(source, other, denoise, device, average)
            application = Application(model, on_tile=bar.tile, **options)
            work = _Work(application, files, [root / name for name in names], bar, side_by_side, skip_existing)
            try:
                work.run()
            finally:
                work.say_if_unfinished()
                if as_json:
                    click.echo(json.dumps([work.records[number] for number in sorted(work.records)], indent=1))
    work.raise_failures(out)
    click.echo(f"{out}", err=True)


def _model(source: str, other: str | None, denoise: float | None, device: str, average: bool) -> Model:
    """Loads the model, or the mixture of two."""
    from ganzoo.engine.device import choose_device
    from ganzoo.models.load import load

    model = load(source, device=choose_device(device), average=average)
    if other is None or denoise is None:
        return model
    from ganzoo.models.mix import mix

    return mix(model, load(other, device=choose_device(device), average=average), 1 - denoise, (source, other))


class _Work:
    """Applies a model to files one after another and writes each output as soon as it is finished.

    `records` are those of `--json` by the number of the file; a failure has "error" in place of "output".
    """

    def __init__(
        self,
        application: Application,
        files: Sequence[ImageFile],
        outputs: Sequence[Path],
        bar: _Bar,
        side_by_side: bool,
        skip_existing: bool,
    ):
        self.application, self.files, self.outputs, self.bar = application, files, outputs, bar
        self.side_by_side, self.skip_existing = side_by_side, skip_existing
        self.records: dict[int, dict[str, Any]] = {}
        self._latent = application.model.latent(len(files), application.seed)

    def run(self) -> None:
        """Works through all files; those of one size that follow each other go through the network together."""
        self.bar.start(len(self.files))
        waiting: dict[int, DecodedImage] = {}
        for number, file in enumerate(self.files):
            if self.skip_existing and os.path.lexists(self.outputs[number]):
                self._finish(number, {"output": str(self.outputs[number]), "skipped": True})
                continue
            with self._failures(number):
                waiting[number] = self._decoded(file, self.outputs[number])
            if number in waiting and (animation := waiting[number].animation) is not None:
                given = waiting.pop(number)
                with self._failures(number):
                    self._animate(number, given, animation)
            if len(waiting) >= self.application.batch_size or self._pixels(waiting) > WINDOW:
                self._write(waiting)
                waiting = {}
        self._write(waiting)

    def _decoded(self, file: ImageFile, output: Path) -> DecodedImage:
        """Decodes a file; UsageError if the format of its output cannot hold what it has."""
        from ganzoo.data.decode import BadImage
        from ganzoo.data.single_files import decode_image
        from ganzoo.models.rasters import has_alpha, size_of

        try:
            given = decode_image(file)
        except BadImage as error:
            raise DataError(f"not usable as an image: {error}") from None
        suffix = output.suffix.lower()
        if given.animation is not None and suffix not in ANIMATIONS:
            raise UsageError(f"{suffix} holds no animation: write {', '.join(ANIMATIONS)}")
        if given.animation is None and suffix == ".gif":
            raise UsageError("GIF is for animations, and has 256 colours: write .png")
        if suffix in (".jpg", ".jpeg") and self.application.keep_alpha and has_alpha(given.pixels):
            raise UsageError("JPEG has no transparency: write .png or .webp, or add --no-alpha")
        height, width = self.application.final_size(size_of(given.pixels))
        if max(height, width) > (most := LARGEST_SIDES.get(suffix, max(height, width))):
            raise UsageError(f"{width} x {height} pixels are too many for {suffix}, which holds {most}: write .png")
        return given

    def _pixels(self, waiting: dict[int, DecodedImage]) -> int:
        from ganzoo.models.rasters import size_of

        sizes = [self.application.final_size(size_of(given.pixels)) for given in waiting.values()]
        return sum(height * width for height, width in sizes)

    def _write(self, waiting: dict[int, DecodedImage]) -> None:
        """Makes and writes the outputs of still images, all at once, or one by one if that fails."""
        from ganzoo.models.rasters import size_of

        sizes = dict.fromkeys(size_of(given.pixels) for given in waiting.values())
        for size in sizes:
            group = {number: given for number, given in waiting.items() if size_of(given.pixels) == size}
            try:
                made = self._made(group)
            except UsageError:
                made = None
            for number, given in group.items():
                with self._failures(number):
                    self._save(number, given, made[number] if made else self._made({number: given})[number])

    def _made(self, group: dict[int, DecodedImage]) -> dict[int, Any]:
        made = self.application.outputs([given.pixels for given in group.values()], self._latent[list(group)])
        return dict(zip(group, made, strict=True))

    def _save(self, number: int, given: DecodedImage, made: Any) -> None:
        from ganzoo.files.pictures import beside
        from ganzoo.models.picture_files import save_raster
        from ganzoo.models.rasters import as_picture, size_of

        if self.side_by_side:
            made = beside(as_picture(given.pixels), as_picture(made))
        with _new_file(self.outputs[number]) as path:
            save_raster(made, path, icc_profile=given.icc_profile, exif=given.exif)
        height, width = size_of(made)
        self._finish(number, {"output": str(path), "width": width, "height": height})

    def _animate(self, number: int, given: DecodedImage, animation: Any) -> None:
        """Makes and writes an animation frame by frame; every frame has the latent of the file."""
        from ganzoo.models.picture_files import save_frames
        from ganzoo.models.rasters import as_picture

        latent = self._latent[number : number + 1]

        def frames() -> Iterator[Image]:
            from ganzoo.files.pictures import beside

            for frame in animation.frames():
                made = as_picture(self.application.outputs([frame], latent)[0])
                yield beside(frame, made) if self.side_by_side else made

        transparent = animation.transparent and self.application.keep_alpha and not self.side_by_side
        with _new_file(self.outputs[number]) as path:
            first = save_frames(
                frames(),
                path,
                animation.durations,
                animation.loop,
                transparent=transparent,
                icc_profile=given.icc_profile,
            )
        facts = {"width": first.width, "height": first.height, "frames": len(animation.durations)}
        self._finish(number, {"output": str(path), **facts})

    @contextmanager
    def _failures(self, number: int) -> Iterator[None]:
        """Prints the error of one file and goes on, unless it is the only file or the disk that fails."""
        from ganzoo.data.decode import BadImage
        from ganzoo.files.text import one_line, quoted

        path = self.files[number].path
        try:
            yield
        except (UsageError, DataError, BadImage) as error:
            text = one_line(error).rstrip(".")
            if len(self.files) == 1:
                self._finish(number, {"error": text})
                kind = UsageError if isinstance(error, UsageError) else DataError
                raise kind(f"{quoted(path)}: {text}.") from None
            self.bar.write(f"Error: {quoted(path)}: {text}.")
            self._finish(number, {"error": text})

    def _finish(self, number: int, facts: dict[str, Any]) -> None:
        self.records[number] = {"source": str(self.files[number].path), **facts}
        self.bar.advance()

    def say_if_unfinished(self) -> None:
        """Says how far the work came, if it ends before all files are done."""
        written = sum("output" in record for record in self.records.values())
        if len(self.records) < len(self.files) and written:
            self.bar.write(f"{written} of {len(self.files)} images are written: --skip-existing does the others.")

    def raise_failures(self, out: Path) -> None:
        """DataError that names the files that failed, after the others are written."""
        from ganzoo.data.single_files import listed
        from ganzoo.files.text import quoted

        failed = [self.files[number].path for number in sorted(self.records) if "error" in self.records[number]]
        if failed:
            rest = len(self.files) - len(failed)
            others = f"The other {rest} are in {out}." if rest else "Nothing is written."
            raise DataError(
                f"{len(failed)} of {len(self.files)} images failed: {listed(map(quoted, failed))}. {others}"
            )


class _Bar(Bar):
    """A bar that counts images and the tiles of the present one."""

    def start(self, total: int) -> None:
        self.begin("{percentage:3.0f}% |{bar:20}| {n_fmt}/{total_fmt} images  {remaining} left{postfix}", total)

    def advance(self) -> None:
        self._bar.set_postfix_str("", refresh=False)
        self._bar.update(1)

    def tile(self, number: int, count: int) -> None:
        if count > 1:
            self._bar.set_postfix_str(f"tile {number} of {count}")


def _names(
    images: Sequence[Path], files: Sequence[ImageFile], out: Path, force: bool, skip_existing: bool
) -> list[Path]:
    """Returns the names of the outputs in their folder; UsageError or DataError if they cannot be written."""
    from ganzoo.data.single_files import is_animated, refuse_clashes

    if out.suffix:
        if out.suffix.lower() not in PICTURES:
            known = ", ".join(PICTURES)
            raise UsageError(f"--out {out}: unknown kind '{out.suffix}'; known: {known}, or a folder (no suffix).")
        if len(files) > 1:
            raise UsageError(f"--out {out}: {len(files)} images need a folder (a name without suffix).")
        check_new_file(out, replace=force or skip_existing)
        return [Path(out.name)]
    given = [parent for parent in map(os.path.realpath, images) if os.path.isdir(parent)]
    if within := [folder for folder in given if os.path.realpath(out).startswith(folder.rstrip(os.sep) + os.sep)]:
        raise UsageError(
            f"--out {out} lies within {within[0]}: a second run would take outputs as images. Choose another."
        )
    if not (force or skip_existing) or (out.exists() and not out.is_dir()):
        check_new_folder(out, "choose another --out, add --force, or go on with --skip-existing")
    refuse_clashes(
        files,
        lambda file: file.stem,
        f"would have the same name in {out}",
        "Rename one, or apply the model to them one by one, each with its own --out",
    )
    check_writable(out)
    suffixes = {".gif": ".gif", ".webp": ".webp"}

    def name(file: ImageFile) -> Path:
        own = suffixes.get(Path(file.name).suffix.lower())
        return Path(f"{file.stem}{own if own and is_animated(file) else '.png'}")

    return [name(file) for file in files]


@contextmanager
def _new_file(path: Path) -> Iterator[Path]:
    """Makes the folder of a file that is then written atomically; GanzooError if the disk refuses."""
    from ganzoo.files.atomic import disk_errors

    with disk_errors(f"{path} cannot be written", GanzooError):
        path.parent.mkdir(parents=True, exist_ok=True)
        yield path
