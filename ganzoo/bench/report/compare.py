"""Which differences between two benches, or two variants of one, are more than chance; seeds are the samples."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from ganzoo.bench.report.statistics import deviation, hedges_g, holm, mean, permutation_test, smallest_p, welch_interval
from ganzoo.bench.report.summary import direction, metrics_of, value_of
from ganzoo.bench.row import Row, differences, read_protocols, read_rows
from ganzoo.errors import UsageError, did_you_mean

SIGNIFICANT = 0.05
SETTINGS = "no variant with the same settings in common"
SHOWN = 4  # names of a side that a message lists before it counts the others
KINDS = {"train": "trained for the bench", "pretrained": "trained before it"}
UNPAIRED = (
    "Seeds are not paired: one seed draws unrelated numbers in two variants, so both sides are independent samples."
)


@dataclass(frozen=True)
class Side:
    """The scores of one variant: of how many seeds, and how many of these have none, diverged, failed or collapsed."""

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

    def told(self) -> dict:
        """Counts, mean and deviation for programs."""
        stated = (
            {"mean": mean(self.scores) if self.scores else None, "deviation": deviation(self.scores)}
            if self.scores
            else {}
        )
        return {**asdict(self), "scores": list(self.scores), "mean": None, "deviation": None} | stated


@dataclass(frozen=True)
class Comparison:
    """One metric of two sides: `difference` is the first mean minus the second; None where too few seeds tell nothing."""

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
        """0 or 1, the side with the better mean, whether by chance or not; None if equal or if the metric has no direction."""
        if not self.difference or not direction(self.metric):
            return None
        return int((self.difference > 0) == (direction(self.metric) < 0))

    @property
    def verdict(self) -> str:
        """One word or sentence: which side is better, or why that cannot be told."""
        if self.p is None:
            return "cannot be told: it takes at least 2 seeds with a score on both sides"
        if self.smallest_corrected_p > SIGNIFICANT:
            return f"cannot be told: so few seeds give no corrected p below {self.smallest_corrected_p:.2g}"
        if self.corrected_p > SIGNIFICANT:
            return "no significant difference"
        return "differs" if self.better is None else f"{self.sides[self.better].name} is better"


@dataclass(frozen=True)
class Outcome:
    """All comparisons, or the fields in which the protocols differ, for which reason there are none."""

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
):
    """The Outcome for all variants that both files have, or for two `variants`, the first of `one`, the second of `other` or of `one`.

    Exact permutation tests of the difference of means, Welch intervals, Hedges' g, p-values corrected by Holm over all comparisons
    that are made. `metrics` may leave out the extractor. UsageError if there is nothing to compare, CheckpointError for damaged files.
    """
    ours, theirs = read_rows(one), read_rows(other or one)
    ours, theirs = (
        (only(ours, variants[0], one), only(theirs, variants[1], other or one)) if variants else (ours, theirs)
    )
    pairs = paired(ours, theirs, by_name=variants is None)
    protocols = read_protocols(one.parent) | read_protocols((other or one).parent)
    if not pairs:
        raise UsageError(nothing_common(ours, theirs, (one, other or one), protocols, by_name=variants is None))
    for mine, yours in pairs:
        if not {row.protocol for row in mine} & {row.protocol for row in yours}:
            return protocols_differ(mine[0].protocol, yours[0].protocol, protocols)
    pairs = [same for mine, yours in pairs for same in by_protocol(mine, yours)]
    names = chosen(metrics_of([*ours, *theirs]), metrics)
    found = [judged(mine, yours, metric, which) for mine, yours in pairs for metric in names]
    told = [
        one for one in found if metrics or any(side.scores for side in one.sides)
    ]  # a number that neither can have was not asked for
    return Outcome(tuple(corrected(told or found)))


def only(rows: list[Row], name: str, file: Path) -> list[Row]:
    kept = [row for row in rows if row.cell.name == name]
    if not kept:
        raise UsageError(f"{file} has no variant '{name}'.{did_you_mean(name, {row.cell.name for row in rows})}")
    if len({row.changes for row in kept}) > 1:
        raise UsageError(
            f"{file} has '{name}' with several settings, which are not one variant: compare two files of one each."
        )
    return kept


def paired(ours: Iterable[Row], theirs: Iterable[Row], *, by_name: bool) -> list[tuple[list[Row], list[Row]]]:
    """The rows of one kind, data set and budget on either side: of one name and its settings, or whatever the names are."""

    def grouped(rows: Iterable[Row]) -> dict[tuple, list[Row]]:
        groups: dict[tuple, list[Row]] = {}
        for row in rows:
            own = (row.cell.name, row.changes) if by_name else ()
            groups.setdefault((row.kind, row.cell.data, tuple(sorted((row.budget or {}).items())), own), []).append(row)
        return groups

    mine, yours = grouped(ours), grouped(theirs)
    return [(mine[key], yours[key]) for key in sorted(mine.keys() & yours.keys())]


def nothing_common(
    ours: list[Row], theirs: list[Row], files: tuple[Path, Path], known: Mapping[str, dict], *, by_name: bool
) -> str:
    """Why rows of two files make no pairs: which of kind, data set, budget, name and settings they do not share, and, if they have no
    protocol in common, every field in which two of theirs differ, a line each."""
    steps = [
        ("kind of cell", lambda row: KINDS[row.kind]),
        ("data set", lambda row: row.cell.data),
        ("budget", told_budget),
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
    apart = protocols_apart(*([row for pair in pairs for row in pair[side]] for side in (0, 1)), known)
    name = pairs[0][0][0].cell.name
    hint = f" --variants {name},{name} compares the two." if missing.startswith(SETTINGS) and not apart else ""
    return f"{files[0]} and {files[1]} have {missing}{hint}{apart}"


def other_settings(pairs: list[tuple[list[Row], list[Row]]]) -> str:
    """Which variants both sides have with other settings, and those of the first."""
    mine, yours = ({change for row in rows for change in row.changes} for rows in pairs[0])
    one, other = (" ".join(sorted(side)) or "none" for side in (mine - yours, yours - mine))
    names = sorted({ours[0].cell.name for ours, _ in pairs})
    has = "has" if len(names) == 1 else "have"
    return f"{SETTINGS}: {listed(names)} {has} other settings in the second ('{names[0]}': {one} in the first, {other} in the second)."


def told_budget(row: Row) -> str:
    return " and ".join(f"{value:,.10g} {name}" for name, value in (row.budget or {}).items()) or "none"


def listed(names: Iterable[str]) -> str:
    """At most SHOWN of them, and how many more there are."""
    kept = sorted(names)
    return ", ".join(kept[:SHOWN]) + (f" and {len(kept) - SHOWN} more" if len(kept) > SHOWN else "")


def split(ours: list[Row], theirs: list[Row], own: Callable[[Row], object]) -> list[tuple[list[Row], list[Row]]]:
    """The rows of either side for each value that both have."""
    common = {own(row) for row in ours} & {own(row) for row in theirs}
    return [tuple([row for row in rows if own(row) == value] for rows in (ours, theirs)) for value in sorted(common)]


def protocols_apart(ours: list[Row], theirs: list[Row], known: Mapping[str, dict]) -> str:
    """The fields in which the protocols of two sides differ, as lines; nothing if one is common."""
    if {row.protocol for row in ours} & {row.protocol for row in theirs}:
        return ""
    outcome = protocols_differ(ours[0].protocol, theirs[0].protocol, known)
    if not outcome.differing:
        return f" {outcome.reason[0].upper()}{outcome.reason[1:]}."
    fields = "".join(f"\n  {told_field(*field)}" for field in outcome.differing)
    return f" Their protocols differ too, and so no row of one is ranked with a row of the other:{fields}"


def told_field(name: str, one: str, other: str) -> str:
    """One line for a field in which two protocols differ."""
    return f"{name}: {one} in the first, {other} in the second"


def by_protocol(mine: list[Row], yours: list[Row]) -> list[tuple[list[Row], list[Row]]]:
    """Rows of each protocol that both sides have."""
    common = sorted({row.protocol for row in mine} & {row.protocol for row in yours})
    return [tuple([row for row in rows if row.protocol == protocol] for rows in (mine, yours)) for protocol in common]


def protocols_differ(first: str, second: str, known: Mapping[str, dict]) -> Outcome:
    absent = [key[:12] for key in (first, second) if key not in known]
    reason = f"the rows follow different protocols, {first[:12]} and {second[:12]}: they are not ranked"
    if absent:
        return Outcome(
            (),
            (),
            f"{reason}. In what they differ cannot be told: no protocol.json for {' and '.join(absent)} beside the files",
        )
    return Outcome((), tuple(differences(known[first], known[second])), reason)


def chosen(known: list[str], asked: Sequence[str]) -> list[str]:
    """The metrics that are meant by names with or without their extractor; without any, those that have a direction."""
    if not asked:
        return [name for name in known if direction(name)]
    found = []
    for name in asked:
        fitting = [metric for metric in known if name in (metric, metric.partition("[")[0])]
        if not fitting:
            raise UsageError(f"No row has a metric '{name}'.{did_you_mean(name, known)}")
        found += [metric for metric in fitting if metric not in found]
    return found


def judged(mine: list[Row], yours: list[Row], metric: str, which: str) -> Comparison:
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
    """Holm's correction over all comparisons that have a p-value, and the least value that it could have given each."""
    tested = [place for place, comparison in enumerate(found) if comparison.p is not None]
    first = len(tested) * min(
        (found[place].smallest_p for place in tested), default=1
    )  # what rejects the first, and without it none
    for place, value in zip(tested, holm([found[place].p for place in tested]), strict=True):
        least = min(1.0, max(found[place].smallest_p, first))
        found[place] = replace(found[place], corrected_p=value, smallest_corrected_p=least)
    return found
