"""The perceptual distance LPIPS: differences of deep features, weighted by learned heads (Zhang et al. 2018).

Followed: richzhang/PerceptualSimilarity, version 0.1 of the heads, on AlexNet. No weights come with ganzoo: a file is
named, and read only if it has the stated sha256.
"""

from __future__ import annotations

import os
import re
from functools import cache
from pathlib import Path

from ganzoo.engine.assets import read_asset
from ganzoo.errors import CheckpointError, UsageError
from ganzoo.networks.lpips import LPIPS
from ganzoo.variant import Asset

FILE, DIGEST = "GANZOO_LPIPS_WEIGHTS", "GANZOO_LPIPS_SHA256"


def load_network(path: Path, sha256: str) -> LPIPS:
    """Reads the weights from a safetensors file; CheckpointError unless it has this hash and the tensors of `LPIPS`."""
    tensors = read_asset(Asset(path=str(path), sha256=sha256), "The network of LPIPS")
    network = LPIPS()
    try:
        network.load_state_dict(tensors)
    except RuntimeError as error:
        line = " ".join(str(error).split())[:200]
        raise CheckpointError(f"{path} does not hold the tensors of LPIPS on AlexNet: {line}") from None
    return network.eval().requires_grad_(False)


def default_network() -> LPIPS:
    """Loads the network of the environment: `GANZOO_LPIPS_WEIGHTS` names the file, `GANZOO_LPIPS_SHA256` its hash.

    UsageError if one of the two is missing.
    """
    path, digest = os.environ.get(FILE, ""), os.environ.get(DIGEST, "").lower()
    if not path or not re.fullmatch(r"[0-9a-f]{64}", digest):
        raise UsageError(
            f"lpips needs weights that do not come with ganzoo: set {FILE} to a safetensors file (docs/metrics.md says "
            f"how to make it) and {DIGEST} to its sha256."
        )
    return _loaded(Path(path), digest)


_loaded = cache(load_network)
