"""A matrix of trainings: its rows, and that these are the same for jobs, shards and after every kill."""

import json
import os
import random
import signal
import sys
import time

import benches
import pytest
import small
from benches import data  # noqa: F401  a fixture

if not sys.platform.startswith("linux"):
    pytest.skip("kills processes and forks", allow_module_level=True)


def run(arguments, folder, **more):
    done = small.forked_ganzoo(*arguments, cwd=folder, **more)
    assert done.returncode == 0, done.stderr
    return done


def one_cell(data, out):
    """The words of a bench of one small VAE."""
    return [
        "bench",
        "vae",
        *benches.TRAINING,
        "--data",
        str(data),
        *benches.WIDTHS[:4],
        *benches.MEASURES,
        "--out",
        str(out),
    ]


@pytest.fixture(scope="module")
def whole(data, tmp_path_factory):
    """The matrix, done at once with one job."""
    folder = tmp_path_factory.mktemp("whole")
    run(benches.words(data, folder / "bench"), folder)
    return folder / "bench"


def test_every_cell_is_a_row_whatever_became_of_it(whole):
    rows = benches.rows(whole)
    assert [(row["cell"]["name"], row["cell"]["seed"], row["status"]) for row in rows] == [
        ("dcgan", 0, "done"),
        ("dcgan", 1, "done"),
        ("vae", 0, "done"),
        ("vae", 1, "done"),
        ("wgan-gp", 0, "diverged"),
        ("wgan-gp", 1, "diverged"),
        ("infogan", 0, "failed"),
        ("infogan", 1, "failed"),
    ]
    assert "nan" in rows[4]["error"] and rows[4]["events"][-1]["event"] == "diverged"
    assert "infogan" in rows[6]["error"] and "\n" not in rows[6]["error"]
    assert rows[6]["final"] is rows[6]["best"] is rows[6]["samples"] is rows[4]["final"] is None


def test_a_row_says_what_was_agreed(whole):
    row, *others = benches.rows(whole)
    assert list(row) == [
        "format",
        "protocol",
        "cell",
        "kind",
        "status",
        "error",
        "collapsed",
        "events",
        "settings",
        "parts",
        "budget",
        "points",
        "final",
        "best",
        "costs",
        "samples",
        "weights_sha256",
        "times",
    ]
    assert all(list(other) == list(row) for other in others)
    assert row["cell"] == {"name": "dcgan", "variant": "dcgan", "data": "tiny", "seed": 0}
    assert row["settings"] == ["training.batch_size=4", "generator.width=4", "discriminator.width=4"]
    assert row["parts"] == {
        "generator": "dcgan",
        "discriminator": "dcgan",
        "loss": "non-saturating",
        "regularizers": [],
        "augmentation": None,
    }
    assert row["budget"] == {"steps": 6}
    assert [(point["step"], point["images"]) for point in row["points"]] == [(3, 12), (6, 24)]
    assert row["final"]["step"] == 6 and row["best"]["step"] in (3, 6)
    label = "frechet[fashion-cnn]"
    assert row["best"]["step"] == min(row["points"], key=lambda point: point["scores"][label])["step"]
    assert row["final"]["scores"][label] != row["points"][-1]["scores"][label]  # of other numbers of drawings
    assert (whole / row["samples"]).read_bytes().startswith(b"\x89PNG")
    assert (
        row["times"]["point_seconds"] == sorted(row["times"]["point_seconds"]) and row["times"]["training_seconds"] > 0
    )
    assert row["times"]["peak_memory_bytes"] > 2**20


def test_the_protocol_is_what_its_rows_name(whole):
    from ganzoo.bench.row import fingerprint

    protocol = json.loads((whole / "protocol.json").read_text())
    assert {row["protocol"] for row in benches.rows(whole)} == {fingerprint(protocol)}
    assert (
        protocol["data"]["images"] == 48
        and protocol["budget"] == {"steps": 6}
        and protocol["metrics"] == ["frechet", "classes"]
    )
    assert str(whole.parent) not in (whole / "protocol.json").read_text()


