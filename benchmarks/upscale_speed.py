"""Seconds of upscaling a photograph with the compact network, beside Real-ESRGAN's inference of the same weights.

    python benchmarks/upscale_speed.py --picture photo.png --model real-esrgan.animevideo

Rounds are interleaved, and the median of the ratios of neighbours is what counts on a machine with other work; the
ratio of CPU seconds is printed beside it. The other loop follows xinntao/Real-ESRGAN `realesrgan/utils.py` without
tiles: float32 in NCHW, 10 reflected pixels at the right and below, `torch.no_grad`, the layers one after another. Both
take a uint8 picture and give one. Peak memory is measured in a process of its own for each.
"""

from __future__ import annotations

import argparse
import json
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

TARGET = 1.3
NAMES = ("official", "ganzoo", "ganzoo, bf16")


def compact(width: int = 64, convolutions: int = 16):
    """A compact network with random weights: neither time nor memory depends on them."""
    from ganzoo import Part
    from ganzoo.models.config import ModelConfig, Provider
    from ganzoo.models.model import Model
    from ganzoo.registry.registry import registry
    from ganzoo.variant import Field, SampleSpec

    image = SampleSpec(Field((3, 256, 256)), {"source": Field((3, 64, 64))})
    options = {"width": width, "convolutions": convolutions}
    config = ModelConfig(
        variant="real-esrgan-compact",
        generator=Part("compact", options),
        image=image,
        latent_dim=0,
        provider=Provider(distribution="ganzoo", version="0"),
        license="MIT",
        task="super-resolution",
    )
    return Model(registry().get("generators", "compact")(image, **options), config)


def reference(model) -> Callable[[Any], Any]:
    """The official loop around the layers of a compact network."""
    import copy

    import numpy
    import torch
    from torch.nn import functional

    layers = copy.deepcopy(model.generator.body).eval()
    factor = int(model.geometry.scale)

    @torch.no_grad()
    def enhance(picture: Any) -> Any:
        pixels = numpy.asarray(picture).astype(numpy.float32) / 255
        image = torch.from_numpy(pixels.transpose(2, 0, 1).copy()).float()[None]
        image = functional.pad(image, (0, 10, 0, 10), "reflect")
        x = image
        for layer in layers:
            x = layer(x)
        x = functional.pixel_shuffle(x, factor) + functional.interpolate(image, scale_factor=factor, mode="nearest")
        x = x[:, :, : factor * picture.height, : factor * picture.width]
        found = x.squeeze().float().cpu().clamp_(0, 1).numpy()
        return (found.transpose(1, 2, 0) * 255.0).round().astype(numpy.uint8)

    return enhance


def loops(options: argparse.Namespace) -> tuple[Any, dict[str, Callable[[Any], Any]]]:
    """The picture, and each way to upscale it by name."""
    import numpy
    import torch
    from PIL import Image

    from ganzoo import load

    torch.set_num_threads(options.threads)
    if options.picture:
        picture = Image.open(options.picture).convert("RGB")
    else:
        side = options.size
        noise = numpy.random.default_rng(0).integers(0, 256, (side // 8, side // 8, 3), numpy.uint8)
        picture = Image.fromarray(noise).resize((side, side), Image.Resampling.BICUBIC)
    model = load(options.model) if options.model else compact()
    ways = (reference(model), model.apply, lambda given: model.apply(given, precision="bf16"))
    return picture, dict(zip(NAMES, ways, strict=True))


def child(options: argparse.Namespace) -> None:
    """Prints the peak memory in bytes of one way, and that before it."""

    def peak() -> int:
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)

    picture, ways = loops(options)
    before = peak()
    ways[options.only](picture)
    print(json.dumps([before, peak()]))


def peak_of(name: str) -> list[int]:
    """The peak memory in bytes before and after a way, in a process of its own."""
    words = [sys.executable, __file__, *sys.argv[1:], "--only", name]
    return json.loads(subprocess.run(words, capture_output=True, text=True, check=True).stdout)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--picture", help="[default: a smooth random one]")
    parser.add_argument("--size", type=int, default=512)
    parser.add_argument("--model", help="a compact model of ganzoo [default: the network with random weights]")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--only", help="print the peak memory of this way, as the child does")
    options = parser.parse_args()
    if options.only:
        child(options)
        return
    peaks = {name: peak_of(name) for name in NAMES}  # first: a child is counted from the peak of its parent
    import numpy

    picture, ways = loops(options)
    found = {name: numpy.asarray(way(picture)).astype(int) for name, way in ways.items()}  # and warms up
    wall: dict[str, list[float]] = {name: [] for name in ways}
    processor: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(options.rounds):
        for name, way in ways.items():
            began, spent = time.perf_counter(), time.process_time()
            way(picture)
            wall[name].append(time.perf_counter() - began)
            processor[name].append(time.process_time() - spent)
    print(f"{picture.width} x {picture.height} pixels, {options.threads} threads, {options.rounds} rounds")
    for name in ways:
        before, peak = peaks[name]
        ratio = statistics.median(a / b for a, b in zip(wall["official"], wall[name], strict=True))
        spent = statistics.median(a / b for a, b in zip(processor["official"], processor[name], strict=True))
        inner = abs(found[name] - found["official"])[:-80, :-80].max()  # the last pixels see the 10 that are added
        print(
            f"{name:14} {statistics.median(wall[name]):6.2f} s, {ratio:.2f} times as fast ({spent:.2f} by CPU seconds, "
            f"{statistics.median(processor[name]):.2f} s), peak {peak / 1e9:.2f} GB ({before / 1e9:.2f} before), "
            f"{inner} levels off"
        )
        if name == "ganzoo":
            short = ratio < TARGET
    sys.exit(int(short))


if __name__ == "__main__":
    main()
