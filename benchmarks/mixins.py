"""Measures what each built-in mix-in costs: the time of a training step with it divided by that of one without.

    python benchmarks/mixins.py --rounds 12

DCGAN's generator and loss with WGAN-GP's critic, which has no batch norm, on noise. The processor's time of this
process is taken, so that other work on the machine counts little; the median over rounds, in each of which every
mix-in steps once.
"""

from __future__ import annotations

import argparse
import statistics
import time

import torch

from ganzoo import ImageSpec, SampleSpec
from ganzoo.config.mixins import mixed_in
from ganzoo.config.settings import resolve
from ganzoo.data.sample import ImageBatches
from ganzoo.engine.build import build_trainer
from ganzoo.registry.registry import registry

CASES = {
    "none": (),
    "r1": ("r1",),
    "r1 every 16": ("r1", "regularizers.r1.every=16"),
    "r2": ("r2",),
    "gradient-penalty": ("gradient-penalty",),
    "dragan-penalty": ("dragan-penalty",),
    "lecam": ("lecam", "regularizers.lecam.start=0"),
    "consistency": ("consistency",),
    "orthogonal": ("orthogonal",),
    "top-k": ("top-k",),
    "diffaugment": ("diffaugment",),
    "ada at p = 0": ("ada",),
    "ada at p = 0.5": ("ada", "augmentation.start=0.5"),
}


class Noise(ImageBatches):
    """Batches of the same noise."""

    def __init__(self, image: SampleSpec, size: int):
        self.pixels = (
            torch.rand(size, image.channels, image.size, image.size, generator=torch.Generator().manual_seed(0)) * 2 - 1
        )

    def images(self, number: int, part: slice) -> torch.Tensor:
        return self.pixels[part]


def trainer_with(name: tuple[str, ...], image: SampleSpec, width: int, batch: int):
    variant = mixed_in(registry().get("variants", "dcgan"), name[:1], registry())
    settings = [
        "discriminator=wgan-gp",
        f"generator.width={width}",
        f"discriminator.width={width}",
        f"training.batch_size={batch}",
        *name[1:],
    ]
    return build_trainer(resolve(variant, settings, registry()), image, Noise(image, batch))


def main() -> None:
    """Prints one row a mix-in: milliseconds a step and the ratio to none."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=12)
    parser.add_argument("--size", type=int, default=32)
    parser.add_argument("--channels", type=int, default=3)
    parser.add_argument("--width", type=int, default=32)
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--threads", type=int, default=1)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    image = ImageSpec(arguments.size, arguments.channels)
    trainers = {name: trainer_with(case, image, arguments.width, arguments.batch) for name, case in CASES.items()}
    seconds: dict[str, list[float]] = {name: [] for name in trainers}
    lazy = trainers["r1 every 16"]
    for number in range(arguments.rounds + 1):
        for name, trainer in trainers.items():
            steps = 16 if trainer is lazy else 1
            began = time.process_time()
            for _ in range(steps):
                trainer.step()
            if number:  # the first step allocates
                seconds[name].append((time.process_time() - began) / steps)
    print(
        f"{arguments.size} px, {arguments.channels} channels, width {arguments.width}, batch {arguments.batch}, "
        f"{arguments.rounds} rounds"
    )
    base = statistics.median(seconds["none"])
    for name, values in seconds.items():
        print(f"{name:>18} {1000 * statistics.median(values):8.1f} ms  {statistics.median(values) / base:5.2f}")


if __name__ == "__main__":
    main()
