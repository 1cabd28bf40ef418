"""What tests of whole runs share: tiny data, tiny settings, the command line as its own process, and comparisons."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from types import MappingProxyType
from typing import NoReturn

import numpy
import pytest
import torch
from forks import as_at_a_start

import ganzoo.runs.train  # noqa: F401 - before any fork, or every child would import it again
from ganzoo.checkpoints.checkpoint import list_checkpoints, load_checkpoint
from ganzoo.cli import main
from ganzoo.config.parts import KIND_OF, options_of
from ganzoo.registry.registry import registry


def images(path: Path, count: int = 48, size: int = 32, channels: int = 1, classes: int = 3, seed: int = 0) -> Path:
    """An .npz of smooth random images with labels."""
    random = numpy.random.default_rng(seed)
    coarse = random.integers(0, 256, (count, size // 4, size // 4, channels), dtype=numpy.uint8)
    pixels = coarse.repeat(4, axis=1).repeat(4, axis=2)
    numpy.savez(path, images=pixels, labels=numpy.arange(count) % classes)
    return path


def arguments(data: Path, out: Path, *more: str, variant: str = "dcgan", steps: int = 10, size: int = 32) -> list[str]:
    """The words of a small `ganzoo train` on one thread of the processor."""
    fixed = ["--data", str(data), "--out", str(out), "--steps", str(steps), "--image-size", str(size)]
    return ["train", variant, *fixed, "--batch-size", "4", "--device", "cpu", "--threads", "1", *narrow(variant), *more]


def narrow(variant: str) -> list[str]:
    """The words that set every option `width` of the variant's networks to 4.

    Of a plugin that is installed elsewhere, both.
    """
    if variant not in registry().names("variants"):
        return ["--set", "generator.width=4", "--set", "discriminator.width=4"]
    card = registry().get("variants", variant)
    parts = [("generator", card.generator), ("discriminator", card.discriminator)]
    wide = [role for role, part in parts if part and "width" in options_of(registry().get(KIND_OF[role], part.name))]
    return [word for role in wide for word in ("--set", f"{role}.width=4")]


def ganzoo(*words: str, cwd: Path | None = None, **environment: str | None) -> subprocess.CompletedProcess:
    """Runs `python -m ganzoo` in a fresh process; an environment variable that is None is taken away."""
    settings = {
        key: value for key, value in (os.environ | {"OMP_NUM_THREADS": "1"} | environment).items() if value is not None
    }
    return subprocess.run(
        [sys.executable, "-m", "ganzoo", *words],
        env=settings,
        cwd=cwd,
        capture_output=True,
        encoding="utf-8",
        errors="replace",
    )


def forked_ganzoo(*words: str, cwd: Path | None = None, prepare=lambda: None, **environment: str | None):
    """As `ganzoo`, but the process is a fork of this one, which has imported torch.

    That saves the 2.5 s of a processor that a start takes.
    """
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as error:
        child = os.fork()
        if child == 0:
            become_ganzoo(words, out.fileno(), error.fileno(), prepare, cwd, environment)
        code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        texts = [(file.seek(0), file.read().decode(errors="replace"))[1] for file in (out, error)]
    return subprocess.CompletedProcess(words, code, *texts)


def become_ganzoo(
    words, out: int, error: int, prepare=lambda: None, cwd=None, environment=MappingProxyType({})
) -> NoReturn:
    """Turns a forked child into the command line, with these descriptors for its output.

    Nothing of pytest runs on in it.
    """
    code = 70
    try:
        os.dup2(out, 1), os.dup2(error, 2)
        sys.stdout, sys.stderr = open(1, "w", closefd=False), open(2, "w", closefd=False)
        os.chdir(cwd or os.getcwd())
        for name, value in environment.items():
            os.environ.pop(name, None) if value is None else os.environ.update({name: value})
        as_at_a_start()
        if "GANZOO_LOAD_PLUGINS" in environment:
            registry.cache_clear()
        prepare()
        main(list(words))
    except SystemExit as end:
        code = end.code
    finally:
        os._exit(code)


def records(run: Path) -> list[dict]:
    """metrics.jsonl, every line of which must be whole; without the seconds, which no two runs share."""
    found = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    return [{key: value for key, value in record.items() if key != "seconds"} for record in found]


def steps_of(run: Path) -> list[int]:
    """The steps of the run's checkpoints, the newest first."""
    return [step for step, _ in list_checkpoints(run / "checkpoints")]


def newest(run: Path):
    """The trees of the newest checkpoint, which must verify."""
    step, path = list_checkpoints(run / "checkpoints")[0]
    found, trees, _ = load_checkpoint(path)
    assert found == step
    return trees


def same(one, other) -> bool:
    """Whether two trees hold the same values, tensors bit for bit."""
    if isinstance(one, torch.Tensor):
        return isinstance(other, torch.Tensor) and one.dtype == other.dtype and torch.equal(one, other)
    if isinstance(one, dict):
        return isinstance(other, dict) and one.keys() == other.keys() and all(same(one[key], other[key]) for key in one)
    if isinstance(one, list | tuple):
        return type(one) is type(other) and len(one) == len(other) and all(map(same, one, other))
    return type(one) is type(other) and one == other


def finished_run(folder: Path) -> Path:
    """`folder`/run: a DCGAN of two steps on grey noise, trained in a process of its own."""
    data = images(folder / "grey.npz")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GANZOO_CACHE", str(folder / "cache"))
        assert forked_ganzoo(*arguments(data, folder / "run", steps=2), cwd=folder).returncode == 0
    return folder / "run"
