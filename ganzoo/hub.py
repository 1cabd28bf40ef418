"""Loading a trained generator from a run or a checkpoint. Nothing that a file says is ever executed or imported."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from .build import build_part, option_mistakes
from .checkpoint import load_checkpoint, newest_checkpoint
from .config import image_from_json, run_config, variant_from_json
from .errors import CheckpointError, UsageError
from .model import Model
from .registry import registry


def load(source: str | Path, *, device: str | torch.device = "cpu", report=lambda line: None) -> Model:
    """Loads the generator of a run folder (its newest checkpoint that verifies) or of one checkpoint, ready to draw from.

    The moving average is taken if there is one. The generator is built on the meta device and given the stored tensors: no
    random initialization, no second copy. UsageError if the folder is neither; CheckpointError names what is damaged.
    """
    folder = Path(source)
    run = _run_of(folder)
    config = run_config(run / "config.json")
    variant, image = variant_from_json(config["variant"]), image_from_json(config["image"])
    key = "generator" if variant.training.ema is None else "generator_ema"
    weights = _weights(folder, key, report)
    factory = registry().get("generators", variant.generator.name)
    if mistakes := option_mistakes(factory, variant.generator.options):
        raise CheckpointError(f"{run / 'config.json'}: generator.{mistakes[0]}")
    with torch.device("meta"):
        generator: Any = build_part("generator", variant.generator, image, registry())
    _assign(generator, weights, folder)
    return Model(generator.to(device), variant=variant.name, image=image, config=config)


def _run_of(folder: Path) -> Path:
    """The run folder that holds the config.json of a source."""
    if not folder.is_dir():
        raise UsageError(f"There is no folder {folder}: give a run folder or one of its checkpoints.")
    if (folder / "MANIFEST.json").is_file():
        return folder.resolve().parent.parent
    if (folder / "config.json").is_file():
        return folder
    raise UsageError(f"{folder} is neither a run (no config.json) nor a checkpoint (no MANIFEST.json).")


def _weights(folder: Path, key: str, report) -> dict[str, Any]:
    """The generator's tensors, from a checkpoint or from the newest of a run that verifies."""
    if (folder / "MANIFEST.json").is_file():
        return load_checkpoint(folder, [key])[1][key]
    found = newest_checkpoint(folder / "checkpoints", report, [key])
    if found is None:
        raise CheckpointError(f"{folder} has no checkpoint yet.")
    return found[1][key]


def _assign(generator: torch.nn.Module, weights: dict[str, Any], where: Path) -> None:
    """Gives a module on the meta device its stored tensors, after every name and shape has been checked."""
    wanted = {name: tuple(tensor.shape) for name, tensor in generator.state_dict().items()}
    found = {name: tuple(tensor.shape) for name, tensor in weights.items()}
    problems = [f"{name} is missing" for name in wanted if name not in found]
    problems += [f"{name} is unknown" for name in found if name not in wanted]
    problems += [f"{name} is {found[name]}, not {wanted[name]}" for name in wanted if name in found and found[name] != wanted[name]]
    if problems:
        more = f" and {len(problems) - 3} more" if len(problems) > 3 else ""
        raise CheckpointError(f"{where} does not fit the generator that its config.json names: {'; '.join(problems[:3])}{more}.")
    generator.load_state_dict(weights, assign=True)
    homeless = [name for name, buffer in generator.named_buffers() if buffer.is_meta]
    if homeless:
        raise CheckpointError(f"{where}: the generator keeps {homeless[0]} out of its state, so it cannot be loaded.")
