"""How much a ranking depends on the extractor: Kendall's tau, the pairs that swap, and the sentence in every report."""

from __future__ import annotations

import math

import msgspec
import numpy
import pytest
from bench_rows import PROTOCOL, other_protocol, row, write
from scipy import stats

from ganzoo.bench.report import statistics, terminal
from ganzoo.bench.report.dependence import dependences
from ganzoo.bench.report.sentences import on_extractors
from ganzoo.bench.report.summary import metrics_of, sections
from ganzoo.bench.report.write import write_report
from ganzoo.bench.row import Row

FIRST, SECOND = "frechet[fashion-cnn]", "frechet[fashion-cnn-native]"
ORDERS = {"dcgan": (5, 50), "infogan": (6, 20), "lsgan": (7, 30), "vae": (9, 40)}  # dcgan is first by one, last by two


def scored(name: str, first: float, second: float | None, seed: int = 0, **others) -> dict:
    found = row(name, seed, [first], **others)
    for state in ("best", "final"):
        found[state] = found[state] | {"scores": found[state]["scores"] | {SECOND: second}}
    return found


def rows_of(orders=ORDERS) -> list[dict]:
    return [scored(name, *scores) for name, scores in orders.items()]


def section(rows: list[dict]):
    (found,) = sections([msgspec.convert(value, Row) for value in rows])
    return found


@pytest.mark.parametrize("ties", [False, True])
def test_tau_is_scipys(ties):
    random = numpy.random.RandomState(0)
    for count in (2, 3, 8, 20):
        one, other = (
            list(map(float, random.randint(4, size=count) if ties else random.normal(size=count))) for _ in "ab"
        )
        tau, swapped = statistics.kendall(one, other)
        theirs = stats.kendalltau(one, other).statistic
        assert (tau is None and math.isnan(theirs)) or tau == pytest.approx(theirs, rel=1e-12)
        pairs = [(a, b) for a in range(count) for b in range(a)]
        assert swapped == sum((one[a] - one[b]) * (other[a] - other[b]) < 0 for a, b in pairs)


def test_tau_at_its_extremes():
    assert statistics.kendall([1, 2, 3], [4, 5, 6]) == (1, 0) and statistics.kendall([1, 2, 3], [6, 5, 4]) == (-1, 3)
    assert statistics.kendall([1, 2, 3], [7, 7, 7]) == (None, 0)


def test_pairs_that_swap_and_the_variants_that_move_most():
    (found,) = dependences(section(rows_of()))
    assert (found.first, found.second, found.variants, found.pairs, found.swapped) == (FIRST, SECOND, 4, 6, 3)
    assert found.tau == pytest.approx(0) and found.moves[0] == ("dcgan", 1, 4) and len(found.moves) == 3
    (line,) = on_extractors(section(rows_of()))
    assert "3 of 6 pairs" in line and "dcgan (1 to 4)" in line and FIRST in line and SECOND in line


def test_the_mean_over_seeds_decides():
    rows = [*rows_of(), scored("dcgan", 5, 2, seed=1), scored("dcgan", 5, 2, seed=2)]  # a mean of 18 is the least
    (found,) = dependences(section(rows))
    assert found.swapped == 0 and found.tau == pytest.approx(1) and not found.moves
    assert "no pair swaps" in on_extractors(section(rows))[0]


def test_a_second_extractor_that_comes_first_by_name_is_still_second():
    """The protocol names the metric that ranks; without it, the extractor that a row names first does."""
    rows = rows_of()
    for one in rows:
        for state in ("best", "final", *range(len(one["points"]))):
            holder = one["points"] if isinstance(state, int) else one
            scores = {"frechet[zebra]" if label == FIRST else label: v for label, v in holder[state]["scores"].items()}
            holder[state] = holder[state] | {
                "scores": {label: v for label, v in scores.items() if "fashion-cnn]" not in label}
            }
    assert metrics_of([msgspec.convert(value, Row) for value in rows]) == ["frechet[zebra]", SECOND]
    (found,) = dependences(section(rows))
    assert (found.first, found.second) == ("frechet[zebra]", SECOND)
    head, *lines = terminal.table([msgspec.convert(value, Row) for value in rows])
    assert head.index("frechet[zebra]") < head.index(SECOND) and lines[0].startswith("dcgan")


@pytest.mark.parametrize(
    "rows",
    [
        rows_of({name: ORDERS[name] for name in ("dcgan", "infogan")}),
        [row(name, 0, [score]) for name, (score, _) in ORDERS.items()],
        [scored(name, first, None if name in ("dcgan", "vae") else second) for name, (first, second) in ORDERS.items()],
        [scored(name, first, 30) for name, (first, _) in ORDERS.items()],
        [row(name, 0, [], status="failed") for name in ORDERS],
    ],
    ids=["two variants", "no second extractor", "two scores of the second", "all equal", "no score"],
)
def test_no_claim_without_three_variants_that_both_tell_apart(rows, tmp_path):
    assert on_extractors(section(rows)) == [] and terminal.dependence([msgspec.convert(one, Row) for one in rows]) == []
    write_report(write(tmp_path, rows))
    assert "pairs swap" not in (tmp_path / "report.md").read_text()


def test_every_report_says_it_below_the_ranking_of_its_section(tmp_path):
    alone = [row(name, 0, [score], protocol=other_protocol()) for name, (score, _) in ORDERS.items()]
    write_report(write(tmp_path, [*rows_of(), *alone], PROTOCOL, other_protocol()))
    markdown, page = ((tmp_path / name).read_text() for name in ("report.md", "report.html"))
    for text in (markdown, page):
        assert text.count("3 of 6 pairs swap") == 1 and text.count("dcgan (1 to 4)") == 1
    start = markdown.index("3 of 6 pairs swap")
    assert markdown.rindex("### ", 0, start) == markdown.rindex("### Ranking", 0, start)
    (line,) = terminal.dependence([msgspec.convert(one, Row) for one in rows_of()])
    assert "3 of 6 pairs swap" in line


def test_a_hostile_name_is_only_text(tmp_path):
    rows = [scored("<b>\x1b[31mx", 1, 99), *rows_of()]
    write_report(write(tmp_path, rows))
    assert "<b>" not in (tmp_path / "report.html").read_text()
    assert "\x1b" not in terminal.dependence([msgspec.convert(one, Row) for one in rows])[0]


def test_variants_of_one_name_are_told_apart_by_their_settings():
    rows = [*rows_of(), scored("vae", 1, 60, settings=["generator.width=8"])]
    (found,) = dependences(section(rows))
    assert found.moves[0] == ("vae generator.width=8", 1, 5)
