"""Pretrained networks that parts need while they train: found or downloaded, verified, and handed to the part."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Mapping
from functools import partial
from importlib import resources
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load
from torch import Tensor, nn

from ganzoo.errors import CheckpointError, PluginError
from ganzoo.files.strict_json import read_bytes
from ganzoo.files.text import one_line, quoted
from ganzoo.hub.cache import fetch, is_regular
from ganzoo.hub.errors import HubTarget
from ganzoo.variant import Asset

log = logging.getLogger(__name__)

LARGEST = 4 * 10**9  # bytes


def provide_assets(
    module: nn.Module, path: str, name: str, device: torch.device | str, dtype: torch.dtype
) -> dict[str, str]:
    """Gives a part the tensors of the pretrained networks that its `assets` name, on the device; returns their sha256.

    `path` is the part's place in the settings and `name` its own. An asset that is None belongs to an option that names
    no file: a line says so. PluginError if the part has no `load_assets`, HubError or CheckpointError if a file cannot
    be had or is another.
    """
    assets: Mapping[str, Asset | None] = getattr(module, "assets", {})
    given = {key: asset for key, asset in assets.items() if asset is not None}
    for key in assets.keys() - given.keys():
        log.info(f"The {path} {quoted(name)} leaves out its term '{key}': --set {path}.{key}=FILE adds it.")
    if not given:
        return {}
    load_assets = getattr(module, "load_assets", None)
    if load_assets is None:
        raise PluginError(
            f"The {path} {quoted(name)} names assets ({', '.join(given)}) and has no method load_assets(tensors)."
        )
    tensors, digests = {}, {}
    for key, asset in given.items():
        found, digests[f"{path}.{key}"] = _read(asset, f"The asset {quoted(key)} of the {path} {quoted(name)}")
        tensors[key] = {
            own: tensor.to(device, dtype if tensor.is_floating_point() else None) for own, tensor in found.items()
        }
    load_assets(tensors)
    return digests


def read_asset(asset: Asset, what: str) -> dict[str, Tensor]:
    """Reads the tensors of an asset from its place, or from the Hub by way of the cache, if its sha256 is right.

    CheckpointError names `what` and the file.
    """
    return _read(asset, what)[0]


def _read(asset: Asset, what: str) -> tuple[dict[str, Tensor], str]:
    """Returns the tensors and the sha256 of the bytes that they were read from."""
    if asset.path is not None:
        return _verified(read_bytes(asset.path, LARGEST), asset, what, asset.path)
    if asset.package_file is not None:
        package, _, inside = asset.package_file.partition(":")
        try:
            data = resources.files(package).joinpath(inside).read_bytes()
        except (OSError, ModuleNotFoundError) as error:
            raise CheckpointError(f"{what} cannot be read from {asset.package_file}: {one_line(error)}") from None
        return _verified(data, asset, what, asset.package_file)
    assert asset.repo is not None and asset.revision is not None  # `Asset` has one of the two
    is_right = partial(is_regular, size=None, digest=asset.sha256, limit=LARGEST)
    target = HubTarget("model", asset.repo, asset.revision)
    path = fetch(asset.file, target, asset.revision, is_right, digest=asset.sha256, limit=LARGEST, size=0)
    return _verified(read_bytes(path, LARGEST), asset, what, path)


def _verified(data: bytes, asset: Asset, what: str, place: str | Path) -> tuple[dict[str, Tensor], str]:
    found = hashlib.sha256(data).hexdigest()
    if asset.sha256 and found != asset.sha256:
        wanted = "registered" if asset.path is None else "stated"
        raise CheckpointError(f"{what} is another file than the {wanted} one: the sha256 of {place} is {found}.")
    try:
        return load(data), found
    except SafetensorError as error:
        raise CheckpointError(f"{what}, {place}, is no safetensors file: {one_line(error)}") from None
