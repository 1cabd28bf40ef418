"""InfoGAN against openai/InfoGAN: counts, the order of codes, likelihoods by hand, and which network learns what."""

import math

import pytest
import torch
from stepping import count_parameters, names_of, part, scripted_turn, small_trainer, step_by_phase

from ganzoo import ImageSpec
from ganzoo.errors import PluginError, UsageError
from ganzoo_plugins.infogan.model import (
    InfoGAN,
    InfoGANGenerator,
    category_log_likelihood,
    continuous_log_likelihood,
    log_sigmoid,
    mutual_information,
)

GREY28 = ImageSpec(28, 1)
SMALL = {"generator": {"width": 2}, "discriminator": {"width": 2}}


@pytest.fixture
def generator():
    torch.manual_seed(0)
    return part("generators", "infogan", GREY28, width=2)


def counts(image):
    """Counts parameters of generator and discriminator at full width, on the meta device."""
    with torch.device("meta"):
        networks = part("generators", "infogan", image), part("discriminators", "infogan", image)
    return tuple(count_parameters(network) for network in networks)


def test_counts_of_the_mnist_networks():
    generator = (
        74 * 1024 + 1024 + 2 * 1024 + 1024 * 6272 + 6272 + 2 * 6272 + 128 * 64 * 16 + 64 + 2 * 64 + 64 * 1 * 16 + 1
    )
    shared = 1 * 64 * 16 + 64 + 64 * 128 * 16 + 128 + 2 * 128 + 6272 * 1024 + 1024 + 2 * 1024
    heads = 1024 + 1 + 1024 * 128 + 128 + 2 * 128 + 128 * 14 + 14
    assert counts(GREY28) == (generator, shared + heads)


def test_counts_at_64_have_one_stage_more():
    features = 8 * 8 * 256
    generator = 74 * 1024 + 1024 + 2 * 1024 + 1024 * features + features + 2 * features
    generator += 256 * 128 * 16 + 128 + 2 * 128 + 128 * 64 * 16 + 64 + 2 * 64 + 64 * 3 * 16 + 3
    shared = (
        3 * 64 * 16
        + 64
        + 64 * 128 * 16
        + 128
        + 2 * 128
        + 128 * 256 * 16
        + 256
        + 2 * 256
        + features * 1024
        + 1024
        + 2 * 1024
    )
    heads = 1024 + 1 + 1024 * 128 + 128 + 2 * 128 + 128 * 14 + 14
    assert counts(ImageSpec(64, 3)) == (generator, shared + heads)


@pytest.mark.parametrize("size", [28, 32, 64])
@pytest.mark.parametrize("channels", [1, 3])
def test_shapes_and_range(size, channels):
    torch.manual_seed(0)
    image = ImageSpec(size, channels)
    generator, discriminator = (
        part("generators", "infogan", image, width=2),
        part("discriminators", "infogan", image, width=2),
    )
    images = generator(generator.latent(3, torch.Generator().manual_seed(0)))
    assert images.shape == (3, channels, size, size)
    assert images.abs().max() <= 1
    assert images.min() < 0 < images.max()
    assert discriminator(images).shape == (3,)
    logits, codes = discriminator(images, codes=True)
    assert (logits.shape, codes.shape) == ((3,), (3, 14))


def test_options_set_the_number_of_codes():
    image = ImageSpec(28, 1)
    assert part("generators", "infogan", image, noise=5, categories=3, continuous=1, width=2).latent_dim == 9
    discriminator = part("discriminators", "infogan", image, categories=3, continuous=1, width=2)
    assert discriminator(torch.zeros(2, 1, 28, 28), codes=True)[1].shape == (2, 5)
    with pytest.raises(ValueError, match="at least 2 categories"):
        part("generators", "infogan", image, categories=1)
    with pytest.raises(ValueError, match="not 20"):
        part("generators", "infogan", ImageSpec(20, 1))


