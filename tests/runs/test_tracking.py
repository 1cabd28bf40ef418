"""Trackers and callbacks: what they get, that they change no bit of a run, and that their failures cost a line."""

from __future__ import annotations

import json
import random
import shutil
import sys
import threading
from dataclasses import replace
from pathlib import Path
from types import ModuleType

import pytest
import small
import torch

from ganzoo.cli import main
from ganzoo.config.options import TrainOptions
from ganzoo.engine.distributed import Processes
from ganzoo.engine.trainer import Trainer
from ganzoo.errors import DivergedError, UsageError
from ganzoo.registry.discovery import Plugin, installed
from ganzoo.registry.hookspecs import hookimpl
from ganzoo.registry.registry import Registry, registry
from ganzoo.runs import tracking
from ganzoo.runs.folder import RunFolder
from ganzoo.runs.request import Intervals, Request
from ganzoo.runs.train import _tracking, train
from ganzoo.tracking import Tracker


class Notes(Tracker):
    """Writes down what it gets."""

    def __init__(self, folder: Path | None = None):
        self.calls: list[tuple] = []

    def start(self, config):
        self.calls.append(("start", config["variant"]["name"]))

    def log(self, step, values):
        self.calls.append(("log", step, dict(values)))

    def image(self, step, name, picture):
        self.calls.append(("image", step, name, picture.size))

    def forget_after(self, step):
        self.calls.append(("forget_after", step))

    def finish(self, outcome):
        self.calls.append(("finish", outcome))


def request(out: Path, steps: int = 4, **more) -> Request:
    """A training on points that takes a moment."""
    options = TrainOptions(data="ring", steps=steps, device="cpu", threads=1)
    intervals = more.pop("intervals", Intervals(sample_every=2, checkpoint_every=2))
    return Request(
        out=out, variant="points", options=options, batch_size=8, intervals=intervals, quiet=True, seed=0, **more
    )


def registry_with(monkeypatch, **trackers) -> Registry:
    """The installed plugins, and one that registers these factories."""
    module = ModuleType("tracking_test_plugin")

    @hookimpl
    def register_trackers(register):
        for name, factory in trackers.items():
            register(name, factory)

    module.register_trackers = register_trackers
    monkeypatch.setitem(sys.modules, module.__name__, module)
    return Registry([*installed(), Plugin("test", "tracking-test", "1.0", module.__name__)])


def weights(run: Path) -> dict[str, bytes]:
    return {str(path.relative_to(run)): path.read_bytes() for path in sorted(run.rglob("*.safetensors"))}


def test_a_callback_gets_step_and_values_and_a_tracker_pictures_too(tmp_path):
    seen, notes = [], Notes()
    train(request(tmp_path / "run", callbacks=[lambda step, values: seen.append((step, values)), notes]), registry())
    records = small.records(tmp_path / "run")
    terms = {record["step"]: record["terms"] for record in records if "terms" in record}
    given = [
        (step, values) for step, values in seen if "samples/diversity" not in values and "final" not in str(values)
    ]
    assert [(step, {name.replace("/", "."): value for name, value in values.items()}) for step, values in given] == [
        (step, values) for step, values in terms.items()
    ]
    looks = {step: values["samples/diversity"] for step, values in seen if "samples/diversity" in values}
    assert looks == {record["step"]: record["samples"]["diversity"] for record in records if "samples" in record}
    assert any(name.startswith("final/") for name in seen[-1][1])
    kinds = [call[0] for call in notes.calls]
    assert notes.calls[0] == ("start", "points") and notes.calls[-1] == ("finish", "finished")
    pictures = [call[1:3] for call in notes.calls if call[0] == "image"]
    assert pictures == [(0, "real"), (0, "samples"), (2, "samples"), (4, "samples")]
    assert kinds.count("log") == len(seen) and "forget_after" not in kinds


def test_no_bit_of_a_run_depends_on_trackers(tmp_path, monkeypatch):
    """Not even on ones that draw random numbers, change what they get and work in threads."""

    class Rogue(Tracker):
        def __init__(self, folder):
            pass

        def log(self, step, values):
            torch.manual_seed(step), torch.rand(3), random.seed(step)
            values.clear()

    def careless(step, values):
        torch.manual_seed(99)
        values.clear()

    train(request(tmp_path / "plain", steps=6), registry())
    found = registry_with(monkeypatch, rogue=Rogue)
    state = torch.get_rng_state()
    train(request(tmp_path / "tracked", steps=6, track=("rogue",), callbacks=[careless]), found)
    torch.set_rng_state(state)
    assert weights(tmp_path / "plain") == weights(tmp_path / "tracked") != {}
    assert small.records(tmp_path / "plain") == small.records(tmp_path / "tracked")


