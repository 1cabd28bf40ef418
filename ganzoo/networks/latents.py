"""Latents of a seed, independent of how many are sampled at once."""

from __future__ import annotations

import hashlib
from typing import Any

import torch
from torch import Tensor

from ganzoo.errors import UsageError
from ganzoo.networks.generator import Generator
from ganzoo.networks.precision import float32_by_default

BLOCK = 256
LARGEST_SEED = 2**63 - 1


def seed_of(text: str) -> int:
    """Returns a seed of 56 bits that depends on the text alone, the same in every process and on every machine."""
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=7).digest(), "big")


def whole_seed(seed: Any) -> int:
    """Returns a seed as an int; UsageError for anything but a whole number from 0, NumPy's among them."""
    if isinstance(seed, bool) or not hasattr(seed, "__index__") or getattr(seed, "shape", ()) != ():
        raise UsageError(f"A seed is a whole number from 0, not {repr(seed)[:80]}.")
    try:
        found = int(seed.__index__())
    except TypeError:  # a tensor of one number that is not whole
        raise UsageError(f"A seed is a whole number from 0, not {repr(seed)[:80]}.") from None
    if not 0 <= found <= LARGEST_SEED:
        raise UsageError(f"A seed is a whole number from 0 to {LARGEST_SEED}, not {found}.")
    return found


def sample_latents(generator: Generator, n: int, seed: int) -> Tensor:
    """Samples latents (n, latent_dim) in blocks with a random stream each, so that latent i does not depend on n.

    UsageError unless `n` is a whole number above 0, and `seed` one from 0.
    """
    seed, blocks = whole_seed(seed), []
    if not isinstance(n, int) or n < 1:
        raise UsageError(f"Ask for at least one latent, got {n!r}.")
    for block in range((n + BLOCK - 1) // BLOCK):
        random = torch.Generator("cpu").manual_seed(seed_of(f"ganzoo sample {seed} {block}"))
        with float32_by_default():
            blocks.append(generator.latent(BLOCK, random))
    return torch.cat(blocks)[:n]
