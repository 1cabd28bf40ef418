"""`ganzoo curves`: the terminal, the picture and the page of one run and of several, and what is refused."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import pytest
from PIL import Image

from ganzoo.cli import main
from ganzoo.curves.picture import SCALE, SMOOTH, WIDTH
from ganzoo.curves.series import Panel, Series, panels, read_runs
from ganzoo.curves.terminal import drawn


def call(*words) -> int:
    with pytest.raises(SystemExit) as ended:
        main(list(map(str, words)))
    return ended.value.code


@pytest.fixture(scope="module")
def run(tmp_path_factory) -> Path:
    out = tmp_path_factory.mktemp("curves") / "first"
    every = ["--sample-every", "2", "--batch-size", "8", "--threads", "1", "--device", "cpu", "--quiet"]
    assert call("train", "points", "--data", "ring", "--steps", "4", "--out", out, *every) == 0
    return out


@pytest.fixture
def second(run, tmp_path) -> Path:
    """Another run, with hostile texts, numbers that are none, and a collapse."""
    shutil.copytree(run, tmp_path / "<b>second")
    metrics = tmp_path / "<b>second" / "metrics.jsonl"
    records = [json.loads(line) for line in metrics.read_text().splitlines()]
    records += [
        {"step": 5, "terms": {"discriminator.real": "nan", "discriminator.extra": 1e9, "x.y": True}},
        {"step": 5, "event": "collapse", "text": "<script>alert(1)</script>\u202e"},
        {"step": 6, "terms": [1], "samples": None},
    ]
    metrics.write_text("".join(json.dumps(record) + "\n" for record in records))
    return metrics.parent


def test_a_panel_has_the_terms_of_a_phase_of_one_run_and_a_term_of_several(run, second):
    (alone,) = read_runs([run])
    own = {panel.title: [series.name for series in panel.series] for panel in panels([alone])}
    assert own["terms of phase discriminator"] == ["real", "fake"] and own["diversity"] == ["diversity"]
    both = {panel.title: panel for panel in panels(read_runs([run, second]))}
    assert [series.name for series in both["term discriminator.real"].series] == ["first", "<b>second"]
    assert [series.place for series in both["term discriminator.extra"].series] == [1] and "term x.y" not in both
    records = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    expected = [(record["step"], record["samples"]["diversity"]) for record in records if "samples" in record]
    assert both["diversity"].series[0].line == expected != []


@pytest.mark.parametrize("columns", [30, 80, 150])
def test_the_terminal_is_not_left(run, second, columns):
    for runs in (read_runs([run]), read_runs([run, second])):
        lines = [line for panel in panels(runs) for line in drawn(panel, columns, colour=True)]
        plain = [re.sub(r"\033\[\d+m", "", line) for line in lines]
        dots = [line for line in plain if any("\u2800" <= letter <= "\u28ff" for letter in line)]
        assert dots and max(map(len, dots)) <= columns


def test_a_rising_line_rises_from_the_first_column_to_the_last():
    from ganzoo.curves.series import Panel, Series

    panel = Panel("up", (Series("up", 0, [(0, 0.0), (10, 1.0)]),))
    lines = drawn(panel, 51, colour=False)[1:11]
    first = [min(column for column, letter in enumerate(line) if letter > "\u2800") for line in lines]
    assert first == sorted(first, reverse=True) and len(lines[0]) == 51 and lines[-1][11] > "\u2800"
    flat = drawn(Panel("flat", (Series("flat", 0, [(3, 2.0)]),)), 40, colour=False)
    assert sum(letter > "\u2800" for line in flat for letter in line) == 1


def test_text_picture_and_page_by_the_command(run, second, tmp_path, capsys):
    assert call("curves", run, second) == 0
    text = capsys.readouterr().out
    assert "term generator.fake: first" in text and "energy distance" in text
    picture, page = tmp_path / "curves.png", tmp_path / "curves.html"
    assert call("curves", run, second, "--out", picture, "--out", page) == 0
    with Image.open(picture) as found:
        assert found.width == 2 * WIDTH * SCALE // SMOOTH and len(found.convert("RGB").getcolors(2**24)) > 50
    html = page.read_text()
    assert "<script>alert" not in html and "<b>second" not in html and "\u202e" not in html
    assert "&lt;b&gt;second" in html and "step 5: collapse" in html
    assert html.count("data:image/png;base64,") == 2 * 4  # real, and steps 0, 2 and 4
    assert not re.search(r"(src|href)=\"(?!data:)", html) and "default-src 'none'" in html


def test_pictures_of_a_long_run_are_spaced(run, tmp_path):
    long = tmp_path / "long"
    shutil.copytree(run, long)
    for step in range(6, 60, 2):
        shutil.copy(run / "samples" / "step-000000004.png", long / "samples" / f"step-{step:09d}.png")
    captions = [caption for caption, _ in read_runs([long])[0].pictures]
    assert captions[:2] == ["real", "step 0"] and captions[-1] == "step 58" and len(captions) == 9


def test_what_cannot_be_shown_is_refused_in_one_line(run, tmp_path, capsys):
    (tmp_path / "old.png").write_bytes(b"mine")
    (tmp_path / "empty").mkdir()
    young = tmp_path / "young"
    shutil.copytree(run, young)
    (young / "metrics.jsonl").unlink()
    cases = {
        "no run": [tmp_path / "empty"],
        ".html": [run, "--out", tmp_path / "curves.svg"],
        "--force": [run, "--out", tmp_path / "old.png"],
        "50 steps": [young],
        "once": [run, run],
        "at most 12": [run] * 13,
    }
    for fact, words in cases.items():
        assert call("curves", *words) in (1, 2)
        error = capsys.readouterr().err
        assert fact in error and len(error.splitlines()) == 1, error
    assert (tmp_path / "old.png").read_bytes() == b"mine"


def test_a_single_line_has_a_name_unless_the_title_is_it():
    line = Series("fake", 0, [(1.0, 2.0), (2.0, 3.0)])
    assert Panel("terms of phase generator", (line,)).named == (line,)
    assert Panel("fake", (line,)).named == () and Panel("fake", (line, line)).named == (line, line)
