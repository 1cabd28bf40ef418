"""Runs the official functions of Real-ESRGAN's degradation once: kernels, filter, sharpening, JPEG and the whole chain.

`python tests/golden/degrade.py BASICSR REAL_ESRGAN`: clones of XPixelGroup/BasicSR and xinntao/Real-ESRGAN. It needs
numpy, scipy and opencv-python-headless. Of torchvision, which needs a fitting torch, one function is repeated here.
"""

import sys
from argparse import Namespace
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType

import numpy
import torch
from safetensors.torch import save_file

HERE = Path(__file__).parent
KERNELS = {
    "iso": ("bivariate_Gaussian", 21, 2.1, 2.1, 0.0, True),
    "aniso": ("bivariate_Gaussian", 15, 2.8, 0.7, 0.6, False),
    "generalized_iso": ("bivariate_generalized_Gaussian", 13, 1.4, 1.4, 0.0, 0.6, True),
    "generalized_aniso": ("bivariate_generalized_Gaussian", 21, 3.0, 1.1, -2.2, 3.5, False),
    "plateau_iso": ("bivariate_plateau", 9, 0.9, 0.9, 0.0, 1.8, True),
    "plateau_aniso": ("bivariate_plateau", 17, 0.4, 2.2, 1.3, 1.1, False),
}
SINCS = {"sinc": (1.1, 21), "sinc_small": (2.5, 7)}
CHAINED = ("kernel.aniso", "kernel.plateau_iso", "kernel.sinc")
QUALITIES = (30.0, 47.3, 95.0)
CHAINS = {  # what feed_data draws, in its order: numbers of uniform and names of choice and choices
    "sinc first": ((0.43, 0.0, 0.0, 1.15, 0.0, 0.0), ("down", "area", "up", "bilinear", "bicubic"), (40, 63)),
    "JPEG first": ((1.3, 0.0, 1.0, 0.5, 0.0, 1.0), ("up", "bicubic", "down", "area", "bilinear"), (80, 35)),
}


def picture(height, width):
    """Rings, a slope and a square, uint8 (3, H, W): edges of all directions and flat parts."""
    down, right = numpy.mgrid[:height, :width].astype(numpy.float64)
    rings = numpy.sin(numpy.hypot(down - height / 3, right - width / 2) ** 1.5 / 6)
    square = (abs(down - 0.7 * height) < height / 6) & (abs(right - 0.3 * width) < width / 6)
    red, green = 0.5 + 0.45 * rings, (down + right) / (height + width)
    blue = numpy.where(square, 0.95, 0.2 + 0.3 * green)
    return torch.from_numpy((numpy.stack([red, numpy.where(square, 0.1, green), blue]) * 255).round().astype("uint8"))


def loaded(name, path, **given):
    """The module of a file, under `name`."""
    spec = spec_from_file_location(name, path)
    sys.modules[name] = module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def record_stages(degradations, filter2D, sharpen, jpeg):
    found = {}
    for name, (function, size, *parameters, isotropic) in KERNELS.items():
        found[f"kernel.{name}"] = getattr(degradations, function)(size, *parameters, isotropic=isotropic)
    for name, (cutoff, size) in SINCS.items():
        found[f"kernel.{name}"] = degradations.circular_lowpass_kernel(cutoff, size)
    found = {name: torch.from_numpy(value) for name, value in found.items()}
    image = found["picture"] = picture(40, 56)
    scaled = (image / 255)[None]
    lopsided = found["lopsided"] = torch.from_numpy(numpy.random.RandomState(0).rand(2, 9, 9)).float() / 40
    found["filtered"] = filter2D(torch.cat([scaled, 1 - scaled]), lopsided)[:, :, ::3, ::3]
    found["sharpened"] = sharpen(scaled)[0]
    found["jpeg"] = jpeg(scaled.expand(len(QUALITIES), -1, -1, -1), torch.tensor(QUALITIES))[:, :, ::3, ::3]
    return found


