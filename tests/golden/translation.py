"""Runs the official networks of pix2pix, CycleGAN and CUT and a few of their steps once, in float64.

`python tests/golden/translation.py CHECKOUT`: a clone of taesungp/contrastive-unpaired-translation, which contains the
networks and CycleGAN's model of junyanz/pytorch-CycleGAN-and-pix2pix. Of the latter's `models/pix2pix_model.py` the
lines of one step are repeated here around its networks. Weights and images follow from their names (`from_names.py`).
torchvision and apex, which the steps do not use, are replaced by empty modules.

CUT's projections permute features, so gradients reach instance norm with channels last in memory, and torch 2.13 on a
CPU then computes wrong ones for a batch of one image. Here gradients are made contiguous before they reach it.
"""

import random
import sys
from argparse import Namespace
from functools import partial
from pathlib import Path
from types import ModuleType

import numpy
import torch
from from_names import numbers, state
from safetensors.torch import save_file
from torch import nn

HERE = Path(__file__).parent
RATE, BETAS = 2e-4, (0.5, 0.999)


def load_named(network, prefix):
    """Gives the network the numbers of its tensors' names; returns it."""
    shapes = {name: tuple(value.shape) for name, value in network.state_dict().items()}
    named = {name: torch.from_numpy(value).double() for name, value in state(shapes, prefix).items()}
    wanting = network.load_state_dict(named, strict=False)
    assert all(name.endswith(("num_batches_tracked", "filt")) for name in wanting.missing_keys)
    return network.double()


def images(name, *shape):
    return torch.from_numpy(numpy.tanh(numbers(name, shape, outputs=0) * 5)).double()


def moved(networks):
    """For every network the sum of all parameters, each times a number of its name: a trace of a training."""
    return {
        f"moved.{role}": sum(
            (value.detach() * torch.from_numpy(numbers(f"trace.{role}.{name}", tuple(value.shape)))).sum()
            for name, value in network.named_parameters()
        )
        for role, network in networks.items()
    }


def save(name, tensors):
    tensors = {key: torch.as_tensor(value).detach().contiguous().clone() for key, value in tensors.items()}
    save_file(tensors, HERE / f"{name}.safetensors")


def with_contiguous_gradients(instance_norm):
    def normalized(*arguments, **more):
        result = instance_norm(*arguments, **more)
        if result.requires_grad:
            result.register_hook(lambda gradient: gradient.contiguous())
        return result

    return normalized


def options(**more):
    """The options that the official models read."""
    common = {"gpu_ids": [], "isTrain": True, "checkpoints_dir": ".", "name": ".", "preprocess": "none", "amp": False}
    common |= {"input_nc": 3, "output_nc": 3, "ngf": 2, "ndf": 2, "netG": "resnet_9blocks", "netD": "basic"}
    common |= {"n_layers_D": 3, "normG": "instance", "normD": "instance", "no_dropout": True, "init_type": "normal"}
    common |= {"init_gain": 0.02, "no_antialias": True, "no_antialias_up": True, "gan_mode": "lsgan", "lr": RATE}
    common |= {"beta1": BETAS[0], "beta2": BETAS[1], "direction": "AtoB", "pool_size": 0, "batch_size": 1}
    return Namespace(**(common | more))


