"""EBGAN against its equations: energies, the margin, the pulling-away term against a loop, order and gradients."""

import pytest
import torch
from ganzoo_plugins.ebgan.model import Energy, EnergyAutoencoder, pulling_away
from stepping import count_calls, count_parameters, names_of, scripted_turn, small_trainer, step_by_phase

from ganzoo import ImageSpec
from ganzoo.registry import registry

GREY = ImageSpec(32, 1)
SMALL = {"generator": {"width": 2, "latent_dim": 6}, "discriminator": {"width": 2, "code_size": 4}}


def test_counts_of_the_port_at_28():
    features = 64 * 14 * 14
    encoder, decoder = 64 * 16 + 64 + features * 32 + 32, 32 * features + features + 2 * features + 64 * 16 + 1
    assert count_parameters(EnergyAutoencoder(ImageSpec(28, 1))) == encoder + decoder


@pytest.mark.parametrize("channels", [1, 3])
def test_energies_are_norms_in_pixels_from_0_to_1(channels):
    torch.manual_seed(0)
    for size in registry().get("variants", "ebgan").sizes:
        discriminator = EnergyAutoencoder(ImageSpec(size, channels), **SMALL["discriminator"])
        images = torch.rand(3, channels, size, size) * 2 - 1
        energies, codes = discriminator(images, codes=True)
        assert energies.shape == (3,) and codes.shape == (3, 4)
        assert torch.equal(discriminator(images), energies)
        lost = (discriminator.decoder(codes) - (images + 1) / 2).square().sum((1, 2, 3)).sqrt()
        assert torch.allclose(energies, lost)
        discriminator.decoder[-2].weight.data.zero_(), discriminator.decoder[-2].bias.data.zero_()
        black = discriminator(-torch.ones(2, channels, size, size))
        assert black.tolist() == pytest.approx([0.5 * size * channels**0.5] * 2), "grey for black loses ½ in each pixel"


def test_odd_sizes_are_refused():
    with pytest.raises(ValueError, match="even, not 33"):
        EnergyAutoencoder(ImageSpec(33, 1))


def test_the_target_carries_gradient_too():
    torch.manual_seed(0)
    discriminator = EnergyAutoencoder(GREY, **SMALL["discriminator"]).eval()
    for parameter in discriminator.encoder.parameters():
        parameter.data.zero_()  # so that no gradient comes through the code
    images = (torch.rand(2, 1, 32, 32) * 2 - 1).requires_grad_()
    discriminator(images).sum().backward()
    assert images.grad.abs().max() > 0


def test_pulling_away_is_the_mean_over_different_pairs():
    codes = torch.randn(5, 3, generator=torch.Generator().manual_seed(0))
    pairs = [torch.cosine_similarity(codes[i], codes[j], dim=0) ** 2 for i in range(5) for j in range(5) if i != j]
    assert pulling_away(codes).item() == pytest.approx(sum(pairs).item() / 20, rel=1e-5)
    assert pulling_away(torch.eye(3)).item() == 0
    assert pulling_away(torch.tensor([[1.0, 2.0], [-2.0, -4.0]])).item() == pytest.approx(1)
    assert pulling_away(torch.ones(1, 3)).item() == pytest.approx(0, abs=1e-6)


def test_terms_by_hand():
    def energies(images, codes=False):
        return (images, torch.tensor([[1.0, 0.0], [1.0, 1.0]])) if codes else images

    turn = scripted_turn(energies, real=torch.tensor([1.0, 3.0]), fake=torch.tensor([4.0, 12.0]))
    loss = Energy(GREY)
    terms = loss.discriminator(turn)
    assert (terms["real"].item(), terms["fake"].item()) == (2.0, 3.0), "above the margin of 10 a fake costs nothing"
    terms = loss.generator(turn)
    assert (terms["fake"].item(), terms["pulling_away"].item()) == pytest.approx((8.0, 0.1 * 0.5))
    assert set(Energy(GREY, pulling=0.0).generator(turn)) == {"fake"}


def test_discriminator_learns_first_then_the_generator_on_the_same_fakes():
    trainer = small_trainer("ebgan", GREY, **SMALL)
    calls = count_calls(trainer.generator)
    visits, terms = step_by_phase(trainer)
    assert [visit.phase for visit in visits] == ["discriminator", "generator"] and len(calls) == 1
    assert torch.equal(visits[0].turn.latent, visits[1].turn.latent)
    for visit in visits:
        assert visit.changed and visit.changed <= names_of(trainer, visit.phase)
    assert all(term.isfinite() for term in terms.values())
    rates = [trainer.optimizers[role].param_groups[0]["lr"] for role in ("generator", "discriminator")]
    assert rates == [1e-3, 2e-4], "five times as fast"
