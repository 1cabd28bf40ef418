"""WGAN against martinarjovsky/WassersteinGAN: networks, one iteration of its loop, counts, clipping, order."""

import pytest
import torch
from paths import GOLDEN
from safetensors.torch import load_file
from stepping import count_parameters, names_of, part, scripted_turn, small_trainer, step_by_phase

from ganzoo import ImageSpec, Part
from ganzoo.config.recipe import bind_part
from ganzoo.engine.build import build_part
from ganzoo.layouts import Match
from ganzoo.registry.registry import registry
from ganzoo_plugins.wgan.layouts import WassersteinGAN, WassersteinGANPerceptron
from ganzoo_plugins.wgan.model import WassersteinClipped

GREY28, GREY32 = ImageSpec(28, 1), ImageSpec(32, 1)
SMALL = {"generator": {"width": 2, "latent_dim": 5}, "discriminator": {"width": 2}}
LAYOUTS = {"wgan": WassersteinGAN(), "wgan-mlp": WassersteinGANPerceptron()}


def golden_network(golden, name, role, when):
    """The official tensors of a role, read by the layout into our network."""
    theirs = {key.partition(".")[2]: value for key, value in golden.items() if key.startswith(f"{role}_{when}.")}
    layout = LAYOUTS[name]
    match = layout.recognize({key: tuple(value.shape) for key, value in theirs.items()})
    network = build_part(bind_part(match.role, match.part, registry()), match.image)
    network.load_state_dict(layout.convert(theirs, match))
    return network


def assert_same_state(found, wanted):
    wanted = wanted.state_dict()
    for key, value in found.state_dict().items():
        torch.testing.assert_close(value, wanted[key], rtol=1e-5, atol=1e-8, msg=lambda text, key=key: f"{key}: {text}")


@pytest.mark.parametrize("name", LAYOUTS)
def test_one_iteration_is_the_official_one(name):
    golden = load_file(GOLDEN / f"{name}.safetensors")
    generator, critic = (golden_network(golden, name, role, "before").train() for role in ("generator", "critic"))
    optimizers = [torch.optim.RMSprop(network.parameters(), lr=5e-5) for network in (critic, generator)]
    loss = WassersteinClipped(ImageSpec(16, 1))
    turn = scripted_turn(critic, discriminator=critic, real=golden["real"], fake=generator(golden["noise0"]).detach())
    torch.testing.assert_close(turn.fake, golden["fake"], rtol=0, atol=1e-5)
    terms = loss.discriminator(turn)
    assert terms["real"].item() == pytest.approx(golden["error_real"].item(), rel=1e-5)
    assert terms["fake"].item() == pytest.approx(-golden["error_fake"].item(), rel=1e-5)
    sum(terms.values()).backward()
    optimizers[0].step()
    assert_same_state(critic, golden_network(golden, name, "critic", "after"))
    term = loss.generator(scripted_turn(critic, fake=generator(golden["noise1"])))["fake"]
    assert term.item() == pytest.approx(golden["error_generator"].item(), rel=1e-5)
    term.backward()
    optimizers[1].step()
    assert_same_state(generator, golden_network(golden, name, "generator", "after"))


def test_the_critic_of_the_layout_scores_real_images_high():
    golden = load_file(GOLDEN / "wgan.safetensors")
    critic = golden_network(golden, "wgan", "critic", "after").train()
    theirs = {
        key.removeprefix("critic_after."): value for key, value in golden.items() if key.startswith("critic_after.")
    }
    match = LAYOUTS["wgan"].recognize({key: tuple(value.shape) for key, value in theirs.items()})
    assert (
        match == Match(Part("dcgan", {"width": 2}), ImageSpec(16, 1), "discriminator", match.note)
        and "sign was turned" in match.note
    )
    last = next(value for key, value in theirs.items() if "final" in key)
    assert torch.equal(critic.main[-1].weight, -last)


def test_counts_are_those_of_the_repository():
    with torch.device("meta"):
        variant, image = registry().get("variants", "wgan"), ImageSpec(64, 3)
        assert count_parameters(part("generators", variant.generator.name, image)) == 3_576_704
        assert count_parameters(part("discriminators", variant.discriminator.name, image)) == 2_765_568
        hidden = 2 * (512 * 512 + 512)
        assert (
            count_parameters(part("generators", "wgan-mlp", image)) == 100 * 512 + 512 + hidden + 512 * 12_288 + 12_288
        )
        assert count_parameters(part("discriminators", "wgan-mlp", image)) == 12_288 * 512 + 512 + hidden + 512 + 1


@pytest.mark.parametrize("channels", [1, 3])
def test_perceptrons_take_every_size_and_draw_within_the_range(channels):
    torch.manual_seed(0)
    for size in registry().get("variants", "wgan-mlp").sizes:
        image = ImageSpec(size, channels)
        generator = part("generators", "wgan-mlp", image, **SMALL["generator"])
        generator.main[-2].bias.data.fill_(3.0)
        latent = generator.latent(3, torch.Generator().manual_seed(0))
        assert generator(latent).max() > 1, "no tanh while it learns"
        images = generator.eval()(latent)
        assert images.shape == (3, channels, size, size) and images.abs().max() <= 1
        assert part("discriminators", "wgan-mlp", image, **SMALL["discriminator"])(images).shape == (3,)


def test_terms_are_means_of_scores():
    turn = scripted_turn(
        lambda x: x, discriminator=torch.nn.Linear(1, 1), real=torch.tensor([1.0, 3.0]), fake=torch.tensor([-4.0, 8.0])
    )
    loss = WassersteinClipped(GREY32)
    assert {name: term.item() for name, term in loss.discriminator(turn).items()} == {"real": -2, "fake": 2}
    assert loss.generator(turn)["fake"].item() == -2


