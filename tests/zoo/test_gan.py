"""The first GAN against goodfeli/adversarial: golden values, counts, initialization, priors, dropout, objectives."""

import math

import pytest
import torch
from paths import GOLDEN
from safetensors.torch import load_file
from stepping import count_calls, count_parameters, names_of, part, scripted_turn, small_trainer, step_by_phase
from torch import nn

from ganzoo import ImageSpec, Part
from ganzoo.config.recipe import bind_part
from ganzoo.config.settings import resolve
from ganzoo.engine.build import build_part
from ganzoo.errors import UsageError
from ganzoo.layouts import Match
from ganzoo.losses import Phase
from ganzoo.networks import Maxout
from ganzoo.registry.registry import registry
from ganzoo.runs.train import batches_in_step
from ganzoo_plugins.gan.layouts import Perceptrons
from ganzoo_plugins.gan.model import Adversarial

GREY28 = ImageSpec(28, 1)
SMALL = {"generator": {"width": 8}, "discriminator": {"units": 4, "pieces": 2}}
HIDDEN = {"generator": {"hidden": [6, 7]}, "discriminator": {"hidden": [6]}}


def fill(layers, golden, *names):
    """The golden weights (inputs, outputs) in our linear layers, in this order."""
    for layer, name in zip(layers, names, strict=True):
        layer.weight.data, layer.bias.data = golden[f"{name}_W"].T.contiguous(), golden[f"{name}_b"]


def linear_layers(module):
    return [layer for layer in module.modules() if isinstance(layer, nn.Linear)]


def test_networks_and_losses_are_the_recipes():
    golden, image = load_file(GOLDEN / "gan.safetensors"), ImageSpec(4, 1)
    generator = part("generators", "gan", image, latent_dim=3, width=6).eval()
    discriminator = part("discriminators", "gan", image, units=2, pieces=3).eval()
    fill(linear_layers(generator), golden, "g_h0", "g_h1", "g_y")
    fill(linear_layers(discriminator), golden, "d_h0", "d_h1", "d_y")
    fake, real = generator(golden["z"]), golden["real"].view(-1, 1, 4, 4) * 2 - 1
    torch.testing.assert_close((fake.flatten(1) + 1) / 2, golden["fake"], rtol=0, atol=1e-5)
    torch.testing.assert_close(discriminator(real), golden["logits_real"], rtol=0, atol=1e-5)
    turn = scripted_turn(discriminator, real=real, fake=fake)
    assert sum(Adversarial(image).discriminator(turn).values()).item() == pytest.approx(
        golden["d_obj"].item(), abs=1e-5
    )
    assert Adversarial(image).generator(turn)["fake"].item() == pytest.approx(golden["g_obj"].item(), abs=1e-5)


def test_counts_are_those_of_mnist_yaml():
    generator = 100 * 1200 + 1200 + 1200 * 1200 + 1200 + 1200 * 784 + 784
    discriminator = 784 * 1200 + 1200 + 240 * 1200 + 1200 + 240 + 1
    assert count_parameters(part("generators", "gan", GREY28)) == generator
    assert count_parameters(part("discriminators", "gan", GREY28)) == discriminator


def test_weights_start_uniform_and_biases_at_0():
    torch.manual_seed(0)
    for kind, reach in (("generators", 0.05), ("discriminators", 0.005)):
        for layer in linear_layers(part(kind, "gan", GREY28)):
            assert layer.weight.abs().max() <= reach and not layer.bias.any()
            assert layer.weight.std().item() == pytest.approx(reach / math.sqrt(3), rel=0.1)


@pytest.mark.parametrize(("name", "classes"), [("gan", 0), ("cgan", 3)])
def test_the_output_starts_at_the_mean_of_the_images(name, classes):
    image = ImageSpec(2, 1, classes)
    generator = part("generators", name, image).eval()
    last = linear_layers(generator)[-1]
    last.weight.data.zero_()
    generator.init_from_data(torch.tensor([[[-1.0, 1.0], [0.0, -0.5]]]))
    marginals = torch.tensor([1e-7, 1 - 1e-7, 0.5, 0.25], dtype=torch.float64)
    torch.testing.assert_close(last.bias.double(), torch.log(marginals / (1 - marginals)), rtol=1e-6, atol=1e-6)
    labels = torch.zeros(1, dtype=torch.int64) if classes else None
    drawn = generator(generator.latent(1, torch.Generator().manual_seed(0)), labels)
    torch.testing.assert_close(drawn, torch.tensor([[[[-1.0, 1.0], [0.0, -0.5]]]]), rtol=0, atol=1e-5)


