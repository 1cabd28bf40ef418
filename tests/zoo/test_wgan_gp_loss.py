"""The loss of WGAN-GP: terms and penalty on critics computed by hand, and the order of steps."""

import math

import pytest
import torch
from stepping import names_of, part, scripted_turn, small_trainer, step_by_phase

from ganzoo import ImageSpec
from ganzoo.networks import dequantized
from ganzoo.registry.registry import registry
from ganzoo_plugins.wgan_gp.model import WassersteinGP

GREY28, RGB32 = ImageSpec(28, 1), ImageSpec(32, 3)
SMALL = {
    "wgan-gp": {"width": 4},
    "wgan-gp-mnist": {"width": 4},
    "wgan-gp-resnet": {"width": 8},
    "wgan-gp-resnet-64": {"width": 4},
}


def linear_turn(slope, offset=0.0):
    """A turn whose critic is a·x + offset for every image, on random real and fake images."""
    random = torch.Generator().manual_seed(0)
    draw = lambda *shape: torch.rand(6, *shape, generator=random)  # noqa: E731
    critic = lambda images: images.flatten(1) @ slope + offset  # noqa: E731
    return scripted_turn(critic, real=draw(1, 4, 4), fake=draw(1, 4, 4), uniform=draw, label=None)


def test_terms_are_means_of_scores():
    turn = scripted_turn(
        lambda x: x.flatten(1).sum(1), real=torch.tensor([[1.0], [3.0]]), fake=torch.tensor([[-4.0], [8.0]])
    )
    turn.uniform = lambda *shape: torch.full((2, *shape[-1:]), 0.5)
    terms = WassersteinGP(GREY28).discriminator(turn)
    assert (terms["real"].item(), terms["fake"].item(), terms["penalty"].item()) == (-2, 2, 0)
    assert WassersteinGP(GREY28).generator(turn)["fake"].item() == -2


def test_penalty_of_a_linear_critic_is_the_distance_of_its_slope_from_one():
    slope = torch.zeros(16)
    slope[3], slope[7] = 3.0, 4.0
    assert WassersteinGP(GREY28).discriminator(linear_turn(slope))["penalty"].item() == pytest.approx(10 * (5 - 1) ** 2)
    assert WassersteinGP(GREY28, penalty=2).discriminator(linear_turn(slope / 10))["penalty"].item() == pytest.approx(
        2 * (0.5 - 1) ** 2
    )


def test_unit_range_measures_the_slope_in_pixels_from_0_to_1():
    """A critic b·u of u = (x + 1)/2 with ‖b‖ = 5 has the official penalty 10·(5 − 1)²; its slope in x is only 2.5."""
    slope = torch.zeros(16)
    slope[3], slope[7] = 3.0, 4.0
    turn = linear_turn(slope / 2, offset=slope.sum().item() / 2)
    assert WassersteinGP(GREY28, unit_range=True).discriminator(turn)["penalty"].item() == pytest.approx(160)
    assert WassersteinGP(GREY28).discriminator(turn)["penalty"].item() == pytest.approx(10 * 1.5**2)


def test_penalty_of_the_mnist_variant_equals_the_official_formula_on_unit_images():
    torch.manual_seed(0)
    critic = part("discriminators", "wgan-gp", GREY28, width=4, unit_range=True)
    real, fake, mix = (torch.rand(5, *shape) for shape in [(1, 28, 28), (1, 28, 28), (1, 1, 1)])
    between = (real + mix * (fake - real)).requires_grad_(True)
    (gradient,) = torch.autograd.grad(critic.main(between).sum(), between)
    official = 10 * (gradient.square().sum((1, 2, 3)).sqrt() - 1).square().mean()
    turn = scripted_turn(critic, real=real * 2 - 1, fake=fake * 2 - 1, uniform=lambda *_: mix)
    options = registry().get("variants", "wgan-gp-mnist").loss.options
    assert WassersteinGP(GREY28, **options).discriminator(turn)["penalty"].item() == pytest.approx(
        official.item(), rel=1e-4
    )


@pytest.mark.parametrize("name", SMALL)
def test_first_step_trains_the_critic_alone_five_times(name):
    image = ImageSpec(registry().get("variants", name).sizes[0], 1)
    trainer = small_trainer(name, image, generator=SMALL[name], discriminator=SMALL[name])
    visits, terms = step_by_phase(trainer)
    assert [visit.phase for visit in visits] == ["discriminator"] * 5
    assert sorted(set(trainer.batches.asked)) == [0, 1, 2, 3, 4]
    assert set(terms) == {"discriminator.real", "discriminator.fake", "discriminator.penalty"}
    assert all(term.isfinite() for term in terms.values())
    assert not any(visit.changed & names_of(trainer, "generator") for visit in visits)


