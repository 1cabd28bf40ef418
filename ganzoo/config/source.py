"""`--source`: where the inputs of a variant come from, the data or a condition."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from ganzoo.errors import UsageError, did_you_mean
from ganzoo.files.text import quoted
from ganzoo.registry.registry import Registry
from ganzoo.variant import Part, Variant


def with_source(variant: Variant, source: str | None, side_by_side: bool, registry: Registry) -> Variant:
    """Returns the variant whose source is computed by a condition of that name, or comes with the data.

    `source` None changes nothing, unless pictures hold both sides. A condition that the card has already keeps its
    options. UsageError for a variant without inputs, and for the name of nothing.
    """
    if source is None and not side_by_side:
        return variant
    if not variant.inputs:
        able = sorted(other.name for other in registry.variants() if other.inputs)
        named = f"; {', '.join(able)} do" if able else ""
        raise UsageError(f"Variant '{variant.name}' takes no source{named}: leave out --source and --pairs.")
    name = "source" if "source" in variant.inputs else next(iter(variant.inputs))
    present = variant.inputs[name]
    part: Part | None = None
    if source is not None and source in registry.names("conditions"):
        if side_by_side:
            raise UsageError(f"--pairs holds the source already: leave out --source {source}.")
        part = present if present and present.name == source else Part(source)
    elif source is not None:
        _check_exists(source, registry)
    return replace(variant, inputs={**variant.inputs, name: part})


def _check_exists(source: str, registry: Registry) -> None:
    """UsageError with the nearest name for a plain word that is no condition, data set, file or folder."""
    name = source.partition(":")[0]
    known = [*registry.names("conditions"), *registry.names("datasets")]
    if name in known or "/" in source or "\\" in source or Path(source).exists() or Path(name).exists():
        return
    raise UsageError(f"No condition, data set, file or folder is called {quoted(source)}.{did_you_mean(name, known)}")
