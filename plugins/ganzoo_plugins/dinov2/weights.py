"""The published weights of DINOv2, their sha256 and tensors, and how they, or a file of the user's own, are read."""

from __future__ import annotations

import hashlib
import os
import re
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from ganzoo.errors import CheckpointError, GanzooError, UsageError

PATCH, STORED = 14, 37  # published networks were trained at 518 pixels: 37 by 37 patches
EXPANSION = 4
FILE = "model.safetensors"


@dataclass(frozen=True)
class Weights:
    """A published network: its extractor, its file at one commit of the Hub, and its shape.

    `variable` may name another file.
    """

    name: str
    repository: str
    commit: str
    sha256: str
    width: int
    depth: int
    heads: int

    @property
    def variable(self) -> str:
        """Returns the environment variable that may name the file."""
        return f"GANZOO_{self.repository.rpartition('/')[2].upper().replace('-', '_')}_WEIGHTS"

    @property
    def sha256_variable(self) -> str:
        """Returns the environment variable that may state the sha256 of other weights than the published ones."""
        return self.variable.replace("WEIGHTS", "SHA256")

    @property
    def url(self) -> str:
        return f"https://huggingface.co/{self.repository}/resolve/{self.commit}/{FILE}"


SMALL = Weights(
    "dinov2-vit-s-14",
    "facebook/dinov2-small",
    "ed25f3a31f01632728cabb09d1542f84ab7b0056",
    "ae1e99fcefd534ed978cdeb8326f08030c96e28b7a81ffcbc98a857c84d14be1",
    width=384,
    depth=12,
    heads=6,
)
LARGE = Weights(
    "dinov2-vit-l-14",
    "facebook/dinov2-large",
    "47b73eefe95e8d44ec3623f8890bd894b6ea2d6c",
    "399fba97a95f22c36834418bc69373364a99af3a1153da1c0fb31db567c92e23",
    width=1024,
    depth=24,
    heads=16,
)


def read(weights: Weights) -> tuple[dict[str, Tensor], str]:
    """Returns the tensors of the network in float32, and the sha256 of their file.

    The file is the published one, downloaded once into the Hub client's folder, or the one that the variable names. It
    must have the published sha256, or the one that the other variable states. Raises CheckpointError if it is another,
    damaged, or of another network.
    """
    named, expected = os.environ.get(weights.variable), expected_sha256(weights)
    file = Path(named) if named else fetched(weights)
    try:
        data = file.read_bytes()
    except OSError as problem:
        raise CheckpointError(
            f"{file} cannot be read: {problem.strerror}. It must be {FILE} from {weights.url}."
        ) from problem
    found = hashlib.sha256(data).hexdigest()
    if found != expected:
        remedy = (
            f"If these weights are meant, set {weights.sha256_variable} to that."
            if named
            else "Delete it, and it is fetched again."
        )
        raise CheckpointError(
            f"{file} is not the file of sha256 {expected} that {weights.url} is: it has {found}. {remedy}"
        )
    return checked(tensors_of(data, file), weights, file), found


def expected_sha256(weights: Weights) -> str:
    """Returns the published sha256, or the one stated for the user's own file.

    Raises UsageError if that is not a sha256, or no file is named.
    """
    stated = os.environ.get(weights.sha256_variable)
    if not stated:
        return weights.sha256
    if not os.environ.get(weights.variable):
        raise UsageError(f"{weights.sha256_variable} is set, but {weights.variable} names no file that it could be of.")
    if not re.fullmatch(r"[0-9a-f]{64}", stated.lower()):
        raise UsageError(f"{weights.sha256_variable} must be a sha256 in 64 hex digits, not '{stated[:80]}'.")
    return stated.lower()


def fetched(weights: Weights) -> Path:
    """Returns the file in the Hub client's folder, downloaded if necessary.

    Raises GanzooError, which says how to give it as a file instead.
    """
    from huggingface_hub import get_hf_file_metadata, hf_hub_download, hf_hub_url, try_to_load_from_cache

    kept = try_to_load_from_cache(weights.repository, FILE, revision=weights.commit)
    if isinstance(kept, str):
        return Path(kept).resolve()  # not the link to it: the client would only link a damaged file again
    try:
        get_hf_file_metadata(
            hf_hub_url(weights.repository, FILE, revision=weights.commit)
        )  # fails at once where a download tries for long
        return Path(hf_hub_download(weights.repository, FILE, revision=weights.commit))
    except Exception as problem:  # the client and its transport have no common error
        reason = " ".join(f"{type(problem).__name__}: {problem}".split())[:200]
        remedy = f"Fetch it elsewhere and set {weights.variable} to the file."
        raise GanzooError(f"{weights.url} cannot be fetched ({reason}). {remedy}") from problem


def tensors_of(data: bytes, file: Path) -> dict[str, Tensor]:
    from safetensors.torch import load

    try:
        return load(data)
    except Exception as problem:  # a header may be wrong in more ways than safetensors has errors for
        raise CheckpointError(f"{file} is not valid safetensors: {' '.join(str(problem).split())[:200]}.") from None


def checked(tensors: dict[str, Tensor], weights: Weights, file: Path) -> dict[str, Tensor]:
    """Returns the same tensors in float32.

    Raises CheckpointError that names the first which is missing, of another shape, not finite, or superfluous.
    """
    expected = shapes(weights)
    kind = f"{file} holds no DINOv2 network of {weights.depth} layers of width {weights.width}"
    for name, shape in expected.items():
        if name not in tensors:
            raise CheckpointError(f"{kind}: it has no '{name}'.")
        if tuple(tensors[name].shape) != shape:
            raise CheckpointError(f"{kind}: its '{name}' is {tuple(tensors[name].shape)}, not {shape}.")
        if not tensors[name].is_floating_point() or not tensors[name].isfinite().all():
            raise CheckpointError(f"{kind}: its '{name}' is not all finite numbers.")
    if more := sorted(tensors.keys() - expected.keys()):
        raise CheckpointError(f"{kind}: it has {len(more)} more tensors, '{more[0][:80]}' among them.")
    return {name: tensor.to(torch.float32) for name, tensor in tensors.items()}


def shapes(weights: Weights) -> dict[str, tuple[int, ...]]:
    """Returns {name: shape} of the tensors in the published file."""
    width, wide = weights.width, weights.width * EXPANSION
    found = {
        "embeddings.cls_token": (1, 1, width),
        "embeddings.mask_token": (1, width),
        "embeddings.position_embeddings": (1, STORED**2 + 1, width),
        "embeddings.patch_embeddings.projection.weight": (width, 3, PATCH, PATCH),
        "embeddings.patch_embeddings.projection.bias": (width,),
    }
    linear = {"attention.attention.query": (width, width), "attention.attention.key": (width, width)}
    linear |= {"attention.attention.value": (width, width), "attention.output.dense": (width, width)}
    linear |= {"mlp.fc1": (wide, width), "mlp.fc2": (width, wide)}
    for layer in (f"encoder.layer.{number}." for number in range(weights.depth)):
        for name, shape in linear.items():
            found |= {f"{layer}{name}.weight": shape, f"{layer}{name}.bias": shape[:1]}
        for name in (
            "norm1.weight",
            "norm1.bias",
            "norm2.weight",
            "norm2.bias",
            "layer_scale1.lambda1",
            "layer_scale2.lambda1",
        ):
            found[layer + name] = (width,)
    return found | {"layernorm.weight": (width,), "layernorm.bias": (width,)}
