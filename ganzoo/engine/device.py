"""Chooses the device and the number of threads of a process."""

from __future__ import annotations

import os

from ganzoo.errors import UsageError


def threads(limit: int | None) -> None:
    """Limits torch to `limit` threads; results are bitwise repeatable only for the same number of them."""
    import torch

    if limit:
        torch.set_num_threads(limit)


def default_device(name: str) -> str:
    """Returns the device of this name, where "auto" is cuda, then mps, then cpu; UsageError if it does not exist."""
    import torch

    there = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available(), "cpu": True}
    if name == "auto":
        return next(kind for kind, found in there.items() if found)
    kind = name.partition(":")[0]
    if not there.get(kind):
        known = ", ".join(kind for kind, found in there.items() if found)
        raise UsageError(f"There is no device '{name}' here; there is: {known}. Use --device auto to take the best.")
    if kind == "cuda" and "LOCAL_RANK" in os.environ and ":" not in name:
        return f"cuda:{os.environ['LOCAL_RANK']}"
    return name
