"""`--source` and `--set source.option=value`: which condition computes an input, and with what options."""

import pytest
from translation import translators

from ganzoo import Part
from ganzoo.config.settings import resolve
from ganzoo.config.source import with_source
from ganzoo.errors import UsageError


@pytest.fixture(scope="module")
def registry():
    return translators()


def chosen(registry, name, source, *settings, side_by_side=False):
    variant = with_source(registry.get("variants", name), source, side_by_side, registry)
    return resolve(variant, settings, registry).variant.inputs["source"]


@pytest.mark.parametrize("path", ["source.factor", "inputs.source.factor"])
def test_options_of_a_condition_have_two_spellings(registry, path):
    assert chosen(registry, "enlarger", None, f"{path}=4") == Part("downscale", {"factor": 4})


def test_the_cards_condition_keeps_its_options_when_it_is_named_again(registry):
    assert chosen(registry, "enlarger", "downscale") == Part("downscale", {"factor": 2})
    assert chosen(registry, "enlarger", "grey") == Part("grey")
    assert chosen(registry, "enlarger", None, "source=grey") == Part("grey")
    assert chosen(registry, "enlarger", None, "source=null") is None


def test_a_folder_or_pictures_of_both_sides_replace_a_condition(registry, tmp_path):
    assert chosen(registry, "enlarger", str(tmp_path)) is None
    assert chosen(registry, "enlarger", None, side_by_side=True) is None


def test_a_folder_called_like_a_condition_is_reached_by_its_path(registry, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "grey").mkdir()
    assert chosen(registry, "translator", "grey") == Part("grey")
    assert chosen(registry, "translator", "./grey") is None


def test_the_recipe_binds_the_condition_and_names_its_plugin(registry):
    recipe = resolve(registry.get("variants", "enlarger"), [], registry)
    assert recipe.conditions["source"].options == {"factor": 2} and "inputs.source" not in recipe.parts
    assert [plugin.name for plugin in recipe.plugins][-1] == "ganzoo:conditions"


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        (["source.factr=4"], "inputs.source.factr: unknown option. Did you mean 'factor'"),
        (["source.factor=5"], "inputs.source.factor: Invalid enum value 5; known: "),
        (["source=upscale"], "inputs.source: No condition is called 'upscale'"),
        (["source.factor.deep=1"], "there is one value, not a table"),
        (["source.factor=99999999"], "inputs.source.factor: 99999999 is out of range"),
    ],
)
def test_wrong_settings_name_the_option(registry, settings, words):
    with pytest.raises(UsageError, match=words):
        chosen(registry, "enlarger", None, *settings)