def test_weights_are_clipped_before_the_step_batch_norms_too():
    trainer = small_trainer("wgan", GREY32, **SMALL, loss={"warmup": 0, "long_every": 0, "critic_steps": 1})
    before = dict(trainer.discriminator.named_parameters())["main.3.weight"].detach().clone()
    assert before.min() > 0.9, "a scale of batch norm"
    trainer.step()
    for name, weight in trainer.discriminator.named_parameters():
        assert weight.abs().max() <= 0.01 + 5e-4 + 1e-6, f"{name}: RMSprop's first step is ten learning rates"
    assert any(weight.abs().max() > 0.01 for weight in trainer.discriminator.parameters()), (
        "the step comes after the clipping"
    )


def test_schedule_of_critic_steps():
    loss = WassersteinClipped(GREY32)
    steps = [loss.steps_of_the_critic(step) for step in (0, 24, 25, 499, 500, 501, 1000)]
    assert steps == [100, 100, 5, 5, 100, 5, 100]
    plain = WassersteinClipped(GREY32, critic_steps=3, warmup=0, long_every=0)
    assert {plain.steps_of_the_critic(step) for step in range(2000)} == {3}
    for wrong in ({"clip": 0.0}, {"critic_steps": 0}, {"long_every": -1}):
        with pytest.raises(ValueError, match="clip must be above 0"):
            WassersteinClipped(GREY32, **wrong)


@pytest.mark.parametrize(("name", "image"), [("wgan", GREY32), ("wgan-mlp", GREY28)])
def test_critic_learns_first_on_fresh_images_then_the_generator_on_fresh_latents(name, image):
    trainer = small_trainer(name, image, **SMALL, loss={"warmup": 1, "long_critic_steps": 7})
    visits, _ = step_by_phase(trainer)
    assert [visit.phase for visit in visits] == ["discriminator"] * 7 + ["generator"]
    visits, terms = step_by_phase(trainer)
    assert [visit.phase for visit in visits] == ["discriminator"] * 5 + ["generator"]
    assert trainer.batches_taken == 12, "the generator's phase draws no real images"
    latents = [visit.turn.latent for visit in visits]
    assert not any(torch.equal(a, b) for i, a in enumerate(latents) for b in latents[i + 1 :])
    assert visits[-1].changed <= names_of(trainer, "generator") and visits[0].changed <= names_of(
        trainer, "discriminator"
    )
    assert all(term.isfinite() for term in terms.values())


def test_settings_are_those_of_main():
    for name in ("wgan", "wgan-mlp"):
        training = registry().get("variants", name).training
        rates = training.generator_lr, training.discriminator_lr
        assert (training.optimizer, rates, training.batch_size) == ("rmsprop", (5e-5, 5e-5), 64)
        optimizer = small_trainer(name, GREY32, **SMALL).optimizers["discriminator"].param_groups[0]
        assert (optimizer["alpha"], optimizer["eps"], optimizer["momentum"]) == (0.99, 1e-8, 0)


def reference_names(latent_dim, widths, channels):
    """Names and shapes of `DCGAN_G`, written out from its source."""
    wide = [latent_dim, *widths, channels]
    stage = ["initial", *["pyramid"] * (len(widths) - 1), "final"]
    shapes = {}
    for name, inputs, outputs in zip(stage, wide, wide[1:], strict=False):
        shapes[f"main.{name}:{inputs}-{outputs}:convt.weight"] = (inputs, outputs, 4, 4)
        if name != "final":
            shapes |= {
                f"main.{name}:{outputs}:batchnorm.{kind}": (outputs,)
                for kind in ("weight", "bias", "running_mean", "running_var")
            }
    return shapes


def test_the_layout_reads_old_checkpoints_of_every_size():
    layout = LAYOUTS["wgan"]
    for widths, size in ([(16, 8), 16], [(32, 16, 8), 32], [(64, 32, 16, 8), 64]):
        shapes = reference_names(100, widths, 3)
        match = layout.recognize(shapes)
        assert match == Match(Part("dcgan", {"latent_dim": 100, "width": 8}), ImageSpec(size, 3))
        ours = build_part(bind_part("generator", match.part, registry()), match.image).state_dict()
        made = layout.convert({name: torch.zeros(shape) for name, shape in shapes.items()}, match)
        assert {name: value.shape for name, value in made.items()} == {
            name: value.shape for name, value in ours.items()
        }


@pytest.mark.parametrize("change", ["kernel", "extra", "missing", "channels", "name"])
def test_what_is_not_quite_the_reference_is_not_recognized(change):
    shapes = reference_names(10, (16, 8), 1)
    if change == "kernel":
        shapes["main.pyramid:16-8:convt.weight"] = (16, 8, 5, 5)
    elif change == "extra":
        shapes["main.extra-layers-0:8:conv.weight"] = (8, 8, 3, 3)
    elif change == "missing":
        del shapes["main.pyramid:8:batchnorm.running_var"]
    elif change == "channels":
        shapes["main.final:8-1:convt.weight"] = (8, 4, 4, 4)
    else:
        shapes["main.0.weight"] = shapes.pop("main.initial:10-16:convt.weight")
    assert LAYOUTS["wgan"].recognize(reference_names(10, (16, 8), 1)) is not None
    assert LAYOUTS["wgan"].recognize(shapes) is None
    assert LAYOUTS["wgan-mlp"].recognize({f"main.{i}.weight": (3, 3) for i in (0, 2, 4, 6)}) is None
