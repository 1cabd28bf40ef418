"""How was measured, as data: everything that decides a number of the bench, and the refusal of a folder that was measured otherwise."""

from __future__ import annotations

import json
import platform
from collections.abc import Sequence
from typing import Any

from ganzoo.bench.plan import Job
from ganzoo.bench.row import differences
from ganzoo.config.parts import KIND_OF, parts_of
from ganzoo.data import ImageData
from ganzoo.errors import UsageError
from ganzoo.metrics import named
from ganzoo.metrics.features import Extractor
from ganzoo.registry.registry import Registry
from ganzoo.variant import Variant

FORMAT = 1
LONGEST = 1000  # characters of a value that differs: settings must not be cut off before they do
RANKED_BY = ("frechet", "kernel")  # the first of them that is measured; of both, less is better


def protocol_of(
    job: Job, data: ImageData | None, references: Sequence[ImageData], extractor: Extractor, registry: Registry
) -> dict[str, Any]:
    """What protocol.json says: plain values, the same for every shard and on every machine that would give the same numbers."""
    import numpy
    import torch

    from ganzoo import __version__

    return {
        "format": FORMAT,
        "kind": job.kind,
        "data": None if data is None else facts(data, job.data),
        "references": [facts(reference, job.reference) for reference in references],
        "budget": job.budget,
        "evaluation": {
            "images": job.eval_images,
            "points": job.points if data is not None else 0,
            "point_images": job.point_images if data is not None else 0,
            "weights": "the moving average of the generator where the variant keeps one",
            "preprocessing": "drawings rounded to 8 bits; resized as the extractor does it",
        },
        "seeds": "a cell's seed decides its initialization, batches and noise, and the latents that are scored",
        "extractor": {"name": extractor.name, "fingerprint": extractor.fingerprint},
        "metrics": list(job.metrics),
        "ranking": named(ranking(job.metrics), extractor.name),
        "precision": job.precision,
        "device": torch.device(job.device).type,
        "threads": job.threads,
        "versions": {
            "ganzoo": __version__,
            "torch": torch.__version__,
            "numpy": numpy.__version__,
            "python": platform.python_version(),
            **_measuring_plugins(job, registry),
        },
    }


def _measuring_plugins(job: Job, registry: Registry) -> dict[str, str]:
    """Versions of what others wrote and measures here: the extractor, metrics and data sets."""
    sources = [source.partition(":")[0] for source in (job.data, job.reference) if source]
    named = [
        ("extractors", job.extractor),
        *(("metrics", name) for name in job.metrics),
        *(("datasets", name) for name in sources),
    ]
    return _versions(named, registry)


def plugins_of(variant: Variant, registry: Registry) -> dict[str, str]:
    """Versions of what others wrote and is trained in a cell: the variant and its parts. Empty where all is built in."""
    parts = [(KIND_OF[path.partition(".")[0]], part.name) for path, part in parts_of(variant).items()]
    return _versions([("variants", variant.name), *parts], registry)


def _versions(named: Sequence[tuple[str, str]], registry: Registry) -> dict[str, str]:
    plugins = [registry.claim(kind, name).plugin for kind, name in named if name in registry.names(kind)]
    return {
        plugin.distribution: plugin.version
        for plugin in sorted(plugins, key=lambda plugin: plugin.name)
        if not plugin.builtin
    }


def facts(data: ImageData, source: str | None) -> dict[str, Any]:
    """What identifies prepared images; where they lie is no part of it."""
    return {
        "name": data.name,
        "split": split_of(source),
        "images": len(data),
        "size": data.size,
        "channels": data.channels,
        "classes": len(data.classes),
        "fingerprint": data.fingerprint,
    }


def split_of(source: str | None) -> str | None:
    """The split that a source names, as "fashion-mnist:test" does; a path or an address names none."""
    return (source or "").partition(":")[2] or None if not set("/\\") & set(source or "") else None


def ranking(metrics: Sequence[str]) -> str:
    """The metric by which the best point of a cell is chosen; UsageError if none can be."""
    found = next((name for name in RANKED_BY if name in metrics), None)
    if found is None:
        raise UsageError(f"The points of a run are ranked by {' or '.join(RANKED_BY)}: add --metric {RANKED_BY[0]}.")
    return found


def check_same(old: Any, new: dict[str, Any], where: str) -> None:
    """UsageError that lists every difference, if a folder was filled under another protocol."""
    changes = changed(old, json.loads(json.dumps(new)))
    if changes:
        raise UsageError(
            f"{where} was measured by another protocol; its rows cannot stand beside new ones:\n  "
            + "\n  ".join(changes)
        )


def changed(old: Any, new: Any) -> list[str]:
    """Every value that differs between what a folder holds and what is asked for now, in words."""
    return [f"{name}: {there} there, {here} here" for name, there, here in differences(old, new, longest=LONGEST)]
