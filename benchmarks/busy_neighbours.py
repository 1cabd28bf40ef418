"""Measures how training slows down when other processes hold the cores, by how long OpenMP's threads spin.

    python benchmarks/busy_neighbours.py --rounds 3

GNU OpenMP lets a thread that waits for the others spin before it sleeps. Spinning is fastest on idle cores; beside a
busy process a spinning thread holds the core that the thread it waits for needs. One run of this script trains the
README's small DCGAN with each setting in turn, beside 0, 1 and 2 busy processes, and prints images per second and the
ratio to the better of the two extremes (the default's spin, and `OMP_WAIT_POLICY=passive`).
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

SETTINGS: dict[str, dict[str, str]] = {
    "spin (libgomp's default)": {"GOMP_SPINCOUNT": "300000"},
    "passive": {"OMP_WAIT_POLICY": "passive"},
}
NAMES = ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT", "KMP_BLOCKTIME", "OMP_NUM_THREADS")
WORDS = (
    "--data fashion-mnist-test --image-size 32 --batch-size 32 --set generator.width=32 --set discriminator.width=32"
)


def images_per_second(setting: dict[str, str], steps: int, folder: Path) -> float:
    """Trains for `steps` in a fresh process and returns its images per second."""
    environment = {name: value for name, value in os.environ.items() if name not in NAMES}
    command = [sys.executable, "-m", "ganzoo", "train", "dcgan", *WORDS.split(), "--steps", str(steps), "--quiet"]
    environment |= setting
    subprocess.run([*command, "--sample-every", "100000", "--out", str(folder)], env=environment, check=True)
    records = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    last = max(
        (record for record in records if "images" in record and "seconds" in record), key=lambda one: one["step"]
    )
    return float(last["images"]) / float(last["seconds"])


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--steps", type=int, default=100)
    parser.add_argument("--spins", type=int, nargs="*", default=[10000, 3000, 1000, 300])
    parser.add_argument("--neighbours", type=int, nargs="*", default=[0, 1, 2])
    arguments = parser.parse_args()
    settings = SETTINGS | {"ganzoo's default": {}} | {f"spin {n}": {"GOMP_SPINCOUNT": str(n)} for n in arguments.spins}
    for neighbours in arguments.neighbours:
        busy = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(neighbours)]
        found: dict[str, list[float]] = {name: [] for name in settings}
        try:
            with tempfile.TemporaryDirectory() as temporary:
                for number in range(arguments.rounds):
                    for place, (name, setting) in enumerate(settings.items()):
                        folder = Path(temporary) / f"{number}-{place}"
                        found[name].append(images_per_second(setting, arguments.steps, folder))
        finally:
            for process in busy:
                process.kill()
        medians = {name: statistics.median(speeds) for name, speeds in found.items()}
        best = max(medians[name] for name in SETTINGS)
        print(f"{neighbours} busy neighbours")
        for name, speed in medians.items():
            print(f"  {name:24}{speed:8.0f} images/s   {speed / best:5.2f} of the better extreme", flush=True)


if __name__ == "__main__":
    main()
