"""BEGAN against carpedm20/BEGAN-tensorflow at 32 pixels (tests/golden/README-tensorflow.md)."""

import pytest
import torch
from golden_values import close, golden, tensorflow_numbers, turned
from stepping import count_parameters, part, scripted_turn
from torch import nn

from ganzoo import ImageSpec

IMAGE = ImageSpec(32, 3)


def official_layers(network, scope):
    """Our layers with weights, in order, by the scopes of slim: Conv, Conv_1 ... fully_connected, fully_connected_1."""
    named, seen = {}, {"Conv": 0, "fully_connected": 0}
    for layer in network.modules():
        if isinstance(layer, (nn.Conv2d, nn.Linear)):
            kind = "Conv" if isinstance(layer, nn.Conv2d) else "fully_connected"
            named[f"{scope}/{kind}" + (f"_{seen[kind]}" if seen[kind] else "")] = layer
            seen[kind] += 1
    return named


def arranged(found, layer):
    """Reorders a linear layer from (height, width, channels) to (channels, height, width) of the 8×8 feature maps."""
    if isinstance(layer, nn.Linear) and layer.out_features > layer.in_features:
        return found.unflatten(0, (8, 8, -1)).permute(2, 0, 1, *range(3, found.dim() + 2)).flatten(0, 2)
    if isinstance(layer, nn.Linear) and found.dim() == 2:
        return found.unflatten(1, (8, 8, -1)).permute(0, 3, 1, 2).flatten(1)
    return found


def official(kind, scope, **options):
    """Our network with the official numbers, in float64, and its layers by official name."""
    network = part(kind, "began", IMAGE, width=2, **options).double()
    layers = official_layers(network, scope)
    for name, layer in layers.items():
        layer.weight.data.copy_(arranged(tensorflow_numbers(f"{name}/weights", layer.weight), layer))
        layer.bias.data.copy_(arranged(tensorflow_numbers(f"{name}/biases", layer.bias), layer))
    assert sum(value.numel() for value in network.parameters()) == sum(
        value.numel() for layer in layers.values() for value in layer.parameters()
    )
    return network, layers


def same_gradients(tensors, layers):
    """Whether every weight and bias has the official gradient, and there is no other."""
    pairs = {f"{name}/weights": (layer, layer.weight) for name, layer in layers.items()}
    pairs |= {f"{name}/biases": (layer, layer.bias) for name, layer in layers.items()}
    scope = next(iter(layers)).partition("/")[0]
    assert set(pairs) == {key.removeprefix("gradient.") for key in tensors if key.startswith(f"gradient.{scope}/")}
    theirs = {name: arranged(turned(tensors[f"gradient.{name}"]), layer) for name, (layer, _) in pairs.items()}
    return all(close(parameter.grad, theirs[name]) for name, (_, parameter) in pairs.items())


def test_errors_gradients_and_balance_are_the_official_ones():
    tensors = golden("began")
    generator, generator_layers = official("generators", "G", latent_dim=5)
    discriminator, discriminator_layers = official("discriminators", "D", code_size=5)
    real = tensors["pixels"].double().repeat_interleave(4, 2).repeat_interleave(4, 3) / 127.5 - 1
    fake = generator.train()(tensors["latent"].double())
    with torch.no_grad():
        for images, name in ((fake, "AE_G"), (real, "AE_x")):
            drawn = ((discriminator.reconstruct(images) + 1) * 127.5).clamp(0, 255)
            assert close(drawn[:, :, ::5, ::5], tensors[name]) and close(
                ((fake + 1) * 127.5).clamp(0, 255)[:, :, ::5, ::5], tensors["G"]
            )

    loss = part("losses", "began", IMAGE).double()
    loss.k.fill_(tensors["k_before"].item())
    terms = loss.generator(scripted_turn(discriminator, fake=fake))
    assert terms["fake"].item() == pytest.approx(tensors["g_loss"].item(), rel=1e-5)
    terms["fake"].backward()
    assert same_gradients(tensors, generator_layers)
    discriminator.zero_grad()
    terms = loss.discriminator(scripted_turn(discriminator, real=real, fake=fake.detach()))
    assert terms["real"].item() == pytest.approx(tensors["d_loss_real"].item(), rel=1e-5)
    assert sum(terms.values()).item() == pytest.approx(tensors["d_loss"].item(), rel=1e-5)
    sum(terms.values()).backward()
    assert same_gradients(tensors, discriminator_layers)
    assert loss.k.item() == pytest.approx(tensors["k_after"].item(), rel=1e-6)


def test_counts_are_those_of_the_official_graphs_at_64_pixels():
    with torch.device("meta"):
        networks = [part(kind, "began", ImageSpec(64, 3)) for kind in ("generators", "discriminators")]
    assert [count_parameters(network) for network in networks] == [1_716_611, 13_405_379]