def test_maxout_takes_the_largest_of_consecutive_pieces():
    layer = Maxout(1, 2, 3)
    layer.linear.weight.data = torch.tensor([[1.0], [2.0], [3.0], [-1.0], [-2.0], [-3.0]])
    layer.linear.bias.data.zero_()
    assert layer(torch.tensor([[1.0], [-1.0]])).tolist() == [[3, -1], [-1, 3]]


def test_latents_are_uniform_with_variance_1():
    generator = part("generators", "gan", GREY28, width=2)
    latent = generator.latent(1000, torch.Generator().manual_seed(0))
    assert latent.abs().max() <= math.sqrt(3) and latent.var().item() == pytest.approx(1, rel=0.01)
    assert generator.truncate(latent, 0.5).abs().max() <= 0.5 and torch.equal(generator.truncate(latent, 2.0), latent)
    assert torch.equal(generator.interpolate(torch.zeros(1, 100), torch.ones(1, 100), 0.25), torch.full((1, 100), 0.25))


def test_dropout_keeps_four_fifths_of_the_pixels_and_half_of_the_hidden_units():
    discriminator = part("discriminators", "gan", GREY28)
    dropped = [layer.p for layer in discriminator.modules() if isinstance(layer, nn.Dropout)]
    assert dropped == [0.2, 0.5, 0.5]
    first = discriminator.main[1].train()
    torch.manual_seed(0)
    assert set(first(torch.ones(1000)).tolist()) == {0.0, 1.25}, "kept inputs are scaled by 1/0.8"


@pytest.mark.parametrize("objective", ["non-saturating", "minimax"])
def test_objectives_by_hand(objective):
    turn = scripted_turn(lambda x: x, real=torch.tensor([0.0, 2.0]), fake=torch.tensor([-1.0, 3.0]))
    loss = Adversarial(GREY28, objective)
    sigmoid = lambda x: 1 / (1 + math.exp(-x))  # noqa: E731
    terms = loss.discriminator(turn)
    assert terms["real"].item() == pytest.approx(-(math.log(0.5) + math.log(sigmoid(2))) / 4)
    assert terms["fake"].item() == pytest.approx(-(math.log(1 - sigmoid(-1)) + math.log(1 - sigmoid(3))) / 4)
    saturating = (math.log(1 - sigmoid(-1)) + math.log(1 - sigmoid(3))) / 2
    plain = -(math.log(sigmoid(-1)) + math.log(sigmoid(3))) / 2
    assert loss.generator(turn)["fake"].item() == pytest.approx(saturating if objective == "minimax" else plain)
    with pytest.raises(ValueError, match="non-saturating or minimax"):
        Adversarial(GREY28, "hinge")


def test_both_learn_at_once_from_the_networks_as_they_were():
    """One engine step is one of plain gradient descent on both losses at the old weights, as in `get_gradients`."""
    options = {
        "generator": SMALL["generator"],
        "discriminator": {**SMALL["discriminator"], "input_dropout": 0.0, "dropout": 0.0},
    }
    trainer = small_trainer("gan", GREY28, **options)
    calls = count_calls(trainer.generator)
    modules = trainer.generator, trainer.discriminator
    before = [[p.detach().clone() for p in module.parameters()] for module in modules]
    visits, _ = step_by_phase(trainer)
    assert [visit.phase for visit in visits] == ["generator", "discriminator"] and len(calls) == 1
    assert torch.equal(visits[0].turn.latent, visits[1].turn.latent)
    real, latent = visits[1].turn.real, visits[0].turn.latent
    after = [[p.detach().clone() for p in module.parameters()] for module in modules]
    for module, values in zip(modules, before, strict=True):
        for parameter, value in zip(module.parameters(), values, strict=True):
            parameter.data.copy_(value)
            parameter.requires_grad_(True)
    turn = scripted_turn(trainer.discriminator, real=real, fake=trainer.generator(latent))
    objectives = sum(trainer.loss.generator(turn).values()), sum(trainer.loss.discriminator(turn).values())
    for module, objective, old, new in zip(modules, objectives, before, after, strict=True):
        gradients = torch.autograd.grad(objective, list(module.parameters()), retain_graph=True)
        for value, gradient, found in zip(old, gradients, new, strict=True):
            torch.testing.assert_close(found, value - 0.1 * gradient, rtol=1e-5, atol=1e-7)


def test_learning_rate_and_momentum_follow_mnist_yaml():
    training = registry().get("variants", "gan").training
    assert (training.optimizer, training.batch_size, training.generator_lr) == ("sgd", 100, 0.1)
    trainer = small_trainer("gan", GREY28, **SMALL)
    for step, momentum in ((0, 0.5), (500, 0.5), (125_000, 0.7)):
        trainer._schedules.at(step)
        for role in ("generator", "discriminator"):
            group = trainer.optimizers[role].param_groups[0]
            assert group["lr"] == pytest.approx(0.1 / 1.000004**step) and group["momentum"] == pytest.approx(momentum)


