"""Pretrained networks that parts need while they train: found or downloaded, verified, and handed to the part."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from importlib import resources
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from ganzoo.errors import CheckpointError, PluginError
from ganzoo.files.text import one_line, quoted
from ganzoo.hub.cache import fetch, hash_like, is_regular
from ganzoo.hub.errors import HubTarget
from ganzoo.variant import Asset

LARGEST = 4 * 10**9  # bytes


def provide_assets(module: nn.Module, name: str, device: torch.device | str, dtype: torch.dtype) -> None:
    """Gives a part the tensors of the pretrained networks that its `assets` name, on the device.

    PluginError if the part has no `load_assets`, HubError or CheckpointError if a file cannot be had or is another.
    """
    assets: Mapping[str, Asset] = getattr(module, "assets", {})
    if not assets:
        return
    load = getattr(module, "load_assets", None)
    if load is None:
        raise PluginError(f"{name} names assets ({', '.join(assets)}) and has no method load_assets(tensors).")
    tensors = {}
    for key, asset in assets.items():
        found = read_asset(asset, f"the asset {quoted(key)} of {name}")
        tensors[key] = {
            path: tensor.to(device, dtype if tensor.is_floating_point() else None) for path, tensor in found.items()
        }
    load(tensors)


def read_asset(asset: Asset, what: str) -> dict[str, Tensor]:
    """Reads the tensors of an asset from its package, or from the Hub by way of the cache, if its sha256 is right."""
    if asset.package_file is not None:
        package, _, inside = asset.package_file.partition(":")
        try:
            with resources.as_file(resources.files(package).joinpath(inside)) as path:
                return _verified(path, asset, what)
        except (OSError, ModuleNotFoundError) as error:
            raise CheckpointError(f"{what} cannot be read from {asset.package_file}: {one_line(error)}") from None
    assert asset.repo is not None and asset.revision is not None  # `Asset` has one of the two
    is_right = partial(is_regular, size=None, digest=asset.sha256, limit=LARGEST)
    target = HubTarget("model", asset.repo, asset.revision)
    path = fetch(asset.file, target, asset.revision, is_right, digest=asset.sha256, limit=LARGEST, size=0)
    return _verified(path, asset, what)


def _verified(path: Path, asset: Asset, what: str) -> dict[str, Tensor]:
    found = hash_like(asset.sha256, path)
    if found != asset.sha256:
        raise CheckpointError(f"{what} is another file than the registered one: its sha256 is {found}.")
    try:
        return load_file(path)
    except SafetensorError as error:
        raise CheckpointError(f"{what} is no safetensors file: {one_line(error)}") from None
