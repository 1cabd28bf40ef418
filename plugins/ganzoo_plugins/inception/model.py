"""torch-fidelity's networks as extractors, with weights verified before they are read."""

from __future__ import annotations

import hashlib
import importlib.metadata
import io
import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Self, cast

import torch
from torch import Tensor, nn

from ganzoo.errors import CheckpointError, GanzooError, PluginError, UsageError

LEAST_VERSION = (0, 4, 0)  # before it precision and recall were swapped
AT_ONCE = 50  # images: at 299 x 299 pixels a layer of 500 would take 3 GB
PREPROCESSING = "grey three times; rounded to 8 bits; resized as torch-fidelity does"


@dataclass(frozen=True)
class Weights:
    """A published file: its URL, its sha256, the variable that may name it, and torch-fidelity's network name."""

    network: str
    feature: str
    url: str
    sha256: str
    variable: str

    @property
    def file(self) -> str:
        return self.url.rpartition("/")[2]


INCEPTION = Weights(
    "inception-v3-compat",
    "2048",
    "https://github.com/toshas/torch-fidelity/releases/download/v0.2.0/weights-inception-2015-12-05-6726825d.pth",
    "6726825d0af5f729cebd5821db510b11b1cfad8faad88a03f1befd49fb9129b2",
    "GANZOO_INCEPTION_WEIGHTS",
)
CLIP = Weights(
    "clip-vit-b-32",
    "clip",
    "https://openaipublic.azureedge.net/clip/models/40d365715913c9da98579312b702a82c18be219cc2a73407c4526f58eba950af/ViT-B-32.pt",
    "40d365715913c9da98579312b702a82c18be219cc2a73407c4526f58eba950af",
    "GANZOO_CLIP_WEIGHTS",
)


class Published(nn.Module):
    """Images (N, 1 or 3, H, W) in [-1, 1] to features (N, D) of torch-fidelity's network of `weights`."""

    def __init__(self, network: nn.Module, weights: Weights):
        super().__init__()
        self.network = network.eval().requires_grad_(False)
        text = f"torch-fidelity {weights.network} {weights.feature} {weights.sha256} {PREPROCESSING}"
        self.fingerprint = hashlib.sha256(text.encode()).hexdigest()

    @classmethod
    def of(cls, weights: Weights) -> Self:
        """Returns the frozen network.

        Raises PluginError if torch-fidelity does not work here, CheckpointError if the weights have another sha256.
        """
        network = network_class(weights)
        data = io.BytesIO(checked(weights))  # what was hashed, not what the file may have become since: it is a pickle
        return cls(network(weights.network, [weights.feature], feature_extractor_weights_path=data), weights)

    def forward(self, images: Tensor) -> Tensor:
        """Returns features (N, D), computed a few images at a time."""
        return torch.cat([self.network(some)[0] for some in as_bytes(images).split(AT_ONCE)])


class Inception(Published):
    """Inception-v3 of 2015, whose logits without bias the inception score uses (Salimans et al. 2016)."""

    classes = tuple(f"class {number}" for number in range(1008))

    def classify(self, features: Tensor) -> Tensor:
        """Returns logits (N, 1008) of `forward`'s features."""
        return features @ cast(nn.Linear, self.network.fc).weight.T


def as_bytes(images: Tensor) -> Tensor:
    """Converts images to uint8 (N, 3, H, W), the input of these networks."""
    if images.ndim != 4 or images.shape[1] not in (1, 3):
        raise UsageError(f"Inception and CLIP take images (N, 1 or 3, H, W), not {tuple(images.shape)}.")
    return images.float().add(1).mul(127.5).round().clamp(0, 255).to(torch.uint8).expand(-1, 3, -1, -1)


def network_class(weights: Weights) -> type[nn.Module]:
    """Returns torch-fidelity's class; PluginError in one line if it, or torchvision, is missing or does not work."""
    try:
        version = importlib.metadata.version("torch-fidelity")
    except importlib.metadata.PackageNotFoundError:
        raise PluginError(
            f"'{weights.network}' needs torch-fidelity: install ganzoo with its extra 'inception'."
        ) from None
    if tuple(map(int, re.findall(r"\d+", version)[:3])) < LEAST_VERSION:
        raise PluginError(
            f"torch-fidelity {version} is too old: 0.4.0 or newer is needed "
            "(install ganzoo with its extra 'inception')."
        )
    try:
        import torch_fidelity
    except Exception as problem:  # a torchvision for another torch fails with a RuntimeError
        reason = f"{type(problem).__name__}: {' '.join(str(problem).split())[:200]}"
        raise PluginError(
            f"torch-fidelity {version} cannot be imported; it needs a torchvision that fits this torch. {reason}"
        ) from problem
    return torch_fidelity.FeatureExtractorInceptionV3 if weights is INCEPTION else torch_fidelity.FeatureExtractorCLIP


def checked(weights: Weights) -> bytes:
    """Returns the bytes of the weights after verifying their sha256.

    The file is the one that the variable names, or the one in torch's own folder, downloaded if necessary.
    """
    named = os.environ.get(weights.variable)
    file = Path(named) if named else Path(torch.hub.get_dir()) / "checkpoints" / weights.file
    if not named and not file.exists():
        fetch(weights, file)
    try:
        data = file.read_bytes()
    except OSError as problem:
        raise CheckpointError(
            f"{file} cannot be read: {problem.strerror}. It must be {weights.file} from {weights.url}."
        ) from problem
    if hashlib.sha256(data).hexdigest() != weights.sha256:
        raise CheckpointError(
            f"{file} is not {weights.file}: its sha256 is not {weights.sha256}. Fetch it from {weights.url}."
        )
    return data


def fetch(weights: Weights, file: Path) -> None:
    """Downloads the weights and verifies their sha256; GanzooError says how to give them as a file instead."""
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        torch.hub.download_url_to_file(weights.url, str(file), hash_prefix=weights.sha256, progress=False)
    except (OSError, RuntimeError) as problem:
        reason = " ".join(str(problem).split())[:200]
        raise GanzooError(
            f"{weights.url} cannot be fetched ({reason}). Fetch it elsewhere and set {weights.variable} to the file."
        ) from problem
