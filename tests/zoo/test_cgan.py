"""CGAN against its paper: golden values, counts, initialization, priors, labels, order and settings."""

import math

import pytest
import torch
from paths import GOLDEN
from safetensors.torch import load_file
from stepping import count_parameters, part, small_trainer, step_by_phase
from torch import nn

from ganzoo import ImageSpec
from ganzoo.registry.registry import registry

DIGITS = ImageSpec(28, 1, 10)
SMALL = {
    "generator": {"latent_dim": 6, "latent_width": 4, "label_width": 5, "width": 8},
    "discriminator": {
        "units": 4,
        "pieces": 2,
        "label_units": 3,
        "label_pieces": 2,
        "joint_units": 4,
        "joint_pieces": 2,
    },
}


def fill(layers, golden, *names):
    for layer, name in zip(layers, names, strict=True):
        layer.weight.data, layer.bias.data = golden[f"{name}_W"].T.contiguous(), golden[f"{name}_b"]


def linear_layers(module):
    return [layer for layer in module.modules() if isinstance(layer, nn.Linear)]


def test_networks_are_the_papers():
    golden, image = load_file(GOLDEN / "cgan.safetensors"), ImageSpec(4, 1, 4)
    generator = part("generators", "cgan", image, latent_dim=3, latent_width=4, label_width=5, width=6).eval()
    options = {"units": 3, "pieces": 2, "label_units": 2, "label_pieces": 2, "joint_units": 3, "joint_pieces": 3}
    discriminator = part("discriminators", "cgan", image, **options).eval()
    fill(linear_layers(generator), golden, "g_z", "g_y", "g_h", "g_x")
    first = generator.from_latent  # sees latents with mean 0 and variance 1, the equations see them as they are
    first.bias.data += first.weight.sum(1) / 2
    first.weight.data /= math.sqrt(12)
    fill(linear_layers(discriminator), golden, "d_x", "d_y", "d_h", "d_out")
    fake = generator(golden["z"], golden["label"])
    torch.testing.assert_close((fake.flatten(1) + 1) / 2, golden["fake"], rtol=0, atol=1e-5)
    torch.testing.assert_close(discriminator(fake, golden["label"]), golden["logits_fake"], rtol=0, atol=1e-5)
    real = golden["real"].view(-1, 1, 4, 4) * 2 - 1
    torch.testing.assert_close(discriminator(real, golden["label"]), golden["logits_real"], rtol=0, atol=1e-5)


def test_counts_are_those_of_the_papers_layers():
    generator = 100 * 200 + 200 + 10 * 1000 + 1000 + 1200 * 1200 + 1200 + 1200 * 784 + 784
    discriminator = 784 * 1200 + 1200 + 10 * 250 + 250 + 290 * 960 + 960 + 240 + 1
    assert count_parameters(part("generators", "cgan", DIGITS)) == generator
    assert count_parameters(part("discriminators", "cgan", DIGITS)) == discriminator


def test_weights_start_as_documented():
    torch.manual_seed(0)
    generator, discriminator = part("generators", "cgan", DIGITS), part("discriminators", "cgan", DIGITS)
    reaches = [
        math.sqrt(6 / 100),
        math.sqrt(50 / 1000),
        math.sqrt(6 / 1200),
        math.sqrt(3 / 1200),
        0.005,
        0.5,
        0.005,
        0.005,
    ]
    for layer, reach in zip(linear_layers(generator) + linear_layers(discriminator), reaches, strict=True):
        assert layer.weight.abs().max() <= reach
        assert layer.weight.std().item() == pytest.approx(reach / math.sqrt(3), rel=0.1)
    assert not any(layer.bias.any() for layer in [*linear_layers(generator)[2:], *linear_layers(discriminator)])
    assert part("generators", "cgan", DIGITS, label_reach=2.0).from_label.weight.abs().max() > 1
    assert part("generators", "cgan", DIGITS, label_width=200).from_label.weight.abs().max().item() == pytest.approx(
        0.5, rel=0.01
    )
    assert part("discriminators", "cgan", DIGITS, label_reach=0.1).from_label.linear.weight.abs().max() <= 0.1


