"""docs/pretrained.md against the weights that come with the package: every tag, every number, every command."""

from __future__ import annotations

import json
from importlib import resources

import pytest
from paths import DOCS

import ganzoo
from ganzoo.bench.report.statistics import kendall

PAGE = (DOCS / "pretrained.md").read_text(encoding="utf-8")
EMBEDDED = {
    tag: weights
    for variant in ganzoo.variants()
    for tag, weights in variant.weights.items()
    if weights.package_file and not weights.image.sources
}
OF_IMAGES = {
    tag: (variant, weights)
    for variant in ganzoo.variants()
    for tag, weights in variant.weights.items()
    if weights.package_file and weights.image.sources
}
UPSCALERS = {tag: weights for tag, (variant, weights) in OF_IMAGES.items() if variant.task == "super-resolution"}
TRANSLATORS = {tag: weights for tag, (_, weights) in OF_IMAGES.items() if tag not in UPSCALERS}


def facts(tag: str) -> dict:
    package, _, inside = {**EMBEDDED, **TRANSLATORS, **UPSCALERS}[tag].package_file.partition(":")
    return json.loads(resources.files(package).joinpath(inside, "config.json").read_text(encoding="utf-8"))


def test_all_embedded_weights_together_are_small():
    assert EMBEDDED and sum(facts(tag)["weights"]["size"] for tag in EMBEDDED) <= 26_000_000


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
