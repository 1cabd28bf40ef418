"""Runs StudioGAN's networks once, narrow and with random weights: `python tests/golden/studio.py CHECKOUT`.

CHECKOUT is a clone of POSTECH-CVLab/PyTorch-StudioGAN. Its `utils/misc.py`, of which the networks use one context
manager, wants metrics and plotting; an empty module with that manager stands in its place. `deep_conv.py` has its
widths as numbers, which are divided by 32.
"""

import re
import sys
from contextlib import nullcontext
from functools import partial
from pathlib import Path
from types import ModuleType, SimpleNamespace

import torch
from safetensors.torch import save_file
from torch import nn

HERE = Path(__file__).parent
CLASSES = 3
MODEL = SimpleNamespace(info_type="N/A", g_info_injection="N/A")
CASES = {  # backbone, size, labels, spectral norm of generator and discriminator, widths, latent, attention of both
    "big-resnet-32": ("big_resnet", 32, True, True, True, 2, 4, 8, 2, 1),
    "big-resnet-32-unconditional": ("big_resnet", 32, False, True, True, 1, 2, 8, 0, 0),
    "big-resnet-64": ("big_resnet", 64, True, True, True, 1, 1, 10, 1, 4),
    "resnet-32": ("resnet", 32, True, False, True, 2, 4, 6, 0, 0),
    "resnet-32-unconditional": ("resnet", 32, False, False, False, 2, 4, 6, 0, 1),
    "resnet-64": ("resnet", 64, True, True, True, 1, 1, 6, 1, 4),
    "deep-conv": ("deep_conv", 32, False, False, False, 2, 2, 6, 0, 0),
    "deep-conv-conditional": ("deep_conv", 32, True, True, True, 2, 2, 6, 1, 3),
}


def modules(ops, labels, backbone, spectral_generator, spectral_discriminator):
    """What `define_modules` of config.py chooses."""
    made = {}
    for role, spectral in (("g", spectral_generator), ("d", spectral_discriminator)):
        names = {"conv2d": "snconv2d", "deconv2d": "sndeconv2d", "linear": "snlinear", "embedding": "sn_embedding"}
        made |= {f"{role}_{name}": getattr(ops, special if spectral else name) for name, special in names.items()}
        made[f"{role}_act_fn"] = nn.ReLU(inplace=True)
    made["g_bn"] = ops.ConditionalBatchNorm2d if labels or backbone == "big_resnet" else ops.batchnorm_2d
    return SimpleNamespace(**made, d_bn=ops.batchnorm_2d)


def network_module(checkout, backbone):
    """The module of a backbone; the numbers of `deep_conv` from 64 on are divided by 32."""
    source = (Path(checkout) / "src" / "models" / f"{backbone}.py").read_text()
    if backbone == "deep_conv":
        source = re.sub(r"\b(512|256|128|64)\b", lambda found: str(int(found[0]) // 32), source)
    module = ModuleType(backbone)
    exec(compile(source, backbone, "exec"), module.__dict__)
    return module


def perturb(network):
    """Weights, statistics and scales with contrast.

    The vectors of the power method stay those of the weights before.
    """
    with torch.no_grad():
        for name, value in [*network.named_parameters(), *network.named_buffers()]:
            if name.endswith("running_mean"):
                value.normal_(0, 0.3)
            elif name.endswith("running_var"):
                value.uniform_(0.5, 2)
            elif name.endswith("sigma"):
                value.fill_(0.7)
            elif value.is_floating_point() and not name.endswith(("weight_u", "weight_v")):
                value.add_(torch.randn_like(value) * 0.1)


def record(checkout, name, number):
    backbone, size, labels, g_spectral, d_spectral, g_width, d_width, latent_dim, g_attention, d_attention = CASES[name]
    torch.manual_seed(number)
    import utils.ops as ops

    module, chosen = network_module(checkout, backbone), modules(ops, labels, backbone, g_spectral, d_spectral)
    told, judged = ("cBN", "PD") if labels else ("W/O", "W/O")
    last = CLASSES, "ortho", "N/A", False, chosen, MODEL
    generator = module.Generator(latent_dim, 5, size, g_width, bool(g_attention), [g_attention], told, *last)
    settings = d_width, d_spectral, bool(d_attention), [d_attention], judged, "W/O", "N/A", False
    discriminator = module.Discriminator(size, *settings, *last)
    pixels, latent, label = torch.rand(2, 3, 8, 8) * 2 - 1, torch.randn(2, latent_dim), torch.tensor([2, 0])
    images = pixels.repeat_interleave(size // 8, 2).repeat_interleave(size // 8, 3)
    draw, judge = partial(generator, latent, label), lambda: discriminator(images.clone(), label)["adv_output"]
    with torch.no_grad():
        draw(), judge()
        perturb(generator), perturb(discriminator)
        networks = {"generator": generator, "discriminator": discriminator}
        tensors = {
            f"{role}.{key}": value.clone()
            for role, network in networks.items()
            for key, value in network.state_dict().items()
        }
        generator.eval(), discriminator.eval()
        tensors |= {"pixels": pixels, "latent": latent, "label": label, "drawn": draw(), "logits": judge()}
        discriminator.train()
        tensors |= {f"logits_in_training.{turn}": judge() for turn in (0, 1)}
        generator.train()
        tensors |= {"drawn_in_training": draw()} if size == 32 else {}
    save_file({key: value.contiguous().clone() for key, value in tensors.items()}, HERE / f"studio-{name}.safetensors")


if __name__ == "__main__":
    torch.set_num_threads(1)
    sys.path.insert(0, str(Path(sys.argv[1]) / "src"))
    sys.modules["utils.misc"] = ModuleType("utils.misc")
    sys.modules["utils.misc"].dummy_context_mgr = nullcontext
    for number, name in enumerate(CASES):
        record(sys.argv[1], name, number)
