"""Convolutions inside a gradient penalty: PyTorch's numbers to every order, without its second derivative."""

import numpy
import pytest
import stepping
import torch
from torch import nn
from torch.autograd.profiler import profile
from torch.nn import functional

from ganzoo import ImageSpec
from ganzoo.losses import double_backward as convolutions
from ganzoo.losses import squared_gradient_norm
from ganzoo.losses.double_backward import TwiceDifferentiable, recognized, twice_differentiable
from ganzoo.networks import LeakyReLU

CASES = [
    {},
    {"padding": 1},
    {"padding": 1, "groups": 2},
    {"padding": (1, 0), "stride": (2, 3), "groups": 4},
    {"padding": 2, "dilation": 2, "stride": 2},
    {"stride": 3},
]

PENALIZED = {
    "wgan-gp": {"width": 4},
    "wgan-gp-resnet": {"width": 4},
    "dcgan": {"width": 4},
    "r3gan": {"width": 16, "group_width": 8},
}


def tensors(groups=1, bias=True):
    random = torch.Generator().manual_seed(3)
    shapes = [(2, 4, 7, 8), (8, 4 // groups, 3, 2), (8,)]
    found = [torch.randn(shape, generator=random, dtype=torch.float64, requires_grad=True) for shape in shapes]
    return found if bias else [*found[:2], None]


@pytest.fixture
def everywhere(monkeypatch):
    """As on a GPU: every convolution is replaced, not those in groups alone."""
    monkeypatch.setattr(convolutions, "pays", lambda input, groups: True)


def ours(x, weight, bias=None, **options):
    return twice_differentiable(*recognized(x, weight, bias, **options))


def of_every_order(convolution, options, bias):
    """Returns output, its gradients, and the gradients of a penalty on the input's gradient and on the weight's."""
    given = tensors(options.get("groups", 1), bias)
    wanted = [tensor for tensor in given if tensor is not None]
    output = convolution(*given, **options)
    first = torch.autograd.grad(output.sin().sum(), wanted, create_graph=True)
    on_input = torch.autograd.grad(first[0].pow(3).sum(), wanted, retain_graph=True)
    on_weight = torch.autograd.grad(first[1].pow(3).sum(), wanted)
    return [output, *first, *on_input, *on_weight]


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("options", CASES, ids=str)
def test_outputs_gradients_and_second_derivatives_are_pytorchs(everywhere, options, bias):
    for mine, theirs in zip(
        of_every_order(ours, options, bias), of_every_order(functional.conv2d, options, bias), strict=True
    ):
        torch.testing.assert_close(mine, theirs, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("name", PENALIZED)
def test_penalties_of_the_built_in_discriminators_are_pytorchs(everywhere, monkeypatch, name):
    found = []
    for way in (recognized, lambda *arguments, **options: None):
        monkeypatch.setattr(convolutions, "recognized", way)
        torch.manual_seed(0)
        net = stepping.part("discriminators", name, ImageSpec(32, 1), **PENALIZED[name]).double()
        for parameter in net.parameters():
            parameter.data += 0.05 * torch.randn_like(parameter)
        images = torch.randn(2, 1, 32, 32, dtype=torch.float64)
        penalty = squared_gradient_norm(net, images)
        penalty.sum().backward()
        found.append([penalty, *(parameter.grad for parameter in net.parameters() if parameter.grad is not None)])
    assert len(found[0]) == len(found[1]) > 3
    for mine, theirs in zip(*found, strict=True):
        torch.testing.assert_close(mine, theirs, rtol=1e-9, atol=1e-12)


def calls(net, images):
    """How often each operation ran while the penalty of `net` and its gradient were computed."""
    with profile() as found:
        squared_gradient_norm(net, images).sum().backward()
    return {event.key: event.count for event in found.key_averages()}


class Blocks(nn.Module):
    """A grouped convolution of somebody's own, called as a function with names, between two that are modules."""

    def __init__(self, groups):
        super().__init__()
        self.first, self.last = nn.Conv2d(1, 32, 3, padding=1), nn.Conv2d(32, 1, 1)
        self.weight, self.groups = nn.Parameter(torch.ones(32, 32 // groups, 3, 3)), groups

    def forward(self, images):
        x = functional.conv2d(input=self.first(images).sin(), weight=self.weight, padding=1, groups=self.groups)
        return self.last(x.sin()).sum((1, 2, 3))


def test_a_penalty_does_not_take_the_groups_one_after_the_other():
    images = torch.randn(2, 1, 8, 8)
    few, many = (calls(Blocks(groups), images)["aten::convolution"] for groups in (2, 16))
    assert few == many


def test_a_penalty_does_not_compute_the_weights_gradient_twice():
    net = Blocks(4)
    with profile() as found:
        squared_gradient_norm(net, torch.randn(2, 1, 8, 8))
    assert "ToWeightBackward" not in {event.key for event in found.key_averages()}
    with profile() as found:
        squared_gradient_norm(net, torch.randn(2, 1, 8, 8)).sum().backward()
    assert {event.key: event.count for event in found.key_averages()}["ToWeightBackward"] == 1


def test_a_missing_gradient_stays_missing(monkeypatch):
    """Under a piecewise-linear leaky ReLU nothing depends on the biases: no backward pass of zeros may reach them."""
    layers = [nn.Conv2d(1, 4, 3, padding=1), LeakyReLU(), nn.Conv2d(4, 4, 3, groups=4), LeakyReLU(), nn.Conv2d(4, 1, 1)]
    net = nn.Sequential(*layers, nn.Flatten(), nn.Linear(9, 1))
    monkeypatch.setattr(nn.grad, "conv2d_weight", lambda *arguments, **options: pytest.fail("a gradient of zeros"))
    squared_gradient_norm(net, torch.randn(2, 1, 5, 5)).sum().backward()
    assert all(layer.bias.grad is None for layer in net if hasattr(layer, "bias"))


def test_what_gains_nothing_stays_pytorchs():
    x, weight = torch.ones(1, 4, 5, 5, requires_grad=True), torch.ones(4, 1, 3, 3)
    assert recognized(x, weight, groups=4) is not None
    assert recognized(x, torch.ones(4, 4, 3, 3)) is None, "one group on a CPU"
    assert recognized(x.detach(), weight, groups=4) is None, "no gradient"
    with torch.no_grad():
        assert recognized(x, weight, groups=4) is None
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert recognized(x, weight, groups=4) is None


@pytest.mark.parametrize(
    ("shapes", "options"),
    [
        ([(1, 4, 5, 5), (4, 1, 3, 3)], {"padding": "same"}),
        ([(1, 4, 5, 5), (4, 1, 3, 3)], {"padding": numpy.int64(1)}),
        ([(4, 5, 5), (4, 1, 3, 3)], {}),
        ([(1, 4, 5, 5), (4, 1, 3)], {}),
        ([(1, 4, 5, 5), (4, 1, 7, 7)], {}),
        ([(1, 4, 5, 5), (4, 1, 3, 3), (1,)], {}),
    ],
    ids=str,
)
def test_whatever_else_conv2d_takes_or_refuses_is_left_to_it(shapes, options):
    x, *others = (torch.ones(shape, requires_grad=True) for shape in shapes)
    assert recognized(x, *others, groups=4, **options) is None
    assert recognized(x.to(torch.complex64), *(other.to(torch.complex64) for other in others[:1]), groups=4) is None


def test_outside_a_penalty_nothing_is_replaced():
    layer, x = nn.Conv2d(4, 4, 3, groups=4), torch.ones(1, 4, 5, 5, requires_grad=True)
    assert "Convolution" in type(layer(x).grad_fn).__name__
    with TwiceDifferentiable():
        assert "Add" in type(layer(x).grad_fn).__name__, "the bias comes last"
    assert "Convolution" in type(layer(x).grad_fn).__name__


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device, and --cuda")
def test_on_a_gpu_every_convolution_is_replaced_and_the_penalty_is_the_processors():
    found = []
    for device in ("cpu", "cuda"):
        torch.manual_seed(0)
        net, images = Blocks(4).double().to(device), torch.randn(2, 1, 8, 8, dtype=torch.float64).to(device)
        with TwiceDifferentiable():
            replaced = "Add" in type(net.first(images.requires_grad_()).grad_fn).__name__
        assert replaced == (device == "cuda")
        squared_gradient_norm(net, images).sum().backward()
        found.append([parameter.grad.cpu() for parameter in net.parameters() if parameter.grad is not None])
    for here, there in zip(*found, strict=True):
        torch.testing.assert_close(there, here, rtol=1e-9, atol=1e-12)
