"""Latents of a seed, independent of how many are sampled at once."""

from __future__ import annotations

import hashlib

import torch
from torch import Tensor

from ganzoo.networks.generator import Generator
from ganzoo.networks.precision import float32_by_default

BLOCK = 256


def seed_of(text: str) -> int:
    """Returns a seed of 56 bits that depends on the text alone, the same in every process and on every machine."""
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=7).digest(), "big")


def sample_latents(generator: Generator, n: int, seed: int) -> Tensor:
    """Samples latents (n, latent_dim) in blocks with a random stream each, so that latent i does not depend on n."""
    blocks = []
    for block in range((n + BLOCK - 1) // BLOCK):
        random = torch.Generator("cpu").manual_seed(seed_of(f"ganzoo sample {seed} {block}"))
        with float32_by_default():
            blocks.append(generator.latent(BLOCK, random))
    return torch.cat(blocks)[:n]
