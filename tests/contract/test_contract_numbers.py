"""One number for each variant of the contract that its paper or arithmetic gives, measured in a step of the engine."""

import math
from dataclasses import replace

import pytest
import torch

from contract.growing import growth
from contract.harness import Pictures, contract_registry, silence, spec, trainer_for
from ganzoo import Part

LOG2 = math.log(2)
HELD = {"generator_lr": 0.0, "discriminator_lr": 0.0}


@pytest.fixture(scope="module")
def registry():
    return contract_registry()


def with_linear_critic(registry, name, **changes):
    """A trainer of a variant with the critic a·x, and ‖a‖² before its first step."""
    variant = replace(registry.get("variants", name), discriminator=Part("linear"), **changes)
    trainer = trainer_for(variant, registry)
    return trainer, trainer.discriminator.weight.detach().square().sum()


def test_dcgan_at_logits_of_zero_is_log_2_a_term(registry):
    trainer = trainer_for("dcgan", registry, training=HELD)
    silence(trainer.discriminator.head)
    assert [term.item() for term in trainer.step().values()] == pytest.approx([LOG2] * 3)


def test_lsgan_at_logits_of_zero(registry):
    trainer = trainer_for("lsgan", registry, training=HELD)
    silence(trainer.discriminator.head)
    assert {key: term.item() for key, term in trainer.step().items()} == {
        "discriminator.real": 0.5,
        "discriminator.fake": 0.0,
        "generator.fake": 0.5,
    }


def test_wgan_clips_before_each_critic_step_and_takes_the_papers_number_of_them(registry):
    trainer = trainer_for("wgan", registry)
    largest, after = [], []
    step = trainer.optimizers["discriminator"].step

    def spied():
        largest.append(max(parameter.abs().max().item() for parameter in trainer.discriminator.parameters()))
        step()
        after.append(max(parameter.abs().max().item() for parameter in trainer.discriminator.parameters()))

    trainer.optimizers["discriminator"].step = spied
    trainer.step()
    assert len(largest) == trainer.batches_taken == 100
    assert max(largest) == pytest.approx(0.01)
    assert 0.01 < max(after) <= 0.01 + 5e-5 / math.sqrt(0.01) * 1.001, "RMSprop's first step is lr/√(1-α) at most"
    assert [trainer.phases[0].repeats_at(number) for number in (24, 25, 499, 500, 501, 1000)] == [
        100,
        5,
        5,
        100,
        5,
        100,
    ]


def test_wgan_gp_on_a_linear_critic_and_five_critic_steps_after_the_generators(registry):
    trainer, square = with_linear_critic(registry, "wgan-gp", loss=Part("wasserstein-penalty", {"critic_steps": 1}))
    torch.testing.assert_close(trainer.step()["critic.penalty"], 10 * (square.sqrt() - 1) ** 2)
    usual = trainer_for("wgan-gp", registry)
    assert list(usual.step()) == ["generator.fake", "critic.real", "critic.fake", "critic.penalty"]
    assert usual.batches.asked == [0, 1, 2, 3, 4]


def test_infogan_codes_that_say_nothing_cost_their_entropy(registry):
    trainer = trainer_for("infogan", registry, training=HELD)
    silence(trainer.discriminator.codes)
    latents = []
    forward = trainer.generator.forward
    trainer.generator.forward = lambda latent, label=None: latents.append(latent) or forward(latent, label)
    terms = trainer.step()
    for phase, latent in zip(("discriminator", "generator"), latents, strict=True):
        assert terms[f"{phase}.category"].item() == pytest.approx(math.log(10))
        expected = math.log(2 * math.pi) + latent[:, 13:].square().sum(1).mean() / 2
        torch.testing.assert_close(terms[f"{phase}.continuous"], expected)
        assert latent[:, 3:13].sum(1).eq(1).all() and latent[:, 3:13].max(1).values.eq(1).all()
    assert not torch.equal(*latents), "the generator's phase draws its own"