def pix2pix(networks):
    """Forward passes of the U-Nets and discriminators, and three steps of `pix2pix_model.py`."""
    norms = {"batch": networks.get_norm_layer("batch"), "instance": networks.get_norm_layer("instance")}
    found = {}
    for norm, halvings in (("batch", 6), ("instance", 5), ("batch", 7)):
        unet = networks.UnetGenerator(2, 3, halvings, 2, norms[norm], use_dropout=True)
        load_named(unet, f"{norm}.{halvings}")
        source = images(f"unet.{norm}.{halvings}", 2, 2, 2**halvings, 2**halvings)
        with torch.no_grad():
            few = slice(None, None, 2 ** (halvings - 3))
            found[f"unet.{norm}.{halvings}"] = unet.eval()(source)[:, :, few, few]
            torch.manual_seed(0)
            found[f"unet.{norm}.{halvings}.trained"] = unet.train()(source[:1])[:, :, few, few]
    for norm, layer in norms.items():
        shown = images(f"judged.{norm}", 2, 5, 40, 48)
        patch = load_named(networks.NLayerDiscriminator(5, 2, 3, layer, no_antialias=True), f"patch.{norm}")
        pixel = load_named(networks.PixelDiscriminator(5, 2, layer), f"pixel.{norm}")
        with torch.no_grad():
            found |= {f"patch.{norm}": patch(shown), f"pixel.{norm}": pixel(shown)[:, :, ::4, ::4]}
    G = load_named(networks.UnetGenerator(3, 3, 5, 2, norms["batch"]), "G")
    D = load_named(networks.NLayerDiscriminator(6, 2, 3, norms["batch"], no_antialias=True), "D")
    adversarial, distance = networks.GANLoss("vanilla").double(), nn.L1Loss()
    optimizers = [torch.optim.Adam(network.parameters(), lr=RATE, betas=BETAS) for network in (G, D)]
    for step in range(3):
        real_A, real_B = (images(f"pix2pix.{side}.{step}", 2, 3, 32, 32) for side in "AB")
        fake_B = G(real_A)
        optimizers[1].zero_grad()
        loss_D_fake = adversarial(D(torch.cat((real_A, fake_B), 1).detach()), False)
        loss_D_real = adversarial(D(torch.cat((real_A, real_B), 1)), True)
        ((loss_D_fake + loss_D_real) * 0.5).backward()
        optimizers[1].step()
        optimizers[0].zero_grad()
        loss_G_GAN = adversarial(D(torch.cat((real_A, fake_B), 1)), True)
        loss_G_L1 = distance(fake_B, real_B) * 100.0
        (loss_G_GAN + loss_G_L1).backward()
        optimizers[0].step()
        found[f"step.{step}"] = torch.stack([loss_D_fake, loss_D_real, loss_G_GAN, loss_G_L1])
    save("pix2pix", found | moved({"generator": G, "discriminator": D}))


def cyclegan(networks, model):
    """Forward passes of both sizes of ResNet and of the judge, and six steps with a pool of two images."""
    norm, found = networks.get_norm_layer("instance"), {}
    for blocks in (6, 9):
        resnet = networks.ResnetGenerator(2, 3, 2, norm, False, blocks, no_antialias=True, no_antialias_up=True)
        load_named(resnet, f"resnet.{blocks}")
        with torch.no_grad():
            found[f"resnet.{blocks}"] = resnet(images(f"resnet.{blocks}", 2, 2, 36, 40))[:, :, ::4, ::4]
    judge = load_named(networks.NLayerDiscriminator(3, 2, 3, norm, no_antialias=True), "judge")
    with torch.no_grad():
        found["judge"] = judge(images("judge", 2, 3, 40, 48))
    settings = {"lambda_A": 10.0, "lambda_B": 10.0, "lambda_identity": 0.5, "pool_size": 2, "netG": "resnet_6blocks"}
    cycle = model.CycleGANModel(options(**settings))
    roles = {"there": cycle.netG_A, "back": cycle.netG_B, "output": cycle.netD_A, "source": cycle.netD_B}
    for role, network in roles.items():
        load_named(network, role)
    cycle.criterionGAN.double()
    draws = []
    random.uniform = lambda low, high: draws.append(float(torch.rand(()))) or draws[-1]
    random.randint = lambda low, high: draws.append(int(torch.randint(low, high + 1, ()))) or draws[-1]
    names = ["G_A", "G_B", "cycle_A", "cycle_B", "idt_B", "idt_A", "D_A", "D_B"]
    torch.manual_seed(3)
    for step in range(6):
        sides = {side: images(f"cyclegan.{side}.{step}", 1, 3, 32, 32) for side in "AB"}
        draws.clear()
        cycle.set_input(sides | {"A_paths": [], "B_paths": []})
        cycle.optimize_parameters()
        found[f"step.{step}"] = torch.stack([getattr(cycle, f"loss_{name}") for name in names])
        found[f"draws.{step}"] = torch.tensor(pairs(draws), dtype=torch.float64)
    save("cyclegan", found | moved(roles))


