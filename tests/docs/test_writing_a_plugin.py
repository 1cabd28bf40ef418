"""The pages on plugins are followed by a stranger in an empty folder: every block of them is executed."""

from __future__ import annotations

import json

import pytest
from environments import Environment
from loopback_hub import WRITER, LoopbackHub
from pages import DOCS, Reader

from ganzoo.registry.registry import KINDS

pytestmark = pytest.mark.process  # virtual environments, in which pip installs and every command is an interpreter
# What takes long is made short or left out, where other tests do it too; the slow test follows the page to the letter.
SHORT = {
    "$ ganzoo train tiny --data fashion-mnist-test --steps 200 --batch-size 32 --out runs/tiny\n": "",
    "$ ganzoo sample ./runs/tiny -n 64 --out tiny.png\n": "",
    "$ ganzoo check pairs\n": "",
    "$ ganzoo sample ./runs/first -n 64 --out runs/first.png\n": "",
    "$ pytest -q\n": "$ pytest -q --ganzoo-only card --ganzoo-only parts\n",
    "--steps 1000 --batch-size 32": "--steps 2 --batch-size 4 --threads 1",
}


@pytest.fixture
def place(tmp_path):
    """A new environment that talks to a stand-in for the Hub, which lets it write as `owner`."""
    hub = LoopbackHub()
    settings = {
        "HF_ENDPOINT": hub.endpoint,
        "HF_TOKEN": WRITER,
        "HF_HUB_DISABLE_XET": "1",
        "HF_HUB_DISABLE_TELEMETRY": "1",
    }
    yield Environment(tmp_path, **settings)
    hub.close()


@pytest.mark.parametrize("to_the_letter", [False, pytest.param(True, marks=pytest.mark.slow)])
def test_writing_a_plugin(place, to_the_letter):
    before = place.files()
    reader = Reader(place, {} if to_the_letter else SHORT)
    reader.follow("writing-a-plugin.md")
    assert to_the_letter or reader.used >= set(SHORT)
    assert (reader.cwd / "runs" / "pairs.png").stat().st_size > 1000
    assert place.files() == before
    done = place.run("ganzoo", "sample", "./runs/first", "--out", "again.png", cwd=reader.cwd)
    assert (
        done.returncode == 1
        and "No variant is called 'pairs' here. The distribution 'ganzoo-pairs' '0.1.0' provides it" in done.stderr
    )


def test_port_your_repository(place):
    reader = Reader(place, {})
    reader.follow("port-your-repository.md")
    facts = json.loads((reader.cwd / "converted" / "old-faces" / "config.json").read_text())
    assert (facts["variant"], facts["provider"]["distribution"], facts["license"]) == (
        "old-faces",
        "ganzoo-old-faces",
        "MIT",
    )


def test_gallery(place):
    """Every kind that there is has its example, each is registered, and the last blocks use them all."""
    page = (DOCS / "gallery.md").read_text(encoding="utf-8")
    assert all(f"def register_{kind}(register)" in page for kind in KINDS)
    reader = Reader(place, {"--steps 20 ": "--steps 4 --threads 1 "})
    reader.follow("gallery.md")
    assert reader.used
    adds = reader.said[0]
    assert all(f"  {kind}: gallery" in adds for kind in KINDS), adds
    facts = json.loads((reader.cwd / "converted" / "config.json").read_text())
    assert facts["generator"] == {"name": "gallery-affine", "options": {"latent_dim": 5}}