def test_trackers_that_fail_cost_a_line_each(tmp_path, monkeypatch, caplog, capsys):
    def fail(*_):
        raise OSError(28, "No space left on device")

    methods = ["__init__", "start", "log", "image", "finish"]
    failing = {f"bad-{method.strip('_')}": type("Failing", (Notes,), {method: fail}) for method in methods}
    notes = Notes()
    found = registry_with(monkeypatch, **failing, notes=lambda folder: notes)
    train(request(tmp_path / "run", track=(*failing, "notes")), found)
    lines = (caplog.text + capsys.readouterr().err).splitlines()
    for name in failing:
        (line,) = [line for line in lines if f"racker {name} " in line]
        assert "No space left" in line
    assert small.steps_of(tmp_path / "run")[0] == 4 and notes.calls[-1] == ("finish", "finished")


def test_a_callback_that_fails_is_named_and_not_called_again(tmp_path, capsys):
    calls = []

    def broken(step, values):
        calls.append(step)
        raise ZeroDivisionError("of zero")

    train(request(tmp_path / "run", callbacks=[broken]), registry())
    error = capsys.readouterr().err
    assert len(calls) == 1 and error.count("broken") == 1 and "ZeroDivisionError" in error
    assert "Callback 1 (broken)" in error and "Tracker" not in error


def test_a_tracker_that_hangs_is_left_behind(tmp_path, monkeypatch, capsys):
    free = threading.Event()

    class Hanging(Notes):
        def log(self, step, values):
            free.wait(30)

    monkeypatch.setattr(tracking, "FINISH_SECONDS", 0.2)
    train(request(tmp_path / "run", track=("hanging",)), registry_with(monkeypatch, hanging=Hanging))
    free.set()
    assert small.steps_of(tmp_path / "run")[0] == 4
    assert capsys.readouterr().err.count("Tracker hanging has not finished") == 1


def test_a_tracker_that_falls_behind_is_left_out(monkeypatch):
    free, lines = threading.Event(), []

    class Slow(Tracker):
        def log(self, step, values):
            free.wait(30)

    monkeypatch.setattr(tracking, "MOST_WAITING", 3)
    monkeypatch.setattr(tracking, "FINISH_SECONDS", 5)
    slow = tracking.Tracking({"slow": Slow()})
    slow.say = lines.append
    with slow.running({}, 0):
        for step in range(9):
            slow.log(step, {"a": 1.0})
        free.set()
    assert len(lines) == 1 and "slow" in lines[0] and "3 calls behind" in lines[0]


@pytest.mark.parametrize(
    "error, outcome", [(DivergedError("x"), "diverged"), (KeyboardInterrupt(), "interrupted"), (OSError(), "failed")]
)
def test_the_outcome_is_told_and_the_error_stays(error, outcome):
    notes = Notes()
    with pytest.raises(type(error)), tracking.Tracking({}, {"notes": notes}).running({"variant": {"name": "x"}}, 0):
        raise error
    assert notes.calls == [("start", "x"), ("finish", outcome)]


def test_other_processes_than_the_first_track_nothing(tmp_path, monkeypatch):
    made = []
    found = registry_with(monkeypatch, notes=lambda folder: made.append(folder) or Notes())
    asked = request(tmp_path / "run", track=("notes",), callbacks=[Notes()])
    for rank in (0, 1):
        _tracking(asked, RunFolder(tmp_path / "run"), found, Processes(rank, 2))
    assert made == [tmp_path / "run"]


def test_a_resumed_run_goes_on_with_its_trackers(tmp_path, monkeypatch):
    made: list[Notes] = []
    found = registry_with(monkeypatch, notes=lambda folder: made.append(Notes()) or made[-1])
    train(request(tmp_path / "run", track=("notes", "jsonl", "notes")), found)
    options = json.loads((tmp_path / "run" / "config.json").read_text())["options"]
    assert (options["track"], options["tensorboard"]) == (["notes"], False)
    again = replace(request(tmp_path / "run", steps=6), resume=True, seed=None)
    train(replace(again, unset=frozenset({"track", "tensorboard"})), found)
    assert len(made) == 2 and made[1].calls[:2] == [("start", "points"), ("forget_after", 4)]
    assert [call[1] for call in made[1].calls if call[0] == "image"] == [6]
    train(replace(again, options=replace(again.options, steps=8)), found)  # --no-track
    assert len(made) == 2


