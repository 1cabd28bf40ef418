"""Runs FastGAN's generator of autonomousvision/projected-gan once: `python tests/golden/fastgan.py CHECKOUT`.

The port computes in float64 and is narrow, once with heavy blocks and once with light ones. Numbers come from the
names of tensors; `weight_u` and `weight_v` hold the singular vectors of the largest singular value. Noise
comes from names too, in the order in which layers ask for it. `stored` are images of light blocks whose vectors are
those of half a step of the power method, as in a file of averaged weights.
"""

import sys
from itertools import count
from pathlib import Path

import torch
from from_names import numbers
from safetensors.torch import save_file

WIDTH, LATENT, SIZE, BATCH, EVERY = 8, 6, 128, 2, 8


def drawn(name, shape):
    return torch.from_numpy(numbers(name, tuple(shape))).double()


def fill(network, found=True):
    """Gives each tensor the numbers of its name, variances positive ones, and u and v the first singular vectors.

    Without `found` u is what its name gives, at length 1, and v what the power method makes of it.
    """
    state = network.state_dict()
    for name, value in state.items():
        if name.endswith("num_batches_tracked"):
            continue
        values = drawn(name, value.shape)
        value.copy_(values.abs() + 0.5 if name.endswith("running_var") else values)
    for name, value in state.items():
        if name.endswith("weight_orig"):
            matrix = (value.transpose(0, 1) if name.startswith("init.") else value).flatten(1)
            if found:
                u, _, v = torch.linalg.svd(matrix, full_matrices=False)
                u, v = u[:, 0], v[0]
            else:
                u = torch.nn.functional.normalize(drawn(name.replace("_orig", "_u"), (len(matrix),)), dim=0)
                v = torch.nn.functional.normalize(matrix.T @ u, dim=0)
            state[name.replace("_orig", "_u")].copy_(u)
            state[name.replace("_orig", "_v")].copy_(v)


def main(checkout):
    sys.path.insert(0, str(checkout))
    from pg_modules import blocks, networks_fastgan

    found = {}
    for kind, lite in (("heavy", False), ("light", True), ("stored", True)):
        number = count()

        def noisy(self, feat, noise=None, number=number):
            return feat + self.weight * drawn(f"noise.{next(number)}", (len(feat), 1, *feat.shape[2:]))

        blocks.NoiseInjection.forward = noisy
        network = networks_fastgan.FastganSynthesis(WIDTH, LATENT, 3, SIZE, lite).double().eval()
        with torch.no_grad():
            fill(network, kind != "stored")
            found[kind] = network(drawn("latent", (BATCH, 1, LATENT)), None)[:, :, ::EVERY, ::EVERY].contiguous()
        print(kind, found[kind].abs().mean().item(), found[kind].abs().max().item())
    save_file(found, Path(__file__).parent / "fastgan.safetensors")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
