"""SNGAN and cGAN-PD against their authors' Chainer code (tests/golden/README-chainer.md).

The plain networks also against two codes in torch, one for each order of widths.
"""

import re

import pytest
import torch
from golden.from_names import numbers
from golden_values import close, golden, under
from stepping import count_parameters, part, scripted_turn

from ganzoo import ImageSpec
from ganzoo.networks import LeakyReLU
from ganzoo.networks.normalization import (
    BatchNorm,
    ConditionalBatchNorm,
    SpectralConv2d,
    SpectralEmbedding,
    SpectralLinear,
)

CASES = {
    "sngan-32": ImageSpec(32, 3),
    "cgan-pd-32": ImageSpec(32, 3, 3),
    "sngan-64": ImageSpec(64, 3),
    "cgan-pd-64": ImageSpec(64, 3, 3),
}
LAYERS = {"convolution1": "c1", "convolution2": "c2", "shortcut": "c_sc", "norm1": "b1", "norm2": "b2"}
SPECTRAL = {"weight": "W", "bias": "b", "u": "u"}
KINDS = {
    **dict.fromkeys((SpectralConv2d, SpectralLinear, SpectralEmbedding, torch.nn.Conv2d, torch.nn.Linear), SPECTRAL),
    BatchNorm: {"weight": "gamma", "bias": "beta", "running_mean": "avg_mean", "running_var": "avg_var"},
    ConditionalBatchNorm: {"gain.weight": "gammas/W", "shift.weight": "betas/W"}
    | {"normalize.running_mean": "avg_mean", "normalize.running_var": "avg_var"},
}


def link_of(kind, path, size):
    """Their link for our layer at `path`; the last ones are called after how many blocks there are, and not alike."""
    place, _, rest = path.partition(".")
    if place == "blocks":
        number, _, layer = rest.partition(".")
        return f"/block{int(number) + (2 if kind == 'generators' else 1)}/{LAYERS[layer]}"
    ends = {"input.0": "l1", "output.0": "b5", "output.2": "c5", "output": "l5", "embedding": "l_y"}
    if size == 64:
        ends |= {"output.0": "b6", "output.2": "l6", "output": "l6"}
    return f"/{ends[path]}"


def official(kind, name, image, link, **options):
    """Our network, in float64, with the official weights, and its power-method vectors by their official names."""
    network, named = part(kind, name, image, **options).double(), {}
    for path, layer in network.named_modules():
        state = (
            layer.state_dict(keep_vars=True)
            if type(layer) in KINDS and not path.endswith((".gain", ".shift", ".normalize"))
            else {}
        )
        named |= {
            f"{link(path)}/{theirs}": state[ours]
            for ours, theirs in KINDS.get(type(layer), {}).items()
            if ours in state
        }
    for theirs, ours in named.items():
        found = torch.from_numpy(
            numbers(theirs, (1, *ours.shape) if theirs.endswith("/u") else tuple(ours.shape), outputs=0)
        ).view_as(ours)
        ours.data.copy_(found - float(theirs.endswith("gammas/W")))
    filled = {id(value) for value in named.values()}
    state = network.state_dict(keep_vars=True).values()
    assert all(id(value) in filled for value in state if value.is_floating_point()), "every number is official"
    return network, named


def same_judgement(discriminator, named, images, label, tensors):
    """Compares two training passes, the first one's gradients and an evaluation; returns the second logits."""
    for number in (0, 1):
        logits = discriminator(images, label)
        assert close(logits, tensors[f"logits.{number}"]), "the second pass has moved the vectors"
        if not number:
            logits.sum().backward()
            gradients = {
                name.removeprefix("gradient"): value for name, value in tensors.items() if name.startswith("gradient")
            }
            assert len(gradients) > 10 and all(close(named[name].grad, value) for name, value in gradients.items())
    with torch.no_grad():
        assert close(discriminator.eval()(images, label), tensors["logits.2"])
    return logits.detach()


