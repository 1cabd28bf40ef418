"""Refuses, before any image is prepared, a bench whose cells cannot be trained on the data."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from ganzoo.bench.cells import Cell
from ganzoo.data import ArraySource, EncodedSource, ImageData
from ganzoo.data.batches import too_few_line
from ganzoo.data.prepare import count_of
from ganzoo.data.sources import PairedSource
from ganzoo.engine.build import check_augmentation
from ganzoo.errors import PluginError, UsageError
from ganzoo.models.config import check_class_names
from ganzoo.registry.registry import Registry
from ganzoo.variant import SampleSpec


def refuse_untrainable(
    cells: Sequence[Cell],
    named: set[str],
    registry: Registry,
    data: ArraySource | EncodedSource | PairedSource | ImageData,
    spec: Callable[[int], SampleSpec] | None,
) -> None:
    """UsageError if no cell can be trained on the data, or not one of a variant in `named`; others get failed rows.

    The data may be undecoded; `spec` returns the samples to train on, given the number of classes. It is None as long
    as that is unknown.
    """
    different = {cell.name: cell for cell in cells}
    trouble = []
    for cell in different.values():
        try:
            _check_cell(cell, registry, data, spec)
        except UsageError as error:
            if cell.variant in named:
                raise
            trouble.append(error)
        except PluginError:  # the cell's own row will say so
            continue
    if trouble and len(trouble) == len(different):
        raise trouble[0]


def _check_cell(
    cell: Cell,
    registry: Registry,
    data: ArraySource | EncodedSource | PairedSource | ImageData,
    spec: Callable[[int], SampleSpec] | None,
) -> None:
    """UsageError if the data are too few for the cell's batches, or its parts or classes cannot be used."""
    recipe = cell.resolved(registry)
    count = len(data) if isinstance(data, ImageData) else count_of(data)
    if recipe.training.batch_size > count:
        option = f"--set {cell.variant}:training.batch_size="
        raise UsageError(f"{cell.name}: {too_few_line(recipe.training.batch_size, count, data.name, option)}")
    classes = data.classes if recipe.variant.labels == "required" or cell.conditional else ()
    check_class_names(classes)
    if spec is not None:
        check_augmentation(recipe, lambda: spec(len(classes)))