def call(*words) -> int:
    with pytest.raises(SystemExit) as ended:
        main(list(map(str, words)))
    return ended.value.code


def words(out: Path, *more: str, steps: int = 4) -> list[str]:
    every = ["--sample-every", "2", "--checkpoint-every", "2", "--batch-size", "8", "--threads", "1", "--device", "cpu"]
    return ["train", "points", "--data", "ring", "--steps", str(steps), "--out", str(out), *every, *more]


def test_an_unknown_tracker_is_refused_with_the_known_ones(tmp_path, capsys):
    assert call(*words(tmp_path / "run", "--track", "wandbb")) == 2
    error = capsys.readouterr().err
    assert "'wandb'" in error and "jsonl" in error and "mlflow" in error and not (tmp_path / "run").exists()
    assert call(*words(tmp_path / "run", "--track", "nonsense")) == 2  # like no name, so that the error lists them all
    assert capsys.readouterr().err.count("mlflow") == 1


@pytest.mark.parametrize("name", ["tensorboard", "trackio", "wandb", "mlflow"])
def test_a_missing_package_is_one_line_that_says_what_to_install(tmp_path, monkeypatch, capsys, name):
    for module in (name, "torch.utils.tensorboard"):
        monkeypatch.setitem(sys.modules, module, None)
    assert call(*words(tmp_path / "run", "--track", name)) == 2
    error = capsys.readouterr().err
    assert f"pip install {name}" in error and "pip install ganzoo" not in error and not (tmp_path / "run").exists()


def test_a_missing_package_of_any_tracker_is_named(tmp_path, monkeypatch):
    def factory(folder):
        raise ModuleNotFoundError("No module named 'elsewhere'", name="elsewhere")

    with pytest.raises(UsageError, match="--track mine .*pip install elsewhere"):
        tracking.load_trackers(["mine"], tmp_path, registry_with(monkeypatch, mine=factory))


def test_anything_but_functions_and_trackers_is_refused(tmp_path):
    with pytest.raises(UsageError, match="callbacks"):
        train(request(tmp_path / "run", callbacks=["wandb"]), registry())
    assert not (tmp_path / "run").exists()


def test_two_ways_to_leave_trackers_out_and_in_are_refused(tmp_path, capsys):
    assert call(*words(tmp_path / "run", "--track", "jsonl", "--no-track")) == 2
    assert "--no-track" in capsys.readouterr().err


# -- the built-in trackers, each with its own package


def scalars(run: Path, tag: str) -> list[tuple[int, float]]:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(run / "tensorboard"))
    events.Reload()
    return [(found.step, found.value) for found in events.Scalars(tag)]


def test_tensorboard_has_pictures_and_is_cut_back_on_resume_and_on_rollback(tmp_path):
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    board = registry().get("trackers", "tensorboard")(tmp_path)
    from PIL import Image

    board.start({})
    for step in (1, 2, 3):
        board.log(step, {"a/b": float(step)})
    board.image(3, "samples", Image.new("L", (8, 6)))
    board.forget_after(1)  # a rollback
    for step in (2, 3, 4):
        board.log(step, {"a/b": 10.0 * step})
    board.image(2, "samples", Image.new("RGBA", (8, 6)))
    board.finish("interrupted")
    board = registry().get("trackers", "tensorboard")(tmp_path)
    board.start({})
    board.forget_after(3)  # a resumed run
    board.log(4, {"a/b": 400.0})
    board.finish("finished")
    assert scalars(tmp_path, "a/b") == [(1, 1.0), (2, 20.0), (3, 30.0), (4, 400.0)]
    events = EventAccumulator(str(tmp_path / "tensorboard"))
    events.Reload()
    assert [(found.step, found.width, found.height) for found in events.Images("samples")] == [(2, 8, 6)]


def tracked_twice(folder: Path, name: str) -> Path:
    """A run of 4 steps that goes on to 6, both tracked."""
    run = folder / "run"
    train(request(run, track=(name,)), registry())
    train(replace(request(run, steps=6, track=(name,)), resume=True, seed=None), registry())
    return run


def looks_of(run: Path) -> dict[int, float]:
    return {record["step"]: record["samples"]["diversity"] for record in small.records(run) if "samples" in record}


