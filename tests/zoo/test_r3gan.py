"""R3GAN against brownvc/R3GAN: counts, golden values (tests/golden/README-r3gan.md), resampling, schedules."""

import math
from dataclasses import replace

import pytest
import torch
from paths import GOLDEN
from safetensors.torch import load_file
from stepping import count_parameters, names_of, part, scripted_turn, small_trainer, step_by_phase
from torch.nn import functional

from ganzoo import ImageSpec, Part, Schedule
from ganzoo.engine.schedules import half_life
from ganzoo.errors import UsageError
from ganzoo.layouts import Match
from ganzoo.registry.registry import registry
from ganzoo_plugins.r3gan.layouts import R3GAN
from ganzoo_plugins.r3gan.model import RelativisticR1R2, Resampling, logits_and_penalty

SMALL = {"width": 4, "blocks": 1}


# -- against the official code -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "size", "classes", "counts"),
    [
        ("r3gan", 32, 0, (20_732_160, 20_683_776)),
        ("r3gan", 32, 10, (20_781_952, 21_280_512)),
        ("r3gan-64", 64, 0, (22_429_824, 22_381_440)),
        ("r3gan-256", 256, 0, (23_057_952, 23_009_568)),
        ("r3gan-imagenet-32", 32, 1000, (82_914_304, 86_548_992)),
        ("r3gan-imagenet-64", 64, 1000, (103_570_432, 107_205_120)),
    ],
)
def test_counts_of_the_presets(name, size, classes, counts):
    card, image = registry().get("variants", name), ImageSpec(size, 3, classes)
    assert card.labels == ("required" if classes == 1000 else "optional") and size == card.sizes[0]
    with torch.device("meta"):
        built = [
            part(f"{role}s", "r3gan", image, **getattr(card, role).options) for role in ("generator", "discriminator")
        ]
    assert tuple(map(count_parameters, built)) == counts


@pytest.fixture(scope="module", params=["r3gan", "r3gan-conditional"])
def official(request):
    """The stored numbers and our two networks with the official weights, brought over by the layout."""
    stored = load_file(GOLDEN / f"{request.param}.safetensors")
    networks, matches = [], []
    for prefix, kind in (("G.", "generators"), ("D.", "discriminators")):
        theirs = beginning_with(stored, prefix)
        match = R3GAN().recognize({name: tuple(value.shape) for name, value in theirs.items()})
        network = part(kind, match.part.name, match.image, **match.part.options)
        network.load_state_dict(R3GAN().convert(theirs, match))
        networks.append(network), matches.append(match)
    return stored, networks, matches, stored["label"] if matches[0].image.classes else None


def beginning_with(tensors, prefix):
    return {name.removeprefix(prefix): value for name, value in tensors.items() if name.startswith(prefix)}


def test_the_layout_says_what_the_official_weights_are(official):
    stored, _, (generator, discriminator), _ = official
    plain = generator.image.classes == 0
    image = ImageSpec(16, 3) if plain else ImageSpec(8, 3, 3)
    shape = {"width": 8, "group_width": 4, "blocks": 2, "full_width_stages": 2 if plain else 1}
    label = {} if plain else {"label_size": 6}
    assert (generator.part, generator.image) == (Part("r3gan", {"latent_dim": 5, **shape, **label}), image)
    assert discriminator == Match(Part("r3gan", shape), image, role="discriminator")


def test_images_and_logits_are_the_official_ones(official):
    stored, (generator, discriminator), _, label = official
    images = generator(stored["latent"], label)
    assert torch.allclose(images, stored["images"], atol=1e-5)
    assert torch.allclose(generator.eval()(stored["latent"], label), stored["images"].clamp(-1, 1), atol=1e-5)
    generator.train()
    for name in ("real", "fake"):
        logits = discriminator(stored["real"] if name == "real" else images, label)
        assert torch.allclose(logits, stored[f"{name}_logits"], atol=1e-5)


