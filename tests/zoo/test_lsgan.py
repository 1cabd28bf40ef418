"""LSGAN against xudonmao/LSGAN `vgg.py` and `mcgan.py`: counts, loss values, initialization, order."""

import pytest
import torch
from stepping import count_calls, count_parameters, names_of, part, scripted_turn, small_trainer, step_by_phase

from ganzoo import ImageSpec
from ganzoo.registry.registry import registry
from ganzoo_plugins.lsgan.model import Doubling, Halving, LeastSquares

GREY28 = ImageSpec(28, 1)
SMALL = {"generator": {"width": 4, "latent_dim": 8}, "discriminator": {"width": 4}}
SMALL_CONDITIONAL = {
    "generator": {"width": 4, "latent_dim": 8, "label_size": 6},
    "discriminator": {"width": 4, "label_size": 6, "hidden": 8},
}


def conv(inputs, outputs, kernel):
    """What one convolution or transposed convolution learns."""
    return inputs * outputs * kernel**2 + outputs


def counts(name, image):
    """Counts parameters of generator and discriminator at full width, on the meta device."""
    with torch.device("meta"):
        return count_parameters(part("generators", name, image)), count_parameters(part("discriminators", name, image))


def test_counts_of_vgg_at_112():
    generator = 1024 * 256 * 49 + 256 * 49 + 2 * 256 + 4 * (conv(256, 256, 3) + 2 * 256)
    generator += conv(256, 128, 3) + 2 * 128 + conv(128, 64, 3) + 2 * 64 + conv(64, 3, 3)
    discriminator = (
        conv(3, 64, 5) + conv(64, 128, 5) + 2 * 128 + conv(128, 256, 5) + 2 * 256 + conv(256, 512, 5) + 2 * 512
    )
    discriminator += 512 * 49 + 1
    assert counts("lsgan", ImageSpec(112, 3)) == (generator, discriminator)


def test_counts_of_the_adaptations_change_the_first_stages_alone():
    generator = 1024 * 256 * 16 + 256 * 16 + 2 * 256 + 4 * (conv(256, 256, 3) + 2 * 256)
    last = conv(256, 128, 3) + 2 * 128 + conv(128, 64, 3) + 2 * 64 + conv(64, 1, 3)
    discriminator = conv(1, 64, 5) + conv(64, 128, 5) + 2 * 128
    third, fourth = conv(128, 256, 5) + 2 * 256, conv(256, 512, 5) + 2 * 512
    assert counts("lsgan", ImageSpec(64, 1)) == (generator + last, discriminator + third + fourth + 512 * 16 + 1)
    generator -= 2 * (conv(256, 256, 3) + 2 * 256)
    assert counts("lsgan", ImageSpec(32, 1)) == (generator + last, discriminator + third + 256 * 16 + 1)
    generator = 1024 * 256 * 49 + 256 * 49 + 2 * 256
    assert counts("lsgan", GREY28) == (generator + last, discriminator + 128 * 49 + 1)


def test_counts_of_mcgan_with_its_3740_characters():
    label = 3740 * 256 + 256
    generator = label + (1024 + 256) * 6272 + 6272 + 2 * 6272 + conv(128, 128, 5) + 2 * 128 + conv(128, 1, 5)
    discriminator = label + conv(1, 257, 5) + conv(257 + 256, 320, 5) + 2 * 320
    discriminator += (320 * 49 + 256) * 1024 + 1024 + 2 * 1024 + 1024 + 256 + 1
    assert counts("lsgan-conditional", ImageSpec(28, 1, 3740)) == (generator, discriminator)


