"""`ganzoo invert`: finds the latents whose images are nearest to given ones."""

from __future__ import annotations

import json
import math
import os
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ganzoo.cli.bars import Bar, cpu_threads
from ganzoo.cli.types import DataName, FiniteRange
from ganzoo.errors import DataError, GanzooError, InterruptedRun, UsageError
from ganzoo.files.output_checks import check_new_folder, check_writable, in_the_way
from ganzoo.files.text import printable

if TYPE_CHECKING:
    from torch import Tensor

    from ganzoo.models.inversion import Inversion
    from ganzoo.models.model import Model
    from ganzoo.registry.registry import Registry
    from ganzoo.runs.signals import GracefulShutdown

REPORT, LATENTS, PICTURE, TUNED = "report.json", "latents.safetensors", "inversion.png", "tuned"
SHOWN = 24  # rows of the picture
TRUNCATION = 0.7  # of styles in the picture
SHEET = 2**26  # its largest number of pixels: of large images fewer rows are shown
NAMED = 40  # images with a line of their own
FORMAT = 1
FILES = (".png", ".jpg", ".jpeg", ".gif", ".webp", ".npz", ".json", ".safetensors")


@click.command()
@click.argument("source", metavar="MODEL")
@click.argument("images", nargs=-1, type=click.Path(path_type=Path))
@click.option("--out", required=True, type=click.Path(path_type=Path), help="The new folder.")
@click.option(
    "--data", type=DataName(), metavar="DATA", help="Instead of IMAGES: data that `ganzoo train --data` takes."
)
@click.option("-n", "count", type=click.IntRange(1), help="With --data: its first images.  [default: 8]")
@click.option(
    "--space",
    type=click.Choice(["z", "w", "w+"]),
    help="z, or of generators with styles w (one style) or w+ (one for each layer).  [default: w if there are styles]",
)
@click.option(
    "--noise/--no-noise", default=None, help="Search the noise of styled layers too. [default: if there is any]"
)
@click.option("--label", help="The class of all images, by name, or '#3' for the fourth one. [default: the nearest]")
@click.option("--steps", type=click.IntRange(0), default=500, show_default=True, help="Steps of the search.")
@click.option("--starts", type=click.IntRange(1), help="Searches of each image, the best counts. [default: z 4, w 1]")
@click.option(
    "--draws", type=click.IntRange(1), help="Drawn latents, of which the nearest are the starts. [default: z 1000, w 0]"
)
@click.option("--rate", type=FiniteRange(0, min_open=True), help="Learning rate. [default: z 0.2, w 0.1]")
@click.option("--bounded/--unbounded", default=True, help="Keep latents z where the prior draws them, or not.")
@click.option(
    "--perceptual",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Compare features of VGG-19 or LPIPS, too, a file of `ganzoo convert --asset`. [default: pixels alone]",
)
@click.option(
    "--tune",
    type=click.IntRange(1),
    metavar="STEPS",
    help="Then fine-tune the generator around what was found (pivotal tuning), and write it as OUT/tuned.",
)
@click.option("--edits", type=click.IntRange(0), default=2, show_default=True, help="Directions shown in the picture.")
@click.option("--seed", type=click.IntRange(0), default=0, show_default=True, help="The same seed finds the same.")
@click.option("--batch-size", type=click.IntRange(1), default=32, show_default=True, help="Searches at once.")
@click.option(
    "--average/--no-average",
    default=True,
    help="Use the EMA weights of a run (the default) or the weights being trained.",
)
@click.option("--device", default="cpu", show_default=True, help="cpu, cuda, mps or auto.")
@click.option("--threads", type=click.IntRange(1), help="CPU threads. [default: all]")
@click.option("--data-root", type=click.Path(path_type=Path), help="Folder with the files of registered data sets.")
@click.option("--json", "as_json", is_flag=True, help="Print report.json.")
@click.option("--force", is_flag=True, help="Replace --out if it holds an earlier inversion.")
def invert(
    source: str,
    images: tuple[Path, ...],
    out: Path,
    data: str | None,
    count: int | None,
    tune: int | None,
    edits: int,
    average: bool,
    device: str,
    threads: int | None,
    data_root: Path | None,
    as_json: bool,
    force: bool,
    **options: Any,
) -> None:
    """Find the latents whose images are nearest to given images.

    MODEL is a run, checkpoint, model folder, tag or owner/name on the Hub that makes its images of latents. IMAGES are
    files and folders, cropped and resized as training data is. OUT gets report.json, latents.safetensors, which
    `ganzoo sample` and `ganzoo explore` take as --latents, and inversion.png: each image, its projection, and what
    the strongest directions make of it.

    \b
    ganzoo invert dcgan.fashion-mnist --data fashion-mnist-test -n 8 --out found
    ganzoo invert ./runs/faces me.jpg you.jpg --space w+ --perceptual vgg19.safetensors --out faces
    ganzoo invert ./runs/faces me.jpg --tune 350 --out tuned
    ganzoo explore ./runs/faces --latents faces/latents.safetensors --out moved.png
    ganzoo sample ./runs/faces --latents faces/latents.safetensors --out between.gif
    """
    if images and data is not None:
        raise UsageError("Give IMAGES, or --data with the data that they are in, not both.")
    if not images and data is None:
        raise UsageError("Give IMAGES, or --data with the data that they are in.")
    if count is not None and data is None:
        raise UsageError("-n is the number of images of --data: leave it out with IMAGES.")
    _check_out(out, force)
    from ganzoo.cli.common import loaded_registry, show_messages

    registry = loaded_registry()
    with _Bar() as bar, cpu_threads(threads):
        show_messages(write=bar.write)
        from ganzoo.engine.device import choose_device
        from ganzoo.models.inversion import invert
        from ganzoo.models.load import load
        from ganzoo.models.tuning import tune as tuned_of
        from ganzoo.runs.signals import GracefulShutdown

        model = load(source, device=choose_device(device), average=average)
        model.refuse_sources()
        if model.image.output.kind != "image":
            kind = model.image.output.kind
            raise UsageError(
                f"invert takes images, and the samples of '{model.variant}' are {kind}: use ganzoo.invert."
            )
        names, targets = _of_data(model, data, count or 8, registry, data_root) if data else _of_files(model, images)
        began = time.monotonic()
        with GracefulShutdown() as signals:
            bar.start("search", len(names))
            found = invert(model, targets, on_step=bar.step, stop=lambda: bool(signals.number), **options)
            tuned = None
            if tune and not signals.number:
                bar.start("tuning", len(names))
                settings = {"steps": tune, "perceptual": options["perceptual"], "seed": options["seed"]}
                with suppress(_Stopped):
                    tuned = tuned_of(model, found, on_step=bar.until(signals), name=_shown(source), **settings)
            bar.close()
            report = _report(model, source, names, found, tuned, options | {"tune": tune}, time.monotonic() - began)
            if signals.number:
                report["stopped"] = signals.name
            _write(out, model, found, tuned, report, edits, force)
    if as_json:
        click.echo(json.dumps(report, indent=1))
    else:
        _print(report)
    click.echo(f"{out}", err=True)
    if signals.number:
        part = "what was found, but no tuned model" if tune and tuned is None else "what was found"
        raise InterruptedRun(f"Stopped by {signals.name}; {out} holds {part}.", signals.number)


