"""What variants cost, against arithmetic on paper; and a process that shares nothing gives the same row."""

import json
import subprocess
import sys
import time

import benches
import msgspec
import pytest
import small
import torch
from bench_rows import row as made
from torch import nn

from ganzoo import ImageSpec, Part
from ganzoo.bench.cell import blank_row
from ganzoo.bench.cells import Cell, Job
from ganzoo.bench.costs import costs_of, macs, peak_memory
from ganzoo.bench.progress import Progress
from ganzoo.bench.report.terminal import table, without_number
from ganzoo.bench.results import BenchFolder
from ganzoo.bench.row import Event, Row, Score
from ganzoo.bench.workers import Running
from ganzoo.config.recipe import bind_part
from ganzoo.registry.registry import registry


def test_multiply_accumulates_are_those_of_the_arithmetic():
    assert macs(nn.Linear(10, 7), torch.zeros(1, 10)) == 70
    assert macs(nn.Conv2d(3, 8, 3, padding=1), torch.zeros(1, 3, 16, 16)) == 3 * 8 * 9 * 16 * 16
    assert macs(nn.ConvTranspose2d(8, 4, 4, 2, 1), torch.zeros(1, 8, 5, 5)) == 8 * 4 * 16 * 5 * 5
    assert macs(nn.Linear(10, 7), torch.zeros(1, 9)) is None


class Constant(nn.Module):
    """Begins with a learned constant, as StyleGAN2's synthesis does."""

    def __init__(self):
        super().__init__()
        self.constant, self.layer = nn.Parameter(torch.ones(1, 3, 4, 4)), nn.Conv2d(3, 8, 3, padding=1)
        self.fixed = nn.Parameter(torch.ones(1), requires_grad=False)

    def forward(self, latent):
        return self.layer(self.constant.expand(len(latent), -1, -1, -1))


def test_a_learned_constant_is_counted_and_stays_learned():
    module = Constant()
    assert macs(module, torch.zeros(1, 5)) == 3 * 8 * 9 * 4 * 4
    assert {name: one.requires_grad for name, one in module.named_parameters()} == {
        "constant": True, "fixed": False, "layer.weight": True, "layer.bias": True,
    }  # fmt: skip


def test_costs_of_a_variant_are_counted_by_role():
    parts = {"generator": Part("vae", {"width": 4}), "loss": Part("evidence-lower-bound")}
    found = costs_of({role: bind_part(role, part, registry()) for role, part in parts.items()}, ImageSpec(28, 1))
    assert found.discriminator_parameters is found.discriminator_macs is None
    built = registry().get("generators", "vae")(ImageSpec(28, 1), width=4)
    assert found.generator_parameters == sum(parameter.numel() for parameter in built.parameters())
    assert 0 < found.generator_macs < found.generator_parameters < found.loss_parameters


def test_labels_reach_conditional_networks():
    generator = bind_part("generator", Part("lsgan-conditional", {"width": 4}), registry())
    assert costs_of({"generator": generator}, ImageSpec(28, 1, 3)).generator_macs > 0


def test_memory_is_that_of_this_process():
    assert 50 * 2**20 < peak_memory("cpu") < 64 * 2**30


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="forks")
def test_a_fresh_process_gives_the_row_of_a_forked_one(tmp_path, monkeypatch):
    monkeypatch.setenv("GANZOO_CACHE", str(tmp_path / "cache"))
    words = [
        "bench",
        "vae.fashion-mnist",
        "--eval-images",
        "20",
        *benches.MEASURES,
        "--quiet",
        "--out",
        str(tmp_path / "bench"),
    ]
    assert small.forked_ganzoo(*words, cwd=tmp_path).returncode == 0
    (row,) = benches.rows(tmp_path / "bench")
    cell = Cell(name="vae.fashion-mnist", variant="vae", data="fashion-mnist-test", seed=0, source="vae.fashion-mnist")
    eyes = {"reference": "fashion-mnist-test", "metrics": ("frechet", "classes"), "eval_images": 20}
    eyes |= {"second_extractor": "fashion-cnn-native"}
    job = Job(folder=str(tmp_path / "apart"), kind="pretrained", **eyes)
    (tmp_path / "apart/cells").mkdir(parents=True)
    line = json.dumps({"cell": cell.to_json(), "job": job.to_json(), "protocol": row["protocol"]}) + "\n"
    with subprocess.Popen([sys.executable, "-m", "ganzoo.bench.worker"], stdin=subprocess.PIPE, text=True) as process:
        process.stdin.write(line)
        process.stdin.flush()
        assert process.wait(timeout=300) == 0
    other = BenchFolder(tmp_path / "apart").row(cell, row["protocol"])
    assert {**other.to_json(), "times": None} == {**row, "times": None}


def test_the_table_counts_what_went_wrong():
    def row(name, seed, status, best, collapsed=False):
        found = blank_row(Cell(name=name, variant=name, data="d", seed=seed), Job(folder="f", kind="train"), "p")
        found.status, found.collapsed = status, collapsed
        found.best = found.final = None if best is None else Score(1, 64, {"frechet[x]": best})
        return found

    lines = table(
        [
            row("b", 0, "done", 3.0),
            row("b", 1, "diverged", None),
            row("a", 0, "done", 1.0, True),
            row("a", 1, "done", 2.0),
        ]
    )
    assert [line.split()[0] for line in lines[1:]] == ["a", "b"]
    assert "2 (1 collapsed)" in lines[1] and "1.5 ± 0.71" in lines[1] and "2 (1 diverged)" in lines[2]


