"""BEGAN after carpedm20/BEGAN-tensorflow: counts from its layers, terms and the balance by hand, simultaneous steps."""

import pytest
import torch
from stepping import count_calls, count_parameters, names_of, scripted_turn, small_trainer, step_by_phase

from ganzoo import ImageSpec
from ganzoo.registry.registry import registry
from ganzoo_plugins.began.model import Autoencoder, BEGANGenerator, Equilibrium, Halving

GREY = ImageSpec(32, 1)
SMALL = {"generator": {"width": 2, "latent_dim": 6}, "discriminator": {"width": 2, "code_size": 6}}


def conv(inputs, outputs):
    return inputs * outputs * 9 + outputs


def test_counts_of_the_networks_at_64():
    n, blocks = 128, 4
    decoder = 64 * 64 * n + 64 * n + 2 * blocks * conv(n, n) + conv(n, 3)
    encoder = conv(3, n) + 2 * conv(n, n) + conv(n, n)
    encoder += sum(conv(n * i, n * (i + 1)) + conv(n * (i + 1), n * (i + 1)) for i in (1, 2, 3))
    encoder += sum(conv(n * i, n * i) for i in (2, 3)) + 64 * 4 * n * 64 + 64
    image = ImageSpec(64, 3)
    assert count_parameters(BEGANGenerator(image)) == decoder
    assert count_parameters(Autoencoder(image)) == encoder + decoder


@pytest.mark.parametrize("size", [64, 32, 28])
@pytest.mark.parametrize("channels", [1, 3])
def test_shapes_and_range(size, channels):
    torch.manual_seed(0)
    assert size in registry().get("variants", "began").sizes
    image = ImageSpec(size, channels)
    generator, discriminator = BEGANGenerator(image, **SMALL["generator"]), Autoencoder(image, **SMALL["discriminator"])
    latent = generator.latent(3, torch.Generator().manual_seed(0))
    images = generator(latent * 5000)
    assert images.shape == (3, channels, size, size) and images.abs().max() > 1, "no tanh while it learns"
    assert torch.equal(generator.eval()(latent * 5000), images.clamp(-1, 1))
    assert discriminator.encoder[:-2](images).shape[2:] == (7 if size == 28 else 8,) * 2
    assert discriminator(images).shape == (3,)
    error = (discriminator.reconstruct(images) - images).abs().mean((1, 2, 3))
    assert torch.allclose(discriminator(images), error)


def test_sizes_that_doubling_cannot_reach_are_refused():
    for network in (BEGANGenerator, Autoencoder):
        with pytest.raises(ValueError, match="not 48"):
            network(ImageSpec(48, 1))


def test_latents_are_uniform_and_walks_straight():
    generator = BEGANGenerator(GREY, latent_dim=200, width=2)
    latent = generator.latent(100, torch.Generator().manual_seed(0))
    assert -1 <= latent.min() < -0.999 and 0.999 < latent.max() < 1
    assert latent.var().item() == pytest.approx(1 / 3, rel=0.02)
    assert torch.equal(generator.interpolate(latent[:1], latent[1:2], 0.25), torch.lerp(latent[:1], latent[1:2], 0.25))
    assert generator.truncate(latent, 0.5).abs().max() <= 0.5 and torch.equal(generator.truncate(latent, 2.0), latent)


def test_halving_pads_at_the_end():
    layer = Halving(1)
    layer.convolution.bias.data.zero_()
    layer.convolution.weight.data.zero_()[0, 0, 0, 0] = 1
    x = torch.arange(36.0).view(1, 1, 6, 6)
    assert torch.equal(layer(x), x[:, :, ::2, ::2])


def test_the_target_carries_gradient_too():
    torch.manual_seed(0)
    discriminator = Autoencoder(GREY, **SMALL["discriminator"])
    images = (torch.rand(1, 1, 32, 32) * 2 - 1).requires_grad_()
    discriminator(images).sum().backward()
    whole, images.grad = images.grad.clone(), None
    (discriminator.reconstruct(images) - images.detach()).abs().mean().backward()
    assert not torch.allclose(whole, images.grad, atol=1e-6)


def turn(real, fake):
    return scripted_turn(lambda errors: errors, real=torch.tensor(real), fake=torch.tensor(fake))


def test_terms_and_the_balance_by_hand():
    loss = Equilibrium(GREY, gamma=0.5, rate=0.1)
    terms = loss.discriminator(turn([1.0, 3.0], [0.2, 0.6]))
    assert (terms["real"].item(), terms["fake"].item()) == (2.0, 0.0), "k starts at 0"
    assert loss.k.item() == pytest.approx(0.1 * (0.5 * 2 - 0.4))
    terms = loss.discriminator(turn([1.0, 1.0], [2.0, 2.0]))
    assert terms["fake"].item() == pytest.approx(-0.06 * 2), "the k of before"
    assert loss.k.item() == 0, "0.06 − 0.15 is cut off"
    for _ in range(3):
        loss.discriminator(turn([20.0], [0.0]))
    assert loss.k.item() == 1
    assert loss.generator(turn([1.0], [0.25]))["fake"].item() == 0.25
    assert "k" in loss.state_dict()


def test_both_step_from_the_same_parameters_on_the_same_fakes():
    trainer = small_trainer("began", GREY, **SMALL)
    trainer.loss.k.fill_(0.5)
    calls = count_calls(trainer.generator)
    visits, terms = step_by_phase(trainer)
    assert [visit.phase for visit in visits] == ["generator", "discriminator"] and len(calls) == 1
    for visit in visits:
        assert visit.changed and visit.changed <= names_of(trainer, visit.phase)
    assert terms["discriminator.fake"].item() == pytest.approx(-0.5 * terms["generator.fake"].item(), rel=1e-5), (
        "one L(G), before either moved"
    )
    assert trainer.batches_taken == 1
    expected = 0.5 + 0.001 * (0.5 * terms["discriminator.real"] - terms["generator.fake"]).item()
    assert trainer.loss.k.item() == pytest.approx(expected)


def test_learning_rates_fall_to_a_quarter_in_200_000_steps():
    trainer = small_trainer("began", GREY, **SMALL)
    rates = [trainer._schedules.at(step)["generator_lr"] for step in (0, 100_000, 200_000, 400_000)]
    assert rates == pytest.approx([8e-5, 4e-5, 2e-5, 2e-5])
