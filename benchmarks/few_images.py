"""Trains on 200 pictures in seven ways, three seeds each, and scores them by one `ganzoo bench`.

    python benchmarks/few_images.py runs/few --images 16000
    python benchmarks/few_images.py runs/few-emoji --images 200000 --few emoji/200 --others emoji/others \
        --reference emoji/held-out --size 64

Without folders the pictures are 200 shoes of the embedded Fashion-MNIST, the others its clothes and bags, on which the
run begins that fine-tuning starts from, and the reference the shoes that no run saw. Every run sees `--images` real
images; its seconds of processor time are printed, for methods differ in them. A run that is there is not repeated, so
that the same command goes on after an interruption.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
from pathlib import Path

import numpy

from ganzoo.data import load_images
from ganzoo.registry.registry import registry

COUNT, SHOES = 200, (5, 7, 9)
SOURCE = "source"  # the run on other pictures
BASE = ["sndcgan", "--set", "generator.width=16", "--set", "discriminator.width=16", "--batch-size", "16"]
BASE += ["--set", "training.ema=0.99"]
FASTGAN = ["fastgan", "--set", "generator.width=4", "--set", "generator.latent_dim=64"]
FASTGAN += ["--set", "discriminator.width=8", "--batch-size", "16", "--set", "training.ema=0.99"]
FASTGAN += ["--set", "training.mirror=false"]  # as all others
METHODS = {
    "plain": BASE,
    "diffaugment": [*BASE, "--with", "diffaugment"],
    "ada": [*BASE, "--with", "ada", "--set", "augmentation.images=20000"],
    "lecam": [*BASE, "--with", "lecam", "--set", "regularizers.lecam.start=100", "--with", "diffaugment"],
    "fastgan": FASTGAN,
    "finetune": [*BASE, "--with", "diffaugment", "--from", SOURCE],
    "freeze-d": [*BASE, "--with", "diffaugment", "--from", SOURCE, "--freeze", "discriminator:2"],
}


def prepare(folder: Path) -> dict[str, str]:
    """Writes 200 shoes, all other garments, and the shoes that are left; returns the files by purpose."""
    datasets = {"fashion-mnist-test": registry().get("datasets", "fashion-mnist-test")}
    data = load_images("fashion-mnist-test", size=28, datasets=datasets)
    shoes = numpy.isin(numpy.asarray(data.labels), SHOES)
    chosen = numpy.flatnonzero(shoes)
    parts = {"few": chosen[:COUNT], "reference": chosen[COUNT:], "others": numpy.flatnonzero(~shoes)}
    for name, rows in parts.items():
        numpy.savez_compressed(folder / f"{name}.npz", images=numpy.asarray(data.images)[rows])
    return {name: str(folder / f"{name}.npz") for name in parts}


def train(arguments: list[str], data: str, out: Path, chosen: argparse.Namespace, seed: int, images: int) -> float:
    """Trains a run unless it is there; returns its seconds of processor time."""
    record = out.with_suffix(".json")
    if not record.exists():
        resume = (out / "config.json").exists()
        wanted = [*arguments, "--data", data, "--image-size", str(chosen.size), "--images", str(images)]
        wanted += ["--seed", str(seed), "--threads", "1", "--quiet"]
        before = resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime
        command = [sys.executable, "-m", "ganzoo", "train", *(["--resume"] if resume else wanted), "--out", str(out)]
        subprocess.run(command, check=True, env={**os.environ, "OMP_NUM_THREADS": "1"})
        seconds = resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime - before
        record.write_text(json.dumps({"processor_seconds": round(seconds, 1), "resumed": resume}))
    return json.loads(record.read_text())["processor_seconds"]


def main() -> None:
    """Reads the command line, trains what is missing, and scores everything that is there."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("out", type=Path)
    parser.add_argument("--images", type=int, required=True, help="real images that each run sees")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--size", type=int, default=32)
    parser.add_argument("--few", help="your pictures")
    parser.add_argument("--others", help="other pictures, to start from")
    parser.add_argument("--reference", help="pictures that no run sees, to score against")
    parser.add_argument("--eval-images", type=int, default=1000)
    chosen = parser.parse_args()
    chosen.out.mkdir(parents=True, exist_ok=True)
    named = {name: getattr(chosen, name) for name in ("few", "others", "reference")}
    if any(named.values()) and not all(named.values()):
        parser.error("give --few, --others and --reference together")
    data = named if all(named.values()) else prepare(chosen.out)
    source = chosen.out / SOURCE
    train(BASE, data["others"], source, chosen, 0, 2 * chosen.images)
    runs = []
    for seed in range(chosen.seeds):
        for name, arguments in METHODS.items():
            run = chosen.out / f"{name}-{seed}"
            own = [str(source) if one == SOURCE else one for one in arguments]
            print(f"{run.name}: {train(own, data['few'], run, chosen, seed, chosen.images)} s", flush=True)
            runs.append(str(run))
    command = [sys.executable, "-m", "ganzoo", "bench", *runs, "--reference", data["reference"], "--jobs", "1"]
    command += ["--eval-images", str(chosen.eval_images), "--out", str(chosen.out / "bench")]
    subprocess.run(command, check=True)


if __name__ == "__main__":
    main()
