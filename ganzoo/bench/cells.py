"""Describes the work of a bench as plain data: one job, and a cell for every variant, data set and seed."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from fnmatch import fnmatch
from itertools import product
from pathlib import Path
from typing import Any, Literal

from ganzoo.bench.sources import Sources
from ganzoo.config.mixins import mixed_in
from ganzoo.config.recipe import Recipe
from ganzoo.config.schema import from_json
from ganzoo.config.settings import resolve
from ganzoo.config.source import with_source
from ganzoo.errors import CheckpointError, UsageError, did_you_mean
from ganzoo.registry.registry import Registry
from ganzoo.variant import Variant

log = logging.getLogger(__name__)

FORMAT = 1
PARTS = ("generator", "discriminator", "loss")


@dataclass(frozen=True, kw_only=True)
class Job:
    """Holds everything that all cells share, as plain data that can be sent to a worker on another machine.

    `metrics` are those of features, `paired` those of outputs beside their truths, in front of the others.
    """

    folder: str
    kind: Literal["train", "pretrained"]
    data: str | None = None
    reference: str | None = None
    data_root: str | None = None
    image_size: int | None = None
    channels: int | None = None
    classes: int = 0
    extractor: str = "fashion-cnn"
    second_extractor: str | None = None
    metrics: tuple[str, ...] = ()
    paired: tuple[str, ...] = ()
    sources: Sources | None = None
    steps: int | None = None
    images: int | None = None
    minutes: float | None = None
    points: int = 4
    eval_images: int = 10_000
    point_images: int = 2_000
    precision: Literal["fp32", "bf16"] = "fp32"
    device: str = "cpu"
    threads: int = 1

    @property
    def budget(self) -> dict[str, float] | None:
        """Returns the budget as requested, such as {"steps": 1000}; None where nothing is trained."""
        return next(
            ({name: value} for name in ("steps", "images", "minutes") if (value := getattr(self, name)) is not None),
            None,
        )

    def to_json(self) -> dict[str, Any]:
        return {**asdict(self), "metrics": list(self.metrics), "paired": list(self.paired)}


@dataclass(frozen=True, kw_only=True)
class Cell:
    """One row of the bench: a variant with its settings, or a pretrained `source`, on a data set with a seed.

    `condition` is that which computes the input instead of the card's own; "" if it comes with the data instead.
    `copied` is the input whose copy is scored, in the row that generators must surpass.
    """

    name: str
    variant: str
    data: str
    seed: int
    settings: tuple[str, ...] = ()
    mixins: tuple[str, ...] = ()
    conditional: bool | None = None
    source: str | None = None
    condition: str | None = None
    copied: str | None = None

    @property
    def file(self) -> str:
        """Returns the stem of its file names."""
        return f"{re.sub('[^A-Za-z0-9.+_-]', '_', f'{self.name}-{self.data}')}-seed{self.seed}"

    def to_json(self) -> dict[str, Any]:
        plain = {**asdict(self), "settings": list(self.settings), "mixins": list(self.mixins)}
        return {key: value for key, value in plain.items() if key not in ("condition", "copied") or value is not None}

    def resolved(self, registry: Registry) -> Recipe:
        """Returns the recipe of the variant with mix-ins, condition and settings applied."""
        variant = mixed_in(registry.get("variants", self.variant), self.mixins, registry)
        variant = with_source(variant, self.condition or None, self.condition == "", registry)
        return resolve(variant, self.settings, registry)


def cells_from_json(plan: Any, where: str) -> tuple[Cell, ...]:
    """Reads the cells of a plan.json; CheckpointError names the fault."""
    if not isinstance(plan, dict) or plan.get("format") != FORMAT or not isinstance(plan.get("cells"), list):
        raise CheckpointError(f"{where} is not the plan of a bench that this ganzoo reads.")
    return tuple(from_json(cell, Cell, f"{where}: cell {number}") for number, cell in enumerate(plan["cells"]))


def plan_to_json(cells: Iterable[Cell]) -> dict[str, Any]:
    return {"format": FORMAT, "cells": [cell.to_json() for cell in cells]}


def is_pattern(text: str) -> bool:
    """Returns True if the text is a shell pattern."""
    return re.search(r"[*?\[]", text) is not None


def chosen_variants(
    patterns: Sequence[str], everything: bool, size: int | None, registry: Registry, sources: bool = False
) -> list[Variant]:
    """Returns the variants of names and shell patterns, each once, in order.

    Those of a pattern only if they draw images, have the size, and take a source as the first variant that is named
    does; without a name, if `sources`. UsageError if those that are named do not all take a source, or none.
    """
    named = [registry.get("variants", pattern) for pattern in patterns if not is_pattern(pattern)]
    _check_alike(named)
    sources = bool(named[0].inputs) if named else sources
    found: dict[str, Variant] = {}
    for pattern in ["*", *patterns] if everything else patterns:
        if not is_pattern(pattern):
            found[pattern] = registry.get("variants", pattern)
            continue
        matching = [variant for variant in registry.variants() if fnmatch(variant.name, pattern)]
        if not matching:
            raise UsageError(f"No variant matches '{pattern}'.{did_you_mean(pattern, registry.names('variants'))}")
        for variant in matching:
            if variant.kind != "image":
                log.info(f"left out: '{variant.name}' draws {variant.kind}, not images")
            elif bool(variant.inputs) != sources:
                log.info(f"left out: '{variant.name}' takes {'no' if sources else 'a'} source")
            elif size is not None and size not in variant.sizes:
                log.info(f"left out: '{variant.name}' has {variant.size_rule} pixels, not {size}")
            else:
                found.setdefault(variant.name, variant)
    if not found:
        raise UsageError("No variant is left to bench: name some that `ganzoo list` shows, or use --all.")
    return list(found.values())


def _check_alike(variants: Sequence[Variant]) -> None:
    """UsageError for variants that a bench does not score, or not together."""
    for variant in variants:
        if variant.kind != "image":
            raise UsageError(
                f"'{variant.name}' draws {variant.kind}, and a bench scores images: "
                "benchmarks/points.py compares variants that draw points."
            )
    with_source = [variant.name for variant in variants if variant.inputs]
    without = [variant.name for variant in variants if not variant.inputs]
    if with_source and without:
        raise UsageError(
            f"A bench compares variants of one kind, and '{with_source[0]}' takes a source, '{without[0]}' none: "
            "bench them apart."
        )


def common_size(variants: Sequence[Variant], size: int | None) -> int:
    """Returns the pixels at which all variants are trained: `size`, or the first variant's first size that all have."""
    known = "; ".join(f"{variant.name}: {variant.size_rule}" for variant in variants)
    wanted = [size] if size is not None else variants[0].sizes
    common = [pixels for pixels in wanted if all(pixels in variant.sizes for variant in variants)]
    if not common:
        asked = f"{size} pixels" if size else "one size"
        shared = [str(pixels) for pixels in variants[0].sizes if all(pixels in variant.sizes for variant in variants)]
        way_out = f"use --image-size {' or '.join(shared)}" if shared else "leave out some of them"
        raise UsageError(f"These variants do not all have {asked}; they have {known}: {way_out}.")
    return common[0]


