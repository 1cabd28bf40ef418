"""Measures a gradient penalty with PyTorch's second derivative of convolutions and with ours, in turn.

    python benchmarks/penalties.py --device cuda

A turn is one penalty of a batch of noise and its gradient with respect to the discriminator's weights. "pytorch"
looks at no call of conv2d at all; "groups" takes our way for grouped convolutions alone, as it is on CPUs, "all" for
every convolution, as it is on GPUs.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Any

import torch
from torch import Tensor, nn

from ganzoo import ImageSpec, SampleSpec
from ganzoo.engine.randomness import repeatable
from ganzoo.losses import double_backward as convolutions
from ganzoo.losses import penalties, squared_gradient_norm
from ganzoo.registry.registry import registry


@dataclass(frozen=True)
class Task:
    """The discriminator of a variant, with options of its own, on images of a size."""

    variant: str
    image: SampleSpec
    options: dict[str, Any] = field(default_factory=dict)

    def build(self) -> nn.Module:
        part = registry().get("variants", self.variant).discriminator
        torch.manual_seed(0)
        return registry().get("discriminators", part.name)(self.image, **{**part.options, **self.options})


TASKS = {
    "r3gan-64-channels": Task("r3gan", ImageSpec(32, 3), {"width": 64}),
    "r3gan-small": Task("r3gan", ImageSpec(32, 1), {"width": 256, "blocks": 1, "full_width_stages": 2}),
    "r3gan-256-channels": Task("r3gan", ImageSpec(32, 3), {"width": 256}),
    "r3gan": Task("r3gan", ImageSpec(32, 3)),
    "wgan-gp": Task("wgan-gp", ImageSpec(32, 1)),
    "wgan-gp-resnet": Task("wgan-gp-resnet", ImageSpec(32, 3)),
    "wgan-gp-resnet-64": Task("wgan-gp-resnet-64", ImageSpec(64, 3)),
    "dragan-dcgan": Task("dragan-dcgan", ImageSpec(32, 1)),
}


WAYS: dict[str, tuple[Callable, Callable]] = {
    "pytorch": (nullcontext, convolutions.pays),
    "groups": (convolutions.TwiceDifferentiable, lambda input, groups: groups > 1),
    "all": (convolutions.TwiceDifferentiable, lambda input, groups: True),
}


def turn(net: nn.Module, images: Tensor, way: str) -> float:
    """Seconds of one penalty and its gradient."""
    penalties.TwiceDifferentiable, convolutions.pays = WAYS[way]
    wait = torch.cuda.synchronize if images.is_cuda else lambda: None
    net.zero_grad()
    wait()
    began = time.perf_counter()
    squared_gradient_norm(net, images).mean().backward()
    wait()
    return time.perf_counter() - began


def gradient(net: nn.Module) -> Tensor:
    return torch.cat([p.grad.double().flatten() for p in net.parameters() if p.grad is not None])


def measured(task: Task, device: str, batch: int, rounds: int) -> dict[str, Any]:
    """Milliseconds of each way, its speed relative to PyTorch's, and by how much the gradient differs from that."""
    net = task.build().to(device)
    with torch.no_grad():
        for (
            parameter
        ) in net.parameters():  # R3GAN's blocks start as the identity, which would have no gradient to compare
            parameter.add_(torch.randn_like(parameter), alpha=0.02)
    images = torch.randn(batch, task.image.channels, task.image.size, task.image.size, device=device)
    ways = [way for way in WAYS if way != "all" or device.startswith("cuda")]
    gradients = {}
    for way in ways:
        turn(net, images, way)
        turn(net, images, way)
        gradients[way] = gradient(net)
    times = {way: [] for way in ways}
    for number in range(rounds):
        for way in ways[number % len(ways) :] + ways[: number % len(ways)]:
            times[way].append(turn(net, images, way))
    found = {}
    for way in ways:
        ratios = [theirs / ours for theirs, ours in zip(times["pytorch"], times[way], strict=True)]
        off = float((gradients[way] - gradients["pytorch"]).norm() / gradients["pytorch"].norm())
        found[way] = {
            "ms": 1000 * median(times[way]),
            "ratio": [median(ratios), min(ratios), max(ratios)],
            "difference": off,
        }
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--only", choices=TASKS, action="append", help="one task; may be repeated")
    parser.add_argument("--json", type=Path, help="write every number there")
    options = parser.parse_args()
    repeatable(options.device)
    everything = {}
    for name in options.only or TASKS:
        everything[name] = measured(TASKS[name], options.device, options.batch, options.rounds)
        for way, row in everything[name].items():
            middle, least, most = row["ratio"]
            print(
                f"{name:20} {way:8} {row['ms']:9.1f} ms  {middle:6.2f} [{least:.2f}, {most:.2f}]  "
                f"gradient differs by {row['difference']:.1e}",
                flush=True,
            )
    if options.json:
        options.json.write_text(json.dumps(everything, indent=1) + "\n")


if __name__ == "__main__":
    main()
