"""`ganzoo mix`: weights of two generators of one architecture, interpolated number by number."""

import json
import math
from dataclasses import replace

import pytest
import small
import torch
import translators
from models import lively_model
from translators import translator

import ganzoo
from ganzoo import Part
from ganzoo.errors import UsageError
from ganzoo.models.config import read_model_config
from ganzoo.models.mix import mix
from ganzoo.models.model import Model


@pytest.fixture(scope="module", autouse=True)
def plugin():
    with translators.installed_plugin():
        yield


def weights_of(model: Model) -> dict[str, torch.Tensor]:
    return model.generator.state_dict()


def changed(model: Model, **changes) -> Model:
    return Model(model.generator, replace(model.config, **changes))


@pytest.mark.parametrize("alpha", [0.0, 0.3, 1.0])
def test_every_number_lies_at_alpha_between_the_two(alpha):
    first, second = translator(seed=1), translator(seed=2)
    found = weights_of(mix(first, second, alpha))
    for name, ours in weights_of(first).items():
        theirs = weights_of(second)[name]
        wanted = ours if not ours.is_floating_point() else (1 - alpha) * ours.double() + alpha * theirs.double()
        assert torch.equal(found[name], wanted.to(ours.dtype)), name


def test_the_two_stay_as_they_are_and_the_mixture_works():
    first, second = translator(seed=1), translator(seed=2)
    before = {name: value.clone() for name, value in weights_of(first).items()}
    source = translators.sources(1, 16, 16)
    made = mix(first, second, 0.5).apply(source)
    assert not torch.equal(made, first.apply(source)) and not torch.equal(made, second.apply(source))
    assert all(torch.equal(before[name], value) for name, value in weights_of(first).items())


def test_a_counter_is_the_firsts():
    first, second = lively_model(seed=1), lively_model(seed=2)
    for number, model in enumerate((first, second)):
        for name, value in weights_of(model).items():
            if name.endswith("num_batches_tracked"):
                value.fill_(10 + number)
    counters = [value for name, value in weights_of(mix(first, second, 0.9)).items() if name.endswith("tracked")]
    assert counters and all(int(value) == 10 for value in counters)


def test_the_config_names_both_origins_and_both_licenses():
    first, second = translator(seed=1), changed(translator(seed=2), license="CC-BY-NC-SA-4.0")
    config = mix(first, second, 0.25, ("psnr", "gan")).config
    assert config.license == "MIT AND CC-BY-NC-SA-4.0"
    assert config.training["mixed"]["alpha"] == 0.25
    assert [of["model"] for of in config.training["mixed"]["of"]] == ["psnr", "gan"]
    assert [of["license"] for of in config.training["mixed"]["of"]] == ["MIT", "CC-BY-NC-SA-4.0"]
    assert mix(first, changed(second, license="unknown"), 0.25).config.license == "unknown"


@pytest.mark.parametrize("alpha", [-0.1, 1.1, math.nan, math.inf])
def test_alpha_is_a_share(alpha):
    with pytest.raises(UsageError, match="from 0 to 1"):
        mix(translator(), translator(), alpha)


OTHERS = {
    "another generator": (lambda: lively_model(), r"generator 'tiny-translation', the second 'dcgan'"),
    "another width": (lambda: translator(width=5), r"'layers.0.weight' is \(6, 3, 3, 3\) in the first and \(5, 3"),
    "more layers": (lambda: translator(halvings=2), r"'layers.6.weight' is not there in the first"),
    "another option": (
        lambda: changed(translator(), generator=Part(translators.NAME, {"coupling": "own"})),
        r"option coupling is '' in the first and 'own' in the second",
    ),
    "another scale": (lambda: changed(translator(), image=translators.spec(scale=2)), r"source image .*1.* and .*2"),
    "classes of other names": (lambda: changed(translator(), classes=("a",)), r"classes: \[\] .* \['a'\]"),
}


@pytest.mark.parametrize("name", OTHERS)
def test_architectures_that_differ_are_refused_with_the_first_difference(name):
    make, expected = OTHERS[name]
    with pytest.raises(UsageError, match=expected) as refused:
        mix(translator(), make(), 0.5)
    assert str(refused.value).startswith("Only models of one architecture mix: ") and "\n" not in str(refused.value)


def test_a_size_that_a_translator_takes_anyway_is_no_difference():
    large = translator(translators.spec(size=32), seed=2)
    assert mix(translator(translators.spec(size=16), seed=1), large, 0.5).image.size == 16


def test_options_that_are_left_out_are_the_defaults():
    explicit = translator(seed=2, width=6, halvings=1)
    assert mix(translator(seed=1), explicit, 0.5).config.generator.options == {}


def test_the_public_function_takes_models_and_folders(tmp_path):
    first, second = lively_model(seed=1), lively_model(seed=2)
    second.save(tmp_path / "second")
    found = ganzoo.mix(first, tmp_path / "second", 0.5)
    assert torch.equal(weights_of(found)["main.0.weight"], weights_of(mix(first, second, 0.5))["main.0.weight"])


def test_the_command_writes_a_folder_that_loads_and_says_what_it_mixed(tmp_path):
    for number in (1, 2):
        lively_model(seed=number).save(tmp_path / f"model-{number}")
    words = [str(tmp_path / "model-1"), str(tmp_path / "model-2"), "--alpha", "0.3", "--out", str(tmp_path / "mixed")]
    done = small.forked_ganzoo("mix", *words, "--json")
    assert done.returncode == 0, done.stderr
    said, config = json.loads(done.stdout), read_model_config(tmp_path / "mixed" / "config.json")
    assert said["sha256"] == config.weights.sha256 and said["alpha"] == config.training["mixed"]["alpha"] == 0.3
    assert [of["model"] for of in said["of"]] == ["model-1", "model-2"] and str(tmp_path) not in str(config.training)
    assert ganzoo.load(tmp_path / "mixed").sample(1).shape == (1, 1, 16, 16)
    again = small.forked_ganzoo("mix", *words)
    assert again.returncode == 2 and "in the way" in again.stderr
