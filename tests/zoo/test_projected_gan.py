"""Projected GAN against its official code and timm's network; its frozen features, mixers, files and resuming."""

import re
from copy import deepcopy

import pytest
import torch
from golden.from_names import numbers, state
from golden_values import close, golden
from safetensors.torch import load_file, save_file
from stepping import count_parameters, part, small_trainer

from ganzoo import ImageSpec
from ganzoo.engine.assets import read_asset
from ganzoo.errors import CheckpointError
from ganzoo.networks.efficientnet import EfficientNetLite0, frozen_efficientnet_lite0
from ganzoo.registry.registry import registry
from ganzoo_plugins.emoji_cnn.model import EmojiCNN
from ganzoo_plugins.fashion_cnn.native import NativeFashionCNN
from ganzoo_plugins.projected_gan.discriminator import ProjectedDiscriminator
from ganzoo_plugins.projected_gan.features import SOURCES, chosen, loaded_network

GREY, COLOUR = ImageSpec(32, 1), ImageSpec(32, 3)
EMBEDDED = 1000  # classes that the official discriminators have room for, whatever the data


def from_names(shapes, prefix):
    return {name: torch.from_numpy(value) for name, value in state(shapes, prefix).items()}


@pytest.fixture(scope="module")
def lite0():
    """Weights of timm's network, made of its names."""
    return from_names({name: tuple(one.shape) for name, one in EfficientNetLite0().state_dict().items()}, "lite0")


@pytest.fixture(scope="module")
def stored():
    return golden("projected-gan")


# -- against the official code ----------------------------------------------------------------------------------------


def theirs(name):
    """The official name of a tensor of our discriminator, and the prefix that its numbers were made with."""
    name = re.sub(r"\.u$", ".weight_u", name)
    if found := re.fullmatch(r"mixers\.(channels|scales)\.(\d)\.(\w+)", name):
        layer = "ccm" if found[1] == "channels" else "csm.out_conv"
        return f"layer{found[2]}_{layer}.{found[3]}", "mixers"
    head, rest = re.fullmatch(r"discriminators\.(\d)\.(.+)", name).groups()
    rest = re.sub(r"^halvings\.(\d)\.norm", r"main.\1.main.1", rest)
    rest = re.sub(r"^halvings\.(\d)\.convolution\.0", r"main.\1.main.0.depthwise", rest)
    rest = re.sub(r"^halvings\.(\d)\.convolution\.1", r"main.\1.main.0.pointwise", rest)
    rest = re.sub(r"^halvings\.(\d)\.convolution", r"main.\1.main.0", rest)
    rest = rest.replace("label.", "embed.").replace("project.", "embed_proj.0.")
    if not re.search(r"main\.\d\.main\.1\.|embed", rest):
        rest = re.sub(r"\.weight$", ".weight_orig", rest)
    return f"mini_discs.{head}.{rest}", "heads"


def official(classes, separable, lite0):
    """Our discriminator with the weights that the official one had."""
    ours = ProjectedDiscriminator(ImageSpec(32, 3, classes), "efficientnet-lite0", "file", separable=separable)
    ours.load_assets({"features": lite0})
    made = {}
    for name, value in ours.state_dict().items():
        if not name.endswith("num_batches_tracked"):
            other, prefix = theirs(name)
            last = len(ours.discriminators[int(name.split(".")[1])].halvings) if prefix == "heads" else 0
            other = re.sub(r"\.score", ".cls" if classes else f".main.{last}", other)
            shape = (EMBEDDED, *value.shape[1:]) if other.endswith("embed.weight") else tuple(value.shape)
            made[name] = from_names({other: shape}, prefix)[other][: len(value)]
    ours.load_state_dict(made, strict=False)
    return ours.train()


@pytest.mark.parametrize(("kind", "classes", "count"), [("plain", 0, 10_331_328), ("separable", 3, 3_305_920)])
def test_logits_and_gradients_of_images_are_the_official_ones(stored, lite0, kind, classes, count):
    ours = official(classes, kind == "separable", lite0)
    assert count_parameters(ours.discriminators) + classes // 3 * 4 * 128 * (EMBEDDED - 3) == count
    images = made_images().requires_grad_(True)
    logits = ours(images, torch.arange(3) % classes if classes else None)
    assert close(logits, stored[f"{kind}.logits"])
    logits[0].sum().backward()
    assert close(images.grad, stored[f"{kind}.gradient"])


def made_images():
    return torch.from_numpy(numbers("images", (3, 3, 32, 32)))


def test_features_are_timms_and_mixers_the_official_ones(stored, lite0):
    ours = official(0, False, lite0)
    images = torch.nn.functional.interpolate(made_images(), 224, mode="bilinear", align_corners=False)
    with torch.no_grad():
        features = ours.features(images)
        mixed = ours.mixers(features)
    assert [tuple(one.shape[1:]) for one in features] == [(24, 56, 56), (40, 28, 28), (112, 14, 14), (320, 7, 7)]
    for number, one in enumerate(features):
        assert close(one[0, :, 3, 4], stored[f"features.{number}"])
        assert close(mixed[number][0, :, 3, 4], stored[f"mixed.{number}"])


