"""`Generator.init_from_data` gets the mean image once, before copies are made; other generators cost no pass."""

import shutil
from dataclasses import replace

import pytest
import small
import torch
from stepping import RandomBatches

from ganzoo import ImageSpec
from ganzoo.cli import main
from ganzoo.config.recipe import bind
from ganzoo.data import ImageData
from ganzoo.data.batches import mean_image
from ganzoo.engine.build import build_trainer, overrides_init_from_data
from ganzoo.registry.registry import registry

IMAGE = ImageSpec(28, 1)


def trainer_of(name, image, mean, **training):
    variant = registry().get("variants", name)
    options = {"generator": {"width": 4}, "discriminator": {"width": 4} if name == "dcgan" else {"units": 2}}
    changed = {role: replace(getattr(variant, role), options=more) for role, more in options.items()}
    variant = replace(variant, **changed, training=replace(variant.training, batch_size=2, **training))
    return build_trainer(bind(variant, registry()), image, RandomBatches(image, 2), mean_image=mean)


def test_the_mean_is_exact_and_the_same_however_many_images_there_are():
    images = torch.tensor([[0, 255], [255, 255], [0, 255], [0, 255]], dtype=torch.uint8).view(4, 1, 2, 1)
    one = ImageData(images, None, (), "four", "")
    many = ImageData(images.repeat(1000, 1, 1, 1), None, (), "many", "")
    assert mean_image(one).shape == (1, 1, 2) and mean_image(one).flatten().tolist() == [-0.5, 1.0]
    assert torch.equal(mean_image(one), mean_image(many))


def test_the_average_starts_there_too():
    mean = torch.linspace(-0.9, 0.9, 28 * 28).view(1, 28, 28)
    trainer = trainer_of("gan", IMAGE, lambda: mean, ema=0.9)
    for network in (trainer.generator, trainer.ema):
        torch.testing.assert_close(torch.sigmoid(network.main[-3].bias) * 2 - 1, mean.flatten())


def test_a_generator_that_does_not_ask_costs_no_pass_over_the_images():
    def pass_over():
        raise AssertionError("the images were read")

    assert not overrides_init_from_data(trainer_of("dcgan", ImageSpec(32, 1), pass_over).generator)
    with pytest.raises(AssertionError, match="were read"):
        trainer_of("gan", IMAGE, pass_over)


def test_a_run_killed_before_its_first_checkpoint_starts_from_the_mean_again(tmp_path, monkeypatch):
    monkeypatch.setenv("GANZOO_CACHE", str(tmp_path / "cache"))
    data = small.images(tmp_path / "grey.npz", 12, 28)
    whole, killed = tmp_path / "whole", tmp_path / "killed"

    def run(*words):
        with pytest.raises(SystemExit) as ended:
            main([str(word) for word in words])
        assert ended.value.code == 0

    run(*small.arguments(data, whole, "--set", "discriminator.units=2", variant="gan", steps=2, size=28))
    shutil.copytree(whole, killed)
    shutil.rmtree(killed / "checkpoints")
    run("train", "--out", killed, "--resume")
    assert small.same(small.newest(killed), small.newest(whole))
    assert small.newest(whole)["generator"]["main.4.bias"].std() > 0.1
