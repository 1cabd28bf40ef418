"""Chooses the device and the number of threads of a process."""

from __future__ import annotations

import os

from ganzoo.errors import UsageError


def set_threads(count: int | None) -> None:
    """Limits torch to `count` threads, if given; results repeat bit for bit only for the same number of them."""
    import torch

    if count:
        torch.set_num_threads(count)


def available_kinds() -> list[str]:
    """The kinds of devices that this machine has, the best first: of "cuda", "mps" and "cpu"."""
    import torch

    there = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available(), "cpu": True}
    return [kind for kind, found in there.items() if found]


def is_available(name: str) -> bool:
    """True if this machine has a device of the kind of `name` ("cuda:1": any CUDA device)."""
    return name.partition(":")[0] in available_kinds()


def choose_device(name: str) -> str:
    """Resolves "auto" to the best device and "cuda" to that of this process; UsageError for a missing device."""
    if name == "auto":
        return available_kinds()[0]
    if not is_available(name):
        known = ", ".join(available_kinds())
        raise UsageError(f"There is no device '{name}' here; there is: {known}. Use --device auto to take the best.")
    if name == "cuda" and "LOCAL_RANK" in os.environ:
        return f"cuda:{os.environ['LOCAL_RANK']}"
    return name
