"""`ganzoo list`, `ganzoo show` and `ganzoo plugins`."""

from __future__ import annotations

import json
import sys
from fnmatch import fnmatch

import click

from ganzoo.cli.common import REPORTED, loaded_registry, report_warnings
from ganzoo.cli.parts import PART_KINDS, list_parts, print_meaning, show_parts
from ganzoo.cli.types import VariantName
from ganzoo.errors import UsageError
from ganzoo.registry.registry import Registry, registry
from ganzoo.variant import Variant, Weights, size_text


@click.command("list")
@click.argument("pattern", default="*", type=VariantName())
@click.option("--tag", multiple=True, help="Only variants with this tag; may be repeated, then all must match.")
@click.option(
    "--parts",
    is_flag=False,
    flag_value="all",
    type=click.Choice(["all", *PART_KINDS]),
    metavar="[KIND]",
    help=f"List parts instead of variants: of every kind, or of KIND ({', '.join(PART_KINDS)}).",
)
@click.option("--json", "as_json", is_flag=True, help="Print a JSON array.")
def list_variants(pattern: str, tag: tuple[str, ...], parts: str | None, as_json: bool) -> None:
    """List variants, or parts of variants.

    PATTERN is a shell pattern for names, such as 'wgan*'.

    \b
    ganzoo list
    ganzoo list 'wgan*' --json
    ganzoo list --tag conditional
    ganzoo list --parts regularizers
    """
    found = loaded_registry()
    if parts:
        if tag:
            raise UsageError("Parts have no tags: leave out --tag or --parts.")
        list_parts(found, parts, pattern, as_json)
        return
    variants = [v for v in found.variants() if fnmatch(v.name, pattern) and set(tag) <= set(v.tags)]
    if as_json:
        click.echo(json.dumps([_row(found, variant) for variant in variants], indent=2))
    else:
        _print_table(found, variants)
    if not variants and not as_json:
        tags = sorted({name for v in found.variants() for name in v.tags})
        click.echo(
            f"No variant matches. Known: {', '.join(found.names('variants'))}. Tags: {', '.join(tags)}.", err=True
        )
    if not variants:
        sys.exit(1)


def _row(found: Registry, variant: Variant) -> dict:
    plugin = found.claim("variants", variant.name).plugin
    return {
        "name": variant.name,
        "summary": variant.summary,
        "year": variant.year,
        "paper": variant.paper,
        "kind": variant.kind,
        "sizes": list(variant.sizes),
        "size_rule": _size_rule(variant),
        "labels": variant.labels,
        "tags": list(variant.tags),
        "weights": sorted(variant.weights),
        "distribution": plugin.distribution,
        "version": plugin.version,
    }


def _size_rule(variant: Variant) -> dict | None:
    """Returns the sizes that a card's rule adds to its own; None for a card without a rule."""
    rule = variant.size_rule
    if not rule.powers and not rule.multiple:
        return None
    return {name: getattr(rule, name) for name in ("powers", "multiple", "least", "most", "square")}


def _sizes(variant: Variant) -> str:
    """Returns its own sizes, and the range of those that its rule adds: "32/64 px (16-256)"."""
    rule = variant.size_rule
    more = f" ({rule.least}-{rule.most})" if rule.powers or rule.multiple else ""
    return "/".join(map(str, sorted(rule))) + " px" + more


def _print_table(found: Registry, variants: list[Variant]) -> None:
    import shutil

    rows = [
        (
            v.name,
            str(v.year),
            _sizes(v) if v.sizes else v.kind,
            " ".join(sorted(v.weights)),
            v.summary + _provider(found, v),
        )
        for v in variants
    ]
    if not rows:
        return
    widths = [max(len(row[column]) for row in rows) for column in range(4)]
    room = shutil.get_terminal_size((120, 24)).columns if sys.stdout.isatty() else 10_000
    lines = []
    for *cells, text in rows:
        start = "".join(f"{cell:<{width}}  " for cell, width in zip(cells, widths, strict=True) if width)
        text = text if len(start) + len(text) <= room else text[: max(room - len(start) - 3, 10)] + "..."
        lines.append(click.style(start[: widths[0]], fg="cyan", bold=True) + start[widths[0] :] + text)
    click.echo("\n".join(lines))


def _provider(found: Registry, variant: Variant) -> str:
    plugin = found.claim("variants", variant.name).plugin
    return "" if plugin.builtin else f"  [{plugin.distribution} {plugin.version}]"


