"""`ganzoo compare`: what is more than chance, what cannot be told, and what must not be compared."""

from __future__ import annotations

import json

import pytest
from bench_rows import PROTOCOL, other_protocol, row, write
from click.testing import CliRunner

from ganzoo.bench.report.compare import compare
from ganzoo.cli import group
from ganzoo.errors import CheckpointError, GanzooError, UsageError

FRECHET = "frechet[fashion-cnn]"


def bench(folder, protocol=PROTOCOL, **scores):
    """A results.jsonl in which each variant has a seed for each of its scores."""
    rows = [
        row(name.replace("_", "-"), seed, [value], protocol=protocol)
        for name, values in scores.items()
        for seed, value in enumerate(values)
    ]
    return write(folder, rows, protocol) / "results.jsonl"


def run(*arguments):
    return CliRunner().invoke(group, ["compare", *map(str, arguments)])


@pytest.fixture
def five(tmp_path):
    return bench(
        tmp_path / "five",
        dcgan=[24, 25, 26, 27, 28],
        wgan_gp=[20, 21, 22, 23, 23.5],
        vae=[60],
        lsgan=[24.5, 25, 26, 27, 27.5],
    )


def test_a_clear_difference(five):
    (found,) = compare(five, variants=("dcgan", "wgan-gp"), metrics=["frechet"]).comparisons
    assert found.p == 2 / 252 == found.smallest_p == found.corrected_p and found.exact
    assert found.difference == pytest.approx(26 - 21.9) and found.interval[0] > 0
    assert found.better == 1 and found.verdict == "wgan-gp is better"


def test_a_difference_that_may_be_chance(five):
    (found,) = compare(five, variants=("dcgan", "lsgan"), metrics=[FRECHET]).comparisons
    assert found.p > 0.5 and found.verdict == "no significant difference"


def test_the_direction_of_a_metric_decides_who_is_better(five):
    (found,) = compare(five, variants=("dcgan", "wgan-gp"), metrics=["recall"]).comparisons
    assert found.difference < 0 and found.verdict == "wgan-gp is better"


def test_one_seed_tells_nothing(five):
    (found,) = compare(five, variants=("dcgan", "vae"), metrics=["frechet"]).comparisons
    assert found.p is None and found.corrected_p is None and found.difference == -34
    assert found.verdict.startswith("undecided: it takes at least 2 seeds")


def test_three_seeds_can_never_be_significant(tmp_path):
    file = bench(tmp_path, a=[1, 2, 3], b=[101, 102, 103])
    (found,) = compare(file, variants=("a", "b"), metrics=["frechet"]).comparisons
    assert found.p == 0.1 and "no corrected p below 0.1" in found.verdict


def test_several_comparisons_are_corrected(five, tmp_path):
    """Two p-values of 2/252: Holm makes 4/252 of both; of twenty, none could be below 0.05."""
    pair = compare(five, variants=("dcgan", "wgan-gp"), metrics=["frechet", "kid"]).comparisons
    assert [found.corrected_p for found in pair] == [4 / 252, 4 / 252]
    every = compare(five, variants=("dcgan", "wgan-gp")).comparisons
    assert len(every) == 9 and {found.smallest_corrected_p for found in every} == {9 * 2 / 252}
    assert every[0].verdict.startswith("undecided: so few seeds")


def test_the_same_names_of_two_files_are_compared(five, tmp_path):
    other = bench(tmp_path / "other", dcgan=[14, 15, 16, 17, 18], lsgan=[24.5, 25, 26, 27, 27.5], ganx=[1, 2])
    found = compare(five, other, metrics=["frechet"]).comparisons
    assert [(one.sides[0].name, one.verdict) for one in found] == [
        ("dcgan", "dcgan is better"),
        ("lsgan", "no significant difference"),
    ]


def test_across_two_files_by_name(five, tmp_path):
    other = bench(tmp_path / "other", new=[14, 15, 16, 17, 18])
    (found,) = compare(five, other, variants=("dcgan", "new"), metrics=["frechet"]).comparisons
    assert [side.name for side in found.sides] == ["dcgan", "new"] and found.verdict == "new is better"


