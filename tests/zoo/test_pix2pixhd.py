"""pix2pixHD against the official code (tests/golden/pix2pixhd.py): networks, and steps through the engine."""

import pytest
import torch
from golden_values import golden
from pretrained import vgg19_features, vgg19_tensors
from safetensors.torch import save_file
from stepping import count_calls, count_parameters, names_of, step_by_phase
from translations import NamedBatches, images, load_named, pairs, trace, translation_trainer

from ganzoo import ImageSpec
from ganzoo_plugins.pix2pixhd.model import GlobalGenerator, LocalEnhancer, MultiscaleDiscriminator

NONE = torch.empty(2, 0)


def test_parameter_counts_are_those_of_the_official_networks():
    with torch.device("meta"):
        assert count_parameters(GlobalGenerator(pairs(512))) == 182_443_267
        assert count_parameters(GlobalGenerator(pairs(512, source=36))) == 182_546_755
        assert count_parameters(LocalEnhancer(pairs(512))) == 182_701_827
        assert count_parameters(MultiscaleDiscriminator(pairs(512))) == 5_535_618


@torch.no_grad()
def test_networks_give_the_official_images_and_logits():
    tensors, spec = golden("pix2pixhd"), pairs(48, 40, source=2)
    generator = load_named(GlobalGenerator(spec, width=2, blocks=2, halvings=3), "G")
    drawn = generator(NONE, source=images("hd", 2, 2, 48, 40))
    assert torch.allclose(drawn[:, :, ::4, ::4], tensors["drawn"], rtol=0, atol=1e-9)
    for name, layers, scales in (("D", 3, 2), ("D3", 2, 3)):
        network = load_named(MultiscaleDiscriminator(spec, width=2, layers=layers, scales=scales), name)
        shown = images(f"hd.{name}", 2, 5, 48, 40)
        logits, features = network(shown[:, 2:], source=shown[:, :2], features=True)
        expected = [tensors[f"{name}.{number}"] for number in range(scales)]
        assert torch.allclose(logits, torch.cat([one.flatten(1) for one in expected], 1), rtol=0, atol=1e-9)
        assert [len(outputs) for outputs in features] == [layers + 2] * scales
        assert [outputs[-1].shape for outputs in features] == [one.shape for one in expected]
        assert torch.equal(network(shown[:, 2:], source=shown[:, :2]), logits)


@torch.no_grad()
def test_local_enhancers_give_the_official_images():
    tensors, spec = golden("pix2pixhd"), pairs(48, 32, source=2)
    for name, blocks, enhancers, local_blocks in (("L", 2, 1, 1), ("L2", 1, 2, 2)):
        network = LocalEnhancer(spec, 2, blocks, halvings=2, enhancers=enhancers, local_blocks=local_blocks)
        drawn = load_named(network, name)(NONE, source=images(f"hd.{name}", 2, 2, 48, 32))
        assert drawn.shape == (2, 3, 48, 32)
        assert torch.allclose(drawn[:, :, ::4, ::4], tensors[name], rtol=0, atol=1e-9)


def test_names_are_the_official_ones():
    with torch.device("meta"):
        judged = list(MultiscaleDiscriminator(pairs(64)).state_dict())
        drawn = list(GlobalGenerator(pairs(64)).state_dict())
    assert judged[:2] == ["scale0_layer0.0.weight", "scale0_layer0.0.bias"] and judged[-1] == "scale1_layer4.0.bias"
    assert [name for name in drawn if "block" not in name and name.endswith("weight")] == [
        f"model.{place}.weight" for place in (1, 4, 7, 10, 13, 25, 28, 31, 34, 38)
    ]


@pytest.mark.parametrize("spec, facts", [(ImageSpec(64, 3), "--source"), (pairs(64, 40), "multiples of 16 .*64 x 40")])
def test_what_cannot_be_built_is_refused(spec, facts):
    with pytest.raises(ValueError, match=facts):
        GlobalGenerator(spec)


def test_an_enhancer_needs_a_size_that_halves_once_more():
    with pytest.raises(ValueError, match="multiples of 32 .*48 x 48"):
        LocalEnhancer(pairs(48))


def test_steps_are_the_official_ones():
    tensors, spec = golden("pix2pixhd"), pairs(32, source=2)
    generator = {"width": 2, "blocks": 2, "halvings": 3}
    trainer = translation_trainer(
        "pix2pixhd", spec, NamedBatches(spec, 2, "hd"), generator=generator, discriminator={"width": 2}
    )
    networks = {"generator": trainer.generator, "discriminator": trainer.discriminator}
    load_named(networks["generator"], "G"), load_named(networks["discriminator"], "D")
    for step in range(3):
        terms = trainer.step()
        ours = [2 * terms["discriminator.fake"], 2 * terms["discriminator.real"]]
        ours += [terms["generator.fake"], terms["generator.features"]]
        assert torch.allclose(torch.stack(ours).double(), tensors[f"step.{step}"], rtol=1e-6, atol=0)
    for role, network in networks.items():
        assert torch.allclose(trace(network, role), tensors[f"moved.{role}"], rtol=0, atol=1e-7)


def test_the_perceptual_term_sees_five_layers_without_normalization(tmp_path):
    spec, path = pairs(32, source=1), tmp_path / "vgg19.safetensors"
    save_file(vgg19_tensors(), path)
    trainer = translation_trainer(
        "pix2pixhd",
        spec,
        NamedBatches(spec, 1, "hd"),
        generator={"width": 2},
        discriminator={"width": 2},
        loss={"perceptual": str(path)},
    )
    drawn = []
    trainer.generator.register_forward_hook(lambda _, __, output: drawn.append(output.detach()))
    terms = trainer.step()
    tensors = {name: value.double() for name, value in vgg19_tensors().items()}
    real = images("hd.B.0", 1, 3, 32, 32)
    ours, theirs = (vgg19_features(tensors, one) for one in (drawn[0], real))
    # networks.VGGLoss: layers 1, 6, 11, 20 and 29, weights 1/32 to 1; pix2pixHD_model.py: times lambda_feat = 10.
    weights = {1: 1 / 32, 6: 1 / 16, 11: 1 / 8, 20: 1 / 4, 29: 1.0}
    expected = 10 * sum(weight * (ours[place] - theirs[place]).abs().mean() for place, weight in weights.items())
    assert torch.allclose(terms["generator.perceptual"].double(), expected, rtol=1e-6)
    assert list(trainer.assets) == ["loss.perceptual"]
    assert not any("vgg" in name for name in trainer.loss.state_dict())


def test_the_generator_steps_first_on_images_that_both_see():
    spec = pairs(32, source=1)
    width = {"width": 2}
    trainer = translation_trainer("pix2pixhd", spec, NamedBatches(spec, 1, "hd"), generator=width, discriminator=width)
    calls = count_calls(trainer.generator)
    visits, _ = step_by_phase(trainer)
    assert [visit.phase for visit in visits] == ["generator", "discriminator"] and len(calls) == 1
    for visit in visits:
        assert visit.changed <= names_of(trainer, visit.phase)
