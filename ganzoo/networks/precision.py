"""Keeps float32 the dtype of new tensors, whatever the program around ganzoo has set."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch


@contextmanager
def float32_by_default() -> Iterator[None]:
    """Makes float32 torch's default dtype inside the context, and restores the program's own afterwards.

    A network, loss or metric allocates without a dtype; under `torch.set_default_dtype(torch.float64)` it would draw
    other random numbers from the same seed.
    """
    before = torch.get_default_dtype()
    if before == torch.float32:
        yield
        return
    torch.set_default_dtype(torch.float32)
    try:
        yield
    finally:
        torch.set_default_dtype(before)
