"""Times a pix2pix step of the engine against the official loop over the same networks, interleaved in one run.

    python benchmarks/translation_speed.py --rounds 7

The official loop is that of junyanz/pytorch-CycleGAN-and-pix2pix (`models/pix2pix_model.py`, `optimize_parameters`):
one pass of the generator, the discriminator on the detached pair and on the real one, its step, the discriminator on
the pair again, and the generator's step; tensors in torch's default layout, one image at a time. Both get the same
pairs from memory, so that reading files counts for neither (`paired_data.py` measures that). First both train a few
steps in float64 without dropout from the same weights, and the largest difference of a weight is printed.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from statistics import median

import torch
from torch import Tensor, nn

from ganzoo import Field, SampleSpec
from ganzoo.engine.trainer import Trainer
from ganzoo.registry.registry import registry


class Pairs:
    """Random pairs, the same numbers for every contestant; with `channels_last` in the layout of ganzoo's data."""

    def __init__(self, size: int, batch_size: int, count: int = 16, channels_last: bool = False) -> None:
        random = torch.Generator().manual_seed(0)
        shape = (count, batch_size, 3, size, size)
        self.source, self.output = (torch.rand(shape, generator=random) * 2 - 1 for _ in range(2))
        if channels_last:
            self.source, self.output = (
                pictures.permute(0, 1, 3, 4, 2).contiguous().permute(0, 1, 4, 2, 3)
                for pictures in (self.source, self.output)
            )

    def sample(self, number: int, part: slice = slice(None)) -> Mapping[str, Tensor]:
        place = number % len(self.source)
        return {"source": self.source[place][part], "output": self.output[place][part]}


def networks(size: int, width: int, dropout: float) -> tuple[SampleSpec, nn.Module, nn.Module]:
    """A specification, generator and discriminator of pix2pix with the same weights in every call."""
    shape = Field((3, size, size))
    spec = SampleSpec(shape, {"source": shape})
    torch.manual_seed(0)
    find = registry().get
    generator = find("generators", "unet")(spec, width=width, dropout=dropout)
    return spec, generator, find("discriminators", "patchgan")(spec, width=width)


def official(size: int, width: int, pairs: Pairs, dropout: float, dtype: torch.dtype) -> tuple[Callable, nn.Module]:
    """The official loop's step, and the generator that it trains."""
    _, generator, judge = networks(size, width, dropout)
    generator, judge = generator.to(dtype).train(), judge.to(dtype).train()
    adam = {"lr": 2e-4, "betas": (0.5, 0.999)}
    of_generator, of_judge = (
        torch.optim.Adam(generator.parameters(), **adam),
        torch.optim.Adam(judge.parameters(), **adam),
    )
    cross_entropy, l1, numbers = nn.BCEWithLogitsLoss(), nn.L1Loss(), iter(range(10**9))

    def judged(images: Tensor, source: Tensor, real: bool) -> Tensor:
        logits = judge(images, source=source)
        return cross_entropy(logits, torch.tensor(float(real), dtype=dtype).expand_as(logits))

    def step() -> None:
        fields = pairs.sample(next(numbers))
        source, output = fields["source"].to(dtype), fields["output"].to(dtype)
        fake = generator(torch.empty(len(source), 0), source=source)
        judge.requires_grad_(True)
        of_judge.zero_grad()
        loss = (judged(fake.detach(), source, False) + judged(output, source, True)) * 0.5
        loss.backward()
        of_judge.step()
        judge.requires_grad_(False)
        of_generator.zero_grad()
        (judged(fake, source, True) + l1(fake, output) * 100.0).backward()
        of_generator.step()

    return step, generator


def ganzoo(size: int, width: int, pairs: Pairs, dropout: float, dtype: torch.dtype) -> tuple[Callable, nn.Module]:
    """The engine's step, and the generator that it trains."""
    spec, generator, judge = networks(size, width, dropout)
    training = replace(registry().get("variants", "pix2pix").training, schedules={}, batch_size=pairs.source.shape[1])
    loss = registry().get("losses", "pix2pix")(spec)
    parts = {"generator": generator, "discriminator": judge, "loss": loss}
    trainer = Trainer(**parts, batches=pairs, image=spec, training=training, dtype=dtype)
    return trainer.step, trainer.generator


def difference(size: int, width: int, steps: int) -> float:
    """The largest difference of a weight after some steps of both in float64, without dropout."""
    found = []
    for contestant in (official, ganzoo):
        step, generator = contestant(size, width, Pairs(size, 1), 0.0, torch.float64)
        for _ in range(steps):
            step()
        found.append([parameter.detach().clone() for parameter in generator.parameters()])
    return max(float((one - other).abs().max()) for one, other in zip(*found, strict=True))


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--size", type=int, default=128)
    parser.add_argument("--width", type=int, default=64)
    parser.add_argument("--batch-size", type=int, default=1)
    parser.add_argument("--steps", type=int, default=3, help="steps of a turn")
    chosen = parser.parse_args()
    torch.set_num_threads(1)
    print(f"float64, 3 steps at {chosen.size} px: weights differ by {difference(chosen.size, 8, 3):.1e} at most")
    steps = {}
    for name, contestant in (("official", official), ("ganzoo", ganzoo)):
        pairs = Pairs(chosen.size, chosen.batch_size, channels_last=name == "ganzoo")
        steps[name] = contestant(chosen.size, chosen.width, pairs, 0.5, torch.float32)[0]
    times: dict[str, list[float]] = {name: [] for name in steps}
    for step in steps.values():
        step(), step()
    for turn in range(chosen.rounds):
        for name in sorted(steps, reverse=bool(turn % 2)):
            began = time.process_time()
            for _ in range(chosen.steps):
                steps[name]()
            times[name].append((time.process_time() - began) / chosen.steps)
    ratios = [slow / fast for slow, fast in zip(times["official"], times["ganzoo"], strict=True)]
    for name, seconds in times.items():
        print(f"{name:10}{1000 * median(seconds):8.0f} ms of processor time a step")
    print(f"ganzoo is {median(ratios):.2f} times as fast [{min(ratios):.2f}, {max(ratios):.2f}]")


if __name__ == "__main__":
    main()
