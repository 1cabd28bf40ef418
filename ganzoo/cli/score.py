"""`ganzoo score`: compares images with images, without a model."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import click

from ganzoo.cli.types import DataName
from ganzoo.errors import UsageError

if TYPE_CHECKING:
    from ganzoo.metrics.paired import ComparedPart
    from ganzoo.registry.registry import Registry

SIGNS = {-1: "lower is better", 1: "higher is better"}


@click.command()
@click.argument("images", type=DataName())
@click.argument("reference", required=False, type=DataName())
@click.option(
    "--model",
    metavar="MODEL",
    help="Score what this model makes of the sources of IMAGES, which are the truth, beside the sources themselves.",
)
@click.option("--source", metavar="DATA", help="With --model: the sources. [default: computed, or beside IMAGES]")
@click.option("--pairs", "side_by_side", is_flag=True, help="With --model: IMAGES hold A and B side by side.")
@click.option("--direction", type=click.Choice(["AtoB", "BtoA"]), help="With --model: which side is the source.")
@click.option("--paired", is_flag=True, help="Compare each image with the one of its name, not the two distributions.")
@click.option(
    "--metric",
    "metrics",
    multiple=True,
    help="Only this metric; repeatable. [default: frechet, kid and precision-recall; "
    "with --paired psnr, ssim, ms-ssim and l1]",
)
@click.option("--extractor", help="Feature extractor of distributions. [default: one that was made for the images]")
@click.option("--image-size", "size", type=click.IntRange(1), help="Size of distributions. [default: that of IMAGES]")
@click.option(
    "--channels",
    type=click.Choice(["1", "3", "4"]),
    callback=lambda context, parameter, value: int(value) if value else None,
    help="Compare in grey (1), colour (3) or with transparency (4, pairs only). [default: as the images are, on white]",
)
@click.option(
    "--luma",
    is_flag=True,
    help="Compare pairs by their Y channel alone (BT.601, as papers of super-resolution do).",
)
@click.option(
    "--border",
    type=click.IntRange(0),
    default=0,
    metavar="N",
    help="Leave out N pixels at each edge of pairs; papers of super-resolution take their scale. [default: 0]",
)
@click.option("--device", help="With --model: where it runs: cpu, cuda, mps or auto. [default: cpu]")
@click.option("--seed", type=click.IntRange(0), default=0, show_default=True, help="Seed of metrics that draw subsets.")
@click.option("--data-root", type=click.Path(path_type=Path), help="Folder with the files of registered data sets.")
@click.option(
    "--json", "as_json", is_flag=True, help="Print the numbers as JSON; with --paired those of every pair too."
)
def score(
    images: str,
    reference: str | None,
    paired: bool,
    as_json: bool,
    model: str | None,
    source: str | None,
    side_by_side: bool,
    direction: Literal["AtoB", "BtoA"] | None,
    **options: Any,
) -> None:
    """Score images against reference images, or a model of images on data whose truth is known.

    With --paired IMAGES and REFERENCE are two folders, or two files, and images of one name are compared. Otherwise
    each is any data that `ganzoo train --data` takes, and the distributions of their features are compared.

    \b
    ganzoo score drawn/ truth/ --paired
    ganzoo score drawn/ truth/ --paired --metric ssim --json
    ganzoo score large/ truth/ --paired --luma --border 4
    ganzoo score samples/ fashion-mnist-test
    ganzoo score horses-made/ horses/ --image-size 128 --metric kid
    ganzoo score photos:test --model ./runs/colour
    ganzoo score truth/ --source lines/ --model ./runs/edges --device cuda
    """
    from ganzoo.cli.common import loaded_registry, show_messages

    registry = loaded_registry()
    show_messages()
    sides: dict[str, Any] = {"source": source, "side_by_side": side_by_side, "direction": direction}
    if model is not None:
        if reference is not None or paired:
            raise UsageError("--model makes the images: give the truth alone, without a second side or --paired.")
        _print_model(model, images, registry, as_json, sides, options)
        return
    if any(sides.values()):
        raise UsageError("--source, --pairs and --direction say where the sources of a --model are: add it.")
    _refuse(options, "it is for --model", "device")
    if reference is None:
        raise UsageError("Give two sides, IMAGES and REFERENCE, or the truth and --model.")
    if paired:
        _print_pairs(images, reference, as_json, options)
        return
    if options["channels"] == 4:
        raise UsageError("--channels 4 compares pairs: add --paired, or leave it out.")
    _refuse(options, "pairs are compared so: add --paired, or leave it out", "luma", "border")
    options = {name: value for name, value in options.items() if name not in ("luma", "border", "device")}
    from ganzoo.metrics.image_sets import score_sets

    root = options.pop("data_root")
    numbers, facts = score_sets(images, reference, registry, root=root, **options)
    if as_json:
        click.echo(json.dumps({**facts, "metrics": _strict(numbers)}, indent=1))
        return
    click.echo(f"{facts['images']} images against {facts['reference']}, {facts['size']} pixels")
    _print_numbers(numbers)


def _refuse(options: dict[str, Any], why: str, *names: str) -> None:
    """UsageError if an option of these names is given that would have no effect."""
    given = ["--image-size" if name == "size" else f"--{name.replace('_', '-')}" for name in names if options[name]]
    if given:
        raise UsageError(f"{', '.join(given)}: {why}.")


def _part(options: dict[str, Any]) -> ComparedPart:
    from ganzoo.metrics.paired import ComparedPart

    return ComparedPart(luma=options["luma"], border=options["border"])


def _print_model(
    source: str, truth: str, registry: Registry, as_json: bool, sides: dict[str, Any], options: dict[str, Any]
) -> None:
    _refuse(options, "a model has its own size and channels", "extractor", "size", "channels")
    from ganzoo.engine.device import choose_device
    from ganzoo.metrics.directions import direction
    from ganzoo.metrics.translations import score_model
    from ganzoo.models.load import load

    own = {"metrics": options["metrics"], "seed": options["seed"], "root": options["data_root"], "part": _part(options)}
    loaded = load(source, device=choose_device(options["device"] or "cpu"))
    found = score_model(loaded, truth, registry, **sides, **own)
    model, baseline = found.model.means, found.source.means
    if as_json:
        plain = {"pairs": len(found.model.names), "metrics": _strict(model), "source": _strict(baseline)}
        click.echo(json.dumps(plain, indent=1))
        return
    click.echo(f"{len(found.model.names)} pairs, mean")
    click.echo(f"{'':10}{'model':<12}{'source':<12}")
    for name, value in model.items():
        sign = SIGNS.get(direction(name), "")
        click.echo(f"{name:10}{value:<12.5g}{baseline[name]:<12.5g}{sign}".rstrip())


def _print_pairs(images: str, reference: str, as_json: bool, options: dict[str, Any]) -> None:
    _refuse(options, "only for distributions; pairs are compared at their own size", "extractor", "size", "data_root")
    from ganzoo.metrics.image_sets import score_pairs

    found = score_pairs(Path(images), Path(reference), options["metrics"], options["channels"], _part(options))
    if as_json:
        rows = [
            {"name": name, **_strict({metric: values[number] for metric, values in found.values.items()})}
            for number, name in enumerate(found.names)
        ]
        click.echo(json.dumps({"pairs": len(rows), "metrics": _strict(found.means), "images": rows}, indent=1))
        return
    click.echo(f"{len(found.names)} pairs, mean")
    _print_numbers(found.means)


def _print_numbers(numbers: dict[str, float]) -> None:
    from ganzoo.metrics.directions import direction

    width = max(map(len, numbers))
    for name, value in numbers.items():
        sign = SIGNS.get(direction(name), "")
        click.echo(f"{name:{width}}  {value:<10.5g}  {sign}".rstrip())


def _strict(numbers: dict[str, float]) -> dict[str, float | str]:
    """Replaces nan and infinity, which JSON does not have, by strings."""
    return {name: value if math.isfinite(value) else str(value) for name, value in numbers.items()}
