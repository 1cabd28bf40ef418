"""Peak memory of `Model.apply` on one large picture in tiles, in a process of its own.

    python benchmarks/apply_memory.py --width 64 --blocks 1
    python benchmarks/apply_memory.py --model real-esrgan.animevideo --tile 0 --width-of-picture 2000 --height 1500

The network is that of CycleGAN's generator (two halvings, residual blocks) with batch norm in place of instance norm,
which could not be tiled, and random weights: memory does not depend on them, nor on the number of blocks but for the
overlap of the tiles. `--model` takes a stored model instead, `--tile 0` the tiles that are chosen for large images.
The target is 1.5 GB for 4000 x 3000 pixels.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import time

TARGET = 1.5e9


def peak() -> int:
    """The largest resident memory of this process so far in bytes."""
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def network(width: int, blocks: int):
    from torch import nn

    from ganzoo.networks import Generator

    class Block(nn.Module):
        def __init__(self, channels: int):
            super().__init__()
            self.layers = nn.Sequential(*convolution(channels, channels, 3), *convolution(channels, channels, 3)[:-1])

        def forward(self, x):
            return x + self.layers(x)

    def convolution(inputs: int, outputs: int, size: int, stride: int = 1) -> list[nn.Module]:
        layer = nn.Conv2d(inputs, outputs, size, stride, size // 2, padding_mode="reflect")
        return [layer, nn.BatchNorm2d(outputs), nn.ReLU(inplace=True)]

    class Translator(Generator):
        latent_dim = 0

        def __init__(self):
            super().__init__()
            layers = [*convolution(3, width, 7), *convolution(width, 2 * width, 3, 2)]
            layers += [*convolution(2 * width, 4 * width, 3, 2), *(Block(4 * width) for _ in range(blocks))]
            for channels in (4 * width, 2 * width):
                layers += [
                    nn.ConvTranspose2d(channels, channels // 2, 3, 2, 1, output_padding=1),
                    nn.ReLU(inplace=True),
                ]
            self.layers = nn.Sequential(*layers, *convolution(width, 3, 7)[:1], nn.Tanh())

        def forward(self, latent, label=None, *, source):
            return self.layers(source)

    return Translator()


def measure(options: argparse.Namespace) -> dict[str, float]:
    """Applies the model to one picture of noise; returns seconds and bytes."""
    import numpy
    import torch
    from PIL import Image

    from ganzoo import Part, load
    from ganzoo.models.config import ModelConfig, Provider
    from ganzoo.models.model import Model
    from ganzoo.variant import Field, SampleSpec

    torch.set_num_threads(options.threads)
    if options.model:
        model = load(options.model)
    else:
        image = SampleSpec(Field((3, 256, 256)), {"source": Field((3, 256, 256))})
        provider = Provider(distribution="ganzoo", version="0")
        config = ModelConfig(
            variant="resnet", generator=Part("resnet"), image=image, latent_dim=0, provider=provider, license="MIT"
        )
        model = Model(network(options.width, options.blocks), config)
    random = numpy.random.default_rng(0)
    picture = Image.fromarray(random.integers(0, 256, (options.height, options.width_of_picture, 3), numpy.uint8))
    overlap = model.geometry.felt
    before, began = peak(), time.perf_counter()
    found = model.apply(picture, tile=options.tile or None)
    assert found.size == tuple(int(side * model.geometry.scale) for side in picture.size)
    return {"seconds": time.perf_counter() - began, "overlap": overlap, "before": before, "peak": peak()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model")
    parser.add_argument("--width", type=int, default=64)
    parser.add_argument("--blocks", type=int, default=6)
    parser.add_argument("--tile", type=int, default=512)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--width-of-picture", type=int, default=4000)
    parser.add_argument("--height", type=int, default=3000)
    parser.add_argument("--here", action="store_true", help="measure in this process, as the child does")
    options = parser.parse_args()
    if options.here:
        print(json.dumps(measure(options)))
        return
    done = subprocess.run([sys.executable, __file__, *sys.argv[1:], "--here"], capture_output=True, text=True)
    if done.returncode:
        sys.exit(done.stderr)
    found = json.loads(done.stdout.splitlines()[-1])
    size = f"{options.width_of_picture} x {options.height}"
    tiles = f"tiles of {options.tile}" if options.tile else "the tiles of a large image"
    print(f"{size} pixels in {tiles} with {found['overlap']} around each: {found['seconds']:.0f} s")
    print(f"peak {found['peak'] / 1e9:.2f} GB, {found['before'] / 1e9:.2f} GB before (target {TARGET / 1e9} GB)")
    sys.exit(int(found["peak"] > TARGET))


if __name__ == "__main__":
    main()
