"""The losses and options that come with points: an unrolled discriminator, a likelihood bound, spectral norm."""

from copy import deepcopy
from types import SimpleNamespace

import pytest
import torch
from test_points import PLANE, part, short_run
from torch.distributions import Normal, kl_divergence
from torch.nn.functional import softplus

from ganzoo.errors import UsageError
from ganzoo.registry.registry import registry


def cost(judge, real, fake):
    return softplus(-judge(real)).mean() + softplus(judge(fake)).mean()


def after(judge, real, fake, steps, size):
    """A copy of the discriminator that torch's own optimizer has moved."""
    moved = deepcopy(judge)
    optimizer = torch.optim.SGD(moved.parameters(), lr=size)
    for _ in range(steps):
        optimizer.zero_grad()
        cost(moved, real, fake.detach()).backward()
        optimizer.step()
    return moved


@pytest.mark.parametrize("objective", ["non-saturating", "minimax"])
def test_the_generator_sees_the_discriminator_as_it_will_be(objective):
    random = torch.Generator().manual_seed(0)
    real, start, direction = (torch.randn(6, 2, generator=random, dtype=torch.float64) for _ in range(3))
    judge = part("discriminators", "points", width=5).double().requires_grad_(False)
    before = deepcopy(judge.state_dict())
    loss = part("losses", "unrolled", unroll=3, step_size=0.2, objective=objective)

    def expected(share):
        fake = start + share * direction
        logits = after(judge.requires_grad_(True), real, fake, 3, 0.2)(fake)
        judge.requires_grad_(False)
        return (-softplus(logits) if objective == "minimax" else softplus(-logits)).mean()

    fake = start.clone().requires_grad_()
    turn = SimpleNamespace(discriminator=judge, real=real, fake=fake, logits=judge)
    term = loss.generator(turn)["fake"]
    assert torch.allclose(term, expected(0.0), rtol=1e-12)
    (slope,) = torch.autograd.grad(term, fake)  # through the three steps too
    numeric = (expected(1e-5) - expected(-1e-5)) / 2e-5
    assert torch.allclose((slope * direction).sum(), numeric, rtol=1e-5)
    frozen = part("losses", "unrolled", unroll=0, objective=objective).generator(turn)["fake"]
    assert not torch.allclose(frozen, term, rtol=1e-3)
    assert all(torch.equal(value, before[name]) for name, value in judge.state_dict().items())


def test_the_bound_is_that_of_torchs_distributions():
    loss, decoder = part("losses", "points-bound", deviation=0.3), part("generators", "points")
    random = torch.Generator().manual_seed(0)
    real, noise = (torch.randn(7, 2, generator=random) for _ in range(2))
    turn = SimpleNamespace(
        real=real, label=None, generator=lambda latent, label: decoder(latent), normal=lambda size: noise[:, :size]
    )
    turn.generator.latent_dim = 2
    terms = loss.elbo(turn)
    mean, log_variance = loss.encoder(real).chunk(2, 1)
    posterior = Normal(mean, (log_variance / 2).exp())
    decoded = Normal(decoder(mean + noise * posterior.scale), 0.3)
    constant = torch.log(torch.tensor(2 * torch.pi)) / 2
    assert torch.allclose(terms["points"], (-decoded.log_prob(real) - constant).sum(1).mean(), rtol=1e-5)
    assert torch.allclose(terms["divergence"], kl_divergence(posterior, Normal(0, 1)).sum(1).mean(), rtol=1e-5)
    turn.generator.latent_dim = 3
    with pytest.raises(UsageError, match=r"loss\.latent_dim is 2, generator\.latent_dim is 3"):
        loss.elbo(turn)


def test_a_spectral_discriminator_is_no_steeper_than_its_scale():
    judge = part("discriminators", "points", spectral=True, scale=3.0)
    for _ in range(50):  # a pass in training mode is a step of the power iteration
        judge(torch.zeros(2, 2))
    judge.eval()
    points = 3 * torch.randn(500, 2, generator=torch.Generator().manual_seed(0))
    points.requires_grad_()
    (slopes,) = torch.autograd.grad(judge(points).sum(), points)
    steepest = slopes.norm(dim=1).max()
    assert 0.1 < steepest <= 3.0 * 1.001
    assert part("discriminators", "points").state_dict().keys() < judge.state_dict().keys()


def test_without_an_adversary_a_run_has_no_field_and_a_deviation_that_learns(tmp_path):
    folder = short_run(tmp_path / "run", variant="points-vae", steps=4)
    terms = [record["terms"] for record in folder.records() if "terms" in record]
    assert terms and terms[0].keys() == {"elbo.points", "elbo.divergence"}
    assert (folder.path / "samples.png").exists()


def test_wrong_options_are_refused():
    with pytest.raises(ValueError, match="unroll must be"):
        registry().get("losses", "unrolled")(PLANE, unroll=-1)
