"""What `ganzoo bench` refuses, and how it reads what it is asked for."""

import json
import os
import platform
import shutil
import subprocess
import sys
from dataclasses import replace

import benches
import pytest
import small
import translators
from benches import data  # noqa: F401  a fixture
from messages import logged

from ganzoo import Part
from ganzoo.bench.cells import (
    Cell,
    chosen_variants,
    common_size,
    parse_seeds,
    parse_shard,
    split_settings,
    training_cells,
)
from ganzoo.bench.plan_scoring import inspect_generator
from ganzoo.bench.protocol import difference_lines
from ganzoo.bench.results import merged_plans
from ganzoo.errors import UsageError
from ganzoo.registry import registry
from ganzoo.runs.budget import Budget, TrainingClock


def quick(data, out, *more, seeds="1"):
    """A matrix of one cell that cannot be built, so that it takes no time."""
    fixed = [*benches.TRAINING, *benches.MEASURES, "--set", "training.batch_size=4", "--set", "generator.width=0"]
    return ["bench", "infogan", *fixed, "--data", str(data), "--seeds", seeds, "--out", str(out), *more]


@pytest.fixture(scope="module")
def filled(data, tmp_path_factory):
    folder = tmp_path_factory.mktemp("filled")
    done = small.forked_ganzoo(*quick(data, folder / "bench"), cwd=folder)
    assert (
        done.returncode == 1 and "All cells failed, 'infogan' with: " in done.stderr and "Traceback" not in done.stderr
    ), done.stderr
    return folder / "bench"


def refused(arguments, folder, *texts, code=2):
    done = small.forked_ganzoo(*arguments, cwd=folder)
    assert done.returncode == code, done.stderr
    for text in texts:
        assert text in done.stderr
    assert "Traceback" not in done.stderr


def contents(folder):
    """Every file but the lock, which says who used the folder last."""
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file() and path.name != ".lock"
    }


def test_a_folder_of_another_protocol_is_refused_with_the_differences(data, filled):
    before = contents(filled)
    words = quick(data, filled, "--precision", "bf16")
    words[words.index("--eval-images") + 1] = "30"
    refused(words, filled.parent, "evaluation.images: 20 there, 30 here", 'precision: "fp32" there, "bf16" here')
    assert contents(filled) == before


def test_the_same_cell_with_other_settings_is_refused(data, filled):
    before = contents(filled)
    refused(
        quick(data, filled, "--set", "training.batch_size=8"),
        filled.parent,
        "holds 'infogan' of seed 0 with other settings",
    )
    assert contents(filled) == before


def test_more_seeds_are_added_to_what_is_there(data, filled, tmp_path):
    shutil.copytree(filled, tmp_path / "bench")
    done = small.forked_ganzoo(*quick(data, tmp_path / "bench", seeds="3"), cwd=tmp_path)
    assert done.returncode == 1, done.stderr
    assert [row["cell"]["seed"] for row in benches.rows(tmp_path / "bench")] == [0, 1, 2]
    assert benches.timeless(tmp_path / "bench")[0] == benches.timeless(filled)[0]


def test_failed_cells_are_done_again_only_if_asked(data, filled, tmp_path):
    shutil.copytree(filled, tmp_path / "bench")
    ages_ago = "2000-01-01T00:00:00+00:00"  # a cell that fails again within a second would have the same time
    for cell in (tmp_path / "bench/cells").iterdir():
        row = json.loads(cell.read_text())
        cell.write_text(json.dumps({**row, "times": {**row["times"], "started": ages_ago}}))
    rows = (tmp_path / "bench/results.jsonl").read_text
    assert small.forked_ganzoo(*quick(data, tmp_path / "bench"), cwd=tmp_path).returncode == 1
    assert {json.loads(row)["times"]["started"] for row in rows().splitlines()} == {ages_ago}
    assert small.forked_ganzoo(*quick(data, tmp_path / "bench", "--retry-failed"), cwd=tmp_path).returncode == 1
    for row in map(json.loads, rows().splitlines()):
        assert (row["times"]["started"] == ages_ago) == (row["status"] != "failed")
    assert "failed" in rows()
    assert benches.timeless(tmp_path / "bench") == benches.timeless(filled)


