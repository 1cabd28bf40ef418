"""docs/pretrained.md against the weights that come with the package: every tag, every number, every command."""

from __future__ import annotations

import json
from importlib import resources

import pytest
from paths import DOCS

import ganzoo
from ganzoo.bench.report.statistics import kendall

PAGE = (DOCS / "pretrained.md").read_text(encoding="utf-8")
UNPAIRED = {
    tag: weights
    for variant in ganzoo.variants()
    for tag, weights in variant.weights.items()
    if weights.package_file and not weights.image.sources
}
EMBEDDED = {tag: weights for tag, weights in UNPAIRED.items() if weights.image.channels == 1}
IN_COLOUR = {tag: weights for tag, weights in UNPAIRED.items() if tag not in EMBEDDED}
OF_IMAGES = {
    tag: (variant, weights)
    for variant in ganzoo.variants()
    for tag, weights in variant.weights.items()
    if weights.package_file and weights.image.sources
}
UPSCALERS = {tag: weights for tag, (variant, weights) in OF_IMAGES.items() if variant.task == "super-resolution"}
TRANSLATORS = {tag: weights for tag, (_, weights) in OF_IMAGES.items() if tag not in UPSCALERS}


def facts(tag: str) -> dict:
    package, _, inside = {**UNPAIRED, **TRANSLATORS, **UPSCALERS}[tag].package_file.partition(":")
    return json.loads(resources.files(package).joinpath(inside, "config.json").read_text(encoding="utf-8"))


def test_all_embedded_weights_together_are_small():
    assert EMBEDDED and sum(facts(tag)["weights"]["size"] for tag in UNPAIRED) <= 30_000_000


@pytest.mark.parametrize("tag", IN_COLOUR)
def test_the_page_says_what_the_weights_in_colour_say(tag):
    config = facts(tag)
    section = PAGE.partition("## Emoji")[2].partition("\n## ")[0]
    words = " ".join(section.replace("`", "").split())
    count = sum(weight.numel() for weight in ganzoo.load(tag).generator.parameters())
    assert f"{tag} (64×64 in colour, {count:,} parameters" in words and f"$ {config['training']['command']}\n" in PAGE
    assert f"{config['metrics']['frechet[random-cnn]']:.3g} to the training pictures" in words
    assert (
        config["license"] == IN_COLOUR[tag].license == "Apache-2.0" and "/" not in config["training"]["data"]["source"]
    )


@pytest.mark.parametrize("tag", TRANSLATORS)
def test_the_page_says_what_the_translators_say(tag):
    config = facts(tag)
    row = next(line for line in PAGE.splitlines() if line.startswith(f"| `{tag}` |"))
    for metric in ("psnr", "ssim", "l1"):
        assert f"{config['metrics'][metric]:.3g}" in row.replace("|", " ").split()
    assert f"$ {config['training']['command']}\n" in PAGE and f"ganzoo apply {tag} " in PAGE
    assert config["license"] == "MIT" and config["weights"]["size"] < 2_000_000


@pytest.mark.parametrize("tag", UPSCALERS)
def test_the_page_says_where_the_weights_of_others_come_from(tag):
    config, weights = facts(tag), UPSCALERS[tag]
    row = next(line for line in PAGE.splitlines() if line.startswith(f"| `{tag}` |"))
    assert config["license"] == weights.license and weights.license in row and f"ganzoo apply {tag} " in PAGE
    assert config["weights"]["sha256"] == weights.sha256 and config["weights"]["size"] < 2_000_000
    for one in config["training"]["converted_from"]:
        if one["file"].endswith(".param"):
            assert f"/{one['file']} --license {weights.license} --dtype {config['weights']['dtype']}" in PAGE
    assert "Copyright (c) 2021, Xintao Wang" in PAGE


@pytest.mark.parametrize("tag", EMBEDDED)
def test_the_page_says_what_the_weights_say(tag):
    config = facts(tag)
    row = next(line for line in PAGE.splitlines() if line.startswith(f"| `{tag}` |"))
    assert f"{config['metrics']['frechet[fashion-cnn]']:.3g}" in row.replace("|", " ").split()
    assert f"$ {config['training']['command']}\n" in PAGE
    assert f"ganzoo sample {tag} " in PAGE and config["license"] == "MIT"
    assert config["metrics"]["modes[fashion-cnn]"] == 10


def test_the_table_of_two_extractors_has_the_order_that_it_states():
    """Its first column is that of the weights; ranks and the sentence below it follow from the numbers."""
    lines = PAGE.partition("## As two extractors see them")[2].splitlines()
    cells = [[cell.strip() for cell in line.split("|")[1:-1]] for line in lines if line.startswith("| `")]
    assert {tag.strip("`") for tag, *_ in cells} == set(EMBEDDED)
    first, second = ([float(row[place]) for row in cells] for place in (1, 3))
    assert [row[1] for row in cells] == [
        f"{facts(row[0].strip('`'))['metrics']['frechet[fashion-cnn]']:.3g}" for row in cells
    ]
    for place, values in ((2, first), (4, second)):
        assert [int(row[place]) for row in cells] == [1 + sum(other < own for other in values) for own in values]
    tau, swapped = kendall(first, second)
    assert f"Of {len(cells) * (len(cells) - 1) // 2} pairs {swapped} swap (Kendall's tau {tau:.2f})" in PAGE
