"""Rows and protocols of before: metrics that were renamed are read under today's names, and nothing else changes."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from bench_rows import PROTOCOL, row, write

from ganzoo.bench.make_job import metric_of
from ganzoo.bench.old_names import current_name, renamed_protocol, renamed_setting
from ganzoo.bench.report.compare import compare
from ganzoo.bench.report.write import write_report
from ganzoo.bench.row import checked_row, fingerprint, read_protocols, read_rows
from ganzoo.errors import UsageError

RESULTS = sorted((Path(__file__).parents[2] / "benchmarks/results").iterdir())
BEFORE = PROTOCOL | {
    "metrics": ["kernel", "class-score", "classes", "neighbours"],
    "ranking": "kernel[fashion-cnn]",
}


def of_before(name: str, seed: int, values: list[float]) -> dict:
    """A row with the names of before."""
    text = json.dumps(row(name, seed, values, protocol=BEFORE))
    return json.loads(text.replace('"kid', '"kernel').replace('"inception-score', '"class-score'))


@pytest.mark.parametrize("folder", RESULTS, ids=lambda folder: folder.name)
def test_committed_rows_are_written_as_they_were_read_but_for_the_names(folder):
    renamed = (("kernel", "kid"), ("class-score", "inception-score"))
    for line in (folder / "results.jsonl").read_text(encoding="utf-8").splitlines():
        found = checked_row(json.loads(line), "here").to_line()
        for old, new in renamed:
            for suffix in ("", "-deviation"):
                line = line.replace(f'"{old}{suffix}[', f'"{new}{suffix}[')
        line = re.sub(r'("training\.schedules\.\w+)\.end=', r"\1.to_value=", line)
        line = re.sub(r'("training\.schedules\.\w+)\.finish=', r"\1.to_fraction=", line)
        assert found == line
    assert {found.protocol for found in read_rows(folder / "results.jsonl")} == read_protocols(folder).keys()


def test_a_name_of_before_is_one_of_today():
    assert [
        current_name(name) for name in ("kernel[x]", "kernel-deviation[x]", "neighbours", "class-score[y]", "frechet")
    ] == [
        "kid[x]",
        "kid-deviation[x]",
        "precision-recall",
        "inception-score[y]",
        "frechet",
    ]
    assert current_name("kernels[x]") == "kernels[x]"


def test_a_field_of_a_schedule_has_todays_name():
    assert renamed_setting("training.schedules.loss.a.start=1") == "training.schedules.loss.a.from_value=1"
    for setting in ("training.schedules.ema.to_value=1=2", "loss.end=1", "training.steps=3", "generator=x"):
        assert renamed_setting(setting) == setting


def test_a_protocol_of_before_is_one_of_today():
    found = renamed_protocol(BEFORE)
    assert found["metrics"] == ["kid", "classes", "inception-score", "precision-recall"]
    assert found["ranking"] == "kid[fashion-cnn]" and found == BEFORE | {
        key: found[key] for key in ("metrics", "ranking")
    }
    odd = {"metrics": [1, None], "ranking": 3}
    assert renamed_protocol(odd) == odd and renamed_protocol({}) == {}


def test_a_report_of_rows_of_before_ranks_by_todays_name(tmp_path):
    write(tmp_path, [of_before("dcgan", 0, [9.0]), of_before("vae", 0, [8.0])], BEFORE)
    write_report(tmp_path)
    text = (tmp_path / "report.md").read_text()
    assert "By kid\\[fashion-cnn\\] (lower is better)" in text and "inception-score" in text
    assert "kernel" not in text and "class-score" not in text and f"Protocol {fingerprint(BEFORE)[:12]}" in text


def test_rows_of_before_compare_with_those_of_today(tmp_path):
    now = renamed_protocol(BEFORE)
    old = write(tmp_path / "old", [of_before("dcgan", seed, [9.0 + seed]) for seed in range(2)], BEFORE)
    new = write(tmp_path / "new", [row("dcgan", seed, [7.0 + seed], protocol=now) for seed in range(2)], now)
    outcome = compare(old / "results.jsonl", new / "results.jsonl", metrics=("kid",))
    assert not outcome.reason and [one.metric for one in outcome.comparisons] == ["kid[fashion-cnn]"]
    assert [len(side.scores) for side in outcome.comparisons[0].sides] == [2, 2]


def test_fid_is_the_frechet_distance_of_inception_alone(tmp_path):
    assert metric_of("fid", "inception") == "frechet" and metric_of("kid", "fashion-cnn") == "kid"
    with pytest.raises(UsageError, match=r"frechet\[inception\].*'fashion-cnn'.*--extractor inception"):
        metric_of("fid", "fashion-cnn")
    scores = json.loads(
        json.dumps([row("dcgan", seed, [9.0 + seed]) for seed in range(2)]).replace("fashion-cnn", "inception")
    )
    file = write(tmp_path, scores + [found | {"cell": found["cell"] | {"name": "vae"}} for found in scores])
    outcome = compare(file / "results.jsonl", variants=("dcgan", "vae"), metrics=("fid",))
    assert [one.metric for one in outcome.comparisons] == ["frechet[inception]"]
