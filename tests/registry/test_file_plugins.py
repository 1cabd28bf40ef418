"""Plugins that are single files in the folder of GANZOO_PLUGINS_DIR."""

from __future__ import annotations

import json
from types import SimpleNamespace

import pytest
import small

from ganzoo.errors import UsageError
from ganzoo.registry.discovery import installed
from ganzoo.registry.registry import Registry, registry
from ganzoo.testing.card_checks import listing
from ganzoo.testing.checks import CheckFailed

SOURCE = """
from ganzoo import Part, Training, Variant, hookimpl


@hookimpl
def register_variants(register):
    register(
        Variant(
            name="one-file",
            summary="A file.",
            paper="https://example.org",
            year=2024,
            generator=Part("points"),
            discriminator=Part("points"),
            loss=Part("one-file"),
            sizes=(),
            kind="points",
            training=Training(steps=2),
            tags=("points",),
        )
    )


@hookimpl
def register_losses(register):
    from ganzoo.losses import Loss, Phase

    class Sum(Loss):
        phases = (Phase("discriminator", ("discriminator",)), Phase("generator", ("generator",)))

        def __init__(self, image):
            super().__init__()

        def discriminator(self, turn):
            return {"both": turn.logits(turn.fake).square().mean() + (turn.logits(turn.real) - 1).square().mean()}

        def generator(self, turn):
            return {"fake": (turn.logits(turn.fake) - 1).square().mean()}

    register("one-file", Sum)
"""


@pytest.fixture
def folder(tmp_path, monkeypatch):
    place = tmp_path / "plugins"
    place.mkdir()
    (place / "One_File.py").write_text(SOURCE)
    (place / "_helper.py").write_text("1 / 0")
    (place / "notes.txt").write_text("no plugin")
    monkeypatch.setenv("GANZOO_PLUGINS_DIR", str(place))
    monkeypatch.delenv("GANZOO_LOAD_PLUGINS", raising=False)
    return place


def test_a_file_is_a_plugin_and_a_broken_one_is_named_alone(folder):
    (folder / "broken.py").write_text("import nowhere_to_be_found")
    found = Registry()
    assert found.get("variants", "one-file").summary == "A file." and "one-file" in found.names("losses")
    (line,) = [line for line in found.warnings if "file:" in line]
    assert "file:broken" in line and "nowhere_to_be_found" in line
    names = [plugin.name for plugin in found.plugins if plugin.distribution == "file"]
    assert names == ["file:one-file", "file:broken"] or names == ["file:broken", "file:one-file"]
    version = found.claim("variants", "one-file").plugin.version
    (folder / "One_File.py").write_text(SOURCE + "\n# changed\n")
    assert Registry().claim("variants", "one-file").plugin.version != version


def test_a_run_of_a_file_records_it(folder, tmp_path):
    every = ["--batch-size", "8", "--threads", "1", "--device", "cpu", "--quiet"]
    done = small.forked_ganzoo(
        "train", "one-file", "--data", "ring", "--out", str(tmp_path / "run"), *every, GANZOO_LOAD_PLUGINS=None
    )
    assert done.returncode == 0, done.stderr
    plugin = json.loads((tmp_path / "run" / "config.json").read_text())["plugin"]
    assert plugin["name"] == "file:one-file" and len(plugin["version"]) == 12


def test_a_folder_that_is_not_there_is_one_line(monkeypatch, tmp_path):
    monkeypatch.setenv("GANZOO_PLUGINS_DIR", str(tmp_path / "gone"))
    (line,) = [line for line in Registry().warnings if "GANZOO_PLUGINS_DIR" in line]
    assert "gone" in line and "No such file" in line


def test_limits_count_for_files_too(folder, monkeypatch):
    monkeypatch.setenv("GANZOO_LOAD_PLUGINS", "")
    assert all(plugin.builtin for plugin in installed())
    monkeypatch.setenv("GANZOO_LOAD_PLUGINS", "file")
    assert [plugin.name for plugin in installed() if not plugin.builtin] == ["file:one-file"]
    monkeypatch.delenv("GANZOO_PLUGINS_DIR")
    assert [plugin.error for plugin in installed() if plugin.distribution == "file"] != [None]


def test_the_check_loads_a_file_alone(folder):
    found = Registry()
    plugin = found.claim("variants", "one-file").plugin
    subject = SimpleNamespace(plugin=plugin, registry=found)
    assert listing(subject) == ""
    with open(plugin.module, "a") as file:
        file.write("\nimport torch\n")
    with pytest.raises(CheckFailed, match="imports.*torch"):
        listing(subject)


@pytest.mark.parametrize(
    "name, words",
    [("dcgan.fashion-mnist", "tag of pretrained weights of the variant 'dcgan'"), ("DCGAN", "Did you mean 'dcgan'")],
)
def test_tags_and_other_cases_are_hinted(name, words):
    with pytest.raises(UsageError, match=words):
        registry().get("variants", name)
    done = small.forked_ganzoo("show", name)
    assert done.returncode == 2 and words in done.stderr
