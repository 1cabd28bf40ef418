"""A folder of checkpoints: what is kept, what is moved aside, and what stops everybody."""

import json
import os

import pytest
import torch
from messages import logged

from ganzoo.checkpoints import manifest
from ganzoo.checkpoints.checkpoint import list_checkpoints, newest_checkpoint, retain, save_checkpoint, set_newer_aside
from ganzoo.errors import CheckpointError


def save(folder, step):
    return save_checkpoint(folder, step, {"generator": {"weight": torch.full((5,), float(step))}})


def newest_step(folder):
    step, trees, _ = newest_checkpoint(folder)
    assert torch.equal(trees["generator"]["weight"], torch.full((5,), float(step)))
    return step


@pytest.fixture
def three(tmp_path):
    """A folder with whole checkpoints of the steps 1, 2 and 3."""
    for step in (1, 2, 3):
        save(tmp_path / "three", step)
    return tmp_path / "three"


def test_a_whole_checkpoint_is_left_alone_and_a_damaged_one_moved_aside(tmp_path):
    path = save(tmp_path, 3)
    before = os.stat(path / "MANIFEST.json").st_mtime_ns
    assert save_checkpoint(tmp_path, 3, {"other": 1}) == path and newest_step(tmp_path) == 3
    assert os.stat(path / "MANIFEST.json").st_mtime_ns == before
    (path / "state.json").write_bytes(b"{}")
    assert save(tmp_path, 3) == path and newest_step(tmp_path) == 3
    (aside,) = [name for name in os.listdir(tmp_path) if name != path.name]
    assert aside.startswith(".damaged-step-000000003-") and len(os.listdir(tmp_path / aside)) == 3


def test_none_all_damaged_and_a_deleted_run_folder(three, tmp_path):
    assert newest_checkpoint(tmp_path / "absent") is None
    for _, path in list_checkpoints(three):
        (path / "state.json").write_bytes(b"")
    with logged() as lines, pytest.raises(CheckpointError, match="none was deleted; the newest: .*step-000000003"):
        newest_checkpoint(three)
    assert len(lines) == 3 and len(os.listdir(three)) == 3
    with pytest.raises(CheckpointError, match="cannot be written: No such file or directory"):
        save(tmp_path / "deleted" / "checkpoints", 1)
    assert not (tmp_path / "deleted").exists()


def test_a_checkpoint_of_a_newer_format_stops_everyone_who_would_pass_over_it(three):
    path = three / "step-000000003"
    content = json.loads((path / "MANIFEST.json").read_bytes())
    del content["check"]
    (path / "MANIFEST.json").write_bytes(manifest.sealed({**content, "format": 2}))
    for work in (lambda: newest_checkpoint(three), lambda: save(three, 3), lambda: retain(three, 2)):
        with pytest.raises(manifest.NewerFormatError, match="use a newer ganzoo"):
            work()
    assert len(os.listdir(three)) == 3


def test_old_checkpoints_go_but_never_the_best_nor_the_last_two_whole_ones(tmp_path):
    def steps():
        return [step for step, _ in list_checkpoints(tmp_path)]

    for step in range(1, 8):
        save(tmp_path, step)
    retain(tmp_path, 4, keep=[1, 5])
    assert steps() == [7, 6, 5, 4, 1]
    for step in (7, 5):
        (tmp_path / f"step-00000000{step}" / "generator.safetensors").write_bytes(bytes(8))
    retain(tmp_path, 0)
    assert steps() == [7, 6, 5, 4], "damaged ones must not count as kept"
    retain(tmp_path, -1)
    assert steps() == [7, 6, 5, 4] and len(os.listdir(tmp_path)) == 4


def test_whoever_goes_back_meets_none_of_the_old_future(three):
    set_newer_aside(three, 1)
    assert newest_step(three) == 1
    assert sorted(name[:23] for name in os.listdir(three)) == [
        ".undone-step-000000002-",
        ".undone-step-000000003-",
        "step-000000001",
    ]
