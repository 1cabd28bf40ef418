"""The folder of a training run: its configuration, its metrics, its pictures and its checkpoints."""

from __future__ import annotations

import json
import logging
import os
import platform
from pathlib import Path
from typing import Any

from ganzoo.config.schema import FORMAT, as_json, run_config
from ganzoo.errors import GanzooError, UsageError
from ganzoo.files.atomic import disk_errors, write_atomically
from ganzoo.variant import ImageSpec, Variant

log = logging.getLogger(__name__)

SETTINGS = ("variant", "image", "data", "seed", "precision", "processes")
SURROUNDINGS = ("device", "threads", "plugin", "versions")


class RunFolder:
    """Paths of a run and the files that are not checkpoints."""

    def __init__(self, path: Path):
        self.path = Path(path)
        self.config = self.path / "config.json"
        self.metrics = self.path / "metrics.jsonl"
        self.checkpoints = self.path / "checkpoints"
        self.samples = self.path / "samples"

    def check_new(self) -> None:
        """UsageError if something is already there, for a run never overwrites another; what a killed start left is nothing."""
        if self.config.exists():
            raise UsageError(
                f"{self.path} already holds a run: add --resume to go on with it, or choose another --out."
            )
        try:
            names = os.listdir(self.path) if os.path.lexists(self.path) else []
        except OSError:
            names = ["a file"]
        if any(name != ".lock" and not name.startswith(".tmp-") for name in names):
            raise UsageError(f"{self.path} is in the way: --out takes a new or empty folder.")

    def create(self) -> None:
        """Makes the folder of a new run."""
        self.check_new()
        try:
            self.path.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise UsageError(f"{self.path} cannot be made: {error.strerror}.") from None

    def write_config(self, config: dict[str, Any]) -> None:
        """Writes the resolved configuration, whole or not at all."""
        write_atomically(self.config, json.dumps(config, indent=2) + "\n")

    def log(self, record: dict[str, Any]) -> None:
        """Appends one record to metrics.jsonl."""
        with (
            disk_errors(f"{self.metrics} cannot be written", GanzooError),
            open(self.metrics, "a", encoding="utf-8") as file,
        ):
            file.write(json.dumps(_strict(record), allow_nan=False) + "\n")

    def records(self) -> list[dict[str, Any]]:
        """Every whole record of metrics.jsonl; a line that a crash tore is left out."""
        if not self.metrics.exists():
            return []
        found = []
        for line in self.metrics.read_text(encoding="utf-8", errors="replace").splitlines():
            try:
                record = json.loads(line)
            except (ValueError, RecursionError):
                continue
            if isinstance(record, dict) and type(record.get("step")) is int:
                found.append(record)
        return found

    def seconds(self) -> float:
        """How long the run has been training according to its records."""
        seconds = [record["seconds"] for record in self.records() if type(record.get("seconds")) in (int, float)]
        return max(seconds, default=0.0)

    def forget_after(self, step: int) -> None:
        """Drops the records of steps that will be run again, so that each step stands once."""
        kept = [record for record in self.records() if record["step"] <= step]
        write_atomically(self.metrics, "".join(json.dumps(_strict(record), allow_nan=False) + "\n" for record in kept))


def _strict(value: Any) -> Any:
    """JSON has no nan and no infinity: they become strings."""
    if isinstance(value, dict):
        return {key: _strict(item) for key, item in value.items()}
    if isinstance(value, float) and (value != value or value in (float("inf"), float("-inf"))):
        return str(value)
    return value


def describe(
    variant: Variant,
    plugin,
    image: ImageSpec,
    data,
    source: str,
    *,
    seed: int,
    precision: str,
    device: str,
    processes: int,
) -> dict[str, Any]:
    """What config.json of a run says: everything that decides the result, and what surrounds it."""
    import numpy
    import torch

    from ganzoo import __version__

    return {
        "format": FORMAT,
        "variant": as_json(variant),
        "plugin": {"name": plugin.name, "distribution": plugin.distribution, "version": plugin.version},
        "image": {"size": image.size, "channels": image.channels, "classes": image.classes},
        "data": {
            "source": source,
            "name": data.name,
            "fingerprint": data.fingerprint,
            "revision": data.revision,
            "images": len(data),
            "classes": list(data.classes),
        },
        "seed": seed,
        "precision": precision,
        "processes": processes,
        "device": device,
        "threads": torch.get_num_threads(),
        "versions": {
            "ganzoo": __version__,
            "torch": torch.__version__,
            "numpy": numpy.__version__,
            "python": platform.python_version(),
        },
    }


def check_same(old: dict[str, Any], new: dict[str, Any]) -> None:
    """Whether a run may go on: UsageError with every difference in what decides the result; a line for other surroundings.

    More or fewer steps are no difference unless a schedule is measured by them.
    """
    old, new = json.loads(json.dumps(old)), json.loads(json.dumps(new))
    if not old["variant"]["training"]["schedules"]:  # a schedule is measured by the steps
        for config in (old, new):
            del config["variant"]["training"]["steps"]
    for config in (old, new):
        del config["data"]["source"]  # the same pixels may lie elsewhere
    changes = [change for key in SETTINGS for change in _differences(key, old.get(key), new.get(key))]
    if changes:
        raise UsageError("This run was started with other settings:\n  " + "\n  ".join(changes))
    for key in SURROUNDINGS:
        for change in _differences(key, old.get(key), new.get(key)):
            log.warning(f"not bitwise the same as without a stop: {change}")


def _differences(path: str, old: Any, new: Any) -> list[str]:
    if isinstance(old, dict) and isinstance(new, dict):
        return [
            change
            for key in dict.fromkeys([*old, *new])
            for change in _differences(f"{path}.{key}", old.get(key), new.get(key))
        ]
    return [] if old == new else [f"{path}: {json.dumps(old)} before, {json.dumps(new)} now"]


def read_run(path: Path) -> dict[str, Any]:
    """The config.json of a run to resume, every value of it checked."""
    config = path / "config.json"
    if not config.exists():
        raise UsageError(f"{path} holds no run to resume (no config.json): leave out --resume to start one.")
    return run_config(config)
