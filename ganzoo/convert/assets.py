"""Makes the files of pretrained networks that trainings and metrics ask for, from the files that were published."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors.torch import save
from torch import Tensor, nn

from ganzoo.convert.pickle_reader import read_inputs
from ganzoo.convert.recognize import recognize
from ganzoo.errors import CheckpointError, GanzooError, UsageError, did_you_mean
from ganzoo.files.atomic import write_atomically
from ganzoo.files.output_checks import in_the_way
from ganzoo.files.text import quoted, reason
from ganzoo.metrics import lpips
from ganzoo.networks.efficientnet import EfficientNetLite0
from ganzoo.networks.lpips import LPIPS
from ganzoo.networks.perceptual import VGG19


@dataclass(frozen=True)
class Published:
    """A published file: its name, the start of its sha256, and where it is."""

    name: str
    sha256: str
    place: str


@dataclass(frozen=True)
class Kind:
    """An asset: the files that it is made of, the network whose tensors it holds, and how it is used."""

    files: tuple[Published, ...]
    network: Callable[[], nn.Module]
    usage: str


TIMM = "https://github.com/huggingface/pytorch-image-models/releases/download/v0.1-weights"
TORCHVISION = "https://download.pytorch.org/models"
KINDS: Mapping[str, Kind] = {
    "vgg19": Kind(
        (Published("vgg19-dcbb9e9d.pth", "dcbb9e9d", f"{TORCHVISION}/vgg19-dcbb9e9d.pth"),),
        lambda: VGG19({"pool5": 1.0}),
        "ganzoo train pix2pixhd --set loss.perceptual={out} ...",
    ),
    "efficientnet-lite0": Kind(
        (Published("tf_efficientnet_lite0-0aa007d2.pth", "0aa007d2", f"{TIMM}/tf_efficientnet_lite0-0aa007d2.pth"),),
        EfficientNetLite0,
        "ganzoo train projected-gan --set discriminator.features={out} ...",
    ),
    "lpips-alex": Kind(
        (
            Published("alexnet-owt-7be5be79.pth", "7be5be79", f"{TORCHVISION}/alexnet-owt-7be5be79.pth"),
            Published(
                "alex.pth",
                "df73285e35b22355a2df87cdb6b70b343713b667eddbda73e1977e0c860835c0",
                "weights/v0.1/alex.pth in the wheel of lpips 0.1.4 on PyPI",
            ),
        ),
        LPIPS,
        f"{lpips.FILE}={{out}} {lpips.DIGEST}={{sha256}} ganzoo score A/ B/ --paired --metric lpips",
    ),
}


@dataclass(frozen=True)
class Made:
    """A file that was written: its sha256, its tensors counted, and a command that uses it."""

    sha256: str
    tensors: int
    usage: str


def convert_asset(files: Sequence[Path], asset: str, out: Path, kinds: Mapping[str, Kind] = KINDS) -> Made:
    """Writes the safetensors file `out` of the asset from its published files, in any order.

    UsageError for an unknown asset, a file that is not a published one by its sha256, or an `out` in the way;
    CheckpointError for a file that cannot be read or does not hold the tensors. Nothing is written then.
    """
    if asset not in kinds:
        raise UsageError(f"No asset is called {quoted(asset)}.{did_you_mean(asset, kinds)}")
    kind = kinds[asset]
    if out.exists() or out.is_symlink():
        raise in_the_way(out, "choose another --out")
    if not out.parent.is_dir():
        raise UsageError(f"There is no folder {out.parent} to write {out.name} into.")
    inputs = [recognize([path]) for path in _published(files, asset, kind)]
    tensors: dict[str, Tensor] = {}
    for found in read_inputs(inputs, [None] * len(inputs)):
        if isinstance(found, GanzooError):
            raise found
        tensors |= found
    data = save(_wanted(kind.network, tensors, asset))
    write_atomically(out, data)
    digest = hashlib.sha256(data).hexdigest()
    return Made(digest, len(_names(kind.network)), kind.usage.format(out=out, sha256=digest))


def _published(files: Sequence[Path], asset: str, kind: Kind) -> list[Path]:
    """Returns the files in the order of the published ones, which they are by their sha256."""
    digests = {path: _digest(path) for path in files}
    found = [next((path for path in files if digests[path].startswith(one.sha256)), None) for one in kind.files]
    missing = [one for one, path in zip(kind.files, found, strict=True) if path is None]
    if missing:
        needed = " and ".join(f"{one.name} (sha256 {one.sha256[:8]}..., from {one.place})" for one in missing)
        came = ", ".join(f"{path} ({digest[:8]}...)" for path, digest in digests.items())
        raise UsageError(f"The asset '{asset}' is made of {needed}; got {came}.")
    if left := [str(path) for path in files if path not in found]:
        raise UsageError(f"The asset '{asset}' has no use for {', '.join(left)}: leave it out.")
    return [path for path in found if path is not None]


def _digest(path: Path) -> str:
    try:
        with open(path, "rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {reason(error)}.") from None


def _names(network: Callable[[], nn.Module]) -> dict[str, torch.Size]:
    with torch.device("meta"):
        return {name: value.shape for name, value in network().state_dict().items()}


def _wanted(network: Callable[[], nn.Module], tensors: Mapping[str, Tensor], asset: str) -> dict[str, Tensor]:
    """Returns the tensors of the network alone; CheckpointError if one is missing or of another shape."""
    wanted = _names(network)
    for name, shape in wanted.items():
        if name not in tensors or tensors[name].shape != shape:
            came = f"of shape {tuple(tensors[name].shape)}" if name in tensors else "missing"
            raise CheckpointError(f"The files of '{asset}': {name} of shape {tuple(shape)} is {came}.")
    return {name: tensors[name].float().contiguous() for name in wanted}
