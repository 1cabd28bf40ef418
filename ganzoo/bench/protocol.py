"""Writes the protocol of a bench, that is all that decides its numbers, and refuses folders of another protocol."""

from __future__ import annotations

import json
import platform
from collections.abc import Collection, Sequence
from typing import Any

from ganzoo.bench.cells import Job
from ganzoo.bench.row import differences
from ganzoo.config.parts import KIND_OF, conditions_of, parts_of
from ganzoo.data import ImageData
from ganzoo.errors import UsageError
from ganzoo.metrics import named
from ganzoo.metrics.features import Extractor
from ganzoo.registry.registry import Registry
from ganzoo.variant import Variant

FORMAT = 1
LONGEST = 1000  # characters of a value in a list of differences: enough for all settings of a cell
RANKED_BY = ("frechet", "kid")  # the first of them that is measured; of both, lower is better


def protocol_of(
    job: Job,
    data: ImageData | None,
    references: Sequence[ImageData],
    extractor: Extractor,
    registry: Registry,
    second: Extractor | None = None,
    sources: dict[str, Any] | None = None,
) -> dict[str, Any]:
    """Returns protocol.json as plain values, equal for all shards and machines that give the same numbers.

    Without a `second` extractor it is that of before there could be one; `sources` are the facts of inputs, if any.
    """
    import numpy
    import torch

    from ganzoo import __version__

    return {
        "format": FORMAT,
        "kind": job.kind,
        "data": None if data is None else data_facts(data, job.data),
        "references": [data_facts(reference, job.reference) for reference in references],
        **({} if sources is None else {"sources": sources}),
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
        **({} if second is None else {"second_extractor": _second_facts(job, second)}),
        "metrics": [*job.paired, *job.metrics],
        "ranking": ranking_of(job, extractor.name),
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


def _second_facts(job: Job, second: Extractor) -> dict[str, Any]:
    return {"name": second.name, "fingerprint": second.fingerprint, "metrics": [ranking_metric(job.metrics)]}


def _measuring_plugins(job: Job, registry: Registry) -> dict[str, str]:
    """Returns the versions of third-party plugins that measure: extractors, metrics and data sets."""
    sources = [source.partition(":")[0] for source in (job.data, job.reference) if source]
    named = [
        *(("extractors", name) for name in (job.extractor, job.second_extractor) if name),
        *(("metrics", name) for name in job.metrics),
        *(("datasets", name) for name in sources),
        *(("conditions", part.name) for part in (job.sources.inputs.values() if job.sources else ()) if part),
    ]
    return _versions(named, registry)


def plugins_of(variant: Variant, registry: Registry) -> dict[str, str]:
    """Returns the versions of third-party plugins that a variant and its parts come from; empty if all are built in."""
    named = {**parts_of(variant), **conditions_of(variant)}
    parts = [(KIND_OF[path.partition(".")[0]], part.name) for path, part in named.items()]
    return _versions([("variants", variant.name), *parts], registry)


def _versions(named: Sequence[tuple[str, str]], registry: Registry) -> dict[str, str]:
    plugins = [registry.claim(kind, name).plugin for kind, name in named if name in registry.names(kind)]
    return {
        plugin.distribution: plugin.version
        for plugin in sorted(plugins, key=lambda plugin: plugin.name)
        if not plugin.builtin
    }


def data_facts(data: ImageData, source: str | None) -> dict[str, Any]:
    """Returns the values that identify prepared images, whatever folder they are in."""
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
    """Returns the split in a source such as "fashion-mnist:test"; None for a path or a URL."""
    return (source or "").partition(":")[2] or None if not set("/\\") & set(source or "") else None


def ranking_of(job: Job, extractor: str) -> str:
    """Returns the number that ranks: the first paired one, else that of the first extractor."""
    return job.paired[0] if job.paired else named(ranking_metric(job.metrics), extractor)


def ranking_metric(metrics: Collection[str]) -> str:
    """Returns the metric that chooses the best point of a cell; UsageError if none of `metrics` can."""
    found = next((name for name in RANKED_BY if name in metrics), None)
    if found is None:
        raise UsageError(f"The points of a run are ranked by {' or '.join(RANKED_BY)}: add --metric {RANKED_BY[0]}.")
    return found


def check_same(old: Any, new: dict[str, Any], where: str) -> None:
    """Raises UsageError with a list of all differences if a folder has another protocol."""
    changes = difference_lines(old, json.loads(json.dumps(new)))
    if changes:
        raise UsageError(
            f"{where} was measured by another protocol, and its rows cannot be compared with new ones:\n  "
            + "\n  ".join(changes)
        )


def difference_lines(old: Any, new: Any) -> list[str]:
    """Returns a line for every value that differs between a folder ("there") and the request ("here")."""
    return [f"{name}: {there} there, {here} here" for name, there, here in differences(old, new, longest=LONGEST)]