def pairs(draws):
    """The draws of both pools in (chance, place): the official code draws a place only if the chance is above half."""
    found, draws = [], iter(draws)
    for chance in draws:
        found.append([chance, next(draws) if chance > 0.5 else 0])
    return found


def cut(networks, model, fast):
    """The anti-aliased networks, and three steps of `cut_model.py` with five places a layer."""
    found = {}
    more = {"no_antialias": False, "no_antialias_up": False, "init_type": "xavier", "nce_layers": "0,4,8,12,16"}
    more |= {"netF": "mlp_sample", "netF_nc": 256, "nce_T": 0.07, "num_patches": 5, "lambda_GAN": 1.0}
    more |= {"lambda_NCE": 10.0 if fast else 1.0, "nce_idt": not fast, "flip_equivariance": fast}
    more |= {"nce_includes_all_negatives_from_minibatch": False}
    contrast = model.CUTModel(options(**more))
    G, D, F = contrast.netG, contrast.netD, contrast.netF
    load_named(G, "G"), load_named(D, "D")
    with torch.no_grad():
        F(G(images("features", 1, 3, 32, 32), contrast.nce_layers, encode_only=True), 5, None)
    load_named(F, "F")
    contrast.optimizer_F = torch.optim.Adam(F.parameters(), lr=RATE, betas=BETAS)
    contrast.criterionGAN.double()
    if not fast:
        with torch.no_grad():
            found["resnet"] = G(images("resnet", 2, 3, 36, 40))[:, :, ::4, ::4]
            found["patch"] = D(images("patch", 2, 3, 40, 48))
            features = G(images("features", 1, 3, 32, 32), contrast.nce_layers, encode_only=True)
            found |= {f"features.{number}": value[:, :3, ::4, ::4] for number, value in enumerate(features)}
    permutation, places = numpy.random.permutation, []
    numpy.random.seed(0)
    numpy.random.permutation = lambda count: places.append(permutation(count)) or places[-1]
    names = ["D_fake", "D_real", "G_GAN", "NCE"] + ([] if fast else ["NCE_Y"])
    for step in range(3):
        sides = {side: images(f"cut.{side}.{step}", 1, 3, 32, 32) for side in "AB"}
        # The coin that ganzoo tosses in this step, in place of the global one.
        coin = float(torch.rand((), generator=torch.Generator().manual_seed(step), dtype=torch.float32))
        numpy.random.random = lambda coin=coin: coin
        places.clear()
        contrast.set_input(sides | {"A_paths": [], "B_paths": []})
        contrast.optimize_parameters()
        found[f"step.{step}"] = torch.stack([getattr(contrast, f"loss_{name}") for name in names])
        found[f"places.{step}"] = torch.from_numpy(numpy.stack([place[:5] for place in places]))
    numpy.random.permutation = permutation
    save("fastcut" if fast else "cut", found | moved({"generator": G, "discriminator": D, "loss": F}))


if __name__ == "__main__":
    torch.set_num_threads(1)
    torch.set_default_dtype(torch.float64)
    sys.path.insert(0, sys.argv[1])
    for name in ("torchvision", "torchvision.transforms", "apex"):
        sys.modules[name] = ModuleType(name)
    sys.modules["apex"].amp = None
    nn.functional.instance_norm = with_contiguous_gradients(nn.functional.instance_norm)
    from models import cut_model, cycle_gan_model, networks

    pix2pix(networks)
    cyclegan(networks, cycle_gan_model)
    for fast in (False, True):
        partial(cut, networks, cut_model)(fast)
