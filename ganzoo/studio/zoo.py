"""The variants as rows, and one of them in words: its card, its page with equations, its weights."""

from __future__ import annotations

import re
from importlib import resources
from pathlib import Path

from ganzoo.config.parts import KIND_OF, parts_of
from ganzoo.errors import UsageError
from ganzoo.registry.registry import Registry
from ganzoo.variant import Variant, size_text

COLUMNS = ("variant", "year", "task", "in a sentence", "sizes", "weights")
WIDTHS = ("150px", "65px", "130px", "430px", "120px", "240px")
LINK = re.compile(r"(!?)\[((?:[^\[\]]|\[[^\]]*\])*)\]\(([^()\s]+)\)")
PAGE_BYTES = 2**18
PAGES = "pages"  # as pyproject.toml names it


def rows(registry: Registry, words: str = "") -> list[list[str | int]]:
    """Returns a row for each variant whose card or weights hold all the words, the newest first."""
    wanted = words.lower().split()
    found = []
    for variant in sorted(registry.variants(), key=lambda one: (-one.year, one.name)):
        sizes = ", ".join(map(str, sorted(variant.size_rule))) if variant.sizes else variant.kind
        row: list[str | int] = [
            variant.name,
            variant.year,
            variant.task,
            variant.summary,
            sizes,
            " ".join(sorted(variant.weights)),
        ]
        text = " ".join([*map(str, row), *variant.tags]).lower()
        if all(word in text for word in wanted):
            found.append(row)
    return found


def card(registry: Registry, name: str) -> str:
    """Returns Markdown about a variant: paper, weights, parts, settings, and the page that its plugin is described on.

    UsageError for an unknown name.
    """
    variant = registry.get("variants", name)
    plugin = registry.claim("variants", name).plugin
    lines = [
        f"## {variant.name}",
        variant.summary,
        f"Paper: <{variant.paper}> ({variant.year}). Provided by {plugin.distribution} {plugin.version}.",
        f"`ganzoo show {variant.name}` lists every option; tags: {', '.join(variant.tags) or 'none'}.",
        _parts(registry, variant),
        _weights(variant),
    ]
    page = page_of(variant.name, plugin.module)
    return "\n\n".join([*lines, page or "This variant has no page here."])


def _parts(registry: Registry, variant: Variant) -> str:
    lines = []
    for path, part in parts_of(variant).items():
        factory = registry.get(KIND_OF[path.partition(".")[0]], part.name)
        sentence = " ".join((getattr(factory, "__doc__", None) or "").strip().split("\n\n")[0].split())
        lines.append(f"- {path} `{part.name}`: {sentence}".rstrip(": "))
    return "\n".join(lines)


def _weights(variant: Variant) -> str:
    if not variant.weights:
        return "No pretrained weights are known: train them, or find some with `ganzoo search`."
    lines = []
    for tag, weights in sorted(variant.weights.items()):
        where = "come with the package" if weights.repo is None else f"at {weights.repo}"
        image = weights.image
        size = f"{size_text(image.image_size)} pixels" if image.output.kind == "image" else image.extent
        lines.append(f"- weights `{tag}`: {size}, {weights.license}, {where}")
    return "\n".join(lines)


def page_of(name: str, module: str) -> str | None:
    """Returns the Markdown page of a variant, or of its plugin; None if there is none. Links within it are text.

    The wheel has the pages of docs/variants beside this module; a checkout is asked for its own.
    """
    package = Path(str(resources.files("ganzoo")))
    folders = (package / "studio" / PAGES, package.parent / "docs" / "variants")
    stems = (name, module.rpartition(".")[2].replace("_", "-"))
    for path in (folder / f"{stem}.md" for stem in stems for folder in folders):
        if path.is_file() and path.stat().st_size <= PAGE_BYTES:
            return without_local_links(path.read_text(encoding="utf-8"))
    return None


def without_local_links(text: str) -> str:
    """Replaces links to files, which the studio does not serve, by their texts, and leaves pictures out.

    The first heading goes too, since the card has one.
    """

    def changed(match: re.Match) -> str:
        picture, shown, target = match.groups()
        if picture:
            return ""
        return match[0] if target.startswith("https://") else shown

    text = re.sub(r"^# .*\n+", "", text)
    return LINK.sub(changed, re.sub(r"^```\{.*?^```\n", "", text, flags=re.M | re.S))


def names(registry: Registry) -> list[str]:
    """Returns the names of all variants, sorted."""
    found = sorted(variant.name for variant in registry.variants())
    if not found:
        raise UsageError("No variant is installed.")
    return found