def test_failures_are_counted(tmp_path):
    rows = [row("a", seed, [9.0 + seed]) for seed in range(3)] + [
        row("a", 3, [], status="diverged"),
        row("a", 4, [], status="failed"),
    ]
    rows += [row("b", seed, [7.0 + seed], collapsed=seed == 0) for seed in range(3)]
    file = write(tmp_path, rows) / "results.jsonl"
    done = run(file, "--variants", "a,b", "--metric", "frechet")
    assert (
        done.exit_code == 0
        and "5 seeds (1 diverged, 1 failed, 2 without a score) against 3 seeds (1 collapsed)" in done.output
    )


def test_the_final_score_can_be_asked_for(tmp_path):
    rows = [row(name, seed, [5.0, 5.0 + seed + shift]) for name, shift in (("a", 0), ("b", 9)) for seed in range(3)]
    file = write(tmp_path, rows) / "results.jsonl"
    (best,), (final,) = (
        compare(file, variants=("a", "b"), metrics=["frechet"], which=which).comparisons for which in ("best", "final")
    )
    assert best.difference == 0 and final.difference == -9


def test_different_protocols_are_not_ranked(five, tmp_path):
    other = bench(tmp_path / "other", other_protocol(), dcgan=[1, 2, 3])
    outcome = compare(five, other)
    assert not outcome.comparisons and ("images", "10000", "2000") in outcome.differing
    done = run(five, other)
    assert (
        done.exit_code == 1
        and "images: 10000 in the first, 2000 in the second" in done.output
        and isinstance(done.exception, GanzooError)
    )
    told = json.loads(run(five, other, "--json").output)
    assert (
        told["comparable"] is False
        and {"field": "images", "one": "10000", "other": "2000"} in told["protocol_differences"]
    )


def test_an_absent_protocol_is_said(five, tmp_path):
    other = bench(tmp_path / "other", other_protocol(), dcgan=[1, 2, 3])
    (other.parent / "protocol.json").unlink()
    assert "no protocol.json of" in compare(five, other).reason


def test_files_with_several_protocols_compare_what_they_share(tmp_path):
    rows = [
        row("a", seed, [1.0 + seed], protocol=protocol)
        for protocol in (PROTOCOL, other_protocol())
        for seed in range(2)
    ]
    file = write(tmp_path, rows, PROTOCOL, other_protocol()) / "results.jsonl"
    assert len(compare(file, file, metrics=["frechet"]).comparisons) == 2


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--variants", "dcgan,vea"], "no variant 'vea'. Did you mean 'vae'?"),
        (["--variants", "dcgan,vae", "--metric", "frechat"], "No row has a metric"),
        (["--variants", "dcgan"], "two different names"),
        (["--variants", "vae,vae"], "two different names"),
        ([], "or one with --variants"),
    ],
)
def test_wrong_requests_are_one_line(five, arguments, said):
    done = run(five, *arguments)
    assert isinstance(done.exception, UsageError) and said in str(done.exception) and "\n" not in str(done.exception)


def test_nothing_in_common_is_said(five, tmp_path):
    done = run(five, bench(tmp_path / "other", other=[1, 2]))
    said = "have no variant in common: dcgan, lsgan, vae, wgan-gp in the first, other in the second."
    assert done.exception.exit_code == 2 and str(done.exception).endswith(said)


def test_another_budget_is_said_with_the_protocols_that_follow_from_it(tmp_path):
    budgets = {"images": 64000}, {"minutes": 1.5}
    files = [
        write(
            tmp_path / name,
            [row("vae", 0, [1.0], budget=budget, protocol=PROTOCOL | {"budget": budget})],
            PROTOCOL | {"budget": budget},
        )
        for name, budget in zip("ab", budgets, strict=True)
    ]
    told = str(run(*files).exception)
    first, *fields = told.split("\n  ")
    assert (
        "no budget in common: 64,000 images in the first, 1.5 minutes in the second." in first
        and "Their protocols differ too" in first
    )
    assert fields == [
        "budget.images: 64000 in the first, absent in the second",
        "budget.minutes: absent in the first, 1.5 in the second",
    ]


def test_other_settings_under_another_protocol_are_not_advised_to_be_compared(tmp_path):
    one, other = (
        write(
            tmp_path / width,
            [row("a", seed, [1.0], settings=[f"width={width}", "depth=2"], protocol=protocol) for seed in range(2)],
            protocol,
        )
        for width, protocol in (("8", PROTOCOL), ("12", other_protocol()))
    )
    done = run(one, other)
    assert done.exception.exit_code == 2 and "'a': width=8 in the first, width=12 in the second" in str(done.exception)
    assert "images: 10000 in the first, 2000 in the second" in str(done.exception) and "--variants" not in str(
        done.exception
    )


