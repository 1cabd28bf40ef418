"""A bench in which a process, a metric, weights or plugins fail, and requests that are impossible."""

import json
import os
import shutil
import signal
import sys

import benches
import distributions
import forks
import pytest
import small
from benches import data  # noqa: F401  a fixture

from ganzoo.bench.cells import names_of

if not sys.platform.startswith("linux"):
    pytest.skip("kills processes and forks", allow_module_level=True)

METRICS = """
from ganzoo import hookimpl

def number(real, fake, random):
    return {number}

def raising(real, fake, random):
    raise RuntimeError("it exploded")

def silent(real, fake, random):
    return None

@hookimpl
def register_metrics(register):
    for metric in (number, raising, silent):
        metric.needs = ()
        register(metric.__name__, metric)
"""


def training(data, out, *more, variants=("vae",), measures=benches.MEASURES):
    """The words of a bench of small networks."""
    return [
        "bench",
        *variants,
        *benches.TRAINING,
        "--data",
        str(data),
        *benches.WIDTHS[:4],
        *measures,
        *more,
        "--out",
        str(out),
    ]


def refused(words, folder, *texts):
    done = small.forked_ganzoo(*words, cwd=folder)
    assert done.returncode == 2 and "Traceback" not in done.stderr, done.stderr
    for text in texts:
        assert text in done.stderr
    return done


# -- processes -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("end", [lambda: os.kill(os.getpid(), signal.SIGKILL), lambda: os._exit(0)])
def test_a_cell_whose_process_dies_is_a_row_and_the_others_have_their_report(data, tmp_path, end):
    import ganzoo.bench.run as run

    whole = run.run_cell

    def dying(cell, *others):
        if cell.variant == "infogan":
            end()
        return whole(cell, *others)

    words = training(data, tmp_path / "bench", variants=("infogan", "vae"))
    done = small.forked_ganzoo(*words, cwd=tmp_path, prepare=lambda: setattr(run, "run_cell", dying))
    assert done.returncode == 0, done.stderr
    lost, kept = benches.rows(tmp_path / "bench")
    assert (lost["status"], kept["status"]) == ("failed", "done") and lost["error"].startswith("its process ended with")
    page = (tmp_path / "bench/report.html").read_text()
    assert lost["error"] in page and "vae" in page
    again = small.forked_ganzoo(*words, "--retry-failed", cwd=tmp_path)
    assert again.returncode == 0 and [row["status"] for row in benches.rows(tmp_path / "bench")] == ["done", "done"], (
        again.stderr
    )


