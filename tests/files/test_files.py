"""Files are whole or absent, a run has one owner, and JSON from outside is read strictly."""

import errno
import os
import signal
import stat
import sys
import time
import types

import pytest

from ganzoo.errors import CheckpointError, GanzooError
from ganzoo.files import atomic as files
from ganzoo.files import lock
from ganzoo.files.lock import FolderLock
from ganzoo.files.strict_json import read_json

needs_fork = pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")


def record(monkeypatch, *names):
    """Records (call, file name) of the named os functions in the order in which they happen."""
    calls, paths = [], {}
    real = {name: getattr(os, name) for name in {*names, "open"}}

    def wrap(name):
        def call(first, *rest, **options):
            result = real[name](first, *rest, **options)
            if name == "open":
                paths[result] = first
            calls.append((name, os.path.basename(paths.get(first, first))))
            return result

        return call

    for name in real:
        monkeypatch.setattr(os, name, wrap(name))
    return calls


def test_a_written_file_has_the_content_the_mode_of_the_umask_and_no_company(tmp_path):
    old = os.umask(0o027)
    try:
        files.write_atomically(tmp_path / "config.json", "größe")
        files.write_atomically(tmp_path / "config.json", b"second")
        files.write_atomically(str(tmp_path / "text"), "größe")
    finally:
        os.umask(old)
    assert (tmp_path / "config.json").read_bytes() == b"second"
    assert (tmp_path / "text").read_text("utf-8") == "größe"
    assert sorted(os.listdir(tmp_path)) == ["config.json", "text"]
    if os.name == "posix":
        assert stat.S_IMODE((tmp_path / "config.json").stat().st_mode) == 0o640


@pytest.mark.skipif(os.name == "nt", reason="folders are not synced on Windows")
def test_a_file_is_synced_before_its_rename_and_the_folder_after(tmp_path, monkeypatch):
    calls = record(monkeypatch, "write", "fsync", "replace")
    files.write_atomically(tmp_path / "config.json", b"x")
    temporary = calls[0][1]
    assert temporary.startswith(".tmp-")
    done = [call for call in calls if call[0] != "open"]
    assert done == [("write", temporary), ("fsync", temporary), ("replace", temporary), ("fsync", tmp_path.name)]


@pytest.mark.parametrize("call", ["open", "write", "fsync", "replace"])
@pytest.mark.parametrize("error", [OSError(errno.ENOSPC, "No space left on device"), KeyboardInterrupt()])
def test_a_write_that_fails_leaves_the_old_file_and_nothing_else(tmp_path, monkeypatch, call, error):
    (tmp_path / "config.json").write_text("old")

    def fail(*_, **__):
        raise error

    monkeypatch.setattr(os, call, fail)
    with pytest.raises((GanzooError, KeyboardInterrupt)) as caught:
        files.write_atomically(tmp_path / "config.json", "new")
    monkeypatch.undo()
    if isinstance(error, OSError):
        assert str(caught.value) == f"{tmp_path / 'config.json'} cannot be written: No space left on device."
    assert os.listdir(tmp_path) == ["config.json"] and (tmp_path / "config.json").read_text() == "old"


def test_a_short_write_is_continued(tmp_path, monkeypatch):
    real = os.write
    monkeypatch.setattr(os, "write", lambda descriptor, data: real(descriptor, data[:3]))
    files.write_atomically(tmp_path / "a", b"0123456789")
    assert (tmp_path / "a").read_bytes() == b"0123456789"


@pytest.mark.skipif(os.name == "nt", reason="folders are not synced on Windows")
def test_only_a_file_system_that_cannot_sync_folders_is_excused(tmp_path, monkeypatch):
    def fail_with(number):
        def fsync(_):
            raise OSError(number, os.strerror(number))

        monkeypatch.setattr(os, "fsync", fsync)

    fail_with(errno.EINVAL)
    files.fsync_folder(tmp_path)
    fail_with(errno.EIO)
    with pytest.raises(OSError):
        files.fsync_folder(tmp_path)


def test_leftovers_of_dead_processes_go_and_nothing_else(tmp_path):
    for name in (".tmp-1-a", ".trash-b", ".damaged-c", "step-000000001"):
        (tmp_path / name / "inner").mkdir(parents=True)
    (tmp_path / ".tmp-file").write_text("x")
    (tmp_path / "target").mkdir()
    (tmp_path / "target" / "kept").write_text("x")
    (tmp_path / ".tmp-link").symlink_to(tmp_path / "target")
    files.remove_leftovers(tmp_path)
    assert sorted(os.listdir(tmp_path)) == [".damaged-c", "step-000000001", "target"]
    assert (tmp_path / "target" / "kept").exists()
    files.remove_leftovers(tmp_path / "absent")


class Child:
    """A forked process that runs `work(say)` and then sleeps until it is killed."""

    def __init__(self, work):
        reader, writer = os.pipe()
        self.pid = os.fork()
        if self.pid == 0:
            try:
                work(lambda text: os.write(writer, f"{text}\n".encode()))
                time.sleep(60)
            finally:
                os._exit(1)
        os.close(writer)
        with os.fdopen(reader) as lines:
            self.said = lines.readline().strip()

    def kill(self):
        os.kill(self.pid, signal.SIGKILL)
        os.waitpid(self.pid, 0)


