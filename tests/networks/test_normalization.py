"""Spectral norm and conditional batch norm: by hand, against torch's own, and as state that steps leave behind."""

import math
from copy import deepcopy

import pytest
import torch
from stepping import small_trainer
from torch import nn

from ganzoo import ImageSpec
from ganzoo.networks.normalization import (
    BatchNorm,
    ConditionalBatchNorm,
    InstanceNorm,
    SpectralConv2d,
    SpectralEmbedding,
    SpectralLinear,
    spectrally_normalized,
)
from ganzoo.networks.residual import DiscriminatorBlock, GeneratorBlock, SelfAttention, doubled, halved


def plain(inputs, outputs, kernel):
    return nn.Conv2d(inputs, outputs, kernel, padding=kernel // 2)


def test_one_step_of_the_power_method_by_hand():
    """W = [[3, 0], [4, 5]], u = (1, 0): v = Wᵀu/‖·‖ = (1, 0), Wv = (3, 4), u' = (0.6, 0.8), σ = u'·Wv = 5 (√45)."""
    weight, u = torch.tensor([[3.0, 0.0], [4.0, 5.0]]), torch.tensor([1.0, 0.0])
    assert torch.allclose(spectrally_normalized(weight, u, advance=True), weight / 5)
    assert torch.allclose(u, torch.tensor([0.6, 0.8]))
    for _ in range(50):
        normalized = spectrally_normalized(weight, u, advance=True)
    assert torch.allclose(normalized, weight / math.sqrt(45), atol=1e-5)
    before = u.clone()
    spectrally_normalized(weight + 1, u, advance=False)
    assert torch.equal(u, before)


def test_sigma_carries_gradient_and_its_vectors_do_not():
    """d(Σ W/σ)/dW = 1/σ − (ΣW/σ²)·u vᵀ with u and v as they are."""
    weight = torch.tensor([[3.0, 0.0], [4.0, 5.0]], requires_grad=True)
    spectrally_normalized(weight, torch.tensor([1.0, 0.0]), advance=True).sum().backward()
    expected = torch.full((2, 2), 1 / 5) - 12 / 25 * torch.outer(torch.tensor([0.6, 0.8]), torch.tensor([1.0, 0.0]))
    assert torch.allclose(weight.grad, expected)


@pytest.mark.parametrize("ours", [SpectralConv2d(3, 4, 3), SpectralLinear(5, 4)], ids=["convolution", "linear"])
def test_layers_are_those_of_torch(ours):
    torch.manual_seed(0)
    theirs = nn.utils.spectral_norm(nn.Conv2d(3, 4, 3) if ours.weight.dim() == 4 else nn.Linear(5, 4))
    state = {"weight_orig": ours.weight, "bias": ours.bias, "weight_u": ours.u, "weight_v": theirs.weight_v}
    theirs.load_state_dict({name: value.detach().clone() for name, value in state.items()})
    x = torch.randn(2, 3, 5, 5) if ours.weight.dim() == 4 else torch.randn(2, 5)
    for _ in range(3):
        one, other = ours(x), theirs(x)
        assert torch.allclose(one, other, atol=1e-6) and torch.allclose(ours.u, theirs.weight_u, atol=1e-6)
    one.square().sum().backward(), other.square().sum().backward()
    assert torch.allclose(ours.weight.grad, theirs.weight_orig.grad, atol=1e-5)


def test_two_passes_before_one_backward_are_not_disturbed_by_the_vector_moving_on():
    layer = SpectralLinear(3, 2)
    (layer(torch.ones(1, 3)) + layer(torch.ones(1, 3))).sum().backward()
    assert layer.weight.grad.isfinite().all()


def test_frozen_layers_go_on_with_the_power_method_and_evaluated_ones_do_not():
    for layer, x in ((SpectralLinear(6, 5), torch.randn(2, 6)), (SpectralEmbedding(5, 6), torch.tensor([1, 2]))):
        layer.requires_grad_(False)
        before = layer.u.clone()
        assert torch.equal(layer.eval()(x), layer(x)) and torch.equal(layer.u, before)
        layer.train()(x)
        assert not torch.equal(layer.u, before)
        assert "u" in layer.state_dict()


def test_training_resumes_bit_for_bit_with_its_vectors():
    small = {"generator": {"width": 2}, "discriminator": {"width": 2}}
    image = ImageSpec(32, 1)
    first, second = small_trainer("sngan", image, 2, **small), small_trainer("sngan", image, 2, **small)
    first.step()
    second.load_state(deepcopy(first.state()))
    first.step(), second.step()
    one, other = first.discriminator.state_dict(), second.discriminator.state_dict()
    assert any(name.endswith(".u") for name in one) and all(torch.equal(one[name], other[name]) for name in one)


@pytest.mark.parametrize("learning", [True, False])
def test_conditional_batch_norm_with_equal_labels_is_batch_norm(learning):
    torch.manual_seed(0)
    conditional = ConditionalBatchNorm(3, nn.Embedding(4, 3), nn.Embedding(4, 3)).train(learning)
    ordinary = BatchNorm(3).train(learning)
    with torch.no_grad():
        ordinary.weight.copy_(1 + conditional.gain.weight[2])
        ordinary.bias.copy_(conditional.shift.weight[2])
    x = torch.randn(5, 3, 2, 2)
    assert torch.allclose(conditional(x, torch.full((5,), 2)), ordinary(x), atol=1e-6)
    mixed = conditional(x, torch.tensor([2, 2, 1, 0, 3]))
    assert not torch.allclose(mixed[2], ordinary(x)[2])


@pytest.mark.parametrize("mode", ["nearest", "bilinear"])
def test_shortcuts_on_the_smaller_side_are_the_same_function(mode):
    torch.manual_seed(0)
    x = torch.randn(2, 3, 4, 4)
    block = GeneratorBlock(3, 5, plain, BatchNorm, mode)
    block.convolution2.weight.data.zero_(), block.convolution2.bias.data.zero_()
    assert torch.allclose(block(x), block.shortcut(doubled(x, mode)), atol=1e-6)
    block = DiscriminatorBlock(3, 5, 4, plain, down=True)
    block.convolution2.weight.data.zero_(), block.convolution2.bias.data.zero_()
    assert torch.allclose(block(x), halved(block.shortcut(x)), atol=1e-6)


def test_the_first_block_sees_dark_pixels_and_later_ones_do_not():
    x = -torch.ones(1, 1, 4, 4)
    for first in (True, False):
        block = DiscriminatorBlock(1, 1, 1, plain, down=False, first=first)
        nn.init.ones_(block.convolution1.weight), nn.init.zeros_(block.convolution1.bias)
        seen = []
        block.convolution1.register_forward_hook(lambda module, arguments, output, seen=seen: seen.append(output))
        block(x)
        assert bool(seen[0].any()) is first


def test_an_activated_shortcut_drops_what_is_negative():
    block = DiscriminatorBlock(1, 1, 1, plain, down=False, activated_shortcut=True)
    block.convolution2.weight.data.zero_(), block.convolution2.bias.data.zero_()
    assert torch.equal(block(torch.tensor([[[[-1.0, 2.0]]]])), torch.tensor([[[[0.0, 2.0]]]]))


def test_attention_starts_as_nothing_and_mixes_by_likeness():
    torch.manual_seed(0)
    attention = SelfAttention(16, plain)
    x = torch.randn(2, 16, 4, 4)
    assert torch.equal(attention(x), x)
    attention.scale.data.fill_(0.5)
    query, key, value = attention.query(x), attention.key(x), attention.value(x)
    pooled = [
        torch.stack([t[:, :, i : i + 2, j : j + 2].amax((2, 3)) for i in (0, 2) for j in (0, 2)], 2)
        for t in (key, value)
    ]
    assert query.shape[1] == 2 and value.shape[1] == 8
    mixed = torch.zeros(2, 8, 4, 4)
    for i in range(4):
        for j in range(4):
            share = torch.einsum("nc,nck->nk", query[:, :, i, j], pooled[0]).softmax(1)
            mixed[:, :, i, j] = torch.einsum("nck,nk->nc", pooled[1], share)
    assert torch.allclose(attention(x), x + 0.5 * attention.output(mixed), atol=1e-5)


@pytest.mark.parametrize("count", [1, 2])
@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_instance_norm_is_torchs_and_its_gradient_is_right_for_one_image_with_channels_last(count, layout):
    x, weight = torch.randn(count, 4, 5, 6).double(), torch.randn(count, 4, 5, 6).double()

    def of(norm, x, weight):
        x = x.clone(memory_format=torch.preserve_format).requires_grad_()
        made = norm(x)
        made.backward(weight)
        return made.detach(), x.grad

    expected, gradient = of(nn.InstanceNorm2d(4), x, weight)
    found, ours = of(InstanceNorm(4), x.contiguous(memory_format=layout), weight.contiguous(memory_format=layout))
    assert torch.allclose(found, expected) and torch.allclose(ours, gradient)
    assert found.is_contiguous(memory_format=layout)
    far = (x * 0.01 + 30).float().contiguous(memory_format=layout)
    assert torch.allclose(InstanceNorm(4)(far), nn.InstanceNorm2d(4)(far.double()).float(), atol=1e-2), "digits"
    assert torch.autograd.gradgradcheck(InstanceNorm(4), x[:1, :, :2, :2].clone().requires_grad_())