def test_losses_penalties_and_gradients_are_the_official_ones(official):
    stored, (generator, discriminator), matches, label = official
    loss = RelativisticR1R2(matches[0].image, gamma=0.7)
    fake = generator(stored["latent"], label)
    turn = scripted_turn(lambda images: discriminator(images, label), real=stored["real"], fake=fake.detach())
    terms = loss.discriminator(turn)
    wanted = {"pair": stored["discriminator_pair"], "r1": 0.35 * stored["r1"], "r2": 0.35 * stored["r2"]}
    assert {name: term.item() for name, term in terms.items()} == pytest.approx(
        {name: value.item() for name, value in wanted.items()}, rel=1e-5
    )
    sum(terms.values()).backward()
    compare_gradients(discriminator, beginning_with(stored, "gradient.D."), beginning_with(stored, "D."), matches[1])
    discriminator.requires_grad_(False)
    terms = loss.generator(scripted_turn(lambda images: discriminator(images, label), real=stored["real"], fake=fake))
    assert terms["pair"].item() == pytest.approx(stored["generator_pair"].item(), rel=1e-5)
    terms["pair"].backward()
    compare_gradients(generator, beginning_with(stored, "gradient.G."), beginning_with(stored, "G."), matches[0])
    discriminator.requires_grad_(True)


def compare_gradients(network, gradients, weights, match):
    buffers = {name: value for name, value in weights.items() if name not in gradients}
    wanted = R3GAN().convert(gradients | buffers, match)
    parameters = dict(network.named_parameters())
    assert len(parameters) == len(gradients)
    for name, parameter in parameters.items():
        assert torch.allclose(parameter.grad, wanted[name], atol=1e-5), name


@pytest.mark.parametrize("change", ["kernel", "extra", "missing", "groups", "colours", "huge"])
def test_what_is_not_quite_the_official_network_is_not_recognized(change):
    shapes = {
        name: tuple(value.shape)
        for name, value in beginning_with(load_file(GOLDEN / "r3gan.safetensors"), "G.Model.").items()
    }
    assert R3GAN().recognize(shapes) is not None, "without the wrapper's prefix too"
    if change == "kernel":
        shapes["MainLayers.1.Layers.1.LinearLayer2.Layer.weight"] = (16, 4, 5, 5)
    elif change == "extra":
        shapes["EmbeddingLayer.bias"] = (3,)
    elif change == "missing":
        del shapes["MainLayers.1.Layers.2.NonLinearity1.Bias"]
    elif change == "groups":
        shapes["MainLayers.2.Layers.1.LinearLayer2.Layer.weight"] = (8, 8, 3, 3)
    elif change == "colours":
        shapes["AggregationLayer.Layer.weight"] = (2, 4, 1, 1)
    else:
        shapes["MainLayers.99.Layers.1.LinearLayer2.Layer.weight"] = (8, 4, 3, 3)
    assert R3GAN().recognize(shapes) is None
    assert R3GAN().recognize({}) is None


# -- the parts ---------------------------------------------------------------------------------------------------------


def test_resampling_keeps_a_constant_inside_and_has_the_filter_as_impulse_response():
    up, down = Resampling("up", 2, 2), Resampling("down", 2, 2)
    ones = torch.ones(1, 2, 8, 8)
    assert torch.equal(up(ones)[:, :, 1:-1, 1:-1], torch.ones(1, 2, 14, 14))
    assert torch.equal(down(ones)[:, :, 1:-1, 1:-1], torch.ones(1, 2, 2, 2))
    assert down(ones)[0, 0, 0, 1].item() == pytest.approx(7 / 8), "outside are zeros"
    impulse = torch.zeros(1, 2, 4, 4)
    impulse[0, 0, 1, 1] = 1
    response = torch.tensor([1.0, 3.0, 3.0, 1.0]) / 4
    assert torch.equal(up(impulse)[0, 0, 1:5, 1:5], torch.outer(response, response))
    assert up(impulse).sum().item() == 4 and not up(impulse)[0, 1].any(), "channel by channel"


def test_down_is_a_quarter_of_the_transpose_of_up():
    torch.manual_seed(0)
    up, down = Resampling("up", 3, 3), Resampling("down", 3, 3)
    small, large = torch.randn(1, 3, 4, 4), torch.randn(1, 3, 8, 8)
    assert (up(small) * large).sum().item() == pytest.approx(4 * (small * down(large)).sum().item(), rel=1e-4)