@pytest.mark.parametrize(
    ("name", "small", "classes"), [("lsgan", SMALL, 0), ("lsgan-conditional", SMALL_CONDITIONAL, 3)]
)
@pytest.mark.parametrize("channels", [1, 3])
def test_shapes_and_range(name, small, classes, channels):
    torch.manual_seed(0)
    label = torch.tensor([0, 2, 1]) if classes else None
    for size in registry().get("variants", name).sizes:
        image = ImageSpec(size, channels, classes)
        generator = part("generators", name, image, **small["generator"])
        images = generator(generator.latent(3, torch.Generator().manual_seed(0)), label)
        assert images.shape == (3, channels, size, size)
        assert images.abs().max() <= 1
        assert images.min() < 0 < images.max()
        assert part("discriminators", name, image, **small["discriminator"])(images, label).shape == (3,)


def test_images_that_the_networks_are_not_made_for_are_refused():
    for kind in ("generators", "discriminators"):
        with pytest.raises(ValueError, match="64, 112, 128, 256 pixels, not 48"):
            part(kind, "lsgan", ImageSpec(48, 1))
        with pytest.raises(ValueError, match="0 classes"):
            part(kind, "lsgan-conditional", GREY28)


@pytest.mark.parametrize("kernel", [3, 5])
def test_doubling_is_the_transpose_of_a_convolution_with_same_padding(kernel):
    torch.manual_seed(0)
    doubling = Doubling(3, 2, kernel)
    doubling.convolution.bias.data.zero_()
    x, y = torch.randn(1, 2, 8, 8), torch.randn(1, 3, 4, 4)
    before = (kernel - 2) // 2  # TensorFlow pads kernel − 2 pixels in all, the smaller half first
    padded = torch.nn.functional.pad(x, (before, kernel - 2 - before) * 2)
    halved = torch.nn.functional.conv2d(padded, doubling.convolution.weight, stride=2)
    assert (halved * y).sum().item() == pytest.approx((x * doubling(y)).sum().item(), rel=1e-4)


def test_halving_pads_the_odd_pixel_at_the_end():
    layer = Halving(1, 1)
    layer.convolution.bias.data.zero_()
    layer.convolution.weight.data.zero_()[0, 0, 1, 1] = 1
    x = torch.arange(36.0).view(1, 1, 6, 6)
    assert torch.equal(layer(x), x[:, :, ::2, ::2])


def test_initial_weights_follow_the_official_ops():
    torch.manual_seed(0)
    generator = part("generators", "lsgan", GREY28)
    discriminator = part("discriminators", "lsgan", GREY28)
    convolution = discriminator.main[2].convolution.weight
    assert convolution.abs().max() <= 0.04, "cut off at two deviations"
    assert convolution.std().item() == pytest.approx(0.02 * 0.8796, rel=0.01), "which leaves 0.88 of the deviation"
    for weight in (generator.main[0].weight, generator.main[4].convolution.weight):
        assert weight.std().item() == pytest.approx(0.02, rel=0.01)
    assert discriminator.main[-1].weight.std().item() == pytest.approx(0.02, rel=0.05)
    for network in (generator, discriminator):
        assert not any(value.any() for name, value in network.named_parameters() if name.endswith("bias"))


@pytest.mark.parametrize("name", ["lsgan", "lsgan-conditional"])
def test_latents_are_uniform_from_minus_one_to_one(name):
    generator = part("generators", name, ImageSpec(28, 1, 10), width=2)
    latent = generator.latent(100, torch.Generator().manual_seed(0))
    assert latent.shape == (100, 1024)
    assert -1 <= latent.min() < -0.999
    assert 0.999 < latent.max() < 1
    assert latent.mean().item() == pytest.approx(0, abs=0.01)
    assert latent.var().item() == pytest.approx(1 / 3, rel=0.01)


def score_turn():
    return scripted_turn(lambda images: images, real=torch.tensor([0.5, 1.0, 3.0]), fake=torch.tensor([0.0, 0.5, -2.0]))


def test_terms_with_the_official_codes():
    loss = LeastSquares(GREY28)
    terms = loss.discriminator(score_turn())
    assert terms["real"].item() == pytest.approx((0.25 + 0 + 4) / 3 / 2)
    assert terms["fake"].item() == pytest.approx((0 + 0.25 + 4) / 3 / 2)
    assert loss.generator(score_turn())["fake"].item() == pytest.approx((1 + 0.25 + 9) / 3 / 2)


