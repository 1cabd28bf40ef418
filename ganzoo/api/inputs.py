"""Turns what Python programs give into what the commands' requests hold: names and settings."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ganzoo.config.options import TrainOptions
from ganzoo.errors import UsageError, did_you_mean
from ganzoo.files.output_checks import path_of
from ganzoo.files.text import quoted
from ganzoo.registry.in_process import register_in_process, register_variant_in_process
from ganzoo.registry.registry import IN_PROCESS, registry
from ganzoo.variant import Part, Variant

if TYPE_CHECKING:
    import numpy
    import torch

    Images = (
        str
        | os.PathLike[str]
        | torch.Tensor
        | numpy.ndarray
        | torch.utils.data.Dataset
        | tuple[torch.Tensor | numpy.ndarray, torch.Tensor | numpy.ndarray]
    )
Parts = Mapping[str, Any]
PARTS = ("generator", "discriminator", "loss", "regularizers", "augmentation", "inputs", "training", "sizes", "labels")


def data_name(data: Images) -> str:
    """Returns the text of `--data` that stands for data; images in memory are registered as a data set of this process.

    UsageError for a value of no known type.
    """
    if isinstance(data, str):
        if not data:
            raise UsageError("The name of data is empty: give a name, a folder, a file, or images in memory.")
        return data
    if isinstance(data, os.PathLike):
        path = os.fspath(data)
        return path if os.path.dirname(path) else os.path.join(".", path)
    from ganzoo.data.in_memory import array_source
    from ganzoo.data.torch_dataset import ImageDataset

    if isinstance(data, ImageDataset) and data.source is not None:
        return data.source
    images, labels = data if isinstance(data, tuple) and len(data) == 2 else (data, None)
    source = array_source(images, labels)

    def in_memory(root: Path | None, split: str = "") -> Any:
        if split:
            raise UsageError(f"Images in memory have no split {quoted(split)}: leave it out.")
        return source

    register_in_process("datasets", source.name)(in_memory)
    return source.name


LEAST = {
    **dict.fromkeys(("steps", "images", "batch_size", "threads", "sample_every", "checkpoint_every", "jobs"), 1),
    **dict.fromkeys(("points", "eval_images", "count"), 1),
    **{"keep": 2, "seed": 0, "classes": 0},
}
CHOICES = {
    "precision": ("fp32", "bf16"),
    "on_collapse": ("warn", "stop", "rollback"),
    "on_bad_image": ("error", "skip"),
    "direction": ("AtoB", "BtoA"),
    "channels": (1, 3, 4),
    "source_channels": (1, 3, 4),
}
# Arguments of which None is no value.
NEEDED = ("seed", "count", "classes", "sample_every", "checkpoint_every", "keep", "on_collapse", "on_bad_image")
LARGEST_SEED = 2**63 - 1


def check_values(**values: Any) -> None:
    """UsageError for an argument that the command line would refuse: out of range, or none of its choices."""
    for name, value in values.items():
        if value is None and name not in NEEDED:
            continue
        if name in LEAST and not (_is_whole(value) and LEAST[name] <= value <= LARGEST_SEED):
            raise UsageError(f"{name} is a whole number from {LEAST[name]}, not {quoted(value)}.")
        if name in CHOICES and value not in CHOICES[name]:
            known = ", ".join(map(repr, CHOICES[name]))
            raise UsageError(f"{name} cannot be {quoted(value)}; known: {known}.")
        if name in ("image_size", "source_size"):
            sides = value if isinstance(value, tuple) and len(value) == 2 else (value,)
            if not all(_is_whole(side) and side > 0 for side in sides):
                raise UsageError(f"{name} is in pixels, or (height, width), not {quoted(value)}.")


def _is_whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def callbacks_of(callbacks: Any) -> tuple[Any, ...]:
    """Returns callbacks as a tuple; one function or tracker may come alone."""
    alone = callable(callbacks) or not isinstance(callbacks, Iterable)
    return (callbacks,) if alone else tuple(callbacks)


def settings_of(overrides: Mapping[str, Any]) -> tuple[str, ...]:
    """Returns the settings "path=value" of `{path: value}`; UsageError for a value that JSON does not have."""
    if not isinstance(overrides, Mapping):
        raise UsageError(f'overrides is a table such as {{"loss.penalty": 5}}, not {quoted(overrides)}.')
    found = []
    for path, value in overrides.items():
        if not isinstance(path, str) or "=" in path:
            raise UsageError(f'A setting is a text such as "loss.penalty", not {quoted(path)}.')
        plain = value.name if isinstance(value, Part) and not value.options else value
        try:
            found.append(f"{path}={json.dumps(plain)}")
        except (TypeError, ValueError):
            raise UsageError(
                f"The setting {quoted(path)} is a number, text, list or table, not {type(value).__name__}."
            ) from None
    return tuple(found)


def names_of(argument: str, values: str | Iterable[str]) -> tuple[str, ...]:
    """Returns the names that an argument gives as a tuple; one alone may be a text. UsageError for anything else."""
    found = (values,) if isinstance(values, str) or not isinstance(values, Iterable) else tuple(values)
    for one in found:
        if not isinstance(one, str):
            raise UsageError(f"{argument} takes a name or a list of names, not {quoted(one)}.")
    return found


def start_of(value: Any) -> str:
    """Returns the source of weights that a training starts from; UsageError for what is not on disk or the Hub."""
    if not isinstance(value, str | os.PathLike):
        raise UsageError(
            f"start_from is a run, a model folder, a tag or owner/name, not {type(value).__name__}: save a model first."
        )
    return os.fspath(value)


def device_of(device: Any) -> str:
    """Returns the name of a device, which may come as a `torch.device`; UsageError for anything else."""
    if isinstance(device, str):
        return device
    import torch

    if isinstance(device, torch.device):
        return str(device)
    raise UsageError(f'device is a name such as "cpu", "cuda:1" or "auto", not {quoted(device)}.')


def frozen_layers(freeze: Any) -> dict[str, int]:
    """Returns numbers of first layers by network; UsageError unless all are whole and above 0."""
    if isinstance(freeze, Mapping) and all(_is_whole(count) and count > 0 for count in freeze.values()):
        return dict(freeze)
    known = 'a table of whole numbers above 0, such as {"discriminator": 2}'
    raise UsageError(f"freeze is {known}, not {quoted(freeze)}.")


def options_of(
    *,
    data_root: str | os.PathLike[str] | None = None,
    overrides: Mapping[str, Any],
    mixins: str | Iterable[str] = (),
    device: Any,
    **plain: Any,
) -> TrainOptions:
    """Returns the options of a training that arguments give; `plain` are those that stay as they are.

    UsageError for one that the command line would refuse.
    """
    check_values(**{name: value for name, value in plain.items() if name not in ("data", "source")})
    return TrainOptions(
        data_root=None if data_root is None else path_of("data_root", data_root),
        settings=settings_of(overrides),
        mixins=names_of("mixins", mixins),
        device=device_of(device),
        **plain,
    )


def card_of(variant: str | Variant | Parts) -> str | Variant:
    """Returns the name of a registered variant, or the card of one; a card of another name is registered here.

    A mapping of parts becomes the card "custom"; see `ganzoo.create_trainer`.
    """
    if isinstance(variant, str):
        return variant
    card = variant if isinstance(variant, Variant) else _card_of_parts(variant)
    known = registry()
    if card.name not in known.names("variants") or known.claim("variants", card.name).plugin.distribution == IN_PROCESS:
        register_variant_in_process(card)
    return card


def _card_of_parts(parts: Parts) -> Variant:
    if not isinstance(parts, Mapping):
        raise UsageError(f"A variant is a name, a ganzoo.Variant or a mapping of parts, not {type(parts).__name__}.")
    for key in parts:
        if key not in PARTS:
            raise UsageError(f"A variant has no part {quoted(key)}.{did_you_mean(str(key), PARTS)}")
    if missing := [role for role in ("generator", "loss") if role not in parts]:
        raise UsageError(f"A variant needs a generator and a loss: the {missing[0]} is missing.")
    given = dict(parts)
    for role in ("generator", "discriminator", "loss", "augmentation"):
        if given.get(role) is not None:
            given[role] = _part(given[role], role)
    several = given.get("regularizers", ())
    if isinstance(several, str) or not isinstance(several, Iterable):
        raise UsageError(f'regularizers is a list of parts, such as ["lecam"], not {quoted(several)}.')
    given["regularizers"] = tuple(_part(one, "regularizer") for one in several)
    return Variant(
        name="custom",
        summary="Parts of a Python program.",
        paper="",
        year=2026,
        **{"discriminator": None, "sizes": _any_size(), **given},
    )


def _any_size() -> Any:
    from ganzoo.variant import Sizes

    return Sizes((32, 64), multiple=1, least=1, most=4096, square=False)


def _part(value: Any, role: str) -> Part:
    """A part by name, or of a class, which is registered in this process under its name in lower case."""
    if isinstance(value, Part):
        return value
    if isinstance(value, str):
        return Part(value)
    if isinstance(value, type):
        name = value.__name__.lower().strip("_")
        register_in_process({"loss": "losses"}.get(role, f"{role}s"), name)(value)
        return Part(name)
    raise UsageError(
        f"A {role} is the name of a registered one, a ganzoo.Part or a class, not {type(value).__name__}: "
        f"a network that is built already cannot be described in a config.json."
    )
