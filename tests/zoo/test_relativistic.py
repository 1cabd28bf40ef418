"""Relativistic GANs against AlexiaJM/RelativisticGAN (tests/golden/README-relativistic.md): networks, four losses."""

import re

import pytest
import torch
from paths import GOLDEN
from safetensors.torch import load_file
from stepping import count_parameters, names_of, part, scripted_turn, small_trainer, step_by_phase
from torch.nn.functional import relu, softplus

from ganzoo import ImageSpec
from ganzoo.registry.registry import registry
from ganzoo_plugins.relativistic.model import RelativisticDiscriminator

GREY = ImageSpec(32, 1)
OFFICIAL = {"rsgan": 5, "rasgan": 6, "ralsgan": 7, "rahinge": 8}
SMALL = {"generator": {"width": 2, "latent_dim": 6}, "discriminator": {"width": 2}}
REAL, FAKE = torch.tensor([0.5, -1.0, 4.0]), torch.tensor([1.5, -3.0, 0.0])


def rename(theirs: str) -> str:
    """Our name of one of their tensors: `model.<i>` has the same places, G's behind a linear layer and a reshape."""
    network, _, name = theirs.partition(".")
    name = name.removesuffix("_orig")
    if network == "G":
        return re.sub(r"model\.(\d+)", lambda place: f"main.{int(place[1]) + 2}", name.replace("dense", "main.0"))
    return name.replace("weight_u", "u").replace("model", "main").replace("dense", "main.15")


@pytest.fixture(scope="module")
def stored():
    return load_file(GOLDEN / "relativistic.safetensors")


def network_with(stored, prefix, network):
    kind = "generators" if network == "G" else "discriminators"
    options = {"width": 2} | ({"latent_dim": 5} if network == "G" else {})
    module = part(kind, "sndcgan" if network == "G" else "relativistic", GREY, **options)
    tensors = {name.removeprefix(prefix): value for name, value in stored.items() if name.startswith(prefix)}
    weights = {
        rename(f"{network}.{name}"): value
        for name, value in tensors.items()
        if re.match(r"(model|dense)\.", name) and not name.endswith("weight_v")
    }
    module.load_state_dict(weights)
    return module


def close(ours, theirs):
    """Equal to 1e-5 of the largest number."""
    return (ours - theirs).abs().max() <= 1e-5 * theirs.abs().max()


@pytest.mark.parametrize("name", OFFICIAL)
def test_one_step_of_each_network_is_the_official_one(stored, name):
    generator, discriminator = network_with(stored, "G.", "G"), network_with(stored, "D.", "D")
    loss, prefix = part("losses", name, GREY), f"loss{OFFICIAL[name]}"
    logits = []

    def score(images):
        logits.append(discriminator(images))
        return logits[-1]

    fake = generator(stored["D.latent"].flatten(1))
    assert torch.allclose(fake, stored["D.fake"], atol=1e-5)
    total = sum(loss.discriminator(scripted_turn(score, real=stored["D.real"], fake=fake.detach())).values())
    total.backward()
    assert close(logits[0], stored[f"{prefix}.D.real_logits"]) and close(logits[1], stored[f"{prefix}.D.fake_logits"])
    assert total.item() == pytest.approx(stored[f"{prefix}.D.loss"].item(), rel=1e-5)
    for parameter, value in discriminator.named_parameters():
        theirs = next(
            key
            for key in stored
            if key.startswith(f"{prefix}.D.gradient.") and rename(f"D.{key.split('gradient.')[1]}") == parameter
        )
        assert close(value.grad, stored[theirs]) or stored[theirs].abs().max() < 1e-7, parameter

    discriminator = network_with(stored, f"{prefix}.D.after.", "D").requires_grad_(False)
    logits.clear()
    turn = scripted_turn(score, real=stored["G.real"], fake=generator(stored["G.latent"].flatten(1)))
    total = sum(loss.generator(turn).values())
    total.backward()
    assert close(logits[0], stored[f"{prefix}.G.fake_logits"]) and close(logits[1], stored[f"{prefix}.G.real_logits"])
    assert total.item() == pytest.approx(stored[f"{prefix}.G.loss"].item(), rel=1e-5)
    assert close(generator.main[0].weight.grad, stored[f"{prefix}.G.gradient.dense.weight"])


