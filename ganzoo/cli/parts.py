"""Parts of every kind for `ganzoo list --parts` and `ganzoo show`: summary, options and provider."""

from __future__ import annotations

import json
import re
import sys
from fnmatch import fnmatch

import click

from ganzoo.errors import UsageError, did_you_mean
from ganzoo.registry.registry import KINDS, SINGULAR, Registry

PART_KINDS = KINDS[1:]
# The --set path of a part's options, by kind; other kinds take no options from the command line.
SETTINGS = {
    "generators": "generator",
    "discriminators": "discriminator",
    "losses": "loss",
    "regularizers": "regularizers.{name}",
    "augmentations": "augmentation",
    "conditions": "source",
}


def list_parts(found: Registry, kind: str, pattern: str, as_json: bool) -> None:
    """Prints every part of a kind, or of "all", whose name matches the pattern; exits with 1 if none does."""
    kinds = PART_KINDS if kind == "all" else (kind,)
    cards = [part_card(found, each, name) for each in kinds for name in found.names(each) if fnmatch(name, pattern)]
    if as_json:
        click.echo(json.dumps(cards, indent=2, default=str))
    elif cards:
        _print_table(cards)
    else:
        click.echo(f"No part matches. Kinds: {', '.join(PART_KINDS)}.", err=True)
    if not cards:
        sys.exit(1)


def _print_table(cards: list[dict]) -> None:
    widths = [max(len(card[key]) for card in cards) for key in ("kind", "name")]
    for card in cards:
        start = f"{card['kind']:<{widths[0]}}  " + click.style(f"{card['name']:<{widths[1]}}", fg="cyan", bold=True)
        provider = "" if card["builtin"] else f"  [{card['distribution']} {card['version']}]"
        click.echo(f"{start}  {card['summary']}{provider}".rstrip())


def part_card(found: Registry, kind: str, name: str) -> dict:
    """Returns the facts of a part: kind, docstring, options with defaults, and provider."""
    from inspect import getdoc

    from ganzoo.config.parts import option_meanings, options_of

    claim = found.claim(kind, name)
    text = (getdoc(claim.value) or "").partition("\nOptions:\n")[0].split("\n\n")
    options = options_of(claim.value) if kind in SETTINGS else {}
    return {
        "kind": SINGULAR[kind],
        "name": name,
        "summary": " ".join(text[0].split()),
        "details": [" ".join(paragraph.split()) for paragraph in text[1:] if paragraph.strip()],
        "options": {key: None if option.default is option.empty else option.default for key, option in options.items()},
        "meanings": option_meanings(claim.value) if options else {},
        "settings": SETTINGS.get(kind, "").format(name=name),
        "mixin": kind in ("regularizers", "augmentations"),
        "distribution": claim.plugin.distribution,
        "version": claim.plugin.version,
        "builtin": claim.plugin.builtin,
    }


def show_parts(found: Registry, name: str, otherwise: UsageError, as_json: bool) -> None:
    """Shows every part of that name. Without one it raises `otherwise`, or suggests a part if no variant is nearer."""
    cards = [part_card(found, kind, name) for kind in PART_KINDS if name in found.names(kind)]
    if not cards:
        if found.tag_hint(name):
            raise otherwise
        variants = found.names("variants")
        near = did_you_mean(name, {*variants, *(part for kind in PART_KINDS for part in found.names(kind))})
        if near.startswith(" Did you mean") and near not in {f" Did you mean '{variant}'?" for variant in variants}:
            raise UsageError(f"No variant and no part is called '{name}'.{near}")
        raise otherwise
    if as_json:
        click.echo(json.dumps(cards, indent=2, default=str))
        return
    for number, card in enumerate(cards):
        if number:
            click.echo()
        _print_card(card)


def _print_card(card: dict) -> None:
    from textwrap import fill

    click.echo(
        click.style(card["name"], fg="cyan", bold=True) + f", {'an' if card['kind'][0] in 'ae' else 'a'} {card['kind']}"
    )
    for paragraph in [card["summary"], *card["details"]]:
        click.echo(fill(paragraph, 110, initial_indent="  ", subsequent_indent="  "))
    click.echo(f"  provider  {card['distribution']} {card['version']}")
    if card["mixin"]:
        click.echo(f"  --with {card['name']}")
    for option, value in card["options"].items():
        click.echo(
            f"  --set {card['settings']}.{option}={value if isinstance(value, str) else json.dumps(value, default=str)}"
        )
        print_meaning(card["meanings"].get(option, ""))


def print_meaning(meaning: str) -> None:
    """Prints what an option means below it, if a docstring says so, with Python's constants as `--set` takes them."""
    from textwrap import fill

    if meaning:
        for python, shell in (("None", "null"), ("True", "true"), ("False", "false")):
            meaning = re.sub(rf"\b{python}\b", shell, meaning)
        click.echo(click.style(fill(meaning, 110, initial_indent=" " * 8, subsequent_indent=" " * 8), dim=True))
