"""What a stranger's folder may hold in place of a file: links, pipes, devices, files without an end."""

import pytest
import small
from strangers import hangs_no_longer_than_a_minute, put, victim  # noqa: F401 - two are fixtures

from ganzoo.checkpoints.checkpoint import list_checkpoints
from ganzoo.checkpoints.manifest import is_whole
from ganzoo.errors import CheckpointError, GanzooError
from ganzoo.files.lock import FolderLock
from ganzoo.files.safe_open import open_regular
from ganzoo.files.strict_json import read_bytes
from ganzoo.runs.folder import RunFolder

PNG = b"\x89PNG\r\n\x1a\n" + bytes(20)
ESCAPE = "\x1b]0;owned\x07\x1b[31m"


@pytest.mark.parametrize("kind", ["link", "hard link", "fifo", "device", "folder"])
def test_a_lock_that_is_no_lock_is_refused_and_nothing_is_emptied(tmp_path, victim, kind):
    folder = tmp_path / "run"
    folder.mkdir()
    put(kind, folder / ".lock", victim)
    with pytest.raises(GanzooError, match=r"\.lock"), FolderLock(folder):
        pass
    assert victim.read_text() == "dear data"


def test_a_lock_with_more_than_a_number_is_somebody_elses_file(tmp_path):
    (tmp_path / ".lock").write_text("x" * 100)
    with pytest.raises(GanzooError, match="not a lock of ganzoo"), FolderLock(tmp_path):
        pass
    assert (tmp_path / ".lock").read_text() == "x" * 100


@pytest.mark.parametrize("kind", ["link", "hard link", "fifo", "device", "folder"])
def test_records_are_appended_to_no_other_file(tmp_path, victim, kind):
    put(kind, tmp_path / "metrics.jsonl", victim)
    with pytest.raises(GanzooError, match="metrics.jsonl"):
        RunFolder(tmp_path).log({"step": 1})
    if kind != "hard link":
        with pytest.raises(CheckpointError, match="metrics.jsonl"):
            RunFolder(tmp_path).records()
    assert victim.read_text() == "dear data"


@pytest.mark.parametrize("kind", ["fifo", "device", "folder"])
def test_every_reader_takes_regular_files_only(tmp_path, kind):
    put(kind, tmp_path / "file", None)
    for read in (open_regular, lambda path: read_bytes(path, 10)):
        with pytest.raises(CheckpointError, match="file .*regular"):
            read(tmp_path / "file")


def test_a_link_is_followed_where_it_is_of_use(tmp_path, victim):
    (tmp_path / "file").symlink_to(victim)
    assert read_bytes(tmp_path / "file", 100) == b"dear data"
    with pytest.raises(CheckpointError, match="is a link"):
        read_bytes(tmp_path / "file", 100, follow=False)


def test_a_checkpoint_with_a_pipe_in_it_is_damaged_and_does_not_wait(tmp_path):
    run = small.finished_run(tmp_path)
    checkpoint = list_checkpoints(run / "checkpoints")[0][1]
    assert is_whole(checkpoint)
    put("fifo", checkpoint / "generator.safetensors", None)
    assert not is_whole(checkpoint)
