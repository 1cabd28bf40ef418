"""A tiny matrix of trainings, with a variant that diverges and one that is broken, for the tests of benches."""

from __future__ import annotations

import json
import os
import signal
import time
from contextlib import contextmanager
from pathlib import Path

import pytest
import small

import ganzoo.bench.merge
import ganzoo.bench.run
import ganzoo.bench.train_cell  # noqa: F401 - before any fork, or every child would import it again

VARIANTS = ("dcgan", "vae", "wgan-gp", "infogan")
TRAINING = ("--train", "--image-size", "32", "--steps", "6", "--points", "2", "--eval-images", "20", "--quiet")
WIDTHS = ("--set", "training.batch_size=4", "--set", "generator.width=4", "--set", "dcgan:discriminator.width=4")
TROUBLE = (
    "--set",
    "wgan-gp:discriminator.width=4",
    "--set",
    "wgan-gp:training.generator_lr=1e30",
    "--set",
    "infogan:generator.width=0",
)
MEASURES = ("--metric", "frechet", "--metric", "classes")


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """Tiny images of a module, in the cache already."""
    folder = tmp_path_factory.mktemp("data")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GANZOO_CACHE", str(folder / "cache"))
        yield small.images(folder / "tiny.npz")


def words(data: Path, out: Path, *more: str) -> list[str]:
    """The words of the tiny matrix: eight cells, of which two diverge and two cannot be built."""
    return [
        "bench",
        *VARIANTS,
        *TRAINING,
        "--data",
        str(data),
        "--seeds",
        "2",
        *WIDTHS,
        *TROUBLE,
        *MEASURES,
        "--out",
        str(out),
        *more,
    ]


def rows(folder: Path) -> list[dict]:
    """The rows of results.jsonl, every line of which must be whole."""
    return [json.loads(line) for line in (folder / "results.jsonl").read_text().splitlines()]


def timeless(folder: Path) -> list[str]:
    """results.jsonl as it must be the same for the same command: every line without its times, spelt as it is there."""
    found = []
    for line in (folder / "results.jsonl").read_text().splitlines():
        row = json.loads(line)
        assert list(row)[-1] == "times"
        found.append(line[: line.index('"times": {')])
    return found


@contextmanager
def forked(arguments: list[str], log: Path):
    """A fork of this process that runs the command line.

    Yields its number and a function that gives its exit code, or None.
    """
    child = os.fork()
    if child == 0:
        output = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        small.become_ganzoo(arguments, output, output, lambda: None)
    code: list[int] = []

    def ended() -> int | None:
        if not code:
            found, status = os.waitpid(child, os.WNOHANG)
            code.extend([os.waitstatus_to_exitcode(status)] if found else [])
        return code[0] if code else None

    try:
        yield child, ended
    finally:
        if ended() is None:
            os.kill(child, signal.SIGKILL)
            while ended() is None:
                time.sleep(0.01)


def until(condition, seconds: float = 120.0) -> None:
    """Waits for a condition."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it never came to be"
        time.sleep(0.01)
