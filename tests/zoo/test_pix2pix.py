"""pix2pix against the official code (tests/golden/translation.py): networks, and steps through the engine."""

import pytest
import torch
from golden_values import golden
from stepping import count_calls, count_parameters, names_of, step_by_phase
from translations import NamedBatches, images, load_named, pairs, trace, translation_trainer

from ganzoo import Field, ImageSpec, SampleSpec
from ganzoo_plugins.pix2pix.model import PatchGAN, PixelGAN, TranslatorDropout, UNet

NONE = torch.empty(2, 0)


def translate(unet, source):
    return unet(NONE[: len(source)], source=source)


def test_parameter_counts_are_those_of_the_official_networks():
    with torch.device("meta"):
        assert count_parameters(UNet(pairs(256))) == 54_413_955
        assert count_parameters(UNet(pairs(128))) == 41_828_995
        assert count_parameters(PatchGAN(pairs(256))) == 2_768_705
        assert count_parameters(PixelGAN(pairs(256))) == 9_024


def test_tensors_have_the_names_of_published_files():
    with torch.device("meta"):
        names = list(UNet(pairs(256)).state_dict())
        judged = {name.rpartition(".")[0] for name in PatchGAN(pairs(256)).state_dict()}
    assert len(names) == 82 and names[:2] == ["model.model.0.weight", "model.model.1.model.1.weight"]
    assert "model.model.1.model.2.running_var" in names and names[-2:] == ["model.model.3.weight", "model.model.3.bias"]
    assert judged == {f"model.{place}" for place in (0, 2, 3, 5, 6, 8, 9, 11)}


@pytest.mark.parametrize("norm, halvings", [("batch", 6), ("instance", 5), ("batch", 7)])
@torch.no_grad()
def test_the_unet_gives_the_official_images(norm, halvings):
    size, few, tensors = 2**halvings, slice(None, None, 2 ** (halvings - 3)), golden("pix2pix")
    spec, name = pairs(size, source=2), f"unet.{norm}.{halvings}"
    source = images(name, 2, 2, size, size)
    unet = load_named(UNet(spec, width=2, norm=norm), f"{norm}.{halvings}").eval()
    drawn = translate(unet, source)
    assert torch.allclose(drawn[:, :, few, few], tensors[name], rtol=0, atol=1e-9)
    assert torch.equal(drawn, translate(unet, source)), "nothing is random in evaluation"
    torch.manual_seed(0)  # the masks of dropout
    in_training = translate(unet.train(), source[:1])
    assert torch.allclose(in_training[:, :, few, few], tensors[f"{name}.trained"], rtol=0, atol=1e-9)


@torch.no_grad()
def test_evaluation_as_trained_is_that_of_the_official_script():
    tensors, source = golden("pix2pix"), images("unet.batch.6", 2, 2, 64, 64)
    unet = load_named(UNet(pairs(64, source=2), width=2, evaluate_as_trained=True), "batch.6").eval()
    before = {name: value.clone() for name, value in unet.state_dict().items()}
    torch.manual_seed(0)
    drawn = translate(unet, source[:1])
    assert torch.allclose(drawn[:, :, ::8, ::8], tensors["unet.batch.6.trained"], rtol=0, atol=1e-9)
    assert not torch.equal(drawn, translate(unet, source[:1])), "dropout is active"
    assert all(torch.equal(value, before[name]) for name, value in unet.state_dict().items())
    for layer in unet.modules():
        if isinstance(layer, TranslatorDropout):
            layer.p = 0.0
    both = translate(unet, source)
    assert torch.allclose(both[:1], translate(unet, source[:1])), "images of a batch do not mix"


@pytest.mark.parametrize("norm", ["batch", "instance"])
@torch.no_grad()
def test_discriminators_give_the_official_logits(norm):
    tensors, shown = golden("pix2pix"), images(f"judged.{norm}", 2, 5, 40, 48)
    spec, source, output = pairs(40, 48, source=2), shown[:, :2], shown[:, 2:]
    patch = load_named(PatchGAN(spec, width=2, norm=norm), f"patch.{norm}")
    pixel = load_named(PixelGAN(spec, width=2, norm=norm), f"pixel.{norm}")
    assert torch.allclose(patch(output, source=source), tensors[f"patch.{norm}"], rtol=0, atol=1e-9)
    assert torch.allclose(pixel(output, source=source)[:, :, ::4, ::4], tensors[f"pixel.{norm}"], rtol=0, atol=1e-9)


def test_a_patch_has_seventy_pixels_a_side():
    """The pixels that one logit depends on, without a norm, which sees the whole image."""
    network = PatchGAN(pairs(128, source=1, output=1), width=2).eval()
    output = torch.rand(1, 1, 128, 128, requires_grad=True)
    logits = network(output, source=torch.rand(1, 1, 128, 128))
    logits[0, 0, 7, 7].backward()
    reached = output.grad[0, 0].nonzero()
    assert (reached.amax(0) - reached.amin(0) + 1).tolist() == [70, 70]


