"""The networks of WGAN-GP against igul222/improved_wgan_training: counts, padding, initialization."""

import math

import pytest
import torch
from stepping import count_parameters, part, small_trainer
from torch import nn

from ganzoo import ImageSpec
from ganzoo.registry.registry import registry
from ganzoo_plugins.wgan_gp.model import DoublingConvolution, HalvingConvolution
from ganzoo_plugins.wgan_gp.resnet import Normalization

GREY28, RGB32, RGB64 = ImageSpec(28, 1), ImageSpec(32, 3), ImageSpec(64, 3)
SMALL = {
    "wgan-gp": {"width": 4},
    "wgan-gp-mnist": {"width": 4},
    "wgan-gp-resnet": {"width": 8},
    "wgan-gp-resnet-64": {"width": 4},
}


def conv(inputs, outputs, kernel, bias=True):
    """What one layer learns."""
    return inputs * outputs * kernel**2 + outputs * bias


def counts(variant_name, image):
    """Counts parameters of a variant's generator and critic at full width, on the meta device."""
    variant = registry().get("variants", variant_name)
    with torch.device("meta"):
        generator = part("generators", variant.generator.name, image, **variant.generator.options)
        critic = part("discriminators", variant.discriminator.name, image, **variant.discriminator.options)
    return count_parameters(generator), count_parameters(critic)


def test_counts_of_gan_cifar():
    generator = (
        128 * 8192 + 8192 + 2 * 8192 + conv(512, 256, 5) + 2 * 256 + conv(256, 128, 5) + 2 * 128 + conv(128, 3, 5)
    )
    critic = conv(3, 128, 5) + conv(128, 256, 5) + conv(256, 512, 5) + 8192 + 1
    assert counts("wgan-gp", RGB32) == (generator, critic)


def test_counts_of_gan_mnist():
    generator = 128 * 4096 + 4096 + conv(256, 128, 5) + conv(128, 64, 5) + conv(64, 1, 5)
    critic = conv(1, 64, 5) + conv(64, 128, 5) + conv(128, 256, 5) + 4096 + 1
    assert counts("wgan-gp-mnist", GREY28) == (generator, critic)


def test_counts_of_gan_cifar_resnet():
    two = 2 * conv(128, 128, 3)
    shortcut = conv(128, 128, 1)
    generator = 128 * 2048 + 2048 + 3 * (two + shortcut + 2 * 2 * 128) + 2 * 128 + conv(128, 3, 3)
    critic = conv(3, 128, 1) + conv(3, 128, 3) + conv(128, 128, 3) + (two + shortcut) + 2 * two + 128 + 1
    assert counts("wgan-gp-resnet", RGB32) == (generator, critic)
    six_norms = 6 * (10 * 2 * 128 - 2 * 128)
    assert counts("wgan-gp-resnet", ImageSpec(32, 3, 10)) == (generator + six_norms, critic + 128 * 10 + 10)


def test_counts_of_gan_64x64():
    def block(inputs, hidden, outputs):
        norms = 2 * inputs + 2 * hidden
        return norms + conv(inputs, outputs, 1) + conv(inputs, hidden, 3, bias=False) + conv(hidden, outputs, 3)

    up = block(512, 512, 512) + block(512, 256, 256) + block(256, 128, 128) + block(128, 64, 64)
    down = block(64, 64, 128) + block(128, 128, 256) + block(256, 256, 512) + block(512, 512, 512)
    generator = 128 * 8192 + 8192 + up + 2 * 64 + conv(64, 3, 3)
    critic = conv(3, 64, 3) + down + 8192 + 1
    assert counts("wgan-gp-resnet-64", RGB64) == (generator, critic)


@pytest.mark.parametrize("name", SMALL)
@pytest.mark.parametrize("channels", [1, 3])
def test_shapes_and_range(name, channels):
    torch.manual_seed(0)
    variant = registry().get("variants", name)
    for size in variant.sizes:
        image = ImageSpec(size, channels)
        generator = part("generators", variant.generator.name, image, **{**variant.generator.options, **SMALL[name]})
        critic = part(
            "discriminators", variant.discriminator.name, image, **{**variant.discriminator.options, **SMALL[name]}
        )
        images = generator(generator.latent(3, torch.Generator().manual_seed(0)))
        assert images.shape == (3, channels, size, size)
        assert images.abs().max() <= 1
        assert images.min() < 0 < images.max()
        assert critic(images).shape == (3,)


@pytest.mark.parametrize(
    ("name", "size"), [("wgan-gp", 24), ("wgan-gp", 8), ("wgan-gp-resnet", 48), ("wgan-gp-resnet-64", 40)]
)
def test_sizes_that_the_networks_cannot_reach_are_refused(name, size):
    for kind in ("generators", "discriminators"):
        with pytest.raises(ValueError, match=f"not {size}"):
            part(kind, name, ImageSpec(size, 1))


@pytest.mark.parametrize(("pixels", "first"), [(8, -1), (14, -1), (7, -2)])
def test_same_padding_puts_the_odd_pixel_at_the_end(pixels, first):
    """TensorFlow pads max((⌈n/2⌉ − 1)·2 + 5 − n, 0) in all, the smaller half first: window i begins at 2i + `first`."""
    layer = HalvingConvolution(1, 1)
    nn.init.zeros_(layer.convolution.weight)
    layer.convolution.weight.data[0, 0, 0, 0] = 1
    x = torch.arange(1.0, pixels**2 + 1).view(1, 1, pixels, pixels)
    starts = [2 * i + first for i in range(math.ceil(pixels / 2))]
    expected = [
        [x[0, 0, row, column].item() if row >= 0 and column >= 0 else 0.0 for column in starts] for row in starts
    ]
    assert layer(x)[0, 0].tolist() == expected


