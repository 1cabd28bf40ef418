"""Models of generators that take a source, or map latents to styles."""

import json

import pytest
import torch
from contract.harness import contract_registry, trainer_for

from ganzoo import Field, SampleSpec
from ganzoo.errors import CheckpointError, UsageError
from ganzoo.models.config import ModelConfig, Provider, checked_config
from ganzoo.models.explore import explore
from ganzoo.models.export import export, input_names
from ganzoo.models.load import load_folder
from ganzoo.models.model import Model

NAMES = "abcdefghijklmnopq"


@pytest.fixture(scope="module")
def parts():
    return contract_registry()


def model_of(name, parts):
    trainer = trainer_for(name, parts)
    trainer.step()
    variant = parts.get("variants", name)
    config = ModelConfig(
        variant=name,
        generator=variant.generator,
        image=trainer.image,
        latent_dim=trainer.generator.latent_dim,
        provider=Provider(distribution="ganzoo-contract", version="1.0"),
        license="mit",
        task=variant.task,
        inputs=dict(variant.inputs),
    )
    return Model(trainer.sampler, config)


def source(n=3):
    return torch.rand(n, 1, 8, 8, generator=torch.Generator().manual_seed(n)) * 2 - 1


def test_a_translator_is_saved_loaded_and_gives_the_same(parts, tmp_path):
    model = model_of("cyclegan", parts)
    before = model.generate(model.latent(3), source=source())
    assert before.shape == (3, 1, 8, 8) and model.latent(3).shape == (3, 0)
    model.save(tmp_path / "model")
    plain = json.loads((tmp_path / "model" / "config.json").read_text())
    assert plain["task"] == "translation" and plain["inputs"] == {"source": None} and plain["latent_dim"] == 0
    assert plain["image"]["inputs"]["source"] == {"shape": [1, 8, 8], "kind": "image", "classes": 0}
    loaded = load_folder(tmp_path / "model", parts=parts)
    assert loaded.image == model.image
    torch.testing.assert_close(loaded.generate(loaded.latent(3), source=source()), before)


def test_sampling_a_translator_is_refused_with_what_to_use(parts):
    model = model_of("cyclegan", parts)
    for ask in (
        lambda: explore(model),
        lambda: model.sample(2),
        lambda: next(model.interpolate(2)),
        lambda: model.sample_pil(2),
    ):
        with pytest.raises(UsageError, match="cyclegan generator .* source .*ganzoo apply"):
            ask()


@pytest.mark.parametrize("format, suffix", [("torchscript", ".pt"), ("torch-export", ".pt2")])
def test_a_translator_is_exported_with_its_source_alone(parts, tmp_path, format, suffix):
    model = model_of("cyclegan", parts)
    assert input_names(model) == ("source",)
    assert export(model, tmp_path / f"model{suffix}", format).difference <= 1e-4
    if format == "torchscript":
        script = torch.jit.load(tmp_path / "model.pt")
        torch.testing.assert_close(script(source()), model.generate(model.latent(3), source=source()))


def test_images_come_of_styles_and_truncation_acts_on_them(parts):
    model = model_of("stylegan2", parts)
    latent = model.latent(4, seed=1)
    styles = model.style(latent)
    assert styles.shape == (4, 3, 4)
    torch.testing.assert_close(model.render(styles), model.sample(4, seed=1))
    mean = model.generator.mean_style.expand_as(styles[:1])
    torch.testing.assert_close(model.sample(4, seed=1, truncation=1.0), model.sample(4, seed=1))
    for psi in (0.0, -0.5, 1.5):  # all of which mean something between styles
        expected = torch.lerp(mean.expand_as(styles), styles, psi)
        torch.testing.assert_close(model.style(latent, truncation=psi), expected)
    torch.testing.assert_close(model.sample(4, seed=1, truncation=0.0), model.render(mean).expand(4, -1, -1, -1))


def test_the_way_between_styles_is_straight(parts):
    """The sphere of the inherited interpolation would run over the wrong axis of styles without an error."""
    model = model_of("stylegan2", parts)
    images = list(model.interpolate(2, frames=2, seed=3, closed=False))
    start, end = model.style(model.latent(2, seed=3))
    torch.testing.assert_close(images[1], model.render(((start + end) / 2)[None]))


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"image": {"output": {"shape": [1, 8, 8]}, "inputs": {"source": {"shape": [9000, 8, 8]}}}}, "source of shape"),
        ({"image": {"output": {"shape": [5, 8, 8]}}}, "output of shape"),
        ({"image": {"output": {"shape": [8, 8], "kind": "audio"}}}, "kind 'audio'"),
        ({"image": {"output": {"shape": [1, 8, 8]}, "inputs": {"x": {"shape": [], "kind": "class"}}}}, "kind 'class'"),
        ({"image": {"output": {"shape": [1] * 5, "kind": "points"}}}, "output of shape"),
        (
            {"image": {"output": {"shape": [1, 8, 8]}, "inputs": {str(n): {"shape": [2]} for n in range(17)}}},
            "17 inputs",
        ),
        ({"image": {"size": 8, "channels": 1, "colour": 3}}, "unknown key 'colour'"),
        ({"image": {"size": 8, "channels": 1}}, "latent_dim: 0 is out of range"),
        ({"inputs": {"mask": None}}, "'mask' is no input"),
        ({"inputs": {"source": {"name": "grey", "options": {"strength": 1e9}}}}, "inputs.source.strength"),
        ({"task": "a\nb"}, "task: .* one line"),
    ],
)
def test_a_hostile_specification_is_refused(parts, tmp_path, change, problem):
    model_of("cyclegan", parts).save(tmp_path / "model")
    plain = json.loads((tmp_path / "model" / "config.json").read_text())
    with pytest.raises(CheckpointError, match=problem):
        checked_config({**plain, **change}, "config.json")


def test_square_images_keep_the_short_form_of_before():
    config = ModelConfig(
        variant="dcgan",
        generator=contract_registry().get("variants", "dcgan").generator,
        image=SampleSpec(Field((1, 8, 8)), {"label": Field((), "class", 10)}),
        latent_dim=6,
        provider=Provider(distribution="x", version="1"),
        license="mit",
    )
    plain = json.loads(config.as_json())
    assert plain["image"] == {"size": 8, "channels": 1, "classes": 10} and not {"task", "inputs"} & plain.keys()
