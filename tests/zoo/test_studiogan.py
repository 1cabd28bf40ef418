"""StudioGAN's backbones against its own code: golden values, recognition, a checkpoint as it saves it."""

from copy import deepcopy

import pytest
import torch
from golden_values import close, converted, golden, under
from messages import logged
from stepping import count_parameters, part

import ganzoo
from ganzoo import ImageSpec
from ganzoo.convert.convert import convert
from ganzoo.convert.request import Request
from ganzoo.registry.registry import registry
from ganzoo_plugins.studiogan.layouts import BigResnet, DeepConv, Resnet

GOLDEN = {
    "big-resnet-32": BigResnet,
    "big-resnet-32-unconditional": BigResnet,
    "big-resnet-64": BigResnet,
    "resnet-32": Resnet,
    "resnet-32-unconditional": Resnet,
    "resnet-64": Resnet,
    "deep-conv": DeepConv,
    "deep-conv-conditional": DeepConv,
}
ROLES = ["generator", "discriminator"]


def images_of(tensors, size):
    """The images that were judged: each of the 8×8 pixels that are kept is a square of them."""
    return tensors["pixels"].repeat_interleave(size // 8, 2).repeat_interleave(size // 8, 3)


def shapes(tensors, role):
    return {name: tuple(value.shape) for name, value in under(tensors, role).items()}


@pytest.mark.parametrize("name", GOLDEN)
def test_networks_give_what_the_official_code_gives(name):
    tensors, layout = golden(f"studio-{name}"), GOLDEN[name]()
    generator, discriminator = (converted(layout, tensors, role) for role in ROLES)
    images, label = images_of(tensors, tensors["drawn"].shape[2]), tensors["label"]
    with torch.no_grad():
        assert close(generator.eval()(tensors["latent"], label), tensors["drawn"])
        assert close(discriminator.eval()(images, label), tensors["logits"])
        for turn in (0, 1):
            assert close(discriminator.train()(images, label), tensors[f"logits_in_training.{turn}"])
        if "drawn_in_training" in tensors:
            assert close(generator.train()(tensors["latent"], label), tensors["drawn_in_training"])


@pytest.mark.parametrize("role", ROLES)
@pytest.mark.parametrize("name", GOLDEN)
def test_what_is_not_quite_official_is_not_recognized(name, role):
    layout, found = GOLDEN[name](), shapes(golden(f"studio-{name}"), role)
    match = layout.recognize(found)
    classes = 0 if "unconditional" in name or name == "deep-conv" else 3
    assert match.role == role and match.image == ImageSpec(64 if "64" in name else 32, 3, classes)
    assert layout.recognize({}) is None and layout.recognize({**found, "extra": (3,)}) is None
    assert layout.recognize({**found, "blocks.0.0": (3,)}) is None
    for missing in list(found)[::7]:
        assert layout.recognize({key: shape for key, shape in found.items() if key != missing}) is None, missing
        assert layout.recognize({**found, missing: (*found[missing], 2)}) is None, missing


def test_options_are_those_of_the_run():
    found = {
        name: [GOLDEN[name]().recognize(shapes(golden(f"studio-{name}"), role)).part.options for role in ROLES]
        for name in GOLDEN
    }
    assert found["big-resnet-32"] == [
        {"latent_dim": 8, "width": 2, "spectral": True, "attention": 2, "chunked": True, "shared_dim": 5},
        {"width": 4, "spectral": True, "attention": 1},
    ]
    assert found["resnet-32-unconditional"] == [
        {"latent_dim": 6, "width": 2, "spectral": False, "attention": 0},
        {"width": 4, "spectral": False, "attention": 1},
    ]
    assert found["big-resnet-64"][0] == {
        "latent_dim": 10,
        "width": 1,
        "spectral": True,
        "attention": 1,
        "chunked": True,
        "shared_dim": 5,
    }


def test_a_class_table_as_wide_as_the_latent_is_told_from_a_chunk():
    """Norms take labels in `resnet`, a chunk of the latent in an unconditional `big_resnet`; shapes may be equal."""
    found = shapes(golden("studio-big-resnet-32-unconditional"), "generator")
    assert BigResnet().recognize(found).image.classes == 0
    assert Resnet().recognize(found).image.classes == 2 and Resnet().recognize(found).part.options["latent_dim"] == 2


def test_the_other_backbones_conditional_norms_are_not_this_ones():
    assert BigResnet().recognize(shapes(golden("studio-resnet-32"), "generator")) is None
    assert Resnet().recognize(shapes(golden("studio-big-resnet-32"), "generator")) is None


def test_a_checkpoint_as_it_is_saved_becomes_a_model(tmp_path):
    """Files hold the network beside its optimizer's state, which has tensors too; G_ema's has the network alone."""
    tensors = golden("studio-big-resnet-32")
    files = {}
    for role, letter in zip(ROLES, "GD", strict=True):
        state = under(tensors, role)
        weight = torch.nn.Parameter(torch.ones(3))
        optimizer = torch.optim.Adam([weight])
        weight.grad = torch.ones_like(weight)
        optimizer.step()
        files[role] = tmp_path / f"model={letter}-best-weights-step=100000.pth"
        more = {
            "seed": 0,
            "run_name": "CIFAR10-BigGAN",
            "step": 1,
            "topk": "initialize",
            "best_fid": 5.0,
            "lecam_emas": {"decay": 0.9},
        }
        torch.save(
            {"state_dict": state, "optimizer": optimizer.state_dict(), **(more if letter == "D" else {})}, files[role]
        )
    request = Request(
        files=[files["generator"]], variant="biggan", out=tmp_path / "out", discriminator=[files["discriminator"]]
    )
    with logged() as said:
        model = convert(request, registry())
    assert "layout studiogan-big-resnet, 32×32 colour images of 3 classes" in said[0]
    assert model.config.generator.name == "studiogan-residual" and model.config.discriminator.options["width"] == 4
    with torch.no_grad():
        drawn = model.generator.eval()(tensors["latent"], tensors["label"])
    assert close(drawn, tensors["drawn"]) and ganzoo.load(tmp_path / "out").sample(2, label=1).shape == (2, 3, 32, 32)


def test_counts_are_those_of_the_official_code():
    """Of configs/CIFAR10/BigGAN.yaml, SNGAN.yaml and DCGAN.yaml, counted with the official constructors."""
    colour = ImageSpec(32, 3, 10)
    counts = {}
    with torch.device("meta"):
        for name, drawn, judged in (
            (
                "biggan",
                {"latent_dim": 80, "width": 96, "chunked": True, "spectral": True, "attention": 2},
                {"width": 96, "attention": 1},
            ),
            ("sngan", {"latent_dim": 128, "width": 64}, {"width": 64}),
        ):
            made = (
                part("generators", "studiogan-residual", colour, **drawn),
                part("discriminators", "studiogan-residual", colour, **judged),
            )
            counts[name] = tuple(map(count_parameters, made))
        made = [part(kind, "studiogan-convolutional", ImageSpec(32, 3)) for kind in ("generators", "discriminators")]
        counts["dcgan"] = tuple(map(count_parameters, made))
    assert counts == {
        "biggan": (9_416_196, 2_415_170),
        "sngan": (4_304_387, 1_055_105),
        "dcgan": (3_812_355, 2_931_009),
    }


@pytest.mark.parametrize("kind", ["studiogan-residual", "studiogan-convolutional"])
def test_they_can_be_trained(kind):
    """Two passes before one backward, as in a discriminator's step; a copy, as of averaged weights, is independent."""
    torch.manual_seed(0)
    image = ImageSpec(32, 1, 3)
    generator = part("generators", kind, image, width=2, latent_dim=4)
    discriminator = part("discriminators", kind, image, width=2, spectral=True)
    copied, label = deepcopy(discriminator), torch.tensor([0, 2])
    fake = generator(torch.randn(2, 4), label)
    vectors = [network.blocks[0].convolution1.parametrizations.weight[0].u for network in (discriminator, copied)]
    before = vectors[0].clone()
    (discriminator(torch.rand(2, 1, 32, 32), label) - discriminator(fake, label)).mean().backward()
    for network in (generator, discriminator):
        assert all(parameter.grad is not None and parameter.grad.isfinite().all() for parameter in network.parameters())
    assert not torch.equal(vectors[0], before) and torch.equal(vectors[1], before)


def test_what_the_networks_are_not_made_for_is_refused():
    for kind in ("generators", "discriminators"):
        with pytest.raises(ValueError, match="32, 64, 128, 256, 512 pixels, not 48"):
            part(kind, "studiogan-residual", ImageSpec(48, 3))
        with pytest.raises(ValueError, match="are for 32 pixels, not 64"):
            part(kind, "studiogan-convolutional", ImageSpec(64, 3))
        for name in ("studiogan-residual", "studiogan-convolutional"):
            with pytest.raises(ValueError, match="not after 9"):
                part(kind, name, ImageSpec(32, 3), attention=9)
    with pytest.raises(ValueError, match="a multiple of 4"):
        part("generators", "studiogan-residual", ImageSpec(32, 3), latent_dim=10, chunked=True)