def test_initialization_follows_the_gains_of_the_paper():
    torch.manual_seed(0)
    image = ImageSpec(32, 3, 10)
    generator, discriminator = (
        part("generators", "r3gan", image, width=256),
        part("discriminators", "r3gan", image, width=256),
    )
    block = generator.main[1]
    gain = math.sqrt(2 / 1.04) * 8**-0.25
    assert block.expand.weight.std().item() == pytest.approx(gain / math.sqrt(256), rel=0.02)
    assert block.mix.weight.std().item() == pytest.approx(gain / math.sqrt(16 * 9), rel=0.02)
    assert not block.contract.weight.any() and not block.activation1.bias.any()
    assert generator.main[0].maps.std().item() == pytest.approx(1, rel=0.05)
    assert generator.main[0].scale.weight.std().item() == pytest.approx(1 / math.sqrt(128), rel=0.02)
    assert discriminator.basis.weight.std().item() == pytest.approx(1 / 4, rel=0.05)
    assert discriminator.label.weight.std().item() == pytest.approx(1 / math.sqrt(10 * 256), rel=0.05)
    x = torch.randn(2, 256, 4, 4)
    assert torch.equal(block(x), x), "a block starts as the identity"


@pytest.mark.parametrize(("name", "size"), [("r3gan", 32), ("r3gan", 28), ("r3gan-64", 64)])
@pytest.mark.parametrize(("channels", "classes"), [(1, 0), (3, 3)])
def test_shapes_range_and_labels(name, size, channels, classes):
    torch.manual_seed(0)
    variant = registry().get("variants", name)
    assert size in variant.sizes and variant.labels == "optional"
    image = ImageSpec(size, channels, classes)
    generator, discriminator = (
        part("generators", "r3gan", image, **SMALL),
        part("discriminators", "r3gan", image, **SMALL),
    )
    latent, label = generator.latent(3, torch.Generator().manual_seed(0)), torch.tensor([0, 2, 1]) if classes else None
    images = generator.eval()(latent, label)
    assert images.shape == (3, channels, size, size) and images.abs().max() <= 1 and images.std() > 0.1
    assert discriminator(images, label).shape == (3,)
    if classes:
        same = latent[:1].expand(3, -1)
        assert not torch.allclose(generator(same, label)[0], generator(same, label)[1])
        assert len(set(discriminator(images[:1].expand(3, -1, -1, -1), label).tolist())) == 3


def test_what_cannot_be_built_is_refused():
    with pytest.raises(ValueError, match="not 48"):
        part("generators", "r3gan", ImageSpec(48, 3))
    with pytest.raises(ValueError, match="groups of 12"):
        part("discriminators", "r3gan", ImageSpec(32, 3), width=16, group_width=12)
    with pytest.raises(ValueError, match="cannot be halved"):
        part("generators", "r3gan", ImageSpec(64, 3), width=4, full_width_stages=1)


# -- the loss and the engine -------------------------------------------------------------------------------------------


def test_logits_and_penalty_come_of_one_pass():
    slope, seen = torch.tensor([3.0, 4.0]), []

    def critic(images):
        seen.append(images)
        return images.flatten(1) @ slope

    logits, penalty = logits_and_penalty(critic, torch.tensor([1.0, 2.0, 0.0, 1.0]).view(2, 1, 1, 2))
    assert (logits.tolist(), penalty.item(), len(seen)) == ([11.0, 4.0], 12.5, 1)


def test_terms_by_hand():
    loss = RelativisticR1R2(ImageSpec(8, 1), gamma=2.0)
    real, fake = torch.tensor([[1.0], [0.0]]), torch.tensor([[0.5], [2.0]])
    turn = scripted_turn(lambda images: images[:, 0] * 3, real=real, fake=fake)
    terms = loss.discriminator(turn)
    pairs = functional.softplus(torch.tensor([-1.5, 6.0])).mean().item()
    assert {name: term.item() for name, term in terms.items()} == pytest.approx({"pair": pairs, "r1": 9.0, "r2": 9.0})
    assert loss.generator(turn)["pair"].item() == pytest.approx(
        functional.softplus(torch.tensor([1.5, -6.0])).mean().item()
    )
    loss.share = 0.1
    assert loss.discriminator(turn)["r1"].item() == pytest.approx(0.9)


