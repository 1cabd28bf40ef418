"""Measures how well images of StyleGAN3 move and turn with its Fourier features, as Karras et al. 2021 do (appendix E).

    python benchmarks/equivariance.py [--model FOLDER] [--size 64] [--channel-base 2048] [--images 8]

Without a model, both networks have random weights: that tests the layers, not a training. EQ-T moves by whole pixels,
EQ-T frac by any amount, up to an eighth of the image; EQ-R here is of quarter turns, which need no interpolation. The
PSNR has a peak of 2, the range of pixels; the second number is the error beside the variance of the images, in dB.
"""

from __future__ import annotations

import argparse
import math

import torch
from torch.nn import functional

import ganzoo
from ganzoo import ImageSpec
from ganzoo.registry.registry import registry

REACH = 8  # pixels of the windowed sinc that moves an image by a fraction, on either side


def moved(images, right, down):
    """Images (N, C, H, W) moved by a fraction of a pixel, by a sinc under a window of its first lobe."""
    for shift, axis in ((right, 3), (down, 2)):
        place = torch.arange(-REACH, REACH + 1) + shift
        taps = torch.special.sinc(place) * torch.special.sinc((place / (REACH + 1)).clamp(-1, 1))
        shape = [1, 1, 1, -1] if axis == 3 else [1, 1, -1, 1]
        weight = (taps / taps.sum()).view(shape).expand(images.shape[1], -1, -1, -1)
        padding = (0, REACH) if axis == 3 else (REACH, 0)
        images = functional.conv2d(images, weight, padding=padding, groups=images.shape[1])
    return images


def synthesized(generator, style, matrix):
    """What the generator makes when the sines are moved by a matrix; unclamped."""
    generator.input.transform.copy_(matrix)
    return generator.train().requires_grad_(False).synthesis(style)


def errors(generator, styles, random):
    """Sums of squared errors and numbers of pixels of each measure, and the variance of the images."""
    size, found = generator.layers[-1].size, {"EQ-T": [], "EQ-T frac": [], "EQ-R": []}
    half_lives = [layer.half_life for layer in [*generator.layers, generator.to_image]]
    for layer in [*generator.layers, generator.to_image]:
        layer.half_life = math.inf  # training mode leaves images unclamped; magnitudes stay
    variance = 0.0
    for style in styles.split(1):
        before = synthesized(generator, style, torch.eye(3))
        variance += before.var().item() / len(styles)
        for name in ("EQ-T", "EQ-T frac"):
            by = (torch.rand(2, generator=random) * 2 - 1) * size / 8
            by = by.round() if name == "EQ-T" else by
            matrix = torch.eye(3)
            matrix[:2, 2] = -by / size
            after = synthesized(generator, style, matrix)
            whole, rest = by.floor(), by - by.floor()
            wanted = before if name == "EQ-T" else moved(before, -rest[0], -rest[1])
            wanted = torch.roll(wanted, (int(whole[0]), int(whole[1])), (3, 2))
            edge = math.ceil(size / 8) + REACH + 1
            found[name].append((wanted - after)[:, :, edge:-edge, edge:-edge].square().mean())
        matrix = torch.tensor([[0.0, 1.0, 0.0], [-1.0, 0.0, 0.0], [0.0, 0.0, 1.0]])
        turned = synthesized(generator, style, matrix)
        either = [(torch.rot90(before, turns, (2, 3)) - turned).square().mean() for turns in (1, -1)]
        found["EQ-R"].append(min(either))
    for layer, half_life in zip([*generator.layers, generator.to_image], half_lives, strict=True):
        layer.half_life = half_life
    return {name: torch.stack(each).mean().item() for name, each in found.items()}, variance


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model")
    for name, value in {"size": 64, "channel-base": 2048, "images": 8}.items():
        parser.add_argument(f"--{name}", type=int, default=value)
    options = parser.parse_args()
    torch.manual_seed(0)
    if options.model:
        generators = {options.model: ganzoo.load(options.model).generator}
    else:
        kinds = {"stylegan3-t": {}, "stylegan3-r": {"kernel": 1, "radial": True}}
        make, image = registry().get("generators", "stylegan3"), ImageSpec(options.size, 3)
        generators = {name: make(image, channel_base=options.channel_base, **more) for name, more in kinds.items()}
        for generator in generators.values():
            for layer in [*generator.layers, generator.to_image]:
                layer.half_life = 1e-9
            with torch.no_grad():
                generator.train()(torch.randn(8, generator.latent_dim))  # magnitudes of these weights
    for name, generator in generators.items():
        styles = generator.eval().mapping(torch.randn(options.images, generator.latent_dim)).detach()
        with torch.no_grad():
            found, variance = errors(generator, styles, torch.Generator().manual_seed(1))
        each = [
            f"{kind} {20 * math.log10(2) - 10 * math.log10(error):.1f} dB ({10 * math.log10(variance / error):.1f})"
            for kind, error in found.items()
        ]
        print(f"{name}: {', '.join(each)}")


if __name__ == "__main__":
    main()