def test_rows_of_lost_cells_as_they_were_written_once_can_be_read(data, tmp_path):
    done = small.forked_ganzoo(*training(data, tmp_path / "bench"), cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    (row,) = benches.rows(tmp_path / "bench")
    (tmp_path / "bench/results.jsonl").write_text(
        json.dumps(row | {"status": "failed", "parts": None, "final": None, "best": None}) + "\n"
    )
    compared = small.forked_ganzoo("compare", str(tmp_path / "bench/results.jsonl"), cwd=tmp_path)
    assert "is not a row" not in compared.stderr


# -- metrics ---------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def versions(tmp_path_factory):
    """The folders of two versions of one plugin, whose metric gives another number and whose variant is another."""
    folder, found = tmp_path_factory.mktemp("versions"), []
    for version, number in (("0.1", 3), ("0.2", 99)):
        files = {
            "others_metrics.py": METRICS.replace("{number}", str(number)),
            "others_zoo.py": distributions.variant("others"),
        }
        points = ("others-metrics = others_metrics", "others = others_zoo")
        made = distributions.Distribution("others", files, points, version)
        found.append(distributions.install([made], folder / version))
    return found


def with_plugins(folder, words, cwd):
    return forks.python("-m", "ganzoo", *words, folders=[folder], cwd=cwd)


def test_a_metric_that_fails_costs_its_own_number_alone(data, versions, tmp_path):
    measures = ("--metric", "frechet", "--metric", "raising", "--metric", "number", "--metric", "silent")
    done = with_plugins(versions[0], training(data, tmp_path / "bench", measures=measures), tmp_path)
    assert done.returncode == 0, done.stderr
    (row,) = benches.rows(tmp_path / "bench")
    assert row["status"] == "done" and len(row["points"]) == 2
    for state in (*row["points"], row["final"], row["best"]):
        scores = state["scores"]
        assert scores["frechet[fashion-cnn]"] > 0 and scores["number[fashion-cnn]"] == 3
        assert scores["raising[fashion-cnn]"] is None and scores["silent[fashion-cnn]"] is None
    told = [event["text"] for event in row["events"]]
    assert len(told) == 2 and "'raising' failed" in told[0] and "it exploded" in told[0] and "'silent'" in told[1]
    assert "it exploded" in (tmp_path / "bench/report.md").read_text()
    warned = [line for line in done.stderr.splitlines() if "Warning" in line]  # also where --quiet was given
    assert any("raising[fashion-cnn]" in line and "vae seed 0" in line and "it exploded" in line for line in warned)
    assert any("silent[fashion-cnn]" in line for line in warned) and "number[fashion-cnn]" in done.stdout


@pytest.mark.parametrize("least", ["6", None, 0, True, 2.5])
def test_a_metric_that_needs_no_number_of_images_is_named(least):
    from ganzoo.bench import make_job
    from ganzoo.errors import PluginError

    def metric(real, fake, random):
        return 0.0

    metric.least = least
    with pytest.raises(PluginError, match="'odd' .*`least` .*1"):
        make_job.least_needed("odd", metric)


def test_another_version_of_a_plugin_is_another_protocol_or_another_row(data, versions, tmp_path):
    words = training(data, tmp_path / "metric", measures=("--metric", "frechet", "--metric", "number"))
    assert with_plugins(versions[0], words, tmp_path).returncode == 0
    assert json.loads((tmp_path / "metric/protocol.json").read_text())["versions"]["others"] == "0.1"
    before = (tmp_path / "metric/results.jsonl").read_bytes()
    done = with_plugins(versions[1], [*words, "--seeds", "2"], tmp_path)
    assert done.returncode == 2 and 'versions.others: "0.1" there, "0.2" here' in done.stderr
    assert (tmp_path / "metric/results.jsonl").read_bytes() == before

    words = training(data, tmp_path / "variant", "--set", "discriminator.width=4", variants=("others",))
    assert with_plugins(versions[0], words, tmp_path).returncode == 0
    (row,), plan = benches.rows(tmp_path / "variant"), (tmp_path / "variant/plan.json").read_bytes()
    assert (
        row["plugins"] == {"others": "0.1"}
        and "others" not in json.loads((tmp_path / "variant/protocol.json").read_text())["versions"]
    )
    done = with_plugins(versions[1], [*words, "--seeds", "2"], tmp_path)
    assert done.returncode == 2 and "holds 'others' made with others 0.1; here it would be others 0.2" in done.stderr
    assert benches.rows(tmp_path / "variant") == [row] and (tmp_path / "variant/plan.json").read_bytes() == plan
    other = [*words[:-1], str(tmp_path / "other"), "--seeds", "1,2"]
    assert with_plugins(versions[1], other, tmp_path).returncode == 0
    done = small.forked_ganzoo(
        "bench",
        "merge",
        str(tmp_path / "variant"),
        str(tmp_path / "other"),
        "--out",
        str(tmp_path / "all"),
        cwd=tmp_path,
    )
    assert (
        done.returncode == 2
        and "holds 'others' made with others 0.2; before it stood others 0.1" in done.stderr
        and not (tmp_path / "all/cells").exists()
    )


# -- requests that would fail after a training -----------------------------------------------------------------------


def test_too_few_images_for_a_metric_are_refused_before_anything_is_trained(data, tmp_path):
    few, out = small.images(tmp_path / "few.npz", count=4), tmp_path / "bench"
    neighbours = ("--metric", "frechet", "--metric", "precision-recall")
    refused(
        training(few, out, measures=neighbours),
        tmp_path,
        "'precision-recall' needs 6 images, and the reference few has 4",
    )
    assert not out.exists()
    done = small.forked_ganzoo(*training(data, out, measures=neighbours), cwd=tmp_path)  # a fifth of 20 would not do
    assert done.returncode == 0, done.stderr
    assert benches.rows(out)[0]["points"][0]["scores"]["precision[fashion-cnn]"] is not None


def test_what_needs_labels_is_refused_or_left_out_where_there_are_none(tmp_path, monkeypatch):
    import numpy

    monkeypatch.setenv("GANZOO_CACHE", str(tmp_path / "cache"))
    bare = tmp_path / "bare.npz"
    numpy.savez(bare, images=numpy.load(small.images(tmp_path / "tiny.npz"))["images"])
    out = tmp_path / "bench"
    refused(training(bare, out, variants=("vae", "cgan")), tmp_path, "'cgan' needs labels, and bare has no labels")
    refused(training(bare, out, "--conditional"), tmp_path, "--conditional needs labels")
    refused(training(bare, out, variants=("cga[n]",)), tmp_path, "All these variants need labels")
    assert not out.exists() and not (tmp_path / "cache" / "datasets").exists()  # before any image is prepared
    words = [word for word in training(bare, out, variants=("cgan*", "va[e]")) if word != "--quiet"]
    done = small.forked_ganzoo(*words, cwd=tmp_path)
    assert done.returncode == 0 and "left out: 'cgan' needs labels" in done.stderr, done.stderr
    assert {row["cell"]["variant"] for row in benches.rows(out)} == {"vae"}


def test_data_that_cells_cannot_be_trained_on_are_refused_before_they_are_prepared(tmp_path, monkeypatch):
    """A variant that a pattern chose gets a row instead, as long as others can be trained."""
    monkeypatch.setenv("GANZOO_CACHE", str(tmp_path / "cache"))
    few, out = small.images(tmp_path / "few.npz", count=12), tmp_path / "bench"
    batch = ("--set", "vae:training.batch_size=13")
    line = "vae: Batches of 13 cannot be drawn from 12 images of 'few': use --set vae:training.batch_size=12"
    refused(training(few, out, *batch, variants=("vae", "gan")), tmp_path, line)
    refused(training(few, out, *batch, variants=("va[e]",)), tmp_path, line)
    refused(
        training(few, out, "--with", "ada", variants=("wgan", "dcgan")),
        tmp_path,
        "'wasserstein-clipped' states no boundary",
    )
    assert not out.exists() and not (tmp_path / "cache" / "datasets").exists()
    done = small.forked_ganzoo(*training(few, out, *batch, variants=("va[e]", "gan")), cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert {row["cell"]["variant"]: row["status"] for row in benches.rows(out)} == {"vae": "failed", "gan": "done"}


def test_a_run_that_its_schedules_end_before_its_time_is_over_says_so(data, tmp_path):
    more = (
        "--set",
        "training.steps=4",
        "--set",
        "training.schedules.generator_lr.to_value=1e-5",
        "--set",
        "training.schedules.generator_lr.to_fraction=1",
    )
    words = training(data, tmp_path / "bench", *more)
    place = words.index("--steps")
    words[place : place + 2] = ["--minutes", "9"]
    done = small.forked_ganzoo(*words, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    (row,) = benches.rows(tmp_path / "bench")
    assert row["status"] == "done" and row["final"]["step"] == 4
    assert [event["text"] for event in row["events"] if event["event"] == "short"] == [
        "ended at step 4, where its schedules end, before its time was over: training.steps sets their length"
    ]
    assert "where its schedules end" in (tmp_path / "bench/report.md").read_text()


# -- weights ---------------------------------------------------------------------------------------------------------


def test_weights_that_are_missing_from_a_plugin_cost_their_own_row(tmp_path, monkeypatch):
    from ganzoo.bench import plan_scoring

    monkeypatch.setenv("GANZOO_CACHE", str(tmp_path / "cache"))
    whole = plan_scoring.inspect_generator.__wrapped__

    def load(source, registry):
        from ganzoo.errors import CheckpointError

        if source != "vae.fashion-mnist":
            raise CheckpointError(f"{source}/config.json cannot be read: No such file or directory.")
        return whole(source, registry)

    def damage():
        import ganzoo.bench.score_pretrained as score_pretrained

        plan_scoring.inspect_generator = load
        loading = score_pretrained.load
        score_pretrained.load = lambda source, **options: load(source, None) and loading(source, **options)

    words = ["bench", "--eval-images", "20", *benches.MEASURES, "--jobs", "1", "--out", str(tmp_path / "bench")]
    done = small.forked_ganzoo(*words, cwd=tmp_path, prepare=damage)
    assert done.returncode == 0, done.stderr
    assert "dcgan.fashion-mnist cannot be loaded" in done.stderr
    states = {row["cell"]["name"]: row["status"] for row in benches.rows(tmp_path / "bench")}
    assert states.pop("vae.fashion-mnist") == "done" and len(states) >= 5 and set(states.values()) == {"failed"}
    assert "dcgan.fashion-mnist" in (tmp_path / "bench/report.md").read_text()


# -- names -----------------------------------------------------------------------------------------------------------


def test_sources_of_one_name_are_told_apart_by_more_of_their_path(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    one, other = f"{tmp_path}/ra/first", f"{tmp_path}/rb/first"
    assert names_of(["./ra/first", other, "vae.fashion-mnist"]) == {
        one: "ra/first",
        other: "rb/first",
        "vae.fashion-mnist": "vae.fashion-mnist",
    }
    assert names_of(["./ra/first", "./ra/first/", one]) == {one: "first"}
    hub = names_of(["rb/first", "./ra/first", "./rb/first"])
    assert hub == {"rb/first": "rb/first", one: "ra/first", other: f"{tmp_path.name}/rb/first"}


def test_two_runs_of_one_name_stand_in_one_table(tmp_path, monkeypatch):
    monkeypatch.setenv("GANZOO_CACHE", str(tmp_path / "cache"))
    for place in ("a", "b"):
        (tmp_path / place).mkdir()
    shutil.copytree(small.finished_run(tmp_path / "a"), tmp_path / "b/run")
    words = [
        "bench",
        "./a/run",
        "./b/run",
        "--reference",
        str(small.images(tmp_path / "tiny.npz")),
        "--eval-images",
        "20",
    ]
    done = small.forked_ganzoo(*words, *benches.MEASURES, "--out", "bench", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    one, other = benches.rows(tmp_path / "bench")
    assert [row["cell"]["name"] for row in (one, other)] == ["a/run", "b/run"]
    assert one["final"] == other["final"] and one["samples"] != other["samples"]
    words = ["bench", ".", *words[3:], *benches.MEASURES]
    for place, code in (("a", 0), ("b", 2)):  # two runs under one name, which one folder cannot hold
        done = small.forked_ganzoo(*words, "--out", str(tmp_path / "one"), cwd=tmp_path / place / "run")
        assert done.returncode == code, done.stderr
    assert "holds 'run' of seed 0 with other settings: source" in done.stderr


def test_the_order_in_which_metrics_are_typed_is_no_other_protocol(tmp_path):
    from ganzoo.bench.make_job import make_job
    from ganzoo.bench.request import Request
    from ganzoo.metrics.features import load_extractor
    from ganzoo.registry.registry import registry

    jobs = [
        make_job(
            Request(out=tmp_path, metrics=metrics), registry(), "pretrained", "data", load_extractor("fashion-cnn")
        )
        for metrics in (("precision-recall", "kid", "classes"), ("classes", "precision-recall", "kid", "kid"))
    ]
    assert jobs[0] == jobs[1] and jobs[0].metrics == ("kid", "classes", "precision-recall")