def _check_out(out: Path, force: bool) -> None:
    """UsageError if the folder has content, unless it is an earlier inversion that may be replaced."""
    if out.suffix.lower() in FILES:
        raise UsageError(f"--out {out}: invert writes a folder, whose name has no {out.suffix}.")
    check_writable(out)
    remedy = "choose another --out" + ("" if force else ", or add --force to replace an earlier inversion")
    if not (force and out.is_dir() and not out.is_symlink()):
        check_new_folder(out, remedy)
        return
    known = {REPORT, LATENTS, PICTURE, TUNED}
    names = {entry.name for entry in out.iterdir()}
    if names and not (REPORT in names and names <= known):
        others = ", ".join(sorted(names - known)[:3]) or "no report.json"
        raise in_the_way(out, f"it is no folder of `ganzoo invert` ({others}), choose another --out")


def _of_files(model: Model, images: Sequence[Path]) -> tuple[list[str], Tensor]:
    """Returns the paths of image files and their samples; DataError names those that cannot be used."""
    import torch

    from ganzoo.data.decode import BadImage, middle_part
    from ganzoo.data.single_files import find_images, listed, read_image
    from ganzoo.files.text import quoted
    from ganzoo.models.inversion import as_targets
    from ganzoo.models.rasters import has_alpha

    files, targets, bad = find_images(images), [], []
    cropped, transparent = 0, 0
    channels, height, width = model.image.output.shape
    for file in files:
        try:
            picture = read_image(file)
        except BadImage as error:
            bad.append(f"{quoted(file.path)} ({error})")
            continue
        left, top, right, bottom = middle_part(picture.size, height, width)
        cropped += (right - left) * (bottom - top) < 0.99 * picture.width * picture.height
        transparent += has_alpha(picture) and channels != 4
        targets.append(as_targets(model, picture))
    if bad:
        raise DataError(f"{len(bad)} of {len(files)} images cannot be used: {listed(bad)}. Mend or leave them out.")
    said = {"cropped to the middle": cropped, "put on white": transparent}
    _say_of(len(files), f"{height} x {width} pixels", {key: number for key, number in said.items() if number})
    return [str(file.path) for file in files], torch.cat(targets)