def split_settings(settings: Sequence[str], names: Sequence[str]) -> dict[str, list[str]]:
    """Splits `--set` by variant: "dcgan:generator.width=32" is for one, "training.batch_size=32" for all.

    UsageError for an unknown name.
    """
    found: dict[str, list[str]] = {name: [] for name in names}
    for setting in settings:
        head, colon, rest = setting.partition(":")
        if not colon or "=" in head:
            for own in found.values():
                own.append(setting)
        elif head in found:
            found[head].append(rest)
        else:
            raise UsageError(
                f"--set {setting}: '{head}' is not among the variants of this bench.{did_you_mean(head, names)}"
            )
    return found


def training_cells(
    variants: Sequence[Variant],
    seeds: Sequence[int],
    data: str,
    registry: Registry,
    *,
    parts: dict[str, Sequence[str]],
    mixins: Sequence[str] = (),
    settings: Sequence[str] = (),
    conditional: bool | None = None,
    source: str | None = None,
    side_by_side: bool = False,
) -> tuple[Cell, ...]:
    """Returns a cell for every variant, combination of the requested parts, and seed; all `mixins` are added to each.

    Settings are checked. A mix-in that a variant has already keeps the variant's options. `source` and `side_by_side`
    are as for `with_source`.
    """
    by_variant = split_settings(settings, [variant.name for variant in variants])
    cells: dict[tuple[str, int], Cell] = {}
    for variant in variants:
        added = tuple(name for name in mixins if name not in _has(variant))
        condition = _condition(variant, source, side_by_side, registry)
        choices: list[list[str | None]] = [[*parts.get(kind, ())] or [None] for kind in PARTS]
        for mixture in product(*choices):
            chosen = {
                kind: name
                for kind, name in zip(PARTS, mixture, strict=True)
                if name is not None and name != _own(variant, kind)
            }
            changes = (*(f"{kind}={name}" for kind, name in chosen.items()), *by_variant[variant.name])
            labelled = conditional if variant.labels == "optional" else None
            name = "+".join([variant.name, *chosen.values(), *added, *(["labels"] if labelled else [])])
            first = Cell(
                name=name,
                variant=variant.name,
                data=data,
                seed=seeds[0],
                settings=changes,
                mixins=added,
                conditional=labelled,
                condition=condition,
            )
            first.resolved(registry)
            for seed in seeds:
                cells.setdefault((name, seed), replace(first, seed=seed))
    return tuple(cells.values())


