"""Times a training step of StyleGAN2 beside those of other code, on one thread of a CPU, and ADA beside NVIDIA's.

    python benchmarks/stylegan2_speed.py --rosinality CHECKOUT --lucidrains FOLDER --ada CHECKOUT [--rounds 3]

All have the same widths, losses and optimizers, and take turns; the least processor time of some rounds counts.
Operators that need a GPU are replaced by plain torch: of rosinality/stylegan2-pytorch, "depthwise" is the fastest
filter that was found, "single" filters one channel at a time, as its own plain function does. FOLDER holds
`stylegan2_pytorch.py` of PyPI's stylegan2_pytorch, whose blur is a depthwise filter too. ADA, at p = 0.5, is a forward
and a backward pass of the augmentation alone; the official code runs its own plain functions.
"""

from __future__ import annotations

import argparse
import math
import re
import sys
import time
from contextlib import nullcontext
from copy import deepcopy
from functools import partial
from pathlib import Path
from types import ModuleType, SimpleNamespace

import torch
from torch import nn
from torch.nn import functional
from torch.nn.functional import softplus

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests" / "support"))

from stepping import part, small_trainer

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


def widths_of(options):
    return {4 << step: min(options.channel_base // (4 << step), options.width) for step in range(9)}


def rosinality(checkout, kind, options):
    """Their networks: images and styles of latents (N, 512), and logits of images."""
    op = ModuleType("op")
    op.upfirdn2d, op.fused_leaky_relu, op.FusedLeakyReLU = filter_of(kind), activation, Activation
    op.conv2d_gradfix = SimpleNamespace(
        conv2d=functional.conv2d, conv_transpose2d=functional.conv_transpose2d, no_weight_gradients=nullcontext
    )
    sys.modules["op"] = op
    source = (Path(checkout) / "model.py").read_text()
    module = ModuleType(f"official_{kind}")
    source = re.sub(r"channels = \{[^}]*\}", f"channels = {widths_of(options)}", source)
    exec(compile(source, "model", "exec"), module.__dict__)
    G, D = module.Generator(options.size, 512, 8), module.Discriminator(options.size)

    def drawn(count):
        latents = [torch.randn(count, 512), torch.randn(count, 512)]
        return G(latents, return_latents=True)

    return [G], D, drawn, D


def blur(x, kernel, normalized):
    """kornia's `filter2d` with its reflected border."""
    kernel = (kernel / kernel.sum()).expand(x.shape[1], 1, -1, -1)
    return functional.conv2d(functional.pad(x, (1, 1, 1, 1), "reflect"), kernel, groups=x.shape[1])


def lucidrains(folder, options):
    """Their networks, in which a block of two convolutions has one style; they mix styles as theirs do."""
    source = (Path(folder) / "stylegan2_pytorch.py").read_text()
    parts = (("def leaky_relu", "def evaluate"), ("class Flatten", "class RandomApply"), ("class Blur", "# attention"))
    parts += (("def exists", "@contextmanager"), ("class EqualLinear", "class StyleGAN2("))
    source = "\n".join(source[source.index(start) : source.index(end, source.index(start))] for start, end in parts)
    sides = [4 << step for step in range(options.size.bit_length() - 2)]
    widths = [widths_of(options)[side] for side in sides]
    made = {"filters": widths, "judged": [3, *widths[::-1], widths[0]]}
    source = re.sub(r"filters = \[network_capacity.*", f"filters = {made['filters']}", source)
    source = re.sub(r"filters = \[num_init_filters\].*", f"filters = {made['judged']}", source)
    names = {"torch": torch, "nn": nn, "F": functional, "math": math, "log2": math.log2, "partial": partial}
    names["filter2d"] = blur
    exec(compile(source, "model", "exec"), names)
    S, G = names["StyleVectorizer"](512, 8), names["Generator"](options.size, 512)
    D = names["Discriminator"](options.size)

    def drawn(count):
        styles = [S(torch.randn(count, 512))[:, None] for _ in range(2)]
        cut = int(torch.randint(1, G.num_layers, ()))
        styles = torch.cat([styles[0].expand(-1, cut, -1), styles[1].expand(-1, G.num_layers - cut, -1)], 1)
        return G(styles, torch.rand(count, options.size, options.size, 1)), styles

    return [S, G], D, drawn, lambda images: D(images)[0]


def theirs(networks, options):
    """A function that runs one training step on their networks, the lazy ones where ganzoo has them."""
    drawing, D, drawn, judged = networks
    G = nn.ModuleList(drawing)
    average, mean = deepcopy(G), torch.zeros(())
    optimizers = [
        torch.optim.Adam(network.parameters(), lr=2e-3 * share, betas=(0.0, 0.99**share))
        for network, share in ((G, 4 / 5), (D, 16 / 17))
    ]

    def learn(network, optimizer, loss):
        network.zero_grad()
        loss.backward()
        optimizer.step()

    def step(number):
        nonlocal mean
        real = torch.rand(options.batch, 3, options.size, options.size) * 2 - 1
        G.requires_grad_(False), D.requires_grad_(True)
        fake = drawn(options.batch)[0]
        learn(D, optimizers[1], softplus(-judged(real)).mean() + softplus(judged(fake)).mean())
        if number % 16 == 0:
            real.requires_grad_(True)
            (slope,) = torch.autograd.grad(judged(real).sum(), real, create_graph=True)
            learn(D, optimizers[1], 5 * 16 * slope.square().flatten(1).sum(1).mean())
        G.requires_grad_(True), D.requires_grad_(False)
        learn(G, optimizers[0], softplus(-judged(drawn(options.batch)[0])).mean())
        if number % 4 == 0:
            images, styles = drawn(max(1, options.batch // 2))
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


def augmentations(checkout, options):
    """ADA at p = 0.5 on a batch, forth and back: ganzoo's and the official one."""
    sys.path.insert(0, checkout)
    for name in ("requests", "pkg_resources"):  # for downloads and for versions of torch
        sys.modules.setdefault(name, ModuleType(name)).parse_version = lambda version: (1, 8)
    from training.augment import AugmentPipe

    names = "xflip rotate90 xint scale rotate aniso xfrac brightness contrast lumaflip hue saturation".split()
    official = AugmentPipe(**dict.fromkeys(names, 1))
    official.p.fill_(0.5)
    image = ImageSpec(options.size, 3)

    def runs(augment):
        def run():
            images = (torch.rand(options.batch, 3, options.size, options.size) * 2 - 1).requires_grad_()
            augment(images).sum().backward()

        return run

    return {"ganzoo": runs(part("augmentations", "ada", image, start=0.5)), "official": runs(official)}


def least_of(runs, rounds):
    """The least processor time of each function; they take turns."""
    for run in runs.values():
        run()
    least = dict.fromkeys(runs, math.inf)
    for _ in range(rounds):
        for name, run in runs.items():
            start = time.process_time()
            run()
            least[name] = min(least[name], time.process_time() - start)
    return least


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    for name in ("rosinality", "lucidrains", "ada"):
        parser.add_argument(f"--{name}")
    for name, value in {"channel-base": 1024, "width": 128, "size": 64, "batch": 8, "rounds": 3}.items():
        parser.add_argument(f"--{name}", type=int, default=value)
    options = parser.parse_args()
    torch.set_num_threads(1)
    steps = {"ganzoo": ours(options)}
    if options.rosinality:
        for kind in ("depthwise", "single"):
            steps[f"rosinality, {kind}"] = theirs(rosinality(options.rosinality, kind, options), options)
    if options.lucidrains:
        steps["lucidrains"] = theirs(lucidrains(options.lucidrains, options), options)
    least = {
        kind: least_of({name: partial(step, number) for name, step in steps.items()}, options.rounds)
        for kind, number in KINDS.items()
    }
    for name in steps:
        seconds = [least[kind][name] for kind in KINDS]
        mean = sum(share * value for share, value in zip((12, 3, 1), seconds, strict=True)) / 16
        each = ", ".join(f"{kind} {value:.3f} s" for kind, value in zip(KINDS, seconds, strict=True))
        print(f"{name}: {each}; mean of 16 steps {mean:.3f} s", flush=True)
    if options.ada:
        for name, seconds in least_of(augmentations(options.ada, options), 4 * options.rounds).items():
            print(f"ADA at p = 0.5, {name}: {seconds * 1000:.1f} ms")


if __name__ == "__main__":
    main()
