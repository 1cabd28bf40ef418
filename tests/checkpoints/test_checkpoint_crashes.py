"""After every crash, power cut, full disk and flipped bit: the previous checkpoint or the new one, whole."""

import errno
import itertools
import os
import shutil

import pytest
import torch
from messages import logged

from ganzoo.checkpoints import checkpoint, manifest
from ganzoo.checkpoints.checkpoint import (
    list_checkpoints,
    load_checkpoint,
    newest_checkpoint,
    remove_leftovers,
    retain,
    save_checkpoint,
    set_newer_aside,
)
from ganzoo.errors import CheckpointError

needs_fork = pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
CALLS = ("mkdir", "open", "write", "fsync", "chmod", "rename", "rmdir", "unlink")


def trees(step):
    values = torch.arange(40, dtype=torch.float32) + step
    return {
        "generator": {"main.0.weight": values, "b": values[:3]},
        "optimizer": {"state": {0: {"m": -values}}},
        "position": step,
    }


def save(folder, step):
    return save_checkpoint(folder, step, trees(step), summary={"fid": step / 3})


def assert_whole(loaded):
    step, found, summary = loaded
    expected = trees(step)
    assert found["position"] == step and summary == {"fid": step / 3}
    assert torch.equal(found["generator"]["main.0.weight"], expected["generator"]["main.0.weight"])
    assert torch.equal(found["optimizer"]["state"][0]["m"], expected["optimizer"]["state"][0]["m"])
    return step


def newest_step(folder):
    return assert_whole(newest_checkpoint(folder))


class Faults:
    """Counts the calls by which a save touches the disk.

    At call number `at`, `fault(real, arguments)` stands in for it.
    """

    def __init__(self, monkeypatch, at=0, fault=None):
        self.calls = []
        for module, name in [(os, name) for name in CALLS if hasattr(os, name)] + [(checkpoint, "save_file")]:
            monkeypatch.setattr(module, name, self.wrap(name, getattr(module, name), at, fault))

    def wrap(self, name, real, at, fault):
        def call(*arguments, **options):
            self.calls.append(name)
            if len(self.calls) == at:
                return fault(name, lambda: real(*arguments, **options), arguments)
            return real(*arguments, **options)

        return call


def die_before(name, call, arguments):
    os._exit(9)


