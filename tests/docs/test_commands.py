"""The commands that docs/variants and pages by task show: options exist and settings resolve, without training."""

import re
import shlex

import click
import pytest
from paths import ROOT

from ganzoo.bench.cells import split_settings
from ganzoo.cli import group
from ganzoo.config.mixins import mixed_in
from ganzoo.config.settings import resolve
from ganzoo.registry.registry import registry

PAGES = sorted((ROOT / "docs" / "variants").glob("*.md"))
PAGES += [
    ROOT / "docs" / f"{name}.md"
    for name in ("mixins", "applying", "metrics", "why-gans-are-hard", "inversion", "latents")
]


def commands(page) -> list[list[str]]:
    """Returns the arguments of every `$ ganzoo ...` in the console blocks of `page`."""
    text = "".join(re.findall(r"```console\n(.*?)```", page.read_text(encoding="utf-8"), re.S)).replace("\\\n", "")
    return [shlex.split(line, comments=True) for line in re.findall(r"^\$ ganzoo (.+)$", text, re.M)]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_commands_parse_and_their_settings_resolve(page):
    assert commands(page)
    for name, *arguments in commands(page):
        above = click.Context(group, info_name="ganzoo", **group.context_settings)  # commands keep its names of --help
        context = group.get_command(above, name).make_context(name, arguments, parent=above)
        variants = context.params.get("sources") or [context.params.get("variant")]
        if name not in ("train", "bench"):
            continue
        settings = split_settings(context.params["settings"], variants)
        for variant in [registry().get("variants", given) for given in variants]:
            mixed = mixed_in(variant, context.params.get("mixins", ()), registry())
            resolve(mixed, settings[variant.name], registry())


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_test_files_that_a_page_names_exist(page):
    for path in re.findall(r"`((?:tests|benchmarks)/[\w./-]+)[` ]", page.read_text(encoding="utf-8")):
        assert (ROOT / path).exists(), f"{page.name} names {path}, which is not there"