@pytest.mark.parametrize(("name", "small"), [("gan", SMALL), ("gan-mlp-modern", HIDDEN)])
@pytest.mark.parametrize("channels", [1, 3])
def test_shapes_range_and_a_step(name, small, channels):
    for size in registry().get("variants", name).sizes:
        image = ImageSpec(size, channels)
        trainer = small_trainer(name, image, **small)
        visits, terms = step_by_phase(trainer)
        images = trainer.generator(trainer.generator.latent(3, torch.Generator().manual_seed(0)))
        assert images.shape == (3, channels, size, size) and images.abs().max() <= 1
        assert trainer.discriminator(images).shape == (3,)
        assert all(term.isfinite() for term in terms.values())
        assert all(visit.changed <= names_of(trainer, visit.phase) and visit.changed for visit in visits)


# -- other people's perceptrons ----------------------------------------------------------------------------------------


def perceptron(*sizes, prefix=""):
    random = torch.Generator().manual_seed(0)
    tensors = {}
    for number, (inputs, outputs) in enumerate(zip(sizes, sizes[1:], strict=False)):
        tensors[f"{prefix}{2 * number}.weight"] = torch.randn(outputs, inputs, generator=random) / inputs**0.5
        tensors[f"{prefix}{2 * number}.bias"] = torch.randn(outputs, generator=random)
    return tensors


@pytest.mark.parametrize(("prefix", "slope"), [("", 0.0), ("gen.", 0.01)])
def test_the_layout_draws_what_the_tutorials_draw(prefix, slope):
    theirs, layout = perceptron(5, 7, 8, 48, prefix=prefix), Perceptrons()
    match = layout.recognize({name: tuple(value.shape) for name, value in theirs.items()})
    options = {"hidden": [7, 8], "slope": slope, "latent_dim": 5, "normalize": False}
    assert match == Match(Part("mlp", options), ImageSpec(4, 3), note=match.note)
    generator = build_part(bind_part("generator", match.part, registry()), match.image)
    generator.load_state_dict(layout.convert(theirs, match))
    latent = torch.randn(2, 5, generator=torch.Generator().manual_seed(1))
    x = latent
    for number in (0, 2, 4):
        x = x @ theirs[f"{prefix}{number}.weight"].T + theirs[f"{prefix}{number}.bias"]
        x = torch.where(x > 0, x, slope * x) if number < 4 else x.tanh()
    torch.testing.assert_close(generator(latent), x.view(2, 3, 4, 4))


def test_the_layout_reads_discriminators_too_and_nothing_else():
    theirs, layout = perceptron(16, 6, 1, prefix="disc."), Perceptrons()
    match = layout.recognize({name: tuple(value.shape) for name, value in theirs.items()})
    assert (match.role, match.image, match.part.options) == (
        "discriminator",
        ImageSpec(4, 1),
        {"hidden": [6], "slope": 0.01},
    )
    discriminator = build_part(bind_part("discriminator", match.part, registry()), match.image)
    discriminator.load_state_dict(layout.convert(theirs, match))
    shapes = {name: tuple(value.shape) for name, value in perceptron(5, 7, 16).items()}
    assert layout.recognize(shapes) is not None
    for wrong in (
        {"0.bias": (6,)},
        {"2.weight": (16, 8)},
        {"2.weight": (17, 7), "2.bias": (17,)},
        {"3.weight": (1,)},
        {"x.4.weight": (1, 1)},
    ):
        assert layout.recognize({**shapes, **wrong}) is None
    assert layout.recognize({name: shape for name, shape in shapes.items() if name != "2.bias"}) is None


def test_a_wrong_size_of_hidden_layers_is_one_line():
    with pytest.raises(UsageError, match="hidden"):
        resolve(registry().get("variants", "gan-mlp-modern"), ["generator.hidden=wide"], registry())


def test_images_are_counted_where_the_generator_steps_first():
    both = Adversarial.phases
    assert [batches_in_step(both, step) for step in (0, 1)] == [1, 1]
    assert batches_in_step(both[::-1], 0) == 1, "a generator's fresh phase draws no real images"
    critic = Phase("discriminator", ("discriminator",), repeats=5)
    assert batches_in_step((both[0], critic), 0) == 5
    assert batches_in_step((critic, Phase("more", ("discriminator",), fresh=False)), 0) == 5
    assert batches_in_step((both[0],), 0) == 0