@pytest.mark.parametrize("name", CASES)
def test_networks_and_losses_are_the_official_ones(name):
    tensors, image = golden(f"chainer-{name}"), CASES[name]
    label, latent = tensors.get("label"), tensors["latent"].double()
    generator, named = official(
        "generators", "sngan", image, lambda path: link_of("generators", path, image.size), width=2, latent_dim=6
    )
    with torch.no_grad():
        assert close(generator.eval()(latent, label)[:, :, ::3, ::3], tensors["drawn"])
        assert close(generator.train()(latent, label)[:, :, ::3, ::3], tensors["drawn_in_training"])
    averages = {key: value for key, value in tensors.items() if key.startswith("after") and "avg" in key}
    assert len(averages) == 2 * sum(isinstance(layer, torch.nn.BatchNorm2d) for layer in generator.modules())
    assert all(close(named[key.removeprefix("after")], value) for key, value in averages.items()), (
        "the variance is the unbiased one"
    )

    discriminator, named = official(
        "discriminators", "sngan", image, lambda path: link_of("discriminators", path, image.size), width=2
    )
    images = tensors["pixels"].double().repeat_interleave(image.size // 8, 2).repeat_interleave(image.size // 8, 3)
    logits = same_judgement(discriminator, named, images, label, tensors)
    vectors = {key: value for key, value in tensors.items() if key.startswith("after") and key.endswith("/u")}
    assert len(vectors) > 10 and all(
        close(named[key.removeprefix("after")], value.flatten()) for key, value in vectors.items()
    )
    for objective, theirs in (("hinge", "hinge"), ("non-saturating", "dcgan")):
        loss = part("losses", "sngan", image, objective=objective, dequantize=False)
        turn = scripted_turn(
            lambda logits, label=None: logits, real=logits[:2], fake=logits[1:], random_label=lambda: None
        )
        assert sum(loss.discriminator(turn).values()).item() == pytest.approx(
            tensors[f"{theirs}.discriminator"].item(), rel=1e-5
        )
        assert loss.generator(turn)["fake"].item() == pytest.approx(tensors[f"{theirs}.generator"].item(), rel=1e-5)


def test_the_plain_discriminator_is_that_of_the_authors_library_but_for_the_slope():
    tensors = golden("chainer-sndcgan")
    names = ["c0_0", "c0_1", "c1_0", "c1_1", "c2_0", "c2_1", "c3_0", "l4"]
    paths = {
        f"main.{2 * number + number // 7}": f"/{name}" for number, name in enumerate(names)
    }  # a reshape precedes the last
    discriminator, named = official(
        "discriminators", "sndcgan", ImageSpec(32, 3), paths.__getitem__, width=2, order="compare-gan"
    )
    for layer in discriminator.modules():
        if isinstance(layer, LeakyReLU):
            layer.slope = 0.2  # table 3 of the paper says 0.1
    images = tensors["pixels"].double().repeat_interleave(4, 2).repeat_interleave(4, 3)
    same_judgement(discriminator, named, images, None, tensors)
    with torch.device("meta"):
        assert count_parameters(part("discriminators", "sndcgan", ImageSpec(32, 3), order="compare-gan")) == 5_860_865
        assert count_parameters(part("generators", "sndcgan", ImageSpec(32, 3))) == 3_828_739 - 2 * 8192, (
            "without the first batch norm"
        )


def hooked(tensors, last):
    """Renames tensors of torch.nn.utils.spectral_norm to ours; `last` is the linear layer, others keep their places."""
    ours = {"weight_orig": "weight", "weight_u": "u", "model": "main", last: "main.15"}
    return {
        re.sub("|".join(ours), lambda found: ours[found[0]], name): v
        for name, v in tensors.items()
        if not name.endswith("weight_v")
    }


@torch.no_grad()
def test_the_plain_networks_are_those_of_a_port():
    """Of w86763777/pytorch-gan-collections, with google/compare_gan's widths and batch norm after the linear layer."""
    tensors = golden("cnn32")
    generator = part("generators", "sndcgan", ImageSpec(32, 3), latent_dim=6, width=2, normalize_start=True)
    names = {
        name: re.sub(r"main\.(\d+)", lambda found: f"main.{int(found[1]) + 2}", name)
        for name in under(tensors, "generator")
    }
    generator.load_state_dict(
        {names[name].replace("linear", "main.0"): value for name, value in under(tensors, "generator").items()}
    )
    assert close(generator.eval()(tensors["latent"])[:, :, ::3, ::3], tensors["drawn"])
    assert close(generator.train()(tensors["latent"])[:, :, ::3, ::3], tensors["drawn_in_training"])
    discriminator = part("discriminators", "sndcgan", ImageSpec(32, 3), width=2, order="compare-gan")
    discriminator.load_state_dict(hooked(under(tensors, "discriminator"), "linear"))
    images = tensors["pixels"].repeat_interleave(4, 2).repeat_interleave(4, 3)
    for number in (0, 1):
        assert close(discriminator(images), tensors[f"logits.{number}"].flatten())


@torch.no_grad()
def test_the_plain_discriminator_in_the_papers_order_is_another_codes():
    """Of AlexiaJM/RelativisticGAN, arch 1; its last layer has no spectral norm, so ours divides by its norm."""
    tensors = golden("relativistic")
    discriminator = part("discriminators", "sndcgan", ImageSpec(32, 1), width=2)
    theirs = hooked(
        {name: value for name, value in under(tensors, "D").items() if name.startswith(("model", "dense"))}, "dense"
    )
    discriminator.load_state_dict(theirs | {"main.15.u": torch.ones(1)})
    logits, bias = tensors["loss5.D.real_logits"], theirs["main.15.bias"]
    assert close(discriminator(tensors["D.real"]), (logits - bias) / theirs["main.15.weight"].norm() + bias)
