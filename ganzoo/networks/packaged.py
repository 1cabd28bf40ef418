"""Reads the weights of small networks that come with a plugin."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import TypeVar

import torch
from torch import nn

from ganzoo.errors import CheckpointError

Network = TypeVar("Network", bound=nn.Module)


def packaged(network: Network, file: Path, sha256: str) -> Network:
    """Gives a network the weights of a safetensors file, in float32, and returns it frozen in evaluation mode.

    Half precision, which keeps the file small, is widened. CheckpointError if the file cannot be read or has another
    sha256 than this, in hex.
    """
    from safetensors.torch import load

    try:
        data = file.read_bytes()
    except OSError as problem:
        raise CheckpointError(f"{file} cannot be read: {problem.strerror}. Install ganzoo again.") from problem
    if hashlib.sha256(data).hexdigest() != sha256:
        raise CheckpointError(
            f"{file} is damaged: its sha256 is not that of the weights of {file.stem}. Install ganzoo again."
        )
    tensors = load(data).items()
    network.load_state_dict({name: one.float() if one.dtype == torch.float16 else one for name, one in tensors})
    return network.eval().requires_grad_(False)
