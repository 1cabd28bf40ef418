"""Reading and writing the tensors of a model folder, every name, shape and byte checked."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor

from ..errors import CheckpointError
from ..files import fsync_file, shorten
from .config import WeightsFile

DTYPES = {"float32": torch.float32, "float16": torch.float16, "bfloat16": torch.bfloat16}


def read_tensors(path: Path, wanted: Mapping[str, Tensor], weights: WeightsFile, *, mmap: bool = True) -> dict[str, Tensor]:
    """The tensors of a file that must be exactly `wanted` (names and shapes) and have the size and hash of `weights`."""
    with open(path, "rb") as file:
        if os.fstat(file.fileno()).st_size != weights.size or hashlib.file_digest(file, "sha256").hexdigest() != weights.sha256:
            raise CheckpointError(f"{path} is not the file that config.json describes: its size or sha256 differs.")
    with safe_open(path, "pt") as file:
        tensors = {name: file.get_tensor(name) for name in file.keys()}
    refuse_difference(path, wanted, {name: tuple(tensor.shape) for name, tensor in tensors.items()})
    return tensors


def refuse_difference(where: Path, wanted: Mapping[str, Tensor], found: Mapping[str, tuple[int, ...]]) -> None:
    """CheckpointError that lists every tensor that is missing, unknown or of another shape."""
    shapes = {name: tuple(tensor.shape) for name, tensor in wanted.items()}
    problems = [f"{shorten(name)} is missing" for name in shapes if name not in found]
    problems += [f"{shorten(name)} is unknown" for name in found if name not in shapes]
    problems += [f"{shorten(name)} is {found[name]}, not {shapes[name]}" for name in shapes if name in found and found[name] != shapes[name]]
    if problems:
        raise CheckpointError(f"{where} does not fit the generator that its config.json names: {'; '.join(problems)}.")


def write_tensors(path: Path, tensors: Mapping[str, Tensor], dtype: str = "float32") -> WeightsFile:
    """Writes tensors as safetensors, floating-point numbers as `dtype`, and returns what config.json says of the file."""
    packed = {
        name: (tensor.detach().cpu().to(DTYPES[dtype]) if tensor.is_floating_point() else tensor.detach().cpu()).contiguous().clone()
        for name, tensor in tensors.items()
    }
    save_file(packed, path, metadata={"format": "pt", "ganzoo": "model 1"})
    os.chmod(path, os.stat(path.parent).st_mode & 0o666)  # safetensors leaves 0600 whatever the umask
    fsync_file(path)
    with open(path, "rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    return WeightsFile(file=path.name, size=path.stat().st_size, sha256=digest, dtype=dtype)
