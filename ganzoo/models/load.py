"""Loads a trained generator, wherever it is stored; nothing that a file says is executed or imported."""

from __future__ import annotations

import os
import shlex
from collections.abc import Mapping
from dataclasses import asdict, replace
from importlib import resources
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ganzoo.checkpoints.checkpoint import load_checkpoint, newest_checkpoint
from ganzoo.config.schema import RunConfig, is_run_config, read_run_config
from ganzoo.errors import CheckpointError, UsageError
from ganzoo.files.atomic import disk_errors
from ganzoo.files.text import quoted, resume_command
from ganzoo.models.config import GENERATOR_FILE, ModelConfig, Provider, read_model_config
from ganzoo.models.file_types import HEAD_BYTES, file_type
from ganzoo.models.meta_device import build_on_meta, check_latent_dim, load_tensors, warn_of_in_process
from ganzoo.models.model import Model
from ganzoo.models.source import Repository, Tag, parse_source
from ganzoo.models.tensors import TensorFile, refuse_difference
from ganzoo.registry.registry import Registry, registry

FLOATING = (torch.float32, torch.float64, torch.float16, torch.bfloat16)


def load(
    source: str | os.PathLike,
    *,
    device: str | torch.device = "cpu",
    dtype: torch.dtype | None = None,
    compile: bool = False,
    mmap: bool = True,
    verify: bool = False,
    allow_nonfinite: bool = False,
    average: bool = True,
) -> Model:
    """Loads a generator, ready to sample from.

    `source` is a tag of a registered variant ("dcgan.fashion-mnist"), a repository on the Hub ("owner/name",
    "owner/name@revision", "hf://..."), a run folder (its newest checkpoint that verifies), a checkpoint, or a model
    folder; `parse_source` tells them apart. Of a run it takes the EMA generator if there is one, or with
    `average=False` the weights being trained, which early in a run are better than their average.

    The generator is built on the meta device and given the stored tensors, mapped from the file if `mmap`: no random
    initialization, no second copy. `dtype` None means float32, however the numbers are stored. `compile` samples
    through torch.compile. The weights are hashed and checked for NaN and infinity once, and again when their file has
    changed; always if `verify`, or without `mmap`. `allow_nonfinite` loads a diverged model for inspection. UsageError
    if there is no such source; CheckpointError names the damage.
    """
    found = parse_source(source, registry())
    place: dict[str, Any] = {"device": device, "dtype": dtype, "compile": compile}
    how = {**place, "mmap": mmap, "verify": verify, "allow_nonfinite": allow_nonfinite}
    is_run = isinstance(found, Path) and is_run_or_checkpoint(found)
    if not average and not is_run:
        raise UsageError(f"{source} has one set of weights: only a run or a checkpoint can be loaded without its EMA.")
    if isinstance(found, Tag):
        return _load_tag(found, how)
    if isinstance(found, Repository):
        from ganzoo.models.pull import pull

        return load_folder(pull(found.repo, found.revision).folder, **how)
    if is_run:
        return load_run(found, **place, average=average)
    if (found / "config.json").is_file():
        return load_folder(found, **how)
    if found.is_file():
        raise UsageError(f"{found} is a file, not the folder of a model: {_content(found)}.")
    if not found.is_dir():
        raise UsageError(
            f"There is no folder {found}: give a run, one of its checkpoints, a model folder, a tag "
            "or owner/name on the Hub."
        )
    raise UsageError(f"{found} is neither a run nor a model (no config.json) nor a checkpoint (no MANIFEST.json).")


def is_run_or_checkpoint(folder: Path) -> bool:
    """True for a checkpoint and for a run, also for one that was stopped before its first checkpoint."""
    if (folder / "MANIFEST.json").is_file() or (folder / "checkpoints").is_dir():
        return True
    return (folder / "config.json").is_file() and is_run_config(folder / "config.json")


def no_checkpoint(folder: Path) -> CheckpointError:
    """The error of a run that has no weights yet."""
    return CheckpointError(
        f"{folder} is a run that has no checkpoint yet: let it train until its first, "
        f"or train on with {resume_command(folder)} if it has stopped."
    )


def _content(path: Path) -> str:
    """Says what a file holds by its first bytes, and the command that would take it."""
    if (path.parent / "config.json").is_file():
        return f"give {path.parent}"
    with disk_errors(f"{path} cannot be read", UsageError), open(path, "rb") as file:
        kind = file_type(file.read(HEAD_BYTES))
    if kind is None:
        return "give the folder that holds it"
    advice = f"`ganzoo convert {shlex.quote(str(path))} --out FOLDER` makes one of it"
    return kind.description if kind.convertible is None else f"it is {kind.description}; {advice}{kind.convertible}"


def _load_tag(tag: Tag, how: Mapping[str, Any]) -> Model:
    """Loads the weights that a variant names, pinned to one sha256."""
    weights = tag.weights
    if weights.package_file is None:
        from ganzoo.models.pull import pull

        assert weights.repo is not None  # `Weights` has one of the two
        pulled = pull(weights.repo, weights.revision, sha256=weights.sha256)
        return load_folder(pulled.folder, **how, sha256=weights.sha256)
    package, _, inside = weights.package_file.partition(":")
    with resources.as_file(resources.files(package).joinpath(inside)) as folder:
        return load_folder(folder, **how, sha256=weights.sha256)


