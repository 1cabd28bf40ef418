"""kill -9 at any moment: whatever was reported is still there, and the resumed run ends in the same bits.

A parent that has imported torch forks every child, so that a kill costs a tenth of a second instead of a start of
Python. The first test goes through real, fresh processes.
"""

import os
import random
import signal
import subprocess
import sys
import time
from contextlib import contextmanager

import pytest
import small

if not hasattr(os, "fork"):
    pytest.skip("needs fork", allow_module_level=True)

STEPS = 16
EVERY = ("--checkpoint-every", "4", "--sample-every", "8")
FAULTS = ("fsync", "rename", "write")


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """Tiny images, in the cache already, so that kills hit training."""
    folder = tmp_path_factory.mktemp("data")
    before = os.environ.get("GANZOO_CACHE")
    os.environ["GANZOO_CACHE"] = str(folder / "cache")
    yield small.images(folder / "tiny.npz")
    if before is None:
        del os.environ["GANZOO_CACHE"]
    else:
        os.environ["GANZOO_CACHE"] = before


def words(data, out, *more):
    return small.arguments(data, out, *EVERY, *more, steps=STEPS)


@contextmanager
def forked(arguments, output, prepare=lambda: None):
    """A child that runs the command line; it is dead and waited for at the end."""
    child = os.fork()
    if child == 0:
        descriptor = os.open(output, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        small.become_ganzoo(arguments, descriptor, descriptor, prepare)
    ended = []
    try:
        yield child, lambda: ended or ended.extend(_ended(child, os.WNOHANG)) or ended
    finally:
        if not ended:
            os.kill(child, signal.SIGKILL)
            _ended(child, 0)


def _ended(child, options):
    found, status = os.waitpid(child, options)
    return [os.waitstatus_to_exitcode(status)] if found else []


def finish(arguments, output):
    """Runs a child to its end and returns its exit code."""
    with forked(arguments, output) as (_, ended):
        while not ended():
            time.sleep(0.01)
        return ended()[0]


@pytest.fixture(scope="module")
def whole(data, tmp_path_factory):
    """A run that was never stopped."""
    folder = tmp_path_factory.mktemp("whole")
    assert finish(words(data, folder / "run"), folder / "log") == 0, (folder / "log").read_text()
    return folder / "run"


def next_words(data, run):
    return words(data, run, "--resume") if (run / "config.json").exists() else words(data, run)


def measured(run):
    """The records without events: those of losses and of samples, which a stop must not change."""
    return [record for record in small.records(run) if "event" not in record]


def reported(run):
    """The steps of the checkpoints that the run told of, in a line that is whole."""
    if not (run / "metrics.jsonl").exists():
        return set()
    whole_lines = (run / "metrics.jsonl").read_text().split("\n")[:-1]
    return {int(line.split("step-")[1][:9]) for line in whole_lines if '"checkpoint"' in line}


def check_survived(run):
    """What must hold after every kill: the newest reported checkpoint is there and whole."""
    if steps := reported(run):
        from ganzoo.checkpoints.manifest import folder_name, is_whole

        assert is_whole(run / "checkpoints" / folder_name(max(steps)))


def check_finished(run, whole):
    assert small.same(small.newest(run), small.newest(whole))
    assert small.records(run) == small.records(whole)
    assert small.steps_of(run) == small.steps_of(whole)
    assert (run / "samples.png").read_bytes() == (whole / "samples.png").read_bytes()
    leftovers = [path for path in run.rglob(".*") if path.name.startswith((".tmp-", ".trash-"))]
    assert not leftovers


def kill_until_done(data, run, log, kills, seed, longest):
    """Kills at random moments as often as asked, checks after each, then lets the run end.

    Returns how many kills hit a live child.
    """
    moments, hits = random.Random(seed), 0
    while hits < kills:
        with forked(next_words(data, run), log) as (child, ended):
            until = time.monotonic() + moments.uniform(0, longest)
            while not ended() and time.monotonic() < until:
                time.sleep(0.01)
            if ended():
                assert ended()[0] == 0, log.read_text()
                return hits
            os.kill(child, signal.SIGKILL)
            hits += 1
        check_survived(run)
    assert finish(next_words(data, run), log) == 0, log.read_text()
    return hits


def die_at(function_name, number):
    """Makes a child kill itself at its n-th call of an os function inside a save: before it, or mid-write."""

    def prepare():
        real, calls = getattr(os, function_name), [0]

        def patched(*arguments, **options):
            calls[0] += 1
            if calls[0] == number:
                if function_name == "write":
                    real(arguments[0], bytes(arguments[1])[: len(arguments[1]) // 2])
                os.kill(os.getpid(), signal.SIGKILL)
            return real(*arguments, **options)

        setattr(os, function_name, patched)

    return prepare


@pytest.mark.process
def test_real_processes_killed_and_resumed(data, whole, tmp_path):
    run = tmp_path / "run"
    for moment in (3, 11):
        command = [sys.executable, "-m", "ganzoo", *next_words(data, run)]
        with subprocess.Popen(command, env=os.environ | {"OMP_NUM_THREADS": "1"}, stderr=subprocess.PIPE) as child:
            while child.poll() is None and max(reported(run), default=0) < moment:
                time.sleep(0.01)
            child.kill()
        check_survived(run)
    ended = small.ganzoo(*next_words(data, run))
    assert ended.returncode == 0, ended.stderr
    check_finished(run, whole)


@pytest.mark.process
def test_random_kills(data, whole, tmp_path):
    """The moments are measured in runs, so that as many kills hit a live child on a fast machine as on a slow one."""
    began = time.monotonic()
    assert finish(words(data, tmp_path / "measured"), tmp_path / "log") == 0
    longest = 0.6 * (time.monotonic() - began)
    hits = seed = 0
    while hits < 20:
        run = tmp_path / f"run{seed}"
        hits += kill_until_done(data, run, tmp_path / "log", 20 - hits, seed, longest)
        check_finished(run, whole)
        seed += 1


def test_killed_between_the_last_checkpoint_and_the_tidying_after_it(data, whole, tmp_path):
    """The run is finished, so nothing but resuming it can tidy."""
    run, log = tmp_path / "run", tmp_path / "log"

    def prepare():
        import ganzoo.runs.loop

        retain = ganzoo.runs.loop.retain
        ganzoo.runs.loop.retain = lambda *arguments: (
            os.kill(os.getpid(), signal.SIGKILL) if len(small.steps_of(run)) == 4 else retain(*arguments)
        )

    with forked(words(data, run), log, prepare) as (_, ended):
        while not ended():
            time.sleep(0.01)
    assert ended() == [-signal.SIGKILL] and small.steps_of(run) == [16, 12, 8, 4]
    assert finish(next_words(data, run), log) == 0, log.read_text()
    check_finished(run, whole)


@pytest.mark.parametrize("function_name", FAULTS)
def test_kills_inside_a_save(data, whole, tmp_path, function_name):
    run, log = tmp_path / "run", tmp_path / "log"
    for number in (2, 5, 11):
        with forked(next_words(data, run), log, die_at(function_name, number)) as (_, ended):
            while not ended():
                time.sleep(0.01)
            assert ended()[0] in (0, -signal.SIGKILL), log.read_text()
        check_survived(run)
    assert finish(next_words(data, run), log) == 0, log.read_text()
    check_finished(run, whole)


@pytest.mark.slow
def test_a_thousand_random_kills(data, whole, tmp_path):
    hits, seed = 0, 100
    while hits < 1000:
        hits += kill_until_done(data, tmp_path / f"run{seed}", tmp_path / "log", 50, seed, longest=1.5)
        check_finished(tmp_path / f"run{seed}", whole)
        seed += 1


def test_the_comparison_can_fail(data, whole, tmp_path, monkeypatch):
    """A resumed run that lost Adam's moments of the generator ends in other bits."""
    from ganzoo.engine.trainer import Trainer

    real = Trainer.load_state

    def forgetful(trainer, trees):
        real(trainer, trees)
        trainer.optimizers["generator"].state.clear()

    run, log = tmp_path / "run", tmp_path / "log"
    assert finish(small.arguments(data, run, *EVERY, steps=8), log) == 0
    monkeypatch.setattr(Trainer, "load_state", forgetful)
    assert finish(words(data, run, "--resume"), log) == 0
    assert not small.same(small.newest(run), small.newest(whole))


def test_a_second_process_is_refused(data, tmp_path):
    run, log = tmp_path / "run", tmp_path / "log"
    with forked(small.arguments(data, run, *EVERY, steps=100_000), log) as (child, _):
        while not reported(run):
            time.sleep(0.01)
        second = tmp_path / "second"
        assert finish(small.arguments(data, run, "--resume", steps=100_000), second) == 1
        assert f"another process (pid {child}) is training" in second.read_text()
        assert len(second.read_text().splitlines()) == 1


@pytest.mark.usefixtures("terminal_signals")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_saves_and_a_resumed_run_ends_in_the_same_bits(data, whole, tmp_path, number):
    run, log = tmp_path / "run", tmp_path / "log"
    with forked(words(data, run), log) as (child, ended):
        while not (run / "metrics.jsonl").exists():
            time.sleep(0.01)
        os.kill(child, number)
        while not ended():
            time.sleep(0.01)
    assert ended()[0] == 128 + number, log.read_text()
    assert f"Stopped by {number.name} after step" in log.read_text()
    assert small.records(run)[-1]["event"] == "interrupted"
    assert finish(words(data, run, "--resume"), log) == 0
    assert measured(run) == measured(whole)
    assert small.same(small.newest(run), small.newest(whole))


def test_a_second_signal_ends_at_once_and_loses_nothing(data, whole, tmp_path):
    run, log = tmp_path / "run", tmp_path / "log"

    def slow_saves():
        real = os.fsync
        os.fsync = lambda descriptor: (time.sleep(0.2), real(descriptor))[1]

    with forked(words(data, run), log, slow_saves) as (child, ended):
        while not reported(run):
            time.sleep(0.01)
        os.kill(child, signal.SIGTERM)
        time.sleep(0.1)
        os.kill(child, signal.SIGTERM)
        while not ended():
            time.sleep(0.01)
    assert ended()[0] == 143, log.read_text()
    assert "Traceback" not in log.read_text()
    check_survived(run)
    assert finish(words(data, run, "--resume"), log) == 0
    assert small.same(small.newest(run), small.newest(whole))
