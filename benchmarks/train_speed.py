"""Training speed of the engine against hand-written loops of the same networks, interleaved in one run.

    python benchmarks/train_speed.py --rounds 9

Each round times every contestant once, in rotating order; what counts is the ratio inside a round, for another load
on the machine then hits both. `ganzoo-ema` also keeps the moving average, `ganzoo-read` also reads every term in
every step.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from statistics import median

import loops
import torch
from torch import nn

from ganzoo import ImageSpec, SampleSpec, Variant
from ganzoo.data import Batches, ImageData
from ganzoo.engine.trainer import Trainer
from ganzoo.registry.registry import registry


@dataclass(frozen=True)
class Task:
    """A variant at an image size and width, the loops of the same work, and how many real minibatches a step takes."""

    variant: str
    image: SampleSpec
    plain: Callable
    fast: Callable
    batches: int
    width: int


TASKS = {
    "dcgan-32": Task("dcgan", ImageSpec(32, 1), loops.plain_dcgan, loops.fast_dcgan, 1, 64),
    "dcgan-64": Task("dcgan", ImageSpec(64, 3), loops.plain_dcgan, loops.fast_dcgan, 1, 64),
    "wgan-gp-32": Task("wgan-gp", ImageSpec(32, 1), loops.plain_wgan_gp, loops.fast_wgan_gp, loops.CRITIC_STEPS, 64),
}
CONTESTANTS = ("plain", "hand", "ganzoo", "ganzoo-ema", "ganzoo-read")


def build(task: Task) -> tuple[Variant, nn.Module, nn.Module, nn.Module]:
    """The task's variant, and its generator, discriminator and loss with the same weights in every call."""
    find = registry().get
    variant = find("variants", task.variant)
    torch.manual_seed(0)
    kinds = {"generators": variant.generator, "discriminators": variant.discriminator, "losses": variant.loss}
    options = {kind: {} if kind == "losses" else {"width": task.width} for kind in kinds}
    parts = [find(kind, part.name)(task.image, **{**part.options, **options[kind]}) for kind, part in kinds.items()]
    return variant, *parts


def noise_images(image: SampleSpec, count: int = 1024) -> torch.Tensor:
    """Random bytes (count, size, size, channels) in place of a data set: the arithmetic does not care."""
    random = torch.Generator().manual_seed(1)
    return torch.randint(0, 256, (count, image.size, image.size, image.channels), dtype=torch.uint8, generator=random)


def trainer_of(task: Task, device: str, *, ema: float | None = None, **settings) -> Trainer:
    """The public engine on the task; `settings` go to the `Trainer`."""
    variant, generator, discriminator, loss = build(task)
    training = replace(variant.training, ema=ema, mirror=False)
    data = ImageData(noise_images(task.image), None, (), "noise", "")
    batches = Batches(data, batch_size=training.batch_size, seed=0, device=device)
    parts = {"generator": generator, "discriminator": discriminator, "loss": loss}
    return Trainer(**parts, batches=batches, image=task.image, training=training, device=device, **settings)


def contestant(name: str, task: Task, device: str, precision: str) -> Callable[[], object]:
    """A function that runs one training step."""
    if name in ("plain", "hand"):
        variant, generator, discriminator, _ = build(task)
        networks = (generator.to(device).train(), discriminator.to(device).train())
        source_class = loops.PlainSource if name == "plain" else loops.FastSource
        source = source_class(
            noise_images(task.image), variant.training.batch_size, generator.latent_dim, torch.device(device)
        )
        if name == "plain":
            return task.plain(*networks, variant.training, source)
        return task.fast(*networks, variant.training, source, precision)
    trainer = trainer_of(task, device, precision=precision, ema=0.999 if name == "ganzoo-ema" else None)
    if name == "ganzoo-read":
        return lambda: [float(term) for term in trainer.step().values()]
    return trainer.step


def timed(step: Callable[[], object], count: int, device: str) -> tuple[float, float]:
    """Processor and wall seconds of `count` steps."""
    wait = torch.cuda.synchronize if device.startswith("cuda") else lambda: None
    wait()
    cpu, wall = time.process_time(), time.perf_counter()
    for _ in range(count):
        step()
    wait()
    return time.process_time() - cpu, time.perf_counter() - wall


def race(
    task: Task, names: list[str], rounds: int, seconds: float, device: str, precision: str
) -> tuple[int, dict[str, list]]:
    """Times all contestants in every round, in rotating order; returns the steps in one turn and the times by name."""
    steps = {name: contestant(name, task, device, "fp32" if name == "plain" else precision) for name in names}
    for step in steps.values():
        timed(step, 2, device)  # kernels are chosen and, in WGAN-GP, the generator waits until the second step
    count = max(1, round(seconds / timed(steps[names[0]], 1, device)[1]))
    times: dict[str, list] = {name: [] for name in names}
    for turn in range(rounds):
        for name in names[turn % len(names) :] + names[: turn % len(names)]:
            times[name].append(timed(steps[name], count, device))
    return count, times


