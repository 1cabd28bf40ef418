"""How long a generator takes to load, and in how much memory, beside what most repositories write.

Every load is a fresh process that has imported everything first; what is timed goes from the path to weights of which every
one was read once, as the first image needs them. Rounds go through all contestants in rotating order; what counts is the
ratio inside a round. The usual way builds the network with its initialization, calls torch.load and copies.

With --warm every process has loaded a generator of 0.3 MB in the same way before: Python's and torch's code is then in memory, and what is
left depends on the file, as in a program that loads several models.

    python benchmarks/loading.py --rounds 5 --sizes 10,95,400
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

SETUP = """
import os, sys, time, json, resource
import msgspec
import torch
import torch.utils._device
import ganzoo.models.load
import ganzoo.runs.folder
from ganzoo import ImageSpec
from ganzoo.registry.registry import registry

torch.set_num_threads(1)
folder, width = sys.argv[1], int(sys.argv[2])
factory = registry().get("generators", "dcgan")

def memory(name):
    return next(int(line.split()[1]) * 1024 for line in open("/proc/self/status") if line.startswith(name + ":"))

def usual(folder=folder, width=width):
    generator = factory(ImageSpec(64, 3), width=width)
    generator.load_state_dict(torch.load(folder + "/generator.pth"))
    return generator

def ganzoo(folder=folder, width=width):
    from ganzoo.models.load import load_folder
    return load_folder(folder + "/model").generator

def measure(load, warm):
    if warm:
        small = load(folder + "/small", 4)
        sum(float(parameter.detach().sum()) for parameter in small.parameters())
    open("/proc/self/clear_refs", "w").write("5")
    before, start, wall = memory("VmRSS"), time.process_time(), time.perf_counter()
    anonymous = memory("RssAnon")
    generator = load()
    loaded = time.process_time() - start
    peak, kept = memory("VmHWM") - before, memory("RssAnon") - anonymous
    sum(float(parameter.detach().sum()) for parameter in generator.parameters())
    used, wall = time.process_time() - start, time.perf_counter() - wall
    print(json.dumps({"loaded": loaded, "used": used, "wall": wall, "peak": peak, "anonymous": kept}))
"""
WRITE = (
    SETUP
    + """
from dataclasses import replace
from ganzoo import Part
from ganzoo.models.model import Model
from ganzoo.models.config import ModelConfig, Provider
def write(folder, width):
    os.makedirs(folder, exist_ok=True)
    generator = factory(ImageSpec(64, 3), width=width)
    torch.save(generator.state_dict(), folder + "/generator.pth")
    config = ModelConfig(variant="dcgan", generator=Part("dcgan", {"width": width}), image=ImageSpec(64, 3), latent_dim=100,
                         provider=Provider(distribution="ganzoo", version="0.1.0"), license="MIT")
    Model(generator, config).save(folder + "/model")
write(folder, width)
write(folder + "/small", 4)
"""
)
CONTESTANTS = {"usual": "usual", "ganzoo, first load": "ganzoo", "ganzoo": "ganzoo"}
WIDTHS = {10: 52, 95: 179, 400: 376}


def child(source: str, folder: Path, width: int, cache: Path) -> str:
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "GANZOO_CACHE": str(cache)}
    done = subprocess.run(
        [sys.executable, "-c", source, str(folder), str(width)], env=environment, capture_output=True, text=True
    )
    if done.returncode:
        raise SystemExit(done.stderr)
    return done.stdout


def measured(name: str, folder: Path, width: int, warm: bool) -> dict[str, float]:
    """One load in a fresh process; a first load finds no record of an earlier check."""
    with tempfile.TemporaryDirectory() as empty:
        cache = Path(empty) if "first" in name else folder / "cache"
        return json.loads(child(f"{SETUP}\nmeasure({CONTESTANTS[name]}, {warm})", folder, width, cache))


def run(size: int, rounds: int, folder: Path, warm: bool) -> dict[str, list[dict[str, float]]]:
    """All loads of a generator of about `size` MB, every contestant once a round; an unrecorded round warms the page cache."""
    folder.mkdir()
    child(WRITE, folder, WIDTHS[size], folder / "cache")
    subprocess.run(["sleep", "3"], check=True)  # files younger than two seconds are not remembered as checked
    results: dict[str, list[dict[str, float]]] = {name: [] for name in CONTESTANTS}
    names = list(CONTESTANTS)
    for number in range(rounds + 1):
        for name in names[number % len(names) :] + names[: number % len(names)]:
            found = measured(name, folder, WIDTHS[size], warm)
            if number:
                results[name].append(found)
    return results


def print_table(size: int, file_bytes: int, results: dict[str, list[dict[str, float]]]) -> None:
    print(
        f"\n{file_bytes / 1e6:.1f} MB {'':<20}{'ms until used':>15}{'x usual':>26}{'x usual until loaded':>24}{'peak RSS / file':>18}"
    )
    for name, rows in results.items():
        ratios = [usual["used"] / row["used"] for usual, row in zip(results["usual"], rows, strict=True)]
        loaded = [usual["loaded"] / row["loaded"] for usual, row in zip(results["usual"], rows, strict=True)]
        middle = 1000 * statistics.median(row["used"] for row in rows)
        spread = f"{statistics.median(ratios):.1f} [{min(ratios):.1f}, {max(ratios):.1f}]"
        peak = statistics.median(row["peak"] for row in rows) / file_bytes
        print(f"{name:<28}{middle:>15.1f}{spread:>26}{statistics.median(loaded):>24.1f}{peak:>18.3f}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--sizes", default="10,95,400", help=f"of the files in MB, of {', '.join(map(str, WIDTHS))}")
    parser.add_argument("--warm", action="store_true", help="every process has loaded a small generator before")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as place:
        for size in map(int, arguments.sizes.split(",")):
            folder = Path(place) / str(size)
            results = run(size, arguments.rounds, folder, arguments.warm)
            print_table(size, (folder / "model" / "model.safetensors").stat().st_size, results)
    print("Processor time. 'first load' hashes the file and looks at every value; later loads find that recorded.")


if __name__ == "__main__":
    main()
