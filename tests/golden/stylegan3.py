"""Runs narrow generators of NVlabs/stylegan3 once: `python tests/golden/stylegan3.py CHECKOUT`.

On a CPU its operators are its own plain reference functions. Two networks in float64, as stylegan3-t and -r, with
labels: images with and without truncation, in training mode with what moves then, the gradients of a sum, and those of
path length, which are second derivatives. It needs scipy.
"""

import sys
from pathlib import Path
from types import ModuleType

import torch
from safetensors.torch import save_file

OPTIONS = {"z_dim": 6, "c_dim": 3, "w_dim": 5, "img_resolution": 32, "img_channels": 3, "num_layers": 6}
OPTIONS |= {"channel_base": 128, "channel_max": 12, "magnitude_ema_beta": 0.5 ** (2 / 20_000)}
KINDS = {"t": {"conv_clamp": 2.0}, "r": {"conv_kernel": 1, "use_radial_filters": True, "channel_max": 10}}
BATCH = 2
STORED = torch.float32


def perturb(network):
    """Every parameter moved, so that none is at a start of 0, and running means as after some training."""
    with torch.no_grad():
        for value in network.parameters():
            value += torch.randn_like(value) * 0.3
        for name, value in network.named_buffers():
            if name.endswith("magnitude_ema"):
                value.fill_(0.5 + torch.rand(()).item())
        network.mapping.w_avg.normal_()
        network.synthesis.input.transform[:2, 2] = torch.tensor([0.1, -0.2])
        for value in [*network.parameters(), *network.buffers()]:
            value.copy_(value.to(STORED))  # so that the file holds them exactly


def gradients(network, value, prefix):
    network.zero_grad()
    value.backward()
    return {f"{prefix}.{name}": one.grad.clone() for name, one in network.named_parameters() if one.grad is not None}


def values(kind, network):
    latent, label = torch.randn(BATCH, 6).to(STORED).double(), torch.eye(3)[[0, 2]]
    found = {"latent": latent, "noise": torch.randn(BATCH, 3, 32, 32).to(STORED).double()}
    found |= {f"generator.{name}": value.clone() for name, value in network.state_dict().items()}
    with torch.no_grad():
        found["images"] = network(latent, label)
        found["truncated"] = network(latent, label, truncation_psi=0.7)
    found |= gradients(network, (network(latent, label) * found["noise"]).sum(), "slope")
    styles = network.mapping(latent, label)
    images = network.synthesis(styles)
    (slope,) = torch.autograd.grad((images * found["noise"]).sum(), styles, create_graph=True)
    lengths = slope.square().sum(2).mean(1).sqrt()
    found["lengths"] = lengths.detach()
    found |= gradients(network, lengths.square().mean(), "path")
    with torch.no_grad():
        found["trained"] = network(latent, label, update_emas=True)
    found |= {
        f"moved.{name}": value for name, value in network.state_dict().items() if name.endswith(("_ema", "w_avg"))
    }
    return {f"{kind}.{name}": value.to(STORED).contiguous() for name, value in found.items()}


def main():
    sys.path.insert(0, sys.argv[1])
    for name in ("requests", "pkg_resources"):  # for downloads and for versions of torch
        sys.modules.setdefault(name, ModuleType(name)).parse_version = lambda version: (2, 13)
    from training.networks_stylegan3 import Generator

    torch.set_default_dtype(torch.float64)
    torch.float32 = torch.float64  # to which they cast
    torch.manual_seed(0)
    found = {}
    for kind, options in KINDS.items():
        network = Generator(**{**OPTIONS, **options})
        perturb(network)
        found |= values(kind, network)
    save_file(found, Path(__file__).with_name("stylegan3.safetensors"))


if __name__ == "__main__":
    main()
