"""Runs a narrow StyleGAN2 of rosinality/stylegan2-pytorch once: `python tests/golden/stylegan2.py CHECKOUT`.

Its widths are numbers: 512 becomes 8, and 4 at 16 pixels. Its operators in `op/`, which need a compiler and a GPU, are
replaced by the plain torch functions below. Its losses are cut out of `train.py`. All in float64.
"""

import ast
import math
import re
import sys
from contextlib import nullcontext
from pathlib import Path
from types import ModuleType, SimpleNamespace

import torch
from safetensors.torch import save_file
from torch import autograd, nn
from torch.nn import functional

SIZE, STYLE, BATCH = 16, 6, 8
LOSSES = ("d_logistic_loss", "d_r1_loss", "g_nonsaturating_loss", "g_path_regularize")
R1, PATH, R1_EVERY, PATH_EVERY = 10.0, 2.0, 16, 4


def upfirdn2d(x, kernel, up=1, down=1, pad=(0, 0)):
    """Zeros between the pixels, padding, the convolution (which flips the kernel), every `down`-th pixel."""
    count, channels, height, width = x.shape
    spread = x.new_zeros(count, channels, height * up, width * up)
    spread[:, :, ::up, ::up] = x
    spread = functional.pad(spread, (*pad, *pad)).reshape(
        count * channels, 1, *(side * up + sum(pad) for side in (height, width))
    )
    y = functional.conv2d(spread, kernel.flip(0, 1)[None, None])[:, :, ::down, ::down]
    return y.reshape(count, channels, *y.shape[2:])


def biased_activation(x, bias=None):
    shift = 0 if bias is None else bias.view(1, -1, *[1] * (x.ndim - 2))
    return functional.leaky_relu(x + shift, 0.2) * math.sqrt(2)


class BiasedActivation(nn.Module):
    def __init__(self, channels, bias=True):
        super().__init__()
        self.bias = nn.Parameter(torch.zeros(channels)) if bias else None

    def forward(self, x):
        return biased_activation(x, self.bias)


def module_of(checkout):
    """Their networks, narrowed, and their losses."""
    op = ModuleType("op")
    op.upfirdn2d, op.fused_leaky_relu, op.FusedLeakyReLU = upfirdn2d, biased_activation, BiasedActivation
    op.conv2d_gradfix = SimpleNamespace(
        conv2d=functional.conv2d, conv_transpose2d=functional.conv_transpose2d, no_weight_gradients=nullcontext
    )
    sys.modules["op"] = op
    module = ModuleType("stylegan2")
    source = re.sub(r"16: 512", "16: 4", (Path(checkout) / "model.py").read_text())
    exec(compile(re.sub(r": 512", ": 8", source), "model", "exec"), module.__dict__)
    functions = [
        node
        for node in ast.parse((Path(checkout) / "train.py").read_text()).body
        if isinstance(node, ast.FunctionDef) and node.name in LOSSES
    ]
    names = {"torch": torch, "F": functional, "autograd": autograd, "math": math, "conv2d_gradfix": op.conv2d_gradfix}
    exec(compile(ast.Module(functions, []), "train", "exec"), names)
    return module, SimpleNamespace(**{name: names[name] for name in LOSSES})


def perturb(network):
    """Every parameter moved, so that none is at a start of 0."""
    with torch.no_grad():
        for value in network.parameters():
            value += torch.randn_like(value) * 0.3


def gradients(network, loss, prefix):
    network.zero_grad()
    loss.backward()
    return {
        f"{prefix}.{name}": value.grad.clone() for name, value in network.named_parameters() if value.grad is not None
    }


if __name__ == "__main__":
    torch.set_num_threads(1)
    torch.set_default_dtype(torch.float64)
    torch.manual_seed(0)
    module, losses = module_of(sys.argv[1])
    G, D = module.Generator(SIZE, STYLE, 3).double(), module.Discriminator(SIZE).double()
    perturb(G), perturb(D)
    out = {f"generator.{name}": value.clone() for name, value in G.state_dict().items()}
    out |= {f"discriminator.{name}": value.clone() for name, value in D.state_dict().items()}
    latent, second, mean = torch.randn(BATCH, STYLE), torch.randn(BATCH, STYLE), torch.randn(STYLE)
    real = torch.rand(BATCH, 3, SIZE, SIZE) * 2 - 1
    noise = [torch.randn(BATCH, 1, 2 ** ((5 + layer) // 2), 2 ** ((5 + layer) // 2)) for layer in range(G.num_layers)]
    out |= {"latent": latent, "second": second, "mean": mean, "real": real}
    out |= {f"noise.{number}": value for number, value in enumerate(noise)}
    with torch.no_grad():
        out["images"] = G([latent[:3]], randomize_noise=False)[0]
        out["truncated"] = G([latent[:3]], randomize_noise=False, truncation=0.7, truncation_latent=mean)[0]
        out["mixed"] = G([latent[:3], second[:3]], randomize_noise=False, inject_index=2)[0]
        fake = G([latent], noise=noise)[0]
        out["fake"], out["fake_logits"], out["real_logits"] = fake[:3], D(fake).flatten(), D(real).flatten()
    out |= gradients(D, losses.d_logistic_loss(D(real), D(fake)), "step.discriminator")
    points = real.clone().requires_grad_(True)
    r1 = losses.d_r1_loss(D(points), points)
    out |= {"r1": r1} | gradients(D, R1 / 2 * r1 * R1_EVERY, "step.r1")
    out |= gradients(G, losses.g_nonsaturating_loss(D(G([latent], noise=noise)[0])), "step.generator")
    images, styles = G([latent[::2]], noise=[value[::2] for value in noise], return_latents=True)
    torch.manual_seed(1)
    out["path_noise"] = torch.randn_like(images)
    torch.manual_seed(1)
    penalty, average, lengths = losses.g_path_regularize(images, styles, torch.tensor(0.25))
    out |= {"path": penalty, "path_mean": average, "lengths": lengths}
    out |= gradients(G, PATH * PATH_EVERY * penalty, "step.path_length")
    save_file(
        {name: value.detach().float().contiguous().clone() for name, value in out.items()},
        Path(__file__).parent / "stylegan2.safetensors",
    )
