"""The built-in regularizers, each against numbers worked out by hand."""

from types import SimpleNamespace

import pytest
import stepping
import torch
from contract.harness import IMAGE, make
from torch import nn
from torch.nn import functional

from ganzoo.losses import gradient_penalty

DOUBLE = torch.float64


def regularizer(name, **options):
    return stepping.part("regularizers", name, IMAGE, **options).to(DOUBLE)


class Linear(nn.Module):
    """D(x) = a·x, whose gradient is a everywhere."""

    def __init__(self, slope):
        super().__init__()
        self.slope = nn.Parameter(slope)

    def forward(self, images, label=None):
        return images.flatten(1) @ self.slope


def turn_of(critic, real=None, fake=None, step=0, **more):
    """A turn with these images whose random numbers are all one half."""
    found = {} if real is None else {"real": real, "fake": real if fake is None else fake}
    found |= {} if real is None else {"scored_fake": (found["fake"], None)}

    def chance(*shape):
        return torch.full((len(real), *shape), 0.5, dtype=DOUBLE)

    return SimpleNamespace(
        logits=lambda images, label=None, real=None: critic(images),
        uniform=chance,
        step=step,
        discriminator=critic,
        **found,
        **({"real_is_low": False} | more),
    )


@pytest.fixture
def slope():
    return torch.randn(64, generator=torch.Generator().manual_seed(1), dtype=DOUBLE)


@pytest.fixture
def pictures():
    return torch.rand(4, 1, 8, 8, generator=torch.Generator().manual_seed(2), dtype=DOUBLE) * 2 - 1


@pytest.mark.parametrize(("name", "every"), [("r1", 1), ("r1", 16), ("r2", 1), ("r2", 4)])
def test_r1_and_r2_of_a_linear_critic_are_half_gamma_times_its_squared_slope(name, every, slope, pictures):
    penalty = regularizer(name, gamma=3.0, every=every)
    value = penalty(turn_of(Linear(slope), pictures))["penalty"]
    torch.testing.assert_close(value, every * 3.0 / 2 * slope.square().sum())
    assert penalty.every == every


def test_r1_looks_at_real_images_and_r2_at_fakes(pictures):
    class Square(nn.Module):  # its gradient at x is 2x
        def forward(self, images, label=None):
            return images.square().flatten(1).sum(1)

    fake = 3 * pictures
    expected = 4 * pictures.square().sum((1, 2, 3)).mean()
    torch.testing.assert_close(regularizer("r1", gamma=2.0)(turn_of(Square(), pictures, fake))["penalty"], expected)
    torch.testing.assert_close(regularizer("r2", gamma=2.0)(turn_of(Square(), pictures, fake))["penalty"], 9 * expected)


@pytest.mark.parametrize("name", ["gradient-penalty", "dragan-penalty"])
def test_the_gradient_penalty_of_a_linear_critic_is_how_far_its_slope_is_from_one(name, slope, pictures):
    penalty = regularizer(name, penalty=7.0, every=2)
    value = penalty(turn_of(Linear(slope), pictures, -pictures))["penalty"]
    torch.testing.assert_close(value, 2 * 7.0 * (slope.norm() - 1) ** 2)


def test_the_one_sided_penalty_leaves_gentle_slopes_alone(slope, pictures):
    gentle, steep = slope / slope.norm() / 2, slope / slope.norm() * 3
    one_sided = regularizer("gradient-penalty", one_sided=True)
    assert one_sided(turn_of(Linear(gentle), pictures))["penalty"] == 0
    assert one_sided(turn_of(Linear(steep), pictures))["penalty"].item() == pytest.approx(10 * 4)
    assert regularizer("gradient-penalty")(turn_of(Linear(gentle), pictures))["penalty"].item() == pytest.approx(10 / 4)


@pytest.mark.parametrize("one_sided", [False, True])
def test_a_slope_of_exactly_zero_costs_what_it_should_and_gives_a_finite_gradient(one_sided, pictures):
    """A ReLU that is off at one image of the batch: torch's root of 0 alone would make the whole gradient NaN."""
    weight = torch.full((64,), 3.0, dtype=DOUBLE, requires_grad=True)
    alive = pictures.abs() + 1
    real = torch.cat([alive, -alive[:1]])

    def critic(images):
        return (images.flatten(1) @ weight).relu()

    value = gradient_penalty(critic, real, real, torch.zeros(5, 1, 1, 1, dtype=DOUBLE), one_sided=one_sided)
    torch.testing.assert_close(value, torch.tensor((4 * 23.0**2 + (0 if one_sided else 1)) / 5, dtype=DOUBLE))
    (gradient,) = torch.autograd.grad(value, weight)
    torch.testing.assert_close(gradient, torch.full((64,), 2 * 23 * 3 / 24 * 4 / 5, dtype=DOUBLE))


