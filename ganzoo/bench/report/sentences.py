"""Writes the sentences of a report, for report.html and report.md alike."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from ganzoo.bench.report.dependence import dependences
from ganzoo.bench.report.summary import Section
from ganzoo.bench.report.tables import duration, number
from ganzoo.bench.row import Row, differences

READING = (
    "Seeds are the samples: ± is the standard deviation over seeds (N − 1), not an error of one measurement.",
    "The 95 % interval of the mean over seeds is Student's, as that of a difference in `ganzoo compare` is Welch's: of "
    "normal scores it contains the true mean in 95 % of cases. Below three seeds none is shown; for few it is wide and "
    "may reach below zero. Overlapping intervals decide nothing: `ganzoo compare` tests a difference.",
    "best: the checkpoint that the ranking metric chose among those scored during training, scored again with all "
    "images; since the same metric chooses and judges, it is slightly optimistic. final: the last step.",
    "Seeds that diverged, failed or collapsed are counted beside the number of seeds and listed below; a seed without "
    "a score is left out of a mean, and the table states of how many seeds a mean is.",
    "A number is named by metric and extractor, as in frechet[fashion-cnn]; only numbers of one extractor and one "
    "protocol compare.",
    "An extractor sees some faults and overlooks others. Where a second one scored too, a sentence says how many pairs "
    "of variants it would rank the other way round; Kendall's tau is 1 for the same order, 0 for unrelated ones and -1 "
    "for the reverse. Pairs that differ by less than seeds do may swap by chance.",
)
LINES = "Thin lines are seeds, the thick one is the mean of those that finished; a cross marks where one ended early."


def counted(count: int, singular: str, plural: str | None = None) -> str:
    return f"{count:,} {singular if count == 1 else plural or singular + 's'}"


def overview(rows: Iterable[Row]) -> str:
    """Counts the cells, and those that diverged, failed or collapsed."""
    rows = list(rows)
    names, data = {row.cell.name for row in rows}, {row.cell.data for row in rows}
    ended = [
        counted(count, word, word)
        for word in ("diverged", "failed")
        if (count := sum(row.status == word for row in rows))
    ]
    collapsed = sum(row.collapsed for row in rows)
    wrong = (
        ", ".join([*ended, *([f"{collapsed:,} collapsed"] if collapsed else [])])
        or "none diverged, failed or collapsed"
    )
    spent = sum(row.times.training_seconds or 0 for row in rows)
    trained = f" {duration(spent)} of training in all." if spent else ""
    variants = f"{counted(len(names), 'variant')} on {counted(len(data), 'data set')}"
    return f"{counted(len(rows), 'cell')}: {variants}; {wrong}.{trained}"


def heading(section: Section) -> str:
    if section.kind == "pretrained":
        return f"{section.data}: pretrained weights"
    return f"{section.data}: trained{budget(section)}"


def budget(section: Section) -> str:
    stated = section.budget or {}
    if "images" in stated:
        return f" with {stated['images']:,.0f} images each"
    if "minutes" in stated:
        return f" for {number(stated['minutes'], 3)} minutes each"
    return f" for {stated['steps']:,.0f} steps each" if "steps" in stated else ""


def protocol_differences(
    found: Iterable[Section], protocols: Mapping[str, dict[str, Any]]
) -> list[tuple[str, list[tuple[str, str, str]] | None]]:
    """Returns a sentence and the differences from the first protocol for each other one.

    None where one of the two is missing.
    """
    keys = list(dict.fromkeys(section.protocol for section in found))
    compared: list[tuple[str, list[tuple[str, str, str]] | None]] = []
    for key in keys[1:]:
        absent = " and ".join(name[:12] for name in (keys[0], key) if name not in protocols)
        if absent:
            sentence = f"Protocol {key[:12]} is not {keys[0][:12]}; their differences are unknown without {absent}."
            compared.append((sentence, None))
        else:
            sentence = f"Protocol {key[:12]} differs from {keys[0][:12]} in:"
            compared.append((sentence, differences(protocols[keys[0]], protocols[key])))
    return compared


def on_extractors(section: Section) -> list[str]:
    """Says how much a section's ranking depends on the extractor; nothing of fewer than three variants."""
    lines = []
    for found in dependences(section):
        swaps = "no pair swaps" if not found.swapped else f"{found.swapped} of {found.pairs} pairs swap"
        moved = [f"{move.name} ({move.first} to {move.second})" for move in found.moves]
        most = f"; ranks that move most: {', '.join(moved)}" if moved else ""
        lines.append(
            f"How much the ranking depends on the extractor: between {found.first} and {found.second}, {swaps} among "
            f"{found.variants} variants (Kendall's tau {number(found.tau, 2)}){most}."
        )
    return lines
