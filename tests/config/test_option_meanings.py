"""What options mean, as docstrings say and `ganzoo show` prints."""

from __future__ import annotations

import json

import pytest

from ganzoo.cli import main
from ganzoo.config.parts import KIND_OF, option_meanings, options_of
from ganzoo.registry.registry import registry
from ganzoo.testing.card_checks import _unexplained


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


def call(*words: str) -> int:
    with pytest.raises(SystemExit) as ended:
        main(list(words))
    return ended.value.code


def test_show_says_what_options_mean(capsys):
    assert call("show", "dcgan") == 0
    lines = capsys.readouterr().out.splitlines()
    place = lines.index("  --set generator.latent_dim=100")
    assert lines[place + 1].strip() == "numbers in a latent."
    assert call("show", "lecam") == 0
    text = capsys.readouterr().out
    assert "share of the moving averages" in text and "Options:" not in text
    assert call("show", "dcgan", "--json") == 0
    assert "latent" in json.loads(capsys.readouterr().out)["parts"]["generator"]["meanings"]["latent_dim"]


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
