"""The sentences of a report that both files have."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from ganzoo.bench.report.summary import Section
from ganzoo.bench.report.tables import duration, number
from ganzoo.bench.row import Row, differences

READING = (
    "Seeds are the samples: ± is the standard deviation over seeds (N − 1), not an error of one measurement.",
    "The 95 % interval is a percentile bootstrap of the mean over seeds: every resample is counted for up to 6 seeds, 20,000 drawn from "
    "a fixed seed for more. Of few seeds any such interval is too narrow: of normal scores it holds the true mean in about 48 % of cases for "
    "2 seeds, 67 % for 3, 84 % for 5, 90 % for 10 and 92 % for 20.",
    "best: the checkpoint that the ranking metric chose among those scored during training, scored again with all images; since it is chosen "
    "by what it is then judged by, it flatters a little. final: the last step.",
    "Seeds that diverged, failed or collapsed are counted beside the number of seeds and are rows below; a seed without a score cannot be "
    "part of a mean, and the table says of how many seeds a mean is.",
    "A number is named by metric and extractor, as in frechet[fashion-cnn]; only numbers of one extractor and one protocol compare.",
)
LINES = "Thin lines are seeds, the thick one is the mean of those that came to the end; a cross marks where one ended early."


def counted(count: int, singular: str, plural: str | None = None) -> str:
    return f"{count:,} {singular if count == 1 else plural or singular + 's'}"


def overview(rows: Iterable[Row]) -> str:
    """How many cells there are and how they ended."""
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
    return f"{counted(len(rows), 'cell')}: {counted(len(names), 'variant')} on {counted(len(data), 'data set')}; {wrong}.{trained}"


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


def several(
    found: Iterable[Section], protocols: Mapping[str, dict]
) -> list[tuple[str, list[tuple[str, str, str]] | None]]:
    """For each protocol after the first: a sentence, and its differences from the first (None where one of the two is not known)."""
    keys = list(dict.fromkeys(section.protocol for section in found))
    told = []
    for key in keys[1:]:
        if keys[0] in protocols and key in protocols:
            told.append(
                (
                    f"Protocol {key[:12]} differs from {keys[0][:12]} in:",
                    differences(protocols[keys[0]], protocols[key]),
                )
            )
        else:
            absent = " and ".join(name[:12] for name in (keys[0], key) if name not in protocols)
            told.append(
                (
                    f"Protocol {key[:12]} is not {keys[0][:12]}; in what they differ cannot be told, {absent} being absent here.",
                    None,
                )
            )
    return told
