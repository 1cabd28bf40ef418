"""Truncated latents, and walks between latents: what they are distributed as, and what a seed keeps."""

import math

import pytest
import tiny
import torch
from torch import nn

from ganzoo import ImageSpec
from ganzoo.errors import UsageError
from ganzoo.networks import Generator, UniformGenerator

SCALED = ["lsgan", "lsgan-conditional"]
NORMAL = ["dcgan", "wgan-gp", "wgan-gp-resnet"]


class Plain(Generator):
    latent_dim = 4


class OfItsOwn(Generator):
    latent_dim = 4

    def latent(self, n, random):
        return torch.ones(n, 4)

    def forward(self, latent, label=None):
        return latent.view(-1, 1, 2, 2)


def cumulative(x: float) -> float:
    """Of the standard normal distribution, from its definition by erfc."""
    return math.erfc(-x / math.sqrt(2)) / 2


def test_values_by_hand():
    """Φ(1) = 0.841345; at t = 0.5, Φ(-t) = 0.308538 and Φ(t) = 0.691463, 1 is Φ⁻¹(0.308538 + 0.841345·0.382925)."""
    found = Plain().truncate(torch.tensor([[1.0, -1.0, 0.0, 100.0]]), 0.5)[0]
    assert found.tolist() == pytest.approx([0.333733, -0.333733, 0.0, 0.5], abs=1e-6)
    assert cumulative(float(found[0])) == pytest.approx(
        cumulative(-0.5) + cumulative(1.0) * (cumulative(0.5) - cumulative(-0.5)), abs=1e-6
    )


