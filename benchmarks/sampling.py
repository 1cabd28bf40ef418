"""How fast images are drawn, beside what a careful user writes: evaluation mode and `torch.no_grad`.

Rounds go through all contestants in rotating order; what counts is the ratio inside a round. The generator is the one of
DCGAN with batch norm that has seen latents. How many of the images' bytes differ is counted too.

    python benchmarks/sampling.py --rounds 9
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable

import torch
from torch import Tensor

from ganzoo import ImageSpec, Part
from ganzoo.files.pictures import to_uint8
from ganzoo.models.config import ModelConfig, Provider
from ganzoo.models.model import Model
from ganzoo.registry.registry import registry


def trained(size: int, width: int) -> Model:
    """A DCGAN whose batch norm has the statistics of some latents, and whose images have contrast."""
    image, options = ImageSpec(size, 3), {"width": width}
    generator = registry().get("generators", "dcgan")(image, **options)
    with torch.no_grad():
        for module in generator.modules():
            if isinstance(module, torch.nn.BatchNorm2d):
                module.momentum = 1.0
        generator.train()(torch.randn(64, 100))
        generator.eval()
        list(generator.parameters())[-1].mul_(0.5 / generator(torch.randn(64, 100)).std())
    config = ModelConfig(
        variant="dcgan",
        generator=Part("dcgan", options),
        image=image,
        latent_dim=100,
        provider=Provider(distribution="ganzoo", version="0.1.0"),
        license="MIT",
    )
    return Model(generator, config)


def plain(model: Model) -> Callable[[Tensor], Tensor]:
    def draw(latent: Tensor) -> Tensor:
        with torch.no_grad():
            return model.generator(latent)

    return draw


def low_precision(model: Model) -> Callable[[Tensor], Tensor]:
    from copy import deepcopy

    return Model(deepcopy(model.generator).bfloat16(), model.config).draw


def run(size: int, batch: int, rounds: int, width: int, with_bf16: bool) -> None:
    torch.manual_seed(0)
    model, latent = trained(size, width), torch.randn(batch, 100)
    contestants = {"eval + no_grad": plain(model), "ganzoo": model.draw}
    contestants |= {"ganzoo bf16": low_precision(model)} if with_bf16 else {}
    images = {name: to_uint8(draw(latent)) for name, draw in contestants.items()}
    times: dict[str, list[float]] = {name: [] for name in contestants}
    names = list(contestants)
    for number in range(rounds):
        for name in names[number % len(names) :] + names[: number % len(names)]:
            start = time.process_time()
            contestants[name](latent)
            times[name].append(1000 * (time.process_time() - start))
    for name in names:
        ratios = [usual / mine for usual, mine in zip(times["eval + no_grad"], times[name], strict=True)]
        differ = int((images[name] != images["eval + no_grad"]).sum())
        middle, spread = (
            statistics.median(times[name]),
            f"{statistics.median(ratios):.2f} [{min(ratios):.2f}, {max(ratios):.2f}]",
        )
        total = batch * 3 * size**2
        print(
            f"{size:>4} px {batch:>4} images  {name:<16}{middle:>10.1f} ms  {spread:<22}{differ:>8} of {total} bytes differ"
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--width", type=int, default=64)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument(
        "--bf16", action="store_true", help="also in bfloat16, which processors without it only emulate"
    )
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    for size, batch in ((64, 64), (64, 1), (32, 64), (32, 1)):
        run(size, batch, arguments.rounds, arguments.width, arguments.bf16)
    print("Processor time; the ratio is to eval + no_grad in the same round.")


if __name__ == "__main__":
    main()