def test_a_folder_in_use_or_in_the_way_is_refused(data, filled, tmp_path):
    from ganzoo.files.lock import FolderLock

    before = contents(filled)
    with FolderLock(filled):
        refused(quick(data, filled), tmp_path, f"pid {os.getpid()}", code=1)
    assert contents(filled) == before
    (tmp_path / "taken").mkdir()
    (tmp_path / "taken/file").write_text("mine")
    refused(quick(data, tmp_path / "taken"), tmp_path, "is in the way")
    assert contents(tmp_path / "taken") == {"file": b"mine"}


def test_shards_of_two_protocols_are_not_merged(data, filled, tmp_path):
    other = tmp_path / "other"
    shutil.copytree(filled, other)
    protocol = json.loads((other / "protocol.json").read_text())
    protocol["versions"]["torch"] = "1.0"
    (other / "protocol.json").write_text(json.dumps(protocol))
    refused(
        ["bench", "merge", str(filled), str(other), "--out", str(tmp_path / "bench")],
        tmp_path,
        'versions.torch: "1.0" there',
    )
    assert not (tmp_path / "bench").exists()
    refused(
        ["bench", "merge", str(tmp_path), "--out", str(tmp_path / "bench")], tmp_path, "is not the folder of a bench"
    )


def test_shards_that_disagree_on_a_cell_are_not_merged(filled, tmp_path):
    other = tmp_path / "other"
    shutil.copytree(filled, other)
    file = other / "cells/infogan-tiny-seed0.json"
    file.write_text(file.read_text().replace('"failed"', '"diverged"'))
    words = ["bench", "merge", str(filled), str(other), "--out", str(tmp_path / "bench")]
    refused(words, tmp_path, "another row of 'infogan' seed 0")


@pytest.mark.parametrize(
    ("more", "text"),
    [
        (["dcgann", "--train", "--data", "{data}", "--steps", "1"], "Did you mean 'dcgan'?"),
        (["dcgan", "--train", "--steps", "1"], "Say what to train on"),
        (["dcgan", "--train", "--data", "{data}"], "exactly one of --steps, --images and --minutes"),
        (["dcgan", "--train", "--data", "{data}", "--steps", "1", "--minutes", "1"], "exactly one of"),
        (["dcgan", "wgan-gp-mnist", "--train", "--data", "{data}", "--steps", "1"], "do not all have one size"),
        (
            ["dcgan", "--train", "--data", "{data}", "--steps", "1", "--set", "vae:generator.width=4"],
            "'vae' is not among the variants",
        ),
        (
            ["dcgan", "--train", "--data", "{data}", "--steps", "1", "--set", "generator.widht=4"],
            "generator.widht: unknown option",
        ),
        (["dcgan", "--train", "--data", "{data}", "--steps", "1", "--loss", "lsgn"], "No loss is called 'lsgn'"),
        (
            ["dcgan", "--train", "--data", "{data}", "--steps", "1", "--with", "r11"],
            "No regularizer or augmentation is called 'r11'",
        ),
        (
            ["dcgan", "--train", "--data", "{data}", "--steps", "1", "--with", "r1", "--with", "r1"],
            "has the regularizer 'r1' already",
        ),
        (
            ["dcgan", "--train", "--data", "{data}", "--steps", "1", "--metric", "precision-recall"],
            "ranked by frechet or kid",
        ),
        (["dcgan", "--train", "--data", "{data}", "--steps", "1", "--shard", "3/2"], "--shard 3/2"),
        (["vae.fashion"], "No pretrained generator is called"),
        (
            ["vae"],
            "'vae' is a variant, and without --train trained generators are scored: "
            "score its trained generator vae.fashion-mnist, or",
        ),
        (["dragan"], "trained generators are scored: train it with --train --data DATA"),
        (["vae.fashion-mnist", "--steps", "3"], "--steps is for --train"),
        (["vae.fashion-mnist", "--with", "r1"], "--with is for --train"),
    ],
)
def test_a_wrong_request_makes_no_folder(data, tmp_path, more, text):
    words = [word.format(data=data) for word in more]
    refused(["bench", *words, "--out", str(tmp_path / "bench")], tmp_path, text)
    assert not (tmp_path / "bench").exists()