def ratios(times: dict[str, list], name: str, other: str, clock: int) -> dict[str, float]:
    """How many times as fast `name` is as `other`: median, least and most over the rounds."""
    each = [theirs[clock] / ours[clock] for ours, theirs in zip(times[name], times[other], strict=True)]
    return {"median": median(each), "min": min(each), "max": max(each)}


def rows(label: str, task: Task, precision: str, count: int, times: dict[str, list], clock: int) -> list[dict]:
    """One row for each contestant, ready to print or to save."""
    images = count * task.batches * registry().get("variants", task.variant).training.batch_size
    found = []
    for name in times:
        row = {"task": label, "precision": "fp32" if name == "plain" else precision, "contestant": name}
        row["images_per_second"] = images / median(wall for _, wall in times[name])
        row["cpu_ms_per_image"] = 1000 * median(cpu for cpu, _ in times[name]) / images
        for other in ("plain", "hand", "ganzoo"):
            if other in times:
                row[f"x_{other}"] = ratios(times, name, other, clock)
        found.append(row)
    return found


def line(row: dict) -> str:
    """A row of the printed table."""
    cells = [
        row["task"],
        row["precision"],
        row["contestant"],
        f"{row['images_per_second']:.1f}",
        f"{row['cpu_ms_per_image']:.3f}",
    ]
    for other in ("plain", "hand", "ganzoo"):
        ratio = row.get(f"x_{other}")
        cells.append(f"{ratio['median']:.3f} [{ratio['min']:.3f}, {ratio['max']:.3f}]" if ratio else "")
    return "| " + " | ".join(cells) + " |"


def has_bf16(device: str) -> bool:
    """Whether the processor multiplies bfloat16 itself; emulated it is slower than float32."""
    if device.startswith("cuda"):
        return torch.cuda.is_bf16_supported(including_emulation=False)
    capabilities = torch.cpu.get_capabilities()
    return bool(capabilities.get("avx512_bf16") or capabilities.get("amx_bf16") or capabilities.get("bf16"))


def machine(device: str) -> dict:
    """Where the numbers come from, as far as they depend on it."""
    name = torch.cpu.get_capabilities().get("cpu_name", platform.processor())
    if device.startswith("cuda"):
        name = torch.cuda.get_device_name(device)
    return {
        "processor": f"{name} {torch.backends.cpu.get_cpu_capability()}",
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "bf16": has_bf16(device),
        "torch": torch.__version__,
        "python": platform.python_version(),
        "device": device,
    }


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument(
        "--seconds", type=float, default=1.0, help="how long one turn of the first contestant is to last"
    )
    parser.add_argument("--tasks", default=",".join(TASKS))
    parser.add_argument("--contestants", default="plain,hand,ganzoo", help=f"some of {','.join(CONTESTANTS)}")
    parser.add_argument("--precision", default="fp32,bf16")
    parser.add_argument("--force", action="store_true", help="measure bf16 where the processor only emulates it, too")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--json", type=Path, help="also write the rows to this file")
    chosen = parser.parse_args()
    for option, known in (("tasks", TASKS), ("contestants", CONTESTANTS), ("precision", ("fp32", "bf16"))):
        names = getattr(chosen, option).split(",")
        if unknown := [name for name in names if name not in known]:
            parser.error(f"--{option} does not know '{unknown[0]}'; known: {', '.join(known)}")
        setattr(chosen, option, names)
    return chosen


def main() -> None:
    chosen = arguments()
    torch.set_num_threads(chosen.threads)
    where = machine(chosen.device)
    print(", ".join(f"{key} {value}" for key, value in where.items()))
    # With several threads their sum of processor time says nothing about speed, and a GPU has its own clock.
    clock = 0 if chosen.threads == 1 and chosen.device == "cpu" else 1
    print(f"x: times as fast, by {('processor', 'wall')[clock]} time, median [least, most] of {chosen.rounds} rounds")
    print("| task | precision | contestant | images/s | cpu ms/image | x plain | x hand | x ganzoo |")
    print("| --- | --- | --- | --- | --- | --- | --- | --- |")
    found = []
    for precision in chosen.precision:
        if precision == "bf16" and not (where["bf16"] or chosen.force):
            print("bf16: skipped, this processor only emulates it (--force measures it all the same)")
            continue
        for label in chosen.tasks:
            task = TASKS[label]
            count, times = race(task, chosen.contestants, chosen.rounds, chosen.seconds, chosen.device, precision)
            new = rows(label, task, precision, count, times, clock)
            print("\n".join(map(line, new)), flush=True)
            found += new
    if chosen.json:
        tasks = {label: asdict(TASKS[label].image) for label in chosen.tasks}
        chosen.json.write_text(
            json.dumps({"machine": where, "rounds": chosen.rounds, "images": tasks, "rows": found}, indent=2) + "\n"
        )


if __name__ == "__main__":
    main()