def test_projection_labels_differ_by_an_inner_product_and_the_hinge_starts_at_one(registry):
    trainer = trainer_for("projection", registry, training=HELD)
    discriminator, images = trainer.discriminator, trainer.batches.images(0)
    three, seven = (discriminator(images, torch.full((4,), label)) for label in (3, 7))
    rows = discriminator.embedding.weight
    torch.testing.assert_close(three - seven, discriminator.features(images) @ (rows[3] - rows[7]))
    silence(discriminator.head)
    silence(discriminator.embedding)
    terms = trainer.step()
    assert terms["discriminator.real"] == terms["discriminator.fake"] == 1


def test_acgan_without_a_clue_is_log_10_a_classification(registry):
    trainer = trainer_for("acgan", registry, training=HELD)
    silence(trainer.discriminator.classes)
    terms = trainer.step()
    for key in ("discriminator.real_class", "discriminator.fake_class", "generator.fake_class"):
        assert terms[key].item() == pytest.approx(math.log(10))


@pytest.mark.parametrize(("mean", "log_variance"), [(0.0, 0.0), (0.5, 0.0), (-1.0, 0.75)])
def test_vae_divergence_in_closed_form(registry, mean, log_variance):
    trainer = trainer_for("vae", registry)
    last = trainer.loss.encoder[-1]
    silence(last)
    with torch.no_grad():
        last.bias.copy_(torch.tensor([mean] * 6 + [log_variance] * 6))
    expected = 6 * (mean**2 + math.exp(log_variance) - 1 - log_variance) / 2
    assert trainer.step()["elbo.divergence"].item() == pytest.approx(expected, abs=1e-6)


def test_r3gan_at_equal_logits_and_on_a_linear_critic(registry):
    trainer = trainer_for("r3gan", registry, training=HELD | {"schedules": {}})
    silence(trainer.discriminator)
    terms = trainer.step()
    assert terms["discriminator.pair"].item() == pytest.approx(LOG2)
    assert terms["discriminator.r1"] == terms["discriminator.r2"] == 0
    assert terms["generator.pair"].item() == pytest.approx(LOG2)
    assert trainer.batches.asked == [0, 1], "the generator's phase draws its own real batch"

    trainer, square = with_linear_critic(registry, "r3gan")
    terms = trainer.step()
    for key in ("discriminator.r1", "discriminator.r2"):
        torch.testing.assert_close(terms[key], 2.0 / 2 * square)


def test_stylegan2_lazy_terms_are_scaled_by_how_rarely_they_run(registry):
    trainer = trainer_for("stylegan2", registry, training={"batch_size": 2})
    terms = trainer.step()
    assert "path_length.penalty" in terms and "r1.penalty" in terms
    length = (
        math.sqrt(terms["path_length.penalty"].item() / (2 * 2)) / 0.99
    )  # of the only picture: 2·2·(length - 0.01·length)²
    assert trainer.loss.mean_length.item() == pytest.approx(0.01 * length, rel=1e-5)
    assert set(trainer.step()) == {"generator.fake", "discriminator.real", "discriminator.fake"}

    trainer, square = with_linear_critic(
        registry, "stylegan2", training=replace(registry.get("variants", "stylegan2").training, **HELD)
    )
    torch.testing.assert_close(trainer.step()["r1.penalty"], 2 * 2.0 / 2 * square)


def test_ada_moves_p_by_images_seen_and_r1_sees_through_the_augmentation(registry):
    trainer = trainer_for("ada", registry, training=HELD)
    silence(trainer.discriminator)
    trainer.discriminator.head.bias.data.fill_(1.0)  # all real logits positive: the mean sign is 1, above 0.6
    seen = []
    for _ in range(4):
        trainer.step()
        seen.append(trainer.augmentation.p.item() * 500_000)
    assert seen == pytest.approx([0, 8, 8, 16])
    trainer.discriminator.head.bias.data.fill_(-1.0)
    for _ in range(6):
        trainer.step()
    assert trainer.augmentation.p == 0, "it never goes below nothing"

    trainer, square = with_linear_critic(registry, "ada")
    trainer.augmentation.p.fill_(1.0)
    torch.testing.assert_close(trainer.step()["discriminator.r1.penalty"], 2 * 2.0 / 2 * 4 * square)


