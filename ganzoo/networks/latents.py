"""Latents of a seed, independent of how many are drawn at once."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from ganzoo.networks import Generator

if TYPE_CHECKING:
    pass


BLOCK = 256


def sample_latents(generator: Generator, n: int, seed: int) -> Tensor:
    """Latents (n, latent_dim) in blocks with a stream of their own, so that number i does not depend on how many are drawn."""
    blocks = []
    for block in range((n + BLOCK - 1) // BLOCK):
        digest = hashlib.blake2b(f"ganzoo sample {seed} {block}".encode(), digest_size=7).digest()
        random = torch.Generator("cpu").manual_seed(int.from_bytes(digest, "big"))
        blocks.append(generator.latent(BLOCK, random))
    return torch.cat(blocks)[:n]