def die_halfway(name, call, arguments):
    if name == "save_file":
        call()
        os.truncate(arguments[1], os.path.getsize(arguments[1]) // 2)
    else:
        real_write(arguments[0], arguments[1][: len(arguments[1]) // 2])
    os._exit(9)


real_write = os.write


def damage_newest(folder):
    state = folder / "step-000000003" / "state.json"
    state.write_bytes(state.read_bytes().replace(b"3", b"4"))


OPERATIONS = {
    "save": (lambda folder: save(folder, 4), lambda folder: None, {3, 4}),
    "save over a damaged one": (lambda folder: save(folder, 3), damage_newest, {2, 3}),
    "retain": (lambda folder: retain(folder, 2), lambda folder: None, {3}),
    "set aside": (lambda folder: set_newer_aside(folder, 2), lambda folder: None, {2, 3}),
}


@pytest.fixture
def three(tmp_path):
    """A folder with whole checkpoints of the steps 1, 2 and 3."""
    for step in (1, 2, 3):
        save(tmp_path / "three", step)
    return tmp_path / "three"


def run_in_child(work) -> int:
    pid = os.fork()
    if pid == 0:
        try:
            work()
            os._exit(0)
        finally:
            os._exit(1)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def rehearse(three, tmp_path, work) -> list[str]:
    with pytest.MonkeyPatch.context() as monkeypatch:
        shutil.copytree(three, tmp_path / "rehearsal")
        faults = Faults(monkeypatch)
        work(tmp_path / "rehearsal")
    return faults.calls


@needs_fork
@pytest.mark.parametrize("operation", OPERATIONS)
def test_a_process_that_dies_at_any_call_loses_nothing(three, tmp_path, operation):
    work, prepare, allowed = OPERATIONS[operation]
    prepare(three)
    calls = rehearse(three, tmp_path, work)
    points = [(at, die_before) for at in range(1, len(calls) + 1)]
    points += [(at, die_halfway) for at, name in enumerate(calls, 1) if name in ("write", "save_file")]
    found = set()
    for number, (at, fault) in enumerate(points):
        folder = tmp_path / str(number)
        shutil.copytree(three, folder)

        def die(at=at, fault=fault, folder=folder):
            with pytest.MonkeyPatch.context() as monkeypatch:
                Faults(monkeypatch, at, fault)
                work(folder)

        assert run_in_child(die) == 9
        found.add(newest_step(folder))
        whole = [manifest.is_whole(path) for _, path in list_checkpoints(folder)]
        assert sum(whole) >= 2 and (all(whole) or operation == "save over a damaged one")
        remove_leftovers(folder)
        assert all(name.startswith(("step-", ".damaged-", ".undone-")) for name in os.listdir(folder))
        work(folder)
        assert newest_step(folder) in allowed
    assert found == allowed and len(points) > (15 if operation.startswith("save") else 1)


@pytest.mark.parametrize(
    "error", [OSError(errno.ENOSPC, "No space left on device"), KeyboardInterrupt(), MemoryError()]
)
def test_a_save_that_fails_at_any_call_leaves_the_old_ones_and_no_temporary_folder(three, tmp_path, error):
    def fail(name, call, arguments):
        raise error

    for at in range(1, 1 + len(rehearse(three, tmp_path, lambda folder: save(folder, 4)))):
        folder = tmp_path / str(at)
        shutil.copytree(three, folder)
        with (
            pytest.MonkeyPatch.context() as monkeypatch,
            pytest.raises((CheckpointError, KeyboardInterrupt, MemoryError)) as caught,
        ):
            faults = Faults(monkeypatch, at, fail)
            save(folder, 4)
        if isinstance(error, OSError):
            assert str(caught.value).endswith("step-000000004 cannot be written: No space left on device.")
        else:
            assert caught.value is error
        finished = "rename" in faults.calls[: at - 1]
        assert sorted(os.listdir(folder)) == [f"step-00000000{step}" for step in (1, 2, 3, 4)[: 3 + finished]]
        assert newest_step(folder) == 3 + finished


def test_all_is_on_the_disk_before_the_rename_and_the_name_after_it(tmp_path, monkeypatch):
    save(tmp_path, 1)
    events, names = [], {}
    real_open, real_fsync, real_rename, real_save = os.open, os.fsync, os.rename, checkpoint.save_file

    def opened(path, *rest, **options):
        descriptor = real_open(path, *rest, **options)
        names[descriptor] = os.path.basename(path)
        return descriptor

    def note(kind, real, name_of):
        def call(*arguments, **options):
            events.append((kind, name_of(arguments)))
            return real(*arguments, **options)

        return call

    monkeypatch.setattr(os, "open", opened)
    monkeypatch.setattr(os, "fsync", note("fsync", real_fsync, lambda a: names[a[0]]))
    monkeypatch.setattr(os, "write", note("write", real_write, lambda a: names[a[0]]))
    monkeypatch.setattr(os, "rename", note("rename", real_rename, lambda a: os.path.basename(a[0])))
    monkeypatch.setattr(checkpoint, "save_file", note("write", real_save, lambda a: os.path.basename(a[1])))
    path = save(tmp_path, 2)
    monkeypatch.undo()
    (temporary,) = [name for kind, name in events if kind == "rename"]
    renamed = events.index(("rename", temporary))
    for name in os.listdir(path):
        assert events.index(("write", name)) < events.index(("fsync", name)) < renamed
    assert [event for event in events if event == ("write", "MANIFEST.json")], "the recorder must see the writes"
    if os.name != "nt":
        assert events[renamed - 1] == ("fsync", temporary)
        assert events[renamed + 1 :] == [("fsync", tmp_path.name)]


@needs_fork
@pytest.mark.parametrize("kind", ["tensor", "text"])
def test_a_full_disk_is_one_line_and_the_older_checkpoints_stay(tmp_path, kind):
    resource = pytest.importorskip("resource")
    save(tmp_path, 1)

    def fill():
        resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
        try:
            save_checkpoint(tmp_path, 2, {"g": torch.zeros(100_000) if kind == "tensor" else "x" * 200_000})
        except CheckpointError as problem:
            os._exit(7 if "step-000000002 cannot be written: " in str(problem) and "\n" not in str(problem) else 8)

    assert run_in_child(fill) == 7
    assert os.listdir(tmp_path) == ["step-000000001"] and newest_step(tmp_path) == 1


STATES = {
    "whole": lambda data: data,
    "absent": None,
    "empty": lambda data: b"",
    "half": lambda data: data[: len(data) // 2],
    "zeros": lambda data: bytes(len(data)),
}


def test_after_every_power_loss_the_previous_checkpoint_is_found_and_the_report_says_why(tmp_path):
    save(tmp_path, 1)
    path = save(tmp_path, 2)
    content = {name: (path / name).read_bytes() for name in sorted(os.listdir(path))}
    assert len(content) == 4
    for states in itertools.product(STATES, repeat=len(content)):
        for (name, data), state in zip(content.items(), states, strict=True):
            (path / name).unlink(missing_ok=True)
            if STATES[state]:
                (path / name).write_bytes(STATES[state](data))
        whole = set(states) == {"whole"}
        with logged() as reports:
            assert newest_step(tmp_path) == (2 if whole else 1)
        assert len(reports) == (not whole)
        if not whole:
            broken = [name for name, state in zip(content, states, strict=True) if state != "whole"]
            assert reports[0].startswith("skipped checkpoint step-000000002: ") and "\n" not in reports[0]
            assert any(f"{path / name} " in reports[0] for name in broken)
            first = states[list(content).index("MANIFEST.json")], states[list(content).index("state.json")]
            if first in (("whole", "empty"), ("whole", "half")):
                assert "bytes, the manifest says" in reports[0]


def test_a_flipped_bit_anywhere_is_noticed(tmp_path):
    path = save(tmp_path, 2)
    flips = 0
    for name in os.listdir(path):
        data = (path / name).read_bytes()
        for place in range(0, len(data), 3):
            flipped = bytearray(data)
            flipped[place] ^= 1 << (place // 3 % 8)
            (path / name).write_bytes(flipped)
            with pytest.raises(CheckpointError, match="step-000000002"):
                load_checkpoint(path)
            assert not manifest.is_whole(path)
            flips += 1
        (path / name).write_bytes(data)
    assert assert_whole(load_checkpoint(path)) == 2 and flips > 400
