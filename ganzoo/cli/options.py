"""Click options that `ganzoo train` and `ganzoo bench` share, each declared once."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ganzoo.cli.types import DataName, ImageSize, MixinName, SourceName
from ganzoo.errors import UsageError

if TYPE_CHECKING:
    from ganzoo.config.options import TrainOptions

Command = Callable[..., Any]


def as_number(context: click.Context, parameter: click.Parameter, value: str | None) -> int | None:
    """Turns a choice of numbers into one."""
    return int(value) if value else None


SOURCE_OPTIONS = (
    click.option(
        "--source",
        type=SourceName(),
        help="What the generator turns into --data: a folder of partners by name, a data set, or a condition that "
        "computes it (`ganzoo list --parts conditions`). [default: the variant's own condition]",
    ),
    click.option(
        "--pairs",
        type=click.Path(),
        help="Instead of --data and --source: a folder of pictures that hold A and B side by side.",
    ),
    click.option(
        "--direction",
        type=click.Choice(["AtoB", "BtoA"]),
        help="Which side of --pairs, or of folders trainA and trainB, is the source. [default: AtoB]",
    ),
    click.option(
        "--unpaired/--paired",
        default=None,
        help="Whether --source is a set of its own. [default: as the variant learns]",
    ),
    click.option("--source-size", type=ImageSize(), help="Size of the sources, if it is smaller. [default: the same]"),
    click.option(
        "--source-channels",
        type=click.Choice(["1", "3", "4"]),
        callback=as_number,
        help="Channels of the sources. [default: as they are]",
    ),
)
OPTIONS = (
    click.option(
        "--data",
        type=DataName(),
        help="Images to train on: a registered data set, a folder, zip, tar, .npz, idx or Parquet file, "
        "or hf://datasets/owner/name.",
    ),
    click.option(
        "--split",
        metavar="NAME",
        help="Split of --data, as in --data DATA:NAME. [default: train, where there are splits]",
    ),
    click.option("--data-root", type=click.Path(path_type=Path), help="Folder with the files of registered data sets."),
    click.option(
        "--image-size",
        type=ImageSize(),
        help="Image size in pixels, or HEIGHTxWIDTH. [default: the variant's own, or the first that all variants have]",
    ),
    click.option(
        "--channels",
        type=click.Choice(["1", "3", "4"]),
        callback=as_number,
        help="1 grey, 3 colour, 4 colour with transparency. [default: as the images are, on white]",
    ),
    click.option(
        "--conditional/--unconditional",
        default=None,
        help="Train class-conditionally. [default: only if the variant needs labels]",
    ),
    click.option("--steps", type=click.IntRange(1), help="Training steps. [default of `ganzoo train`: the paper's]"),
    click.option(
        "--images",
        type=click.IntRange(1, 10**9),
        help="Instead of --steps: the number of real images that the discriminator sees.",
    ),
    click.option(
        "--set",
        "settings",
        multiple=True,
        metavar="PATH=VALUE",
        help="Change an option that `ganzoo show` lists; repeatable. `ganzoo bench` also takes VARIANT:PATH=VALUE.",
    ),
    click.option(
        "--with",
        "mixins",
        multiple=True,
        type=MixinName(),
        metavar="NAME",
        help="Add a regularizer or an augmentation; repeatable.",
    ),
    click.option(
        "--precision",
        type=click.Choice(["fp32", "bf16"]),
        help="bf16 runs networks under bfloat16 autocast; penalties stay float32. [default: fp32]",
    ),
)


def training_options(*, device: str, threads: int | None) -> Callable[[Command], Command]:
    """Adds the options of `TrainOptions` to a command, with its defaults of --device and --threads."""
    own = (
        click.option(
            "--device",
            default=device,
            show_default=True,
            help="cpu, cuda, cuda:N, mps, or auto (the best, or that of a resumed run).",
        ),
        click.option(
            "--threads",
            type=click.IntRange(1),
            default=threads,
            show_default=threads is not None,
            help="CPU threads; results repeat bit for bit only for the same number."
            + (" [default: all]" if threads is None else ""),
        ),
    )

    def add(command: Command) -> Command:
        for option in reversed((*OPTIONS, *own)):
            command = option(command)
        return command

    return add


def source_options(command: Command) -> Command:
    """Adds the options of inputs, which `ganzoo train` takes, to a command."""
    for option in reversed(SOURCE_OPTIONS):
        command = option(command)
    return command


def train_options(asked: dict[str, Any], conditions: Sequence[str] = ()) -> TrainOptions:
    """Removes the options of `TrainOptions` from `asked` and returns them.

    `--pairs` becomes the data; `--split` becomes a part of the data and of a source that is none of the `conditions`.
    """
    from ganzoo.config.options import TrainOptions

    split, pairs = asked.pop("split"), asked.pop("pairs", None)
    options = taken_by(TrainOptions, asked)
    if pairs is not None:
        if options["data"] is not None:
            raise UsageError("--pairs holds both sides: leave out --data.")
        options |= {"data": pairs, "side_by_side": True}
    if split is not None:
        from ganzoo.data.resolve import with_split

        if options["data"] is None:
            raise UsageError("--split chooses a split of --data: give --data too.")
        options["data"] = with_split(options["data"], split)
        if options.get("source") not in (None, *conditions):
            options["source"] = with_split(options["source"], split)
    return TrainOptions(**options)


def taken_by(kind: Any, values: dict[str, Any]) -> dict[str, Any]:
    """Removes the values that are fields of a dataclass from `values` and returns them."""
    return {field.name: values.pop(field.name) for field in fields(kind) if field.name in values}