def test_mixins_are_trained_named_and_told(data, tmp_path):
    widths = [*benches.WIDTHS[:4], "--set", "discriminator.width=4", "--with", "r1", "--with", "diffaugment"]
    words = [
        "bench",
        "dcgan",
        *benches.TRAINING,
        "--data",
        str(data),
        *widths,
        *benches.MEASURES,
        "--out",
        str(tmp_path / "bench"),
    ]
    run(words, tmp_path)
    (row,) = benches.rows(tmp_path / "bench")
    assert row["cell"]["name"] == "dcgan+r1+diffaugment" and row["status"] == "done"
    assert (row["parts"]["regularizers"], row["parts"]["augmentation"]) == (["r1"], "diffaugment")
    terms = [
        record["terms"]
        for record in small.records(tmp_path / "bench/runs/dcgan+r1+diffaugment-tiny-seed0")
        if "terms" in record
    ]
    assert any("r1" in name for name in terms[0])
    assert [event["event"] for event in row["events"]] == ["warning"] and "batch norm" in row["events"][0]["text"]


def test_two_jobs_give_the_same_bytes(data, whole, tmp_path):
    run(benches.words(data, tmp_path / "bench", "--jobs", "2"), tmp_path)
    assert benches.timeless(tmp_path / "bench") == benches.timeless(whole)


def test_shards_merged_give_the_same_bytes(data, whole, tmp_path):
    for number in (2, 1):
        run(benches.words(data, tmp_path / f"shard-{number}", "--shard", f"{number}/2"), tmp_path)
    assert len(benches.rows(tmp_path / "shard-1")) == 4
    half = run(["bench", "merge", str(tmp_path / "shard-2"), "--out", str(tmp_path / "half")], tmp_path)
    assert "4 of 8 cells are in none of the folders" in half.stderr
    run(
        ["bench", "merge", str(tmp_path / "shard-2"), str(tmp_path / "shard-1"), "--out", str(tmp_path / "bench")],
        tmp_path,
    )
    assert benches.timeless(tmp_path / "bench") == benches.timeless(whole)
    pictures = [{path.name for path in (folder / "samples").iterdir()} for folder in (tmp_path / "bench", whole)]
    assert pictures[0] == pictures[1] and len(pictures[0]) == 4


def test_killed_again_and_again_it_ends_with_the_same_bytes(data, whole, tmp_path):
    moments, words = random.Random(0), benches.words(data, tmp_path / "bench", "--jobs", "2")
    for _ in range(6):
        with benches.forked(words, tmp_path / "log") as (child, ended):
            until = time.monotonic() + moments.uniform(0.2, 2.5)
            while ended() is None and time.monotonic() < until:
                time.sleep(0.01)
            if ended() is None:
                os.kill(child, signal.SIGKILL)
        if (tmp_path / "bench/results.jsonl").exists():
            lines = (tmp_path / "bench/results.jsonl").read_text().split("\n")[:-1]
            assert all(json.loads(line)["format"] == 1 for line in lines)
    run(words, tmp_path)
    assert benches.timeless(tmp_path / "bench") == benches.timeless(whole)
    assert not [path for path in (tmp_path / "bench").rglob(".tmp-*")]


def test_what_was_torn_is_done_again_and_nothing_else(data, whole, tmp_path):
    import shutil

    bench = tmp_path / "bench"
    shutil.copytree(whole, bench)
    with (bench / "results.jsonl").open("a") as file:
        file.write('{"format": 1, "prot')
    torn = bench / "cells/vae-tiny-seed1.json"
    torn.write_text(torn.read_text()[:200])
    before = {path.name: path.stat().st_mtime_ns for path in (bench / "cells").iterdir()}
    done = small.forked_ganzoo(*(word for word in benches.words(data, bench) if word != "--quiet"), cwd=tmp_path)
    assert done.returncode == 0 and "set aside" in done.stderr, done.stderr
    changed = [name for name, time in before.items() if (bench / "cells" / name).stat().st_mtime_ns != time]
    assert changed == ["vae-tiny-seed1.json"]
    assert benches.timeless(bench) == benches.timeless(whole)


def test_a_row_that_is_lost_after_the_states_of_its_points_comes_back_with_all_of_them(data, tmp_path):
    words = one_cell(data, tmp_path / "bench")
    words[words.index("--points") + 1] = "6"
    run(words, tmp_path)
    (row,), before = benches.rows(tmp_path / "bench"), benches.timeless(tmp_path / "bench")
    checkpoints = tmp_path / "bench/runs/vae-tiny-seed0/checkpoints"
    assert len(row["points"]) == 6 and 2 <= len([*checkpoints.iterdir()]) < 6
    (tmp_path / "bench/cells/vae-tiny-seed0.json").unlink()
    run(words, tmp_path)
    assert benches.timeless(tmp_path / "bench") == before
    assert len([*checkpoints.iterdir()]) < 6


