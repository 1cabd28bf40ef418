"""What a bench is asked to do, as plain data: the request, and the cells that it comes to."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from fnmatch import fnmatch
from itertools import product
from pathlib import Path
from typing import Any, Literal

from ganzoo.config.mixins import mixed_in
from ganzoo.config.recipe import Recipe
from ganzoo.config.schema import from_json
from ganzoo.config.settings import resolve
from ganzoo.errors import CheckpointError, UsageError, did_you_mean
from ganzoo.registry.registry import Registry
from ganzoo.variant import Variant

log = logging.getLogger(__name__)

FORMAT = 1
PARTS = ("generator", "discriminator", "loss")


@dataclass(frozen=True, kw_only=True)
class Job:
    """Everything that a cell needs to know besides itself; plain data, so that it reaches a worker on another machine."""

    folder: str
    kind: str
    data: str | None = None
    reference: str | None = None
    data_root: str | None = None
    image_size: int | None = None
    channels: int | None = None
    classes: int = 0
    extractor: str = "fashion-cnn"
    metrics: tuple[str, ...] = ()
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
        """The budget as it was asked for; None where nothing is trained."""
        return next(
            ({name: value} for name in ("steps", "images", "minutes") if (value := getattr(self, name)) is not None),
            None,
        )

    def to_json(self) -> dict[str, Any]:
        return {**asdict(self), "metrics": list(self.metrics)}


@dataclass(frozen=True, kw_only=True)
class Cell:
    """One row to be: a variant with its settings, or a pretrained `source`, on a data set with a seed."""

    name: str
    variant: str
    data: str
    seed: int
    settings: tuple[str, ...] = ()
    mixins: tuple[str, ...] = ()
    conditional: bool | None = None
    source: str | None = None

    @property
    def file(self) -> str:
        """What its files are called."""
        return f"{re.sub('[^A-Za-z0-9.+_-]', '_', f'{self.name}-{self.data}')}-seed{self.seed}"

    def to_json(self) -> dict[str, Any]:
        return {**asdict(self), "settings": list(self.settings), "mixins": list(self.mixins)}

    def resolved(self, registry: Registry) -> Recipe:
        """The recipe of the variant with what is mixed in and all settings."""
        return resolve(mixed_in(registry.get("variants", self.variant), self.mixins, registry), self.settings, registry)


def cells_from_json(plan: Any, where: str) -> tuple[Cell, ...]:
    """The cells of a plan.json, checked; CheckpointError names what is wrong."""
    if not isinstance(plan, dict) or plan.get("format") != FORMAT or not isinstance(plan.get("cells"), list):
        raise CheckpointError(f"{where} is not the plan of a bench that this ganzoo reads.")
    return tuple(from_json(cell, Cell, f"{where}: cell {number}") for number, cell in enumerate(plan["cells"]))


def plan_to_json(cells: Iterable[Cell]) -> dict[str, Any]:
    return {"format": FORMAT, "cells": [cell.to_json() for cell in cells]}


def is_pattern(text: str) -> bool:
    """Whether names are to be matched with it, as a shell does."""
    return re.search(r"[*?\[]", text) is not None


def chosen_variants(patterns: Sequence[str], everything: bool, size: int | None, registry: Registry) -> list[Variant]:
    """The variants that names and shell patterns mean, each once, in the order of asking; those of a pattern only if they draw the size."""
    found: dict[str, Variant] = {}
    for pattern in ["*", *patterns] if everything else patterns:
        if not is_pattern(pattern):
            found[pattern] = registry.get("variants", pattern)
            continue
        matching = [variant for variant in registry.variants() if fnmatch(variant.name, pattern)]
        if not matching:
            raise UsageError(f"No variant matches '{pattern}'.{did_you_mean(pattern, registry.names('variants'))}")
        for variant in matching:
            if size is not None and size not in variant.sizes:
                log.info(
                    f"left out: '{variant.name}' draws {' or '.join(map(str, sorted(variant.sizes)))} pixels, not {size}"
                )
            else:
                found.setdefault(variant.name, variant)
    if not found:
        raise UsageError("No variant is left to bench: name some that `ganzoo list` shows, or use --all.")
    return list(found.values())


def common_size(variants: Sequence[Variant], size: int | None) -> int:
    """The size in pixels that all variants are trained at: the one asked for, or the first's favourite that all can draw."""
    known = "; ".join(f"{variant.name}: {', '.join(map(str, variant.sizes))}" for variant in variants)
    wanted = [size] if size is not None else variants[0].sizes
    common = [pixels for pixels in wanted if all(pixels in variant.sizes for variant in variants)]
    if not common:
        asked = f"{size} pixels" if size else "one size"
        raise UsageError(
            f"These variants cannot all draw {asked}; they draw {known}. Use --image-size or fewer variants."
        )
    return common[0]


def split_settings(settings: Sequence[str], names: Sequence[str]) -> dict[str, list[str]]:
    """`--set` by variant: "dcgan:generator.width=32" is for one, "training.batch_size=32" for all; UsageError for an unknown name."""
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
) -> tuple[Cell, ...]:
    """Every variant with every mixture of the parts asked for and all `mixins`, seed by seed, its settings checked; a variant's rows
    stand together. A mix-in that a variant has already is left to it as it is."""
    by_variant = split_settings(settings, [variant.name for variant in variants])
    cells: dict[tuple, Cell] = {}
    for variant in variants:
        added = tuple(name for name in mixins if name not in _has(variant))
        for mixture in product(*([*parts.get(kind, ())] or [None] for kind in PARTS)):
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
            )
            first.resolved(registry)
            for seed in seeds:
                cells.setdefault((name, seed), replace(first, seed=seed))
    return tuple(cells.values())


def _own(variant: Variant, kind: str) -> str | None:
    part = getattr(variant, kind)
    return None if part is None else part.name


def _has(variant: Variant) -> set[str]:
    """The names of a variant's own regularizers and augmentation."""
    return {part.name for part in (*variant.regularizers, variant.augmentation) if part is not None}


def parse_seeds(text: str) -> tuple[int, ...]:
    """ "3" means 0, 1 and 2; "0,5,7" and "5," mean those; UsageError for anything else."""
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
    """ "2/4" as (2, 4): the second of four; None is the one of one."""
    match = re.fullmatch(r"(\d{1,6})/(\d{1,6})", text or "1/1")
    number, count = (int(match[1]), int(match[2])) if match else (0, 0)
    if not 1 <= number <= count:
        raise UsageError(f"--shard {text}: write it as i/n with i from 1 to n, such as 2/4.")
    return number, count


def names_of(sources: Iterable[str]) -> dict[str, str]:
    """What pretrained sources are called in a table, each source once: its tag, owner/name, or as many last parts of its folder as tell
    it from the others. A folder becomes absolute: from elsewhere its words would be another's."""
    found: dict[str, tuple[str, ...]] = {}
    for source in sources:
        folder = Path(source).expanduser().resolve() if re.match(r"[./~]", source) else None
        found[str(folder or source)] = folder.parts if folder else (source,)
    return {source: _told_apart(parts, [*found.values()]) for source, parts in found.items()}


def _told_apart(parts: tuple[str, ...], all_parts: Sequence[tuple[str, ...]]) -> str:
    for count in range(1, len(parts) + 1):
        name = "/".join(parts[-count:])
        if sum("/".join(other[-count:]) == name for other in all_parts) == 1:
            return name
    return "/".join(parts)
