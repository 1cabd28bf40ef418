"""`ganzoo bench merge`: joined rows, messages, and inputs that stay unchanged.

And what a shard without a cell says.
"""

import json
import re

import benches
import pytest
import small
from bench_rows import PROTOCOL, row
from click.testing import CliRunner

from ganzoo.bench.cells import Cell
from ganzoo.bench.results import BenchFolder
from ganzoo.bench.row import checked_row
from ganzoo.cli import group


def shard(path, *rows):
    """The folder of a bench that holds these rows, and no trained runs."""
    folder = BenchFolder(path)
    folder.make()
    cells = {Cell(**found["cell"]): checked_row(found, "here") for found in rows}
    folder.open(PROTOCOL, tuple(cells))
    for cell, found in cells.items():
        folder.write_row(cell, found)
    return path


def merged(*folders, out):
    return CliRunner().invoke(group, ["bench", "merge", *map(str, folders), "--out", str(out)])


def contents(folder):
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.fixture
def damaged(tmp_path):
    """A shard of two cells, of which one is torn."""
    path = shard(tmp_path / "damaged", row("dcgan", 0, [9.0]), row("vae", 0, [8.0]))
    cell = path / "cells/dcgan-fashion-mnist-seed0.json"
    cell.write_text(cell.read_text()[:200])
    return path


def test_a_damaged_cell_is_told_left_as_it_is_and_not_merged(damaged, tmp_path):
    before = contents(damaged)
    done = merged(damaged, out=tmp_path / "bench")
    (told,) = [line for line in done.stderr.splitlines() if "dcgan-fashion-mnist-seed0.json" in line]
    assert done.exit_code == 0 and str(damaged) in told and told.endswith("It is left as it is, and not merged.")
    assert re.search("1 of 2 cells .*dcgan-fashion-mnist-seed0", done.stderr)
    assert [found["cell"]["name"] for found in benches.rows(tmp_path / "bench")] == ["vae"]
    assert contents(damaged) == before


def test_a_cell_damaged_in_one_shard_is_taken_from_another(damaged, tmp_path):
    whole = shard(tmp_path / "whole", row("dcgan", 0, [9.0]))
    before = contents(damaged) | contents(whole)
    done = merged(damaged, whole, out=tmp_path / "bench")
    assert done.exit_code == 0 and "not merged" in done.stderr and "in none of the folders" not in done.stderr
    assert [found["cell"]["name"] for found in benches.rows(tmp_path / "bench")] == ["dcgan", "vae"]
    assert contents(damaged) | contents(whole) == before


def test_the_folder_to_fill_may_be_one_of_the_shards_and_is_healed(damaged, tmp_path):
    whole = shard(tmp_path / "whole", row("dcgan", 0, [9.0]))
    done = merged(damaged, whole, out=damaged)
    assert done.exit_code == 0 and "set aside" in done.stderr and "not merged" not in done.stderr
    assert [found["cell"]["name"] for found in benches.rows(damaged)] == ["dcgan", "vae"]


def test_shards_without_a_row_are_merged_without_a_report(tmp_path):
    done = merged(shard(tmp_path / "empty"), out=tmp_path / "bench")
    assert (
        done.exit_code == 0
        and done.stderr == f"{tmp_path / 'bench'} has no rows, and so no report.\n"
        and not done.stdout
    )
    assert not (tmp_path / "bench/report.html").exists()


def test_a_report_is_named_where_there_is_one(tmp_path):
    done = merged(shard(tmp_path / "one", row("dcgan", 0, [9.0])), out=tmp_path / "bench")
    assert f"Report: {tmp_path / 'bench/report.html'}" in done.stderr and (tmp_path / "bench/report.html").exists()


def test_a_shard_without_a_cell_names_no_report(tmp_path, monkeypatch):
    monkeypatch.setenv("GANZOO_CACHE", str(tmp_path / "cache"))
    data = ["--data", str(small.images(tmp_path / "tiny.npz"))]
    words = [
        "bench",
        "vae",
        *benches.TRAINING,
        *benches.MEASURES,
        *data,
        "--set",
        "training.batch_size=4",
        "--shard",
        "2/2",
        "--out",
        str(tmp_path / "s2"),
    ]
    done = CliRunner().invoke(group, words)
    assert (
        done.exit_code == 0 and "s2 has no rows, and so no report." in done.stderr and "Report:" not in done.stderr
    ), done.output
    assert json.loads((tmp_path / "s2/plan.json").read_text())["cells"] and not (tmp_path / "s2/report.html").exists()
