"""Derives random streams from keys, restores process-wide generators, and makes GPU kernels deterministic."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch

from ganzoo.networks.latents import seed_of


def hashed(*key: Any) -> int:
    """Returns a seed of 56 bits that depends on the key alone, the same in every process and on every machine."""
    return seed_of(repr(key))


def seed_process(seed: int, device: torch.device) -> None:
    """Seeds the process-wide generators, which dropout samples from, on this device and the CPU alone."""
    torch.default_generator.manual_seed(seed)
    if device.type == "cuda":
        torch.cuda.default_generators[
            torch.cuda.current_device() if device.index is None else device.index
        ].manual_seed(seed)
    elif device.type == "mps":
        torch.mps.manual_seed(seed)


def repeatable(device: torch.device | str) -> None:
    """Makes a GPU's results repeat bit for bit.

    By default its libraries may choose kernels that sum in any order, or whichever is fastest at the moment.
    """
    if torch.device(device).type == "cuda":
        torch.backends.cudnn.deterministic, torch.backends.cudnn.benchmark = True, False
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # read when the first product is computed


@contextmanager
def process_randomness(device: torch.device) -> Iterator[None]:
    """Restores the process-wide generators of the CPU and the device after the context."""
    state = torch.default_generator.get_state()
    cuda = torch.cuda.get_rng_state(device) if device.type == "cuda" else None
    mps = torch.mps.get_rng_state() if device.type == "mps" else None
    try:
        yield
    finally:
        torch.default_generator.set_state(state)
        if cuda is not None:
            torch.cuda.set_rng_state(cuda, device)
        if mps is not None:
            torch.mps.set_rng_state(mps)


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Seeds torch's process-wide generator inside the context, for initialization, and restores it afterwards."""
    state = torch.default_generator.get_state()
    torch.default_generator.manual_seed(seed)
    try:
        yield
    finally:
        torch.default_generator.set_state(state)
