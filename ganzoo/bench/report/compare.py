"""Tests which differences between two benches, or two variants of one, are significant; seeds are the samples."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from ganzoo.bench.report.statistics import deviation, hedges_g, holm, mean, permutation_test, smallest_p, welch_interval
from ganzoo.bench.report.summary import metrics_of, value_of
from ganzoo.bench.row import Row, differences, fingerprint, read_protocols, read_rows
from ganzoo.errors import UsageError, did_you_mean
from ganzoo.metrics.directions import direction

SIGNIFICANT = 0.05
SETTINGS = "no variant with the same settings in common"
SHOWN = 4  # names of a side that a message lists; it counts the others
KINDS = {"train": "trained for the bench", "pretrained": "trained before it"}
UNPAIRED = "Seeds are not paired: one seed means unrelated numbers in two variants. Both sides are independent samples."
Rows = list[Row]


@dataclass(frozen=True)
class Side:
    """Holds the scores of one variant, and counts its seeds and those that diverged, failed or collapsed."""

    name: str
    seeds: int
    scores: tuple[float, ...]
    diverged: int
    failed: int
    collapsed: int

    @classmethod
    def of(cls, rows: Sequence[Row], metric: str, which: str) -> Side:
        values = [value_of(getattr(row, which), metric) for row in rows]
        states = [row.status for row in rows]
        return cls(
            rows[0].cell.name,
            len(rows),
            tuple(value for value in values if value is not None),
            states.count("diverged"),
            states.count("failed"),
            sum(row.collapsed for row in rows),
        )

    def to_json(self) -> dict[str, Any]:
        """Returns counts, scores, mean and deviation as plain values."""
        found = {**asdict(self), "scores": list(self.scores)}
        found["mean"], found["deviation"] = (mean(self.scores), deviation(self.scores)) if self.scores else (None, None)
        return found


@dataclass(frozen=True)
class Comparison:
    """Compares one metric of two sides: `difference` is the first mean minus the second; None for too few seeds."""

    data: str
    kind: str
    settings: tuple[tuple[str, ...], tuple[str, ...]]
    metric: str
    sides: tuple[Side, Side]
    difference: float | None
    interval: tuple[float, float] | None = None
    p: float | None = None
    exact: bool | None = None
    smallest_p: float | None = None
    effect: float | None = None
    corrected_p: float | None = None
    smallest_corrected_p: float | None = None

    @property
    def better(self) -> int | None:
        """Returns 0 or 1, the side with the better mean, significant or not; None if equal or without a direction."""
        if not self.difference or not direction(self.metric):
            return None
        return int((self.difference > 0) == (direction(self.metric) < 0))

    @property
    def verdict(self) -> str:
        """Names the side that is better, or the reason why there is no verdict."""
        if self.p is None or self.smallest_corrected_p is None or self.corrected_p is None:
            return "undecided: it takes at least 2 seeds with a score on both sides"
        if self.smallest_corrected_p > SIGNIFICANT:
            return f"undecided: so few seeds give no corrected p below {self.smallest_corrected_p:.2g}"
        if self.corrected_p > SIGNIFICANT:
            return "no significant difference"
        return "differs" if self.better is None else f"{self.sides[self.better].name} is better"


@dataclass(frozen=True)
class Outcome:
    """Holds all comparisons, or the reason why there are none and the fields in which the protocols differ."""

    comparisons: tuple[Comparison, ...]
    differing: tuple[tuple[str, str, str], ...] | None = None
    reason: str = ""


def compare(
    one: Path,
    other: Path | None = None,
    *,
    variants: tuple[str, str] | None = None,
    metrics: Sequence[str] = (),
    which: str = "best",
) -> Outcome:
    """Compares all variants that both files have, or two `variants`, the second of which may be of the same file.

    Exact permutation tests of the difference of means, Welch intervals, Hedges' g, p-values corrected by Holm over all
    comparisons. `metrics` may leave out the extractor. UsageError if there is nothing to compare, CheckpointError for
    damaged files.
    """
    protocols, today = {}, {}
    for key, protocol in (read_protocols(one.parent) | read_protocols((other or one).parent)).items():
        today[key] = fingerprint(protocol)
        protocols[today[key]] = protocol
    ours, theirs = (_identified(read_rows(file), today) for file in (one, other or one))
    ours, theirs = (
        (only(ours, variants[0], one), only(theirs, variants[1], other or one)) if variants else (ours, theirs)
    )
    pairs = paired(ours, theirs, by_name=variants is None)
    if not pairs:
        raise UsageError(nothing_common(ours, theirs, (one, other or one), protocols, by_name=variants is None))
    for mine, yours in pairs:
        if not {row.protocol for row in mine} & {row.protocol for row in yours}:
            return protocols_differ(mine[0].protocol, yours[0].protocol, protocols)
    pairs = [same for mine, yours in pairs for same in by_protocol(mine, yours)]
    names = chosen(metrics_of([*ours, *theirs]), metrics)
    found = [tested(mine, yours, metric, which) for mine, yours in pairs for metric in names]
    shown = [
        one for one in found if metrics or any(side.scores for side in one.sides)
    ]  # without metrics of neither side
    return Outcome(tuple(corrected(shown or found)))


def _identified(rows: Rows, today: Mapping[str, str]) -> Rows:
    """Replaces the fingerprint of a protocol of before by that of its renamed form, as benches of today state it."""
    for row in rows:
        row.protocol = today.get(row.protocol, row.protocol)
    return rows


def only(rows: Rows, name: str, file: Path) -> Rows:
    kept = [row for row in rows if row.cell.name == name]
    if not kept:
        raise UsageError(f"{file} has no variant '{name}'.{did_you_mean(name, {row.cell.name for row in rows})}")
    if len({row.changes for row in kept}) > 1:
        raise UsageError(
            f"{file} has '{name}' with several settings, which are not one variant: compare two files with one each."
        )
    return kept


def paired(ours: Iterable[Row], theirs: Iterable[Row], *, by_name: bool) -> list[tuple[Rows, Rows]]:
    """Pairs the rows of one kind, data set and budget: of one name and its settings, or of any names."""

    def grouped(rows: Iterable[Row]) -> dict[tuple, Rows]:
        groups: dict[tuple, Rows] = {}
        for row in rows:
            own = (row.cell.name, row.changes) if by_name else ()
            groups.setdefault((row.kind, row.cell.data, tuple(sorted((row.budget or {}).items())), own), []).append(row)
        return groups

    mine, yours = grouped(ours), grouped(theirs)
    return [(mine[key], yours[key]) for key in sorted(mine.keys() & yours.keys())]


def nothing_common(
    ours: Rows, theirs: Rows, files: tuple[Path, Path], known: Mapping[str, dict[str, Any]], *, by_name: bool
) -> str:
    """Explains why two files have no rows to compare: no common kind, data set, budget, name or settings.

    If they have no common protocol either, all fields in which two of theirs differ follow, a line each.
    """
    steps: list[tuple[str, Callable[[Row], str]]] = [
        ("kind of cell", lambda row: KINDS[row.kind]),
        ("data set", lambda row: row.cell.data),
        ("budget", budget_text),
    ]
    steps += [("variant", lambda row: row.cell.name)] if by_name else []
    pairs = [(ours, theirs)]
    for what, own in steps:
        if not (found := [same for pair in pairs for same in split(*pair, own)]):
            one, other = (listed({own(row) for pair in pairs for row in pair[side]}) for side in (0, 1))
            missing = f"no {what} in common: {one} in the first, {other} in the second."
            break
        pairs = found
    else:
        missing = other_settings(pairs)
    mine, yours = ([row for pair in pairs for row in pair[side]] for side in (0, 1))
    apart = protocols_apart(mine, yours, known)
    name = pairs[0][0][0].cell.name
    hint = f" --variants {name},{name} compares the two." if missing.startswith(SETTINGS) and not apart else ""
    return f"{files[0]} and {files[1]} have {missing}{hint}{apart}"


def other_settings(pairs: list[tuple[Rows, Rows]]) -> str:
    """Names the variants that both sides have with different settings, and the settings of the first."""
    mine, yours = ({change for row in rows for change in row.changes} for rows in pairs[0])
    one, other = (" ".join(sorted(side)) or "none" for side in (mine - yours, yours - mine))
    names = sorted({ours[0].cell.name for ours, _ in pairs})
    has = "has" if len(names) == 1 else "have"
    example = f"('{names[0]}': {one} in the first, {other} in the second)"
    return f"{SETTINGS}: {listed(names)} {has} other settings in the second {example}."


def budget_text(row: Row) -> str:
    return " and ".join(f"{value:,.10g} {name}" for name, value in (row.budget or {}).items()) or "none"


def listed(names: Iterable[str]) -> str:
    """Lists at most SHOWN names, and counts the others."""
    kept = sorted(names)
    return ", ".join(kept[:SHOWN]) + (f" and {len(kept) - SHOWN} more" if len(kept) > SHOWN else "")


def split(ours: Rows, theirs: Rows, own: Callable[[Row], str]) -> list[tuple[Rows, Rows]]:
    """Returns the rows of both sides for each value that both have."""
    common = {own(row) for row in ours} & {own(row) for row in theirs}
    return [
        ([row for row in ours if own(row) == value], [row for row in theirs if own(row) == value])
        for value in sorted(common)
    ]


def protocols_apart(ours: Rows, theirs: Rows, known: Mapping[str, dict[str, Any]]) -> str:
    """Lists the fields in which the protocols of two sides differ, a line each; empty if they have a common one."""
    if {row.protocol for row in ours} & {row.protocol for row in theirs}:
        return ""
    outcome = protocols_differ(ours[0].protocol, theirs[0].protocol, known)
    if not outcome.differing:
        return f" {outcome.reason[0].upper()}{outcome.reason[1:]}."
    fields = "".join(f"\n  {field_line(*field)}" for field in outcome.differing)
    return f" Their protocols differ too, and their rows cannot be ranked together:{fields}"


def field_line(name: str, one: str, other: str) -> str:
    """Returns a line for a field in which two protocols differ."""
    return f"{name}: {one} in the first, {other} in the second"


def by_protocol(mine: Rows, yours: Rows) -> list[tuple[Rows, Rows]]:
    """Returns the rows of both sides for each protocol that both have."""
    return split(mine, yours, lambda row: row.protocol)


def protocols_differ(first: str, second: str, known: Mapping[str, dict[str, Any]]) -> Outcome:
    absent = [key[:12] for key in (first, second) if key not in known]
    reason = f"the rows follow different protocols, {first[:12]} and {second[:12]}: they are not ranked"
    if absent:
        return Outcome(
            (),
            (),
            f"{reason}. Their differences are unknown: no protocol.json of {' and '.join(absent)} is beside the files",
        )
    return Outcome((), tuple(differences(known[first], known[second])), reason)


def chosen(known: list[str], asked: Sequence[str]) -> list[str]:
    """Returns the metrics of names with or without an extractor; without names, all that have a direction.

    "fid" is frechet[inception].
    """
    if not asked:
        return [name for name in known if direction(name)]
    found: list[str] = []
    for name in ("frechet[inception]" if name == "fid" else name for name in asked):
        fitting = [metric for metric in known if name in (metric, metric.partition("[")[0])]
        if not fitting:
            raise UsageError(f"No row has a metric '{name}'.{did_you_mean(name, known)}")
        found += [metric for metric in fitting if metric not in found]
    return found


def tested(mine: Rows, yours: Rows, metric: str, which: str) -> Comparison:
    """Compares one metric of two sides; without a test if a side has fewer than two scores."""
    sides = Side.of(mine, metric, which), Side.of(yours, metric, which)
    one, other = sides[0].scores, sides[1].scores
    settings = mine[0].changes, yours[0].changes
    apart = mean(one) - mean(other) if one and other else None
    if min(len(one), len(other)) < 2:
        return Comparison(mine[0].cell.data, mine[0].kind, settings, metric, sides, apart)
    p, exact = permutation_test(one, other)
    return Comparison(
        mine[0].cell.data,
        mine[0].kind,
        settings,
        metric,
        sides,
        apart,
        welch_interval(one, other),
        p,
        exact,
        smallest_p(len(one), len(other)),
        hedges_g(one, other),
    )


def corrected(found: list[Comparison]) -> list[Comparison]:
    """Corrects p-values by Holm over all comparisons that have one, and adds the least values possible."""
    tests = [(place, one.p, one.smallest_p) for place, one in enumerate(found) if one.p is not None]
    least = [smallest for _, _, smallest in tests if smallest is not None]
    first = len(tests) * min(least, default=1)  # unless the first hypothesis is rejected, none is
    for (place, _, _), smallest, value in zip(tests, least, holm([p for _, p, _ in tests]), strict=True):
        bound = min(1.0, max(smallest, first))
        found[place] = replace(found[place], corrected_p=value, smallest_corrected_p=bound)
    return found
