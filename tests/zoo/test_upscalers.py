"""The networks that enlarge images: their sizes in parameters, names of tensors, scales and what they refuse."""

import numpy
import pytest
import tiny
import torch
from PIL import Image
from stepping import count_parameters
from torch.nn import functional
from upscalers import enlarging

from ganzoo import ImageSpec
from ganzoo.models.load import load_folder
from ganzoo_plugins.bicubic.model import Bicubic
from ganzoo_plugins.esrgan.model import RRDBNet
from ganzoo_plugins.real_esrgan.model import CompactUpscaler, UNetDiscriminator
from ganzoo_plugins.srgan.model import SRResNet, VGGStyleDiscriminator

NETWORKS = {
    "sr-resnet": (SRResNet, {"width": 4, "blocks": 1}, (2, 3, 4)),
    "rrdbnet": (RRDBNet, {"width": 4, "blocks": 1}, (1, 2, 3, 4, 8)),
    "rrdbnet-plain": (RRDBNet, {"width": 4, "blocks": 1, "unshuffle": False, "plus": True}, (1, 2, 3, 4, 8)),
    "compact": (CompactUpscaler, {"width": 4, "convolutions": 1}, (1, 2, 3, 4)),
}
CASES = [(name, scale) for name, (*_, scales) in NETWORKS.items() for scale in scales]


def enlarge(network, source):
    return network(torch.empty(len(source), 0), source=source)


def test_parameter_counts_are_those_of_the_official_networks():
    with torch.device("meta"):
        assert count_parameters(SRResNet(enlarging(4, 32))) == 1_517_571
        assert count_parameters(RRDBNet(enlarging(4, 32))) == 16_697_987
        assert count_parameters(RRDBNet(enlarging(2, 32))) == 16_703_171
        assert count_parameters(RRDBNet(enlarging(4, 32), blocks=6)) == 4_467_779
        assert count_parameters(CompactUpscaler(enlarging(4, 32))) == 621_424
        assert count_parameters(CompactUpscaler(enlarging(4, 32), convolutions=32)) == 1_213_296
        assert count_parameters(VGGStyleDiscriminator(ImageSpec(128, 3))) == 14_499_401
        assert count_parameters(VGGStyleDiscriminator(ImageSpec(256, 3))) == 21_055_049
        assert count_parameters(UNetDiscriminator(ImageSpec(256, 3))) == 4_376_897


def test_tensors_have_the_names_of_published_files():
    with torch.device("meta"):
        dense, compact = list(RRDBNet(enlarging(4, 32)).state_dict()), CompactUpscaler(enlarging(4, 32)).state_dict()
        residual = list(SRResNet(enlarging(4, 32)).state_dict())
    assert len(dense) == 702 and dense[:3] == ["conv_first.weight", "conv_first.bias", "body.0.rdb1.conv1.weight"]
    assert [name for name in dense if not name.startswith("body.") and name.endswith("weight")] == [
        f"{name}.weight" for name in ("conv_first", "conv_body", "conv_up1", "conv_up2", "conv_hr", "conv_last")
    ]
    assert list(compact)[:3] == ["body.0.weight", "body.0.bias", "body.1.weight"]
    assert list(compact)[-2:] == ["body.34.weight", "body.34.bias"]
    assert residual[2] == "body.0.conv1.weight" and {"upconv1.bias", "upconv2.bias", "conv_hr.bias"} <= {*residual}


@pytest.mark.parametrize("name, scale", CASES)
@torch.no_grad()
def test_every_scale_at_other_sizes_than_its_own(name, scale):
    factory, options, _ = NETWORKS[name]
    network = factory(enlarging(scale, 8), **options)
    assert network.scale == scale
    given = torch.rand(2, 3, 12, 16) * 2 - 1
    made = enlarge(network.train(), given)
    assert made.shape == (2, 3, 12 * scale, 16 * scale)
    assert enlarge(network.eval(), given).equal(made.clamp(-1, 1)), "bounded in evaluation alone"


@pytest.mark.parametrize("name", ["sr-resnet", "compact"])
@torch.no_grad()
def test_a_network_of_zeros_gives_the_enlarged_source(name):
    factory, options, scales = NETWORKS[name]
    for scale in scales:
        network = factory(enlarging(scale, 8), **options)
        for parameter in network.parameters():
            parameter.zero_()
        given = torch.rand(1, 3, 8, 8) * 2 - 1
        mode = {"mode": "nearest"} if name == "compact" else {"mode": "bilinear", "align_corners": False}
        wanted = functional.interpolate(given, scale_factor=scale, **mode)
        assert torch.allclose(enlarge(network, given), wanted, atol=1e-6)