def test_dragan_looks_a_quarter_of_a_deviation_away(pictures):
    """With every random number one half, x̂ = x + ½·(½·std·½)."""
    seen = []

    def critic(images):
        seen.append(images.detach())
        return images.flatten(1).sum(1)

    regularizer("dragan-penalty")(turn_of(critic, pictures))
    deviation = (pictures - pictures.mean()).square().mean().sqrt()
    torch.testing.assert_close(seen[0], pictures + 0.125 * deviation)


def test_lecam_by_hand_over_several_steps():
    lecam = regularizer("lecam", strength=0.5, decay=0.9, start=2)
    real = [torch.tensor(pair, dtype=DOUBLE) for pair in ([1.0, 3.0], [2.0, 4.0], [5.0, 1.0])]
    fake = [torch.tensor(pair, dtype=DOUBLE) for pair in ([-1.0, 0.0], [-2.0, 2.0], [1.0, -3.0])]
    terms = [
        lecam(SimpleNamespace(real_logits=r, fake_logits=f, step=step, real_is_low=False))["distance"].item()
        for step, (r, f) in enumerate(zip(real, fake, strict=True))
    ]
    assert terms[:2] == [0, 0], "off until step `start`, counted from 1, is over"
    # step 1 (before start): 2.0 and -0.5; step 2: 0.9·2 + 0.1·3 and 0.9·(-0.5) + 0; step 3: from there
    a_real, a_fake = 0.9 * (0.9 * 2 + 0.1 * 3) + 0.1 * 3, 0.9 * (0.9 * -0.5) + 0.1 * -1
    assert (lecam.real.item(), lecam.fake.item()) == pytest.approx((a_real, a_fake))
    first = ((5 - a_fake) ** 2 + (1 - a_fake) ** 2) / 2
    second = ((a_real - 1) ** 2 + (a_real + 3) ** 2) / 2
    assert terms[2] == pytest.approx(0.5 * (first + second))


def test_lecam_pulls_at_the_logits_that_the_loss_has_and_costs_no_pass():
    passes = {}
    for more in ({}, {"regularizers": {"lecam": regularizer("lecam", start=0)}}):
        trainer = make(more=more)
        calls = stepping.count_calls(trainer.discriminator)
        terms = trainer.step()
        passes[len(more)] = len(calls)
    assert passes[0] == passes[1] == 3
    assert terms["discriminator.lecam.distance"] > 0


def test_consistency_is_zero_for_a_critic_that_does_not_notice(pictures):
    inner = (
        functional.pad(torch.ones(1, 1, 4, 4, dtype=DOUBLE), (2, 2, 2, 2)) * pictures
    )  # no shift by a pixel loses any of it

    def turn(critic):
        found = turn_of(critic, inner)
        found.uniform = lambda *shape: torch.rand(4, *shape, generator=torch.Generator().manual_seed(5), dtype=DOUBLE)
        found.real_logits = critic(inner)
        return found

    def total(images):
        return images.sum((1, 2, 3))

    assert regularizer("consistency")(turn(total))["difference"].item() == pytest.approx(0, abs=1e-24)
    assert regularizer("consistency")(turn(lambda images: images[:, 0, 2, 3]))["difference"] > 1e-3


def test_consistency_by_hand():
    """All chances one half: no flip, no shift. A flip alone turns the logit x[0] into x[3]."""
    picture = torch.arange(16.0, dtype=DOUBLE).view(1, 1, 4, 4)

    def corner(images):
        return images[:, 0, 0, 0]

    turn = turn_of(corner, picture, real_logits=corner(picture))
    assert regularizer("consistency", strength=10.0)(turn)["difference"] == 0
    turn.uniform = lambda *shape: torch.tensor([[0.1, 0.5, 0.5]], dtype=DOUBLE)
    assert regularizer("consistency", strength=10.0)(turn)["difference"].item() == 10 * (3 - 0) ** 2
    turn.uniform = lambda *shape: torch.tensor(
        [[0.9, 0.1, 0.5]], dtype=DOUBLE
    )  # up by one: the second row comes to the top
    assert regularizer("consistency", strength=10.0, shift=0.25)(turn)["difference"].item() == 10 * (4 - 0) ** 2


