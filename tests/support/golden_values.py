"""What the tests against official code share: a golden file, its parts, and our network made from it by a layout."""

from __future__ import annotations

import torch
from golden.from_names import numbers
from paths import GOLDEN
from safetensors.torch import load_file

from ganzoo.config.recipe import bind_part
from ganzoo.engine.build import build_part
from ganzoo.registry.registry import registry

KIND = {"generator": "generators", "discriminator": "discriminators"}


def golden(name: str) -> dict[str, torch.Tensor]:
    """All tensors of tests/golden/<name>.safetensors."""
    return load_file(GOLDEN / f"{name}.safetensors")


def under(tensors: dict[str, torch.Tensor], prefix: str) -> dict[str, torch.Tensor]:
    """Those whose name begins with `prefix.`, without it."""
    return {name.removeprefix(f"{prefix}."): value for name, value in tensors.items() if name.startswith(f"{prefix}.")}


def converted(layout, tensors: dict[str, torch.Tensor], role: str) -> torch.nn.Module:
    """Our network with the official weights of a role, recognized by their names and shapes alone; in training mode."""
    theirs = under(tensors, role)
    match = layout.recognize({name: tuple(value.shape) for name, value in theirs.items()})
    assert match is not None and match.role == role
    network = build_part(bind_part(role, match.part, registry()), match.image)
    network.load_state_dict(layout.convert(theirs, match))
    return network.train()


def close(ours: torch.Tensor, theirs: torch.Tensor) -> bool:
    """Whether two tensors agree to 1e-5, relative to the largest number where that exceeds 1."""
    return ours.shape == theirs.shape and (ours - theirs).abs().max() <= 1e-5 * max(1.0, theirs.abs().max())


def turned(theirs: torch.Tensor) -> torch.Tensor:
    """A weight of TensorFlow (axes height, width, inputs, outputs) as torch has it; vectors as they are."""
    return theirs.permute(3, 2, 0, 1) if theirs.dim() == 4 else theirs.t() if theirs.dim() == 2 else theirs


def tensorflow_numbers(name: str, ours: torch.Tensor) -> torch.Tensor:
    """The numbers that a script gave TensorFlow's variable `name`, in the arrangement of our weight or vector."""
    shape = ours.permute(2, 3, 1, 0).shape if ours.dim() == 4 else ours.t().shape if ours.dim() == 2 else ours.shape
    return turned(torch.from_numpy(numbers(name, tuple(shape))))
