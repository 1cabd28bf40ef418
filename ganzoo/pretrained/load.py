"""Loading a trained generator, from wherever it lies. Nothing that a file says is ever executed or imported."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from importlib import resources
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ..build import build_part, option_mistakes
from ..checkpoint import load_checkpoint, newest_checkpoint
from ..config import image_from_json, run_config, variant_from_json
from ..errors import CheckpointError, UsageError
from ..model import Model
from ..networks import Generator
from ..registry import Registry, registry
from .config import GENERATOR_FILE, ModelConfig, Provider, read_model_config
from .source import Repository, Tag, parse_source
from .tensors import read_tensors, refuse_difference

Report = Callable[[str], None]


def load(
    source: str | Path,
    *,
    device: str | torch.device = "cpu",
    dtype: torch.dtype | None = None,
    mmap: bool = True,
    report: Report = lambda line: None,
) -> Model:
    """Loads a generator, ready to draw from.

    `source` is a tag of a registered variant ("dcgan.fashion-mnist"), a repository on the Hub ("owner/name",
    "owner/name@revision", "hf://..."), a run folder (its newest checkpoint that verifies), a checkpoint, or a model folder; see
    `parse_source` for how each is written. Of a run the moving average is taken if there is one. The generator is built on
    the meta device and given the stored tensors, mapped from the file if `mmap`: no random initialization, no second copy.
    `dtype` None means float32, however the numbers are stored. UsageError if there is no such source; CheckpointError names
    what is damaged.
    """
    found = parse_source(source, registry())
    if isinstance(found, Tag):
        return _load_tag(found, device, dtype, mmap, report)
    if isinstance(found, Repository):
        from .hub import pull

        return load_folder(pull(found.repo, found.revision, report=report).folder, device=device, dtype=dtype, mmap=mmap)
    if (found / "MANIFEST.json").is_file() or (found / "checkpoints").is_dir():
        return load_run(found, device=device, dtype=dtype, report=report)
    if (found / "config.json").is_file():
        return load_folder(found, device=device, dtype=dtype, mmap=mmap)
    if not found.is_dir():
        raise UsageError(f"There is no folder {found}: give a run, one of its checkpoints, a model folder, a tag or owner/name on the Hub.")
    raise UsageError(f"{found} is neither a run nor a model (no config.json) nor a checkpoint (no MANIFEST.json).")


def _load_tag(tag: Tag, device, dtype, mmap: bool, report: Report) -> Model:
    """The weights that a variant names, pinned to one hash."""
    weights = tag.weights
    if weights.package_file is None:
        from .hub import pull

        pulled = pull(weights.repo, weights.revision, sha256=weights.sha256, report=report)
        return load_folder(pulled.folder, device=device, dtype=dtype, mmap=mmap, sha256=weights.sha256)
    package, _, inside = weights.package_file.partition(":")
    with resources.as_file(resources.files(package).joinpath(inside)) as folder:
        return load_folder(folder, device=device, dtype=dtype, mmap=mmap, sha256=weights.sha256)


def load_folder(
    folder: Path,
    *,
    device: str | torch.device = "cpu",
    dtype: torch.dtype | None = None,
    mmap: bool = True,
    sha256: str | None = None,
) -> Model:
    """The generator of a model folder; `sha256` is what the weights must have besides what config.json says."""
    folder = Path(folder)
    config = read_model_config(folder / "config.json")
    if sha256 is not None and config.weights.sha256 != sha256:
        raise CheckpointError(f"{folder / 'config.json'}: weights.sha256 is not the registered one, {sha256}.")
    generator = _on_meta(config, folder / "config.json", registry())
    tensors = read_tensors(folder / GENERATOR_FILE, generator.state_dict(), config.weights, mmap=mmap)
    return _finished(generator, tensors, config, folder, device, dtype)


def load_run(
    folder: Path, *, device: str | torch.device = "cpu", dtype: torch.dtype | None = None, report: Report = lambda line: None
) -> Model:
    """The generator of a run or of one of its checkpoints."""
    run = folder.resolve().parent.parent if (folder / "MANIFEST.json").is_file() else folder
    facts = run_config(run / "config.json")
    variant, image = variant_from_json(facts["variant"]), image_from_json(facts["image"])
    key = "generator" if variant.training.ema is None else "generator_ema"
    step, tensors = _of_checkpoint(folder, key, report)
    config = describe_run(facts, step)
    generator = _on_meta(config, run / "config.json", registry())
    refuse_difference(folder, generator.state_dict(), {name: tuple(tensor.shape) for name, tensor in tensors.items()})
    return _finished(generator, tensors, config, folder, device, dtype)


def _of_checkpoint(folder: Path, key: str, report: Report) -> tuple[int, dict[str, Tensor]]:
    """(step, tensors), from a checkpoint or from the newest of a run that verifies."""
    if (folder / "MANIFEST.json").is_file():
        step, trees, _ = load_checkpoint(folder, [key])
    else:
        found = newest_checkpoint(folder / "checkpoints", report, [key])
        if found is None:
            raise CheckpointError(f"{folder} has no checkpoint yet.")
        step, trees, _ = found
    return step, dict(trees[key])


def describe_run(facts: Mapping[str, Any], step: int) -> ModelConfig:
    """What a model folder would say of the generator that a run had at a step."""
    variant, image = variant_from_json(facts["variant"]), image_from_json(facts["image"])
    plugin = facts["plugin"]
    settings = facts["variant"]["training"]
    return ModelConfig(
        variant=variant.name,
        generator=variant.generator,
        image=image,
        latent_dim=1,
        classes=tuple(facts["data"]["classes"]) if image.classes else (),
        provider=Provider(distribution=plugin.get("distribution", ""), version=plugin.get("version", "")),
        licence="unknown",
        discriminator=variant.discriminator,
        training={
            "steps": step,
            "images_seen": step * settings["batch_size"],
            "seed": facts["seed"],
            "precision": facts["precision"],
            "data": {key: facts["data"][key] for key in ("source", "name", "fingerprint", "revision", "images")},
            "loss": facts["variant"]["loss"],
            "settings": settings,
            "versions": facts["versions"],
        },
    )


def _on_meta(config: ModelConfig, where: Path, parts: Registry) -> Generator:
    """The generator that a config names, without memory for its numbers."""
    factory = parts.get("generators", config.generator.name)
    if mistakes := option_mistakes(factory, config.generator.options):
        raise CheckpointError(f"{where}: generator.{mistakes[0]}")
    with torch.device("meta"):
        return build_part("generator", config.generator, config.image, parts)


def _finished(generator: Generator, tensors: dict[str, Tensor], config: ModelConfig, where: Path, device, dtype) -> Model:
    """The model around a generator whose tensors have been checked."""
    from dataclasses import replace

    generator.load_state_dict(tensors, assign=True)
    homeless = [name for name, buffer in generator.named_buffers() if buffer.is_meta]
    if homeless:
        raise CheckpointError(f"{where}: the generator keeps {homeless[0]} out of its state, so it cannot be loaded.")
    generator = generator.to(device=device, dtype=dtype or torch.float32)
    return Model(generator, replace(config, latent_dim=generator.latent_dim))