@pytest.mark.parametrize(
    "make, facts",
    [
        (lambda: SRResNet(ImageSpec(32, 3)), "--source downscale"),
        (lambda: SRResNet(enlarging(8, 8)), "2, 3 or 4 times, not 8"),
        (lambda: RRDBNet(enlarging(5, 8)), "not 5 times"),
        (lambda: RRDBNet(enlarging(2, 9)), "multiples of 2"),
        (lambda: CompactUpscaler(enlarging(4, 8, source=1)), "1 channels .* 3"),
        (lambda: VGGStyleDiscriminator(ImageSpec(8, 3)), "16 pixels .* 8 pixels"),
        (lambda: UNetDiscriminator(ImageSpec(36, 3)), "multiples of 8, not 36"),
    ],
)
def test_what_cannot_be_built_is_refused(make, facts):
    with pytest.raises(ValueError, match=facts):
        make()


def test_a_scale_is_a_whole_number_that_both_sides_share():
    spec = enlarging(4, (8, 12))
    for source in ((3, 8, 8), (3, 12, 18), (3, 64, 64)):
        spec.inputs["source"] = type(spec.output)(source)
        with pytest.raises(ValueError, match="whole number"):
            RRDBNet(spec)


@pytest.mark.parametrize("size", [16, 32, 48, (64, 96), 96, 100])
@torch.no_grad()
def test_discriminators_of_any_size(size):
    logits = VGGStyleDiscriminator(ImageSpec(size, 1), width=2)(torch.zeros(2, *ImageSpec(size, 1).output.shape))
    assert logits.shape == (2,)


@torch.no_grad()
def test_the_u_net_judges_every_pixel():
    network = UNetDiscriminator(ImageSpec((24, 40), 3), width=2)
    images = torch.rand(2, 3, 24, 40)
    assert network(images).shape == (2, 1, 24, 40)
    assert not network.eval()(images).equal(UNetDiscriminator(ImageSpec(24, 3), width=2, skips=False).eval()(images))


@pytest.mark.parametrize("scale", [2, 3, 4])
def test_the_baseline_enlarges_as_pillow(scale):
    network = Bicubic(enlarging(scale, (9, 12))).eval()
    assert not list(network.parameters())
    given = torch.rand(2, 3, 9, 12) * 2 - 1
    made = enlarge(network, given)
    for source, found in zip(given.flatten(0, 1), made.flatten(0, 1), strict=True):
        size = (12 * scale, 9 * scale)
        wanted = Image.fromarray((source.numpy() + 1) / 2).resize(size, Image.Resampling.BICUBIC)
        assert numpy.abs(numpy.asarray(wanted).clip(0, 1) * 2 - 1 - found.numpy()).max() < 1e-5


def test_a_model_without_parameters_is_saved_loaded_and_applied(tmp_path):
    spec = enlarging(4, 8)
    model = tiny.model_of(Bicubic(spec), spec, "bicubic")
    model.save(tmp_path / "model")
    loaded, given = load_folder(tmp_path / "model"), torch.rand(1, 3, 20, 30) * 2 - 1
    made = loaded.apply(given)
    assert made.shape == (1, 3, 80, 120) and made.equal(model.apply(given))
    assert loaded.geometry.multiple == 1 and loaded.geometry.overlap <= 2
    assert loaded.apply(given, tile=8).sub(made).abs().max() < 1e-5


@pytest.mark.parametrize("plus", [False, True])
@torch.no_grad()
def test_without_unshuffling_a_scale_of_2_is_one_enlargement(plus):
    """The networks of xinntao/ESRGAN, and of ESRGAN+ with its shortcuts inside dense blocks, written out."""
    network = RRDBNet(enlarging(2, 8), width=4, blocks=1, unshuffle=False, plus=plus).eval()
    tensors = network.state_dict()
    assert "conv_up2.weight" not in tensors and ("body.0.rdb1.conv1x1.weight" in tensors) == plus

    def convolved(name, x):
        weight = tensors[f"{name}.weight"]
        return functional.conv2d(x, weight, tensors.get(f"{name}.bias"), padding=weight.shape[-1] // 2)

    def leaky(x):
        return torch.where(x > 0, x, 0.2 * x)

    def dense(name, x):
        x1 = leaky(convolved(f"{name}.conv1", x))
        x2 = leaky(convolved(f"{name}.conv2", torch.cat([x, x1], 1)))
        x2 = x2 + convolved(f"{name}.conv1x1", x) if plus else x2
        x3 = leaky(convolved(f"{name}.conv3", torch.cat([x, x1, x2], 1)))
        x4 = leaky(convolved(f"{name}.conv4", torch.cat([x, x1, x2, x3], 1)))
        x4 = x4 + x2 if plus else x4
        return convolved(f"{name}.conv5", torch.cat([x, x1, x2, x3, x4], 1)) * 0.2 + x

    given = torch.rand(1, 3, 8, 8) * 2 - 1
    first = body = convolved("conv_first", (given + 1) / 2)
    for number in (1, 2, 3):
        body = dense(f"body.0.rdb{number}", body)
    x = first + convolved("conv_body", body * 0.2 + first)
    x = leaky(convolved("conv_up1", x.repeat_interleave(2, 2).repeat_interleave(2, 3)))
    wanted = convolved("conv_last", leaky(convolved("conv_hr", x)))
    assert torch.allclose(enlarge(network, given), (2 * wanted - 1).clamp(-1, 1), atol=1e-6)
