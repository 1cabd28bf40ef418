"""SAGAN against brain-research/self-attention-gan at 128 pixels (tests/golden/README-tensorflow.md)."""

import numpy
import pytest
import torch
from golden_values import close, golden, tensorflow_numbers, under
from stepping import part, scripted_turn

from ganzoo import ImageSpec
from ganzoo.networks.normalization import (
    BatchNorm,
    ConditionalBatchNorm,
    SpectralConv2d,
    SpectralEmbedding,
    SpectralLinear,
)
from ganzoo.networks.residual import SelfAttention

IMAGE = ImageSpec(128, 3, 3)
SCOPES = {  # theirs for ours: attention follows the generator's third block and the discriminator's second
    "generators": {"input.0": "g_snh0", "blocks.3": "g_non_local", "output.0": "g_bn", "output.2": "g_snconv_last"}
    | {f"blocks.{ours}": f"g_block{theirs}" for ours, theirs in ((0, 1), (1, 2), (2, 3), (4, 4), (5, 5))},
    "discriminators": {
        "blocks.0": "d_optimized_block1",
        "blocks.2": "d_non_local",
        "output": "d_sn_linear",
        "embedding": "d_embedding",
    }
    | {f"blocks.{ours}": f"d_block{theirs}" for ours, theirs in ((1, 2), (3, 3), (4, 4), (5, 5), (6, 6))},
}
LAYERS = {
    "generators": {
        "convolution1": "snconv1",
        "convolution2": "snconv2",
        "shortcut": "snconv3",
        "norm1": "cbn_0",
        "norm2": "cbn_1",
    },
    "discriminators": {"convolution1": "sn_conv1", "convolution2": "sn_conv2", "shortcut": "sn_conv3"},
}
ATTENTION = {"query": "sn_conv_theta", "key": "sn_conv_phi", "value": "sn_conv_g", "output": "sn_conv_attn"}
KINDS = {
    SpectralConv2d: {"weight": "w", "bias": "biases", "u": "u"},
    SpectralLinear: {"weight": "Matrix", "bias": "bias", "u": "u"},
    SpectralEmbedding: {"weight": "embedding_map", "u": "u"},
    BatchNorm: {"weight": "gamma", "bias": "beta", "running_mean": "moving_mean", "running_var": "moving_variance"},
    ConditionalBatchNorm: {"gain.weight": "gamma", "shift.weight": "beta"}
    | {"normalize.running_mean": "mean", "normalize.running_var": "var"},
}


def scope_of(kind, path):
    """Their variable scope of our layer at `path`."""
    ours = next(name for name in SCOPES[kind] if f"{path}.".startswith(f"{name}."))
    scope, inner = SCOPES[kind][ours], path.removeprefix(ours).removeprefix(".")
    inner = (ATTENTION if "non_local" in scope else LAYERS[kind]).get(inner, inner)
    return "/".join(filter(None, ("model", scope, inner)))


def theirs(layer, ours, name, value):
    """Their numbers of the variable `name` as our layer has them.

    Tables of classes are not turned, a scale is 1 and ours, and the generator starts with height, width, channels.
    """
    if isinstance(layer, SpectralEmbedding) and ours == "weight" or ours in ("gain.weight", "shift.weight"):
        return tensorflow_numbers(name, value.t()).t() - float(ours == "gain.weight")
    found = tensorflow_numbers(name, value)
    if "g_snh0" in name:
        found = found.unflatten(0, (4, 4, -1)).permute(2, 0, 1, *range(3, found.dim() + 2)).flatten(0, 2)
    return found


def official(kind, **options):
    """Our network, in float64, with the official weights, and its power-method vectors by their official names."""
    network, filled, vectors = part(kind, "sagan", IMAGE, **options).double(), set(), {}
    for path, layer in network.named_modules():
        state = layer.state_dict() if type(layer) in KINDS else {}
        for ours, kind_of in KINDS.get(type(layer), {}).items():
            if ours in state:
                name = f"{scope_of(kind, path)}/{kind_of}"
                state[ours].copy_(theirs(layer, ours, name, state[ours]))
                filled.add(f"{path}.{ours}")
                vectors |= {name: layer.u} if ours == "u" else {}
        if isinstance(layer, SelfAttention):
            layer.scale.data.fill_(0.7)
            filled.add(f"{path}.scale")
    assert filled == {name for name in network.state_dict() if not name.endswith("num_batches_tracked")}, (
        "every number is official"
    )
    return network, vectors


def moved(vectors, tensors, role):
    """Whether our vectors point where theirs do after their passes."""
    after = {name: value for name, value in under(tensors, "after").items() if name.startswith(f"model/{role}")}
    turn = {"model/g_snh0/u": lambda u: u.view(4, 4, -1).permute(2, 0, 1).flatten()}
    return set(after) == set(vectors) and all(
        close(u, turn.get(name, torch.flatten)(after[name])) for name, u in vectors.items()
    )


@torch.no_grad()
def test_the_generator_draws_what_the_official_one_draws():
    tensors = golden("sagan")
    generator, vectors = official("generators", width=4, latent_dim=6)
    drawn = generator.eval()(tensors["latent"].double(), tensors["label"])
    assert close(drawn[:, :, ::9, ::9], tensors["drawn"])
    drawn = generator.train()(tensors["latent"].double(), tensors["label"])
    assert close(drawn[:, :, ::9, ::9], tensors["drawn_in_training"]) and moved(vectors, tensors, "g_")


@torch.no_grad()
def test_the_discriminator_and_the_loss_are_the_official_ones():
    tensors = golden("sagan")
    discriminator, vectors = official("discriminators", width=8)
    images = torch.from_numpy(numpy.repeat(numpy.repeat(tensors["pixels"].numpy(), 16, 2), 16, 3)).double()
    for number in (0, 1):
        assert close(discriminator(images, tensors["label"]), tensors[f"logits.{number}"]), (
            "the second pass has moved the vectors"
        )
    assert moved(vectors, tensors, "d_")
    logits = discriminator.eval()(images, tensors["label"])
    assert close(logits, tensors["logits.2"]), "a pass that keeps the vectors"
    loss = part("losses", "sngan", IMAGE, critic_steps=1, generator_first=False, generator_batch=1, dequantize=False)
    turn = scripted_turn(lambda images, label=None: logits, real=images, fake=images, random_label=lambda: None)
    terms = loss.discriminator(turn)
    assert (terms["real"].item(), terms["fake"].item()) == pytest.approx(
        (tensors["d_real"].item(), tensors["d_fake"].item()), rel=1e-5
    )
    assert loss.generator(turn)["fake"].item() == pytest.approx(tensors["g"].item(), rel=1e-5)