def test_each_phase_has_real_images_of_its_own_and_moves_its_network():
    trainer = small_trainer("r3gan", ImageSpec(32, 1, 3), generator=SMALL, discriminator=SMALL)
    visits, terms = step_by_phase(trainer)
    assert [visit.phase for visit in visits] == ["discriminator", "generator"]
    assert trainer.batches_taken == 2 and not torch.equal(visits[0].turn.real, visits[1].turn.real)
    for visit in visits:
        assert visit.changed and visit.changed <= names_of(trainer, visit.phase)
    assert set(terms) == {"discriminator.pair", "discriminator.r1", "discriminator.r2", "generator.pair"}
    trainer.step()
    _, terms = step_by_phase(trainer)
    assert all(term.isfinite() for term in terms.values())


@pytest.mark.parametrize(
    ("name", "batch", "gamma", "images_of_half_life", "images"),
    [
        ("r3gan", 512, 0.05, 5_000_000, 20_000_000),
        ("r3gan-64", 256, 2.0, 500_000, 20_000_000),
        ("r3gan-256", 256, 150.0, 500_000, 20_000_000),
        ("r3gan-imagenet-32", 4096, 0.5, 50_000_000, 200_000_000),
        ("r3gan-imagenet-64", 4096, 1.0, 50_000_000, 200_000_000),
    ],
)
def test_schedules_are_those_of_the_presets(name, batch, gamma, images_of_half_life, images):
    card = registry().get("variants", name)
    assert (card.training.batch_size, card.training.steps) == (batch, images // batch)
    image = ImageSpec(64 if "64" in name else 32, 1, 3 if card.labels == "required" else 0)
    trainer = small_trainer(name, image, batch, generator=SMALL, discriminator=SMALL)
    total = trainer.training.steps
    for step in (0, total // 3, total):
        values = trainer._schedules.at(step)
        share = (1 - math.cos(math.pi * step / total)) / 2
        group = trainer.optimizers["generator"].param_groups[0]
        assert group["lr"] == pytest.approx(2e-4 - 1.5e-4 * share)
        assert group["betas"] == pytest.approx((0.0, 0.9 + 0.09 * share))
        assert trainer.loss.gamma * trainer.loss.share == pytest.approx(gamma * (1 - 0.9 * share))
        official = 0.5 ** (batch / max(images_of_half_life * share, 1e-8))
        assert values["ema"] == pytest.approx(official, rel=1e-6)


def test_the_first_average_is_the_generator_itself():
    trainer = small_trainer("r3gan", ImageSpec(32, 1), generator=SMALL, discriminator=SMALL)
    trainer.step()
    assert all(
        torch.equal(mean, live)
        for mean, live in zip(trainer.ema.parameters(), trainer.generator.parameters(), strict=True)
    )


def test_an_average_has_one_schedule_and_its_half_life_starts_from_its_decay():
    variant = registry().get("variants", "r3gan")
    both = dict(variant.training.schedules) | {"ema": Schedule(to_value=0.5)}
    with pytest.raises(UsageError, match="two schedules"):
        small_trainer("r3gan", ImageSpec(32, 1), generator=SMALL, discriminator=SMALL, schedules=both)
    assert half_life(0.5 ** (1 / 20)) == pytest.approx(20) and half_life(0.0) == 0
    alone = {"ema_half_life": replace(variant.training.schedules["ema_half_life"], from_value=None, to_value=0.2)}
    trainer = small_trainer(
        "r3gan", ImageSpec(32, 1), generator=SMALL, discriminator=SMALL, schedules=alone, ema=0.5 ** (1 / 20), steps=200
    )
    assert trainer._schedules.at(0)["ema"] == pytest.approx(0.5 ** (1 / 20))
    assert trainer._schedules.at(200)["ema"] == pytest.approx(0.5 ** (1 / 40))
