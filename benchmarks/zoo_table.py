"""The short tables of docs/benchmarks.md, from the results of `ganzoo bench`.

python benchmarks/zoo_table.py benchmarks/results/fashion-mnist-64k
"""

from __future__ import annotations

import argparse
from pathlib import Path

from ganzoo.bench.report.collect import rankings
from ganzoo.bench.report.summary import Section, Summary, sections
from ganzoo.bench.report.tables import duration, interval, spread
from ganzoo.bench.row import read_protocols, read_rows

SHOWN = ("precision", "recall", "modes-tenth")


def scores(section: Section) -> list[str]:
    """One line a variant: its rank, how often it ran, best and final score, and what else its best state scored."""
    extractor = section.ranking[section.ranking.index("[") :]
    lines = [
        f"| variant | seeds | best {section.ranking} | 95 % interval | final | {' | '.join(SHOWN)} "
        "| parameters | training |"
    ]
    lines.append("| --- |" + " ---: |" * (6 + len(SHOWN)))
    for _, summary in section.ranked:
        best, final = (summary.estimate(section.ranking, which) for which in ("best", "final"))
        others = [summary.estimate(name + extractor, "best") for name in SHOWN]
        cells = [spread(found.mean, found.deviation) if found else "-" for found in (best, final, *others)]
        cells.insert(1, interval(best).shown)
        parameters = f"{int(summary.cost('generator_parameters')):,}"
        lines.append(
            f"| `{summary.name}` | {seeds(summary)} | {' | '.join(cells)} | {parameters} "
            f"| {duration(training(summary))} |"
        )
    return lines


def seeds(summary: Summary) -> str:
    """How many ran, and how many of them went wrong."""
    wrong = [f"{count} {what}" for what, count in summary.counts.items() if count and what != "seeds"]
    return ", ".join([str(len(summary.rows)), *wrong])


def training(summary: Summary) -> float:
    times = [row.times.training_seconds for row in summary.rows if row.times.training_seconds]
    return sum(times) / len(times)


def settings(section: Section) -> list[str]:
    """What was changed from each card."""
    lines = ["| variant | changed from its card |", "| --- | --- |"]
    for _, summary in section.ranked:
        lines.append(f"| `{summary.name}` | `{' '.join(summary.rows[0].settings) or '-'}` |")
    return lines


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    folder = parser.parse_args().folder
    for section in sections(read_rows(folder / "results.jsonl"), rankings(read_protocols(folder))):
        print("\n".join([*scores(section), "", *settings(section), ""]))


if __name__ == "__main__":
    main()