def test_seeds_and_shards():
    assert parse_seeds("3") == (0, 1, 2) and parse_seeds("0,5,7") == (0, 5, 7) and parse_seeds("5,") == (5,)
    assert parse_shard(None) == (1, 1) and parse_shard("2/4") == (2, 4)
    for text in ("0", "x", "1,1", "-1", ""):
        with pytest.raises(UsageError, match="--seeds"):
            parse_seeds(text)


def test_patterns_leave_out_what_cannot_draw_the_size():
    with logged() as told:
        found = chosen_variants(["vae", "wgan-gp*"], False, 64, registry.registry())
    assert [variant.name for variant in found] == ["vae", "wgan-gp", "wgan-gp-resnet-64"]
    assert told == [
        "left out: 'wgan-gp-mnist' has 28 pixels, not 64",
        "left out: 'wgan-gp-resnet' has 32, and powers of two from 16 to 32 pixels, not 64",
    ]
    assert common_size(found, None) == 64
    with pytest.raises(UsageError, match="No variant matches 'wgn\\*'"):
        chosen_variants(["wgn*"], False, 64, registry.registry())


def test_settings_and_parts_become_cells():
    known = registry.registry()
    assert split_settings(["training.steps=3", "vae:generator.width=4"], ["dcgan", "vae"]) == {
        "dcgan": ["training.steps=3"],
        "vae": ["training.steps=3", "generator.width=4"],
    }
    variants = [known.get("variants", "dcgan")]
    cells = training_cells(variants, (0, 1), "tiny", known, parts={"loss": ("least-squares", "non-saturating")})
    assert [(cell.name, cell.seed, cell.settings) for cell in cells] == [
        ("dcgan+least-squares", 0, ("loss=least-squares",)),
        ("dcgan+least-squares", 1, ("loss=least-squares",)),
        ("dcgan", 0, ()),
        ("dcgan", 1, ()),
    ]
    variants.append(replace(variants[0], name="lsgan", weights={}, regularizers=(Part("r1"),)))
    one, other = training_cells(
        variants,
        (0,),
        "tiny",
        known,
        parts={},
        mixins=("r1", "diffaugment"),
        settings=("dcgan:regularizers.r1.gamma=2",),
    )
    assert (one.name, one.mixins) == ("dcgan+r1+diffaugment", ("r1", "diffaugment"))
    assert (other.name, other.mixins) == ("lsgan+diffaugment", ("diffaugment",))  # its own r1 stays its own
    variant = one.resolved(known).variant
    assert variant.regularizers == (Part("r1", {"gamma": 2}),) and variant.augmentation == Part("diffaugment")
    (cell, _) = training_cells(
        [known.get("variants", "wgan-gp-resnet")], (0, 1), "tiny", known, parts={}, conditional=True
    )
    assert (cell.name, cell.conditional) == ("wgan-gp-resnet+labels", True)


def test_plans_grow_and_never_change():
    cells = [Cell(name="a", variant="a", data="d", seed=seed) for seed in range(3)]
    assert merged_plans(cells[:2], cells[1:], "here") == tuple(cells)
    with pytest.raises(UsageError, match="settings: \\[\\] there"):
        merged_plans(cells, [Cell(name="a", variant="a", data="d", seed=1, settings=("x=1",))], "here")
    one, other = (
        Cell(name="a", variant="a", data="d", seed=0, settings=settings)
        for settings in (("x=1", "y=2"), ("y=2", "x=1"))
    )
    assert merged_plans([one], [other], "here") == (one,), "a matter of order alone"


