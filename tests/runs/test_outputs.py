"""An output that fails is never a failure of the work; a signal and a slow step are said while the step runs."""

import errno
import io
import os
import signal
import subprocess
import sys
import time
from types import SimpleNamespace

import pytest
import small

from ganzoo.files import streams
from ganzoo.runs.signals import SLOW_SECONDS, GracefulShutdown, StepWatch, stopping_signals

needs_fork = pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")


@pytest.fixture
def data(tmp_path, monkeypatch):
    monkeypatch.setenv("GANZOO_CACHE", str(tmp_path / "cache"))
    return small.images(tmp_path / "tiny.npz")


def broken_pipe() -> int:
    reading, writing = os.pipe()
    os.close(reading)
    return writing


def full_disk() -> int:
    if not os.path.exists("/dev/full"):
        pytest.skip("needs /dev/full")
    return os.open("/dev/full", os.O_WRONLY)


def exit_code(arguments, output: int, prepare=lambda: None) -> int:
    child = os.fork()
    if child == 0:
        small.become_ganzoo(arguments, output, output, prepare)
    os.close(output)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


@needs_fork
@pytest.mark.parametrize("output", [broken_pipe, full_disk])
def test_a_training_ends_and_is_saved_when_nobody_can_read_its_lines(data, tmp_path, output):
    def more_lines():
        import ganzoo.runs.progress as progress

        progress.SECONDS_BETWEEN_LINES = 0.0

    assert exit_code(small.arguments(data, tmp_path / "run", steps=6), output(), more_lines) == 0
    assert small.steps_of(tmp_path / "run")[0] == 6
    assert (tmp_path / "run" / "samples.png").exists()


@needs_fork
def test_results_that_are_lost_are_a_failure():
    assert exit_code(["list", "--json"], full_disk()) == 1


@needs_fork
def test_closed_descriptors_are_not_those_of_the_next_files(data, tmp_path):
    def close():
        os.closerange(0, 3)
        sys.stdin = sys.stdout = sys.stderr = None

    output = os.open(os.devnull, os.O_RDWR)
    assert exit_code(small.arguments(data, tmp_path / "run", steps=2), output, close) == 0
    assert b"tep" not in (tmp_path / "run" / ".lock").read_bytes()


@needs_fork
def test_curves_and_pictures_that_cannot_be_written_end_no_training(data, tmp_path):
    def fail():
        from ganzoo.runs.sample_monitor import pictures

        def full(picture, path):
            raise OSError(errno.ENOSPC, "No space left on device")

        class Board:
            add_scalar = close = lambda *_: full(None, None)

        import torch.utils.tensorboard

        torch.utils.tensorboard.SummaryWriter = lambda _: Board()
        pictures.save_picture = full

    words = small.arguments(data, tmp_path / "run", "--tensorboard", "--sample-every", "2", steps=4)
    done = small.forked_ganzoo(*words, prepare=fail)
    assert done.returncode == 0, done.stderr
    assert "Warning: no picture of step 2: " in done.stderr and "No space left" in done.stderr
    assert done.stderr.count("Tracker tensorboard failed") == 1
    assert small.steps_of(tmp_path / "run")[0] == 4


def test_a_lost_line_is_kept_as_the_problem_and_the_next_one_is_written(tmp_path):
    class Full(io.FileIO):
        full = True

        def write(self, data):
            if self.full:
                raise OSError(errno.ENOSPC, "No space left on device")
            return super().write(data[:3])  # a short write

    raw = Full(tmp_path / "log", "w")
    output = io.TextIOWrapper(io.BufferedWriter(streams.Forgiving(raw)), line_buffering=True)
    print("lost", file=output)
    raw.full = False
    print("written", file=output)
    assert (tmp_path / "log").read_text() == "written\n"
    assert output.buffer.raw.problem.errno == errno.ENOSPC
    raw.close()
    print("closed by other code", file=output)


@pytest.mark.usefixtures("terminal_signals")
@pytest.mark.skipif(not hasattr(signal, "SIGHUP"), reason="needs SIGHUP")
def test_a_second_hangup_ends_nothing_and_nohup_is_respected():
    with GracefulShutdown() as shutdown:
        signal.raise_signal(signal.SIGHUP)
        signal.raise_signal(signal.SIGHUP)
        assert shutdown.name == "SIGHUP"
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        assert signal.SIGHUP not in stopping_signals()
        with GracefulShutdown() as shutdown:
            signal.raise_signal(signal.SIGHUP)
        assert shutdown.number == 0
    finally:
        signal.signal(signal.SIGHUP, before)


def test_a_signal_is_said_at_once_even_inside_a_long_operation():
    said = []
    with GracefulShutdown() as shutdown, StepWatch(lambda: 7, said.append):
        signal.raise_signal(signal.SIGINT)
        limit = time.monotonic() + 10
        while not said and time.monotonic() < limit:
            time.sleep(0.01)
    assert shutdown.number == signal.SIGINT
    assert len(said) == 1 and "SIGINT" in said[0] and "the step in progress" in said[0] and "second Ctrl-C" in said[0]
    with StepWatch(lambda: 1, said.append):
        pass  # ends without waiting for its poll


def test_a_long_step_is_said_once_and_again_after_a_signal():
    said, at = [], SimpleNamespace(step=1)
    watch = StepWatch(lambda: at.step, said.append)
    watch.look(b"", 100.0)
    watch.look(b"", 101.0)
    assert said == []
    watch.look(b"", 101.0 + SLOW_SECONDS)
    watch.look(b"", 105.0 + SLOW_SECONDS)
    at.step = 2
    watch.look(b"", 106.0 + SLOW_SECONDS)
    assert len(said) == 1 and "Step 1 " in said[0]
    watch.look(bytes([signal.SIGTERM]), 120.0)
    watch.look(bytes([signal.SIGTERM]), 121.0)
    assert len(said) == 2 and "SIGTERM: " in said[1] and "second SIGTERM" in said[1] and "Ctrl-C" not in said[1]
    at.step = 3  # the step that is saved ends while its number is read: a number here would contradict the last line
    watch.look(b"", 121.0)
    watch.look(b"", 122.0 + SLOW_SECONDS)
    assert len(said) == 3 and "since SIGTERM" in said[2] and not any(digit in said[1] + said[2] for digit in "23")


@needs_fork
def test_a_reader_that_goes_ends_a_list_quietly():
    command = [sys.executable, "-m", "ganzoo", "list", "--json"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        process.stdout.close()
        assert process.stderr.read() == b""
        assert process.wait() == 1