def test_mlflow_writes_a_local_store_and_a_resumed_run_goes_on_in_it(tmp_path, monkeypatch, capsys):
    mlflow = pytest.importorskip("mlflow", reason="the package mlflow is not installed")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", (tmp_path / "store").as_uri())
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    monkeypatch.setenv("MLFLOW_EXPERIMENT_NAME", "rings")
    run = tracked_twice(tmp_path, "mlflow")
    assert "mlflow failed" not in capsys.readouterr().err
    client = mlflow.MlflowClient((tmp_path / "store").as_uri())
    (found,) = client.search_runs([client.get_experiment_by_name("rings").experiment_id])
    assert found.info.status == "FINISHED" and found.data.params["variant.name"] == "points"
    history = {point.step: point.value for point in client.get_metric_history(found.info.run_id, "samples/diversity")}
    assert history == looks_of(run)
    pictures = [one.path for one in client.list_artifacts(found.info.run_id, "samples")]
    assert pictures == [f"samples/step-{step:09d}.png" for step in (0, 2, 4, 6)]


def test_wandb_works_offline_and_a_resumed_run_has_the_same_name(tmp_path, monkeypatch, capsys):
    pytest.importorskip("wandb", reason="the package wandb is not installed")
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.setenv("WANDB_PROJECT", "rings")
    run = tracked_twice(tmp_path, "wandb")
    assert "wandb failed" not in capsys.readouterr().err
    files = sorted((run / "wandb").glob("offline-run-*/run-*.wandb"))
    assert len(files) == 2 and files[0].name == files[1].name
    whole = b"".join(file.read_bytes() for file in files)
    assert all(name in whole for name in (b"samples/diversity", b"discriminator/real", b"rings", b"final/"))
    assert len(list((run / "wandb").glob("offline-run-*/files/media/images/samples_*.png"))) == 4


def test_trackio_keeps_a_local_store_and_a_resumed_run_goes_on_in_it(tmp_path, monkeypatch, capsys):
    pytest.importorskip("trackio", reason="the package trackio is not installed")
    monkeypatch.setenv("TRACKIO_DIR", str(tmp_path / "store"))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    script = (
        "import sys; sys.path[:0] = sys.argv[2:]\n"
        "from pathlib import Path\n"
        "from test_tracking import tracked_twice, looks_of\n"
        "run = tracked_twice(Path(sys.argv[1]), 'trackio')\n"
        "from trackio.sqlite_storage import SQLiteStorage\n"
        "names = SQLiteStorage.get_runs('ganzoo')\n"
        "rows = SQLiteStorage.get_logs('ganzoo', names[0])\n"
        "looks = {row['step']: row['samples/diversity'] for row in rows if 'samples/diversity' in row}\n"
        "assert len(names) == 1 and looks == looks_of(run), (names, looks)\n"
    )
    import subprocess

    places = [str(Path(__file__).parent), str(Path(small.__file__).parent)]
    done = subprocess.run([sys.executable, "-c", script, str(tmp_path), *places], capture_output=True, text=True)
    assert done.returncode == 0 and "trackio failed" not in done.stderr, done.stderr[-2000:]


@pytest.mark.parametrize("done", [0, 1, 2])
def test_a_run_that_fails_keeps_its_folder_after_a_step_and_others_files_always(tmp_path, monkeypatch, done):
    """Without a step there is nothing to go on with; files that a tracker wrote are not the run's."""
    real = Trainer.step

    def step(trainer):
        if trainer.step_number == done:
            raise ValueError("out of order")
        return real(trainer)

    class Writer(Tracker):
        def start(self, config):
            (tmp_path / "run" / "notes.txt").write_text("mine")

    monkeypatch.setattr(Trainer, "step", step)
    with pytest.raises(ValueError, match="out of order"):
        train(request(tmp_path / "run", callbacks=[Writer()]), registry())
    left = {path.name for path in (tmp_path / "run").iterdir()}
    assert "notes.txt" in left
    assert left == {"notes.txt"} if done == 0 else {"config.json", "samples"} < left
    monkeypatch.setattr(Trainer, "step", real)
    if done:
        resumed = replace(request(tmp_path / "run"), resume=True, variant=None)
        train(resumed, registry())


def test_a_run_that_is_resumed_and_fails_before_its_first_step_keeps_its_folder(tmp_path, monkeypatch):
    train(request(tmp_path / "run", steps=1), registry())
    shutil.rmtree(tmp_path / "run" / "checkpoints")
    before = {path.name for path in (tmp_path / "run").iterdir()}

    def fail(trainer):
        raise ValueError("out of order")

    monkeypatch.setattr(Trainer, "step", fail)
    with pytest.raises(ValueError, match="out of order"):
        train(replace(request(tmp_path / "run", steps=1), resume=True, variant=None), registry())
    assert before <= {path.name for path in (tmp_path / "run").iterdir()}