@pytest.mark.parametrize("truncation", [0.3, 0.7, 2.0])
def test_it_is_the_distribution_of_drawing_again_what_lies_outside(truncation):
    """Brock et al. 2018, section 3.1, literally, and the variance of a truncated normal from its formula."""
    random = torch.Generator().manual_seed(0)
    many = torch.randn(2_000_000, generator=random)
    resampled = many[many.abs() <= truncation][:200_000].sort().values
    ours = Plain().truncate(torch.randn(len(resampled) // 4, 4, generator=random), truncation).flatten().sort().values
    shared = torch.linspace(0.001, 0.999, 99)
    torch.testing.assert_close(
        torch.quantile(ours, shared), torch.quantile(resampled, shared), rtol=0, atol=0.015 * truncation
    )
    density = math.exp(-(truncation**2) / 2) / math.sqrt(2 * math.pi)
    variance = 1 - 2 * truncation * density / (cumulative(truncation) - cumulative(-truncation))
    assert float(ours.var()) == pytest.approx(variance, rel=0.02) and ours.abs().max() <= truncation


@pytest.mark.parametrize("name", NORMAL)
def test_a_seed_keeps_its_latents_order_and_moves_smoothly(name):
    model = tiny.built_in(name)
    plain = model.latent(50, seed=3)
    before = plain
    for truncation in (4.0, 2.0, 1.0, 0.5, 0.1):
        now = model.latent(50, seed=3, truncation=truncation)
        assert now.abs().max() <= truncation and torch.equal(now.sign(), plain.sign())
        assert (now.abs() <= before.abs()).all(), "a smaller truncation draws every number in"
        assert torch.equal(now.flatten().argsort(), plain.flatten().argsort())
        before = now
    for none in (20.0, math.inf):
        torch.testing.assert_close(model.latent(50, seed=3, truncation=none), plain, rtol=0, atol=1e-6)
    assert torch.equal(model.latent(5, 3, 0.5), model.latent(50, 3, 0.5)[:5])


@pytest.mark.parametrize("name", SCALED)
def test_uniform_latents_are_scaled(name):
    model = tiny.built_in(name)
    plain = model.latent(500, seed=1)
    assert -1 <= plain.min() < -0.99 and 0.99 < plain.max() < 1
    assert torch.equal(model.latent(500, 1, 0.25), plain * 0.25)
    assert torch.equal(model.latent(500, 1, 3.0), plain)


def test_infogan_scales_its_noise_and_leaves_the_codes_alone():
    model = tiny.built_in("infogan")
    plain, found = model.latent(300, seed=1), model.latent(300, 1, 0.5)
    category, continuous = model.generator.codes
    assert (category.start, category.size, category.kind) == (5, 3, "categorical")
    assert (continuous.start, continuous.size, continuous.kind, continuous.low, continuous.high) == (
        8,
        2,
        "continuous",
        -1,
        1,
    )
    assert torch.equal(found[:, :5], plain[:, :5] * 0.5) and torch.equal(found[:, 5:], plain[:, 5:])
    assert torch.equal(plain[:, 5:8].sum(1), torch.ones(300)) and plain[:, 8:].abs().max() <= 1


def test_generators_without_codes_say_so():
    assert all(tiny.built_in(name).generator.codes == () for name in [*SCALED, *NORMAL])


def test_images_of_truncated_latents():
    model = tiny.built_in("dcgan")
    calm = model.sample(32, seed=2, truncation=0.1)
    assert calm.std(0).mean() < 0.5 * model.sample(32, seed=2).std(0).mean()
    torch.testing.assert_close(calm, model.generate(model.latent(32, 2, 0.1)), rtol=0, atol=1e-5)
    torch.testing.assert_close(
        torch.cat(list(model.stream(32, 2, truncation=0.1, batch_size=5))), calm, rtol=0, atol=1e-5
    )


def test_a_prior_of_its_own_is_not_truncated_by_guess():
    model = tiny.model_of(OfItsOwn(), ImageSpec(2, 1))
    with pytest.raises(
        UsageError,
        match="OfItsOwn .*truncat.*: leave truncation out",
    ):
        model.sample(2, truncation=0.7)


@pytest.mark.parametrize("truncation", [0, -1.0, math.nan])
def test_truncation_is_above_0(truncation):
    with pytest.raises(UsageError, match="number above 0"):
        tiny.built_in("dcgan").sample(2, truncation=truncation)


def straight() -> tiny.LinearGenerator:
    first = nn.Linear(4, 4, bias=False)
    nn.init.eye_(first.weight)
    return tiny.LinearGenerator(first, 4)


def test_a_walk_between_two_latents_ends_at_both():
    model = tiny.model_of(straight(), ImageSpec(2, 1))
    pair = torch.tensor([[2.0, 0, 0, 0], [0, 2.0, 0, 0]])
    walk = torch.cat(list(model.interpolate(pair, frames=4, closed=False)))
    assert walk.shape == (5, 1, 2, 2)
    torch.testing.assert_close(walk[[0, -1]], model.generate(pair))
    middle = math.sqrt(2)
    torch.testing.assert_close(
        walk[2].flatten(), torch.tensor([middle, middle, 0, 0]).tanh(), msg="half way along the sphere"
    )


def test_a_walk_between_seeds_is_one_between_their_first_latents():
    model = tiny.built_in("lsgan-conditional")
    walk = torch.cat(list(model.interpolate([7, 3], frames=2, label=2, truncation=0.5, closed=False)))
    ends = torch.cat([model.sample(1, seed, label=2, truncation=0.5) for seed in (7, 3)])
    torch.testing.assert_close(walk[[0, -1]], ends, rtol=0, atol=1e-5)
    assert len(list(model.interpolate([7, 3], frames=2))) == 4


@pytest.mark.parametrize("wrong", [{"stops": 1}, {"stops": [4]}, {"stops": torch.zeros(1, 4)}, {"frames": 0}])
def test_a_walk_needs_somewhere_to_go(wrong):
    with pytest.raises(UsageError, match="at least two stops and one frame"):
        next(tiny.model_of(straight(), ImageSpec(2, 1)).interpolate(**wrong))


def test_a_uniform_prior_may_lie_anywhere():
    class Shifted(UniformGenerator):
        latent_dim, middle, edge = 3, 2.0, 0.5

    drawn = Shifted().latent(1000, torch.Generator().manual_seed(0))
    assert 1.5 <= drawn.min() < 1.51 and 2.49 < drawn.max() < 2.5
    near = Shifted().truncate(drawn, 0.1)
    assert (near - 2).abs().max() <= 0.1 + 1e-6
    torch.testing.assert_close(near - 2, (drawn - 2) / 5, rtol=0, atol=1e-6)
    torch.testing.assert_close(Shifted().truncate(drawn, 9.0), drawn)
    torch.testing.assert_close(Shifted().interpolate(drawn[:1], drawn[1:2], 0.25), 0.75 * drawn[:1] + 0.25 * drawn[1:2])
