"""`ganzoo compare`: tests which differences between two benches are significant."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ganzoo.errors import GanzooError, UsageError
from ganzoo.files.text import printable

if TYPE_CHECKING:
    from ganzoo.bench.report.compare import Comparison, Outcome, Side


@click.command()
@click.argument("files", nargs=-1, required=True, type=click.Path(path_type=Path), metavar="A [B]")
@click.option(
    "--variants",
    metavar="A,B",
    help="Compare these two: A of the first file with B of the second, or of the same one.",
)
@click.option(
    "--metric", "metrics", multiple=True, help="Only this metric, with or without its [extractor]; repeatable."
)
@click.option(
    "--score",
    type=click.Choice(["best", "final"]),
    default="best",
    show_default=True,
    help="The checkpoint whose numbers are compared.",
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def compare(files: tuple[Path, ...], variants: str | None, metrics: tuple[str, ...], score: str, as_json: bool) -> None:
    """Test which differences between benches are significant.

    A and B are bench folders or their results.jsonl. Seeds are independent samples, never paired. The p-value is that
    of an exact permutation test, corrected by Holm for the number of comparisons; the interval of the difference is
    Welch's (95 %), for three seeds or more on each side; the effect size is Hedges' g. Rows of different protocols are
    not compared: the fields that differ are printed, and the exit code is 1. Files without a common variant are refused
    (exit code 2).

    \b
    ganzoo compare before/results.jsonl after/results.jsonl
    ganzoo compare bench/results.jsonl --variants dcgan,wgan-gp --metric frechet
    """
    if len(files) > 2 or (len(files) == 1 and variants is None):
        raise UsageError(f"Two files are compared, or one with --variants A,B; got {len(files)}.")
    pair = _pair(variants, len(files))
    files = tuple(file / "results.jsonl" if file.is_dir() else file for file in files)
    from ganzoo.bench.report import compare as comparing

    outcome = comparing.compare(
        files[0], files[1] if len(files) == 2 else None, variants=pair, metrics=metrics, which=score
    )
    if as_json:
        click.echo(json.dumps(_as_json(outcome, score), indent=2))
    elif outcome.reason:
        for field in outcome.differing or ():
            click.echo(printable(comparing.field_line(*field)))
    else:
        _print(outcome, score, comparing.UNPAIRED)
    if outcome.reason and as_json:
        sys.exit(1)
    if outcome.reason:
        raise GanzooError(f"{outcome.reason[0].upper()}{outcome.reason[1:]}.")


def _pair(variants: str | None, files: int) -> tuple[str, str] | None:
    if variants is None:
        return None
    names = tuple(name.strip() for name in variants.split(","))
    if len(names) != 2 or not all(names) or (names[0] == names[1] and files == 1):
        raise UsageError(
            "--variants takes two different names with a comma between (or one name twice, for two files); "
            f"got {variants!r}."
        )
    return names


def _as_json(outcome: Outcome, score: str) -> dict[str, Any]:
    lines = [
        {**asdict(comparison), "sides": [side.to_json() for side in comparison.sides], "verdict": comparison.verdict}
        for comparison in outcome.comparisons
    ]
    fields = [{"field": name, "one": one, "other": other} for name, one, other in outcome.differing or ()]
    return {
        "comparable": not outcome.reason,
        "reason": outcome.reason or None,
        "protocol_differences": fields,
        "score": score,
        "comparisons": lines,
    }


def _print(outcome: Outcome, score: str, unpaired: str) -> None:
    from ganzoo.bench.report.markup import clean

    before = None
    for comparison in outcome.comparisons:
        one, other = comparison.sides
        names = [_name(side, settings) for side, settings in zip(comparison.sides, comparison.settings, strict=True)]
        title = f"{names[0]} against {names[1]} on {comparison.data}, {score} score"
        if title != before:
            click.echo(f"{'' if before is None else chr(10)}{click.style(clean(title), bold=True)}")
            click.echo(f"  {_seeds(one)} against {_seeds(other)}")
            before = title
        click.echo(f"  {comparison.metric}: {clean(_line(comparison))}")
    count = sum(comparison.p is not None for comparison in outcome.comparisons)
    if count:
        tests = f"{count} comparison{'' if count == 1 else 's'}, fewer with --metric"
        note = f"p-values are corrected by Holm for {tests}; intervals are not corrected."
    else:
        note = "There is no p-value: that takes at least two seeds on each side."
    click.echo(f"\n{unpaired}\n{note}")


def _name(side: Side, settings: tuple[str, ...]) -> str:
    return " ".join([side.name, *settings])


def _seeds(side: Side) -> str:
    wrong = [
        f"{count} {word}"
        for word, count in (("diverged", side.diverged), ("failed", side.failed), ("collapsed", side.collapsed))
        if count
    ]
    without = side.seeds - len(side.scores)
    wrong += [f"{without} without a score"] if without else []
    return f"{side.seeds} seed{'' if side.seeds == 1 else 's'}" + (f" ({', '.join(wrong)})" if wrong else "")


def _line(comparison: Comparison) -> str:
    from ganzoo.bench.report.statistics import deviation, mean
    from ganzoo.bench.report.tables import NONE, number, spread

    means = [spread(mean(side.scores), deviation(side.scores)) if side.scores else NONE for side in comparison.sides]
    parts = [f"{means[0]} against {means[1]}"]
    if comparison.p is not None:
        within = "" if comparison.interval is None else " [{}, {}]".format(*map(number, comparison.interval))
        effect = "" if comparison.effect is None else f", g {comparison.effect:.2f}"
        difference = f"difference {number(comparison.difference)}{within}"
        parts.append(f"{difference}{effect}, p {comparison.corrected_p:.2g}")
    return "; ".join([*parts, comparison.verdict])
