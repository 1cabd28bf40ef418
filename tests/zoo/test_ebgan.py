"""EBGAN against its equations and the port's autoencoder (tests/golden): energies, margin, pulling-away term, order."""

import pytest
import torch
from golden_values import close, golden, tensorflow_numbers
from stepping import count_calls, count_parameters, names_of, scripted_turn, small_trainer, step_by_phase

from ganzoo import ImageSpec
from ganzoo.registry.registry import registry
from ganzoo_plugins.ebgan.model import Energy, EnergyAutoencoder, pulling_away

GREY = ImageSpec(32, 1)
SMALL = {"generator": {"width": 2, "latent_dim": 6}, "discriminator": {"width": 2, "code_size": 4}}


def ports_autoencoder():
    """Our network at 28 pixels, in float64, with the port's weights, whose channels-last codes are rearranged."""
    network = EnergyAutoencoder(ImageSpec(28, 1)).double()
    layers = {
        "d_conv1": network.encoder[0],
        "d_fc6": network.encoder[3],
        "d_fc3": network.decoder[0],
        "d_bn3": network.decoder[1],
        "d_dc5": network.decoder[4],
    }
    for scope, layer in layers.items():
        names = ("gamma", "beta") if scope == "d_bn3" else ("Matrix", "bias") if "fc" in scope else ("w", "biases")
        for name, ours in zip(names, (layer.weight, layer.bias), strict=True):
            ours.data.copy_(tensorflow_numbers(f"discriminator/{scope}/{name}", ours))
    for layer in layers["d_fc3"], layers["d_bn3"]:
        for ours in (layer.weight.data, layer.bias.data):
            ours.copy_(
                ours.clone().unflatten(0, (14, 14, 64)).permute(2, 0, 1, *range(3, ours.dim() + 2)).flatten(0, 2)
            )
    weight = layers["d_fc6"].weight.data
    weight.copy_(weight.clone().unflatten(1, (14, 14, 64)).permute(0, 3, 1, 2).flatten(1))
    return network


@torch.no_grad()
def test_the_autoencoder_is_the_ports_and_the_pulling_away_term_the_papers():
    tensors, network = golden("ebgan"), ports_autoencoder()
    pixels = tensors["pixels"].double().repeat_interleave(4, 2).repeat_interleave(4, 3)
    codes = network.encoder(pixels)
    drawn = network.decoder(codes)
    assert close(codes, tensors["code"]) and close(drawn[:, :, ::3, ::3], tensors["drawn"])
    energies = (drawn - pixels).flatten(1).norm(dim=1)
    assert energies.square().sum().sqrt().item() / 4 == pytest.approx(tensors["error"].item(), rel=1e-5), (
        "the port's is of the whole batch"
    )
    assert pulling_away(codes).item() == pytest.approx(tensors["pulling_squared"].item(), rel=1e-5)
    assert tensors["pulling_squared"].item() == pytest.approx(tensors["pulling_by_pairs"].item(), rel=1e-6)


def test_the_margin_is_that_of_another_code():
    """lim0606/pytorch-geometric-gan has EBGAN's losses among its own."""
    tensors = golden("geometric-gan")
    real, fake = tensors["ebgan.real"], tensors["ebgan.fake"]
    turn = scripted_turn(lambda images: images, real=real, fake=fake)
    terms = Energy(GREY, margin=1.0).discriminator(turn)
    assert terms["real"].item() == pytest.approx(tensors["ebgan.loss_real"].item(), rel=1e-5)
    assert terms["fake"].item() == pytest.approx(tensors["ebgan.loss_fake"].item(), rel=1e-5)
    turn = scripted_turn(lambda images, codes: (images, None), fake=fake)
    assert Energy(GREY, pulling=0.0).generator(turn)["fake"].item() == pytest.approx(
        tensors["ebgan.loss_generator"].item(), rel=1e-5
    )


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
