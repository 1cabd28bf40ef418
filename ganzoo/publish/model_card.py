"""Writes the model card: the README.md of a model on the Hub, with the metadata that `ganzoo search` filters by."""

from __future__ import annotations

import html
import json
import re
from collections.abc import Iterable, Mapping
from typing import Any

from ganzoo.models.config import ModelConfig
from ganzoo.variant import Variant

LIBRARY = "ganzoo"
GENERIC = "gan"  # what every model is tagged with
SAMPLES_FILE = "samples.png"
CARD_FILE = "README.md"
LONGEST = 300


def model_card(repo: str, config: ModelConfig, variant: Variant | None) -> str:
    """Returns the text of README.md for a model at `repo`; the same model gives the same text.

    `variant` is the registered one that the config names, for its paper; None if it is not installed.
    """
    data = data_of(config)
    sections = [
        _metadata(config),
        f"# {_text(repo.partition('/')[2])}",
        _summary(config, variant, data),
        f"![Samples of seed 0]({SAMPLES_FILE})",
        "## Use",
        f'```python\nimport ganzoo\nmodel = ganzoo.load("{repo}")\nimages = model.sample(64, seed=0)  '
        f"# (64, {config.image.channels}, {config.image.size}, {config.image.size}), from -1 to 1\n```",
        f"Or sample a grid from the command line: `ganzoo sample {repo} -n 64 --out grid.png`.\n"
        "Nothing in this repository is executed: `config.json` names the parts, "
        f"`{config.weights.file if config.weights else 'model.safetensors'}` holds the numbers.",
        "## Settings",
        _table(("setting", "value"), _settings(config)),
        "## Metrics",
        _table(("metric", "value"), config.metrics.items()) if config.metrics else "None were measured.",
        "## License",
        f"{_text(config.license)}.",
    ]
    return "\n\n".join(sections) + "\n"


def tags(config: ModelConfig) -> list[str]:
    """Returns the tags that a model is found by: "gan", its variant, its resolution ("32x32") and its data set."""
    name = re.sub(r"[^a-z0-9._-]+", "-", data_of(config).lower()).strip("-")[:60]
    found = [GENERIC, config.variant, f"{config.image.size}x{config.image.size}", name]
    return list(dict.fromkeys(tag for tag in found if tag))


def data_of(config: ModelConfig) -> str:
    """Returns the name of the data set in the summary of the training, or ""."""
    data = config.training.get("data")
    name = data.get("name") if isinstance(data, Mapping) else None
    return name if isinstance(name, str) else ""


def _metadata(config: ModelConfig) -> str:
    """Returns the YAML block; every text is written as JSON, which YAML reads without any special meaning."""
    known = re.fullmatch(r"[a-z0-9][a-z0-9.-]{0,40}", config.license.lower())
    lines = [f"library_name: {LIBRARY}", "pipeline_tag: unconditional-image-generation"]
    lines.append(f"license: {json.dumps(config.license.lower() if known else 'other')}")
    if not known:
        lines.append(f"license_name: {json.dumps(_plain(config.license))}")
    lines += ["tags:", *(f"- {json.dumps(tag)}" for tag in tags(config))]
    return "\n".join(["---", *lines, "---"])


def _summary(config: ModelConfig, variant: Variant | None, data: str) -> str:
    image = config.image
    colours = {1: "grey", 3: "colour"}.get(image.channels, f"{image.channels}-channel")
    kinds = f" of {image.classes} classes" if image.classes else ""
    trained = f", trained on {_text(data)}" if data else ""
    lines = [f"A generator of {image.size}x{image.size} {colours} images{kinds}, variant `{config.variant}`{trained}."]
    if variant is not None:
        lines.append(f"{_text(variant.summary)} Paper: {_text(variant.paper)} ({variant.year}).")
    if config.classes:
        lines.append(f"Classes: {', '.join(_text(name) for name in config.classes)}.")
    return "\n".join(lines)


def _settings(config: ModelConfig) -> Iterable[tuple[str, Any]]:
    yield "variant", config.variant
    yield "provided by", f"{config.provider.distribution} {config.provider.version}".strip()
    for name, part in {"generator": config.generator, "discriminator": config.discriminator}.items():
        if part is not None:
            yield name, part.name
            yield from ((f"{name}.{key}", value) for key, value in part.options.items())
    yield "latent numbers", config.latent_dim
    if config.weights is not None:
        yield "stored as", config.weights.dtype
    yield from _flat("training", config.training)


def _flat(prefix: str, values: Mapping[str, Any]) -> Iterable[tuple[str, Any]]:
    """Yields nested settings as "training.settings.batch_size"; empty ones are left out."""
    for key, value in values.items():
        name = f"{prefix}.{key}"
        if isinstance(value, Mapping):
            yield from _flat(name, value)
        elif value not in (None, "", [], ()):
            yield name, value


def _table(head: tuple[str, str], rows: Iterable[tuple[str, Any]]) -> str:
    lines = [f"| {head[0]} | {head[1]} |", "| --- | --- |"]
    return "\n".join([*lines, *(f"| {_text(name)} | {_text(_number(value))} |" for name, value in rows)])


def _number(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.6g}"
    return value if isinstance(value, str) else json.dumps(value, default=str)


def _plain(text: str) -> str:
    """Returns text as one line of limited length."""
    return " ".join("".join(letter if letter.isprintable() else " " for letter in str(text)).split())[:LONGEST]


def _text(value: str) -> str:
    """Escapes text for Markdown and HTML."""
    return re.sub(r"([\\`*_\[\]|#~$])", r"\\\1", html.escape(_plain(value), quote=False))
