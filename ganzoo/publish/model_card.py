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


def model_card(repo: str, config: ModelConfig, variant: Variant | None, *, picture: bool = True) -> str:
    """Returns the text of README.md for a model at `repo`; the same model gives the same text.

    `variant` is the registered one that the config names, for its paper; None if it is not installed. `picture` states
    that there is a picture of samples.
    """
    data = data_of(config)
    caption = "Sources, outputs and truth" if config.image.sources else "Samples of seed 0"
    sections = [
        _metadata(config),
        f"# {_text(repo.partition('/')[2])}",
        _summary(config, variant, data),
        *([f"![{caption}]({SAMPLES_FILE})"] if picture else []),
        "## Use",
        *_use(repo, config),
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


def _use(repo: str, config: ModelConfig) -> tuple[str, str]:
    """Returns the lines of Python and of the shell that use the model: it samples, or it applies to images."""
    shape = ", ".join(map(str, config.image.output.shape))
    if config.image.sources:
        code, comment = 'picture = model.apply(PIL.Image.open("picture.png"))', "a Pillow image"
        shell = f"Or from the command line: `ganzoo apply {repo} pictures/ --out results/`."
    else:
        code, comment = "images = model.sample(64, seed=0)", f"(64, {shape}), from -1 to 1"
        shell = f"Or sample a grid from the command line: `ganzoo sample {repo} -n 64 --out grid.png`."
    packages = "import ganzoo\nimport PIL.Image" if config.image.sources else "import ganzoo"
    return f'```python\n{packages}\nmodel = ganzoo.load("{repo}")\n{code}  # {comment}\n```', shell


def _size(config: ModelConfig) -> str:
    """Returns "32x32", height and width, or the shape of samples that are no images."""
    return "x".join(map(str, config.image.output.shape[1:] or config.image.output.shape))


def tags(config: ModelConfig) -> list[str]:
    """Returns the tags that a model is found by: "gan", its variant, its resolution ("32x32") and its data set."""
    name = re.sub(r"[^a-z0-9._-]+", "-", data_of(config).lower()).strip("-")[:60]
    found = [GENERIC, config.variant, _size(config), name]
    return list(dict.fromkeys(tag for tag in found if tag))


def data_of(config: ModelConfig) -> str:
    """Returns the name of the data set in the summary of the training, or ""."""
    data = config.training.get("data")
    name = data.get("name") if isinstance(data, Mapping) else None
    return name if isinstance(name, str) else ""


def _metadata(config: ModelConfig) -> str:
    """Returns the YAML block; every text is written as JSON, which YAML reads without any special meaning."""
    known = re.fullmatch(r"[a-z0-9][a-z0-9.-]{0,40}", config.license.lower())
    pipeline = "image-to-image" if config.image.sources else "unconditional-image-generation"
    lines = [f"library_name: {LIBRARY}"] + [f"pipeline_tag: {pipeline}"] * (config.image.output.kind == "image")
    lines.append(f"license: {json.dumps(config.license.lower() if known else 'other')}")
    if not known:
        lines.append(f"license_name: {json.dumps(_plain(config.license))}")
    lines += ["tags:", *(f"- {json.dumps(tag)}" for tag in tags(config))]
    return "\n".join(["---", *lines, "---"])


def _summary(config: ModelConfig, variant: Variant | None, data: str) -> str:
    image = config.image
    colours = {1: "grey images", 3: "colour images", 4: "images with alpha"}
    is_image = image.output.kind == "image"
    what = colours.get(image.channels, f"{image.channels}-channel images") if is_image else image.output.kind
    kinds = f" of {image.classes} classes" if image.classes else ""
    sources = f" made of a {' and a '.join(image.sources)} image" if image.sources else ""
    trained = f", trained on {_text(data)}" if data else ""
    lines = [f"A generator of {_size(config)} {what}{kinds}{sources}, variant `{config.variant}`{trained}."]
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
