"""The faster copy of a generator gives the same pixels, whatever is done to the generator."""

import copy

import pytest
import torch
from models import lively_model
from torch import nn
from torch.nn import functional

import ganzoo
from ganzoo import ImageSpec
from ganzoo.errors import UsageError
from ganzoo.files.pictures import to_uint8
from ganzoo.models import inference
from ganzoo.models.inference import FastSampler, faster_copy, folded
from ganzoo.models.model import Model
from ganzoo.networks import Generator

BUILT_IN = {
    "dcgan 32": ("dcgan", ImageSpec(32, 1), {"width": 8}),
    "dcgan 64": ("dcgan", ImageSpec(64, 3), {"width": 8}),
    "lsgan": ("lsgan", ImageSpec(28, 1), {"width": 8}),
    "lsgan-conditional": ("lsgan-conditional", ImageSpec(28, 1, 10), {"width": 8, "label_size": 4}),
    "infogan": ("infogan", ImageSpec(28, 1), {}),
    "wgan-gp": ("wgan-gp", ImageSpec(28, 1), {"width": 8}),
}


def plainly(model, latent, label=None):
    """What a careful user writes."""
    with torch.no_grad():
        return model.generator(latent, label)


def copied(model) -> bool:
    return model._sampler._forward is not model.generator


@pytest.mark.parametrize("name", BUILT_IN)
def test_built_in_generators_draw_the_same(name):
    model = lively_model(BUILT_IN[name][0], BUILT_IN[name][1], **BUILT_IN[name][2])
    latent, label = model.latent(64, 3), model.labels(64)
    expected, found = plainly(model, latent, label), model.generate(latent, label)
    assert copied(model) and expected.std() > 0.1
    assert (found - expected).abs().max() < 2e-5
    changed = to_uint8(found).int() - to_uint8(expected).int()
    assert (
        changed.abs().max() <= 1 and (changed != 0).float().mean() < 1e-4
    )  # a value between two grey levels may round either way


def test_batch_norm_is_folded_and_layout_changed_in_the_copy_alone():
    model = lively_model(image=ImageSpec(32, 1), width=8)
    before = copy.deepcopy(model.generator.state_dict())
    fast = faster_copy(model.generator)
    norms = [module for module in model.generator.modules() if isinstance(module, nn.BatchNorm2d)]
    assert norms and not [module for module in fast.modules() if isinstance(module, nn.BatchNorm2d)]
    assert all(p.is_contiguous(memory_format=torch.channels_last) for p in fast.parameters() if p.dim() == 4)
    assert all(torch.equal(tensor, model.generator.state_dict()[name]) for name, tensor in before.items())
    assert all(p.is_contiguous() for p in model.generator.parameters())


