"""How long `degrade` takes for an image, beside the official functions of Real-ESRGAN and with OpenCV's JPEG.

`official` calls BasicSR's functions in the order of realesrgan_dataset.py and realesrgan_model.py on one image after
another, on the CPU: kernels in numpy, `filter2D`, `F.interpolate`, the noises, DiffJPEG and USMSharp. `opencv` is the
same chain of numpy arrays with cv2.filter2D, cv2.resize, the noises of numpy and cv2's real JPEG, as training loaders
of other projects do it. Each draws its own numbers from the same distributions. Contestants take turns in every round,
in rotating order; what counts is the ratio inside a round, of processor time on one thread.

    python benchmarks/degrade_speed.py BASICSR --size 256 --images 24 --rounds 7

It needs scipy and opencv-python-headless, and a clone of XPixelGroup/BasicSR. Without the argument `degrade` runs
alone, also on a GPU: `--device cuda --batch 12`.
"""

from __future__ import annotations

import argparse
import json
import math
import random
import statistics
import sys
import time
from collections.abc import Callable
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType

import numpy
import torch
from torch.nn import functional

from ganzoo import ImageSpec
from ganzoo_plugins.conditions.degrade import Degrade

KINDS = ["iso", "aniso", "generalized_iso", "generalized_aniso", "plateau_iso", "plateau_aniso"]
SHARES = [0.45, 0.25, 0.12, 0.03, 0.12, 0.03]
ORDERS = (  # sigma, shares of up, down and keep, range of scales, Gaussian noise, noise of photons
    ((0.2, 3.0), (0.2, 0.7, 0.1), (0.15, 1.5), (1, 30), (0.05, 3)),
    ((0.2, 1.5), (0.3, 0.4, 0.3), (0.3, 1.2), (1, 25), (0.05, 2.5)),
)
MODES = ("area", "bilinear", "bicubic")


def official_modules(checkout: Path) -> dict[str, ModuleType]:
    """BasicSR's modules of the degradation; of torchvision, which they import, one function is repeated."""

    def to_grayscale(image, num_output_channels):
        red, green, blue = image.unbind(1)
        return (0.2989 * red + 0.587 * green + 0.114 * blue)[:, None]

    for name in ("torchvision", "torchvision.transforms", "torchvision.transforms.functional"):
        sys.modules[name] = ModuleType(name)
    sys.modules["torchvision.transforms.functional"].rgb_to_grayscale = to_grayscale
    modules = {}
    for name in ("data/degradations", "utils/img_process_util", "utils/diffjpeg"):
        spec = spec_from_file_location(name.rpartition("/")[2], checkout / "basicsr" / f"{name}.py")
        modules[spec.name] = module_from_spec(spec)
        spec.loader.exec_module(modules[spec.name])
    return modules


class Official:
    """The official functions, one image at a time: of torch, or with `opencv` of numpy and OpenCV."""

    def __init__(self, checkout: Path, size: int, opencv: bool):
        modules = official_modules(checkout)
        self.kernels, images, jpeg = (modules[name] for name in ("degradations", "img_process_util", "diffjpeg"))
        self.filter2D, self.usm_sharp = images.filter2D, images.usm_sharp
        self.sharpen, self.jpeg = images.USMSharp(), jpeg.DiffJPEG(differentiable=False)
        self.small, self.opencv = size // 4, opencv

    def kernel(self, deviations: tuple[float, float]) -> numpy.ndarray:
        size = random.choice(range(7, 22, 2))
        if random.random() < 0.1:
            return self.kernels.circular_lowpass_kernel(
                random.uniform(math.pi / (3 if size < 13 else 5), math.pi), size
            )
        turn = [-math.pi, math.pi]
        return self.kernels.random_mixed_kernels(
            KINDS, SHARES, size, deviations, deviations, turn, [0.5, 4], [1, 2], noise_range=None
        )

    def scale(self, shares: tuple[float, ...], limits: tuple[float, float]) -> float:
        way = random.choices(("up", "down", "keep"), shares)[0]
        return {"up": random.uniform(1, limits[1]), "down": random.uniform(limits[0], 1), "keep": 1}[way]

    def blurred(self, image, kernel):
        if self.opencv:
            import cv2

            return cv2.filter2D(image, -1, kernel)
        return self.filter2D(image, torch.from_numpy(kernel).float()[None])

    def resized(self, image, size: int):
        mode = random.randrange(3)
        if self.opencv:
            import cv2

            return cv2.resize(
                image, (size, size), interpolation=(cv2.INTER_AREA, cv2.INTER_LINEAR, cv2.INTER_CUBIC)[mode]
            )
        return functional.interpolate(image, size=(size, size), mode=MODES[mode])

    def noisy(self, image, deviation, scaling):
        end = "" if self.opencv else "_pt"
        if random.random() < 0.5:
            return getattr(self.kernels, f"random_add_gaussian_noise{end}")(image, deviation, 0.4)
        return getattr(self.kernels, f"random_add_poisson_noise{end}")(image, scaling, 0.4)

    def compressed(self, image):
        quality = random.uniform(30, 95)
        if self.opencv:
            return self.kernels.add_jpg_compression(image, int(quality))
        return self.jpeg(image.clamp(0, 1), quality=torch.tensor([quality]))

    @torch.no_grad()
    def __call__(self, image: torch.Tensor):
        image = (image[None] + 1) / 2
        image = self.usm_sharp(image[0].permute(1, 2, 0).numpy()) if self.opencv else self.sharpen(image)
        for number, (deviations, shares, limits, deviation, scaling) in enumerate(ORDERS):
            if number == 0 or random.random() < 0.8:
                image = self.blurred(image, self.kernel(deviations))
            side = self.small * (1 if number else 4)
            image = self.resized(image, max(int(side * self.scale(shares, limits)), 1))
            image = self.noisy(image, deviation, scaling)
            if number == 0:
                image = self.compressed(image)
        for finish in random.choice(((True, False), (False, True))):
            if not finish:
                image = self.compressed(image)
                continue
            image = self.resized(image, self.small)
            if random.random() < 0.8:
                kernel = self.kernels.circular_lowpass_kernel(
                    random.uniform(math.pi / 3, math.pi), random.choice(range(7, 22, 2)), pad_to=21
                )
                image = self.blurred(image, kernel)
        return image


