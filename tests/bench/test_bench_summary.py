"""Seeds as samples: numbers worked out by hand, by enumeration or by scipy."""

from __future__ import annotations

import math
from itertools import combinations

import msgspec
import numpy
import pytest
from bench_rows import PROTOCOL, other_protocol, plausible, row
from scipy import stats

from ganzoo.bench.report import statistics, tables
from ganzoo.bench.report.summary import better, metrics_of, sections
from ganzoo.bench.row import Row, changes, differences
from ganzoo.metrics.directions import direction

FRECHET = "frechet[fashion-cnn]"


def section(*rows: dict):
    (found,) = sections([msgspec.convert(value, Row) for value in rows])
    return found


def test_mean_and_deviation_by_hand():
    assert statistics.mean([1, 2, 6]) == 3 and statistics.deviation([1, 2, 6]) == math.sqrt(7)
    assert statistics.mean([1e16, 1.0, -1e16]) == 1 / 3 and statistics.deviation([5.0]) is None


def test_interval_of_three_by_hand():
    """The mean is 2, the deviation 1, and the quantile of 2 degrees of freedom 4.302652729749."""
    low, high = statistics.mean_interval([3.0, 1.0, 2.0])
    assert (low, high) == pytest.approx((2 - 4.302652729749 / math.sqrt(3), 2 + 4.302652729749 / math.sqrt(3)))


def test_interval_is_the_same_every_time_and_knows_no_order():
    values = [float(value) for value in numpy.random.RandomState(0).normal(size=9)]
    found = statistics.mean_interval(values)
    assert statistics.mean_interval(values[::-1]) == found
    assert statistics.mean_interval([2.0] * 4) == (2.0, 2.0)


def test_no_interval_of_fewer_than_three():
    assert statistics.mean_interval([2.0]) is None and statistics.mean_interval([2.0, 3.0]) is None
    assert statistics.welch_interval([1.0, 2.0], [3.0, 4.0, 5.0]) is None


@pytest.mark.parametrize("count", [3, 5, 10, 20])
def test_interval_covers_what_the_page_says(count):
    """The share of 95 % intervals that contain the mean of a normal distribution, as the report states it."""
    random = numpy.random.RandomState(count)
    trials = 1000
    inside = sum(
        low <= 0 <= high
        for low, high in (statistics.mean_interval(list(random.normal(size=count))) for _ in range(trials))
    )
    assert inside / trials == pytest.approx(0.95, abs=4 * math.sqrt(0.95 * 0.05 / trials))


def test_interval_agrees_with_scipy():
    values = numpy.random.RandomState(3).exponential(size=12)
    theirs = stats.t.interval(0.95, 11, loc=values.mean(), scale=stats.sem(values))
    assert statistics.mean_interval(list(values)) == pytest.approx(theirs, rel=1e-9)


@pytest.mark.parametrize("constant", [0.0, 5.0])
def test_interval_of_a_mean_is_that_of_its_difference_from_a_constant(constant):
    """The report and `ganzoo compare` use one method: against a side without any spread they agree."""
    values = [8.2, 9.6, 10.9, 9.1]
    low, high = statistics.mean_interval(values)
    assert statistics.welch_interval(values, [constant] * 3) == pytest.approx((low - constant, high - constant))


def test_permutation_by_enumeration():
    one, other = [1.0, 2.0, 4.0], [3.0, 7.0, 8.0, 9.0]
    pooled = one + other
    observed = abs(statistics.mean(one) - statistics.mean(other))
    extreme = 0
    for chosen in combinations(range(7), 3):
        part = [pooled[place] for place in chosen]
        rest = [pooled[place] for place in range(7) if place not in chosen]
        extreme += abs(statistics.mean(part) - statistics.mean(rest)) >= observed - 1e-9
    assert statistics.permutation_test(one, other) == (extreme / 35, True) and extreme == 3


def test_permutation_at_its_extremes():
    assert statistics.permutation_test([1, 2, 3], [4, 5, 6]) == (0.1, True) and statistics.smallest_p(3, 3) == 0.1
    assert statistics.permutation_test([1, 2], [4, 5, 6]) == (0.1, True) and statistics.smallest_p(2, 3) == 0.1
    assert statistics.permutation_test([0.1 + 0.2, 1], [0.3, 1]) == (1.0, True)  # rounding is no difference
    assert statistics.permutation_test([5, 5], [5, 5]) == (1.0, True)


