"""Writes projected-gan.safetensors with autonomousvision/projected-gan: README.md.

`python tests/golden/projected_gan.py CHECKOUT TIMM_WHEEL`. timm's network has weights made of its names, since the
published ones cannot be in a repository; torchvision, which timm imports and this does not use, is left out.
"""

import sys
from importlib.machinery import ModuleSpec
from unittest.mock import MagicMock

import torch
from from_names import numbers, state
from safetensors.torch import save_file

for name in ("", ".transforms", ".transforms.functional", ".datasets", ".datasets.folder", ".ops", ".ops.misc"):
    sys.modules[f"torchvision{name}"] = MagicMock(__spec__=ModuleSpec("torchvision", None), __path__=[])
sys.path[:0] = sys.argv[1:3]
import timm  # noqa: E402
from pg_modules.discriminator import ProjectedDiscriminator  # noqa: E402

create = timm.create_model


def create_model(name, pretrained):
    """timm's network with weights made of its names, whose statistics the search for channels shall not move.

    Its activation is part of the norm today.
    """
    model = create(name, pretrained=False).eval()
    model.act1 = torch.nn.Identity()
    named("lite0", model)
    return model


timm.create_model = create_model
torch.set_num_threads(1)
SIDE = 32


def named(prefix, module):
    """Gives a module weights made of its names, under the prefix."""
    there = {name: tuple(value.shape) for name, value in module.state_dict().items() if not name.endswith("_v")}
    made = {name: torch.from_numpy(value) for name, value in state(there, prefix).items()}
    module.load_state_dict(made, strict=False)


def run(name, classes, separable):
    D = ProjectedDiscriminator(
        diffaug=False,
        interp224=True,
        backbone_kwargs=dict(
            cout=64, expand=True, proj_type=2, num_discs=4, separable=separable, cond=bool(classes), c_dim=classes
        ),
    )
    named("mixers", D.feature_network.scratch)
    named("heads", D.discriminator)
    D.train()
    images = torch.from_numpy(numbers("images", (3, 3, SIDE, SIDE))).requires_grad_(True)
    label = torch.nn.functional.one_hot(torch.arange(3) % classes, classes) if classes else None
    logits = D(images, label)
    logits[0].sum().backward()
    out[f"{name}.logits"], out[f"{name}.gradient"] = logits, images.grad
    with torch.no_grad():
        x = torch.nn.functional.interpolate(images, 224, mode="bilinear", align_corners=False)
        if not classes:
            mixed = D.feature_network(x)
            for number in range(4):
                x = getattr(D.feature_network.pretrained, f"layer{number}")(x)
                out[f"features.{number}"], out[f"mixed.{number}"] = x[0, :, 3, 4], mixed[str(number)][0, :, 3, 4]
    print(name, sum(p.numel() for p in D.discriminator.parameters()))


out = {}
run("plain", 0, False)
run("separable", 3, True)
save_file({name: value.detach().contiguous().clone() for name, value in out.items()}, "projected-gan.safetensors")
