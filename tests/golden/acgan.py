"""Runs the discriminator of clvrai/ACGAN-PyTorch once: `python tests/golden/acgan.py CHECKOUT`.

It has 1.6 million weights, so they are not stored: `weights_of` makes them, here and in the test, from their number
alone.
"""

import sys
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import nn


def weights_of(network):
    """Sets all parameters, in order, to sines of their running number, scaled by the fan in.

    Scales of batch norm lie around 1.
    """
    with torch.no_grad():
        for number, parameter in enumerate(network.parameters()):
            waves = torch.sin(torch.arange(parameter.numel(), dtype=torch.float64) * 0.7 + number).view(parameter.shape)
            fan = parameter[0].numel() if parameter.dim() > 1 else 25
            parameter.copy_(waves * 2 / fan**0.5 + (1 if parameter.dim() == 1 and number % 3 == 2 else 0))


def without_dropout(network):
    """Batch norm as in training, but nothing dropped."""
    network.train()
    for module in network.modules():
        if isinstance(module, nn.Dropout):
            module.eval()
    return network


if __name__ == "__main__":
    sys.path.insert(0, sys.argv[1])
    import network

    discriminator = without_dropout(network._netD_CIFAR10(1))
    weights_of(discriminator)
    torch.manual_seed(0)
    images = torch.rand(4, 3, 32, 32) * 2 - 1
    with torch.no_grad():
        source, classes = discriminator(images)
    save_file({"images": images, "source": source, "classes": classes}, Path(__file__).parent / "acgan.safetensors")
    print(source, classes[0])