def test_latents_are_noise_one_category_and_continuous_codes_in_this_order(generator):
    latent = generator.latent(10_000, torch.Generator().manual_seed(0))
    assert latent.shape == (10_000, 74)
    plain, category = torch.cat([latent[:, :62], latent[:, 72:]], 1), latent[:, 62:72]
    assert category.sum(1).eq(1).all()
    assert category.eq(0).logical_or(category.eq(1)).all()
    assert all(900 < count < 1100 for count in category.sum(0).tolist()), "the ten categories are equally likely"
    assert -1 <= plain.min() < -0.99
    assert 0.99 < plain.max() < 1
    assert plain.var(0).tolist() == pytest.approx([1 / 3] * 64, rel=0.05)


def test_initial_weights_follow_the_official_ops():
    torch.manual_seed(0)
    generator, discriminator = part("generators", "infogan", GREY28), part("discriminators", "infogan", GREY28)
    convolution = discriminator.shared[2].weight
    assert convolution.abs().max() <= 0.04, "cut off at two deviations"
    assert convolution.std().item() == pytest.approx(0.02 * 0.8796, rel=0.01)
    for weight in (generator.main[0].weight, generator.main[7].weight, discriminator.codes[0].weight):
        assert weight.std().item() == pytest.approx(0.02, rel=0.01)
    scale = generator.main[1].weight
    assert (scale.mean().item(), scale.std().item()) == (pytest.approx(1, abs=0.002), pytest.approx(0.02, rel=0.05))
    assert not any(value.any() for name, value in discriminator.named_parameters() if name.endswith("bias"))


def test_negative_log_likelihood_of_a_code_at_its_mean_is_half_log_two_pi():
    codes = torch.tensor([[0.3, -0.9], [0.0, 1.0]])
    assert continuous_log_likelihood(codes, codes).tolist() == pytest.approx([-2 * math.log(2 * math.pi) / 2] * 2)
    assert continuous_log_likelihood(codes, codes + 2).tolist() == pytest.approx(
        [-math.log(2 * math.pi) - 2 * 4 / 2] * 2
    )


def test_category_log_likelihood_is_guarded_against_zero():
    one_hot = torch.eye(3)[[0, 1]]
    certain = torch.tensor([[100.0, 0.0, 0.0], [100.0, 0.0, 0.0]])
    assert category_log_likelihood(one_hot, torch.zeros(2, 3)).tolist() == pytest.approx([-math.log(3)] * 2)
    assert category_log_likelihood(one_hot, certain).tolist() == pytest.approx([0, math.log(1e-8)], abs=1e-6)


def test_log_sigmoid_is_guarded_against_zero():
    logits = torch.tensor([0.0, 2.0, -100.0])
    assert log_sigmoid(logits).tolist() == pytest.approx([math.log(0.5), -math.log(1 + math.exp(-2)), math.log(1e-8)])


def test_information_is_nothing_for_a_head_that_repeats_the_prior():
    codes = torch.tensor([[0.0, 1.0, 0.0, 0.4, -0.7], [1.0, 0.0, 0.0, -1.0, 0.2]])
    assert mutual_information(codes, torch.zeros(2, 7), categories=3).item() == pytest.approx(0, abs=1e-6)


def test_information_of_a_perfect_head_is_the_entropy_and_means_alternate_with_deviations():
    codes = torch.tensor([[0.0, 1.0, 0.0, 0.4, -0.7], [1.0, 0.0, 0.0, -1.0, 0.2]])
    unused = torch.tensor([[5.0], [-3.0]])
    parameters = torch.cat([codes[:, :3] * 100, codes[:, 3:4], unused, codes[:, 4:], unused], 1)
    squares = (0.4**2 + 0.7**2 + 1 + 0.2**2) / 2
    assert mutual_information(codes, parameters, categories=3).item() == pytest.approx(
        math.log(3) + squares / 2, rel=1e-5
    )
    grouped = torch.cat([codes[:, :3] * 100, codes[:, 3:], unused, unused], 1)
    assert mutual_information(codes, grouped, categories=3) < mutual_information(codes, parameters, categories=3)


def test_terms_at_logits_zero(generator):
    latent = generator.latent(5, torch.Generator().manual_seed(0))

    def discriminator(images, codes=False):
        logits = torch.zeros(len(images))
        return (logits, torch.zeros(len(images), 14)) if codes else logits

    turn = scripted_turn(discriminator, real=torch.zeros(5), fake=torch.zeros(5), latent=latent, generator=generator)
    terms = InfoGAN(GREY28).discriminator(turn)
    assert {name: term.item() for name, term in terms.items()} == pytest.approx(
        {"real": math.log(2), "fake": math.log(2), "information": 0}, abs=1e-6
    )
    assert InfoGAN(GREY28).generator(turn)["fake"].item() == pytest.approx(math.log(2))


