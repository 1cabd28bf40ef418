"""Latents of a seed, independent of how many are sampled at once."""

from __future__ import annotations

import hashlib

import torch
from torch import Tensor

from ganzoo.networks.generator import Generator
from ganzoo.networks.precision import float32_by_default

BLOCK = 256


def sample_latents(generator: Generator, n: int, seed: int) -> Tensor:
    """Samples latents (n, latent_dim) in blocks with a random stream each, so that latent i does not depend on n."""
    blocks = []
    for block in range((n + BLOCK - 1) // BLOCK):
        digest = hashlib.blake2b(f"ganzoo sample {seed} {block}".encode(), digest_size=7).digest()
        random = torch.Generator("cpu").manual_seed(int.from_bytes(digest, "big"))
        with float32_by_default():
            blocks.append(generator.latent(BLOCK, random))
    return torch.cat(blocks)[:n]
