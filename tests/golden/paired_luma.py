"""Records PSNR and SSIM of BasicSR with and without its Y channel and a cropped border, for random and smooth images.

    pip install opencv-python-headless numpy torch safetensors && python tests/golden/paired_luma.py CHECKOUT

CHECKOUT is XPixelGroup/BasicSR. Its `calculate_psnr` and `calculate_ssim` are called with images in BGR, as OpenCV
reads them.
"""

import importlib.util
import sys
import types
from pathlib import Path

import numpy
import torch
from safetensors.torch import save_file


class Anything:
    """A registry that registers nothing."""

    def register(self):
        return lambda function: function


def official(checkout: Path):
    """The module of the metrics, without the rest of the package, which needs old torchvision."""
    for name in ("basicsr", "basicsr.utils", "basicsr.metrics", "basicsr.utils.registry"):
        sys.modules[name] = types.ModuleType(name)
    sys.modules["basicsr.utils.registry"].METRIC_REGISTRY = Anything()
    for name in ("utils/color_util", "metrics/metric_util", "metrics/psnr_ssim"):
        dotted = "basicsr." + name.replace("/", ".")
        spec = importlib.util.spec_from_file_location(dotted, checkout / "basicsr" / f"{name}.py")
        sys.modules[dotted] = module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        if name == "utils/color_util":
            sys.modules["basicsr.utils"].bgr2ycbcr = module.bgr2ycbcr
    return module


def pair(channels: int) -> tuple[numpy.ndarray, numpy.ndarray]:
    """A smooth truth and a noisy image, uint8 (H, W, C) in RGB."""
    random = numpy.random.default_rng(channels)
    coarse = random.integers(0, 256, (6, 5, channels)).repeat(8, 0).repeat(8, 1)
    noise = random.normal(0, 12, coarse.shape)
    return (coarse + noise).clip(0, 255).astype(numpy.uint8), coarse.astype(numpy.uint8)


def main() -> None:
    metrics, tensors = official(Path(sys.argv[1])), {}
    for channels in (1, 3):
        image, truth = pair(channels)
        for name, pixels in (("image", image), ("truth", truth)):
            tensors[f"{channels}.{name}"] = torch.from_numpy(pixels).permute(2, 0, 1)[None].contiguous()
        for border in (0, 4):
            for luma in (False, True):
                options = {"crop_border": border, "test_y_channel": luma}
                numbers = [
                    metrics.calculate_psnr(image[..., ::-1], truth[..., ::-1], **options),
                    metrics.calculate_ssim(image[..., ::-1], truth[..., ::-1], **options),
                ]
                tensors[f"{channels}.{border}.{int(luma)}"] = torch.tensor(numbers, dtype=torch.float64)
    save_file(tensors, Path(__file__).with_suffix(".safetensors"))


if __name__ == "__main__":
    main()