def test_doubling_is_the_transpose_of_halving():
    torch.manual_seed(0)
    halving, doubling = HalvingConvolution(2, 3), DoublingConvolution(3, 2, 8)
    doubling.convolution.weight.data = halving.convolution.weight.data
    x, y = torch.randn(1, 2, 8, 8), torch.randn(1, 3, 4, 4)
    assert (halving(x) * y).sum().item() == pytest.approx((x * doubling(y)).sum().item(), rel=1e-5)


def test_doubling_crops_to_the_size_like_the_mnist_generator():
    torch.manual_seed(0)
    whole, cropped = DoublingConvolution(3, 2, 8), DoublingConvolution(3, 2, 7)
    cropped.load_state_dict(whole.state_dict())
    y = torch.randn(1, 3, 4, 4)
    assert torch.equal(cropped(y), whole(y)[:, :, :7, :7])


def assert_uniform(weight, deviation):
    """Asserts that a weight is uniform with the given standard deviation: its extent is √3 of it."""
    assert weight.std().item() == pytest.approx(deviation, rel=0.02)
    assert weight.abs().max().item() == pytest.approx(deviation * math.sqrt(3), rel=0.02)
    assert weight.abs().max().item() <= deviation * math.sqrt(3)


def test_initialization_is_uniform_with_the_official_fans():
    torch.manual_seed(0)
    generator, critic = part("generators", "wgan-gp", RGB32), part("discriminators", "wgan-gp", RGB32)
    assert_uniform(generator.main[0].weight, math.sqrt(2 / (128 + 8192)))
    assert_uniform(generator.main[4].convolution.weight, math.sqrt(4 / (512 * 25 / 4 + 256 * 25)))
    assert_uniform(critic.main[2].convolution.weight, math.sqrt(4 / (128 * 25 + 256 * 25 / 4)))
    assert_uniform(critic.main[-1].weight, math.sqrt(2 / (8192 + 1)))
    assert not any(value.any() for name, value in critic.named_parameters() if name.endswith("bias"))


def test_shortcuts_and_the_last_convolution_of_the_resnet_start_smaller():
    torch.manual_seed(0)
    generator = part("generators", "wgan-gp-resnet", RGB32)
    block = generator.blocks[0]
    assert_uniform(block.convolution1.weight, math.sqrt(4 / (2 * 128 * 9)))
    assert_uniform(block.shortcut.weight, math.sqrt(2 / (2 * 128)))
    assert_uniform(generator.output[2].weight, math.sqrt(2 / (128 * 9 + 3 * 9)))
    generator = part("generators", "wgan-gp-resnet-64", RGB64, width=16)
    assert_uniform(generator.output[2].weight, math.sqrt(4 / (16 * 9 + 3 * 9)))


def test_conditional_batch_norm_starts_as_batch_norm_and_learns_per_class():
    torch.manual_seed(0)
    plain, conditional = Normalization("batch", 3), Normalization("batch", 3, classes=4)
    x, label = torch.randn(5, 3, 2, 2), torch.tensor([0, 2, 2, 0, 0])
    assert torch.allclose(conditional(x, label), plain(x), atol=1e-6)
    conditional(x, label).square().sum().backward()
    assert conditional.scale.weight.grad.abs().sum(1).ne(0).tolist() == [True, False, True, False]
    nn.init.normal_(conditional.shift.weight)
    assert not torch.allclose(conditional(x, label), conditional(x, label.flip(0)))


def test_conditional_generator_learns_to_react_to_the_label():
    torch.manual_seed(0)
    image = ImageSpec(32, 1, 5)
    trainer = small_trainer("wgan-gp-resnet", image, generator={"width": 4}, discriminator={"width": 4})
    latent = trainer.generator.latent(2, torch.Generator().manual_seed(0))
    for _ in range(2):
        trainer.step()
    generator = trainer.generator.eval()
    assert not torch.equal(generator(latent, torch.tensor([0, 0])), generator(latent, torch.tensor([1, 1])))


@pytest.mark.parametrize("name", ["wgan-gp", "wgan-gp-resnet", "wgan-gp-resnet-64"])
def test_critics_judge_each_image_alone(name):
    torch.manual_seed(0)
    critic = part("discriminators", name, ImageSpec(64 if name.endswith("64") else 32, 1), width=4)
    size = 64 if name.endswith("64") else 32
    images = torch.rand(3, 1, size, size) * 2 - 1
    assert torch.allclose(critic(images)[:1], critic(images[:1]), atol=1e-5)


def test_evaluated_generators_draw_each_image_alone():
    torch.manual_seed(0)
    for name in ("wgan-gp", "wgan-gp-resnet"):
        generator = part("generators", name, ImageSpec(32, 1), width=4)
        latent = generator.latent(3, torch.Generator().manual_seed(0))
        generator(latent)
        generator.eval()
        assert torch.allclose(generator(latent)[:1], generator(latent[:1]), atol=1e-5)
