"""Random streams that follow from a key, the process-wide generators, which are left as they were found, and kernels that repeat."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import torch

if TYPE_CHECKING:
    pass


def hashed(*key: Any) -> int:
    """A seed of 56 bits that follows from the key alone, the same in every process and on every machine."""
    return int.from_bytes(hashlib.blake2b(repr(key).encode(), digest_size=7).digest(), "big")


def seed_process(seed: int, device: torch.device) -> None:
    """Seeds the generators that dropout and the like draw from, without torch.manual_seed's visit to every device."""
    torch.default_generator.manual_seed(seed)
    if device.type == "cuda":
        torch.cuda.default_generators[
            torch.cuda.current_device() if device.index is None else device.index
        ].manual_seed(seed)
    elif device.type == "mps":
        torch.mps.manual_seed(seed)


def repeatable(device: torch.device | str) -> None:
    """Makes a GPU's results repeat bit for bit: by themselves its libraries may take kernels whose sums come in any order, or whichever is quickest now."""
    if torch.device(device).type == "cuda":
        torch.backends.cudnn.deterministic, torch.backends.cudnn.benchmark = True, False
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # read when the first product is computed


@contextmanager
def process_randomness(device: torch.device) -> Iterator[None]:
    """Leaves the process-wide generators as they were found."""
    state = torch.default_generator.get_state()
    on_device = (
        torch.cuda.get_rng_state(device)
        if device.type == "cuda"
        else torch.mps.get_rng_state()
        if device.type == "mps"
        else None
    )
    try:
        yield
    finally:
        torch.default_generator.set_state(state)
        if device.type == "cuda":
            torch.cuda.set_rng_state(on_device, device)
        elif device.type == "mps":
            torch.mps.set_rng_state(on_device)


@contextmanager
def seeded(seed: int):
    """Seeds torch's process-wide generator for initialization, and leaves it as it was found."""
    state = torch.default_generator.get_state()
    torch.default_generator.manual_seed(seed)
    try:
        yield
    finally:
        torch.default_generator.set_state(state)
