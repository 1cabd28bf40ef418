"""What options mean, as docstrings say and `ganzoo show` prints."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import fields
from inspect import getdoc

import pytest

from ganzoo.cli import main
from ganzoo.config.parts import KIND_OF, option_meanings, options_of, training_meanings
from ganzoo.registry.registry import registry
from ganzoo.testing.card_checks import _unexplained
from ganzoo.variant import Training

LONGEST = 120


class Explained:
    """A part with `width` channels. Its `depth` is 2 by Lin et al. (2018), and `scale=2.5` doubles. Not `other`.

    Options:
        width: channels of a layer,
            each of them.
        unknown: no option.

    A paragraph behind the section: width: nothing.
    """

    def __init__(self, image, width=1, depth=2, scale=2.0, silent=None):
        pass


def test_a_meaning_is_its_line_or_else_a_sentence():
    assert option_meanings(Explained) == {
        "width": "channels of a layer, each of them.",
        "depth": "Its `depth` is 2 by Lin et al. (2018), and `scale=2.5` doubles.",
        "scale": "Its `depth` is 2 by Lin et al. (2018), and `scale=2.5` doubles.",
    }


def test_every_option_of_a_built_in_part_has_a_meaning():
    found = registry()
    missing = []
    for kind in set(KIND_OF.values()):
        for name in found.names(kind):
            claim = found.claim(kind, name)
            if claim.plugin.builtin:
                known = option_meanings(claim.value)
                missing += [(kind, name, option) for option in options_of(claim.value) if option not in known]
    assert not missing


def test_every_explanation_of_a_built_in_part_stands_alone():
    """Each is a line of its own, of a length that a terminal shows without a break."""
    found = registry()
    wrong = []
    for kind in sorted(set(KIND_OF.values())):
        for name in found.names(kind):
            claim = found.claim(kind, name)
            known = option_meanings(claim.value) if claim.plugin.builtin else {}
            times = Counter(known.values())
            text = getdoc(claim.value) or ""
            wrong += [
                f"{kind}/{name}.{option}: {meaning}"
                for option, meaning in known.items()
                if len(meaning) > LONGEST or times[meaning] > 1 or f"\n    {option}: " not in text
            ]
    assert not wrong


def test_every_training_setting_has_an_explanation_of_its_own():
    known = training_meanings()
    assert list(known) == [each.name for each in fields(Training)]
    assert max(map(len, known.values())) <= LONGEST and len(set(known.values())) == len(known)


def call(*words: str) -> int:
    with pytest.raises(SystemExit) as ended:
        main(list(words))
    return ended.value.code


def test_show_says_what_options_mean(capsys):
    assert call("show", "dcgan") == 0
    lines = capsys.readouterr().out.splitlines()
    place = lines.index("  --set generator.latent_dim=100")
    assert lines[place + 1].strip() == "numbers in a latent."
    for name, meaning in training_meanings().items():
        (place,) = [n for n, line in enumerate(lines) if line.startswith(f"  --set training.{name}=")]
        assert lines[place + 1].strip() == meaning.replace("None", "null")
    assert call("show", "lecam") == 0
    text = capsys.readouterr().out
    assert "share of the moving averages" in text and "Options:" not in text
    assert call("show", "dcgan", "--json") == 0
    assert "latent" in json.loads(capsys.readouterr().out)["parts"]["generator"]["meanings"]["latent_dim"]


def test_show_explains_the_constants_that_set_takes(capsys):
    assert call("show", "stylegan2") == 0
    text = capsys.readouterr().out
    assert "--set discriminator.limit=null" in text and "null: not at all." in text and "None" not in text


def test_schedules_of_a_card_are_explained_once(capsys):
    assert call("show", "r3gan") == 0
    text = capsys.readouterr().out
    assert "--set training.schedules.generator_lr=" in text and text.count(training_meanings()["schedules"]) == 1


def test_the_check_names_options_without_a_meaning():
    from types import SimpleNamespace

    from ganzoo.variant import Part, Variant

    part = Part("explained")
    card = Variant(
        name="x",
        summary="y",
        paper="https://z",
        year=2020,
        generator=part,
        discriminator=None,
        loss=part,
        sizes=(8,),
    )
    subject = SimpleNamespace(variant=card, registry=SimpleNamespace(get=lambda kind, name: Explained))
    remark = _unexplained(subject)
    assert "generator.silent" in remark and "loss.silent" in remark and "width" not in remark
    assert "share a sentence" in remark and "generator.depth, generator.scale" in remark