@click.command()
@click.argument("name", type=VariantName())
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def show(name: str, as_json: bool) -> None:
    """Show the paper, parts, options and settings of a variant.

    NAME may also be a part of any kind, such as the regularizer r1: its description, options and use.
    """
    found = loaded_registry()
    try:
        variant = found.get("variants", name)
    except UsageError as error:
        show_parts(found, name, error, as_json)
        report_warnings(found)
        return
    from ganzoo.config.parts import KIND_OF, conditions_of, option_meanings, options_of, parts_of, training_meanings
    from ganzoo.config.schema import as_json as plain

    parts: dict[str, dict] = {}
    for path, part in {**parts_of(variant), **conditions_of(variant)}.items():
        factory = found.get(KIND_OF[path.partition(".")[0]], part.name)
        options = options_of(factory)
        defaults = {key: None if option.default is option.empty else option.default for key, option in options.items()}
        parts[path] = {
            "name": part.name,
            "options": {**defaults, **part.options},
            "meanings": option_meanings(factory),
        }
    weights = {tag: _weights(variant.weights[tag]) for tag in sorted(variant.weights)}
    card = {
        **_row(found, variant),
        "weights": weights,
        "parts": parts,
        "training": plain(variant)["training"],
        "training_meanings": training_meanings(),
    }
    if variant.inputs:
        how = "from a set of its own" if variant.pairing == "independent" else "paired"
        card["inputs"] = {
            name: f"computed by {part.name}" if part else f"comes with the data, {how}"
            for name, part in variant.inputs.items()
        }
    click.echo(json.dumps(card, indent=2, default=str)) if as_json else _print_card(variant, card)


def _weights(weights: Weights) -> dict:
    """Returns the image shape, location and license of a pretrained generator."""
    where = f"{weights.repo}@{weights.revision}" if weights.repo else weights.package_file
    image = {"size": weights.image.image_size, "channels": weights.image.channels, "classes": weights.image.classes}
    return {
        "where": where,
        "embedded": weights.repo is None,
        "image": image,
        "license": weights.license,
        "sha256": weights.sha256,
    }


def _print_card(variant: Variant, card: dict) -> None:
    click.secho(card["name"], fg="cyan", bold=True)
    click.echo(f"  {card['summary']}")
    click.echo(f"  paper     {card['paper']} ({card['year']})")
    apart = "" if variant.size_rule.square else ", height and width apart"
    sizes = f"{variant.size_rule} pixels{apart}; grey, RGB or RGBA" if card["sizes"] else card["kind"]
    click.echo(f"  {'images' if card['sizes'] else 'samples':<8}  {sizes}; labels {card['labels']}")
    for name, origin in card.get("inputs", {}).items():
        click.echo(f"  {name:<8}  {origin}; --source gives another")
    click.echo(f"  tags      {', '.join(card['tags']) or '-'}")
    for number, (tag, facts) in enumerate(card["weights"].items() or {"-": None}.items()):
        place = ""
        if facts:
            where = "embedded" if facts["embedded"] else facts["where"]
            place = f"{size_text(facts['image']['size'])} px, {where}, {facts['license']}"
        click.echo(f"  {'' if number else 'weights':<8}  {tag}{f'  ({place})' if place else ''}")
    click.echo(f"  provider  {card['distribution']} {card['version']}")
    for path, part in card["parts"].items():
        click.echo()
        click.echo(click.style(path, bold=True) + f" = {part['name']}")
        for option, value in part["options"].items():
            click.echo(f"  --set {path}.{option}={_text(value)}")
            print_meaning(part["meanings"].get(option, ""))
    click.echo()
    click.secho("training", bold=True)
    for field, value in card["training"].items():
        lines = (
            {f"{field}.{name}": one for name, one in value.items()}
            if field == "schedules" and value
            else {field: value}
        )
        for path, one in lines.items():
            click.echo(f"  --set training.{path}={_text(one)}")
        print_meaning(card["training_meanings"].get(field, ""))


def _text(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value, default=str)


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def plugins(as_json: bool) -> None:
    """List the installed plugins and the names they register.

    A broken plugin is shown with the reason.
    """
    from ganzoo.registry.discovery import damaged
    from ganzoo.registry.registry import KINDS

    found = registry()
    for kind in KINDS:  # calls every hook, so that an error in any of them is shown
        found.names(kind)
    rows = [
        {
            "name": plugin.name,
            "distribution": plugin.distribution,
            "version": plugin.version,
            "module": plugin.module,
            "builtin": plugin.builtin,
            "error": plugin.error,
            "note": plugin.note,
            "clashes": found.clashes(plugin),
            "registered": {kind: names for kind, names in plugin.registered.items() if names},
        }
        for plugin in found.plugins
    ]
    if as_json:
        click.echo(json.dumps({"plugins": rows, "warnings": [*found.warnings, *damaged()]}, indent=2))
        return
    for plugin in found.plugins:
        clashes = found.clashes(plugin)
        state = click.style("clash", fg="yellow") if clashes else click.style("ok", fg="green")
        state = click.style("broken", fg="red") if plugin.error else state
        click.echo(f"{click.style(plugin.name, bold=True)} {plugin.version}  {state}")
        click.echo(f"  {plugin.error}" if plugin.error else _registered(plugin.registered))
        if plugin.note:
            click.secho(f"  note: {plugin.note}", fg="yellow")
        for line in clashes:
            click.secho(f"  clash: {line}", fg="yellow")
    for line in damaged():
        click.secho(line, fg="yellow")
    shown = [f"Plugin {plugin.name} " for plugin in found.plugins]
    REPORTED.update(line for line in found.warnings if line.startswith(tuple(shown)))
    report_warnings(found)


def _registered(registered: dict[str, list[str]]) -> str:
    return (
        "\n".join(f"  {kind}: {', '.join(names)}" for kind, names in registered.items() if names)
        or "  registers nothing"
    )