def by_hand(name):
    """The discriminator's and the generator's loss of REAL and FAKE, as the paper writes them out."""
    r, f = REAL, FAKE
    above, below = r - f.mean(), f - r.mean()
    return {
        "rsgan": (softplus(f - r).mean(), softplus(r - f).mean()),
        "rasgan": (
            (softplus(-above).mean() + softplus(below).mean()) / 2,
            (softplus(above).mean() + softplus(-below).mean()) / 2,
        ),
        "ralsgan": (((above - 1) ** 2 + (below + 1) ** 2).mean() / 2, ((above + 1) ** 2 + (below - 1) ** 2).mean() / 2),
        "rahinge": ((relu(1 - above) + relu(1 + below)).mean() / 2, (relu(1 + above) + relu(1 - below)).mean() / 2),
    }[name]


@pytest.mark.parametrize("name", OFFICIAL)
def test_terms_by_hand_and_their_symmetry(name):
    loss = part("losses", name, GREY)
    turn, swapped = (scripted_turn(lambda x: x, real=real, fake=fake) for real, fake in ((REAL, FAKE), (FAKE, REAL)))
    discriminator, generator = (
        sum(getattr(loss, phase)(turn).values()).item() for phase in ("discriminator", "generator")
    )
    assert (discriminator, generator) == pytest.approx(tuple(value.item() for value in by_hand(name)))
    assert sum(loss.discriminator(swapped).values()).item() == pytest.approx(generator), "swapping real and fake"
    assert discriminator != pytest.approx(generator, rel=0.01)


@pytest.mark.parametrize("name", ["rasgan", "ralsgan", "rahinge"])
def test_means_carry_gradient(name):
    real, fake = REAL.clone().requires_grad_(), FAKE.clone().requires_grad_()
    terms = part("losses", name, GREY).generator(scripted_turn(lambda x: x, real=real, fake=fake))
    terms["below"].backward()  # of the real logits, against the mean of the fakes
    assert fake.grad.abs().min() > 0 and len(set(fake.grad.tolist())) == 1


def test_counts_of_arch_1():
    widths = [3, 64, 64, 128, 128, 256, 256, 512]
    kernels = [3, 4, 3, 4, 3, 4, 3]
    convolutions = sum(a * b * k * k + b for a, b, k in zip(widths, widths[1:], kernels, strict=False))
    norms = 2 * sum(widths[1:-1])
    image = ImageSpec(32, 3)
    assert count_parameters(RelativisticDiscriminator(image)) == convolutions + 8192 + 1
    assert count_parameters(RelativisticDiscriminator(image, normalization="batch")) == convolutions + norms + 8192 + 1


def test_what_cannot_be_built_is_refused():
    with pytest.raises(ValueError, match="not 28"):
        RelativisticDiscriminator(ImageSpec(28, 1))
    with pytest.raises(ValueError, match="spectral, batch or none"):
        RelativisticDiscriminator(GREY, normalization="layer")


@pytest.mark.parametrize("name", OFFICIAL)
def test_each_phase_has_real_images_of_its_own(name):
    card = registry().get("variants", name)
    assert {card.generator.name, card.discriminator.name, card.loss.name} == {"sndcgan", "relativistic", name}
    trainer = small_trainer(name, ImageSpec(32, 3), **SMALL, loss={"critic_steps": 2})
    visits, terms = step_by_phase(trainer)
    assert [visit.phase for visit in visits] == ["discriminator", "discriminator", "generator"]
    assert trainer.batches_taken == 3
    for visit in visits:
        assert visit.changed and visit.changed <= names_of(trainer, visit.phase)
    assert all(term.isfinite() for term in terms.values())


@pytest.mark.parametrize(("size", "channels"), [(32, 3), (64, 1)])
@pytest.mark.parametrize("normalization", ["spectral", "batch", "none"])
def test_logits_at_every_size(size, channels, normalization):
    images = torch.rand(3, channels, size, size) * 2 - 1
    logits = RelativisticDiscriminator(ImageSpec(size, channels), 2, normalization)(images)
    assert logits.shape == (3,) and logits.isfinite().all()