def _say_of(count: int, size: str, said: dict[str, int]) -> None:
    import logging

    if said:
        parts = " and ".join(f"{number} {key}" for key, number in said.items())
        verb = "becomes" if count == 1 else "become"
        logging.getLogger("ganzoo").info(f"{_counted(count)} {verb} {size}: {parts}, as training data is")


def _of_data(model: Model, data: str, count: int, registry: Registry, root: Path | None) -> tuple[list[str], Tensor]:
    """Returns names and samples of the first images of data; UsageError if there are fewer."""
    from ganzoo.data.load import load_images

    channels, height, width = model.image.output.shape
    options: dict[str, Any] = {"datasets": registry.table("datasets"), "root": root}
    found = load_images(data, size=(height, width), channels=channels, **options)
    if len(found) < count:
        raise UsageError(f"-n {count}: {data} has {len(found)} images.")
    samples = found.images[:count].permute(0, 3, 1, 2).float().div(127.5).sub(1)
    return [f"{data} {number}" for number in range(count)], samples


def _report(
    model: Model,
    source: str,
    names: list[str],
    found: Inversion,
    tuned: Model | None,
    options: dict[str, Any],
    seconds: float,
) -> dict[str, Any]:
    """Returns the content of report.json: the model, how was searched, and a row for each image."""
    from ganzoo.metrics.paired import PAIRED
    from ganzoo.models.inversion import psnr
    from ganzoo.models.latents import images_of

    metrics = {"psnr": found.psnr}
    if min(model.image.output.shape[1:]) >= PAIRED["ssim"].least:
        metrics["ssim"] = PAIRED["ssim"](found.images.clamp(-1, 1), found.targets)
    if tuned is not None:
        metrics["psnr_tuned"] = psnr(images_of(tuned, found.latents), found.targets)
    weights = model.config.weights
    rows = []
    for number, name in enumerate(names):
        row: dict[str, Any] = {"image": name}
        if found.latents.labels is not None:
            row["label"] = model.class_names[int(found.latents.labels[number])]
        row |= {"start": float(found.start[number]), "distance": float(found.distance[number])}
        row |= {key: _strict(float(values[number])) for key, values in metrics.items()}
        rows.append(row)
    search = {name: value for name, value in asdict(found.search).items() if name != "noise"}
    search |= {"candidates": found.candidates} | {key: options[key] for key in ("bounded", "label", "tune")}
    return {
        "format": FORMAT,
        "model": source,
        "variant": model.variant,
        "sha256": None if weights is None else weights.sha256,
        "space": found.space,
        "noise": bool(found.latents.noise),
        "distance": found.distance_name,
        **search,
        "seconds": round(seconds, 1),
        "mean": {key: _strict(float(values.mean())) for key, values in metrics.items()},
        "images": rows,
    }


def _strict(value: float) -> float | str:
    """Replaces nan and infinity, which JSON does not have, by strings."""
    return value if math.isfinite(value) else str(value)


def _print(report: dict[str, Any]) -> None:
    rows = report["images"]
    width = max(len(os.path.basename(row["image"])) for row in rows[:NAMED])
    for row in rows[:NAMED]:
        numbers = [f"PSNR {_short(row['psnr'])} dB"]
        numbers += [f"tuned {_short(row['psnr_tuned'])} dB"] if "psnr_tuned" in row else []
        numbers += [f"class {row['label']}"] if "label" in row else []
        click.echo(f"{printable(os.path.basename(row['image'])):{width}}  {', '.join(numbers)}")
    if len(rows) > NAMED:
        click.echo(f"... and {len(rows) - NAMED} more")
    mean = ", ".join(f"{name.replace('_', ' ')} {_short(value)}" for name, value in report["mean"].items())
    click.echo(f"{_counted(len(rows))} in {report['space']}, {report['seconds']:g} s; mean {mean}")


