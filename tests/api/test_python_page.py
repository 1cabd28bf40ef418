"""Every block of docs/python.md runs: the page in one program, its notebook in a new process beside a stand-in Hub."""

import os
import re
import subprocess
import sys

import pytest
from loopback_hub import WRITER, LoopbackHub
from paths import DOCS

import ganzoo

BLOCK = re.compile(r"^```python\n(.*?)^```$", re.M | re.S)
BLOCKS = BLOCK.findall((DOCS / "python.md").read_text(encoding="utf-8"))
NOTEBOOK = "# notebook.py\n"


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    return tmp_path_factory.mktemp("cache")


def test_the_blocks_of_the_page_run_in_one_program(tmp_path, monkeypatch, capsys, cache):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GANZOO_CACHE", str(cache))
    names = {"__name__": "page"}
    blocks = [block for block in BLOCKS if not block.startswith(NOTEBOOK)]
    assert len(blocks) >= 6
    for block in blocks:
        exec(compile(block, "docs/python.md", "exec"), names)
    assert "step 10: diversity 0." in capsys.readouterr().out
    assert names["run"].step == 12 and names["run"].metrics()[-1]["step"] == 12
    assert names["images"].shape == (16, 1, 32, 32) and len(names["walk"]) == 6 and names["drawn"].size == (64, 64)
    assert ganzoo.load(tmp_path / "runs" / "untrained").image.size == 64
    assert names["saved"].step == 3 and names["scores"]["frechet[fashion-cnn]"] > 0
    assert {row["name"] for row in names["results"].to_dicts()} == {"dcgan", "vae"}


def test_the_notebook_of_thirty_lines(tmp_path, cache):
    source = next(block.removeprefix(NOTEBOOK) for block in BLOCKS if block.startswith(NOTEBOOK))
    assert len(source.splitlines()) <= 30
    (tmp_path / "notebook.py").write_text(source)
    hub = LoopbackHub()
    settings = {
        "HF_ENDPOINT": hub.endpoint,
        "HF_TOKEN": WRITER,
        "HF_HOME": str(tmp_path / "home"),
        "HF_HUB_DISABLE_XET": "1",
        "HF_HUB_DISABLE_TELEMETRY": "1",
        "GANZOO_CACHE": str(cache),
        "OMP_NUM_THREADS": "1",
    }
    try:
        command = [sys.executable, "notebook.py"]
        done = subprocess.run(command, cwd=tmp_path, env=os.environ | settings, capture_output=True, text=True)
    finally:
        hub.close()
    assert done.returncode == 0, done.stderr
    assert "<Run runs/mine: dcgan on memory-" in done.stdout and "'kid[fashion-cnn]'" in done.stdout
    assert "<BenchResults of 4 rows" in done.stdout and "frechet[fashion-cnn]" in done.stdout
    assert "<Model dcgan: makes 32 pixels of 1 channel from latents of 100>" in done.stdout
    assert "config.json" in hub.repositories["owner/margin"].head