def test_trained_and_pretrained_rows_are_told_apart(tmp_path):
    kinds = {"train": PROTOCOL, "pretrained": other_protocol()}
    one, other = (
        write(tmp_path / kind, [row("a", 0, [1.0], kind=kind, protocol=protocol)], protocol)
        for kind, protocol in kinds.items()
    )
    for asked in ([one, other], [one, other, "--variants", "a,a"]):
        assert "no kind of cell in common: trained for the bench in the first, trained before it in the second." in str(
            run(*asked).exception
        )


def test_without_protocols_the_reason_is_said_all_the_same(tmp_path):
    one = write(tmp_path / "one", [row("a", 0, [1.0])])
    other = write(tmp_path / "other", [row("a", 0, [1.0], data="mnist", protocol=other_protocol())])
    (other / "protocol.json").unlink()
    told = str(run(one, other).exception)
    assert (
        "no data set in common: fashion-mnist in the first, mnist in the second." in told
        and "no protocol.json of" in told
        and "\n" not in told
    )


def test_two_settings_of_one_variant_are_compared_when_asked_for(tmp_path):
    one, other = (
        write(tmp_path / width, [row("a", seed, [1.0], settings=[f"width={width}"]) for seed in range(3)])
        for width in ("8", "12")
    )
    with pytest.raises(UsageError, match="'a': width=8 .*width=12 .*--variants a,a"):
        compare(one / "results.jsonl", other / "results.jsonl")
    done = run(one, other, "--variants", "a,a")
    assert done.exit_code == 0 and "a width=8 against a width=12" in done.output, done.output


def test_another_budget_is_not_taken_for_other_settings(tmp_path):
    one, other = (write(tmp_path / str(steps), [row("a", 0, [1.0], budget={"steps": steps})]) for steps in (1, 2))
    with pytest.raises(UsageError, match="budget.*1 steps .*2 steps"):
        compare(one / "results.jsonl", other / "results.jsonl")


def test_one_name_with_several_settings_is_refused(tmp_path):
    rows = [row("a", 0, [1.0]), row("a", 0, [1.0], settings=["x=1"]), row("b", 0, [1.0])]
    with pytest.raises(UsageError, match="several settings"):
        compare(write(tmp_path, rows) / "results.jsonl", variants=("a", "b"))


def test_settings_in_another_order_are_the_same_variant(tmp_path):
    orders = (["x=1", "y=2"], ["y=2", "x=1"])
    one, other = (
        write(tmp_path / str(place), [row("a", seed, [1.0], settings=orders[place]) for seed in range(3)])
        for place in range(2)
    )
    found = compare(one / "results.jsonl", other / "results.jsonl").comparisons
    assert found and {comparison.settings for comparison in found} == {(("x=1", "y=2"), ("x=1", "y=2"))}


@pytest.mark.parametrize(
    ("content", "said"),
    [(b"", "has no rows"), (b"\xff\n", "not UTF-8"), (b'{"format": 1}\n', "not a row"), (b"{\n", "not valid JSON")],
)
def test_damaged_files_are_one_line(five, tmp_path, content, said):
    file = tmp_path / "damaged.jsonl"
    file.write_bytes(content)
    with pytest.raises(CheckpointError, match=said) as caught:
        compare(five, file)
    assert str(file) in str(caught.value) and "\n" not in str(caught.value)


def test_people_are_told_what_the_samples_are(five):
    done = run(five, "--variants", "dcgan,wgan-gp", "--metric", "frechet")
    assert (
        done.exit_code == 0
        and "Seeds are not paired" in done.output
        and "p 0.0079" in done.output
        and "corrected by Holm for 1 comparison," in done.output
    )


def test_one_seed_has_no_p_value_to_be_corrected(five):
    done = run(five, "--variants", "dcgan,vae", "--metric", "frechet")
    assert (
        "There is no p-value: that takes at least two seeds on each side." in done.output and "Holm" not in done.output
    )


def test_json_has_everything(five):
    told = json.loads(run(five, "--variants", "dcgan,wgan-gp", "--metric", "frechet", "--json").output)
    (found,) = told["comparisons"]
    assert (
        found["sides"][0]["scores"] == [24, 25, 26, 27, 28]
        and found["sides"][0]["mean"] == 26
        and found["verdict"] == "wgan-gp is better"
    )