def test_latents_and_classes_start_centred_and_classes_fainter():
    torch.manual_seed(0)
    generator = part("generators", "cgan", DIGITS)
    seen = {
        2.0: generator.from_latent((generator.latent(5000, torch.Generator().manual_seed(0)) - 0.5) * math.sqrt(12)),
        0.9 * (50 / 1000) / 3: generator.from_label(torch.eye(10)),
    }
    for variance, activations in seen.items():
        assert activations.mean(0).abs().max() < 0.1
        assert activations.var(0, correction=0).mean().item() == pytest.approx(variance, rel=0.1)


def test_the_first_layer_learns_from_standardized_latents():
    generator = part("generators", "cgan", DIGITS, **SMALL["generator"])
    seen = []
    generator.from_latent.register_forward_pre_hook(lambda module, inputs: seen.append(inputs[0]))
    generator(generator.latent(5000, torch.Generator().manual_seed(0)), torch.zeros(5000, dtype=torch.long))
    assert seen[0].mean(0).abs().max() < 0.1
    torch.testing.assert_close(seen[0].var(0), torch.ones(6), rtol=0.05, atol=0)


def test_half_of_the_hidden_units_is_dropped():
    for kind in ("generators", "discriminators"):
        assert [layer.p for layer in part(kind, "cgan", DIGITS).modules() if isinstance(layer, nn.Dropout)] == [
            0.5,
            0.5,
        ]


def test_latents_fill_the_unit_cube():
    generator = part("generators", "cgan", DIGITS, **SMALL["generator"])
    latent = generator.latent(5000, torch.Generator().manual_seed(0))
    assert 0 <= latent.min() and latent.max() < 1 and latent.mean().item() == pytest.approx(0.5, abs=0.01)
    assert (generator.truncate(latent, 0.2) - 0.5).abs().max() <= 0.2 + 1e-6
    torch.testing.assert_close(generator.truncate(latent, 3.0), latent)
    assert torch.equal(generator.interpolate(torch.zeros(1, 6), torch.ones(1, 6), 0.25), torch.full((1, 6), 0.25))


@pytest.mark.parametrize("channels", [1, 3])
def test_shapes_range_labels_and_a_step(channels):
    for size in registry().get("variants", "cgan").sizes:
        image = ImageSpec(size, channels, 3)
        trainer = small_trainer("cgan", image, **SMALL)
        visits, terms = step_by_phase(trainer)
        assert [visit.phase for visit in visits] == ["generator", "discriminator"]
        assert visits[0].turn.label.tolist() == visits[1].turn.label.tolist() == [0, 1, 2, 0]
        assert all(term.isfinite() for term in terms.values())
        generator, discriminator = trainer.generator.eval(), trainer.discriminator.eval()
        latent = generator.latent(1, torch.Generator().manual_seed(0)).expand(3, -1)
        images = generator(latent, torch.tensor([0, 1, 2]))
        assert images.shape == (3, channels, size, size) and images.abs().max() <= 1
        assert not torch.equal(images[0], images[1]) and not torch.equal(images[1], images[2])
        assert len(set(discriminator(images[:1].expand(3, -1, -1, -1), torch.tensor([0, 1, 2])).tolist())) == 3


def test_unlabelled_images_are_refused():
    for kind in ("generators", "discriminators"):
        with pytest.raises(ValueError, match="labelled"):
            part(kind, "cgan", ImageSpec(28, 1))


def test_settings_are_the_papers():
    variant = registry().get("variants", "cgan")
    assert (variant.training.optimizer, variant.training.batch_size, variant.training.generator_lr) == ("sgd", 100, 0.1)
    assert (variant.loss.name, variant.labels) == ("gan", "required")
    trainer = small_trainer("cgan", DIGITS, **SMALL)
    trainer._schedules.at(1000)
    group = trainer.optimizers["discriminator"].param_groups[0]
    assert group["lr"] == pytest.approx(0.1 / 1.00004**1000) and group["momentum"] == pytest.approx(
        0.5 + 0.2 * 1000 / 125_000
    )