def test_drawn_permutations_are_near_the_exact_ones_and_the_same_every_time():
    random = numpy.random.RandomState(1)
    one, other = list(random.normal(size=12)), list(random.normal(0.8, size=12))
    p, exact = statistics.permutation_test(one, other)
    theirs = stats.permutation_test(
        (one, other),
        lambda x, y, axis: x.mean(axis) - y.mean(axis),
        vectorized=True,
        n_resamples=40_000,
        rng=numpy.random.default_rng(0),
    ).pvalue
    assert not exact and p == pytest.approx(theirs, abs=0.01) and statistics.permutation_test(one, other)[0] == p
    assert statistics.permutation_test([0.0] * 12, [1.0] * 12)[0] == statistics.smallest_p(12, 12) == 1 / 20_001


@pytest.mark.parametrize("freedom", [1, 1.3, 2, 3.7, 10, 50, 1000])
@pytest.mark.parametrize("share", [0.75, 0.975, 0.9995])
def test_student_is_scipys(freedom, share):
    assert statistics.student_quantile(share, freedom) == pytest.approx(stats.t.ppf(share, freedom), rel=1e-9)


def test_welch_is_scipys():
    one, other = [1.0, 2.0, 3.5, 1.5], [4.0, 5.0, 7.0]
    theirs = stats.ttest_ind(one, other, equal_var=False).confidence_interval()
    assert statistics.welch_interval(one, other) == pytest.approx((theirs.low, theirs.high), rel=1e-9)
    assert statistics.welch_interval([2, 2, 2], [1, 1, 1]) == (1, 1)


def test_effect_and_holm_by_hand():
    assert statistics.hedges_g([3.0, 5.0], [0.0, 2.0]) == pytest.approx(3 / math.sqrt(2) * (1 - 3 / 7), rel=1e-12)
    assert statistics.hedges_g([2, 2], [1, 1]) is None
    assert statistics.holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06]) and statistics.holm([0.9, 0.8]) == [
        1.0,
        1.0,
    ]


@pytest.mark.parametrize(
    ("metric", "sign"),
    [
        ("frechet[inception]", -1),
        ("kid[x]", -1),
        ("class-divergence[x]", -1),
        ("precision[x]", 1),
        ("recall", 1),
        ("density", 1),
        ("coverage", 1),
        ("inception-score[x]", 1),
        ("modes[x]", 1),
        ("modes-tenth[x]", 1),
        ("kid-deviation[x]", 0),
        ("sharpness", 0),
    ],
)
def test_directions(metric, sign):
    assert direction(metric) == sign
    assert better(metric, [1, 3, 2]) == (3 if sign > 0 else 1)


def test_best_and_final_over_seeds():
    (summary,) = section(
        row("a", 0, [9.0, 3.0, 5.0]), row("a", 1, [8.0, 5.0, 4.0]), row("a", 2, [8.0], status="failed", best=None)
    ).summaries
    best, final = summary.estimate(FRECHET, "best"), summary.estimate(FRECHET, "final")
    assert (best.values, best.mean, best.count) == ((3.0, 4.0), 3.5, 2) and best.deviation == math.sqrt(0.5)
    assert (final.values, final.mean) == ((5.0, 4.0), 4.5)
    assert summary.counts == {"seeds": 3, "diverged": 0, "failed": 1, "collapsed": 0}
    assert tables.estimated(best, 3).below == "2 of 3 seeds"


def test_ranks_follow_the_best_and_ties_share_a_rank():
    found = section(
        row("a", 0, [5.0]),
        row("b", 0, [4.0, 9.0]),
        row("c", 0, [5.0]),
        row("d", 0, [], status="failed"),
        row("e", 0, [7.0]),
    )
    assert [(rank, summary.name) for rank, summary in found.ranked] == [
        (1, "b"),
        (2, "a"),
        (2, "c"),
        (4, "e"),
        (None, "d"),
    ]


def test_higher_ranks_first_where_higher_is_better():
    rows = [msgspec.convert(row(name, 0, [value]), Row) for name, value in (("a", 5.0), ("b", 9.0))]
    (found,) = sections(rows, {rows[0].protocol: "recall[fashion-cnn]"})
    assert found.ranking == "recall[fashion-cnn]" and [summary.name for _, summary in found.ranked] == ["a", "b"]


def test_what_must_not_be_ranked_together_is_apart():
    budgets = [{"steps": 2000, "images": 128000}, {"minutes": 5}]
    rows = [row("a", 0, [1.0], budget=budget) for budget in budgets] + [row("a", 0, [1.0], protocol=other_protocol())]
    rows += [row("a", 0, [1.0], data="mnist"), row("a", 0, [1.0], kind="pretrained")]
    assert len(sections([msgspec.convert(value, Row) for value in rows])) == 5


