"""Which of two numbers of a metric is better, as the metric states it in its attribute `lower_is_better`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cache

from ganzoo.errors import PluginError
from ganzoo.files.text import quoted
from ganzoo.registry.registry import Registry, registry

PAIRED = {"psnr": False, "ssim": False, "ms-ssim": False, "l1": True, "lpips": True}  # of `ganzoo.metrics.paired`


def direction(metric: str) -> int:
    """Returns -1 if lower is better, 1 if higher is, 0 if unknown; `metric` may carry its extractor."""
    return _directions(registry()).get(metric.partition("[")[0], 0)


def stated_directions(name: str, metric: Callable) -> dict[str, int]:
    """Returns -1 or 1 for each number of a metric that states its direction; PluginError for a statement of other form.

    `lower_is_better` is True, False, or these by the name of the number where a metric gives several.
    """
    stated = getattr(metric, "lower_is_better", {})
    by_number = stated if isinstance(stated, Mapping) else {name: stated}
    if not all(isinstance(number, str) and isinstance(lower, bool) for number, lower in by_number.items()):
        raise PluginError(
            f"The metric '{name}' states lower_is_better = {quoted(stated)}; True, False or a dict of them is needed."
        )
    return {number: -1 if lower else 1 for number, lower in by_number.items()}


@cache
def _directions(known: Registry) -> dict[str, int]:
    found = {name: -1 if lower else 1 for name, lower in PAIRED.items()}
    for name, metric in known.table("metrics").items():
        try:
            found.update(stated_directions(name, metric))
        except PluginError:  # `needs_of` refuses such a metric where it would be computed
            continue
    return found