def test_terms_with_the_codes_of_the_chi_squared_divergence():
    loss = LeastSquares(GREY28, a=-1.0, b=1.0, c=0.0)
    terms = loss.discriminator(score_turn())
    assert terms["real"].item() == pytest.approx((0.25 + 0 + 4) / 3 / 2)
    assert terms["fake"].item() == pytest.approx((1 + 2.25 + 1) / 3 / 2)
    assert loss.generator(score_turn())["fake"].item() == pytest.approx((0 + 0.25 + 4) / 3 / 2)


def test_the_official_sum_is_the_batch_size_times_the_mean():
    mean, total = LeastSquares(GREY28), LeastSquares(GREY28, reduction="sum")
    for phase in ("discriminator", "generator"):
        means, sums = getattr(mean, phase)(score_turn()), getattr(total, phase)(score_turn())
        assert {name: term.item() for name, term in sums.items()} == pytest.approx(
            {name: 3 * term.item() for name, term in means.items()}
        )
    with pytest.raises(ValueError, match="known: mean, sum"):
        LeastSquares(GREY28, reduction="median")


@pytest.mark.parametrize(
    ("name", "image", "small"),
    [("lsgan", GREY28, SMALL), ("lsgan-conditional", ImageSpec(28, 1, 3), SMALL_CONDITIONAL)],
)
def test_discriminator_learns_first_then_the_generator_on_the_same_fakes(name, image, small):
    trainer = small_trainer(name, image, **small)
    calls = count_calls(trainer.generator)
    visits, terms = step_by_phase(trainer)
    assert [visit.phase for visit in visits] == ["discriminator", "generator"]
    assert len(calls) == 1
    assert torch.equal(visits[0].turn.latent, visits[1].turn.latent)
    for visit in visits:
        assert visit.changed <= names_of(trainer, visit.phase)
        still = names_of(trainer, visit.phase) - visit.changed
        assert all(name.endswith("bias") for name in still), "only a bias before batch norm may stand still"
    assert all(term.isfinite() for term in terms.values())


def test_conditional_networks_react_to_the_label():
    torch.manual_seed(0)
    image = ImageSpec(28, 1, 3)
    generator = part("generators", "lsgan-conditional", image, **SMALL_CONDITIONAL["generator"]).eval()
    discriminator = part("discriminators", "lsgan-conditional", image, **SMALL_CONDITIONAL["discriminator"]).eval()
    latent = generator.latent(1, torch.Generator().manual_seed(0)).expand(3, -1)
    images = generator(latent, torch.tensor([0, 1, 2]))
    assert not torch.equal(images[0], images[1])
    assert not torch.equal(images[1], images[2])
    assert len(set(discriminator(images[:1].expand(3, -1, -1, -1), torch.tensor([0, 1, 2])).tolist())) == 3


def test_conditional_networks_work_in_pixels_from_0_to_1():
    torch.manual_seed(0)
    image = ImageSpec(28, 1, 3)
    generator = part("generators", "lsgan-conditional", image, **SMALL_CONDITIONAL["generator"])
    generator.main[-2].convolution.weight.data.zero_()
    assert not generator(torch.zeros(2, 8), torch.tensor([0, 1])).any(), "a sigmoid of 0 is ½, which is 0 in [-1, 1]"
    discriminator = part("discriminators", "lsgan-conditional", image, **SMALL_CONDITIONAL["discriminator"])
    seen = []
    discriminator.convolution1.register_forward_pre_hook(lambda module, arguments: seen.append(arguments[0]))
    discriminator(torch.tensor([-1.0, 0.0, 1.0]).view(3, 1, 1, 1).expand(3, 1, 28, 28), torch.tensor([0, 1, 2]))
    assert seen[0][:, 0, 0, 0].tolist() == [0, 0.5, 1]