def test_settings_are_those_of_the_official_script():
    card = registry().get("variants", "projected-gan")
    training = card.training
    assert (training.batch_size, training.steps, training.ema_images) == (64, 390_625, 20_000)
    loss = part("losses", "sngan", COLOUR, **card.loss.options)
    assert [(phase.name, phase.repeats, phase.batch) for phase in loss.phases] == [
        ("generator", 1, 1),
        ("discriminator", 1, 1),
    ]
    generator = registry().get("generators", card.generator.name)  # whose counts tests/zoo/test_fastgan.py compares
    assert card.generator.options == {"width": 128, "blocks": "heavy", "spherical": True} and callable(generator)


# -- files ------------------------------------------------------------------------------------------------------------


def embedded_network(name):
    """The network with the weights that come with ganzoo."""
    return loaded_network(name, {key: value.float() for key, value in read_asset(SOURCES[name].asset, "it").items()})


@pytest.mark.parametrize(
    ("name", "extractor", "taken"),
    [("fashion-cnn-native", NativeFashionCNN, (0, 1, 2, 3)), ("emoji-cnn", EmojiCNN, (0, 2, 4, 6))],
)
def test_embedded_networks_give_what_the_layers_of_the_extractor_do(name, extractor, taken):
    source = SOURCES[name]
    x, layers = torch.rand(2, source.channels[0], source.least, source.least) * 2 - 1, []
    found = embedded_network(name)(x)
    for layer in extractor.pretrained().body[: 3 * len(source.layers)]:
        x = layer(x)
        layers += [x] if isinstance(layer, torch.nn.ReLU) else []
    assert [tuple(one.shape[1:]) for one in found] == [
        (width, side, side) for width, side in zip(source.widths, (32, 16, 8, 4), strict=True)
    ]
    assert all(torch.allclose(one, layers[number], atol=1e-5) for one, number in zip(found, taken, strict=True))


def test_the_network_follows_the_file_and_the_images():
    assert [chosen("auto", "", one) for one in (GREY, COLOUR)] == ["fashion-cnn-native", "emoji-cnn"]
    assert chosen("auto", "lite0.safetensors", GREY) == "efficientnet-lite0"
    assert chosen("auto", "", ImageSpec(256, 1)) == "efficientnet-lite0"
    with pytest.raises(ValueError, match="1 channels, not 3"):
        chosen("fashion-cnn-native", "", COLOUR)
    with pytest.raises(ValueError, match="1 or 3 channels, not 4"):
        chosen("auto", "", ImageSpec(32, 4))
    with pytest.raises(ValueError, match="leave out features"):
        chosen("fashion-cnn-native", "file", GREY)


def test_without_the_file_a_line_says_how_to_get_it():
    with pytest.raises(CheckpointError, match=r"^[^\n]*0aa007d2[^\n]*--asset efficientnet-lite0[^\n]*features=[^\n]*$"):
        small_trainer("projected-gan", ImageSpec(256, 3), generator={"width": 2}, discriminator={"width": 2})


def test_a_file_that_is_another_network_is_refused(lite0):
    with pytest.raises(CheckpointError, match="conv_stem.weight is missing"):
        frozen_efficientnet_lite0({"features.0.weight": torch.zeros(1)})
    with pytest.raises(CheckpointError, match=r"blocks.6.0.bn3.bias has the shape \(3,\)"):
        frozen_efficientnet_lite0({**lite0, "blocks.6.0.bn3.bias": torch.zeros(3)})


def test_a_file_of_weights_is_recorded_by_its_hash_and_no_part_of_the_state(tmp_path, lite0):
    save_file({**lite0, "classifier.bias": torch.zeros(1000)}, tmp_path / "lite0.safetensors")
    trainer = small_trainer(
        "projected-gan",
        COLOUR,
        2,
        generator={"width": 2},
        discriminator={"width": 2, "features": str(tmp_path / "lite0.safetensors")},
    )
    assert list(trainer.assets) == ["discriminator.features"]
    assert all("conv_stem" not in name for name in trainer.state()["discriminator"])
    before = {name: value.clone() for name, value in trainer.discriminator.features.network.state_dict().items()}
    trainer.step()
    after = trainer.discriminator.features.network.state_dict()
    assert all(torch.equal(value, after[name]) for name, value in before.items()), "its statistics too stay"
    assert not trainer.discriminator.features.network.training
    assert set(load_file(tmp_path / "lite0.safetensors")) > set(after)


# -- training ---------------------------------------------------------------------------------------------------------


def embedded():
    return small_trainer("projected-gan", GREY, 2, generator={"width": 2}, discriminator={"width": 2}, steps=4)


def test_mixers_are_saved_and_never_learn_and_a_resumed_run_ends_in_the_same_bits():
    whole, other = embedded(), embedded()
    fixed = {name: value.clone() for name, value in whole.discriminator.mixers.state_dict().items()}
    assert len(fixed) == 16 and all(f"mixers.{name}" in whole.state()["discriminator"] for name in fixed)
    whole.step()
    with torch.no_grad():
        for parameter in other.discriminator.parameters():
            parameter.zero_()
    other.load_state(deepcopy(whole.state()))
    whole.step(), other.step()
    for name in ("generator", "generator_ema", "discriminator"):
        found, wanted = other.state()[name], whole.state()[name]
        assert all(torch.equal(value, found[key]) for key, value in wanted.items()), name
    assert all(torch.equal(value, whole.discriminator.mixers.state_dict()[name]) for name, value in fixed.items())