def test_orthogonal_by_hand_and_with_the_official_gradient():
    weight = torch.tensor([[1.0, 2.0], [3.0, 5.0]], dtype=DOUBLE)
    network = nn.Sequential(nn.Linear(2, 2), nn.Embedding(3, 2)).to(DOUBLE)
    network[0].weight.data.copy_(weight)
    value = regularizer("orthogonal", strength=0.1)(SimpleNamespace(generator=network))["rows"]
    assert value.item() == pytest.approx(0.1 / 2 * 2 * 13**2)  # the rows' product is 3 + 10, twice off the diagonal
    value.backward()
    off = torch.tensor([[0.0, 13.0], [13.0, 0.0]], dtype=DOUBLE)
    torch.testing.assert_close(network[0].weight.grad, 0.1 * 2 * off @ weight)
    assert network[0].bias.grad is None and network[1].weight.grad is None
    assert regularizer("orthogonal", network="discriminator").phase == "discriminator"


def test_top_k_gives_the_gradient_of_the_mean_over_the_k_largest():
    top = regularizer("top-k", decay=0.9, least=0.5)
    assert [top.kept(10, epoch) for epoch in (0, 1, 2, 6, 7, 100)] == [10, 9, 8, 5, 5, 5]
    logits = torch.tensor([0.3, -1.0, 2.0, 0.5], dtype=DOUBLE, requires_grad=True)
    assert top.select(SimpleNamespace(epoch=0, real_is_low=False), logits) is logits
    (whole,) = torch.autograd.grad(
        functional.softplus(-top.select(SimpleNamespace(epoch=100, real_is_low=False), logits)).mean(), logits
    )
    (largest,) = torch.autograd.grad(functional.softplus(-logits.topk(2).values).mean(), logits)
    torch.testing.assert_close(whole, largest)
    assert whole.nonzero().flatten().tolist() == [2, 3]


def test_where_real_images_have_the_lower_logits_lecam_and_top_k_turn_round():
    energies = torch.tensor([0.3, -1.0, 2.0, 0.5], dtype=DOUBLE, requires_grad=True)
    turn = SimpleNamespace(epoch=100, real_is_low=True, step=0, real_logits=energies - 5, fake_logits=energies)
    (slope,) = torch.autograd.grad(regularizer("top-k").select(turn, energies).mean(), energies)
    assert slope.nonzero().flatten().tolist() == [0, 1], "the two fakes of the least energy"
    lecam = regularizer("lecam", strength=1.0, start=0, decay=0.0)
    logits = SimpleNamespace(
        epoch=0, real_is_low=False, step=0, real_logits=5 - energies.detach(), fake_logits=-energies.detach()
    )
    assert lecam(turn)["distance"] > 0
    torch.testing.assert_close(lecam(turn)["distance"], lecam(logits)["distance"])


def test_top_k_steers_the_generator_of_an_unchanged_loss():
    class Always(type(regularizer("top-k"))):
        def kept(self, count, epoch):
            return 1

    trainer, plain = (make(more={"regularizers": chosen}) for chosen in ({"top": Always(IMAGE)}, {}))
    terms, expected = trainer.step(), plain.step()
    assert terms.keys() == expected.keys() and terms["generator.fake"] == expected["generator.fake"]
    weights = [list(t.generator.parameters())[0] for t in (trainer, plain)]
    assert not torch.equal(*weights)
    assert all(
        torch.equal(*pair)
        for pair in zip(trainer.discriminator.parameters(), plain.discriminator.parameters(), strict=True)
    )


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("r1", {"every": 0}),
        ("consistency", {"shift": 1.0}),
        ("orthogonal", {"network": "loss"}),
        ("top-k", {"least": 0.0}),
    ],
)
def test_options_that_mean_nothing_are_refused(name, options):
    with pytest.raises(ValueError, match="must be|is a share"):
        regularizer(name, **options)