def _condition(variant: Variant, source: str | None, side_by_side: bool, registry: Registry) -> str | None:
    """Returns the `condition` of a cell: None if `source` leaves the inputs as they are on the card."""
    if with_source(variant, source, side_by_side, registry).inputs == variant.inputs:
        return None
    return source if source in registry.names("conditions") else ""


def _own(variant: Variant, kind: str) -> str | None:
    part = getattr(variant, kind)
    return None if part is None else part.name


def _has(variant: Variant) -> set[str]:
    """Returns the names of a variant's own regularizers and augmentation."""
    return {part.name for part in (*variant.regularizers, variant.augmentation) if part is not None}


def parse_seeds(text: str) -> tuple[int, ...]:
    """Parses "3" as 0, 1 and 2, and "0,5,7" or "5," as these seeds; UsageError for anything else."""
    try:
        numbers = [int(word) for word in text.split(",") if word.strip()]
    except ValueError:
        numbers = []
    seeds = numbers if "," in text else list(range(numbers[0])) if numbers else []
    if not seeds or len(set(seeds)) < len(seeds) or len(seeds) > 1000 or not all(0 <= seed < 2**63 for seed in seeds):
        raise UsageError(
            f"--seeds {text}: give how many (3 means 0, 1 and 2), or which (0,5,7; one alone with a comma: 5,)."
        )
    return tuple(seeds)


def parse_shard(text: str | None) -> tuple[int, int]:
    """Parses "2/4" as (2, 4), the second of four; None as (1, 1)."""
    match = re.fullmatch(r"(\d{1,6})/(\d{1,6})", text or "1/1")
    number, count = (int(match[1]), int(match[2])) if match else (0, 0)
    if not 1 <= number <= count:
        raise UsageError(f"--shard {text}: write it as i/n with i from 1 to n, such as 2/4.")
    return number, count


def names_of(sources: Iterable[str]) -> dict[str, str]:
    """Returns a name for each pretrained source: its tag, owner/name, or the shortest unique end of its folder's path.

    Folders become absolute, so that the plan is valid in any working directory.
    """
    found: dict[str, tuple[str, ...]] = {}
    for source in sources:
        folder = Path(source).expanduser().resolve() if re.match(r"[./~]", source) else None
        found[str(folder or source)] = folder.parts if folder else (source,)
    return {source: _unique_name(parts, [*found.values()]) for source, parts in found.items()}


def _unique_name(parts: tuple[str, ...], all_parts: Sequence[tuple[str, ...]]) -> str:
    for count in range(1, len(parts) + 1):
        name = "/".join(parts[-count:])
        if sum("/".join(other[-count:]) == name for other in all_parts) == 1:
            return name
    return "/".join(parts)
