"""Runs FastGAN's discriminator and its losses once: `python tests/golden/fastgan_discriminator.py CHECKOUT`.

CHECKOUT is of odegeasslbc/FastGAN-pytorch at its author's upload. The network computes in float64 and is narrow: a
width of 8, of which decoders take half, as 32 is half of 64. Numbers come from the names of tensors. Margins are 0.9,
the quarter is the third, and a fixed convolution stands for the network of LPIPS. Images have pixels of 2 × 2, so that
their copies of half the size are the same by the nearest pixel and by means.
"""

import random
import sys
import types
from pathlib import Path

import torch
from from_names import numbers, state
from safetensors.torch import save_file
from torch.nn import functional

WIDTH, SIZE, BATCH, PART, EVERY = 8, 256, 2, 2, 8


def named(name, shape):
    return torch.from_numpy(numbers(name, tuple(shape))).double()


def percept(ours, truth):
    """The stand-in of LPIPS: distances (N, 1, 1, 1) of features."""
    kernel = named("percept", (4, 3, 5, 5))
    features = [torch.tanh(functional.conv2d(images, kernel, stride=2)) for images in (ours, truth)]
    return (features[0] - features[1]).square().mean((1, 2, 3), keepdim=True)


def loss_of(source):
    """The functions of train.py before its loop, with the stand-in."""
    start, end = source.index("def crop_image_by_part"), source.index("def train(args)")
    scope = {"percept": percept, "F": functional, "torch": torch}
    exec(source[start:end], scope)
    return scope["train_d"]


def main(checkout):
    models = types.ModuleType("models")
    exec((checkout / "models.py").read_text().replace("v*32", f"v*{WIDTH // 2}"), models.__dict__)
    train_d = loss_of((checkout / "train.py").read_text())
    torch.rand_like = lambda like: torch.full_like(like, 0.5)
    random.randint = lambda first, last: PART
    D = models.Discriminator(ndf=WIDTH, im_size=SIZE).double().train()
    shapes = {name: tuple(value.shape) for name, value in D.state_dict().items() if not name.endswith("_v")}
    made = {name: torch.from_numpy(value).double() for name, value in state(shapes, "fastgan").items()}
    for name, value in made.items():
        if name.endswith("_u"):
            made[name] = functional.normalize(value, dim=0)
    D.load_state_dict(made, strict=False)

    def images(name):
        return functional.interpolate(torch.tanh(named(name, (BATCH, 3, SIZE // 2, SIZE // 2))), scale_factor=2.0)

    real, fake, found = images("real"), images("fake"), {}
    outputs = {}
    D.register_forward_hook(lambda module, inputs, output: outputs.update({inputs[1]: output}))
    train_d(D, real, "real")
    train_d(D, [fake, functional.interpolate(fake, 128)], "fake")
    found["real"], redrawn, part = outputs["real"]
    assert part == PART
    found["fake"] = outputs["fake"]
    for kind, one in zip(("whole", "copy", "quarter"), redrawn, strict=True):
        found[kind] = one[:, :, ::EVERY, ::EVERY]
    for name, parameter in D.named_parameters():
        norm = parameter.grad.norm()
        found[f"slope.{name}"] = torch.cat([norm[None], parameter.grad.flatten()[:3]])
    save_file(
        {name: value.detach().float().contiguous() for name, value in found.items()},
        Path(__file__).with_name("fastgan-discriminator.safetensors"),
    )
    print({name: (value.abs().max().item()) for name, value in found.items() if "slope" not in name})


if __name__ == "__main__":
    main(Path(sys.argv[1]))