def test_the_time_that_is_left_follows_from_what_has_ended(tmp_path):
    cells = [Cell(name="a", variant="a", data="d", seed=seed) for seed in range(4)]
    job = Job(folder=str(tmp_path), kind="train", steps=100)
    progress = Progress(BenchFolder(tmp_path), job, cells, cells, 2, quiet=True)
    assert progress._left({}, cells, 0.0) is None
    progress._took["a"] = [10.0]
    assert progress._left({cells[1]: 0.5}, cells[2:], 0.0) == pytest.approx(12.5)


def reported(tmp_path, capsys, jobs, running, ended):
    """The line about a cell that has taken 10 seconds, after an update with four cells."""
    cells = [Cell(name="a", variant="a", data="d", seed=seed) for seed in range(4)]
    job = Job(folder=str(tmp_path), kind="train", steps=100)
    progress = Progress(BenchFolder(tmp_path), job, cells, cells, jobs, quiet=False)
    began = time.monotonic() - 10
    progress.update([Running(cells[place], None, began) for place in running], cells[len(running) :])
    for place in ended:
        row = blank_row(cells[place], job, "p")
        row.final = Score(1, 64, {"frechet[x]": 12.345})
        progress.report(cells[place], row)
    return capsys.readouterr().err.splitlines()


def test_a_log_says_with_every_cell_but_the_last_how_long_the_rest_takes(tmp_path, capsys):
    lines = reported(tmp_path, capsys, 1, [0], [0, 1, 2, 3])
    assert lines[0] == "1/4  a seed 0: done after 0:10  frechet[x] 12.35  (0:30 left)"
    assert all("left)" in line for line in lines[:-1]) and lines[-1].startswith("4/4") and "left" not in lines[-1]


@pytest.mark.parametrize(
    "jobs", [1, 8], ids=["more run than were asked for, as on a cluster", "fewer run than were asked for"]
)
def test_the_rest_is_shared_by_as_many_as_run(tmp_path, capsys, jobs):
    (line,) = reported(tmp_path, capsys, jobs, [0, 1], [0])
    assert line.endswith("(0:15 left)")  # one that runs and two that wait, ten seconds each, two at a time


def test_the_rest_takes_no_less_than_its_longest_cell(tmp_path):
    cells = [Cell(name=name, variant="a", data="d", seed=0) for name in "ab"]
    progress = Progress(
        BenchFolder(tmp_path), Job(folder=str(tmp_path), kind="train", steps=100), cells, cells, 2, quiet=True
    )
    progress._took.update(a=[2.0], b=[100.0])
    assert progress._left(dict.fromkeys(cells, 0.0), (), 0.0) == 100


def test_a_cluster_runs_what_it_has_room_for_in_the_order_given():
    from ganzoo.bench.cluster import _in_turn, _room

    assert (
        _room({"CPU": 9.0}, {"num_cpus": 2, "num_gpus": 0}) == 4
        and _room({"CPU": 9.0, "GPU": 3.0}, {"num_cpus": 1, "num_gpus": 1}) == 3
    )
    assert _room({"CPU": 9.0}, {"num_cpus": 1, "num_gpus": 1}) == 1
    cells, began = [Cell(name="a", variant="a", data="d", seed=seed) for seed in range(4)], {}
    running, waiting = _in_turn(cells, 2, began)
    assert [one.cell for one in running] == cells[:2] == list(began) and waiting == cells[2:]
    later, _ = _in_turn(cells[1:], 2, began)
    assert later[0].began == running[1].began and later[1].began >= running[1].began


def test_the_terminal_names_each_number_that_is_missing():
    rows = [msgspec.convert(made("dcgan", seed, [9.0 + seed]), Row) for seed in range(5)]
    assert without_number(rows) == []
    for row in rows[:4]:
        row.final.scores["recall[fashion-cnn]"] = None
    rows[4].final.scores["mine[fashion-cnn]"] = None
    rows[4].events = [Event(9, "metric", "The metric 'mine' failed: ValueError: odd.")]
    infinite, failed = without_number(rows)
    assert "recall[fashion-cnn]" in infinite and "4 of 5" in infinite and "not finite" in infinite
    assert "dcgan seed 2 and 1 more" in infinite or "dcgan seed 2" in infinite and "1 more" in infinite
    assert "mine[fashion-cnn]" in failed and "dcgan seed 4" in failed and "ValueError: odd" in failed


def test_the_terminal_shows_the_numbers_that_were_asked_for_and_those_of_plugins():
    row = msgspec.convert(made("dcgan", 0, [9.0]), Row)
    row.best.scores["mean-distance[fashion-cnn]"] = 2.5
    row.best.scores["broken[fashion-cnn]"] = None  # a line names it, and a column of dashes would not help
    usual, asked = table([row])[0], table([row], ["inception-score"])[0]
    assert (
        "broken" not in usual
        and "mean-distance[fashion-cnn]" in usual
        and "inception-score" not in usual
        and "deviation" not in usual
    )
    assert "inception-score[fashion-cnn]" in asked and "mean-distance[fashion-cnn]" in asked