def _counted(images: int) -> str:
    return "1 image" if images == 1 else f"{images} images"


def _short(value: float | str) -> str:
    return value if isinstance(value, str) else f"{value:.4g}"


def _write(
    out: Path, model: Model, found: Inversion, tuned: Model | None, report: dict[str, Any], edits: int, force: bool
) -> None:
    """Writes the folder, whole or not at all; an earlier one is replaced at the end."""
    from ganzoo.files.atomic import disk_errors, move_aside, new_folder, remove, write_file
    from ganzoo.files.pictures import save_picture
    from ganzoo.models.config import ModelConfig

    picture = _picture(model, found, tuned, edits)
    with disk_errors(f"{out} cannot be written", GanzooError):
        out.absolute().parent.mkdir(parents=True, exist_ok=True)
        former = None
        try:
            with new_folder(out.absolute()) as temporary:
                write_file(temporary / LATENTS, found.latents.as_bytes())
                save_picture(picture, temporary / PICTURE)
                if tuned is not None:
                    tuned.save(temporary / TUNED)
                    config: ModelConfig = tuned.config
                    report["tuned"] = {"sha256": config.weights.sha256 if config.weights else None}
                write_file(temporary / REPORT, json.dumps(report, indent=1) + "\n")
                if force and out.is_dir() and any(out.iterdir()):
                    former = move_aside(out.absolute(), "trash")
        except BaseException:
            if former is not None and not out.exists():
                os.rename(former, out)
            raise
        if former is not None:
            remove(former)


def _picture(model: Model, found: Inversion, tuned: Model | None, edits: int) -> Any:
    """Returns a sheet with a row for each image: the target, its projection, of the tuned model too, and edits."""
    import torch

    from ganzoo.files import pictures
    from ganzoo.models.latents import images_of

    pixels = math.prod(model.image.output.shape[1:]) * (4 + 2 * edits)
    count = max(1, min(len(found.targets), SHOWN, SHEET // pixels))
    shown = found.latents[:count]
    captions, columns = ["target", "projection"], [found.targets[:count], found.images[:count]]
    if tuned is not None:
        captions.append("tuned")
        columns.append(images_of(tuned, shown))
    for caption, pair in _edits(tuned or model, shown, edits):
        captions.append(caption)
        columns += pair
    sheet = torch.stack(columns, 1).flatten(0, 1)
    return pictures.captioned([(" | ".join(captions), pictures.grid(sheet, len(columns)))])


def _edits(model: Model, latents: Any, count: int) -> list[tuple[str, list[Tensor]]]:
    """Returns the captions and images of the strongest directions, one standard deviation down and up.

    Styles are also shown truncated.
    """
    import logging

    from ganzoo.models.explore import explore, sample_rows
    from ganzoo.models.latents import images_of, truncated_latents

    if not count:
        return []
    try:
        rows = explore(model, directions=count, steps=2, reach=1.0, latents=latents)
    except UsageError as error:
        logging.getLogger("ganzoo").info(f"the picture shows no edits: {error}")
        return []
    made = sample_rows(model, rows)
    found = [(f"{row.name}: -1, +1", list(images.unbind(1))) for row, images in zip(rows, made, strict=True)]
    if latents.styled:
        found.append((f"truncation {TRUNCATION}", [images_of(model, truncated_latents(model, latents, TRUNCATION))]))
    return found


def _shown(source: str) -> str:
    """Returns a tag or repository as it is, and of a folder its name: a path says more about a machine than a model."""
    return os.path.basename(os.path.abspath(source)) if os.path.exists(source) else source


class _Bar(Bar):
    """A bar that counts steps."""

    def start(self, what: str, images: int) -> None:
        self.begin(f"{what} of {images} images  {{percentage:3.0f}}% |{{bar:20}}|  {{remaining}} left")

    def step(self, done: int, total: int) -> None:
        self._bar.total = total
        self._bar.update(done - self._bar.n)

    def until(self, signals: GracefulShutdown) -> Callable[[int, int], None]:
        """Returns a `step` that raises `_Stopped` after a signal."""

        def step(done: int, total: int) -> None:
            self.step(done, total)
            if signals.number:
                raise _Stopped

        return step


class _Stopped(Exception):
    """A signal ends a tuning, of which nothing is kept."""