@needs_fork
def test_a_second_process_is_refused_by_pid_and_the_lock_is_free_at_once_after_kill_9(tmp_path):
    def hold(say):
        FolderLock(tmp_path).__enter__()
        say("locked")

    child = Child(hold)
    try:
        assert child.said == "locked"
        with pytest.raises(GanzooError, match=rf"another process \(pid {child.pid}\) is training in ") as caught:
            FolderLock(tmp_path).__enter__()
        assert "\n" not in str(caught.value) and caught.value.exit_code == 1
    finally:
        child.kill()
    with FolderLock(tmp_path):
        assert (tmp_path / ".lock").read_text() == f"{os.getpid()}\n"


@needs_fork
def test_a_data_worker_that_outlives_its_killed_trainer_does_not_hold_the_lock(tmp_path):
    def hold(say):
        FolderLock(tmp_path).__enter__()
        worker = os.fork()
        if worker:
            say(worker)

    child = Child(hold)
    child.kill()
    try:
        with FolderLock(tmp_path):
            assert (tmp_path / ".lock").read_text() == f"{os.getpid()}\n"
            os.kill(int(child.said), 0)  # the worker is still there
    finally:
        os.kill(int(child.said), signal.SIGKILL)


@needs_fork
def test_a_worker_that_ends_does_not_free_its_trainers_lock(tmp_path):
    with FolderLock(tmp_path) as lock:
        pid = os.fork()
        if pid == 0:
            lock.__exit__(None, None, None)
            os._exit(0)
        os.waitpid(pid, 0)
        assert (tmp_path / ".lock").read_text() == f"{os.getpid()}\n"
        with pytest.raises(GanzooError, match=f"pid {os.getpid()}"):
            FolderLock(tmp_path).__enter__()


def test_a_lock_is_free_after_its_block_and_one_line_says_why_a_folder_cannot_be_locked(tmp_path):
    for _ in range(2):
        with FolderLock(tmp_path):
            pass
    with pytest.raises(GanzooError, match="absent cannot be locked: No such file or directory"):
        FolderLock(tmp_path / "absent").__enter__()


def test_without_flock_the_lock_is_the_one_of_windows(tmp_path, monkeypatch):
    locked = []

    def locking(descriptor, mode, length):
        assert (mode, length, os.lseek(descriptor, 0, os.SEEK_CUR)) == (2, 1, 2**20)
        if locked:
            raise OSError(errno.EACCES, "locked")
        locked.append(descriptor)

    monkeypatch.setattr(lock, "fcntl", None)
    monkeypatch.setitem(sys.modules, "msvcrt", types.SimpleNamespace(LK_NBLCK=2, locking=locking))
    with FolderLock(tmp_path):
        assert (tmp_path / ".lock").read_text() == f"{os.getpid()}\n"
        with pytest.raises(GanzooError, match=f"pid {os.getpid()}"):
            FolderLock(tmp_path).__enter__()


BAD_JSON = {
    "empty": (b" \n", "is empty"),
    "mark": (b"\xef\xbb\xbf{}", "byte-order mark"),
    "utf-16": ("{}".encode("utf-16"), "byte-order mark"),
    "latin-1": ('{"é": 1}'.encode("latin-1"), "not UTF-8"),
    "cut": (b'{"a": [1, 2', "not valid JSON"),
    "trailing": (b"{} {}", "not valid JSON"),
    "twice": (b'{"a": {"b": 1, "b": 2}}', "the key 'b' is there twice"),
    "long key twice": (b'{"%s": 1, "%s": 2}' % (b"k" * 9999, b"k" * 9999), r"'kkk.*\.\.\.k+' is there twice"),
    "nan": (b"[NaN]", "NaN is not a JSON number"),
    "infinity": (b"[-Infinity]", "-Infinity is not a JSON number"),
    "overflow": (b"[1e400]", "'1e400' is too large"),
    "long number": (b"9" * 5000, "not valid JSON"),
    "deep": (b"[" * 300 + b"]" * 300, "nested too deep"),
    "deeper": (b"[" * 100_000, "nested too deep"),
    "large": (b"1" * 2001 + b" " * 5000, "too large: more than 6000 bytes"),
}


@pytest.mark.parametrize("name", sorted(BAD_JSON))
def test_json_that_python_would_let_pass_is_refused_in_one_line_that_names_the_file(tmp_path, name):
    data, why = BAD_JSON[name]
    (tmp_path / "a.json").write_bytes(data)
    limit = 6000 if name == "large" else 10**6
    with pytest.raises(CheckpointError, match=why) as caught:
        read_json(tmp_path / "a.json", limit=limit)
    assert (
        str(tmp_path / "a.json") in str(caught.value) and "\n" not in str(caught.value) and len(str(caught.value)) < 400
    )


def test_json_within_its_limits_is_read(tmp_path):
    (tmp_path / "a.json").write_bytes(b'{"a": [1, 2.5, -0.0, null, "\\u00e9"]}')
    assert read_json(tmp_path / "a.json", limit=37, depth=2) == {"a": [1, 2.5, -0.0, None, "é"]}
    with pytest.raises(CheckpointError, match="more than 1 levels"):
        read_json(tmp_path / "a.json", depth=1)


@pytest.mark.parametrize("kind", ["absent", "folder", "fifo", "loop"])
def test_what_is_no_regular_file_is_refused_at_once(tmp_path, kind):
    path = tmp_path / "a.json"
    if kind == "folder":
        path.mkdir()
    if kind == "fifo":
        os.mkfifo(path)
    if kind == "loop":
        path.symlink_to(path)
    with pytest.raises(CheckpointError, match=r"a\.json (cannot be read: |is not a regular file)"):
        read_json(path)
