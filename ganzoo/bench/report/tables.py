"""Builds the tables of a report as plain cells, for report.html and report.md alike."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from ganzoo.bench.report.summary import Estimate, Section, Summary
from ganzoo.metrics.directions import direction

SIGNS = {-1: "lower is better", 0: "", 1: "higher is better"}
ARROWS = {-1: "↓", 0: "", 1: "↑"}
NONE = "–"


@dataclass(frozen=True)
class Text:
    """Holds the text of a cell, its sort key (None: last), and a second line."""

    shown: str
    value: float | str | None = None
    below: str = ""


@dataclass(frozen=True)
class Table:
    """Holds a titled table; `series` gives each row's place in the plots, -1 for none."""

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[Text, ...], ...]
    note: str = ""
    series: tuple[int, ...] = field(default=())
    text_columns: tuple[int, ...] = (0,)  # the others hold numbers


def number(value: float | None, digits: int = 4) -> str:
    """Formats a number with so many significant digits and thousands separators."""
    if value is None:
        return NONE
    if value == 0 or abs(value) >= 10 ** (digits - 1):
        return f"{value:,.0f}" if abs(value) < 1e15 else f"{value:.{digits - 1}e}"
    return f"{value:.{digits - 1}e}" if abs(value) < 1e-4 else f"{value:.{decimals(value, digits)}f}"


def decimals(value: float, digits: int) -> int:
    """Returns the decimal places that show `digits` significant digits of a value other than 0."""
    return max(0, digits - 1 - int(f"{value:e}".partition("e")[2]))


def spread(value: float, deviation: float | None) -> str:
    """Formats mean ± deviation, both to the decimal place of the deviation's second digit."""
    if deviation is None or deviation == 0 or abs(value) < 1e-4 or deviation < 1e-4:
        return f"{number(value)}{'' if deviation is None else f' ± {number(deviation, 2)}'}"
    places = decimals(deviation, 2)
    return f"{value:,.{places}f} ± {deviation:,.{places}f}"


def estimated(estimate: Estimate | None, seeds: int) -> Text:
    """Formats mean ± deviation, with the number of seeds where some have no score."""
    if estimate is None:
        return Text(NONE, None, "no score")
    below = f"{estimate.count} of {seeds} seeds" if estimate.count < seeds else ""
    return Text(spread(estimate.mean, estimate.deviation), estimate.mean, below)


def interval(estimate: Estimate | None) -> Text:
    if estimate is None or estimate.interval is None:
        few = {1: "one seed", 2: "two seeds"}
        return Text(NONE, None, "" if estimate is None else few[estimate.count])
    low, high = estimate.interval
    places = decimals(high - low, 2) if high - low > 1e-4 else None
    shown = f"{number(low)} to {number(high)}" if places is None else f"{low:,.{places}f} to {high:,.{places}f}"
    return Text(shown, low)


def seeds(summary: Summary) -> Text:
    counts = summary.counts
    wrong = ", ".join(f"{counts[name]} {name}" for name in ("diverged", "failed", "collapsed") if counts[name])
    return Text(str(counts["seeds"]), counts["seeds"], wrong)


def variant(summary: Summary) -> Text:
    return Text(summary.name, summary.name, " ".join(summary.settings))


def duration(seconds: float | None) -> str:
    """Formats seconds, minutes or hours with three digits, without trailing zeros."""
    if seconds is None:
        return NONE
    size, unit = (1, "s") if seconds < 59.95 else (60, "min") if seconds < 3597 else (3600, "h")
    shown = number(seconds / size, 3)
    return f"{shown.rstrip('0').rstrip('.') if '.' in shown else shown} {unit}"


def explained(metric: str) -> str:
    return f"{metric} ({SIGNS[direction(metric)]})" if direction(metric) else metric


def column(metric: str) -> str:
    return f"{metric} {ARROWS[direction(metric)]}".rstrip()


def order(section: Section) -> list[Summary]:
    return [summary for _, summary in section.ranked]


def ranking_table(section: Section) -> Table:
    """Builds the ranking: best and final score of the metric that ranks, and the seeds that went wrong."""
    rows = []
    for rank, summary in section.ranked:
        best, final = (
            summary.estimate(section.ranking, which) if section.ranking else None for which in ("best", "final")
        )
        count = summary.counts["seeds"]
        rows.append(
            (
                variant(summary),
                Text(NONE if rank is None else str(rank), rank),
                seeds(summary),
                estimated(best, count),
                interval(best),
                estimated(final, count),
                interval(final),
            )
        )
    columns = ("variant", "rank", "seeds", "best, mean ± s.d.", "95 % interval", "final, mean ± s.d.", "95 % interval")
    note = (
        f"By {explained(section.ranking)}, the mean of the best scores."
        if section.ranking
        else "No score has a direction: nothing is ranked."
    )
    if any(summary.counts["diverged"] + summary.counts["failed"] for summary in section.summaries):
        note += " Means leave out seeds without a score, so variants with failed seeds look better than they are."
    return Table("Ranking", columns, tuple(rows), note, tuple(range(len(rows))))