def test_weights_start_as_officially():
    torch.manual_seed(0)
    unet, patch = UNet(pairs(64), width=32), PatchGAN(pairs(64))
    for layer in [*unet.modules(), *patch.modules()]:
        if isinstance(layer, (torch.nn.Conv2d, torch.nn.ConvTranspose2d)):
            assert layer.weight.std().item() == pytest.approx(0.02, rel=0.1)
            assert layer.bias is None or not layer.bias.any()
        elif isinstance(layer, torch.nn.BatchNorm2d):
            assert abs(layer.weight.mean().item() - 1) < 0.02 and 0.01 < layer.weight.std().item() < 0.03
            assert not layer.bias.any()


@pytest.mark.parametrize("norm", ["batch", "instance"])
@pytest.mark.parametrize("size, source, output", [(32, 1, 3), (64, 3, 1), (128, 4, 4)])
def test_shapes_and_range(norm, size, source, output):
    spec = pairs(size, source=source, output=output)
    drawn = translate(UNet(spec, width=2, norm=norm), torch.rand(2, source, size, size) * 2 - 1)
    assert drawn.shape == (2, output, size, size) and drawn.abs().max() <= 1
    assert PatchGAN(spec, width=2, norm=norm)(drawn, source=torch.rand(2, source, size, size)).shape[:2] == (2, 1)


@pytest.mark.parametrize(
    "spec, facts",
    [
        (ImageSpec(64, 3), "--source"),
        (pairs(48), r"32, 64, 128, .* not 48"),
        (pairs(16), r"not 16"),
        (pairs(64, 32), r"64 x 32"),
    ],
)
def test_images_that_a_unet_cannot_halve_are_refused(spec, facts):
    with pytest.raises(ValueError, match=facts):
        UNet(spec)


def small(spec, batches, **more):
    return translation_trainer(
        "pix2pix", spec, batches, generator={"width": 2, "dropout": 0.0}, discriminator={"width": 2}, **more
    )


def test_steps_are_the_official_ones():
    tensors, spec = golden("pix2pix"), pairs(32)
    trainer = small(spec, NamedBatches(spec, 2, "pix2pix"))
    networks = {"generator": trainer.generator, "discriminator": trainer.discriminator}
    load_named(networks["generator"], "G"), load_named(networks["discriminator"], "D")
    for step in range(3):
        terms = trainer.step()
        ours = [2 * terms["discriminator.fake"], 2 * terms["discriminator.real"]]
        ours += [terms["generator.fake"], terms["generator.l1"]]
        assert torch.allclose(torch.stack(ours).double(), tensors[f"step.{step}"], rtol=1e-6, atol=0)
    for role, network in networks.items():
        assert torch.allclose(trace(network, role), tensors[f"moved.{role}"], rtol=0, atol=1e-7)


def test_the_discriminator_steps_first_and_one_pass_makes_the_images_of_both():
    trainer = small(pairs(32), NamedBatches(pairs(32), 2, "pix2pix"))
    calls = count_calls(trainer.generator)
    visits, terms = step_by_phase(trainer)
    assert [visit.phase for visit in visits] == ["discriminator", "generator"] and len(calls) == 1
    for visit in visits:
        assert visit.changed == names_of(trainer, visit.phase)
    assert set(terms) == {"discriminator.fake", "discriminator.real", "generator.fake", "generator.l1"}


def test_learning_rates_fall_in_the_second_half():
    trainer = small(pairs(32), NamedBatches(pairs(32), 1, "pix2pix"))
    for setting in ("generator_lr", "discriminator_lr"):
        rates = [trainer._schedules.at(step)[setting] for step in (0, 40_000, 60_000, 80_000)]
        assert rates == pytest.approx([2e-4, 2e-4, 1e-4, 0])


def test_a_smaller_source_is_enlarged_for_all_networks():
    """ganzoo's adaptation: so pix2pix learns super-resolution of what `downscale` makes."""
    small = SampleSpec(Field((3, 32, 32)), {"source": Field((3, 8, 8))})
    source, images = torch.rand(2, 3, 8, 8) * 2 - 1, torch.rand(2, 3, 32, 32)
    generator = UNet(small, width=4).eval()
    assert translate(generator, source).shape == (2, 3, 32, 32)
    for judge in (PatchGAN(small, width=4), PixelGAN(small, width=4)):
        assert judge(images, source=source).shape[0] == 2
    with pytest.raises(ValueError, match="like the output"):
        UNet(SampleSpec(Field((3, 32, 32)), {"source": Field((3, 8, 16))}), width=4)
