"""What others' shards may hold: links, pipes, escapes of a terminal, numbers beyond all bounds."""

import json

import pytest
from bench_rows import PROTOCOL, row
from strangers import hangs_no_longer_than_a_minute, put, victim  # noqa: F401 - two are fixtures

from ganzoo.bench.cells import Cell
from ganzoo.bench.report import compare
from ganzoo.bench.report.statistics import welch_interval
from ganzoo.bench.results import BenchFolder
from ganzoo.bench.row import checked_row
from ganzoo.cli import main
from ganzoo.errors import CheckpointError, GanzooError

PNG = b"\x89PNG\r\n\x1a\n" + bytes(20)
ESCAPE = "\x1b]0;owned\x07\x1b[31m"


def shard(path, *rows, picture=PNG):
    folder = BenchFolder(path)
    folder.make()
    cells = {Cell(**found["cell"]): checked_row(found, "here") for found in rows}
    folder.open(PROTOCOL, tuple(cells))
    (path / "samples").mkdir()
    for cell, found in cells.items():
        found.samples = f"samples/{cell.file}.png"
        (path / found.samples).write_bytes(picture)
        folder.write_row(cell, found)
    return path


def call(*words) -> int:
    with pytest.raises(SystemExit) as ended:
        main(list(map(str, words)))
    return ended.value.code


@pytest.mark.parametrize("kind", ["link", "fifo", "device", "folder"])
@pytest.mark.parametrize("name", ["samples/dcgan-fashion-mnist-seed0.png", "protocol.json", "plan.json"])
def test_a_merge_takes_nothing_from_outside_its_shards(tmp_path, victim, capsys, kind, name):
    victim.write_bytes(PNG + b"secret")
    path = shard(tmp_path / "shard", row("dcgan", 0, [9.0]))
    put(kind, path / name, victim)
    assert call("bench", "merge", path, "--out", tmp_path / "bench") in (1, 2)
    errors = capsys.readouterr().err
    assert name.rpartition("/")[2] in errors and len(errors.splitlines()) <= 2
    assert not [file for file in tmp_path.glob("bench/**/*") if file.is_file() and b"secret" in file.read_bytes()]


def test_a_folder_of_pictures_elsewhere_is_not_read(tmp_path, capsys):
    path = shard(tmp_path / "shard", row("dcgan", 0, [9.0]))
    (path / "samples").rename(tmp_path / "elsewhere")
    (path / "samples").symlink_to(tmp_path / "elsewhere")
    assert call("bench", "merge", path, "--out", tmp_path / "bench") == 1
    assert "not a .png of this folder" in capsys.readouterr().err


def test_folders_that_are_links_are_neither_merged_nor_written_into(tmp_path, capsys):
    path = shard(tmp_path / "shard", row("dcgan", 0, [9.0]))
    (path / "cells").rename(tmp_path / "elsewhere")
    (path / "cells").symlink_to(tmp_path / "elsewhere")
    assert call("bench", "merge", path, "--out", tmp_path / "bench") in (0, 1)
    assert "cells is a link" in capsys.readouterr().err and not list((tmp_path / "bench").rglob("dcgan*.json"))
    for name in ("cells", "runs", "samples"):
        out = tmp_path / f"own-{name}"
        (out / name).parent.mkdir()
        (out / name).symlink_to(tmp_path / "elsewhere")
        with pytest.raises(GanzooError, match=f"{name} is a link"):
            BenchFolder(out).open(PROTOCOL, ())


def test_a_cell_that_is_a_link_is_damaged(tmp_path, victim, capsys):
    path = shard(tmp_path / "shard", row("dcgan", 0, [9.0]), row("vae", 0, [8.0]))
    put("link", path / "cells/dcgan-fashion-mnist-seed0.json", victim)
    assert call("bench", "merge", path, "--out", tmp_path / "bench") == 0
    assert "is a link" in capsys.readouterr().err


def test_escapes_of_others_rows_reach_no_terminal(tmp_path, capsys):
    evil = {**row(f"dcgan{ESCAPE}", 0, [9.0]), "samples": None}
    failed = {**row("vae", 0, []), "status": "failed", "error": f"no {ESCAPE}", "final": None, "best": None}
    for name, rows in (("one", [evil]), ("two", [failed])):
        path = shard(tmp_path / name, *rows)
        call("bench", "merge", path, "--out", tmp_path / f"{name}-bench")
        call("bench", "merge", path, "--out", tmp_path / f"{name}-bench", "--json")
        call("compare", tmp_path / f"{name}-bench", "--variants", "a,b")
        call("compare", tmp_path / f"{name}-bench", "--variants", f"dcgan{ESCAPE},b", "--json")
    shown = capsys.readouterr()
    assert "owned" in shown.out and "\x1b" not in shown.out.replace("\x1b[1m", "").replace("\x1b[0m", "")
    assert "\x1b" not in shown.err and "\x07" not in shown.err


@pytest.mark.parametrize("value", [1e308, -1e308, 10**300, 1e200])
def test_a_number_beyond_all_bounds_is_one_line(tmp_path, value):
    found = row("dcgan", 0, [9.0])
    found["times"] = {"training_seconds": value}
    with pytest.raises(CheckpointError, match="no bench gives") as caught:
        checked_row(found, "here")
    assert len(str(caught.value)) < 200
    rows = [row("dcgan", seed, [9.0 + seed]) for seed in range(3)] + [row("vae", seed, [value]) for seed in range(3)]
    path = tmp_path / "results.jsonl"
    path.write_text("".join(json.dumps(found) + "\n" for found in rows))
    with pytest.raises(CheckpointError, match="line 4 .*no bench gives"):
        compare.compare(path, None, variants=("dcgan", "vae"))


def test_statistics_of_tiny_and_of_huge_numbers_are_numbers():
    for scale in (1e-160, 1e-100, 1e74):
        low, high = welch_interval([1 * scale, 2 * scale, 4 * scale], [5 * scale, 6 * scale, 8 * scale])
        plain_low, plain_high = welch_interval([1.0, 2.0, 4.0], [5.0, 6.0, 8.0])
        assert low == pytest.approx(plain_low * scale) and high == pytest.approx(plain_high * scale)