def norm_of(kind, channels):
    norm = kind(channels).double()
    with torch.no_grad():
        norm.running_mean.normal_(), norm.running_var.uniform_(0.5, 2), norm.weight.normal_(), norm.bias.normal_()
    return norm.eval()


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize(
    ("layer", "norm", "shape"),
    [
        (lambda bias: nn.Linear(3, 4, bias=bias), nn.BatchNorm1d, (5, 3)),
        (lambda bias: nn.Conv1d(3, 4, 2, bias=bias), nn.BatchNorm1d, (5, 3, 6)),
        (lambda bias: nn.Conv2d(3, 4, 3, 2, 1, bias=bias), nn.BatchNorm2d, (5, 3, 6, 6)),
        (lambda bias: nn.ConvTranspose2d(3, 4, 4, 2, 1, bias=bias), nn.BatchNorm2d, (5, 3, 6, 6)),
    ],
    ids=["linear", "convolution 1d", "convolution", "transposed convolution"],
)
def test_folding_is_exact(layer, norm, shape, bias):
    layer, x = layer(bias).double(), torch.randn(shape, dtype=torch.float64)
    for affine in (True, False):
        second = norm_of(norm, 4)
        if not affine:
            second.weight = second.bias = None
        torch.testing.assert_close(folded(layer, second)(x), second(layer(x)), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("side", [1, 3])
def test_the_first_layer_as_a_matrix(bias, stride, side):
    layer, x = (
        nn.ConvTranspose2d(5, 4, (4, 3), stride, bias=bias).double(),
        torch.randn(6, 5, side, side, dtype=torch.float64),
    )
    torch.testing.assert_close(inference.FromPoint(layer)(x), layer(x), rtol=1e-12, atol=1e-12)


# -- the generator changes --------------------------------------------------------------------------


def doubled(model) -> dict:
    return {name: tensor * 2 for name, tensor in model.generator.state_dict().items()}


CHANGES = {
    "in place": lambda model: model.generator.main[0].weight.mul_(2),
    "a statistic": lambda model: model.generator.main[1].running_mean.add_(1),
    "an attribute": lambda model: setattr(model.generator.main[1], "eps", 1.0),
    "another parameter": lambda model: setattr(
        model.generator.main[3], "weight", nn.Parameter(model.generator.main[3].weight * 3)
    ),
    "another layer": lambda model: model.generator.main.__setitem__(2, nn.Tanh()),
    "state": lambda model: model.generator.load_state_dict(doubled(model)),
    "assigned state": lambda model: model.generator.load_state_dict(doubled(model), assign=True),
    "inside inference mode": torch.inference_mode()(lambda model: model.generator.main[0].weight.mul_(2)),
    "another generator": lambda model: setattr(model, "generator", lively_model(seed=5).generator),
    "precision": lambda model: model.generator.double(),
    "hook": lambda model: model.generator.main[0].register_forward_hook(lambda module, inputs, output: output * 2),
    "training": lambda model: model.generator.train(),
}


@pytest.mark.parametrize("name", CHANGES)
def test_images_follow_every_change_of_the_generator(name):
    model = lively_model()
    latent = model.latent(8)
    before = model.generate(latent)
    CHANGES[name](model)
    fresh = copy.deepcopy(model.generator)
    with torch.no_grad():
        expected = fresh(latent.to(next(fresh.parameters()).dtype)).float()
    after = model.generate(latent)
    assert (after - expected).abs().max() < 2e-5
    assert name == "precision" or (after - before).abs().max() > 1e-3


def test_the_copy_is_made_once(monkeypatch):
    made = []
    monkeypatch.setattr(inference, "faster_copy", lambda generator: made.append(1) or faster_copy(generator))
    model = lively_model()
    for _ in range(3):
        model.sample(3)
    assert made == [1]
    model.generator.main[0].weight.mul_(2)
    model.sample(3)
    assert made == [1, 1]


# -- generators that plugins might write ------------------------------------------------------------


class Base(Generator):
    latent_dim = 4

    def __init__(self):
        super().__init__()
        self.main = nn.Sequential(nn.Linear(4, 8), nn.BatchNorm1d(8), nn.Linear(8, 16))
        for _ in range(3):
            self.main(torch.randn(64, 4) * 3 + 1)

    def forward(self, latent, label=None):
        return torch.tanh(self.main(latent)).view(-1, 1, 4, 4)


class UsesLayersOneByOne(Base):
    """Something stands between the layer and its norm, which a Sequential does not show."""

    def forward(self, latent, label=None):
        x = functional.relu(self.main[0](latent))
        return torch.tanh(self.main[2](self.main[1](x))).view(-1, 1, 4, 4)


class ReadsTheNorm(Base):
    def forward(self, latent, label=None):
        return super().forward(latent) + self.main[1].running_mean.mean()


class SharesALayer(Base):
    def __init__(self):
        super().__init__()
        self.again = self.main[0]

    def forward(self, latent, label=None):
        return super().forward(latent) + self.again(latent).mean(1)[:, None, None, None]


class DrawsNoise(Base):
    def forward(self, latent, label=None):
        return super().forward(latent + torch.randn_like(latent))


class CannotBeCopied(Base):
    def __deepcopy__(self, memo):
        raise TypeError("not this one")


class BatchStatistics(Base):
    def __init__(self):
        super().__init__()
        self.main[1] = nn.BatchNorm1d(8, track_running_stats=False)


class SpectralNorm(Base):
    def __init__(self):
        super().__init__()
        nn.utils.parametrizations.spectral_norm(self.main[0])


class WeightNorm(Base):
    def __init__(self):
        super().__init__()
        nn.utils.parametrizations.weight_norm(self.main[0])


class Counts(Base):
    """Changes its own state while it draws."""

    def __init__(self):
        super().__init__()
        self.register_buffer("drawn", torch.zeros(()))

    def forward(self, latent, label=None):
        self.drawn += len(latent)
        return super().forward(latent)


class Grouped(Base):
    def __init__(self):
        super().__init__()
        layers = [nn.ConvTranspose2d(4, 8, 4, groups=4), nn.BatchNorm2d(8), nn.ReLU(), nn.Conv2d(8, 1, 1)]
        self.main = nn.Sequential(*layers)
        self.main(torch.randn(64, 4, 1, 1) * 3 + 1)

    def forward(self, latent, label=None):
        return torch.tanh(self.main(latent[:, :, None, None]))


ODD = [UsesLayersOneByOne, ReadsTheNorm, SharesALayer, DrawsNoise, CannotBeCopied, BatchStatistics]
ODD += [SpectralNorm, WeightNorm, Counts, Grouped]


@pytest.mark.parametrize("kind", ODD)
def test_no_generator_is_drawn_wrong(kind):
    torch.manual_seed(1)
    model = Model(kind(), lively_model().config)
    latent = model.latent(16)
    for _ in range(3):
        torch.manual_seed(2)
        expected = plainly(model, latent)
        torch.manual_seed(2)
        torch.testing.assert_close(model.generate(latent), expected, rtol=0, atol=1e-5)


def test_an_error_of_the_generator_is_its_own():
    class Failing(Base):
        def forward(self, latent, label=None):
            raise ValueError("mine")

    with pytest.raises(ValueError, match="mine"):
        Model(Failing(), lively_model().config).sample(1)


def test_weights_made_in_inference_mode_are_drawn_plainly():
    with torch.inference_mode():
        model = lively_model()
        model.generator.load_state_dict(
            {name: tensor.clone() for name, tensor in model.generator.state_dict().items()}, assign=True
        )
    latent = model.latent(4)
    assert torch.equal(model.generate(latent), plainly(model, latent))
    with torch.inference_mode():
        model.generator.main[0].weight.mul_(2)
    assert torch.equal(model.generate(latent), plainly(model, latent))


def test_random_numbers_of_the_process_are_drawn_as_without_a_copy():
    model = Model(DrawsNoise(), lively_model().config)
    latent = model.latent(4)
    torch.manual_seed(0)
    plainly(model, latent)
    expected = torch.rand(3)
    torch.manual_seed(0)
    model.generate(latent)
    assert torch.equal(torch.rand(3), expected)


def test_bf16_draws_nearly_the_same(tmp_path):
    model = lively_model(image=ImageSpec(32, 1), width=8)
    model.save(tmp_path / "model")
    low = ganzoo.load(tmp_path / "model", dtype=torch.bfloat16)
    difference = (low.sample(16) - model.sample(16)).abs()
    assert copied(low) and difference.mean() < 0.02 and difference.max() < 0.3


# -- torch.compile ----------------------------------------------------------------------------------


@pytest.mark.slow
def test_compiled_drawing(tmp_path):
    model = lively_model()
    model.save(tmp_path / "model")
    compiled = ganzoo.load(tmp_path / "model", compile=True)
    torch.testing.assert_close(compiled.sample(5), model.sample(5), rtol=0, atol=1e-4)
    torch.testing.assert_close(compiled.sample(3), model.sample(3), rtol=0, atol=1e-4)


def test_compiling_is_asked_of_torch_and_used(monkeypatch):
    asked = []
    monkeypatch.setattr(
        torch, "compile", lambda module: asked.append(module) or (lambda latent, label: module(latent, label) * 0)
    )
    model = lively_model()
    drawing, latent = FastSampler(compile=True), model.latent(4)
    with torch.no_grad():
        assert drawing(model.generator, latent, None).abs().max() == 0
    assert len(asked) == 1 and asked[0] is not model.generator


def test_a_machine_that_cannot_compile_says_so_in_one_line(monkeypatch):
    def no_compiler(module):
        def fail(*arguments):
            raise RuntimeError("No working C++ compiler found\n  in\n  PATH")

        return fail

    monkeypatch.setattr(torch, "compile", no_compiler)
    model = lively_model()
    model = Model(model.generator, model.config, compile=True)
    with pytest.raises(
        UsageError,
        match="torch.compile .*No working C.. compiler found in PATH.* without compile",
    ):
        model.sample(1)
