"""Finds the networks in the names of a file: behind wrappers (EMA, DataParallel), and several in one state_dict."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping

from ganzoo.errors import UsageError

Shapes = Mapping[str, tuple[int, ...]]

DEEPEST = 3
MOST_NETWORKS = 200
# First parts of names under which training programs keep whole networks.
NETWORK = re.compile(r"(net_?|model_?)?(g|d|gen\w*|dis\w*|critic|g_?ema|ema\w*|online\w*|netg\w*|netd\w*)", re.I)


class SeveralNetworks(UsageError):
    """A file holds several networks and the request chooses none; `networks` has their shapes by --key, if known."""

    def __init__(self, message: str, networks: Mapping[str, Shapes]) -> None:
        super().__init__(message)
        self.networks = networks


def views(shapes: Shapes) -> Iterator[dict[str, str]]:
    """Yields the names that a network may have, mapped to those of the file: as they are, then without wrappers.

    A wrapper puts one prefix before every name (`module.`, `ema_model.`, `generator.`), and single numbers of its own
    beside them (`n_averaged` of torch's AveragedModel; `step` and `initted` of ema-pytorch).
    """
    names = {name: name for name in shapes}
    yield names
    for _ in range(DEEPEST):
        kept = {short: full for short, full in names.items() if "." in short or math.prod(shapes[full]) != 1}
        if kept and len(kept) < len(names):
            yield kept
        if not kept or len({short.partition(".")[0] for short in kept}) > 1 or any("." not in short for short in kept):
            return
        names = {short.partition(".")[2]: full for short, full in kept.items()}
        yield names


def networks(shapes: Shapes) -> dict[str, Shapes]:
    """Returns the parts of a state_dict that may be networks of their own, by the prefix of their names (a --key)."""
    found: dict[str, Shapes] = {}
    waiting: list[tuple[str, Shapes]] = [("", shapes)]
    while waiting and len(found) < MOST_NETWORKS:
        prefix, inside = waiting.pop(0)
        parts: dict[str, dict[str, tuple[int, ...]]] = {}
        for name, shape in inside.items():
            head, dot, rest = name.partition(".")
            if dot:
                parts.setdefault(head, {})[rest] = shape
        for head, part in parts.items():
            found[f"{prefix}{head}"] = part
            if prefix.count(".") + 1 < DEEPEST:
                waiting.append((f"{prefix}{head}.", part))
    return found


def listed(shapes: Shapes) -> str:
    """Lists the networks that the names of a state_dict speak of, with their numbers of tensors; empty if none."""
    parts = {prefix: part for prefix, part in networks(shapes).items() if "." not in prefix}
    if len(parts) > 8 or not any(NETWORK.fullmatch(prefix) for prefix in parts):
        return ""
    return ", ".join(f"{prefix!r} ({len(part)} tensors)" for prefix, part in parts.items())


def by_average(keys: list[str]) -> list[str]:
    """Returns keys with those of averaged weights first, which are the ones to sample from."""
    return sorted(keys, key=lambda key: "ema" not in key.lower() and "average" not in key.lower())