def pictures(count: int, size: int) -> torch.Tensor:
    """Smooth random pictures as bytes are, float32 (N, 3, H, W) in [-1, 1]."""
    coarse = torch.rand(count, 3, size // 8, size // 8, generator=torch.Generator().manual_seed(0)) * 255
    images = functional.interpolate(coarse, size=(size, size), mode="bicubic")
    return images.round().clamp(0, 255) / 127.5 - 1


def contestants(options: argparse.Namespace) -> dict[str, Callable[[int], None]]:
    images = pictures(options.images, options.size).to(options.device)
    condition = Degrade(ImageSpec(options.size, 3))

    def degrade(number: int) -> None:
        random_ = torch.Generator().manual_seed(number)
        for part in images.split(options.batch):
            drawn = condition.draw(len(part), random_)
            with torch.no_grad():
                found = condition.compute({"output": part}, {key: one.to(options.device) for key, one in drawn.items()})
        found["source"].sum().item()

    made = {"degrade": degrade}
    if options.basicsr is not None:
        for name, opencv in (("official", False), ("opencv", True)):
            chain = Official(options.basicsr, options.size, opencv)

            def run(number: int, chain=chain) -> None:
                random.seed(number)
                numpy.random.seed(number)
                torch.manual_seed(number)
                for image in images:
                    chain(image)

            made[name] = run
    return made


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("basicsr", type=Path, nargs="?")
    parser.add_argument("--size", type=int, default=256)
    parser.add_argument("--images", type=int, default=24)
    parser.add_argument("--batch", type=int, default=12)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    torch.set_num_threads(1)
    if options.basicsr is not None:
        import cv2

        cv2.setNumThreads(1)
        cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_ERROR)
    clock = time.process_time if options.device == "cpu" else time.perf_counter
    made = contestants(options)
    for run in made.values():
        run(0)
    taken: dict[str, list[float]] = {name: [] for name in made}
    for number in range(options.rounds):
        names = list(made)
        for name in names[number % len(names) :] + names[: number % len(names)]:
            start = clock()
            made[name](number + 1)
            taken[name].append((clock() - start) / options.images)
    rows = {}
    for name, times in taken.items():
        ratios = sorted(other / own for other, own in zip(times, taken["degrade"], strict=True))
        middle = statistics.median(ratios)
        rows[name] = {"milliseconds": 1e3 * statistics.median(times), "times_degrade": ratios}
        spread = f"{middle:.2f} [{ratios[0]:.2f}, {ratios[-1]:.2f}] times degrade"
        print(f"{name:10} {rows[name]['milliseconds']:8.2f} ms an image   {spread}")
    if options.json:
        facts = {"size": options.size, "images": options.images, "rounds": options.rounds, "device": options.device}
        options.json.write_text(json.dumps({**facts, "torch": torch.__version__, "rows": rows}, indent=1) + "\n")


if __name__ == "__main__":
    main()
