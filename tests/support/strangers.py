"""Puts links, pipes and devices where a regular file is expected, and ends a test that hangs on one."""

import os
import threading

import pytest


def put(kind: str, path, victim) -> None:
    """Something at `path` that is not the regular file that is expected there."""
    path.unlink(missing_ok=True)
    if kind == "link":
        path.symlink_to(victim)
    elif kind == "hard link":
        os.link(victim, path)
    elif kind == "fifo":
        os.mkfifo(path)
    elif kind == "device":
        path.symlink_to("/dev/zero")
    else:
        path.mkdir()


@pytest.fixture
def victim(tmp_path):
    path = tmp_path / "victim"
    path.write_text("dear data")
    return path


@pytest.fixture(autouse=True)
def hangs_no_longer_than_a_minute():
    timer = threading.Timer(60, os._exit, [99])
    timer.daemon = True
    timer.start()
    yield
    timer.cancel()