def record_chains(model, found, tools):
    """`feed_data` of RealESRGANModel with scripted draws and without noise: the small images, uint8."""
    image, options = picture(80, 64), {"gray_noise_prob": 0, "gray_noise_prob2": 0, "scale": 4, "gt_size": 80}
    options |= {"gaussian_noise_prob": 1, "noise_range": (0, 0), "gaussian_noise_prob2": 1, "noise_range2": (0, 0)}
    options |= {"resize_prob": None, "resize_range": (0, 0), "resize_prob2": None, "resize_range2": (0, 0)}
    kernels = {
        key: torch.from_numpy(numpy.pad(found[name].numpy(), (21 - len(found[name])) // 2)).float()[None]
        for key, name in (
            ("kernel1", "kernel.aniso"),
            ("kernel2", "kernel.plateau_iso"),
            ("sinc_kernel", "kernel.sinc"),
        )
    }
    made = {"chain.picture": image}
    for name, (numbers, names, (first, second)) in CHAINS.items():
        numbers, names = iter(numbers), iter(names)
        model.np = Namespace(random=Namespace(uniform=lambda *limits, numbers=numbers: next(numbers)))
        choose = lambda *what, names=names: next(names)  # noqa: E731
        model.random = Namespace(choice=choose, choices=lambda *what, choose=choose: [choose()])
        ranges = {"second_blur_prob": 0.5, "jpeg_range": (first, first), "jpeg_range2": (second, second)}
        run = Namespace(opt=options | ranges, is_train=True, device="cpu", _dequeue_and_enqueue=lambda: None, **tools)
        model.RealESRGANModel.feed_data(run, {"gt": (image / 255)[None]} | kernels)
        assert next(numbers, None) is None and next(names, None) is None
        made[f"chain.{name}"] = (run.lq[0] * 255).round().to(torch.uint8)
    return made


def main(basicsr, realesrgan):
    def to_grayscale(image, num_output_channels):
        red, green, blue = image.unbind(1)
        return (0.2989 * red + 0.587 * green + 0.114 * blue)[:, None]

    transforms = ModuleType("torchvision.transforms.functional")
    transforms.rgb_to_grayscale = to_grayscale
    for name in ("torchvision", "torchvision.transforms", "basicsr", "basicsr.data", "basicsr.utils", "basicsr.models"):
        sys.modules[name] = ModuleType(name)
    sys.modules["torchvision.transforms.functional"] = transforms
    degradations = loaded("basicsr.data.degradations", basicsr / "basicsr/data/degradations.py")
    images = loaded("basicsr.utils.img_process_util", basicsr / "basicsr/utils/img_process_util.py")
    jpeg = loaded("basicsr.utils.diffjpeg", basicsr / "basicsr/utils/diffjpeg.py")
    registry = ModuleType("basicsr.utils.registry")
    registry.MODEL_REGISTRY = Namespace(register=lambda: lambda one: one)
    parent, crop = ModuleType("basicsr.models.srgan_model"), ModuleType("basicsr.data.transforms")
    parent.SRGANModel, crop.paired_random_crop = object, lambda large, small, *sizes: (large, small)
    sys.modules |= {one.__name__: one for one in (registry, parent, crop)}
    sys.modules["basicsr.utils"].DiffJPEG, sys.modules["basicsr.utils"].USMSharp = jpeg.DiffJPEG, images.USMSharp
    model = loaded("realesrgan_model", realesrgan / "realesrgan/models/realesrgan_model.py")
    tools = {"usm_sharpener": images.USMSharp(), "jpeger": jpeg.DiffJPEG(differentiable=False)}
    with torch.no_grad():
        found = record_stages(degradations, images.filter2D, tools["usm_sharpener"], tools["jpeger"])
        found |= record_chains(model, found, tools)
    save_file({name: value.contiguous() for name, value in found.items()}, HERE / "degrade.safetensors")


if __name__ == "__main__":
    torch.set_num_threads(1)
    main(Path(sys.argv[1]), Path(sys.argv[2]))
