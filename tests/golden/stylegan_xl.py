"""Runs narrow generators of autonomousvision/stylegan-xl once: `python tests/golden/stylegan_xl.py CHECKOUT`.

A stem of 16 pixels and a generator of 32 whose head enlarges it, in float64, with labels: images with and without
truncation to the means of classes. The embedding of classes is a small random one in place of
`in_embeddings/tf_efficientnet_lite0.pkl`. It needs scipy, click and requests.
"""

import importlib.util
import os
import pickle
import sys
import tempfile
from pathlib import Path
from types import ModuleType

import torch
from safetensors.torch import save_file
from stylegan3 import STORED

STEM = {"z_dim": 5, "c_dim": 3, "w_dim": 4, "img_resolution": 16, "img_channels": 3, "num_layers": 5}
STEM |= {"channel_base": 32, "channel_max": 6, "conv_kernel": 3, "use_radial_filters": False}
STEM |= {"mapping_kwargs": {"num_layers": 2, "rand_embedding": False}}
HEAD = {"img_resolution": 32, "head_layers": 4, "up_factor": 2}
ROWS, FEATURES, BATCH = 4, 7, 2


def perturb(network):
    """Every parameter moved, running means as after some training, and all as a file of float32 holds them."""
    with torch.no_grad():
        for value in network.parameters():
            value += torch.randn_like(value) * 0.3
        for name, value in network.named_buffers():
            if name.endswith("magnitude_ema"):
                value.fill_(0.5 + torch.rand(()).item())
        network.mapping.w_avg.normal_()
        for value in [*network.parameters(), *network.buffers()]:
            value.copy_(value.to(STORED))


def values(kind, network):
    latent, label = torch.randn(BATCH, 5).to(STORED).double(), torch.eye(3)[[0, 2]]
    found = {f"generator.{name}": value.clone() for name, value in network.state_dict().items()}
    with torch.no_grad():
        found |= {"latent": latent, "images": network(latent, label)}
        found["truncated"] = network(latent, label, truncation_psi=0.7)
    return {f"{kind}.{name}": value.to(STORED).contiguous() for name, value in found.items()}


def main(checkout):
    sys.path.insert(0, str(checkout))
    if importlib.util.find_spec("pkg_resources") is None:  # setuptools had it, for versions of torch
        sys.modules["pkg_resources"] = ModuleType("pkg_resources")
        sys.modules["pkg_resources"].parse_version = lambda version: (2, 13)
    import legacy
    from training.networks_stylegan3_resetting import Generator, SuperresGenerator

    torch.set_default_dtype(torch.float64)
    torch.float32 = torch.float64  # to which they cast
    torch.manual_seed(0)
    place = Path(__file__).with_name("stylegan-xl.safetensors").resolve()
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        Path("in_embeddings").mkdir()
        with open("in_embeddings/tf_efficientnet_lite0.pkl", "wb") as file:
            pickle.dump({"embed": torch.nn.Embedding(ROWS, FEATURES)}, file)
        stem = Generator(**STEM)
        perturb(stem)
        found = values("stem", stem)
        legacy.load_network_pkl = lambda file: {
            "G_ema": stem
        }  # its own unpickler needs the file that a training writes
        Path("stem.pkl").touch()
        whole = SuperresGenerator(path_stem=str(Path("stem.pkl").resolve()), **HEAD)
    perturb(whole)
    save_file(found | values("head", whole), place)
    print({name: value.abs().mean().item() for name, value in found.items() if "images" in name})


if __name__ == "__main__":
    main(Path(sys.argv[1]).resolve())
