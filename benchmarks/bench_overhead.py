"""Measures a cell of `ganzoo bench` beyond its training: processor time of tiny cells and of their trainings."""

from __future__ import annotations

import argparse
import json
import os
import resource
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

WIDTH = 4
BATCH = 4
TRAININGS = "trainings.txt"


def processor_seconds() -> float:
    """Of this process and of all its children that have ended."""
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(usage.ru_utime + usage.ru_stime for usage in used)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cells", type=int, default=30)
    parser.add_argument("--steps", type=int, default=2)
    parser.add_argument("--eval-images", type=int, default=20)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json", type=Path, help="write every number there")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        os.environ["GANZOO_CACHE"] = str(Path(folder) / "cache")
        found = measured(options, Path(folder))
    for name, rounds in found.items():
        for kind in ("processor", "wall"):
            values = [1000 * one[kind] / options.cells for one in rounds]
            print(
                f"{name:24} {kind:10} {statistics.median(values):8.1f} ms a cell  "
                f"[{min(values):.1f}, {max(values):.1f}]"
            )
    for words, trained in BEYOND.items():
        beyond = [
            1000 * (bench["processor"] - trained(found, number)) / options.cells
            for number, bench in enumerate(found["bench"])
        ]
        print(
            f"a cell beyond {words}: {statistics.median(beyond):.1f} ms of processor time "
            f"[{min(beyond):.1f}, {max(beyond):.1f}]"
        )
    if options.json:
        options.json.write_text(
            json.dumps({"options": {"cells": options.cells, "steps": options.steps}, **found}, indent=1) + "\n"
        )


BEYOND = {
    "the training that it contains": lambda found, number: found["bench"][number]["training"],
    "the same `ganzoo train` in one process for all": lambda found, number: found["run"][number]["processor"],
    "the bare steps of the Trainer in one process for all": lambda found, number: found["trainer"][number]["processor"],
    "the same cell in one process for all": lambda found, number: found["bench, one process"][number]["processor"],
}


def measured(options: argparse.Namespace, folder: Path) -> dict[str, list[dict[str, float]]]:
    """Seconds of all cells by contestant and round, after a round that is not counted."""
    data = noise(folder / "noise.npz")
    contestants = {
        "trainer": by_trainer,
        "run": by_run,
        "bench, one process": by_bench_in_one_process,
        "bench": by_bench,
    }
    found: dict[str, list[dict[str, float]]] = {name: [] for name in contestants}
    for number in range(options.rounds + 1):
        for name, contestant in contestants.items():
            began, used = time.perf_counter(), processor_seconds()
            contestant(data, folder / f"{name}-{number}", options)
            taken = {"processor": processor_seconds() - used, "wall": time.perf_counter() - began}
            if name == "bench":
                taken["training"] = sum(map(float, (folder / f"{name}-{number}" / TRAININGS).read_text().split()))
            if number:
                found[name].append(taken)
    return found


def noise(path: Path) -> Path:
    """48 random images of 32 pixels."""
    import numpy

    numpy.savez(path, images=numpy.random.default_rng(0).integers(0, 256, (48, 32, 32, 1), dtype=numpy.uint8))
    return path


def settings() -> tuple[str, ...]:
    return (f"training.batch_size={BATCH}", f"generator.width={WIDTH}")


def by_trainer(data: Path, out: Path, options: argparse.Namespace) -> None:
    """Builds a trainer for each seed and takes its steps, in this process; nothing is written."""
    from ganzoo import ImageSpec
    from ganzoo.config.settings import resolve
    from ganzoo.data import Batches, load_images
    from ganzoo.engine.build import build_trainer
    from ganzoo.engine.distributed import Processes
    from ganzoo.registry.registry import registry

    known = registry()
    images = load_images(str(data), size=32, channels=1, datasets=known.table("datasets"))
    recipe = resolve(known.get("variants", "vae"), settings(), known)
    for seed in range(options.cells):
        batches = Batches(images, batch_size=BATCH, seed=seed, device="cpu", mirror=recipe.training.mirror)
        trainer = build_trainer(
            recipe, ImageSpec(32, 1), batches, seed=seed, device="cpu", precision="fp32", processes=Processes()
        )
        for _ in range(options.steps):
            trainer.step()


def by_run(data: Path, out: Path, options: argparse.Namespace) -> None:
    """A run folder for each seed, as `ganzoo train` leaves it, in this process."""
    from ganzoo.config.options import TrainOptions
    from ganzoo.registry.registry import registry
    from ganzoo.runs.request import Request
    from ganzoo.runs.train import train

    fixed = {"image_size": 32, "steps": options.steps, "settings": settings(), "device": "cpu", "threads": 1}
    for seed in range(options.cells):
        request = Request(
            out=out / str(seed), variant="vae", options=TrainOptions(data=str(data), **fixed), seed=seed, quiet=True
        )
        train(request, registry())


def by_bench(data: Path, out: Path, options: argparse.Namespace) -> None:
    """The matrix of all seeds: protocol, processes, runs, points, scores, pictures, rows."""
    from ganzoo.bench.request import Request
    from ganzoo.bench.run import bench
    from ganzoo.config.options import TrainOptions
    from ganzoo.registry.registry import registry

    training = {"data": str(data), "image_size": 32, "steps": options.steps, "settings": settings()}
    measures = {"points": 1, "metrics": ("frechet", "classes"), "eval_images": options.eval_images}
    request = Request(
        out=out,
        sources=("vae",),
        train=True,
        options=TrainOptions(device="cpu", threads=1, **training),
        seeds=str(options.cells),
        quiet=True,
        **measures,
    )
    with told_of_trainings(out / TRAININGS):
        bench(request, registry())


@contextmanager
def told_of_trainings(file: Path) -> Iterator[None]:
    """Makes every cell write the processor time of its call of `train`, checkpoint and samples included."""
    from ganzoo.bench import train_cell

    train = train_cell.train

    def told(*arguments):
        before = processor_seconds()
        try:
            return train(*arguments)
        finally:
            with file.open("a") as lines:
                lines.write(f"{processor_seconds() - before}\n")

    train_cell.train = told
    try:
        yield
    finally:
        train_cell.train = train


def by_bench_in_one_process(data: Path, out: Path, options: argparse.Namespace) -> None:
    """The same cells in one process, which `ganzoo bench` never does: a cell that dies would take the others along.

    It is a child, so that later contestants find this process as it was.
    """
    from ganzoo.bench import run

    child = os.fork()
    if child == 0:
        run.Forked = Here
        try:
            by_bench(data, out, options)
            os._exit(0)
        finally:
            os._exit(1)
    if os.waitpid(child, 0)[1]:
        raise SystemExit("The cells in one process failed.")


class Here:
    """In place of `Forked`: the work is done at once, in this process."""

    def __init__(self, work: Callable[[], None]):
        work()

    def poll(self) -> int:
        return 0

    def send(self, number: int) -> None:
        raise AssertionError("nothing runs that a signal could reach")


if __name__ == "__main__":
    main()
