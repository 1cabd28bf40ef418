"""AC-GAN against its paper and clvrai/ACGAN-PyTorch's discriminator: golden values, counts, loss, labels, order."""

import math

import pytest
import torch
from golden.acgan import weights_of, without_dropout
from paths import GOLDEN
from safetensors.torch import load_file
from stepping import count_calls, count_parameters, part, scripted_turn, small_trainer, step_by_phase
from torch import nn

from ganzoo import ImageSpec
from ganzoo.registry.registry import registry
from ganzoo_plugins.acgan.model import AuxiliaryClassifier, Doubling, Noise

CIFAR = ImageSpec(32, 3, 10)
SMALL = {"generator": {"latent_dim": 6, "width": 4}, "discriminator": {"width": 2}}


def test_the_discriminator_is_the_ports():
    golden, discriminator = (
        load_file(GOLDEN / "acgan.safetensors"),
        without_dropout(part("discriminators", "acgan", CIFAR)),
    )
    weights_of(discriminator)
    with torch.no_grad():
        logits, classes = discriminator(golden["images"], classes=True)
    torch.testing.assert_close(logits.sigmoid(), golden["source"], rtol=0, atol=1e-5)
    torch.testing.assert_close(classes.softmax(1), golden["classes"], rtol=0, atol=1e-5)


def test_counts_are_those_of_the_papers_layers():
    generator = 110 * 384 * 16 + 384 * 16 + 25 * (384 * 192 + 192 * 96 + 96 * 3) + 2 * (192 + 96)
    widths = [16, 32, 64, 128, 256, 512]
    discriminator = (
        9 * (3 * 16 + sum(a * b for a, b in zip(widths, widths[1:], strict=False)))
        + 2 * sum(widths[1:])
        + 8192 * 11
        + 11
    )
    assert count_parameters(part("generators", "acgan", CIFAR)) == generator
    assert count_parameters(part("discriminators", "acgan", CIFAR)) == discriminator


def test_weights_are_normal_and_biases_0():
    torch.manual_seed(0)
    for kind in ("generators", "discriminators"):
        for layer in part(kind, "acgan", CIFAR).modules():
            if isinstance(layer, (nn.Conv2d, nn.ConvTranspose2d, nn.Linear)):
                assert layer.weight.std().item() == pytest.approx(0.02, rel=0.1)
                assert layer.bias is None or not layer.bias.any()


def test_dropout_and_noise_of_the_discriminator():
    discriminator = part("discriminators", "acgan", CIFAR, width=2, noise=0.1)
    assert [layer.p for layer in discriminator.modules() if isinstance(layer, nn.Dropout)] == [0.5] * 6
    assert [layer.deviation for layer in discriminator.modules() if isinstance(layer, Noise)] == [0.1] * 6
    torch.manual_seed(0)
    noise = Noise(0.2)
    assert noise(torch.zeros(10_000)).std().item() == pytest.approx(0.2, rel=0.05)
    assert not noise.eval()(torch.zeros(9)).any()


def test_doubling_is_the_transpose_of_a_convolution_with_same_padding():
    torch.manual_seed(0)
    doubling = Doubling(3, 2, 8)
    x, y = torch.randn(1, 2, 8, 8), torch.randn(1, 3, 4, 4)
    halved = nn.functional.conv2d(nn.functional.pad(x, (1, 2, 1, 2)), doubling.convolution.weight, stride=2)
    assert (halved * y).sum().item() == pytest.approx((x * doubling(y)).sum().item(), rel=1e-4)
    odd = Doubling(3, 2, 7)
    odd.load_state_dict(doubling.state_dict())
    assert torch.equal(odd(y), doubling(y)[:, :, :7, :7])


def scores(images, classes):
    """A discriminator whose logits and class logits are the images' first column and the others."""
    return images[:, 0], images[:, 1:]


def by_hand(rows, label, real):
    """Σ of −log likelihoods of source and class, from their definitions."""
    source = [-math.log(1 / (1 + math.exp(-row[0] if real else row[0]))) for row in rows]
    likelihoods = [math.exp(row[1 + k]) / sum(math.exp(x) for x in row[1:]) for row, k in zip(rows, label, strict=True)]
    return sum(source) / len(rows), sum(-math.log(p) for p in likelihoods) / len(rows)


def test_terms_by_hand():
    real, fake, label = (
        [[0.5, 1.0, 0.0, -1.0], [2.0, 0.0, 0.0, 3.0]],
        [[-1.0, 0.5, 0.5, 0.0], [1.0, 2.0, -2.0, 0.0]],
        [0, 2],
    )
    turn = scripted_turn(scores, real=torch.tensor(real), fake=torch.tensor(fake), label=torch.tensor(label))
    loss = AuxiliaryClassifier(CIFAR)
    terms = {name: term.item() for name, term in loss.discriminator(turn).items()}
    expected = dict(zip(("real", "real-class"), by_hand(real, label, real=True), strict=True))
    expected |= dict(zip(("fake", "fake-class"), by_hand(fake, label, real=False), strict=True))
    assert terms == pytest.approx(expected, rel=1e-5)
    terms = {name: term.item() for name, term in loss.generator(turn).items()}
    assert terms == pytest.approx(
        dict(zip(("fake", "fake-class"), by_hand(fake, label, real=True), strict=True)), rel=1e-5
    )
    other = AuxiliaryClassifier(CIFAR, class_weight=0.5, classify_fakes=False)
    assert set(other.discriminator(turn)) == {"real", "fake", "real-class"}
    assert other.generator(turn)["fake-class"].item() == pytest.approx(terms["fake-class"] / 2)


@pytest.mark.parametrize("channels", [1, 3])
def test_shapes_range_labels_and_a_step(channels):
    for size in registry().get("variants", "acgan").sizes:
        image = ImageSpec(size, channels, 3)
        trainer = small_trainer("acgan", image, **SMALL)
        calls = count_calls(trainer.generator)
        visits, terms = step_by_phase(trainer)
        assert [visit.phase for visit in visits] == ["discriminator", "generator"] and len(calls) == 1
        assert visits[0].turn.label.tolist() == visits[1].turn.label.tolist() == [0, 1, 2, 0]
        assert all(term.isfinite() for term in terms.values())
        generator, discriminator = trainer.generator.eval(), trainer.discriminator.eval()
        latent = generator.latent(1, torch.Generator().manual_seed(0)).expand(3, -1)
        images = generator(latent, torch.tensor([0, 1, 2]))
        assert images.shape == (3, channels, size, size) and images.abs().max() <= 1
        assert not torch.equal(images[0], images[1]) and not torch.equal(images[1], images[2])
        logits, classes = discriminator(images, classes=True)
        assert torch.equal(discriminator(images), logits) and classes.shape == (3, 3)


def test_images_that_the_networks_are_not_made_for_are_refused():
    for image in (ImageSpec(32, 3), ImageSpec(48, 3, 10)):
        for kind in ("generators", "discriminators"):
            with pytest.raises(ValueError, match="must end at 4 pixels|labelled"):
                part(kind, "acgan", image)


def test_settings_are_the_papers():
    training = registry().get("variants", "acgan").training
    assert (training.optimizer, training.batch_size, training.steps) == ("adam", 100, 50_000)
    assert (training.generator_lr, training.discriminator_lr, training.optimizer_options["betas"]) == (
        2e-4,
        2e-4,
        (0.5, 0.999),
    )
