"""Runs the plain networks of SNGAN in w86763777/pytorch-gan-collections once: `python tests/golden/cnn32.py CHECKOUT`.

Its widths are numbers (64 to 512), which are divided by 32 before it runs.
"""

import re
import sys
from pathlib import Path
from types import ModuleType

import torch
from safetensors.torch import save_file

LATENT, BATCH = 6, 3


def narrow_module(checkout):
    source = (Path(checkout) / "source" / "models" / "sngan.py").read_text()
    module = ModuleType("sngan")
    exec(
        compile(re.sub(r"\b(512|256|128|64)\b", lambda found: str(int(found[0]) // 32), source), "sngan", "exec"),
        module.__dict__,
    )
    return module


def perturb(network):
    """Weights, statistics and scales with contrast.

    The vectors of the power method stay those of the weights before.
    """
    for name, value in [*network.named_parameters(), *network.named_buffers()]:
        if name.endswith("running_mean"):
            value.normal_(0, 0.3)
        elif name.endswith("running_var"):
            value.uniform_(0.5, 2)
        elif value.is_floating_point() and not name.endswith(("weight_u", "weight_v")):
            value.add_(torch.randn_like(value) * 0.2)


if __name__ == "__main__":
    torch.set_num_threads(1)
    torch.manual_seed(0)
    module = narrow_module(sys.argv[1])
    networks = {"generator": module.Generator32(LATENT), "discriminator": module.Discriminator32()}
    pixels, latent = torch.rand(BATCH, 3, 8, 8) * 2 - 1, torch.randn(BATCH, LATENT)
    images = pixels.repeat_interleave(4, 2).repeat_interleave(4, 3)
    generator, discriminator = networks.values()
    with torch.no_grad():
        perturb(generator), perturb(discriminator)
        out = {
            f"{role}.{name}": value.clone()
            for role, network in networks.items()
            for name, value in network.state_dict().items()
        }
        out |= {
            "pixels": pixels,
            "latent": latent,
            "drawn": generator.eval()(latent),
            "drawn_in_training": generator.train()(latent),
        }
        out |= {f"logits.{number}": discriminator(images) for number in (0, 1)}
    out = {name: value[:, :, ::3, ::3] if name.startswith("drawn") else value for name, value in out.items()}
    save_file(
        {name: value.contiguous().clone() for name, value in out.items()}, Path(__file__).parent / "cnn32.safetensors"
    )
