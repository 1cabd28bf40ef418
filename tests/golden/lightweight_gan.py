"""Runs networks and a step's losses of lightweight-gan 1.2.1 once: `python tests/golden/lightweight_gan.py FOLDER`.

FOLDER holds the unpacked wheels of lightweight-gan and einops. Modules that the networks do not need are empty, and
kornia's `filter2d` is a few lines here. Numbers come from the tensors' names. The losses are lines of `Trainer.train`
around `Discriminator`, without its augmentation, in float64.
"""

import sys
from pathlib import Path
from types import ModuleType

import torch
from from_names import numbers, state
from safetensors.torch import save_file
from torch.nn import functional

EMPTY = ("torchvision", "kornia", "kornia.filters", "adabelief_pytorch", "tqdm", "PIL")
CASES = {  # image size, options of both networks, those of the discriminator
    "32": (32, {"fmap_inverse_coef": 8, "fmap_max": 16, "attn_res_layers": [16]}, {"disc_output_size": 5}),
    "128": (128, {"fmap_inverse_coef": 8, "fmap_max": 16, "attn_res_layers": [32]}, {"disc_output_size": 1}),
    "512": (512, {"fmap_inverse_coef": 8, "fmap_max": 8, "attn_res_layers": []}, {"disc_output_size": 1}),
}
LATENT = 6


def drawn(name, *shape):
    return torch.from_numpy(numbers(name, shape)).double()


def filter2d(images, kernel, normalized):
    assert normalized
    kernel = (kernel / kernel.abs().sum()).expand(images.shape[1], 1, 3, 3)
    return functional.conv2d(functional.pad(images, (1, 1, 1, 1), mode="reflect"), kernel, groups=images.shape[1])


def official(folder):
    """The official module, without what it imports beside its networks."""
    sys.path.insert(0, str(folder))
    for name in EMPTY:
        sys.modules[name] = ModuleType(name)
    sys.modules["kornia.filters"].filter2d = filter2d
    sys.modules["torchvision"].transforms = None
    sys.modules["adabelief_pytorch"].AdaBelief = sys.modules["tqdm"].tqdm = sys.modules["PIL"].Image = None
    torch.cuda.is_available = lambda: True
    from lightweight_gan import lightweight_gan

    return lightweight_gan


def loaded(network, prefix):
    shapes = {name: tuple(value.shape) for name, value in network.state_dict().items()}
    values = {name: torch.from_numpy(one) for name, one in state(shapes, prefix).items()}
    network.load_state_dict({**network.state_dict(), **values})
    return network.double()


def main(folder):
    module, found = official(folder), {}
    blur = module.Blur
    for case, (size, options, of_discriminator) in CASES.items():
        module.Blur = blur if case == "32" else torch.nn.Identity
        generator = loaded(module.Generator(image_size=size, latent_dim=LATENT, **options), f"G{case}")
        discriminator = loaded(module.Discriminator(image_size=size, **options, **of_discriminator), f"D{case}")
        layers = iter(range(100))
        module.Noise.forward = lambda self, x, layers=layers: (
            x + self.weight * drawn(f"noise.{next(layers)}", 2, 1, *x.shape[2:])
        )
        with torch.no_grad():
            images = generator.eval()(drawn("latent", 2, LATENT))
        step = size // 16
        found[f"{case}.images"] = images[:, :, ::step, ::step].contiguous()
        real = (0.5 + drawn("real", 2, 3, 32, 32)).repeat_interleave(size // 32, 2).repeat_interleave(size // 32, 3)
        real, fake = real.requires_grad_(), images.requires_grad_()
        module.random = lambda: 0.6  # the third quarter
        fake_output, fake_small, _ = discriminator(fake)
        real_output, real_small, aux = discriminator(real, calc_aux_loss=True)
        divergence = module.hinge_loss(real_output, fake_output) + module.hinge_loss(real_small, fake_small)
        gradients = [
            torch.autograd.grad([one, two], images, [torch.ones_like(one), torch.ones_like(two)], retain_graph=True)[0]
            for one, two, images in ((real_output, real_small, real), (fake_output, fake_small, fake))
        ]
        penalty = 10 * (torch.cat(gradients).reshape(4, -1).norm(2, dim=1) ** 2).mean()
        generated = module.gen_hinge_loss(fake_output, None) + module.gen_hinge_loss(fake_small, None)
        found[f"{case}.logits"] = torch.cat([real_output, real_small.flatten(1)], 1)
        found[f"{case}.losses"] = torch.stack([divergence, aux, penalty, generated])
        print(case, found[f"{case}.losses"].tolist(), images.abs().max().item())
    tensors = {name: value.detach().contiguous() for name, value in found.items()}
    save_file(tensors, Path(__file__).parent / "lightweight-gan.safetensors")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
