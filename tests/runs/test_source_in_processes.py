"""`torchrun -m ganzoo train VARIANT --data ... --source ...`: two processes are one with the whole batch."""

import json
import os
import subprocess
import sys

import pytest
import small
import torch
from translation import noise

from ganzoo.cli import main

NARROW = ["--set", "generator.width=4", "--set", "discriminator.width=4"]
INSTANCE = ["--set", "generator.norm=instance", "--set", "discriminator.norm=instance"]  # batch norm sees its process


def words(folder, out: str, source: str) -> list[str]:
    data = ["--data", str(folder / "output"), "--source", source, "--image-size", "32", "--batch-size", "2"]
    return ["train", "pix2pix", *data, *NARROW, *INSTANCE, "--steps", "2", "--device", "cpu", "--threads", "1"] + [
        "--out",
        str(folder / out),
    ]


def start(rank: int, port: int, arguments: list[str]) -> subprocess.Popen:
    environment = os.environ | {
        "RANK": str(rank),
        "LOCAL_RANK": str(rank),
        "WORLD_SIZE": "2",
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": str(port),
        "TORCHELASTIC_USE_AGENT_STORE": "True",
    }
    if sys.platform == "linux":
        environment["GLOO_SOCKET_IFNAME"] = "lo"
    command = [sys.executable, "-m", "ganzoo", *arguments]
    return subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def numbers(value) -> list[float]:
    """All numbers of a record, in order."""
    inside = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return [value] if isinstance(value, (int, float)) else [number for item in inside for number in numbers(item)]


@pytest.mark.slow
def test_a_source_of_the_command_line_is_shared_by_two_processes(tmp_path, monkeypatch):
    monkeypatch.setenv("GANZOO_CACHE", str(tmp_path / "cache"))
    for number in range(4):
        noise(tmp_path / "output" / f"{number}.png", number, (36, 36))
        noise(tmp_path / "folder" / f"{number}.png", 100 + number, (36, 36))
    source = str(tmp_path / "folder")
    store = torch.distributed.TCPStore("127.0.0.1", 0, is_master=True, wait_for_workers=False)
    running = [start(rank, store.port, words(tmp_path, "two", source)) for rank in (0, 1)]
    outputs = [process.communicate()[0] for process in running]
    assert [process.returncode for process in running] == [0, 0], "\n".join(outputs)[-4000:]
    assert sum(text.count("preparing") for text in outputs) == 1
    with pytest.raises(SystemExit) as done:
        main(words(tmp_path, "one", source))
    assert not done.value.code
    one, two = (json.loads((tmp_path / out / "config.json").read_text()) for out in ("one", "two"))
    assert two["processes"] == 2 and two["data"] == one["data"]
    ours, theirs = (small.records(tmp_path / out) for out in ("one", "two"))
    assert len(ours) == len(theirs) and "terms" in str(ours)
    for left, right in zip(ours, theirs, strict=True):
        assert left.keys() == right.keys() and numbers(right) == pytest.approx(numbers(left), rel=1e-3)