def every_metric(section: Section) -> Table:
    """Builds the table of all numbers at the best checkpoint, or at the final one where there is no best."""
    rows = []
    for summary in order(section):
        rows.append((variant(summary), *(_measured(summary, metric) for metric in section.metrics)))
    note = "↓ lower is better, ↑ higher is better. Mean ± standard deviation over seeds"
    note += f", at the checkpoint that {section.ranking} chose." if section.ranking and section.kind == "train" else "."
    seen = {
        event.text
        for summary in section.summaries
        for row in summary.rows
        for event in row.events
        if event.event == "extractor"
    }
    note = " ".join([note, *sorted(seen)])
    return Table("All metrics", ("variant", *map(column, section.metrics)), tuple(rows), note, tuple(range(len(rows))))


def _measured(summary: Summary, metric: str) -> Text:
    if summary.lacks(metric):
        return Text(NONE)
    return estimated(summary.ranked_by(metric), summary.counts["seeds"])


def by_time(section: Section) -> Table | None:
    """Builds the table of the best scores within some training times; None if no row has scores with times."""
    if section.ranking is None or not section.minutes:
        return None
    rows = []
    for summary in order(section):
        found = [summary.within(section.ranking, minutes) for minutes in section.minutes]
        rows.append((variant(summary), *(estimated(estimate, summary.counts["seeds"]) for estimate in found)))
    hour = (
        ""
        if 60 in section.minutes
        else f" No run trained for an hour; the longest took {duration(section.minutes[-1] * 60)}."
    )
    note = (
        f"{explained(section.ranking)}; a run that ended sooner keeps its best. Scores during training may be of fewer "
    )
    note += "images than those above: compare them with each other alone. "
    note += f"Times are those of the machine that is named below.{hour}"
    return Table(
        "Best score within a time of training",
        ("variant", *(duration(60 * m) for m in section.minutes)),
        tuple(rows),
        note,
        tuple(range(len(rows))),
    )


COSTS = (
    ("generator parameters", "generator_parameters"),
    ("discriminator parameters", "discriminator_parameters"),
    ("loss parameters", "loss_parameters"),
    ("generator MACs an image", "generator_macs"),
    ("discriminator MACs an image", "discriminator_macs"),
    ("images/s training", "training_images_per_second"),
    ("images/s sampling", "sampling_images_per_second"),
    ("peak memory, MiB", "peak_memory_bytes"),
    ("training", "training_seconds"),
    ("evaluation", "evaluation_seconds"),
)


def costs(section: Section) -> Table:
    """Builds the table of costs, means over seeds; columns without any value are left out."""
    summaries = order(section)
    known = [(title, name) for title, name in COSTS if any(summary.cost(name) is not None for summary in summaries)]
    rows = [(variant(summary), *(_cost(name, summary.cost(name)) for _, name in known)) for summary in summaries]
    machines = sorted({row.times.machine for summary in summaries for row in summary.rows if row.times.machine})
    note = f"Times and memory were measured on: {'; '.join(machines)}." if machines else ""
    return Table("Costs", ("variant", *(title for title, _ in known)), tuple(rows), note, tuple(range(len(rows))))


def _cost(name: str, value: float | None) -> Text:
    if name.endswith("_seconds"):
        return Text(duration(value), value)
    if value is not None and name == "peak_memory_bytes":
        return Text(number(value / 2**20, 3), value)
    if value is not None and name.endswith(("parameters", "macs")):
        return Text(f"{value:,.0f}", value)
    return Text(number(value, 3), value)


LACKING = ("metric", "short")  # events of finished rows that lack a number or a part of their budget


def problems(section: Section) -> Table | None:
    """Lists the seeds that diverged, failed, collapsed, lack a number or ended early, with their events.

    None if there are none.
    """
    rows = []
    for summary in order(section):
        for row in summary.rows:
            if row.status == "done" and not row.collapsed and not any(event.event in LACKING for event in row.events):
                continue
            state = ", ".join([row.status, *(["collapsed"] if row.collapsed else [])])
            details = [
                row.error or "",
                *(f"step {event.step:,}: {event.text or event.event}" for event in row.events[:5]),
            ]
            more = [f"and {len(row.events) - 5} events more"] if len(row.events) > 5 else []
            rows.append(
                (
                    variant(summary),
                    Text(str(row.cell.seed), row.cell.seed),
                    Text(state, state),
                    Text("; ".join(filter(None, [*details, *more])) or NONE, None),
                )
            )
    if not rows:
        return None
    return Table("What went wrong", ("variant", "seed", "ended", "details"), tuple(rows), text_columns=(0, 2, 3))


def tables(section: Section) -> Sequence[Table]:
    """Returns the tables below the ranking, in order."""
    found = (by_time(section), every_metric(section), costs(section), problems(section))
    return [table for table in found if table is not None and table.rows]