def test_projected_features_stay_as_they_are_and_each_scale_has_its_own_hinge(registry):
    trainer = trainer_for("projected", registry)
    features = trainer.discriminator.features
    before = {name: tensor.clone() for name, tensor in features.state_dict().items()}
    silence(trainer.discriminator.heads)
    terms = trainer.step()
    assert terms["discriminator.real"] == terms["discriminator.fake"] == 2
    trainer.step()
    assert before.keys() == features.state_dict().keys()
    assert all(torch.equal(tensor, before[name]) for name, tensor in features.state_dict().items())
    assert "fine.1.running_mean" in before


def test_began_moves_k_by_the_balance_of_the_errors(registry):
    trainer = trainer_for("began", registry)
    terms = trainer.step()
    real, fake = terms["discriminator.real"], terms["discriminator.fake"] / -0.25
    torch.testing.assert_close(trainer.loss.k, 0.25 + 0.001 * (0.5 * real - fake))
    second = trainer.step()["discriminator.fake"]
    assert not torch.equal(second, terms["discriminator.fake"])
    trainer.loss.k.fill_(0.0)
    assert trainer.step()["discriminator.fake"] == 0


def test_cyclegan_translators_that_make_grey_cost_what_the_images_are(registry):
    trainer = trainer_for("cyclegan", registry, training=HELD)
    silence(trainer.generator)
    silence(trainer.discriminator)
    terms = trainer.step()
    fields = trainer.batches.sample(0, slice(0, 2))
    grey = fields["source"].abs().mean() + fields["output"].abs().mean()
    torch.testing.assert_close(terms["generator.cycle"], 10 * grey)
    torch.testing.assert_close(terms["generator.identity"], 5 * grey)
    assert terms["generator.fake"] == terms["generator.fake source"] == 1
    assert terms["discriminator.real"] == 0.5 and terms["discriminator.fake"] == 0


def test_bigan_at_logits_of_zero_is_log_4(registry):
    trainer = trainer_for("bigan", registry, training=HELD)
    silence(trainer.discriminator.head)
    terms = trainer.step()
    for phase in ("discriminator", "generator"):
        assert (terms[f"{phase}.real"] + terms[f"{phase}.fake"]).item() == pytest.approx(math.log(4))
    assert trainer.batches.asked == [0], "both phases share the minibatch"


def test_progan_fades_each_resolution_in(registry):
    trainer = trainer_for("progan", registry)
    grown = []
    for _ in range(9):
        trainer.step()
        grown.append(growth(trainer.ema.stages.item(), 2))
    assert grown == [0, 0, 0, 0.5, 1, 1, 1, 1.5, 2]
    generator = trainer.generator
    latent = generator.latent(2, torch.Generator().manual_seed(0))
    pictures = {}
    for level in (0.0, 0.25, 1.0):
        generator.stages.fill_(level + 1 if 0 < level < 1 else 2 * level)
        pictures[level] = generator(latent)
    torch.testing.assert_close(pictures[0.25], torch.lerp(pictures[0.0], pictures[1.0], 0.25))
    assert torch.equal(pictures[0.0][:, :, ::4, ::4].repeat_interleave(4, 2).repeat_interleave(4, 3), pictures[0.0])


def test_made_up_pictures_are_a_pure_function_of_their_number(registry):
    pictures = Pictures(spec(registry.get("variants", "dcgan")), 4)
    assert torch.equal(
        pictures.images(3), torch.cat([pictures.images(3, slice(0, 1)), pictures.images(3, slice(1, 4))])
    )
    assert not torch.equal(pictures.images(3), pictures.images(4))
