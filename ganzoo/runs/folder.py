"""The folder of a training run: configuration, metrics, samples and checkpoints."""

from __future__ import annotations

import json
import logging
import os
import platform
import shutil
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal

from ganzoo.checkpoints.checkpoint import list_checkpoints
from ganzoo.config.parts import local_paths, with_parts
from ganzoo.config.recipe import Recipe
from ganzoo.config.schema import DataFacts, Origin, PluginFacts, RunConfig, RunOptions, SourceFacts, read_run_config
from ganzoo.data import ImageData, Stream
from ganzoo.errors import SEE_OTHER, GanzooError, UsageError
from ganzoo.files.atomic import disk_errors, write_atomically
from ganzoo.files.output_checks import check_new_folder
from ganzoo.files.safe_open import open_own
from ganzoo.files.strict_json import read_bytes
from ganzoo.files.text import quoted, reason
from ganzoo.variant import Part, SampleSpec, Variant

log = logging.getLogger(__name__)

METRICS_BYTES = 2**28
SETTINGS = ("variant", "image", "data", "seed", "precision", "processes")
REQUESTED_OF_SOURCES = ("source", "channels", "source_channels")
NAMES_OF_DATA = ("source", "name", "revision", "classes")
CIRCUMSTANCES = ("device", "threads", "plugin", "versions")


class RunFolder:
    """The paths of a run, and the reading and writing of config.json and metrics.jsonl."""

    def __init__(self, path: Path):
        self.path = Path(path)
        self.config = self.path / "config.json"
        self.metrics = self.path / "metrics.jsonl"
        self.checkpoints = self.path / "checkpoints"
        self.samples = self.path / "samples"
        self.curves = self.path / "tensorboard"

    def check_new(self) -> None:
        """UsageError if the folder is in use: no run overwrites another. Leftovers of a killed start do not count."""
        if self.config.exists():
            raise UsageError(
                f"{self.path} already holds a run: add --resume to go on with it, or choose another --out."
            )
        check_new_folder(self.path, "--out takes a new or empty folder", leftovers=True)

    def create(self) -> bool:
        """Makes the folder of a new run and returns whether it was missing; UsageError if it is in use or cannot be."""
        self.check_new()
        made = not self.path.exists()
        try:
            self.path.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise UsageError(f"{self.path} cannot be made: {reason(error)}.") from None
        return made

    def remove_start(self, folder: bool) -> None:
        """Removes what a run has written before its first step, and the `folder` itself; what others wrote stays."""
        if list_checkpoints(self.checkpoints):
            return
        for place in (self.samples, self.checkpoints, self.curves):
            shutil.rmtree(place, ignore_errors=True)
        for file in (self.path / "samples.png", self.metrics, self.config, self.path / ".lock"):
            with suppress(OSError):  # Windows removes no lock that is held; one that is left is in nobody's way
                file.unlink()
        with suppress(OSError):
            if folder:
                self.path.rmdir()

    def write_config(self, config: RunConfig) -> None:
        """Writes config.json atomically."""
        write_atomically(self.config, json.dumps(config.to_json(), indent=2) + "\n")

    def read_config(self) -> RunConfig:
        """Reads the config.json of a run to resume and checks every value; UsageError if there is none."""
        if not self.config.exists():
            raise UsageError(f"{self.path} holds no run to resume (no config.json): leave out --resume to start one.")
        return read_run_config(self.config)

    def log(self, record: dict[str, Any]) -> None:
        """Appends one record to metrics.jsonl."""
        with (
            disk_errors(f"{self.metrics} cannot be written", GanzooError),
            open(open_own(self.metrics, os.O_WRONLY | os.O_APPEND), "a", encoding="utf-8") as file,
        ):
            file.write(json.dumps(_strict(record), allow_nan=False) + "\n")

    def records(self) -> list[dict[str, Any]]:
        """Reads all records of metrics.jsonl; a line that a crash cut short is left out.

        CheckpointError for anything but a regular file of at most 256 MiB.
        """
        return self._read_records()[0]

    def sound_records(self) -> list[dict[str, Any]]:
        """Returns the records, without values that are no numbers; a warning says how many lines are damaged so."""
        found, damaged = self._read_records()
        sound = [_sound(record) for record in found]
        damaged += sum(record != kept for record, kept in zip(found, sound, strict=True))
        if damaged:
            lines = "1 damaged line" if damaged == 1 else f"{damaged} damaged lines"
            log.warning(f"{self.metrics} has {lines}: what is no number is left out ({SEE_OTHER})")
        return sound

    def _read_records(self) -> tuple[list[dict[str, Any]], int]:
        """Returns the records, and how many lines are none; the last may have been cut short."""
        if not os.path.lexists(self.metrics):
            return [], 0
        found, damaged = [], 0
        text = read_bytes(self.metrics, METRICS_BYTES, follow=False).decode("utf-8", "replace")
        for line in text.splitlines():
            try:
                record = json.loads(line)
            except (ValueError, RecursionError):
                record = None
            if isinstance(record, dict) and type(record.get("step")) is int:
                found.append(record)
            else:
                damaged += 1
        unfinished = bool(text) and not text.endswith("\n")
        return found, max(0, damaged - unfinished)

    def seconds(self) -> float:
        """Returns the seconds of training that the records state."""
        seconds = [record["seconds"] for record in self.records() if type(record.get("seconds")) in (int, float)]
        return max(seconds, default=0.0)

    def forget_after(self, step: int) -> None:
        """Drops the records of later steps, which will be run again: each step has one record."""
        kept = [record for record in self.records() if record["step"] <= step]
        write_atomically(self.metrics, "".join(json.dumps(_strict(record), allow_nan=False) + "\n" for record in kept))


