"""Made-up rows of a bench for tests: plausible, and none of them measured."""

from __future__ import annotations

import json
import random
from pathlib import Path

from PIL import Image

from ganzoo.bench.row import fingerprint

PROTOCOL = {
    "format": 1,
    "data": {"name": "fashion-mnist", "split": "train", "sha256": "ab" * 32},
    "images": 10000,
    "extractor": "cd" * 32,
    "ranking": "frechet[fashion-cnn]",
    "libraries": {"torch": "2.13.0"},
}
LENGTHS = (8000, 32000, 64000, 96000, 128000)


def scores(frechet: float) -> dict[str, float]:
    return {
        "frechet[fashion-cnn]": frechet,
        "kid[fashion-cnn]": frechet / 900,
        "kid-deviation[fashion-cnn]": 0.01,
        "precision[fashion-cnn]": 1 / (1 + frechet / 60),
        "recall[fashion-cnn]": 1 / (1 + frechet / 40),
        "density[fashion-cnn]": 1 / (1 + frechet / 70),
        "coverage[fashion-cnn]": 1 / (1 + frechet / 50),
        "inception-score[fashion-cnn]": 8 - frechet / 60,
        "modes[fashion-cnn]": 10.0,
        "class-divergence[fashion-cnn]": frechet / 1000,
    }


def row(
    name: str,
    seed: int,
    values,
    *,
    protocol=PROTOCOL,
    status="done",
    second=20.0,
    kind="train",
    data="fashion-mnist",
    **others,
) -> dict:
    """A row whose ranking metric has these `values` during training.

    A point takes `second` seconds for every 8,000 images.
    """
    points = [{"step": n // 64, "images": n, "scores": scores(v)} for n, v in zip(LENGTHS, values, strict=False)]
    best = min(points, key=lambda point: point["scores"]["frechet[fashion-cnn]"], default=None)
    seconds = [second * n / 8000 for n, _ in zip(LENGTHS, values, strict=False)]
    found = {
        "format": 1,
        "protocol": fingerprint(protocol),
        "cell": {"name": name, "variant": name.partition("+")[0], "data": data, "seed": seed},
        "kind": kind,
        "status": status,
        "error": None if status == "done" else f"Error: {status} at step 900.",
        "collapsed": False,
        "events": [],
        "settings": [],
        "parts": {"generator": "dcgan"},
        "budget": {"steps": 2000, "images": 128000},
        "points": points,
        "final": points[-1] if points and status == "done" else None,
        "best": best,
        "costs": {
            "generator_parameters": 1234567,
            "discriminator_parameters": 765432,
            "loss_parameters": 0,
            "generator_macs": 98765432,
            "discriminator_macs": 45678901,
        },
        "samples": None,
        "weights_sha256": "ef" * 32,
        "times": {
            "training_seconds": seconds[-1] if seconds else None,
            "evaluation_seconds": 12.5,
            "point_seconds": seconds,
            "training_images_per_second": 8000 / second,
            "sampling_images_per_second": 5200.0,
            "peak_memory_bytes": 700 * 2**20,
            "machine": "2 cores",
            "started": "2026-01-01T00:00:00Z",
        },
    }
    return found | others


def write(folder: Path, rows: list[dict], *protocols: dict) -> Path:
    """A bench folder; every row whose samples are named gets a picture."""
    (folder / "samples").mkdir(parents=True, exist_ok=True)
    (folder / "results.jsonl").write_text(
        "".join(json.dumps(found, ensure_ascii=False) + "\n" for found in rows), encoding="utf-8"
    )
    for place, protocol in enumerate(protocols or (PROTOCOL,)):
        (folder / ("protocol.json" if not place else f"protocol-{place}.json")).write_text(json.dumps(protocol))
    for found in rows:
        if found["samples"] and found["samples"].startswith("samples/"):
            noise = random.Random(found["samples"]).randbytes(64 * 64)
            Image.frombytes("L", (64, 64), noise).resize((272, 272)).save(folder / found["samples"])
    return folder


def plausible() -> list[dict]:
    """Four variants with three to four seeds, one of which diverged and one collapsed.

    A mixture under a hostile name; a second protocol.
    """
    rows, chance = [], random.Random(5)
    for name, level, second in (("dcgan", 24, 20), ("lsgan", 27, 19), ("wgan-gp", 21, 55), ("vae", 62, 9)):
        for seed in range(3):
            values = [level * (1 + 9 * 2 ** (-n / 9000)) * chance.uniform(0.93, 1.07) for n in LENGTHS]
            rows.append(row(name, seed, values, second=second, samples=f"samples/{name}-fashion-mnist-seed{seed}.png"))
    rows.append(row("lsgan", 3, [150, 90], status="diverged", second=19))
    collapse = [{"step": 1200, "event": "collapse", "text": "samples are all alike: spread 0.01"}]
    rows.append(
        row(
            "dcgan",
            3,
            [170, 120, 210, 220, 230],
            collapsed=True,
            events=collapse,
            samples="samples/dcgan-fashion-mnist-seed3.png",
        )
    )
    hostile = '<script>alert(1)</script>"onerror=x|`[a](b)\u202egnp'
    rows += [
        row(
            hostile,
            seed,
            [200, 120 + seed, 80, 66 + seed, 60 + seed],
            settings=["generator.width=32"],
            samples="../../etc/passwd" if seed else None,
        )
        for seed in range(2)
    ]
    rows.append(row("r3gan", 0, [], status="failed", error="Error: no room for 3 GiB."))
    other = other_protocol()
    rows += [
        row(
            name,
            0,
            [level],
            protocol=other,
            kind="pretrained",
            budget=None,
            points=[],
            samples=f"samples/{name}.fashion-mnist.png",
            times={"sampling_images_per_second": 5000.0, "machine": "2 cores"},
        )
        for name, level in (("dcgan", 15.2), ("vae", 60.3))
    ]
    return rows


def other_protocol() -> dict:
    return PROTOCOL | {"images": 2000, "libraries": {"torch": "2.11.0"}}
