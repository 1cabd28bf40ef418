"""SAGAN against brain-research/self-attention-gan: counts, place of attention, order of steps."""

import pytest
import torch
from stepping import count_parameters, names_of, part, small_trainer, step_by_phase

from ganzoo import ImageSpec
from ganzoo.networks.normalization import SpectralConv2d, SpectralEmbedding, SpectralLinear
from ganzoo.networks.residual import SelfAttention
from ganzoo.registry.registry import registry

SMALL = {"generator": {"width": 4, "latent_dim": 6}, "discriminator": {"width": 4}}


def conv(inputs, outputs, kernel=3):
    return inputs * outputs * kernel**2 + outputs


def attention(channels):
    return channels * (channels // 8) * 2 + channels * (channels // 2) * 2 + 1


def test_counts_of_the_official_networks_at_128_pixels():
    classes = 1000
    generator = 128 * 16384 + 16384 + attention(256) + 2 * 64 + conv(64, 3)
    for wide, narrow in ((1024, 1024), (1024, 512), (512, 256), (256, 128), (128, 64)):
        generator += conv(wide, narrow) + conv(narrow, narrow) + conv(wide, narrow, 1) + 2 * classes * (wide + narrow)
    discriminator = attention(128) + 1024 + 1 + classes * 1024 + 2 * conv(1024, 1024)
    for narrow, wide in ((3, 64), (64, 128), (128, 256), (256, 512), (512, 1024)):
        discriminator += conv(narrow, wide) + conv(wide, wide) + conv(narrow, wide, 1)
    assert (generator, discriminator) == (42_078_852, 39_463_618), "what the official graphs hold"
    with torch.device("meta"):
        image = ImageSpec(128, 3, classes)
        assert count_parameters(part("generators", "sagan", image)) == generator
        assert count_parameters(part("discriminators", "sagan", image)) == discriminator


def test_the_card_has_the_batch_of_the_official_readme():
    """Four GPUs with the flag's batch of 64 each."""
    training = registry().get("variants", "sagan").training
    assert (training.batch_size, training.generator_lr, training.discriminator_lr) == (4 * 64, 1e-4, 4e-4)


@pytest.mark.parametrize(
    ("size", "given", "expected"), [(128, None, 32), (64, None, 32), (32, None, 16), (32, 8, 8), (32, 0, None)]
)
def test_attention_stands_where_it_should(size, given, expected):
    torch.manual_seed(0)
    image, seen = ImageSpec(size, 1), []
    networks = [
        part(kind, "sagan", image, width=2, attention=given).eval() for kind in ("generators", "discriminators")
    ]
    for network in networks:
        for layer in network.modules():
            if isinstance(layer, SelfAttention):
                layer.register_forward_hook(lambda module, arguments, output: seen.append(output.shape[-1]))
    networks[1](networks[0](torch.randn(1, 128)))
    assert seen == ([expected] * 2 if expected else [])


def test_every_layer_with_weights_is_spectrally_normalized_in_both():
    image = ImageSpec(32, 1, 3)
    for kind in ("generators", "discriminators"):
        for layer in part(kind, "sagan", image, width=4).modules():
            if isinstance(layer, (torch.nn.Conv2d, torch.nn.Linear)):
                assert isinstance(layer, (SpectralConv2d, SpectralLinear))
    assert isinstance(part("discriminators", "sagan", image, width=4).embedding, SpectralEmbedding)


@pytest.mark.parametrize("classes", [0, 3])
@pytest.mark.parametrize("channels", [1, 3])
def test_shapes_and_range(classes, channels):
    torch.manual_seed(0)
    label = torch.tensor([0, 2, 1]) if classes else None
    for size in registry().get("variants", "sagan").sizes:
        image = ImageSpec(size, channels, classes)
        generator = part("generators", "sagan", image, **SMALL["generator"])
        images = generator(generator.latent(3, torch.Generator().manual_seed(0)), label)
        assert images.shape == (3, channels, size, size) and images.abs().max() <= 1 and images.min() < 0 < images.max()
        assert part("discriminators", "sagan", image, **SMALL["discriminator"])(images, label).shape == (3,)
    with pytest.raises(ValueError, match="16, 32, 64, 128"):
        part("generators", "sagan", ImageSpec(28, 1))


@pytest.mark.parametrize("classes", [0, 3])
def test_one_step_of_each_network_with_two_learning_rates(classes):
    trainer = small_trainer("sagan", ImageSpec(32, 1, classes), **SMALL)
    visits, terms = step_by_phase(trainer)
    assert [visit.phase for visit in visits] == ["discriminator", "generator"] and trainer.batches_taken == 1
    assert all(visit.changed and visit.changed <= names_of(trainer, visit.phase) for visit in visits)
    assert all(term.isfinite() for term in terms.values())
    rates = {role: optimizer.param_groups[0]["lr"] for role, optimizer in trainer.optimizers.items()}
    assert float(rates["generator"]) == pytest.approx(1e-4) and float(rates["discriminator"]) == pytest.approx(4e-4)
