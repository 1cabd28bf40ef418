"""`ganzoo score`: compares images with images, without a model."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import click

from ganzoo.cli.types import DataName
from ganzoo.errors import UsageError

SIGNS = {-1: "lower is better", 1: "higher is better"}


@click.command()
@click.argument("images", type=DataName())
@click.argument("reference", type=DataName())
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
@click.option("--seed", type=click.IntRange(0), default=0, show_default=True, help="Seed of metrics that draw subsets.")
@click.option("--data-root", type=click.Path(path_type=Path), help="Folder with the files of registered data sets.")
@click.option(
    "--json", "as_json", is_flag=True, help="Print the numbers as JSON; with --paired those of every pair too."
)
def score(images: str, reference: str, paired: bool, as_json: bool, **options: Any) -> None:
    """Score images against reference images.

    With --paired IMAGES and REFERENCE are two folders, or two files, and images of one name are compared. Otherwise
    each is any data that `ganzoo train --data` takes, and the distributions of their features are compared.

    \b
    ganzoo score drawn/ truth/ --paired
    ganzoo score drawn/ truth/ --paired --metric ssim --json
    ganzoo score samples/ fashion-mnist-test
    ganzoo score horses-made/ horses/ --image-size 128 --metric kid
    """
    from ganzoo.cli.common import loaded_registry, show_messages

    registry = loaded_registry()
    show_messages()
    if paired:
        _print_pairs(images, reference, as_json, options)
        return
    if options["channels"] == 4:
        raise UsageError("--channels 4 compares pairs: add --paired, or leave it out.")
    from ganzoo.metrics.image_sets import score_sets

    root = options.pop("data_root")
    numbers, facts = score_sets(images, reference, registry, root=root, **options)
    if as_json:
        click.echo(json.dumps({**facts, "metrics": _strict(numbers)}, indent=1))
        return
    click.echo(f"{facts['images']} images against {facts['reference']}, {facts['size']} pixels")
    _print_numbers(numbers)


def _print_pairs(images: str, reference: str, as_json: bool, options: dict[str, Any]) -> None:
    if unused := [f"--{name.replace('_', '-')}" for name in ("extractor", "size", "data_root") if options[name]]:
        names = ", ".join("--image-size" if name == "--size" else name for name in unused)
        raise UsageError(f"{names}: only for distributions; pairs are compared at their own size.")
    from ganzoo.metrics.image_sets import score_pairs

    found = score_pairs(Path(images), Path(reference), options["metrics"], options["channels"])
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