def test_differences_name_every_value():
    assert difference_lines({"a": {"b": 1, "c": 2}, "d": 3}, {"a": {"b": 1, "c": 4}, "e": 5}) == [
        "a.c: 2 there, 4 here",
        "d: 3 there, absent here",
        "e: absent there, 5 here",
    ]


def test_a_clock_counts_what_runs_and_knows_its_points():
    clock = TrainingClock(Budget(seconds=10.0, shares=(0.5, 1.0)))
    assert not clock.reaches(1) and not clock.is_over
    clock.trained = 5.5
    assert clock.reaches(2) and not clock.reaches(3)
    clock.trained = 10.0
    assert clock.reaches(4) and clock.is_over and clock.kept() == [2, 4]
    again = TrainingClock(clock.budget, [{"event": "point", "step": 2}, {"event": "collapse", "step": 3}], 6.0)
    assert not again.reaches(3) and again.kept() == [2]
    again.forget_after(1)
    assert again.kept() == []
    steps = TrainingClock(Budget(steps=(3, 6)))
    assert [step for step in range(8) if steps.reaches(step)] == [3, 6] and not steps.is_over


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="forks")
def test_pretrained_weights_are_scored_without_a_network(data, tmp_path):
    words = [
        "bench",
        "vae.fashion-mnist",
        "--eval-images",
        "30",
        *benches.MEASURES,
        "--quiet",
        "--json",
        "--out",
        str(tmp_path / "bench"),
    ]
    done = small.forked_ganzoo(*words, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    (row,) = json.loads(done.stdout)
    assert (row["kind"], row["status"], row["budget"], row["points"]) == ("pretrained", "done", None, [])
    assert row["cell"] == {"name": "vae.fashion-mnist", "variant": "vae", "data": "fashion-mnist-test", "seed": 0}
    assert row["final"] == row["best"] and row["final"]["scores"]["frechet[fashion-cnn]"] > 0
    assert row["weights_sha256"] == registry.registry().get("variants", "vae").weights["vae.fashion-mnist"].sha256
    assert (tmp_path / "bench" / row["samples"]).exists()


def test_without_metrics_an_extractor_is_asked_for_what_it_can_serve(tmp_path):
    from ganzoo.bench.make_job import make_job
    from ganzoo.bench.request import Request
    from ganzoo.metrics.features import Extractor
    from ganzoo.registry.registry import registry

    blind, seeing = (
        Extractor("plain", lambda images: images.flatten(1), "0" * 64, classes) for classes in ((), ("one", "two"))
    )
    asked = [
        make_job(Request(out=tmp_path), registry(), "pretrained", "data", extractor).metrics
        for extractor in (blind, seeing)
    ]
    assert set(asked[1]) - set(asked[0]) == {"classes", "inception-score"} and "frechet" in asked[0]
    chosen = Request(out=tmp_path, metrics=("frechet", "classes"))
    assert make_job(chosen, registry(), "pretrained", "data", blind).metrics == (
        "frechet",
        "classes",
    )  # the message says why it cannot be


@pytest.mark.parametrize(
    ("budget", "samples"),
    [
        ({"steps": 100}, 1600),
        ({"steps": 1}, 500),
        ({"steps": 625}, 10_000),
        ({"images": 64_000}, 10_000),  # that of the committed results
        ({"images": 10_050}, 2500),
        ({"minutes": 1}, 2500),
        ({"minutes": 60}, 10_000),
    ],
)
def test_scoring_does_not_dwarf_a_short_training(budget, samples, tmp_path):
    from ganzoo.bench.make_job import make_job
    from ganzoo.bench.request import Request
    from ganzoo.config.options import TrainOptions
    from ganzoo.metrics.features import load_extractor
    from ganzoo.registry.registry import registry

    own = {name: value for name, value in budget.items() if name != "minutes"}
    request = Request(out=tmp_path, options=TrainOptions(device="cpu", **own), minutes=budget.get("minutes"))
    extractor = load_extractor("fashion-cnn")
    job = make_job(request, registry(), "train", "data", extractor)
    assert (job.eval_images, job.point_images) == (samples, samples // 5)
    asked = replace(request, eval_images=9000)
    assert make_job(asked, registry(), "train", "data", extractor).eval_images == 9000
    assert make_job(request, registry(), "pretrained", "data", extractor).eval_images == 10_000


def test_the_number_of_samples_of_a_short_training_is_said_once(data, tmp_path):
    done = small.forked_ganzoo(*quick_by_default(data, tmp_path / "bench"), cwd=tmp_path)
    assert done.stderr.count("--eval-images") == 1 and "500 samples" in done.stderr and "10,000" in done.stderr
    assert json.loads((tmp_path / "bench/protocol.json").read_text())["evaluation"]["images"] == 500


def quick_by_default(data, out):
    words = [word for word in quick(data, out) if word != "--quiet"]
    place = words.index("--eval-images")
    return words[:place] + words[place + 2 :]


def test_the_dearest_pretrained_cell_is_done_first():
    from ganzoo.bench.plan_scoring import sampling_cost

    cells = [
        Cell(name=name, variant=name, data="data", seed=0, source=f"{name}.fashion-mnist")
        for name in ("vae", "dcgan", "sagan")
    ]
    assert [cell.name for cell in sorted(cells, key=lambda cell: -sampling_cost(cell, registry.registry()))] == [
        "dcgan",
        "sagan",
        "vae",
    ]
    assert sampling_cost(Cell(name="dcgan", variant="dcgan", data="data", seed=0), registry.registry()) == 0


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="glibc's own setting")
def test_a_bench_keeps_freed_memory_for_the_next_batch(data, tmp_path):
    code = (
        "import resource, sys, torch; from ganzoo.cli import main\n"
        "try: main(sys.argv[1:])\n"
        "except SystemExit as end: assert end.code == 1, end.code  # its only cell cannot be built\n"
        "[torch.ones(4_000_000) for _ in range(3)]; before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt\n"
        "for _ in range(50): torch.ones(4_000_000)\n"
        "print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, *quick(data, tmp_path / "bench")], capture_output=True, text=True, cwd=tmp_path
    )
    assert done.returncode == 0, done.stderr
    assert int(done.stdout.splitlines()[-1]) < 3_900  # pages of one of the fifty


@pytest.mark.parametrize("words", [["--image-size", "28x32"], ["--channels", "4"]])
def test_a_bench_scores_squares_without_transparency(data, tmp_path, words):
    done = small.forked_ganzoo(
        "bench", "infogan", *benches.TRAINING, "--data", str(data), "--out", "bench", *words, cwd=tmp_path
    )
    assert done.returncode == 2 and "squares of 1 or 3 channels" in done.stderr and not (tmp_path / "bench").exists()


def test_what_makes_images_of_images_or_points_is_not_benched_with_generators_of_latents(tmp_path):
    with translators.installed_plugin():
        known = registry.registry()
        with logged() as lines:
            found = {variant.name for variant in chosen_variants([], True, 32, known)}
        assert {"dcgan", translators.NAME, "points"} & found == {"dcgan"}
        assert any(f"'{translators.NAME}' takes a source" in line for line in lines)
        assert any("'points' draws points" in line for line in lines)
        for name in (translators.NAME, "points"):
            with pytest.raises(UsageError, match=name):
                chosen_variants(["dcgan", name], False, 32, known)
        translators.translator().save(tmp_path / "model")
        found = inspect_generator(str(tmp_path / "model"), known)
        assert found.shape == (16, 3) and found.macs > 0 and dict(found.inputs) == {"source": None}