def test_settings_make_another_line():
    found = section(row("a", 0, [1.0]), row("a", 1, [2.0]), row("a", 0, [3.0], settings=["generator.width=32"]))
    assert [(summary.name, summary.settings, len(summary.rows)) for summary in found.summaries] == [
        ("a", (), 2),
        ("a", ("generator.width=32",), 1),
    ]


def test_settings_are_the_same_in_any_order():
    settings = (["x=1", "y=2"], ["y=2", "x=1"], ["x=3", "y=2", "x=1"])
    (summary,) = section(*(row("a", seed, [1.0], settings=given) for seed, given in enumerate(settings))).summaries
    assert len(summary.rows) == 3
    assert (
        len(section(row("a", 0, [1.0], settings=["x=1", "x=2"]), row("a", 1, [1.0], settings=["x=2", "x=1"])).summaries)
        == 2
    ), "the last counts"


def test_a_part_named_anew_has_forgotten_its_options():
    assert changes(["generator.width=16", "generator=dcgan"]) == changes(["generator=dcgan"]) == ("generator=dcgan",)
    assert changes(["generator=dcgan", "generator.width=16"]) == ("generator=dcgan", "generator.width=16")
    assert changes(["generators=a", "generator=b"]) == ("generator=b", "generators=a"), "another path that begins alike"


def test_the_best_score_within_a_time():
    """8,000, 32,000 and 64,000 images at 15 s for 8,000: scores after 15, 60 and 120 s."""
    found = section(
        row("a", 0, [9.0, 3.0, 5.0], second=15), row("a", 1, [8.0, 5.0, 4.0], second=15), row("b", 0, [2.0], second=90)
    )
    a, b = found.summaries
    assert [a.within(FRECHET, minutes).mean for minutes in (0.25, 1, 2, 60)] == [8.5, 4.0, 3.5, 3.5]
    assert b.within(FRECHET, 1) is None and a.within(FRECHET, 0.1) is None
    assert found.minutes == [0.5, 1, 2]


def test_an_hour_is_asked_for_where_somebody_trained_so_long():
    found = section(row("a", 0, [9.0, 8.0, 7.0, 6.0, 5.0], second=1800))  # 8 hours
    assert 60 in found.minutes and found.minutes[-1] == 480
    assert (
        "an hour" not in tables.by_time(found).note
        and "No run trained for an hour" in tables.by_time(section(row("a", 0, [9.0]))).note
    )


def test_costs_are_means_over_seeds():
    (summary,) = section(row("a", 0, [9.0], second=10), row("a", 1, [9.0], second=20)).summaries
    assert (
        summary.cost("training_images_per_second") == 600
        and summary.cost("generator_macs") == 98765432
        and summary.cost("none") is None
    )


def test_metrics_stand_in_order_and_deviations_are_left_out():
    names = [name.partition("[")[0] for name in metrics_of([msgspec.convert(row("a", 0, [9.0]), Row)])]
    assert names == [
        "frechet",
        "kid",
        "precision",
        "recall",
        "density",
        "coverage",
        "inception-score",
        "modes",
        "class-divergence",
    ]


def test_protocols_differ_field_by_field():
    assert differences(PROTOCOL, PROTOCOL) == []
    assert differences({"a": {"b": 1, "c": [1]}, "d": 0}, {"a": {"b": 2, "c": [1]}}) == [
        ("a.b", "1", "2"),
        ("d", "0", "absent"),
    ]


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (0.0, "0"),
        (31.2345, "31.23"),
        (1234567.0, "1,234,567"),
        (0.012345, "0.01235"),
        (-2.5, "-2.500"),
        (3.2e-7, "3.200e-07"),
        (None, "–"),
    ],
)
def test_numbers_for_people(value, shown):
    assert tables.number(value) == shown


def test_mean_and_deviation_end_at_one_digit():
    assert [
        tables.spread(*pair)
        for pair in ((31.2345, 0.8249), (31.2345, 12.4), (31.2345, None), (31.2345, 0.0), (1234.5, 17.0))
    ] == [
        "31.23 ± 0.82",
        "31 ± 12",
        "31.23",
        "31.23 ± 0",
        "1,234 ± 17",
    ]
    assert [tables.duration(seconds) for seconds in (0.5, 30, 60, 90, 3600, 5400, None)] == [
        "0.5 s",
        "30 s",
        "1 min",
        "1.5 min",
        "1 h",
        "1.5 h",
        "–",
    ]


def test_plausible_rows_make_two_sections():
    found = sections([msgspec.convert(value, Row) for value in plausible()])
    assert sorted(len(one.summaries) for one in found) == [2, 6]
