"""Runs the official networks of pix2pixHD and three of their steps once, in float64.

`python tests/golden/pix2pixhd.py CHECKOUT`: a clone of NVIDIA/pix2pixHD. Its model puts labels on a GPU, so the lines
of `models/pix2pixHD_model.py` and `train.py` are repeated here around its networks and losses, with --label_nc 0
--no_instance --no_vgg_loss. torchvision, which only VGG needs, is replaced by an empty module.
"""

import sys
from functools import partial
from types import ModuleType

import torch
from torch import nn
from translation import BETAS, RATE, images, load_named, moved, save


def record(networks):
    norm = networks.get_norm_layer("instance")
    G = load_named(networks.GlobalGenerator(2, 3, 2, 3, 2, norm), "G")
    D = load_named(networks.MultiscaleDiscriminator(5, 2, 3, norm, False, 2, True), "D")
    third = load_named(networks.MultiscaleDiscriminator(5, 2, 2, norm, False, 3, True), "D3")
    found = {}
    local = {
        "L": load_named(networks.LocalEnhancer(2, 3, 2, 2, 2, 1, 1, norm), "L"),
        "L2": load_named(networks.LocalEnhancer(2, 3, 2, 2, 1, 2, 2, norm), "L2"),
    }
    with torch.no_grad():
        found |= {name: network(images(f"hd.{name}", 2, 2, 48, 32))[:, :, ::4, ::4] for name, network in local.items()}
        found["drawn"] = G(images("hd", 2, 2, 48, 40))[:, :, ::4, ::4]
        for name, network in (("D", D), ("D3", third)):
            maps = [outputs[-1] for outputs in network(images(f"hd.{name}", 2, 5, 48, 40))]
            found |= {f"{name}.{number}": value for number, value in enumerate(maps)}
    adversarial = networks.GANLoss(use_lsgan=True, tensor=partial(torch.DoubleTensor))
    optimizers = [torch.optim.Adam(network.parameters(), lr=RATE, betas=BETAS) for network in (G, D)]
    for step in range(3):
        label, image = images(f"hd.A.{step}", 2, 2, 32, 32), images(f"hd.B.{step}", 2, 3, 32, 32)
        fake = G(label)
        loss_D_fake = adversarial(D(torch.cat((label, fake.detach()), 1)), False)
        pred_real = D(torch.cat((label, image), 1))
        loss_D_real = adversarial(pred_real, True)
        pred_fake = D(torch.cat((label, fake), 1))
        loss_G_GAN = adversarial(pred_fake, True)
        loss_feat = 0
        for i in range(2):
            for j in range(len(pred_fake[i]) - 1):
                distance = nn.L1Loss()(pred_fake[i][j], pred_real[i][j].detach())
                loss_feat += 1.0 / 2 * (4.0 / (3 + 1)) * distance * 10.0
        # torch of today refuses to go back through D after a step on it, so D's gradients are computed before G's step.
        optimizers[1].zero_grad()
        ((loss_D_fake + loss_D_real) * 0.5).backward(retain_graph=True)
        gradients = [value.grad.clone() for value in D.parameters()]
        optimizers[0].zero_grad()
        (loss_G_GAN + loss_feat).backward()
        optimizers[0].step()
        for value, gradient in zip(D.parameters(), gradients, strict=True):
            value.grad = gradient
        optimizers[1].step()
        found[f"step.{step}"] = torch.stack([loss_D_fake, loss_D_real, loss_G_GAN, loss_feat])
    save("pix2pixhd", found | moved({"generator": G, "discriminator": D}))


if __name__ == "__main__":
    torch.set_num_threads(1)
    torch.set_default_dtype(torch.float64)
    sys.path.insert(0, sys.argv[1])
    sys.modules["torchvision"] = ModuleType("torchvision")
    sys.modules["torchvision"].models = None
    from models import networks

    record(networks)