def test_discriminator_phase_trains_the_code_head_and_the_generator_phase_draws_fresh_latents():
    trainer = small_trainer("infogan", GREY28, **SMALL)
    visits, terms = step_by_phase(trainer)
    assert [visit.phase for visit in visits] == ["discriminator", "generator"]
    for visit in visits:
        assert visit.changed <= names_of(trainer, visit.phase)
        still = names_of(trainer, visit.phase) - visit.changed
        assert all(name.endswith("bias") for name in still), "only a bias before batch norm may stand still"
    assert {"discriminator.codes.0.weight", "discriminator.codes.3.weight", "discriminator.codes.3.bias"} <= visits[
        0
    ].changed
    assert not torch.equal(visits[0].turn.latent, visits[1].turn.latent)
    assert all(term.isfinite() for term in terms.values())
    assert set(terms) == {f"discriminator.{name}" for name in ("real", "fake", "information")} | {
        "generator.fake",
        "generator.information",
    }


def test_without_information_the_code_head_stands_still():
    trainer = small_trainer("infogan", GREY28, **SMALL, loss={"information": 0.0})
    visits, _ = step_by_phase(trainer)
    assert not [name for name in visits[0].changed if ".codes." in name]


def test_deviations_of_codes_are_fixed_so_their_outputs_never_move():
    trainer = small_trainer("infogan", GREY28, **SMALL)
    before = trainer.discriminator.codes[3].weight.detach().clone()
    trainer.step()
    moved = (trainer.discriminator.codes[3].weight != before).any(1).tolist()
    assert moved == [True] * 10 + [True, False, True, False]


def test_information_alone_teaches_the_generator():
    trainer = small_trainer("infogan", GREY28, **SMALL)
    whole = trainer.loss.generator
    trainer.loss.generator = lambda turn: {"information": whole(turn)["information"]}
    before = trainer.generator.main[0].weight.detach().clone()
    trainer.step()
    assert not torch.equal(trainer.generator.main[0].weight, before)


def test_images_change_with_each_code(generator):
    latent = generator.eval().latent(1, torch.Generator().manual_seed(0))
    for column in (62, 71, 72, 73):
        changed = latent.clone()
        changed[0, column] += 1
        assert not torch.equal(generator(latent), generator(changed))


def test_learning_rates_and_leak_are_those_of_the_official_code():
    trainer = small_trainer("infogan", GREY28, **SMALL)
    assert trainer.optimizers["generator"].param_groups[0]["lr"] == 1e-3
    assert trainer.optimizers["discriminator"].param_groups[0]["lr"] == 2e-4
    assert trainer.optimizers["generator"].param_groups[0]["betas"] == (0.5, 0.999)
    leaks = [layer.negative_slope for layer in trainer.discriminator.modules() if isinstance(layer, torch.nn.LeakyReLU)]
    assert leaks == [0.01] * 4


def test_networks_with_different_codes_are_refused_in_one_line():
    trainer = small_trainer("infogan", GREY28, generator={"width": 2, "categories": 5}, discriminator={"width": 2})
    with pytest.raises(UsageError, match="5 .*2 .* 9 outputs.*14"):
        trainer.step()


def test_a_generator_without_codes_is_refused():
    turn = scripted_turn(None, generator=part("generators", "dcgan", ImageSpec(16, 1), width=2))
    with pytest.raises(PluginError, match="DCGANGenerator has none"):
        InfoGAN(ImageSpec(16, 1)).generator(turn)


def test_interpolation_keeps_the_code_a_mixture():
    generator = InfoGANGenerator(ImageSpec(28, 1), width=4)
    start, end = generator.latent(2, torch.Generator().manual_seed(0)).split(1)
    halfway = generator.interpolate(start, end, 0.5)
    assert torch.allclose(halfway, (start + end) / 2)
    assert halfway[0, 62:72].sum().item() == pytest.approx(1) and torch.equal(
        generator.interpolate(start, end, 0.0), start
    )