def _sound(record: dict[str, Any]) -> dict[str, Any]:
    """A record without values that are no numbers, where numbers belong."""
    kept = {name: value for name, value in record.items() if name not in ("images", "seconds") or _is_number(value)}
    for kind in ("terms", "samples", "final"):
        table = kept.pop(kind, {})
        numbers = {name: value for name, value in table.items() if _is_number(value)} if isinstance(table, dict) else {}
        if numbers or record.get(kind) == {}:
            kept[kind] = numbers
    return kept


def _is_number(value: Any) -> bool:
    """True for numbers, and for the texts that stand for nan and infinity."""
    return type(value) in (int, float) or (isinstance(value, str) and value in ("nan", "inf", "-inf"))


def _strict(value: Any) -> Any:
    """Replaces nan and infinity, which JSON does not have, by strings."""
    if isinstance(value, dict):
        return {key: _strict(item) for key, item in value.items()}
    if isinstance(value, float) and (value != value or value in (float("inf"), float("-inf"))):
        return str(value)
    return value


def describe(
    recipe: Recipe,
    image: SampleSpec,
    data: ImageData | Stream,
    *,
    source: str,
    seed: int,
    precision: Literal["fp32", "bf16"],
    device: str,
    processes: int,
    options: RunOptions | None = None,
    origin: Origin | None = None,
    freeze: Mapping[str, int] = MappingProxyType({}),
    sources: SourceFacts | None = None,
    in_process: Mapping[str, str] = MappingProxyType({}),
) -> RunConfig:
    """Returns the config.json of a run of this recipe on these images, read from `source`, with the versions in use."""
    import numpy
    import torch

    from ganzoo import __version__

    plugin = recipe.plugin
    return RunConfig(
        variant=recipe.variant,
        plugin=PluginFacts(name=plugin.name, distribution=plugin.distribution, version=plugin.version),
        image=image,
        data=DataFacts(
            source=source,
            name=data.name,
            fingerprint=data.fingerprint,
            revision=data.revision,
            images=0 if isinstance(data, Stream) else len(data),
            classes=tuple(data.classes),
            sources=sources,
        ),
        seed=seed,
        precision=precision,
        processes=processes,
        device=device,
        threads=torch.get_num_threads(),
        versions={
            "ganzoo": __version__,
            "torch": torch.__version__,
            "numpy": numpy.__version__,
            "python": platform.python_version(),
        },
        options=options,
        origin=origin,
        freeze=dict(freeze),
        in_process=dict(in_process),
    )


def check_assets(path: Path, old: RunConfig, assets: Mapping[str, str]) -> None:
    """UsageError for a pretrained network that is another file than the run had before, or was not there."""
    for key in sorted(old.assets.keys() | assets.keys()):
        before, now = old.assets.get(key), assets.get(key)
        if before != now and key in old.assets:
            raise UsageError(
                f"{path} was trained with another file of {key}: its sha256 was {before} and is {now} now. "
                f"--set {key}=FILE names the same one in another place."
            )


def check_same(old: RunConfig, new: RunConfig, recipe: Recipe) -> None:
    """UsageError with every setting that differs between a run and its continuation; a warning for other circumstances.

    More or fewer steps are no difference unless a schedule is measured by them. Neither are the places of files that
    options name, since their contents have hashes of their own.
    """
    hidden = (replace(config, variant=_without_places(config.variant, recipe)) for config in (old, new))
    before, now = (json.loads(json.dumps(config.to_json())) for config in hidden)
    for config in (before, now):
        if not old.variant.training.schedules:  # a schedule is measured by the steps
            del config["variant"]["training"]["steps"]
        for name in NAMES_OF_DATA:  # the same pixels and labels, by their fingerprint, may have other names
            del config["data"][name]
        for name in REQUESTED_OF_SOURCES:  # the pixels have a fingerprint, the channels stand in the image
            config["data"].get("sources", {}).pop(name, None)
    changes = [change for key in SETTINGS for change in _differences(key, before[key], now[key])]
    if changes:
        if old.variant.training.steps != new.variant.training.steps and old.variant.training.schedules:
            changes.append("a schedule of this run is measured by its steps: leave --steps out, or start a new run")
        raise UsageError("This run was started with other settings:\n  " + "\n  ".join(changes))
    if old.data.classes != new.data.classes:
        log.warning(f"the classes are called {_names(new)} now, and were called {_names(old)} ({SEE_OTHER})")
    for key in CIRCUMSTANCES:
        for change in _differences(key, before[key], now[key]):
            log.warning(f"this run will not be bit-identical to an uninterrupted one: {change} ({SEE_OTHER})")


def _without_places(variant: Variant, recipe: Recipe) -> Variant:
    """The variant whose options say of files only whether there is one."""
    bound = {**recipe.parts, **{f"inputs.{name}": part for name, part in recipe.conditions.items()}}

    def hidden(path: str, part: Part) -> Part:
        named = local_paths(bound[path].factory) if path in bound and bound[path].name == part.name else set()
        return replace(
            part, options={**part.options, **{name: bool(part.options[name]) for name in named & set(part.options)}}
        )

    return with_parts(variant, hidden)


def _names(config: RunConfig) -> str:
    return quoted(", ".join(config.data.classes))


def _differences(path: str, old: Any, new: Any) -> list[str]:
    if isinstance(old, dict) and isinstance(new, dict):
        return [
            change
            for key in dict.fromkeys([*old, *new])
            for change in _differences(f"{path}.{key}", old.get(key), new.get(key))
        ]
    return [] if old == new else [f"{path}: {json.dumps(old)} before, {json.dumps(new)} now"]
