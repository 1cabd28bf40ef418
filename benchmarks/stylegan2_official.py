"""Times a training step of StyleGAN2 beside that of rosinality/stylegan2-pytorch, on one thread of a CPU.

    python benchmarks/stylegan2_official.py CHECKOUT [--channel-base 1024] [--width 128] [--size 64] [--batch 8]

Both have the same widths, losses and optimizers, and take turns; the least processor time of some rounds counts. Its
operators in `op/` need a GPU. Here plain torch stands in for them: "depthwise" is the fastest filter that was found,
"single" filters one channel at a time, as its own plain function does.
"""

from __future__ import annotations

import argparse
import math
import re
import sys
import time
from contextlib import nullcontext
from copy import deepcopy
from pathlib import Path
from types import ModuleType, SimpleNamespace

import torch
from torch import nn
from torch.nn import functional
from torch.nn.functional import softplus

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests" / "support"))

from stepping import small_trainer

from ganzoo import ImageSpec

KINDS = {"plain": 1, "with path length": 4, "with path length and R1": 16}  # the steps that have them


def filter_of(kind):
    """Their `upfirdn2d`: zeros between pixels, padding, the filter, every `down`-th pixel."""

    def upfirdn2d(x, kernel, up=1, down=1, pad=(0, 0)):
        count, channels, height, width = x.shape
        if up > 1:
            spread = x.new_zeros(count, channels, height * up, width * up)
            spread[:, :, ::up, ::up] = x
            x = spread
        x, kernel = functional.pad(x, (*pad, *pad)), kernel.flip(0, 1)
        if kind == "depthwise":
            y = functional.conv2d(x, kernel.expand(channels, 1, *kernel.shape), groups=channels)
        else:
            y = functional.conv2d(x.reshape(count * channels, 1, *x.shape[2:]), kernel[None, None])
            y = y.view(count, channels, *y.shape[2:])
        return y[:, :, ::down, ::down]

    return upfirdn2d


def activation(x, bias):
    return functional.leaky_relu(x + bias.view(1, -1, *[1] * (x.ndim - 2)), 0.2) * math.sqrt(2)


class Activation(nn.Module):
    def __init__(self, channels, bias=True):
        super().__init__()
        self.bias = nn.Parameter(torch.zeros(channels))

    def forward(self, x):
        return activation(x, self.bias)


def theirs(checkout, kind, options):
    """A function that runs one of their steps, the lazy ones if told."""
    op = ModuleType("op")
    op.upfirdn2d, op.fused_leaky_relu, op.FusedLeakyReLU = filter_of(kind), activation, Activation
    op.conv2d_gradfix = SimpleNamespace(
        conv2d=functional.conv2d, conv_transpose2d=functional.conv_transpose2d, no_weight_gradients=nullcontext
    )
    sys.modules["op"] = op
    widths = {4 << step: min(options.channel_base // (4 << step), options.width) for step in range(9)}
    source = re.sub(r"channels = \{[^}]*\}", f"channels = {widths}", (Path(checkout) / "model.py").read_text())
    module = ModuleType(f"official_{kind}")
    exec(compile(source, "model", "exec"), module.__dict__)
    G, D = module.Generator(options.size, 512, 8), module.Discriminator(options.size)
    average, mean = deepcopy(G), torch.zeros(())
    optimizers = [
        torch.optim.Adam(network.parameters(), lr=2e-3 * share, betas=(0.0, 0.99**share))
        for network, share in ((G, 4 / 5), (D, 16 / 17))
    ]

    def learn(network, optimizer, loss):
        network.zero_grad()
        loss.backward()
        optimizer.step()

    def latents(count):
        return [torch.randn(count, 512), torch.randn(count, 512)]

    def step(number):
        nonlocal mean
        real = torch.rand(options.batch, 3, options.size, options.size) * 2 - 1
        G.requires_grad_(False), D.requires_grad_(True)
        fake = G(latents(options.batch))[0]
        learn(D, optimizers[1], softplus(-D(real)).mean() + softplus(D(fake)).mean())
        if number % 16 == 0:
            real.requires_grad_(True)
            (slope,) = torch.autograd.grad(D(real).sum(), real, create_graph=True)
            learn(D, optimizers[1], 5 * 16 * slope.square().flatten(1).sum(1).mean())
        G.requires_grad_(True), D.requires_grad_(False)
        learn(G, optimizers[0], softplus(-D(G(latents(options.batch))[0])).mean())
        if number % 4 == 0:
            images, styles = G(latents(max(1, options.batch // 2)), return_latents=True)
            noise = torch.randn_like(images) / options.size
            (slope,) = torch.autograd.grad((images * noise).sum(), styles, create_graph=True)
            lengths = slope.square().sum(2).mean(1).sqrt()
            moved = mean + 0.01 * (lengths.mean() - mean)
            learn(G, optimizers[0], 2 * 4 * (lengths - moved).square().mean())
            mean = moved.detach()
        with torch.no_grad():
            for one, other in zip(average.parameters(), G.parameters(), strict=True):
                one.mul_(0.998).add_(other, alpha=0.002)

    return step


def ours(options):
    narrow = {"channel_base": options.channel_base, "width": options.width}
    image = ImageSpec(options.size, 3)
    trainer = small_trainer("stylegan2", image, options.batch, generator=narrow, discriminator=narrow)

    def step(number):
        trainer.step_number = number
        trainer.step()

    return step


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("checkout")
    for name, value in {"channel-base": 1024, "width": 128, "size": 64, "batch": 8, "rounds": 3}.items():
        parser.add_argument(f"--{name}", type=int, default=value)
    options = parser.parse_args()
    torch.set_num_threads(1)
    steps = {"ganzoo": ours(options)}
    steps |= {f"rosinality, {kind}": theirs(options.checkout, kind, options) for kind in ("depthwise", "single")}
    for step in steps.values():
        step(16)
    least = {name: dict.fromkeys(KINDS, math.inf) for name in steps}
    for _ in range(options.rounds):
        for kind, number in KINDS.items():
            for name, step in steps.items():
                start = time.process_time()
                step(number)
                least[name][kind] = min(least[name][kind], time.process_time() - start)
    for name, seconds in least.items():
        mean = sum(share * value for share, value in zip((12, 3, 1), seconds.values(), strict=True)) / 16
        each = ", ".join(f"{kind} {value:.3f} s" for kind, value in seconds.items())
        print(f"{name}: {each}; mean of 16 steps {mean:.3f} s")


if __name__ == "__main__":
    main()