def test_states_of_points_are_kept_until_their_row_is_safe_and_no_longer(data, tmp_path):
    words = one_cell(data, tmp_path / "bench")
    words[words.index("--points") + 1] = "6"
    (tmp_path / "bench").mkdir()
    run_folder, cells = tmp_path / "bench/runs/vae-tiny-seed0", tmp_path / "bench/cells"
    done = small.forked_ganzoo(
        *words,
        cwd=tmp_path,
        prepare=lambda: setattr(benches.ganzoo.bench.train_cell, "save_samples", lambda *some: 1 / 0),
    )
    assert done.returncode == 1 and "division" in done.stderr
    states = sorted((run_folder / "checkpoints").iterdir())
    assert len(states) == 6
    last = (states[-1] / "MANIFEST.json").stat().st_ino
    run([*words, "--retry-failed"], tmp_path)  # only scored again
    assert (states[-1] / "MANIFEST.json").stat().st_ino == last and benches.rows(tmp_path / "bench")[0][
        "status"
    ] == "done"
    thinned, before = len([*(run_folder / "checkpoints").iterdir()]), benches.timeless(tmp_path / "bench")
    assert thinned < 6

    (cells / "vae-tiny-seed0.json").unlink()
    run(
        words,
        tmp_path,
        prepare=lambda: setattr(benches.ganzoo.bench.run, "prune_checkpoints", lambda row, folder: None),
    )  # as if killed before it
    damaged = sorted((run_folder / "checkpoints").iterdir())
    assert len(damaged) == 6
    run(words, tmp_path)
    assert len([*(run_folder / "checkpoints").iterdir()]) == thinned

    (cells / "vae-tiny-seed0.json").unlink()
    run(
        words,
        tmp_path,
        prepare=lambda: setattr(benches.ganzoo.bench.run, "prune_checkpoints", lambda row, folder: None),
    )
    (cells / "vae-tiny-seed0.json").unlink()
    (damaged[1] / "generator.safetensors").write_bytes(b"torn")
    run(words, tmp_path)
    assert benches.timeless(tmp_path / "bench") == before


def test_a_row_that_lacks_something_is_set_aside(data, whole, tmp_path):
    import shutil

    shutil.copytree(whole, tmp_path / "bench")
    torn = tmp_path / "bench/cells/vae-tiny-seed1.json"
    row = json.loads(torn.read_text())
    for damage in ({"cell": None}, {"plugins": None}, {"status": "perhaps"}):
        torn.write_text(json.dumps({**row, **damage}))
        done = small.forked_ganzoo(
            *(word for word in benches.words(data, tmp_path / "bench") if word != "--quiet"), cwd=tmp_path
        )
        assert done.returncode == 0 and "vae-tiny-seed1.json is not a row" in done.stderr, done.stderr
        assert benches.timeless(tmp_path / "bench") == benches.timeless(whole)


def test_sigterm_saves_what_is_trained_and_the_same_command_goes_on(data, tmp_path):
    words = one_cell(data, tmp_path / "bench")
    words[words.index("--steps") + 1] = "4000"
    run_folder = tmp_path / "bench/runs/vae-tiny-seed0"
    with benches.forked(words, tmp_path / "log") as (child, ended):
        benches.until(lambda: (run_folder / "metrics.jsonl").exists() or ended() is not None)
        os.kill(child, signal.SIGTERM)
        benches.until(lambda: ended() is not None)
        assert ended() == 143, (tmp_path / "log").read_text()
    assert "the same command goes on" in (tmp_path / "log").read_text()
    assert small.steps_of(run_folder) and benches.rows(tmp_path / "bench") == []
    assert any(record.get("event") == "interrupted" for record in small.records(run_folder))


def test_minutes_count_training_and_keep_a_state_for_every_part(data, tmp_path):
    words = one_cell(data, tmp_path / "bench")
    place = words.index("--steps")
    words[place : place + 2] = ["--minutes", "0.01"]
    run(words, tmp_path)
    (row,) = benches.rows(tmp_path / "bench")
    assert row["budget"] == {"minutes": 0.01} and row["status"] == "done"
    assert (
        0.6 <= row["times"]["training_seconds"]
        and 0.3 <= row["times"]["point_seconds"][0] < row["times"]["point_seconds"][-1]
    )
    assert len(row["points"]) == 2 and row["points"][-1]["step"] == row["final"]["step"]
