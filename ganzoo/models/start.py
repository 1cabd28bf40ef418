"""Reads the weights that a training starts from: those of a stored model, a run or a checkpoint."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

import torch
from torch import Tensor, nn

from ganzoo.checkpoints.checkpoint import load_checkpoint, newest_checkpoint
from ganzoo.checkpoints.manifest import folder_name, read_manifest
from ganzoo.config.recipe import bind_part
from ganzoo.config.schema import Origin, read_run_config
from ganzoo.engine.build import build_part
from ganzoo.errors import UsageError
from ganzoo.files.text import quoted
from ganzoo.models.config import DISCRIMINATOR_FILE, ModelConfig, read_model_config
from ganzoo.models.load import is_run_or_checkpoint, load_folder, no_checkpoint
from ganzoo.models.pull import pull
from ganzoo.models.source import Repository, Tag, parse_source
from ganzoo.models.tensors import read_tensors
from ganzoo.registry.registry import Registry

Tensors = Mapping[str, Tensor]


@dataclass(frozen=True)
class StartWeights:
    """The tensors of the generator, and of the discriminator if the source has one, and where they come from."""

    origin: Origin
    tensors: Mapping[str, Tensors]  # by role

    def load_into(self, networks: Mapping[str, nn.Module]) -> None:
        """Copies the tensors into networks by role; UsageError names the first tensor that does not fit."""
        for role, tensors in self.tensors.items():
            if role in networks:
                wanted = networks[role].state_dict()
                _refuse_misfit(self.origin.source, role, wanted, tensors)
                networks[role].load_state_dict(dict(tensors))


def _refuse_misfit(source: str, role: str, wanted: Tensors, found: Tensors) -> None:
    problems = [
        f"{quoted(name)} has the shape {tuple(found[name].shape)} there and {tuple(tensor.shape)} here"
        if name in found
        else f"{quoted(name)} is not there"
        for name, tensor in wanted.items()
        if name not in found or found[name].shape != tensor.shape
    ]
    problems += [f"{quoted(name)} is not here" for name in found if name not in wanted]
    if problems:
        more = f" ({len(problems)} tensors differ)" if len(problems) > 1 else ""
        raise UsageError(
            f"The {role} of {source} does not fit this training: {problems[0]}{more}. "
            "Train the same variant with the options, size and channels of the source."
        )


def read_start(source: str, registry: Registry) -> StartWeights:
    """Reads the weights of any source that `load` takes; of a run, its newest checkpoint with the averaged generator.

    UsageError if there is no such source; CheckpointError or HubError names the damage.
    """
    found = parse_source(source, registry)
    if isinstance(found, Path):
        if is_run_or_checkpoint(found):
            return _of_run(found)
        if not (found / "config.json").is_file():
            raise UsageError(f"--from {source}: there is no model folder, run or checkpoint of that name.")
        source = str(found.absolute())
    with _folder_of(found, registry) as (folder, commit, sha256):
        model = load_folder(folder, mmap=False, sha256=sha256, parts=registry)
        config = model.config
        assert config.weights is not None  # as `read_model_config` requires
        tensors: dict[str, Tensors] = {"generator": dict(model.generator.state_dict())}
        hashes = {"generator": config.weights.sha256}
        if config.discriminator_weights is not None:
            tensors["discriminator"] = _discriminator(folder, config, registry)
            hashes["discriminator"] = config.discriminator_weights.sha256
    return StartWeights(Origin(source=source, variant=config.variant, sha256=hashes, revision=commit), tensors)


@contextmanager
def _folder_of(found: Tag | Repository | Path, registry: Registry) -> Iterator[tuple[Path, str | None, str | None]]:
    """Yields the folder of a model, its commit on the Hub, and the sha256 that its weights must have."""
    if isinstance(found, Path):
        yield found, None, None
        return
    sha256 = None
    if isinstance(found, Tag):
        weights, sha256 = found.weights, found.weights.sha256
        if weights.package_file is not None:
            package, _, inside = weights.package_file.partition(":")
            with resources.as_file(resources.files(package).joinpath(inside)) as folder:
                yield folder, None, sha256
            return
        assert weights.repo is not None  # `Weights` has one of the two
        found = Repository(weights.repo, weights.revision)
    pulled = pull(found.repo, found.revision, sha256=sha256)
    if read_model_config(pulled.folder / "config.json").discriminator_weights is not None:
        pulled = pull(found.repo, pulled.commit, sha256=sha256, discriminator=True)
    yield pulled.folder, pulled.commit, sha256


def _discriminator(folder: Path, config: ModelConfig, registry: Registry) -> Tensors:
    """Reads the discriminator of a model folder, which must fit the part that its config.json names."""
    assert config.discriminator is not None and config.discriminator_weights is not None
    with torch.device("meta"):
        part = build_part(bind_part("discriminator", config.discriminator, registry), config.image)
    return read_tensors(folder / DISCRIMINATOR_FILE, part.state_dict(), config.discriminator_weights, mmap=False)


def _of_run(folder: Path) -> StartWeights:
    """Reads generator (the average if there is one) and discriminator of a checkpoint, or of a run's newest.

    UsageError for a network without weights.
    """
    is_checkpoint = (folder / "MANIFEST.json").is_file()
    run = folder.resolve().parent.parent if is_checkpoint else folder
    config = read_run_config(run / "config.json")
    keys = {"generator": "generator_ema" if config.variant.training.averages else "generator"}
    if config.variant.discriminator is not None:
        keys["discriminator"] = "discriminator"
    found = (
        load_checkpoint(folder, keys.values())
        if is_checkpoint
        else newest_checkpoint(run / "checkpoints", keys.values())
    )
    if found is None:
        raise no_checkpoint(folder)
    step, trees, _ = found
    checkpoint = folder if is_checkpoint else run / "checkpoints" / folder_name(step)
    files = read_manifest(checkpoint)["files"]
    if empty := [role for role, key in keys.items() if f"{key}.safetensors" not in files]:
        raise UsageError(f"--from {folder}: the {empty[0]} of '{config.variant.name}' has no weights to start from.")
    hashes = {role: files[f"{key}.safetensors"]["sha256"] for role, key in keys.items()}
    origin = Origin(source=str(checkpoint.absolute()), variant=config.variant.name, sha256=hashes)
    return StartWeights(origin, {role: dict(trees[key]) for role, key in keys.items()})


def freeze_layers(network: nn.Module | None, count: int, role: str) -> None:
    """Freezes the first `count` layers of a network, in the order in which it holds them (Mo et al. 2020, Freeze-D).

    A layer is a module with a weight of two or more dimensions; normalization that stands between it and the next
    layer is frozen with it. Batch statistics and power iterations go on. UsageError if no layer would be left.
    """
    if network is None:
        raise UsageError(f"--freeze {role}:{count}: this variant has no {role}.")
    layers: list[list[nn.Parameter]] = []
    for name, module in network.named_modules():
        if "parametrizations" in name.split("."):
            continue
        own = list(module.parameters(recurse=False))
        if hasattr(module, "parametrizations"):
            own += list(module.parametrizations.parameters())
        if any(parameter.dim() >= 2 for parameter in own):
            layers.append(own)
        elif layers:
            layers[-1] += own
    if count >= len(layers):
        raise UsageError(
            f"--freeze {role}:{count}: the {role} has {len(layers)} layers, of which at least one must learn."
        )
    for parameter in (parameter for layer in layers[:count] for parameter in layer):
        parameter.requires_grad_(False)