@pytest.mark.parametrize("name", SMALL)
def test_later_steps_train_the_generator_first(name):
    image = ImageSpec(registry().get("variants", name).sizes[0], 1)
    trainer = small_trainer(name, image, generator=SMALL[name], discriminator=SMALL[name])
    trainer.step()
    visits, terms = step_by_phase(trainer)
    assert [visit.phase for visit in visits] == ["generator"] + ["discriminator"] * 5
    assert trainer.batches_taken == 10
    assert visits[0].changed == names_of(trainer, "generator")
    learns = names_of(trainer, "discriminator")
    for visit in visits[1:]:
        still = learns - visit.changed
        assert visit.changed <= learns
        assert all(name.endswith("bias") for name in still), (
            "only a bias, which a difference of scores does not see, may stand still"
        )
    latents = [visit.turn.latent for visit in visits]
    assert not any(torch.equal(a[:4], b[:4]) for i, a in enumerate(latents) for b in latents[i + 1 :])
    assert all(term.isfinite() for term in terms.values())


def test_critic_steps_and_penalty_are_options():
    small = {"width": 4}
    trainer = small_trainer(
        "wgan-gp", ImageSpec(16, 1), generator=small, discriminator=small, loss={"critic_steps": 2, "penalty": 0.0}
    )
    terms = trainer.step()
    assert trainer.batches_taken == 2
    assert terms["discriminator.penalty"] == 0
    with pytest.raises(ValueError, match="critic_steps"):
        WassersteinGP(GREY28, critic_steps=0)


def test_resnet_draws_twice_the_batch_for_the_generator_and_labels_it_at_random():
    image = ImageSpec(32, 1, 5)
    trainer = small_trainer("wgan-gp-resnet", image, generator={"width": 4}, discriminator={"width": 4})
    trainer.step()
    visits, terms = step_by_phase(trainer)
    assert [len(visit.turn.latent) for visit in visits] == [8] + [4] * 5
    assert len(visits[0].turn.label) == 8
    assert visits[1].turn.label.tolist() == [0, 1, 2, 3]
    assert {"generator.classes", "discriminator.classes"} <= set(terms)


def test_resnet_learning_rates_fall_to_zero_linearly():
    image = ImageSpec(32, 1)
    trainer = small_trainer("wgan-gp-resnet", image, generator={"width": 4}, discriminator={"width": 4}, steps=4)
    rates = []
    for _ in range(4):
        trainer.step()
        rates.append([trainer.optimizers[role].param_groups[0]["lr"] for role in ("generator", "discriminator")])
    assert rates == [pytest.approx([rate, rate]) for rate in (2e-4, 1.5e-4, 1e-4, 0.5e-4)]


def test_class_terms_have_the_official_weights():
    image = ImageSpec(32, 3, 10)
    loss = WassersteinGP(image, **registry().get("variants", "wgan-gp-resnet").loss.options)

    def critic(images, classes=False, real=None):
        scores = images.flatten(1).sum(1)
        return (scores, torch.zeros(len(images), 10)) if classes else scores

    images, label = torch.rand(4, 3, 2, 2), torch.tensor([0, 3, 9, 3])
    turn = scripted_turn(critic, real=images, fake=images, label=label, uniform=lambda *shape: torch.rand(4, *shape))
    assert loss.discriminator(turn)["classes"].item() == pytest.approx(math.log(10))
    assert loss.generator(turn)["classes"].item() == pytest.approx(0.1 * math.log(10))


def test_dequantized_pixels_fill_the_range_without_gaps():
    bytes_ = torch.tensor([0.0, 1.0, 128.0, 255.0])
    images = 2 * (bytes_ / 255 - 0.5)
    assert dequantized(images, torch.zeros(4)).tolist() == pytest.approx([-1, -1 + 1 / 128, 0, 1 - 1 / 128], abs=1e-6)
    assert dequantized(images, torch.ones(4)).tolist() == pytest.approx(
        [-1 + 1 / 128, -1 + 2 / 128, 1 / 128, 1], abs=1e-6
    )


def test_dequantization_changes_what_the_critic_sees_of_real_images():
    seen = []

    def critic(images, real=None):
        seen.append(images.detach())
        return images.flatten(1).sum(1)

    real = torch.full((2, 1, 4, 4), -1.0)
    turn = scripted_turn(critic, real=real, fake=real, label=None, uniform=lambda *shape: torch.full((2, *shape), 0.5))
    WassersteinGP(RGB32, dequantize=True).discriminator(turn)
    assert torch.allclose(seen[0], torch.full((2, 1, 4, 4), -1 + 1 / 256))
    WassersteinGP(RGB32).discriminator(turn)
    assert torch.equal(seen[3], real)