def load_folder(
    folder: Path,
    *,
    device: str | torch.device = "cpu",
    dtype: torch.dtype | None = None,
    compile: bool = False,
    mmap: bool = True,
    verify: bool = False,
    allow_nonfinite: bool = False,
    sha256: str | None = None,
    parts: Registry | None = None,
) -> Model:
    """Loads the generator of a model folder with the options of `load`; the weights must also have the hash `sha256`.

    It is built from the parts registered in `parts`, or from the installed plugins if None.
    """
    parts = parts or registry()
    folder, (device, dtype) = Path(folder), _place(device, dtype)
    where = str(folder / "config.json")
    config = read_model_config(folder / "config.json")
    assert config.weights is not None  # as `read_model_config` requires
    if sha256 is not None and config.weights.sha256 != sha256:
        raise CheckpointError(f"{where}: weights: the sha256 is not the registered one, {sha256}.")
    warn_of_in_process(config, folder, parts)
    with TensorFile(folder / GENERATOR_FILE) as file:
        generator = build_on_meta(config, where, parts, len(file.entries))
        check_latent_dim(config, generator, where)
        tensors = file.read(
            generator.state_dict(), config.weights, mmap=mmap, verify=verify, allow_nonfinite=allow_nonfinite
        )
    return Model(
        load_tensors(generator, tensors, config, parts).to(device=device, dtype=dtype), config, compile=compile
    )


def load_run(
    folder: Path,
    *,
    device: str | torch.device = "cpu",
    dtype: torch.dtype | None = None,
    compile: bool = False,
    average: bool = True,
) -> Model:
    """Loads the generator of a run or of one of its checkpoints, every byte of which is verified each time."""
    device, dtype = _place(device, dtype)
    run = folder.resolve().parent.parent if (folder / "MANIFEST.json").is_file() else folder
    run_config = read_run_config(run / "config.json")
    averaged = average and run_config.variant.training.averages
    key = "generator_ema" if averaged else "generator"
    step, tensors = _of_checkpoint(folder, key)
    config = describe_run(run_config, step, averaged)
    warn_of_in_process(config, run, registry())
    generator = build_on_meta(config, str(run / "config.json"), registry(), len(tensors))
    refuse_difference(folder, generator.state_dict(), {name: tuple(tensor.shape) for name, tensor in tensors.items()})
    generator = load_tensors(generator, tensors, config, registry()).to(device=device, dtype=dtype)
    return Model(generator, replace(config, latent_dim=generator.latent_dim), compile=compile)


def _place(device: str | torch.device, dtype: torch.dtype | None) -> tuple[torch.device, torch.dtype]:
    """Returns the device and dtype of the generator; UsageError for a device or dtype that does not exist."""
    from ganzoo.engine.device import choose_device
    from ganzoo.engine.randomness import repeatable

    if dtype not in (None, *FLOATING):
        raise UsageError(
            f"A generator cannot compute in {dtype}; known: {', '.join(str(known) for known in FLOATING)}."
        )
    try:
        found = torch.device(choose_device(str(device)))
    except RuntimeError:
        raise UsageError(f"{quoted(str(device))} is no device; known are cpu, cuda, cuda:0, mps and auto.") from None
    repeatable(found)
    return found, dtype or torch.float32


def _of_checkpoint(folder: Path, key: str) -> tuple[int, dict[str, Tensor]]:
    """Reads (step, tensors) from a checkpoint, or from the newest of a run that verifies."""
    if (folder / "MANIFEST.json").is_file():
        step, trees, _ = load_checkpoint(folder, [key])
    else:
        found = newest_checkpoint(folder / "checkpoints", [key])
        if found is None:
            raise no_checkpoint(folder)
        step, trees, _ = found
    return step, dict(trees[key])


def describe_run(run: RunConfig, step: int, averaged: bool) -> ModelConfig:
    """Returns the configuration of the model that a run had at a step: its generator, or the EMA if `averaged`."""
    variant, data = run.variant, asdict(run.data)
    return ModelConfig(
        variant=variant.name,
        generator=variant.generator,
        image=run.image,
        latent_dim=1,
        task=variant.task,
        inputs=dict(variant.inputs),
        classes=run.data.classes if run.image.classes else (),
        provider=Provider(distribution=run.plugin.distribution, version=run.plugin.version),
        license="unknown",
        discriminator=variant.discriminator,
        training={
            "steps": step,
            "averaged": averaged,
            "seed": run.seed,
            "precision": run.precision,
            "data": {key: value for key, value in data.items() if key != "classes"},
            "loss": asdict(variant.loss),
            "settings": asdict(variant.training),
            "versions": dict(run.versions),
            **({"origin": asdict(run.origin)} if run.origin else {}),
            **({"freeze": dict(run.freeze)} if run.freeze else {}),
            **({"in_process": dict(run.in_process)} if run.in_process else {}),
        },
    )
